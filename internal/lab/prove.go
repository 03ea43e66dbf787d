package lab

import (
	"cmp"
	"container/heap"
	"context"
	"slices"
	"time"

	"postern/internal/decision"
	"postern/internal/directory"
	"postern/internal/snapshot"
)

// Prover finds what would let a refused request pass, and proves it: every candidate is applied to a copy (of the request,
// of rows of the directory, of the configuration, of the clock) and all gates are asked again. The zero value works; what
// it lacks is not known to it. It may be used by several goroutines.
type Prover struct {
	// Holders counts the applications that have a role, so that widening one held by many ranks behind one held by few.
	Holders func(ctx context.Context, role string) (int, error)
	// Key finds a key by its id, for keys that were replaced by others.
	Key func(ctx context.Context, id string) (directory.Key, error)
	// Runs and Time bound the work of one question; 0: 300 runs, one second.
	Runs int
	Time time.Duration
}

const (
	defaultRuns = 300
	defaultTime = time.Second
	mostChanges = 3 // in one fix
	mostProven  = 4 // fixes that are shown
	mostOther   = 3 // fixes that do not suffice, when none does
)

// Fix is a set of changes and what became of the request with all of them applied. Fixes are ranked: first those that are
// verified, then by risk, by size, by how many gain.
type Fix struct {
	// Verified says that a run of every gate with the changes applied let the request pass, and that it does not pass when
	// any of them is left out.
	Verified bool     `json:"verified"`
	Then     *Next    `json:"then,omitempty"` // what the request meets next, when it is not verified
	Who      string   `json:"who"`            // who has to act; of several, the one with the most power
	Risk     Risk     `json:"risk"`
	Size     int      `json:"size"`
	Changes  []Change `json:"changes"` // to be made in this order
}

// Next is what a request meets after changes that do not suffice.
type Next struct {
	Outcome string `json:"outcome"` // refuse or unknown
	Gate    string `json:"gate"`
	Reason  string `json:"reason"`
	Title   string `json:"title"`

	reason *decision.Reason
}

// search is one question being answered.
//
// It is a search by cost: the set of changes that costs least is tried first, and one that does not suffice is followed by
// sets with one change more, proposed for what it meets next. As nothing gets cheaper by adding to it, the first set that
// passes is the smallest of all that proposals can build. RATIONALE: only the first refusal is branched on. Whatever set
// lets the request pass has to remove every refusal, so the order in which they are removed does not matter.
type search struct {
	p        *Prover
	ctx      context.Context
	base     *world
	compiled map[string]*snapshot.Snapshot
	tried    map[string]*trial
	holders  map[string]int
	runs     int
	deadline time.Time
}

// trial is a set of changes and what the gates said with it.
type trial struct {
	set  []Change
	cost cost
	a    *asked // nil: the changes cannot be made together
	n    int    // the order of proposal, so that equal costs keep it
}

func (p *Prover) fixes(ctx context.Context, w *world, a *asked) (fixes []Fix, whyNot string) {
	s := p.search(ctx, w)
	proven, others := s.find(a)
	for _, t := range proven {
		fixes = append(fixes, t.fix())
	}
	if len(proven) == 0 {
		for _, t := range others {
			if len(fixes) < mostOther {
				fixes = append(fixes, t.fix())
			}
		}
	} else {
		// What callers can do alone is worth telling them even if it does not suffice: an operator's fix is not shown to them.
		for _, t := range others {
			if t.cost.risk == RiskNone && len(fixes) < len(proven)+1 {
				fixes = append(fixes, t.fix())
			}
		}
	}
	if len(fixes) == 0 && len(a.refusals) > 0 {
		whyNot = proposals[a.refusals[0].Verdict.Reason().Code].whyNot
		if whyNot == "" {
			whyNot = "none that is known applies here"
		}
	}
	return fixes, whyNot
}

func (p *Prover) search(ctx context.Context, w *world) *search {
	return &search{p: p, ctx: ctx, base: w, compiled: map[string]*snapshot.Snapshot{}, tried: map[string]*trial{}, holders: map[string]int{},
		runs: cmp.Or(p.Runs, defaultRuns), deadline: time.Now().Add(cmp.Or(p.Time, defaultTime))}
}

