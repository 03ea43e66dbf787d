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

// blocked words a refusal: the rules that matched, the score they made up, and the exclusions that would let this request pass.
func (g *firewall) blocked(f finding) decision.Verdict {
	var ids []string
	var proposals []proposal
	facts := make([]decision.Fact, 4, 4+2*len(f.hits))
	for i := range f.hits {
		h := &f.hits[i]
		if id := strconv.Itoa(h.rule); !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
		if i < maxTold {
			facts = append(facts, decision.Fact{Name: "rule", Want: h.sentence()})
			proposals = append(proposals, h.exclusions()...)
		}
	}
	for _, p := range proposals {
		facts = append(facts, decision.Fact{Name: "exclusion", Want: p.yaml()})
	}
	facts[0] = decision.Fact{Name: "score"}
	if f.score > 0 { // otherwise a rule refused on its own, before scores were added up
		facts[0].Want, facts[0].Got = g.threshold, strconv.Itoa(f.score)
	}
	facts[1] = decision.Fact{Name: "rules", Want: strings.Join(ids, ", ")}
	facts[2] = decision.Fact{Name: "variable"}
	if len(f.hits) > 0 && len(f.hits[0].matched) > 0 {
		facts[2].Want = f.hits[0].matched[0]
	}
	facts[3] = decision.Fact{Name: "exclude", Want: inWords(proposals)}
	return decision.Refuse(decision.WAFBlocked, g.rule, facts...)
}

// maxTold is how many hits are told one by one; the ids of all are.
const maxTold = 8

// sentence says which rule matched what: "942100 SQL Injection Attack Detected via libinjection, in ARGS:q: 9' or 9=9".
func (h *hit) sentence() string {
	s := strconv.Itoa(h.rule) + " " + h.message
	if len(h.matched) > 0 {
		s += ", in " + strings.Join(h.matched, ", ")
	}
	if h.masked != "" {
		s += ": " + h.masked
	}
	return s
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

// inWords puts exclusions into a sentence: "rules 941100, 941110 for ARGS:q, and rule 920350".
func inWords(all []proposal) string {
	var variables []string
	rules := map[string][]string{}
	for _, p := range all {
		if rules[p.variable] == nil {
			variables = append(variables, p.variable)
		}
		rules[p.variable] = append(rules[p.variable], strconv.Itoa(p.rule))
	}
	var parts []string
	for _, v := range variables {
		s := "rule "
		if len(rules[v]) > 1 {
			s = "rules "
		}
		s += strings.Join(rules[v], ", ")
		if v != "" {
			s += " for " + v
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, ", and ")
}
