package origin

import (
	"regexp/syntax"
	"strings"
)

// tail is a text in which matches of an expression end. whole says that there is nothing in front of it.
type tail struct {
	text  string
	whole bool
}

// maxTails bounds the analysis. What has more ends is taken to end in anything.
const maxTails = 200

// looseEnd says of an expression how it accepts origins of just anybody, or "". An expression is tight when each of its
// matches ends in a domain that has one owner, with the whole host or a dot in front, and then at most a port. It errs on the
// side of loose: expressions too clever to be analysed are.
func looseEnd(pattern string) string {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return "it does not compile"
	}
	for _, t := range tails(withoutPort(re)) {
		scheme, host, full := strings.Cut(t.text, "://")
		if full && t.whole && scheme != "" {
			continue // one origin, fully written
		}
		if full {
			if host != "" && !strings.HasPrefix(host, ".") {
				continue
			}
			return "of any scheme in front of " + t.text
		}
		_, domain, dotted := strings.Cut(t.text, ".")
		switch {
		case dotted && ownable(domain):
		case t.text == "":
			return "such as https://attacker.example"
		default:
			return "such as https://attacker" + t.text
		}
	}
	return ""
}

// tails returns the ends that matches of re have.
func tails(re *syntax.Regexp) []tail {
	anything := []tail{{}}
	switch re.Op {
	case syntax.OpNoMatch:
		return nil
	case syntax.OpEmptyMatch, syntax.OpBeginLine, syntax.OpEndLine, syntax.OpBeginText, syntax.OpEndText,
		syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		return []tail{{whole: true}}
	case syntax.OpLiteral:
		return []tail{{strings.ToLower(string(re.Rune)), true}}
	case syntax.OpCapture:
		return tails(re.Sub[0])
	case syntax.OpQuest:
		return append(tails(re.Sub[0]), tail{whole: true})
	case syntax.OpCharClass:
		var out []tail
		for i := 0; i < len(re.Rune); i += 2 {
			for r := re.Rune[i]; r <= re.Rune[i+1]; r++ {
				if len(out) == 8 {
					return anything
				}
				out = append(out, tail{strings.ToLower(string(r)), true})
			}
		}
		return out
	case syntax.OpAlternate:
		var out []tail
		for _, sub := range re.Sub {
			if out = append(out, tails(sub)...); len(out) > maxTails {
				return anything
			}
		}
		return out
	case syntax.OpConcat:
		out := []tail{{whole: true}}
		for i := len(re.Sub) - 1; i >= 0; i-- {
			if out = prepend(tails(re.Sub[i]), out); len(out) > maxTails {
				return anything
			}
		}
		return out
	}
	return anything // repetitions, and any character
}

// prepend puts every front before those tails that can still grow.
func prepend(fronts, tails []tail) (out []tail) {
	for _, t := range tails {
		if !t.whole {
			out = append(out, t)
			continue
		}
		for _, f := range fronts {
			out = append(out, tail{f.text + t.text, f.whole})
		}
	}
	return out
}

// withoutPort cuts a port off the end of an expression: what begins with a colon and holds digits only. What is matched there
// is no part of the host, since split has read the origin too.
func withoutPort(re *syntax.Regexp) *syntax.Regexp {
	switch {
	case re.Op == syntax.OpCapture:
		return withoutPort(re.Sub[0])
	case re.Op == syntax.OpAlternate:
		cut := *re
		cut.Sub = make([]*syntax.Regexp, len(re.Sub))
		for i, sub := range re.Sub {
			cut.Sub[i] = withoutPort(sub)
		}
		return &cut
	case re.Op != syntax.OpConcat:
		return re
	}
	cut := *re
	cut.Sub = append([]*syntax.Regexp{}, re.Sub...)
	for last := len(cut.Sub) - 1; last > 0; last-- {
		switch end, before := cut.Sub[last], cut.Sub[last-1]; {
		case end.Op == syntax.OpEndText || end.Op == syntax.OpEndLine || end.Op == syntax.OpEmptyMatch:
			cut.Sub = cut.Sub[:last]
			continue
		case begins(end) && digits(end):
			cut.Sub = cut.Sub[:last]
		case digits(end) && before.Op == syntax.OpLiteral && before.Rune[len(before.Rune)-1] == ':' && len(before.Rune) > 1:
			shorter := *before
			shorter.Rune = before.Rune[:len(before.Rune)-1]
			cut.Sub[last-1], cut.Sub = &shorter, cut.Sub[:last]
		default:
			cut.Sub[last] = withoutPort(end)
		}
		break
	}
	return &cut
}

// begins reports whether every match of re that is not empty begins with a colon.
func begins(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpLiteral:
		return re.Rune[0] == ':'
	case syntax.OpConcat, syntax.OpCapture, syntax.OpQuest:
		return begins(re.Sub[0]) && re.Sub[0].Op != syntax.OpQuest
	case syntax.OpAlternate:
		for _, sub := range re.Sub {
			if !begins(sub) {
				return false
			}
		}
		return true
	}
	return false
}

// digits reports whether re matches nothing but digits and colons.
func digits(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpEmptyMatch, syntax.OpEndText, syntax.OpEndLine:
		return true
	case syntax.OpLiteral, syntax.OpCharClass:
		for _, r := range re.Rune {
			if r < '0' || r > ':' {
				return false
			}
		}
		return true
	case syntax.OpConcat, syntax.OpCapture, syntax.OpQuest, syntax.OpStar, syntax.OpPlus, syntax.OpRepeat, syntax.OpAlternate:
		for _, sub := range re.Sub {
			if !digits(sub) {
				return false
			}
		}
		return true
	}
	return false
}
