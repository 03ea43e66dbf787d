package pdp

import (
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/eval"
)

// Query is a question to a Selection, whose action and resource it repeats.
type Query struct {
	Principal        uid
	In               []uid // what the principal is in, directly or not, each once
	Action, Resource uid
	Context          types.Record
	Entities         types.EntityGetter // finds the principal, the resource and what they are in
	// Unknown names inputs that are not known, such as "context.body". What depends on them is unknown, not false.
	Unknown []string
}

// Answer is what the policies say. Without a forbid, and with a permit or a grant from elsewhere, a request may pass.
type Answer struct {
	Forbids, Permits []*Policy // that apply
	Faults           []Fault   // policies that failed: as the language says, they do not apply
	// MaybeForbids and MaybePermits would apply for some values of the inputs that are not known.
	MaybeForbids, MaybePermits []*Policy
	// ShadowForbids and ShadowPermits apply, and do nothing: they are in shadow.
	ShadowForbids, ShadowPermits []*Policy
}

// Fault is a policy that could not be evaluated.
type Fault struct {
	Policy  *Policy
	Message string
}

// Decide evaluates the policies that can apply. It goes through all of them, as Cedar does: the explanation needs every one.
func (sel *Selection) Decide(q *Query) (a Answer) {
	if len(sel.policies) == 0 {
		return a
	}
	keep := enforced
	if len(q.Unknown) > 0 {
		keep = func(p *Policy) bool { return enforced(p) && !p.readsAny(q.Unknown) }
	}
	a.Forbids, a.Permits = sel.run(q, keep, &a.Faults)
	if sel.shadow {
		var ignored []Fault
		a.ShadowForbids, a.ShadowPermits = sel.run(q, func(p *Policy) bool { return p.Shadow && !p.readsAny(q.Unknown) }, &ignored)
	}
	if len(q.Unknown) > 0 {
		sel.maybe(q, &a)
	}
	return a
}

func enforced(p *Policy) bool { return !p.Shadow }

func (p *Policy) readsAny(paths []string) bool { return slices.ContainsFunc(paths, p.mentions.Reads) }

// run evaluates policies. Cedar names only those that decided, the permits where nothing forbids.
func (sel *Selection) run(q *Query, keep func(*Policy) bool, faults *[]Fault) (forbids, permits []*Policy) {
	decision, d := cedar.Authorize(chosen{sel, q, keep}, q.Entities, cedar.Request{
		Principal: q.Principal, Action: q.Action, Resource: q.Resource, Context: q.Context})
	for _, e := range d.Errors {
		*faults = append(*faults, Fault{sel.set.byID[string(e.PolicyID)], e.Message})
	}
	if len(d.Reasons) == 0 {
		return nil, nil
	}
	matched := make([]*Policy, len(d.Reasons))
	for i, r := range d.Reasons {
		matched[i] = sel.set.byID[string(r.PolicyID)]
	}
	if decision == cedar.Allow {
		return nil, matched
	}
	return matched, nil
}

// maybe finds the policies that would apply for some value of what is not known, by partial evaluation.
func (sel *Selection) maybe(q *Query, a *Answer) {
	env := eval.Env{Entities: q.Entities, Principal: q.Principal, Action: q.Action, Resource: q.Resource, Context: unknowing(q)}
	for p := range sel.candidates(q.Principal, q.In) {
		if p.Shadow || !p.readsAny(q.Unknown) {
			continue
		}
		if _, possible := eval.PartialPolicy(env, p.tree); !possible {
			continue
		}
		if p.Forbid {
			a.MaybeForbids = append(a.MaybeForbids, p)
		} else {
			a.MaybePermits = append(a.MaybePermits, p)
		}
	}
}

// unknowing is the context with a variable in the place of each input that is not known.
func unknowing(q *Query) types.Record {
	m := q.Context.Map()
	if m == nil {
		m = types.RecordMap{}
	}
	for _, path := range q.Unknown {
		if name, ok := strings.CutPrefix(path, "context."); ok {
			m[types.String(name)] = eval.Variable(types.String(name))
		}
	}
	return types.NewRecord(m)
}
