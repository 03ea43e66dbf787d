package pdp

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go"
	publicast "github.com/cedar-policy/cedar-go/ast"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
	"github.com/cedar-policy/cedar-go/x/exp/eval"
)

// examined bounds how many permits a refusal looks at: whoever sends requests that are refused shall not make them dear.
const examined = 30

// Condition is one condition of a policy that a request does not meet.
type Condition struct {
	Text   string // as Cedar writes it, such as `context.query.status.contains("open")`
	Values string // what was compared, such as `context.query.status is []`; or why it could not be
}

// Near is a permit that does not apply, and why.
type Near struct {
	Policy *Policy
	Failed []Condition // at least one
	failed []failure
	met    int
}

// failure is a condition that is not met, before anybody asks for words.
type failure struct {
	node ast.IsNode
	err  error
}

// Nearest returns the permits with the fewest conditions that the request fails, at most most. Those that could apply to the
// principal are looked at first; skipped says how many were not looked at.
func (sel *Selection) Nearest(q *Query, most int) (near []Near, skipped int) {
	env := eval.Env{Entities: q.Entities, Principal: q.Principal, Action: q.Action, Resource: q.Resource, Context: q.Context}
	seen := map[*Policy]bool{}
	look := func(p *Policy) {
		if p.Forbid || p.Shadow || seen[p] {
			return
		}
		if len(seen) == examined {
			skipped++
			return
		}
		seen[p] = true
		n := Near{Policy: p}
		for _, c := range p.conditions {
			if v, err := eval.Eval(c, env); err != nil || v != types.Value(types.Boolean(true)) {
				n.failed = append(n.failed, failure{c, err})
			} else {
				n.met++
			}
		}
		if len(n.failed) > 0 {
			near = append(near, n)
		}
	}
	for p := range sel.candidates(q.Principal, q.In) {
		look(p)
	}
	for _, p := range sel.policies {
		if skipped > 0 { // the rest need only be counted
			break
		}
		look(p)
	}
	if skipped > 0 {
		skipped = sel.permits - len(seen)
	}
	slices.SortStableFunc(near, func(a, b Near) int {
		return cmp.Or(cmp.Compare(len(a.failed), len(b.failed)), cmp.Compare(b.met, a.met))
	})
	near = near[:min(most, len(near))]
	for i := range near { // words only for those that are shown
		for _, f := range near[i].failed {
			c := Condition{Text: written(f.node)}
			if f.err != nil {
				c.Values = bounded(f.err.Error())
			} else {
				c.Values = values(f.node, env)
			}
			near[i].Failed = append(near[i].Failed, c)
		}
	}
	return near, skipped
}

// Met returns the values that made a policy apply.
func (sel *Selection) Met(p *Policy, q *Query) (met []Condition) {
	env := eval.Env{Entities: q.Entities, Principal: q.Principal, Action: q.Action, Resource: q.Resource, Context: q.Context}
	for _, c := range p.tree.Conditions {
		for _, n := range conjuncts(c, nil) {
			met = append(met, Condition{written(n), values(n, env)})
		}
	}
	return met
}

// conditionsOf takes a policy apart into what has to be true at once: its scope, and the conjuncts of its conditions. Action
// and resource are left out: the selection has seen to them.
func conditionsOf(p *ast.Policy) (all []ast.IsNode) {
	principal := ast.NewNode(ast.NewPrincipalNode())
	switch s := p.Principal.(type) {
	case ast.ScopeTypeEq:
		all = append(all, principal.Equal(ast.Value(s.Entity)).AsIsNode())
	case ast.ScopeTypeIn:
		all = append(all, principal.In(ast.Value(s.Entity)).AsIsNode())
	case ast.ScopeTypeIs:
		all = append(all, principal.Is(s.Type).AsIsNode())
	case ast.ScopeTypeIsIn:
		all = append(all, principal.IsIn(s.Type, ast.Value(s.Entity)).AsIsNode())
	}
	for _, c := range p.Conditions {
		all = conjuncts(c, all)
	}
	return all
}

func conjuncts(c ast.ConditionType, into []ast.IsNode) []ast.IsNode {
	if c.Condition == ast.ConditionUnless {
		return append(into, ast.Not(ast.NewNode(c.Body)).AsIsNode())
	}
	return flatten(c.Body, into)
}

// flatten lists the operands of a chain of &&, first to last.
func flatten(n ast.IsNode, into []ast.IsNode) []ast.IsNode {
	and, ok := n.(ast.NodeTypeAnd)
	if !ok {
		return append(into, n)
	}
	return flatten(and.Right, flatten(and.Left, into))
}

// written is an expression as Cedar writes it.
func written(n ast.IsNode) string {
	p := ast.Permit().When(ast.NewNode(n))
	text := string(cedar.NewPolicyFromAST((*publicast.Policy)(p)).MarshalCedar())
	_, text, _ = strings.Cut(text, "when {")
	text = strings.TrimSpace(text)
	text = strings.TrimSpace(strings.TrimSuffix(text, ";"))
	return bounded(strings.TrimSpace(strings.TrimSuffix(text, "}")))
}

// values lists what the attributes in an expression are, each once.
func values(n ast.IsNode, env eval.Env) string {
	var said []string
	ast.Inspect(ast.NewNode(n), func(n ast.IsNode) bool {
		path, ok := pathOf(n)
		if !ok {
			return true
		}
		if has, ok := n.(ast.NodeTypeHas); ok {
			path = strings.TrimSuffix(path, "."+string(has.Value))
			n = has.Arg
			if _, variable := n.(ast.NodeTypeVariable); variable {
				return false // a whole entity or context tells nothing
			}
		}
		text := "missing"
		if v, err := eval.Eval(n, env); err == nil {
			text = bounded(string(v.MarshalCedar()))
		}
		if s := path + " is " + text; !slices.Contains(said, s) {
			said = append(said, s)
		}
		return false
	})
	return strings.Join(said, ", ")
}

// bounded keeps what callers sent, and long policies, from filling records.
func bounded(s string) string {
	const most = 200
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > most {
		return fmt.Sprintf("%s… (%d characters)", string(r[:most]), len(r))
	}
	return s
}
