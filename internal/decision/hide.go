package decision

import "strings"

// hideKeys replaces what looks like a key or token of Postern's own by Redacted. Callers put keys where they do not belong,
// into a path for one, and a sentence that repeats the path would carry the key into answers, terminals and tickets. Every
// value of a fact passes here on its way into a sentence.
//
// RATIONALE: the form is looser than directory.FindKey, which this package may not import: a mistyped key has most of its
// secret in it, and tokens of the management API begin alike. Words with the prefix (postern_requests_total) are shorter.
func hideKeys(s string) string {
	const prefix = "postern"
	const least = 20 // characters behind the prefix
	from := 0        // what of s is not in b yet
	var b strings.Builder
	for at := 0; ; {
		i := strings.Index(s[at:], prefix)
		if i < 0 {
			break
		}
		start := at + i
		at = start + len(prefix)
		switch rest := s[at:]; {
		case strings.HasPrefix(rest, "_"):
			at++
		case len(rest) >= 3 && strings.EqualFold(rest[:3], "%5f"): // a path as it was received
			at += 3
		default:
			continue
		}
		end := at
		for end < len(s) && keyByte(s[end]) {
			end++
		}
		if end-at < least {
			continue
		}
		b.WriteString(s[from:start])
		b.WriteString(Redacted)
		from, at = end, end
	}
	if from == 0 {
		return s
	}
	b.WriteString(s[from:])
	return b.String()
}

// keyByte reports whether c may stand behind the prefix: base62, an inner underscore, or part of an escape.
func keyByte(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c == '_' || c == '%'
}
