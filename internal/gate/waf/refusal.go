package waf

import (
	"slices"
	"strconv"
	"strings"

	"postern/internal/decision"
	"postern/internal/gate"
)

// unavailable refuses because the engine failed. What it said is for the operator and may quote the request, so callers are
// not told, and only its first line is kept.
func (g *firewall) unavailable(x *gate.Exchange, err error) decision.Verdict {
	line, _, _ := strings.Cut(err.Error(), "\n")
	line = bounded(line, 200)
	x.RetryAfter = retryAfter
	x.Result.Fault = "waf: " + line
	return decision.Refuse(decision.WAFUnavailable, g.rule, decision.Fact{Name: "fault", Want: line})
}

// blocked words a refusal: the score, the rules that made it up, and the exclusions that would let this request pass.
func (g *firewall) blocked(f finding) decision.Verdict {
	var ids, narrow []string
	facts := make([]decision.Fact, 4, 4+2*len(f.hits))
	for i, h := range f.hits {
		id := strconv.Itoa(h.rule)
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
		if i < maxTold {
			facts = append(facts, decision.Fact{Name: "rule", Want: id + ": " + h.message, Got: h.where()})
		}
	}
	for i, h := range f.hits {
		for _, e := range h.exclusions() {
			if i < maxTold {
				facts = append(facts, decision.Fact{Name: "exclusion", Want: e.yaml()})
			}
			if len(narrow) < 3 {
				narrow = append(narrow, e.words())
			}
		}
	}
	if len(f.hits) > 3 || len(narrow) == 0 {
		narrow = append(narrow, "the others that matched")
	}
	want := g.threshold
	score := strconv.Itoa(f.score)
	if f.score == 0 { // a rule that refuses by itself, before scores are added up
		want, score = "", ""
	}
	facts[0] = decision.Fact{Name: "score", Want: want, Got: score}
	facts[1] = decision.Fact{Name: "rules", Want: strings.Join(ids, ", ")}
	facts[2] = decision.Fact{Name: "variable"}
	if len(f.hits) > 0 && len(f.hits[0].matched) > 0 {
		facts[2].Want = f.hits[0].matched[0]
	}
	facts[3] = decision.Fact{Name: "exclude", Want: strings.Join(narrow, ", and ")}
	return decision.Refuse(decision.WAFBlocked, g.rule, facts...)
}

// maxTold is how many hits are told one by one; the ids of all are.
const maxTold = 8

// where says what a rule matched: "ARGS:q 9' or 9=9".
func (h *hit) where() string {
	s := strings.Join(h.matched, ", ")
	if h.masked != "" {
		s += " " + h.masked
	}
	return strings.TrimSpace(s)
}

// proposal is an exclusion that would keep a rule from matching again.
type proposal struct {
	rule     int
	variable string // empty: the rule as a whole
}

// exclusions returns the narrowest that keep the hit from occurring again.
func (h *hit) exclusions() (out []proposal) {
	for _, v := range h.exclude {
		out = append(out, proposal{h.rule, v})
	}
	if len(out) == 0 {
		out = []proposal{{rule: h.rule}}
	}
	return out
}

// yaml is the exclusion as it is written under waf.exclusions.
func (p proposal) yaml() string {
	s := "- {rule: " + strconv.Itoa(p.rule)
	if p.variable != "" {
		s += ", variable: " + strconv.Quote(p.variable)
	}
	return s + `, reason: "say why"}`
}

// words is the exclusion in a sentence.
func (p proposal) words() string {
	s := "rule " + strconv.Itoa(p.rule)
	if p.variable != "" {
		s += " for " + p.variable
	}
	return s
}
