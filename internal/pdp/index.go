package pdp

import (
	"encoding/binary"
	"iter"
	"slices"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
)

// index finds policies by the action of their scope.
type index struct {
	any    []int         // of any action
	action map[uid][]int // of an action or group of actions
}

func indexed(policies []*Policy) index {
	x := index{action: map[uid][]int{}}
	for i, p := range policies {
		switch a := p.tree.Action.(type) {
		case ast.ScopeTypeEq:
			x.action[a.Entity] = append(x.action[a.Entity], i)
		case ast.ScopeTypeIn:
			x.action[a.Entity] = append(x.action[a.Entity], i)
		case ast.ScopeTypeInSet:
			for _, e := range a.Entities {
				x.action[e] = append(x.action[e], i)
			}
		default:
			x.any = append(x.any, i)
		}
	}
	return x
}

// Object is an entity of which only the place in its hierarchy is known: itself and everything it is in, directly or not.
type Object struct {
	UID uid
	In  []uid
}

func (o *Object) within(e uid) bool { return o.UID == e || slices.Contains(o.In, e) }

// Selection is the policies that can apply to one action on one resource, found by the principal. It never changes.
type Selection struct {
	set      *Set
	policies []*Policy // in the order of the set
	anyone   []*Policy // whose scope does not name a principal
	named    map[uid][]*Policy
	reads    Mentions
	shadow   bool // some of them are in shadow
	permits  int
}

// For selects the policies whose scope admits an action and a resource. Of ten thousand operations most have the same ones: they
// share a Selection.
func (s *Set) For(action, resource Object) *Selection {
	if s == nil {
		return &Selection{}
	}
	found := s.admitting(&action, &resource)
	var key []byte
	for _, i := range found {
		key = binary.AppendUvarint(key, uint64(i))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if sel := s.selections[string(key)]; sel != nil {
		return sel
	}
	sel := s.selection(found)
	for _, p := range sel.policies {
		sel.reads.Add(&p.mentions)
	}
	if s.selections == nil {
		s.selections = map[string]*Selection{}
	}
	s.selections[string(key)] = sel
	return sel
}

// choose is For without what the policies read, for one question.
func (s *Set) choose(action, resource Object) *Selection {
	return s.selection(s.admitting(&action, &resource))
}

// admitting returns the policies that admit an action and a resource, as indexes in order.
func (s *Set) admitting(action, resource *Object) []int {
	found := slices.Clone(s.index.any)
	found = append(found, s.index.action[action.UID]...)
	for _, e := range action.In {
		found = append(found, s.index.action[e]...)
	}
	slices.Sort(found)
	return slices.DeleteFunc(slices.Compact(found), func(i int) bool {
		p := s.policies[i]
		return !admitsAction(p.tree.Action, action) || !admits(p.tree.Resource, resource)
	})
}

func (s *Set) selection(found []int) *Selection {
	sel := &Selection{set: s, named: map[uid][]*Policy{}}
	for _, i := range found {
		sel.add(s.policies[i])
	}
	return sel
}

func (sel *Selection) add(p *Policy) {
	sel.policies = append(sel.policies, p)
	if who, ok := named(p.tree.Principal); ok {
		sel.named[who] = append(sel.named[who], p)
	} else {
		sel.anyone = append(sel.anyone, p)
	}
	sel.shadow = sel.shadow || p.Shadow
	if !p.Forbid && !p.Shadow {
		sel.permits++
	}
}

// named returns the entity that a principal must be or be in.
func named(scope ast.IsPrincipalScopeNode) (uid, bool) {
	switch s := scope.(type) {
	case ast.ScopeTypeEq:
		return s.Entity, true
	case ast.ScopeTypeIn:
		return s.Entity, true
	case ast.ScopeTypeIsIn:
		return s.Entity, true
	}
	return uid{}, false
}

// admitsAction looks at == again, which the index does not tell from in.
func admitsAction(scope ast.IsActionScopeNode, o *Object) bool {
	switch s := scope.(type) {
	case ast.ScopeTypeEq:
		return o.UID == s.Entity
	case ast.ScopeTypeIn:
		return o.within(s.Entity)
	case ast.ScopeTypeInSet:
		return slices.ContainsFunc(s.Entities, o.within)
	}
	return true
}

func admits(scope ast.IsResourceScopeNode, o *Object) bool {
	switch s := scope.(type) {
	case ast.ScopeTypeEq:
		return o.UID == s.Entity
	case ast.ScopeTypeIn:
		return o.within(s.Entity)
	case ast.ScopeTypeIs:
		return o.UID.Type == s.Type
	case ast.ScopeTypeIsIn:
		return o.UID.Type == s.Type && o.within(s.Entity)
	}
	return true
}

// Policies returns the selected policies in the order of the set. The list is shared.
func (sel *Selection) Policies() []*Policy { return sel.policies }

// Reads is what the selected policies read. It is shared.
func (sel *Selection) Reads() *Mentions { return &sel.reads }

// candidates goes through the policies that can apply to a principal; in is everything it is in, each once.
func (sel *Selection) candidates(principal uid, in []uid) iter.Seq[*Policy] {
	return func(yield func(*Policy) bool) {
		for _, p := range sel.anyone {
			if !yield(p) {
				return
			}
		}
		if len(sel.named) == 0 {
			return
		}
		for _, p := range sel.named[principal] {
			if !yield(p) {
				return
			}
		}
		for _, e := range in {
			if e == principal {
				continue
			}
			for _, p := range sel.named[e] {
				if !yield(p) {
					return
				}
			}
		}
	}
}

// chosen is the policies of one evaluation, as Cedar takes them.
type chosen struct {
	sel  *Selection
	q    *Query
	keep func(*Policy) bool
}

// All implements cedar.PolicyIterator.
func (c chosen) All() iter.Seq2[types.PolicyID, *cedar.Policy] {
	return func(yield func(types.PolicyID, *cedar.Policy) bool) {
		for p := range c.sel.candidates(c.q.Principal, c.q.In) {
			if c.keep(p) && !yield(types.PolicyID(p.ID), p.compiled) {
				return
			}
		}
	}
}
