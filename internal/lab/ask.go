package lab

import (
	"context"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/snapshot"
)

// asked is what the gates said to one exchange.
type asked struct {
	snap     *snapshot.Snapshot
	x        *gate.Exchange
	blind    map[string]string
	refusals []decision.Step // in order
	unknown  *decision.Step  // the first gate that could not tell
	sized    bool            // the last refusal is that of the body, which no gate gives
}

// ask judges an exchange whose Env is dry.
func ask(ctx context.Context, snap *snapshot.Snapshot, x *gate.Exchange, blind map[string]string, ifs whatIf) *asked {
	b, _ := x.Body.(*body)
	if b != nil {
		b.x, b.most = x, mostBody(snap.Document)
	}
	if v, bad := unreadable(x, snap.Document); bad {
		x.Trace.Add(decision.RequestMalformed.Gate, v)
	} else if ifs.none() {
		snap.Judge(ctx, x, gate.Exhaust)
	} else {
		snap.JudgeWhatIf(ctx, x, ifs.chain)
	}
	a := &asked{snap: snap, x: x, blind: blind}
	routed, read := false, false
	for _, s := range x.Trace.Steps() {
		v := s.Verdict
		routed = routed || s.Gate == "route" && v.Passed()
		switch v.Outcome() {
		case decision.OutcomeRefuse:
			if blind[v.Reason().Code] != "" {
				a.know(s)
				continue
			}
			read = read || v.Reason() == decision.RequestTooLarge
			a.refusals = append(a.refusals, s)
		case decision.OutcomeAbstain:
			a.know(s)
		}
	}
	// What no gate decides: a live body over its limit is refused by the body itself, once something reads it.
	if routed && !read && b != nil && x.Op != nil {
		if fault := b.tooLarge(); fault != nil {
			a.refusals = append(a.refusals, decision.Step{Gate: decision.RequestTooLarge.Gate, Verdict: fault.Verdict()})
			a.sized = true
		}
	}
	return a
}

// know remembers the first gate that does not know.
func (a *asked) know(s decision.Step) {
	if a.unknown == nil {
		a.unknown = &s
	}
}

// passes reports whether nothing refuses and nothing is unknown.
func (a *asked) passes() bool { return len(a.refusals) == 0 && a.unknown == nil }

// next is what the request meets first: a refusal, else an unknown; nil when it passes.
func (a *asked) next() *decision.Step {
	if len(a.refusals) > 0 {
		return &a.refusals[0]
	}
	return a.unknown
}

// rows lays what was said beside the order of the gates.
func (a *asked) rows() []Row {
	out := rows(a.snap, a.x.Trace.Steps(), a.blind)
	if a.sized {
		row := Row{Gate: decision.RequestTooLarge.Gate, Note: "when the body is read"}
		row.fill(a.refusals[len(a.refusals)-1].Verdict, a.snap, nil)
		out = append(out, row)
	}
	return out
}
