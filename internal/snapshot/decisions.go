package snapshot

import (
	"strconv"
	"strings"

	"postern/internal/pdp"
)

// compileDecisionSets makes the sets by which others are answered.
func (b *builder) compileDecisionSets() {
	b.decides = make(map[string]*pdp.Service, len(b.doc.DecisionSets))
	for i, d := range b.doc.DecisionSets {
		at := "/decision_sets/" + strconv.Itoa(i)
		if fault := wordFault(d.Name); fault != "" {
			b.problem(at+"/name", "use letters, digits, '-', '.' and '_', such as todo", "the name of the decision set %s", fault)
		}
		if b.decides[d.Name] != nil {
			b.problem(at+"/name", "give each decision set a name of its own", "there is already a decision set %q", d.Name)
		}
		set, err := pdp.Parse(pdp.Text{Name: d.Name, Cedar: d.Cedar, Pointer: at + "/cedar"})
		if b.problemsOf(at+"/cedar", err) {
			continue
		}
		if strings.TrimSpace(d.Schema) != "" {
			b.checkBySchema(at, d.Schema, set)
		}
		s, err := pdp.NewService(set, d.Entities)
		if err != nil {
			b.problem(at+"/entities", "write a list such as [{\"uid\": {\"type\": \"user\", \"id\": \"ann\"}, \"attrs\": {}, \"parents\": []}]", "%v", err)
			continue
		}
		b.decides[d.Name] = s
	}
}

func (b *builder) checkBySchema(at, text string, set *pdp.Set) {
	schema, err := pdp.ParseSchema(text)
	if err != nil {
		b.problem(at+"/schema", "correct it; the grammar is at https://docs.cedarpolicy.com/schema/human-readable-schema-grammar.html", "%v", err)
		return
	}
	for _, p := range set.Policies() {
		for _, fault := range schema.Check(p) {
			b.problem(at+"/cedar", "correct the policy, or the schema", "the policy %s at %s: %s", p.ID, p.At(), fault)
		}
	}
}
