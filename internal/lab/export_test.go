package lab

import (
	"context"
	"time"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/policy"
	"postern/internal/snapshot"
)

// Compared is the first fix of a search beside the best that trying everything finds.
type Compared struct {
	Candidates, Runs   int
	Searched, Possible bool // a fix was found by the search, by trying everything
	Same               bool // and both cost the same
	Cost, Best         string
}

// Compare tries every set of up to three of all candidates that any refusal on the way gives rise to, without the bounds
// and the order of the search. small is false when they are too many to try.
func Compare(ctx context.Context, snap *snapshot.Snapshot, env *gate.Env, req Request, p *Prover) (out Compared, small bool) {
	const most = 16
	dry, blind := dryEnv(env)
	w := newWorld(still(situation{snap: snap, env: dry, blind: blind, req: req, id: decision.NewTraceID(dry.Now())}))
	a, err := w.run(ctx, nil)
	if err != nil || len(a.refusals) == 0 {
		return out, false
	}
	wide := *p
	wide.Runs, wide.Time = 1<<20, time.Minute
	s := wide.search(ctx, w)

	var all []Change
	known := map[string]bool{}
	add := func(w *world, a *asked) (grew bool) {
		for _, r := range a.refusals {
			for _, c := range s.proposeFor(w, a, r.Verdict) {
				if !known[c.id()] {
					known[c.id()], grew = true, true
					all = append(all, c)
				}
			}
		}
		return grew
	}
	add(w, a)
	for depth := 1; depth < mostChanges; depth++ {
		for _, set := range subsets(all, depth) {
			if t := s.try(set); t.a != nil && len(all) <= most {
				add(s.apply(set), t.a)
			}
		}
	}
	if len(all) > most {
		return out, false
	}
	var best *trial
	for size := 1; size <= mostChanges; size++ {
		for _, set := range subsets(all, size) {
			if t := s.try(set); t.a != nil && t.a.passes() && (best == nil || t.cost.compare(best.cost) < 0) {
				best = t
			}
		}
	}
	out.Candidates, out.Runs = len(all), len(s.tried)
	proven, _ := p.search(ctx, w).find(a)
	out.Searched, out.Possible = len(proven) > 0, best != nil
	out.Same = out.Searched == out.Possible
	if out.Searched {
		out.Cost = idOf(proven[0].set)
	}
	if best != nil {
		out.Best = idOf(best.set)
		out.Same = out.Same && proven[0].cost.compare(best.cost) == 0
	}
	return out, true
}

func subsets(all []Change, size int) (out [][]Change) {
	var walk func(from int, set []Change)
	walk = func(from int, set []Change) {
		if len(set) == size {
			out = append(out, append([]Change(nil), set...))
			return
		}
		for i := from; i < len(all); i++ {
			walk(i+1, append(set, all[i]))
		}
	}
	walk(0, nil)
	return out
}

// Proposals says for a reason whether candidates are sought, and why not.
func Proposals(code string) (sought bool, whyNot string) {
	p := proposals[code]
	return p.find != nil, p.whyNot
}

// Unreadable reports whether the strict reader refuses the head of a request, which Judge alone does not see.
func Unreadable(req Request, d *policy.Document) bool {
	x, err := Exchange(req)
	if err != nil {
		return true
	}
	_, bad := unreadable(x, d)
	return bad
}
