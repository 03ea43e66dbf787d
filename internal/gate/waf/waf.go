// Package waf is the web application firewall: it inspects what callers send by the OWASP Core Rule Set 4, which Coraza
// evaluates, and by an operator's own rules. It refuses with waf.blocked and says which rules matched what, so that a false
// alarm can be excluded where it occurs and nowhere else; with waf.uninspected when a body is beyond what is inspected and
// the operator chose that; and with waf.unavailable when the engine fails.
//
// Requests are inspected, answers are not (phases 1 and 2 of the rule language). An inspection costs a hundred to a thousand
// times what forwarding costs: the gate stands behind all that can refuse more cheaply, and is bounded in bytes and time.
package waf

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"postern/internal/decision"
	"postern/internal/gate"
)

// firewall is the gate. Its zero value has no engine and refuses.
type firewall struct {
	engine     engine
	detect     bool // report, do not refuse
	llm        bool
	paranoia   string
	threshold  string
	exclusions []exclusion

	bytes                               int // of a body
	types                               []string
	refuseOver, refuseOther, refuseTime bool
	budget                              time.Duration
	patience                            time.Duration // how long a request waits for its inspection to begin
	rule                                *decision.Rule
}

// retryAfter is what callers are told to wait after the engine failed. It is about this request, and may not be cured by
// waiting; another request can pass at once.
const retryAfter = 5 * time.Second

// Check implements gate.Gate. In detect mode, what would have been refused is reported, and nothing is unknown: what is not
// there to be inspected would not have been refused.
func (g *firewall) Check(ctx context.Context, x *gate.Exchange) decision.Verdict {
	if g.engine == nil {
		return decision.Verdict{}
	}
	v := g.judge(ctx, x)
	if g.detect && v.Outcome() == decision.OutcomeRefuse && v.Reason().Gate == decision.WAFBlocked.Gate {
		x.RetryAfter = 0
		return v.AsShadow()
	}
	return v
}

func (g *firewall) judge(ctx context.Context, x *gate.Exchange) decision.Verdict {
	q := question{x: x, paranoia: g.paranoia, threshold: g.threshold, exclusions: g.exclusions}
	if x.Op != nil && x.Op.Method != "*" {
		q.without = append(q.without, methodRule) // the router has decided about methods
	}
	omitted, err := g.content(ctx, x, &q)
	if err != nil {
		return g.bodyFault(err)
	}
	if omitted != nil && omitted.refuse {
		return decision.Refuse(decision.WAFUninspected, g.rule, omitted.facts()...)
	}
	f, err := g.inspect(ctx, &q)
	switch {
	case err != nil && ctx.Err() != nil:
		return decision.Refuse(decision.ClientGone, g.rule)
	case err != nil:
		return g.unavailable(x, err)
	case f.refused:
		return g.blocked(f)
	case f.unfinished:
		omitted = &omission{what: "the inspection took longer than " + g.budget.String(), setting: "time.inspection", refuse: g.refuseTime}
	case f.truncated:
		omitted = g.tooLarge("the request has more than 1000 arguments")
	case x.Body == gate.AbsentBody && !g.detect:
		return decision.Abstain(decision.WAFBlocked, g.rule, decision.Fact{Name: "body", Want: "the body, which is inspected as well", Public: decision.ToAnyone})
	}
	switch {
	case omitted == nil:
		return decision.Pass(g.rule)
	case omitted.refuse:
		return decision.Refuse(decision.WAFUninspected, g.rule, omitted.facts()...)
	}
	return decision.PassNoting(g.rule, omitted.facts()...)
}

// slots are inspections that run at the same time, one a processor. More would finish no sooner, take longer each than
// their budget for want of a processor, and let every other request of the gateway wait behind them.
var slots = make(chan struct{}, runtime.GOMAXPROCS(0))

// inspect asks the engine as soon as there is a slot. What a request waits is not counted as inspection.
func (g *firewall) inspect(ctx context.Context, q *question) (finding, error) {
	select {
	case slots <- struct{}{}:
	default:
		wait := time.NewTimer(g.patience)
		defer wait.Stop()
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return finding{}, ctx.Err()
		case <-wait.C:
			return finding{}, fmt.Errorf("%d inspections are under way, and none ended within %s: the gateway is overloaded", cap(slots), g.patience)
		}
	}
	defer func() { <-slots }()
	// The time of the machine and not of Env: this bounds work, like the deadline of a connection.
	q.deadline = time.Now().Add(g.budget)
	return g.engine.inspect(ctx, q)
}

// methodRule refuses methods that are not in a list.
const methodRule = 911100
