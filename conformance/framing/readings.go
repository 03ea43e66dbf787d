package framing

import (
	"net/url"
	"path"
	"strings"
)

// Readings returns every path that some server behind the gateway could take a target's path for: decoded once, twice or
// three times, dot segments resolved before or after, slashes collapsed, backslashes taken for slashes, path parameters
// dropped, cut at a NUL, overlong and compatibility forms of "." and "/" folded, and letters in lower case. It is
// generous on purpose: a forwarded target must not lead to a guarded resource under any of them.
func Readings(target string) []string {
	if i := strings.Index(target, "://"); i >= 0 {
		target = target[i+3:]
		if j := strings.IndexAny(target, "/?#"); j >= 0 {
			target = target[j:]
		}
	}
	p, _, _ := strings.Cut(target, "?")
	seen := map[string]bool{p: true}
	queue := []string{p}
	for len(queue) > 0 && len(seen) < 2000 {
		next := queue[0]
		queue = queue[1:]
		for _, step := range steps {
			if q := step(next); !seen[q] {
				seen[q] = true
				queue = append(queue, q)
			}
		}
	}
	out := make([]string, 0, len(seen))
	for q := range seen {
		out = append(out, q)
	}
	return out
}

// Leads reports whether some reading of a target lies at or below a guarded path.
func Leads(target string, guarded ...string) (string, bool) {
	for _, r := range Readings(target) {
		for _, g := range guarded {
			if r == g || strings.HasPrefix(r, g) && strings.IndexByte("/;.%?# \x00\t", r[len(g)]) >= 0 {
				return r, true
			}
		}
	}
	return "", false
}

var folding = strings.NewReplacer(
	"\xc0\xae", ".", "\xe0\x80\xae", ".", "\xf0\x80\x80\xae", ".", "\xc0\xaf", "/", "\xe0\x80\xaf", "/", "\xf0\x80\x80\xaf", "/", "\xc1\x9c", `\`,
	"\uff0e", ".", "\u2024", ".", "\uff0f", "/", "\u2215", "/", "\u2044", "/", "\uff3c", `\`, "\u017f", "s",
)

var steps = []func(string) string{
	lenientUnescape,
	func(s string) string { return path.Clean("/" + s) },
	func(s string) string { return strings.ReplaceAll(s, `\`, "/") },
	func(s string) string { // path parameters
		segments := strings.Split(s, "/")
		for i := range segments {
			segments[i], _, _ = strings.Cut(segments[i], ";")
		}
		return strings.Join(segments, "/")
	},
	func(s string) string { before, _, _ := strings.Cut(s, "\x00"); return before },
	func(s string) string { before, _, _ := strings.Cut(s, "?"); return before },
	func(s string) string { before, _, _ := strings.Cut(s, "#"); return before },
	func(s string) string { // tab, CR and LF are dropped by readers of the WHATWG kind, other controls by lenient ones
		return strings.Map(func(r rune) rune {
			if r < ' ' || r == 0x7f {
				return -1
			}
			return r
		}, s)
	},
	func(s string) string { // Windows drops spaces at the end of a segment
		segments := strings.Split(s, "/")
		for i := range segments {
			segments[i] = strings.TrimRight(segments[i], " ")
		}
		return strings.Join(segments, "/")
	},
	folding.Replace,
	strings.ToLower,
}

// lenientUnescape decodes what is percent-encoded and leaves the rest, also %uXXXX as some servers do.
func lenientUnescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if c, err := url.PathUnescape(s[i : i+3]); err == nil {
				b.WriteString(c)
				i += 2
				continue
			}
			if (s[i+1] == 'u' || s[i+1] == 'U') && i+5 < len(s) {
				if c, ok := unicodeEscape(s[i+2 : i+6]); ok {
					b.WriteRune(c)
					i += 5
					continue
				}
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func unicodeEscape(hex string) (r rune, ok bool) {
	for i := range len(hex) {
		d := strings.IndexByte("0123456789abcdef", hex[i]|0x20)
		if d < 0 {
			return 0, false
		}
		r = r<<4 | rune(d)
	}
	return r, true
}
