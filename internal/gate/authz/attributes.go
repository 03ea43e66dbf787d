package authz

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/cedar-policy/cedar-go/types"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/pdp"
)

// Rules is what is asked of an operation beyond permission and scopes.
type Rules struct {
	Model    *Model
	Policies *pdp.Set // those that apply to the operation
	Subject  Subject
	Require  bool           // a grant is needed even where no permission is named
	Zone     *time.Location // of context.time; nil: UTC
	Owner    *Owner         // nil: anybody's
	Point    *Point         // nil: no external decision point
	Open     bool           // anybody may call: nobody is proven
}

// Attributed compiles the gate with attribute rules. It returns nil when nothing is asked.
//
// A caller needs every scope, and a grant: a role that holds the permission, or a permit. Forbids win over every grant. Then
// the caller has to be the owner, and an external decision point has to agree.
func Attributed(c Config, r Rules) gate.Gate {
	base := New(c).(*rbac)
	sel := r.Policies.For(pdp.Object{UID: r.Subject.action(), In: groupsOf(r.Subject.Permission)}, r.Model.resource(&r.Subject))
	if len(sel.Policies()) == 0 && !r.Require && r.Owner == nil && r.Point == nil {
		if r.Open || c.Permission == "" && len(c.Scopes) == 0 {
			return nil
		}
		return base
	}
	if r.Zone == nil {
		r.Zone = time.UTC
	}
	g := &attributed{rbac: base, model: r.Model, sel: sel, require: r.Require, open: r.Open, owner: r.Owner, point: r.Point,
		in: inputsOf(sel.Reads(), r.Model.attributes, &r.Subject, r.Zone), action: r.Subject.action(), resource: r.Model.resource(&r.Subject).UID}
	return g
}

// ruleOf names a policy as the rule that decided. It is made when it is needed: ten thousand operations under a thousand policies
// would otherwise keep ten million.
func ruleOf(p *pdp.Policy) *decision.Rule { return &decision.Rule{ID: p.ID, Pointer: p.Text.Pointer} }

type attributed struct {
	*rbac
	model            *Model
	sel              *pdp.Selection
	in               *inputs
	action, resource types.EntityUID
	require, open    bool
	owner            *Owner
	point            *Point
}

// Check implements gate.Gate. It allocates: Cedar's values are made for each request.
func (g *attributed) Check(ctx context.Context, x *gate.Exchange) decision.Verdict {
	if !g.open {
		if x.Principal.Application.ID == "" {
			return g.unknown(x)
		}
		if !g.scoped(x) {
			x.Challenge = g.challenge
			return decision.Refuse(decision.ScopeInsufficient, g.rule, g.facts(x)...)
		}
	}
	noted, v := g.decide(ctx, x)
	if v != nil {
		return *v
	}
	if g.owner != nil {
		if v := g.owner.check(ctx, x, g); v != nil {
			return *v
		}
	}
	if g.point != nil {
		if v := g.point.check(ctx, x, g); v != nil {
			return *v
		}
	}
	switch {
	case noted.shadow != nil:
		return *noted.shadow
	case noted.facts != nil:
		return decision.PassNoting(g.rule, noted.facts...)
	}
	return decision.Pass(g.rule)
}

// notes is what a pass tells.
type notes struct {
	facts  []decision.Fact
	shadow *decision.Verdict // what policies in shadow would have refused
}

// decide asks the policies and the roles. A verdict other than nil ends the check.
func (g *attributed) decide(ctx context.Context, x *gate.Exchange) (n notes, v *decision.Verdict) {
	if len(g.sel.Policies()) == 0 {
		return n, g.granted(x, nil, nil)
	}
	record, unknown, v := g.in.context(ctx, x, g.rule)
	if v != nil {
		return n, v
	}
	var room [16]types.EntityUID
	in := g.model.within(&x.Principal, room[:0])
	q := &pdp.Query{Principal: principal(&x.Principal), In: in, Action: g.action, Resource: g.resource, Context: record, Unknown: unknown}
	q.Entities = &entities{model: g.model, principal: types.Entity{
		UID: q.Principal, Parents: types.NewEntityUIDSet(in...), Attributes: g.in.attributesOf(&x.Principal)}}
	a := g.sel.Decide(q)
	n.facts = faultFacts(a.Faults)
	if len(a.Forbids) > 0 {
		refused := g.forbidden(x, q, a.Forbids, n.facts)
		return n, &refused
	}
	if v := g.granted(x, q, &a); v != nil {
		return n, v
	}
	if len(a.MaybeForbids) > 0 {
		abstained := decision.Abstain(decision.Forbidden, ruleOf(a.MaybeForbids[0]), g.missing(unknown, a.MaybeForbids)...)
		return n, &abstained
	}
	if len(a.ShadowForbids) > 0 {
		shadow := g.forbidden(x, q, a.ShadowForbids, n.facts).AsShadow()
		n.shadow = &shadow
	}
	return n, nil
}