// find returns the sets that pass, cheapest first, and single changes that do not.
func (s *search) find(a *asked) (proven, others []*trial) {
	var q queue
	seen := map[string]bool{}
	push := func(set []Change) {
		if id := idOf(set); !seen[id] {
			seen[id] = true
			heap.Push(&q, &trial{set: set, cost: costOf(set), n: len(seen)})
		}
	}
	for _, c := range s.propose(s.base, a) {
		push([]Change{c})
	}
	for len(q) > 0 && len(proven) < mostProven && s.runs > 0 && s.ctx.Err() == nil && time.Now().Before(s.deadline) {
		t := s.try(heap.Pop(&q).(*trial).set)
		switch {
		case t.a == nil:
			continue
		case t.a.passes():
			if t = s.least(t); !slices.ContainsFunc(proven, func(p *trial) bool { return includes(t.set, p.set) }) {
				proven = append(proven, t)
			}
			continue
		case len(t.a.refusals) == 0: // nothing refuses, and something is not known: nothing more can be done from here
			others = append(others, t)
			continue
		case len(t.set) == 1 && s.removes(t, a):
			others = append(others, t)
		}
		if !s.removesLast(t, a) {
			continue
		}
		w := s.apply(t.set)
		for _, c := range s.propose(w, t.a) {
			if !slices.ContainsFunc(t.set, func(o Change) bool { return o.id() == c.id() }) {
				if more := joined(t.set, c); len(more) <= mostChanges {
					push(more)
				}
			}
		}
	}
	slices.SortStableFunc(proven, func(a, b *trial) int { return a.cost.compare(b.cost) })
	slices.SortStableFunc(others, func(a, b *trial) int {
		return cmp.Or(cmp.Compare(min(1, len(a.a.refusals)), min(1, len(b.a.refusals))), a.cost.compare(b.cost))
	})
	return proven, others
}

// joined is a set with one change more. A second wait makes the first one longer, and a request has one credential, path
// and method, so that the last one counts.
func joined(set []Change, c Change) []Change {
	out := slices.Clone(set)
	if i := slices.IndexFunc(out, func(o Change) bool { return o.wait > 0 }); i >= 0 && c.wait > 0 {
		longer := waitFor(out[i].wait + c.wait)
		longer.reason = c.reason
		out[i] = longer
		return out
	}
	if c.slot != "" {
		out = slices.DeleteFunc(out, func(o Change) bool { return o.slot == c.slot })
	}
	return append(out, c)
}

// removes reports whether a set removes the first refusal of what was asked before it.
func (s *search) removes(t *trial, before *asked) bool {
	first := before.refusals[0].Verdict
	return !slices.ContainsFunc(t.a.refusals, func(r decision.Step) bool { return same(r.Verdict, first) })
}

// removesLast reports whether the last change of a set did what it was proposed for. What changes nothing is no step towards
// anything.
func (s *search) removesLast(t *trial, base *asked) bool {
	before := base
	if n := len(t.set) - 1; n > 0 {
		if before = s.try(t.set[:n]).a; before == nil || len(before.refusals) == 0 {
			return false
		}
	}
	return s.removes(t, before)
}

// same reports whether two refusals are one: the same reason, rule and evidence.
func same(a, b decision.Verdict) bool {
	if a.Reason() != b.Reason() || (a.Rule() == nil) != (b.Rule() == nil) || a.Rule() != nil && a.Rule().ID != b.Rule().ID {
		return false
	}
	return slices.Equal(a.Facts(), b.Facts())
}

// least returns the smallest part of a set that passes too: an earlier change may have become pointless by a later one.
func (s *search) least(t *trial) *trial {
	if len(t.set) == 1 {
		return t
	}
	best := t
	for mask := 1; mask < 1<<len(t.set)-1; mask++ {
		var part []Change
		for i := range t.set {
			if mask&(1<<i) != 0 {
				part = append(part, t.set[i])
			}
		}
		if got := s.try(part); got.a != nil && got.a.passes() && got.cost.compare(best.cost) < 0 {
			best = got
		}
	}
	return best
}

// includes reports whether every change of part is in set.
func includes(set, part []Change) bool {
	for i := range part {
		if !slices.ContainsFunc(set, func(c Change) bool { return c.id() == part[i].id() }) {
			return false
		}
	}
	return true
}

// try asks the gates with a set of changes applied.
func (s *search) try(set []Change) *trial {
	id := idOf(set)
	if t := s.tried[id]; t != nil {
		return t
	}
	t := &trial{set: set, cost: costOf(set)}
	s.tried[id] = t
	s.runs--
	if w := s.apply(set); w != nil {
		if a, err := w.run(s.ctx, s.compiled); err == nil {
			t.a = a
		}
	}
	return t
}

// apply makes the changes in a copy; nil when they cannot be made together.
func (s *search) apply(set []Change) *world {
	w := s.base.copy()
	for i := range set {
		if err := set[i].apply(w); err != nil {
			return nil
		}
	}
	return w
}

func (t *trial) fix() Fix {
	f := Fix{Verified: t.a.passes(), Risk: t.cost.risk, Size: t.cost.size, Changes: t.set}
	for i := range t.set {
		if f.Who == "" || parties[t.set[i].Who] > parties[f.Who] {
			f.Who = t.set[i].Who
		}
	}
	if next := t.a.next(); next != nil {
		reason := next.Verdict.Reason()
		f.Then = &Next{Outcome: next.Verdict.Outcome().String(), Gate: next.Gate, Reason: reason.Code, Title: reason.Title, reason: reason}
		if len(t.a.refusals) == 0 {
			f.Then.Outcome = decision.OutcomeAbstain.String()
		}
	}
	return f
}

// queue is a heap of sets by cost.
type queue []*trial

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	return cmp.Or(q[i].cost.compare(q[j].cost), cmp.Compare(q[i].n, q[j].n)) < 0
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(*trial)) }
func (q *queue) Pop() any {
	old := *q
	x := old[len(old)-1]
	*q = old[:len(old)-1]
	return x
}
