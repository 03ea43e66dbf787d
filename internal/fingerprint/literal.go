package fingerprint

import (
	"regexp/syntax"
	"strings"
)

// needle is a regular expression's shadow: pieces of text of which every match holds at least one, in lower case. Looking
// for them first spares nearly all runs of the expression, which is what makes large logs readable.
type needle []string

// shortest is how long a piece must be to be worth looking for.
const shortest = 3

// needleOf finds the pieces of an expression; none when there are no useful ones.
func needleOf(pattern string) needle {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil
	}
	n := pieces(re.Simplify())
	if len(n) > 60 {
		return nil
	}
	for _, s := range n {
		if len(s) < shortest {
			return nil
		}
	}
	return n
}

// pieces returns texts of which one is in every match, or nil.
func pieces(re *syntax.Regexp) needle {
	switch re.Op {
	case syntax.OpLiteral:
		for _, r := range re.Rune {
			if r > 0x7f { // letters outside ASCII fold in ways that lower case does not follow
				return nil
			}
		}
		return needle{strings.ToLower(string(re.Rune))}
	case syntax.OpCapture, syntax.OpPlus:
		return pieces(re.Sub[0])
	case syntax.OpRepeat:
		if re.Min > 0 {
			return pieces(re.Sub[0])
		}
	case syntax.OpAlternate:
		var all needle
		for _, sub := range re.Sub {
			n := pieces(sub)
			if n == nil {
				return nil
			}
			all = append(all, n...)
		}
		return all
	case syntax.OpConcat: // any part will do: the one whose shortest piece is longest tells most
		var best needle
		for _, sub := range re.Sub {
			if n := pieces(sub); n != nil && (best == nil || least(n) > least(best) || least(n) == least(best) && len(n) < len(best)) {
				best = n
			}
		}
		return best
	}
	return nil
}

func least(n needle) int {
	l := 1 << 30
	for _, s := range n {
		l = min(l, len(s))
	}
	return l
}

// mayMatch reports whether the expression could match a text, given the text in lower case.
func (n needle) mayMatch(lower string) bool {
	if n == nil {
		return true
	}
	for _, s := range n {
		if strings.Contains(lower, s) {
			return true
		}
	}
	return false
}

// asciiLower lowers A to Z only, and folds the two signs that Unicode folds onto ASCII letters (K for kelvin, ſ for s), so
// that a case-insensitive expression never matches what mayMatch rules out.
func asciiLower(s string) string {
	s = strings.ToLower(s)
	if strings.ContainsRune(s, 'ſ') {
		s = strings.ReplaceAll(s, "ſ", "s")
	}
	return s
}