// granted looks for a grant where one is needed: a role, or a permit. q and a are nil where there are no policies.
func (g *attributed) granted(x *gate.Exchange, q *pdp.Query, a *pdp.Answer) *decision.Verdict {
	needed := g.permission != "" || g.require
	if !needed || g.open || g.permission != "" && g.permitted(x) || a != nil && len(a.Permits) > 0 {
		return nil
	}
	reason := decision.PermissionMissing
	if g.permission == "" {
		reason = decision.NotPermitted
	}
	if a != nil && len(a.MaybePermits) > 0 {
		v := decision.Abstain(reason, g.rule, g.missing(q.Unknown, a.MaybePermits)...)
		return &v
	}
	facts := g.facts(x)
	if q != nil {
		facts = append(facts, g.nearest(q)...)
		facts = append(facts, faultFacts(a.Faults)...)
		for _, p := range a.ShadowPermits {
			facts = append(facts, decision.Fact{Name: "shadow", Want: p.ID + " at " + p.At(), Got: "would permit, and is in shadow"})
		}
	}
	v := decision.Refuse(reason, g.rule, facts...)
	return &v
}

// missing names the inputs that are not known, and one policy that waits for them.
func (g *attributed) missing(unknown []string, waiting []*pdp.Policy) []decision.Fact {
	var facts []decision.Fact
	for _, path := range unknown {
		name := strings.TrimPrefix(path, "context.")
		facts = append(facts, decision.Fact{Name: name, Want: inputWords[name], Public: decision.ToProven})
	}
	return append(facts, decision.Fact{Name: "policy", Want: waiting[0].ID + " at " + waiting[0].At()})
}

var inputWords = map[string]string{
	"body":    "the JSON body, of which policies read fields",
	"address": "the address of the client, which policies read",
	"headers": "header fields that policies read, which a record keeps out",
}

// shownPolicies is how many policies a refusal names.
const shownPolicies = 3

// forbidden names the forbids that apply, and what made them.
func (g *attributed) forbidden(x *gate.Exchange, q *pdp.Query, forbids []*pdp.Policy, more []decision.Fact) decision.Verdict {
	slices.SortFunc(forbids, func(a, b *pdp.Policy) int { return strings.Compare(a.ID, b.ID) })
	facts := g.who(x)
	for i, p := range forbids {
		if i == shownPolicies {
			facts = append(facts, decision.Fact{Name: "rule", Want: "and more that are not listed"})
			break
		}
		facts = append(facts, decision.Fact{Name: "rule", Want: p.ID + " at " + p.At()})
		for _, c := range g.sel.Met(p, q) {
			facts = append(facts, decision.Fact{Name: "condition", Want: c.Text, Got: c.Values})
		}
	}
	return decision.Refuse(decision.Forbidden, ruleOf(forbids[0]), append(facts, more...)...)
}

// nearest names the permits that fail least, with the conditions that fail.
func (g *attributed) nearest(q *pdp.Query) (facts []decision.Fact) {
	near, skipped := g.sel.Nearest(q, shownPolicies)
	for _, n := range near {
		facts = append(facts, decision.Fact{Name: "permit", Want: n.Policy.ID + " at " + n.Policy.At()})
		for _, c := range n.Failed {
			facts = append(facts, decision.Fact{Name: "condition", Want: c.Text, Got: c.Values})
		}
	}
	if skipped > 0 {
		facts = append(facts, decision.Fact{Name: "permits", Want: "others than the first were not looked at"})
	}
	return facts
}

func faultFacts(faults []pdp.Fault) (facts []decision.Fact) {
	for i, f := range faults {
		if i == shownPolicies {
			break
		}
		facts = append(facts, decision.Fact{Name: "policy_error", Want: f.Policy.ID + " at " + f.Policy.At() + " does not apply", Got: strings.Clone(f.Message)})
	}
	return facts
}

// who is the facts about the caller.
func (g *attributed) who(x *gate.Exchange) []decision.Fact {
	p := &x.Principal
	return []decision.Fact{
		{Name: "application", Want: strings.Clone(p.Application.ID), Public: decision.ToProven},
		{Name: "tenant", Want: strings.Clone(p.Application.Tenant), Public: decision.ToProven},
		{Name: "action", Want: g.title, Public: decision.ToProven},
	}
}

// unknown says that it is not known who calls.
func (g *attributed) unknown(x *gate.Exchange) decision.Verdict {
	if g.permission != "" || len(g.scopes) > 0 {
		return g.rbac.unknown(x)
	}
	return decision.Abstain(decision.NotPermitted, g.rule, append(g.who(x),
		decision.Fact{Name: "principal", Want: "who calls: the application of a credential that authn accepts", Public: decision.ToAnyone})...)
}

// entities finds the caller, and what the document has.
type entities struct {
	model     *Model
	principal types.Entity
}

// Get implements types.EntityGetter.
func (e *entities) Get(id types.EntityUID) (types.Entity, bool) {
	if id == e.principal.UID {
		return e.principal, true
	}
	found, ok := e.model.entities[id]
	return found, ok
}
