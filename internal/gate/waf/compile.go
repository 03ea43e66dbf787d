package waf

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/policy"
)

// Source is a place where the firewall is configured: a version or an operation.
type Source struct {
	ID      string // of the version or operation
	Pointer string // of its waf
	WAF     *policy.WAF
}

// Defaults, and what is possible.
const (
	defaultBytes  = 128 << 10
	mostBytes     = 16 << 20
	defaultBudget = time.Second
	mostBudget    = time.Minute
	patience      = 10 * time.Second
)

// Compile makes the gate of an operation from what its version and the operation say, in this order; the later source
// decides, exclusions and own rules add up. llm says that the operation belongs to an API for language models, whose default
// profile is llm. The gate is nil when the firewall is off; nothing is compiled then.
//
// The error is a policy.Problems.
func Compile(llm bool, sources ...Source) (gate.Gate, error) {
	g := &firewall{llm: llm, bytes: defaultBytes, types: defaultTypes, budget: defaultBudget, patience: patience}
	mode, paranoia, threshold := "off", 1, 5
	over, other, overTime := "refuse", "refuse", "refuse"
	var problems policy.Problems
	var own ownRules
	type written struct {
		exclusion
		policy.WAFExclusion
		pointer string
	}
	var exclusions []written
	for _, s := range sources {
		w := s.WAF
		problems = append(problems, check(s.Pointer, w)...)
		mode, paranoia, threshold = cmp.Or(w.Mode, mode), cmp.Or(w.Paranoia, paranoia), cmp.Or(w.Threshold, threshold)
		overTime, g.budget = cmp.Or(w.Time.Over, overTime), cmp.Or(time.Duration(w.Time.Inspection), g.budget)
		if body := w.Body; body != nil {
			over, other, g.bytes = cmp.Or(body.Over, over), cmp.Or(body.Other, other), cmp.Or(body.Bytes, g.bytes)
			if body.Types != nil {
				g.types = slices.Clone(body.Types)
			}
		}
		if w.Profile != "" {
			g.llm = w.Profile == "llm"
		}
		rules, faults := parseRules(s.Pointer+"/rules", w.Rules)
		own, problems = append(own, rules...), append(problems, faults...)
		for i, e := range w.Exclusions {
			at := s.Pointer + "/exclusions/" + strconv.Itoa(i)
			x, faults := parseExclusion(at, e)
			exclusions, problems = append(exclusions, written{x, e, at}), append(problems, faults...)
		}
		g.rule = &decision.Rule{ID: s.ID + "#waf", Pointer: s.Pointer}
	}
	if len(problems) > 0 {
		return nil, problems
	}
	if mode == "off" {
		return nil, nil
	}
	rules, err := load(own)
	if err != nil {
		problem := own.problem(err)
		problem.Pointer = cmp.Or(problem.Pointer, g.rule.Pointer)
		return nil, policy.Problems{problem}
	}
	for i := range exclusions {
		e := &exclusions[i]
		if problem, ok := e.resolve(e.pointer, e.WAFExclusion, rules); !ok {
			problems = append(problems, problem)
		}
		g.exclusions = append(g.exclusions, e.exclusion)
	}
	if len(problems) > 0 {
		return nil, problems
	}
	g.engine, g.detect = rules, mode == "detect"
	g.paranoia, g.threshold = strconv.Itoa(paranoia), strconv.Itoa(threshold)
	g.refuseOver, g.refuseOther, g.refuseTime = over == "refuse", other == "refuse", overTime == "refuse"
	return g, nil
}

// check judges the values of one source.
func check(pointer string, w *policy.WAF) (problems policy.Problems) {
	fault := func(field, remedy, format string, args ...any) {
		problems = append(problems, policy.Problem{Pointer: pointer + field, Message: fmt.Sprintf(format, args...), Remedy: remedy})
	}
	oneOf := func(field, word, remedy string, allowed ...string) {
		if word != "" && !slices.Contains(allowed, word) {
			if near := policy.Suggest(word, allowed); near != "" {
				remedy = "did you mean " + near + "? Possible are " + remedy
			} else {
				remedy = "write " + remedy
			}
			fault(field, remedy, "%q is not possible here", word)
		}
	}
	oneOf("/mode", w.Mode, "off, detect or block", "off", "detect", "block")
	oneOf("/profile", w.Profile, "default or llm", "default", "llm")
	body := cmp.Or(w.Body, &policy.WAFBody{})
	oneOf("/body/over", body.Over, "refuse or pass", "refuse", "pass")
	oneOf("/body/other", body.Other, "refuse or pass", "refuse", "pass")
	oneOf("/time/over", w.Time.Over, "refuse or pass", "refuse", "pass")
	if w.Paranoia < 0 || w.Paranoia > 4 {
		fault("/paranoia", "write 1 to 4", "there is no paranoia level %d", w.Paranoia)
	}
	if w.Threshold < 0 || w.Threshold > 10000 {
		fault("/threshold", "write 5 (one critical rule) or more, at most 10000", "%d is no threshold", w.Threshold)
	}
	if body.Bytes < 0 || body.Bytes > mostBytes {
		fault("/body/bytes", fmt.Sprintf("write a number of bytes up to %d", mostBytes), "bodies of %d bytes cannot be inspected", body.Bytes)
	}
	if t := time.Duration(w.Time.Inspection); t < 0 || t > mostBudget {
		fault("/time/inspection", "write a duration such as 500ms, at most 1m", "an inspection cannot take %s", t)
	}
	for i, t := range body.Types {
		if message := typeFault(t); message != "" {
			fault("/body/types/"+strconv.Itoa(i), "write one such as application/json, text/* or *+json", "%s", message)
		}
	}
	return problems
}
