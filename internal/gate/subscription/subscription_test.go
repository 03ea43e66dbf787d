package subscription_test

import (
	"testing"
	"time"

	"postern/internal/decision"
	"postern/internal/directory"
	"postern/internal/gate"
	"postern/internal/gate/subscription"
	"postern/internal/gatetest"
)

var (
	rule = &decision.Rule{ID: "orders/v1#subscription", Pointer: "/apis/0/versions/0"}
	gold = &gate.Plan{Name: "gold"}
)

func newGate() gate.Gate {
	return subscription.New(subscription.Config{API: "orders", Version: "v1", Plans: map[string]*gate.Plan{"gold": gold}, Rule: rule})
}

// subscribed makes shop-web the caller, with a subscription in this state.
func subscribed(s directory.Subscription) func(*gate.Exchange) {
	return func(x *gate.Exchange) {
		gatetest.Proven(x)
		row := s
		row.ID = "s_1"
		gatetest.DirectoryOf(x).Subscribe("orders", "v1", row)
	}
}

func in(state directory.SubscriptionState) func(*gate.Exchange) {
	return subscribed(directory.Subscription{State: state, Plan: "gold", Comment: "not before May"})
}

func says(sentence string) func(*testing.T, *gate.Exchange, decision.Verdict) {
	return func(t *testing.T, x *gate.Exchange, v decision.Verdict) {
		t.Helper()
		if got := v.Render(x.Asker()).Detail; got != sentence {
			t.Errorf("the caller is told %q, want %q", got, sentence)
		}
		if x.Principal.Plan != nil {
			t.Error("refused, and yet a plan is set")
		}
	}
}

func TestSubscription(t *testing.T) {
	ended := gatetest.Now.Add(-time.Hour)
	gatetest.Run(t, gatetest.Suite{
		Name: "subscription",
		New:  newGate,
		Pass: in(directory.Approved),
		Refusals: []gatetest.Case{
			{Name: "missing", Setup: gatetest.Proven, Reason: decision.SubscriptionMissing,
				Check: says("Application 'shop-web' has no subscription to orders v1.")},
			{Name: "to another version", Reason: decision.SubscriptionMissing, Setup: func(x *gate.Exchange) {
				gatetest.Proven(x)
				gatetest.DirectoryOf(x).Subscribe("orders", "v2", directory.Subscription{State: directory.Approved})
			}, Check: says("Application 'shop-web' has no subscription to orders v1.")},
			{Name: "pending", Setup: in(directory.Pending), Reason: decision.SubscriptionPending,
				Check: says("Application 'shop-web' awaits approval of its subscription to orders v1.")},
			{Name: "rejected", Setup: in(directory.Rejected), Reason: decision.SubscriptionRejected,
				Check: says("Application 'shop-web' was refused a subscription to orders v1.")},
			{Name: "suspended", Setup: in(directory.SubscriptionSuspended), Reason: decision.SubscriptionSuspended,
				Check: says("Application 'shop-web' has a suspended subscription to orders v1.")},
			{Name: "revoked", Setup: in(directory.Revoked), Reason: decision.SubscriptionRevoked,
				Check: says("Application 'shop-web' had its subscription revoked for orders v1.")},
			{Name: "expired", Setup: subscribed(directory.Subscription{State: directory.Approved, Plan: "gold", Expires: ended}), Reason: decision.SubscriptionExpired,
				Check: says("Application 'shop-web' has an expired subscription to orders v1.")},
			{Name: "expires this moment", Setup: subscribed(directory.Subscription{State: directory.Approved, Expires: gatetest.Now}), Reason: decision.SubscriptionExpired},
			{Name: "revoked and past its end", Setup: subscribed(directory.Subscription{State: directory.Revoked, Expires: ended}), Reason: decision.SubscriptionRevoked},
		},
		Unknown: []gatetest.Case{
			{Name: "nobody is proven", Setup: func(*gate.Exchange) {}, Reason: decision.SubscriptionMissing, Check: func(t *testing.T, x *gate.Exchange, v decision.Verdict) {
				if f := v.Facts()[len(v.Facts())-1]; f.Name != "principal" {
					t.Errorf("the missing input is named %q", f.Name)
				}
			}},
		},
		Outages: []gatetest.Case{
			{Name: "directory", Setup: func(x *gate.Exchange) { in(directory.Approved)(x); gatetest.Outage(x) }, Reason: decision.SubscriptionUnavailable},
			{Name: "no directory", Setup: func(x *gate.Exchange) { gatetest.Proven(x); x.Env.Directory = nil }, Reason: decision.SubscriptionUnavailable},
			{Name: "damaged state", Setup: in("aproved"), Reason: decision.SubscriptionUnavailable},
			{Name: "no state", Setup: in(""), Reason: decision.SubscriptionUnavailable},
		},
	})
}

func TestThePlanOfTheSubscriptionIsFound(t *testing.T) {
	for _, c := range []struct {
		plan string
		want *gate.Plan
		rule string
	}{
		{"gold", gold, "orders/v1#subscription"},
		{"", nil, "orders/v1#subscription"},
		{"no longer configured", nil, "orders/v1#subscription#plan-unknown"},
	} {
		x := gatetest.Exchange(subscribed(directory.Subscription{State: directory.Approved, Plan: c.plan, Expires: gatetest.Now.Add(1)}))
		x.Principal.Plan = &gate.Plan{Name: "of an earlier run"}
		v := newGate().Check(t.Context(), x)
		if v.Outcome() != decision.OutcomePass || x.Principal.Plan != c.want || v.Rule().ID != c.rule {
			t.Errorf("plan %q: %v, plan %v, rule %s", c.plan, v.Outcome(), x.Principal.Plan, v.Rule().ID)
		}
		if x.Principal.Subscription.ID != "s_1" {
			t.Errorf("plan %q: subscription %+v", c.plan, x.Principal.Subscription)
		}
	}
}

func TestTheOwnerReadsTheCommentAndTheCallerDoesNot(t *testing.T) {
	x := gatetest.Exchange(in(directory.Rejected))
	v := newGate().Check(t.Context(), x)
	for _, f := range v.Facts() {
		if f.Name == "comment" && (!f.Public.VisibleTo(decision.ToOwner) || f.Public.VisibleTo(decision.ToProven)) {
			t.Errorf("the comment is told to %s", f.Public)
		}
	}
}
