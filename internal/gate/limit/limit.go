// Package limit refuses requests beyond a rate or a quota. All limits that apply to a request (of the version, the
// operation and the caller's plan) are asked in one step: every one gives a unit, or none does, so that a request refused
// by one limit costs nothing of another.
//
// Limits are counted by gate.Counters, in process or in a store shared by several nodes; this package knows whom to count
// and what to say.
package limit

import (
	"context"
	"net/netip"
	"time"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/llm"
)

// Config says which limits apply.
type Config struct {
	Limits  []*gate.Limit // of the version and operation, in the order in which refusals name them
	UsePlan bool          // also those of x.Principal.Plan
}

// retryAfter is what callers are told to wait while counters do not answer.
const retryAfter = 2 * time.Second

// New compiles the gate. A passed request has its readings on x.Readings, for RateLimit fields, and what was taken on
// x.Takes, for Settle.
func New(c Config) gate.Gate {
	g := &limits{usePlan: c.UsePlan}
	for _, l := range c.Limits {
		if l.Shadow {
			g.shadow = append(g.shadow, l)
		} else {
			g.enforced = append(g.enforced, l)
		}
	}
	return g
}

type limits struct {
	enforced, shadow []*gate.Limit
	usePlan          bool
}

// Check implements gate.Gate.
//
// Limits that only report are counted like the others, and come last: a request that an enforced limit refuses is refused
// by that one. When a reporting limit has no room, it is left out and the rest is asked again.
func (g *limits) Check(ctx context.Context, x *gate.Exchange) decision.Verdict {
	first := len(x.Takes)
	g.collect(x)
	if len(x.Takes) == first {
		return decision.Pass(nil)
	}
	if x.Env == nil || x.Env.Counters == nil {
		return g.unavailable(x, first, "no counters are attached")
	}
	now := x.Env.Now()
	verdict := decision.Pass(nil)
	for len(x.Takes) > first {
		takes := x.Takes[first:]
		refused, err := x.Env.Counters.Take(ctx, now, takes)
		if err != nil {
			return g.unavailable(x, first, err.Error())
		}
		if refused < 0 {
			break
		}
		t := &takes[refused]
		if !t.Limit.Shadow {
			x.RetryAfter = t.Reading.Retry
			v := refusal(t, now)
			read(x, first)
			x.Takes = x.Takes[:first]
			return v
		}
		if verdict.Outcome() == decision.OutcomePass {
			verdict = refusal(t, now).AsShadow()
		}
		x.Takes = append(x.Takes[:first+refused], x.Takes[first+refused+1:]...)
	}
	read(x, first)
	return verdict
}

// Settle implements gate.Settler: a request that was refused after its units were taken, with nothing sent to the upstream,
// gets them back. Units counted by address or for everyone stay spent: these limits protect the gateway from floods of
// requests that are refused, which giving back would undo. Chains settle once, last gate first; the first limit gate that
// settles returns what all of them took.
func (g *limits) Settle(ctx context.Context, x *gate.Exchange, used llm.Usage) {
	if len(x.Takes) == 0 {
		return
	}
	takes := x.Takes
	x.Takes = x.Takes[:0]
	if used != (llm.Usage{}) || !nothingSent(x) {
		return
	}
	kept := 0
	for i := range takes {
		if takes[i].Subject.Name != "" {
			takes[kept] = takes[i]
			kept++
		}
	}
	if kept > 0 && x.Env != nil && x.Env.Counters != nil {
		x.Env.Counters.Return(ctx, x.Env.Now(), takes[:kept])
	}
}

// nothingSent reports whether the request certainly ended before a byte of it reached an upstream, or as much was spent on it.
// In doubt it did not: a unit too many spent is an annoyance, one too few is a hole.
func nothingSent(x *gate.Exchange) bool {
	r := &x.Result
	if r.Origin == gate.FromUpstream || r.ReceivedStatus != 0 {
		return false
	}
	if o := x.Verdict.Outcome(); o != decision.OutcomeRefuse && o != decision.OutcomeAbstain {
		return false
	}
	switch reason := x.Verdict.Reason(); {
	case reason == nil, reason.Gate == decision.GatewayFault.Gate:
		return false // a fault of the gateway may have come at any time
	case reason == decision.WAFBlocked, reason == decision.WAFUninspected:
		return false // an inspection costs far more than sending would have: attacks must not be free of limits
	}
	if len(r.Attempts) == 0 {
		return r.Target == "" // otherwise an attempt was begun and never noted
	}
	for i := range r.Attempts {
		// Of the reasons for which an attempt is left, this one alone is certain: no address, no connection.
		if r.Attempts[i].Reason != decision.UpstreamDNS {
			return false
		}
	}
	return true
}

// collect appends the takes of this request to x.Takes: enforced limits first, then those that only report.
func (g *limits) collect(x *gate.Exchange) {
	var plan []*gate.Limit
	if g.usePlan && x.Principal.Plan != nil {
		plan = x.Principal.Plan.Limits
	}
	for _, l := range g.enforced {
		add(x, l)
	}
	for _, l := range plan {
		if !l.Shadow {
			add(x, l)
		}
	}
	for _, l := range g.shadow {
		add(x, l)
	}
	for _, l := range plan {
		if l.Shadow {
			add(x, l)
		}
	}
}

func add(x *gate.Exchange, l *gate.Limit) {
	x.Takes = append(x.Takes, gate.Take{Limit: l, Subject: SubjectOf(x, l.By)})
}

// SubjectOf returns whom a unit is taken from. A caller who has not proven to be anyone is counted by address.
//
// An IPv6 address stands for its /64, since a single host has that many; an IPv4 address for itself.
func SubjectOf(x *gate.Exchange, by gate.LimitBy) gate.Subject {
	p := &x.Principal
	switch by {
	case gate.ByEveryone:
		return gate.Subject{}
	case gate.ByApplication, gate.ByKey, gate.ByTenant:
		if name := nameOf(p, by); name != "" {
			return gate.Subject{Name: name}
		}
	}
	a := x.Client
	if !a.IsValid() {
		a = x.Peer.Addr()
	}
	return gate.Subject{Addr: group(a)}
}

func nameOf(p *gate.Principal, by gate.LimitBy) string {
	switch {
	case by == gate.ByKey && p.Key.ID != "":
		return p.Key.ID
	case by == gate.ByTenant && p.Application.Tenant != "":
		return p.Application.Tenant
	}
	return p.Application.ID
}

func group(a netip.Addr) netip.Addr {
	a = a.Unmap()
	if !a.Is6() {
		return a
	}
	p, err := a.WithZone("").Prefix(64)
	if err != nil {
		return a
	}
	return p.Addr()
}

// read copies what the limits said to x.Readings. Limits that only report are left out: callers are not told of limits
// that do not bind them.
func read(x *gate.Exchange, first int) {
	for i := first; i < len(x.Takes); i++ {
		if t := &x.Takes[i]; !t.Limit.Shadow {
			x.Readings = append(x.Readings, t.Reading)
		}
	}
}
