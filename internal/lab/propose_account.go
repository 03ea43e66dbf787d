package lab

import (
	"time"

	"postern/internal/decision"
	"postern/internal/directory"
)

// accountProposals are candidates for the gate account.
var accountProposals = map[string]proposal{
	decision.TenantSuspended.Code: {find: func(q *question) []Change {
		id := q.principal().Tenant.ID
		return []Change{{
			Kind: "resume_tenant", Who: byOperator, Target: "tenant " + id, From: "suspended", To: "active", Risk: RiskSeveral,
			Text: "Resume the tenant " + id + ": all its applications may call again.",
			apply: func(w *world) error {
				return w.people.editTenant(id, func(t *directory.Tenant) { t.Standing = directory.Active })
			},
		}}
	}},
	decision.ApplicationSuspended.Code: {find: func(q *question) []Change {
		id := q.principal().Application.ID
		return []Change{{
			Kind: "resume_application", Who: byOperator, Target: "application " + id, From: "suspended", To: "active", Risk: RiskOne,
			Text: "Resume the application " + id + ".",
			apply: func(w *world) error {
				return w.people.editApplication(id, func(a *directory.Application) { a.Standing = directory.Active })
			},
		}}
	}},
}

// subscriptionProposals are candidates for the gate subscription.
var subscriptionProposals = map[string]proposal{
	decision.SubscriptionMissing.Code: {find: func(q *question) []Change { return q.newSubscription("Subscribe") }},
	decision.SubscriptionRevoked.Code: {find: func(q *question) []Change {
		return q.newSubscription("The subscription " + q.principal().Subscription.ID + " was revoked for good. Delete it and subscribe")
	}},
	decision.SubscriptionPending.Code:   {find: func(q *question) []Change { return q.subscriptionState("approve_subscription", "Approve") }},
	decision.SubscriptionRejected.Code:  {find: func(q *question) []Change { return q.subscriptionState("approve_subscription", "Approve") }},
	decision.SubscriptionSuspended.Code: {find: func(q *question) []Change { return q.subscriptionState("resume_subscription", "Resume") }},
	decision.SubscriptionExpired.Code: {find: func(q *question) []Change {
		s := q.principal().Subscription
		c := q.subscriptionChange("extend_subscription", "Let the subscription "+s.ID+" end later than "+s.Expires.UTC().Format(time.RFC3339)+", or never.",
			func(s *directory.Subscription) { s.Expires = time.Time{} })
		c.From, c.To = s.Expires.UTC().Format(time.RFC3339), "a later end"
		return []Change{c}
	}},
	decision.SubscriptionUnavailable.Code: {whyNot: "what the directory would answer is not known while it does not answer"},
}

// newSubscription proposes one where there is none that could be changed.
func (q *question) newSubscription(text string) []Change {
	app, api, version := q.want("application"), q.want("api"), q.want("version")
	old := q.principal().Subscription.Version
	return []Change{{
		Kind: "create_subscription", Who: byOperator, Target: "application " + app, To: api + " " + version, Risk: RiskOne,
		Text: text + " the application " + app + " to " + api + " " + version + ", and approve it.",
		apply: func(w *world) error {
			s := directory.Subscription{ID: "s_new", Application: app, API: api, Version: version, State: directory.Approved}
			if old == "*" {
				s.Version = old // the revoked one is deleted, and a new one takes its place
			}
			w.people.putSubscription(s)
			return nil
		},
	}}
}

func (q *question) subscriptionState(kind, verb string) []Change {
	s := q.principal().Subscription
	c := q.subscriptionChange(kind, verb+" the subscription "+s.ID+" of "+s.Application+" to "+s.API+" "+s.Version+".",
		func(s *directory.Subscription) { s.State = directory.Approved })
	c.From, c.To = string(s.State), string(directory.Approved)
	return []Change{c}
}

func (q *question) subscriptionChange(kind, text string, fn func(*directory.Subscription)) Change {
	row := q.principal().Subscription
	return Change{
		Kind: kind, Who: byOperator, Target: "subscription " + row.ID, Risk: RiskOne, Text: text,
		apply: func(w *world) error {
			var now directory.Subscription
			if ok, err := w.people.Subscription(row.Application, row.API, row.Version, &now); err != nil || !ok {
				return errGone
			}
			fn(&now)
			w.people.putSubscription(now)
			return nil
		},
	}
}
