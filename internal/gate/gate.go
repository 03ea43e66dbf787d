// Package gate is the contract of a gate, the view of a request that gates judge, what they may reach outside
// themselves, and the one loop that runs them.
//
// Live traffic, simulate, explain and replay run the same gates in the same loop; they differ only in Env and Mode.
package gate

import (
	"context"

	"postern/internal/decision"
	"postern/internal/llm"
)

// Gate is one layer that may refuse a request. A gate is compiled once per snapshot and shared by all requests, so it
// holds configuration only; what belongs to one request is on the Exchange. Check must not block except on Env, must not
// call the upstream, and allocates nothing when it passes.
type Gate interface {
	Check(ctx context.Context, x *Exchange) decision.Verdict
}

// Settler is a gate that reserved something in Check and learns the outcome. Settlers run in reverse order of the chain,
// exactly once for each exchange whose Check passed, whether or not the upstream was reached (used is zero then).
type Settler interface {
	Settle(ctx context.Context, x *Exchange, used llm.Usage)
}

// Link is a gate in a chain.
type Link struct {
	Name   string // the gate's name in traces, equal to its package's folder
	Gate   Gate
	Shadow bool // report, do not refuse
}

// Chain is the gates that apply to one operation, in the order of snapshot/order.go.
type Chain []Link

// Mode says how far a chain runs.
type Mode uint8

const (
	StopAtFirst Mode = iota // live: the first refusal ends it
	Exhaust                 // explain and simulate: every gate answers, also after a refusal
)

// Run judges x and records every verdict in x.Trace. It returns the first verdict that does not let the request on
// (refusal, unknown or answer), or a pass.
//
// Live requests (StopAtFirst) treat an unknown as a refusal with the reason the gate gave: what cannot be decided is not
// allowed. In Exhaust mode an unknown does not hide a later refusal: the first refusal wins, then the first unknown. An
// answer, like anything said about a CORS preflight by the gate that answers those, ends the chain in every mode: no change
// elsewhere would bring the request to the gates behind it.
func (c Chain) Run(ctx context.Context, x *Exchange, m Mode) decision.Verdict {
	result, decided, unknown := decision.Pass(nil), false, false
	for i := range c {
		l := &c[i]
		v := l.Gate.Check(ctx, x)
		if l.Shadow {
			v = v.AsShadow()
		}
		x.Trace.Add(l.Name, v)
		x.ran = i + 1
		if v.Passed() {
			continue
		}
		if m == StopAtFirst {
			return v
		}
		switch {
		case decided:
		case v.Outcome() == decision.OutcomeAbstain:
			if !unknown {
				result, unknown = v, true
			}
		default:
			result, decided = v, true
		}
		if v.Outcome() == decision.OutcomeAnswer || x.Final {
			break
		}
	}
	return result
}

// Settle tells every settler that ran, last first. A second call does nothing.
func (c Chain) Settle(ctx context.Context, x *Exchange, used llm.Usage) {
	for i := min(x.ran, len(c)) - 1; i >= 0; i-- {
		if s, ok := c[i].Gate.(Settler); ok {
			s.Settle(ctx, x, used)
		}
	}
	x.ran = 0
}
