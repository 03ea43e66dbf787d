package waf

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxMasked is how many characters of a match are shown.
const maxMasked = 80

// telling are words that make an attack recognizable. They stay readable in masked data, because they tell whoever judges
// a false alarm what the rule saw, and nothing about who sent it.
var telling = wordSet(`and or not xor like between null union select insert update delete drop alter create table from where having
	order group by limit offset into values exec execute declare cast convert char concat sleep benchmark waitfor delay
	information_schema script javascript vbscript onerror onload onclick alert prompt confirm document cookie iframe img svg src href
	eval function php system passthru include require http https ftp file data etc passwd shadow bin sh bash cmd cat ls wget
	curl nc powershell dev tcp proc self environ boot ini windows win jndi ldap rmi dns class java lang runtime constructor prototype
	__proto__ true false`)

func wordSet(words string) map[string]bool {
	set := map[string]bool{}
	for _, w := range strings.Fields(words) {
		set[w] = true
	}
	return set
}

// maskData shows the shape of what matched and not what it says: letters become a or A, digits 9, and punctuation and the
// words that make an attack recognizable stay. "' or password='hunter2'" is shown as "' or aaaaaaaa='aaaaaa9'".
func maskData(s string) string {
	var b strings.Builder
	n, more := 0, false
	for s != "" && !more {
		end := strings.IndexFunc(s, func(r rune) bool { return !inWord(r) })
		switch {
		case end < 0:
			end = len(s)
			fallthrough
		case end > 0:
			word := s[:end]
			s = s[end:]
			keep := len(word) <= 20 && telling[strings.ToLower(word)]
			for _, r := range word {
				if n++; n > maxMasked {
					more = true
					break
				}
				if keep {
					b.WriteRune(r)
				} else {
					b.WriteRune(shapeOf(r))
				}
			}
		default:
			r, size := utf8.DecodeRuneInString(s)
			if s = s[size:]; !unicode.IsPrint(r) || r == utf8.RuneError {
				r = '?'
			}
			if n++; n > maxMasked {
				more = true
				break
			}
			b.WriteRune(r)
		}
	}
	if more {
		b.WriteString("…")
	}
	return b.String()
}

func inWord(r rune) bool {
	return r == '_' || r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r))
}

func shapeOf(r rune) rune {
	switch {
	case r == '_':
		return '_'
	case unicode.IsDigit(r):
		return '9'
	case unicode.IsUpper(r):
		return 'A'
	}
	return 'a'
}

// maskName shows the name of an argument, header or cookie. Names are chosen by whoever wrote the client and are needed to
// exclude anything; only what looks like a secret sent in the place of a name is masked: a long run with digits in it, or
// anything that is not a name.
func maskName(s string) string {
	if len(s) > 100 {
		return maskData(s)
	}
	run, digits := 0, false
	for _, r := range s {
		switch {
		case r >= '0' && r <= '9':
			run, digits = run+1, true
		case r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '_':
			run++
		case strings.ContainsRune(`.-[]/*$@:`, r):
			run, digits = 0, false
		default:
			return maskData(s)
		}
		if run >= 20 && digits {
			return maskData(s)
		}
	}
	return strings.Clone(s)
}

// bounded cuts a text off at a boundary of characters.
func bounded(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && s[most]&0xc0 == 0x80 {
		most--
	}
	return s[:most] + "…"
}
