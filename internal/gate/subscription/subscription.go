// Package subscription refuses applications that are not subscribed to the API version they call, and finds the plan of
// those that are. A subscription that exists but does not count (pending, rejected, suspended, revoked, expired) is told
// apart from one that was never asked for, because what to do next differs.
package subscription

import (
	"context"
	"fmt"
	"strings"
	"time"

	"postern/internal/decision"
	"postern/internal/directory"
	"postern/internal/gate"
)

// Config says what must be subscribed to.
type Config struct {
	API, Version string
	Plans        map[string]*gate.Plan // every plan of the document by name; not changed afterwards
	Rule         *decision.Rule        // the version that asks for a subscription
}

// retryAfter is what callers are told to wait while the directory does not answer.
const retryAfter = 5 * time.Second

// New compiles the gate. When it passes, x.Principal.Subscription is the subscription and x.Principal.Plan its plan.
//
// A subscription may name a plan that the document no longer has: plans are configuration, subscriptions are data, and
// neither waits for the other. Such a request passes without plan limits, under a rule whose ID ends in "plan-unknown",
// because taking a plan out of a document must not cut callers off; audit reports the subscriptions.
func New(c Config) gate.Gate {
	g := &subscribed{api: c.API, version: c.Version, plans: c.Plans, rule: c.Rule}
	g.planUnknown = &decision.Rule{ID: "subscription#plan-unknown"}
	if c.Rule != nil {
		g.planUnknown = &decision.Rule{ID: c.Rule.ID + "#plan-unknown", Pointer: c.Rule.Pointer}
	}
	return g
}

type subscribed struct {
	api, version      string
	plans             map[string]*gate.Plan
	rule, planUnknown *decision.Rule
}

// Check implements gate.Gate.
func (g *subscribed) Check(_ context.Context, x *gate.Exchange) decision.Verdict {
	p := &x.Principal
	p.Plan = nil
	if p.Application.ID == "" {
		return decision.Abstain(decision.SubscriptionMissing, g.rule, append(g.facts(x),
			decision.Fact{Name: "principal", Want: "who calls: the application of a credential that authn accepts", Public: decision.ToAnyone})...)
	}
	if x.Env == nil || x.Env.Directory == nil {
		return g.unavailable(x, "the directory", "no directory is attached")
	}
	s := &p.Subscription
	known, err := x.Env.Directory.Subscription(p.Application.ID, g.api, g.version, s)
	if err != nil {
		return g.unavailable(x, "the directory", err.Error())
	}
	if !known {
		*s = directory.Subscription{}
		return decision.Refuse(decision.SubscriptionMissing, g.rule, g.facts(x)...)
	}
	switch s.State {
	case directory.Approved:
	case directory.Pending:
		return decision.Refuse(decision.SubscriptionPending, g.rule, g.facts(x)...)
	case directory.Rejected:
		return decision.Refuse(decision.SubscriptionRejected, g.rule, g.facts(x)...)
	case directory.SubscriptionSuspended:
		return decision.Refuse(decision.SubscriptionSuspended, g.rule, g.facts(x)...)
	case directory.Revoked:
		return decision.Refuse(decision.SubscriptionRevoked, g.rule, g.facts(x)...)
	default:
		// A state nobody defined is a damaged row: fail closed, and say that it is no denial.
		return g.unavailable(x, "the directory row of subscription '"+s.ID+"'", fmt.Sprintf("its state is %q", s.State))
	}
	if !s.Expires.IsZero() {
		if now := x.Env.Now(); !s.Expires.After(now) {
			return decision.Refuse(decision.SubscriptionExpired, g.rule, append(g.facts(x), decision.Fact{
				Name: "expires", Want: s.Expires.UTC().Format(time.RFC3339), Got: now.UTC().Format(time.RFC3339), Public: decision.ToProven})...)
		}
	}
	if s.Plan == "" {
		return decision.Pass(g.rule)
	}
	if p.Plan = g.plans[s.Plan]; p.Plan == nil {
		return decision.Pass(g.planUnknown)
	}
	return decision.Pass(g.rule)
}

// facts says which subscription was asked for, and which one there is. A comment on a rejection is for the owner.
func (g *subscribed) facts(x *gate.Exchange) []decision.Fact {
	facts := []decision.Fact{
		{Name: "application", Want: strings.Clone(x.Principal.Application.ID), Public: decision.ToProven},
		{Name: "api", Want: g.api, Public: decision.ToProven},
		{Name: "version", Want: g.version, Public: decision.ToProven},
	}
	s := &x.Principal.Subscription
	if s.ID == "" {
		return facts
	}
	return append(facts,
		decision.Fact{Name: "subscription", Want: strings.Clone(s.ID), Public: decision.ToOwner},
		decision.Fact{Name: "state", Want: string(directory.Approved), Got: strings.Clone(string(s.State)), Public: decision.ToProven},
		decision.Fact{Name: "comment", Got: strings.Clone(s.Comment), Public: decision.ToOwner})
}

func (g *subscribed) unavailable(x *gate.Exchange, what, fault string) decision.Verdict {
	x.RetryAfter = retryAfter
	return decision.Refuse(decision.SubscriptionUnavailable, g.rule, decision.Fact{Name: "dependency", Want: what, Got: fault})
}
