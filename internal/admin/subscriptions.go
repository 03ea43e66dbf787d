package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"postern/internal/directory"
	"postern/internal/policy"
	"postern/internal/store"
)

// SubscriptionRequest asks for a subscription.
type SubscriptionRequest struct {
	Application string    `json:"application" minLength:"1" maxLength:"63"`
	API         string    `json:"api" minLength:"1" maxLength:"63" doc:"Name of an API in the configuration."`
	Version     string    `json:"version" minLength:"1" maxLength:"63" doc:"A version of the API, or * for all."`
	Plan        string    `json:"plan,omitempty" maxLength:"63" doc:"Name of a plan in the configuration."`
	Comment     string    `json:"comment,omitempty" maxLength:"1000"`
	Approve     bool      `json:"approve,omitempty" doc:"Approve it at once. It takes a caller who may approve it."`
	Expires     time.Time `json:"expires,omitzero" required:"false" doc:"When it ends. Missing: never."`
}

// SubscriptionPatch changes a subscription. What is left out stays; its state is changed by approve, reject, suspend, resume and revoke.
type SubscriptionPatch struct {
	Plan    *string             `json:"plan,omitempty" maxLength:"63"`
	Expires settable[time.Time] `json:"expires,omitzero" required:"false" doc:"null: never."`
}

// StateRequest says why a subscription's state is changed.
type StateRequest struct {
	Comment string `json:"comment,omitempty" maxLength:"1000" doc:"Shown to the owner of the application."`
}

type subscriptionsInput struct {
	PageInput
	Application string `query:"application" maxLength:"63"`
	API         string `query:"api" maxLength:"63"`
	State       string `query:"state" enum:"pending,approved,rejected,suspended,revoked"`
}

type subscriptionInput struct {
	IdempotencyInput
	Body SubscriptionRequest
}

type subscriptionPatchInput struct {
	ByIDMatch
	Body SubscriptionPatch
}

type stateInput struct {
	ByIDMatch
	IdempotencyInput
	Body *StateRequest
}

// transition is one step of a subscription's life.
type transition struct {
	verb, summary string
	from          []directory.SubscriptionState
	to            directory.SubscriptionState
	byOwner       bool // the application's tenant may do it too, not only the publisher of the API
}

// transitions is the whole life of a subscription. Revoked is the end: ask for a new one.
var transitions = []transition{
	{"approve", "Approve a subscription", []directory.SubscriptionState{directory.Pending, directory.Rejected}, directory.Approved, false},
	{"reject", "Reject a subscription", []directory.SubscriptionState{directory.Pending}, directory.Rejected, false},
	{"suspend", "Suspend a subscription", []directory.SubscriptionState{directory.Approved}, directory.SubscriptionSuspended, false},
	{"resume", "Resume a suspended subscription", []directory.SubscriptionState{directory.SubscriptionSuspended}, directory.Approved, false},
	{"revoke", "Revoke a subscription for good", []directory.SubscriptionState{directory.Pending, directory.Approved, directory.Rejected, directory.SubscriptionSuspended}, directory.Revoked, true},
}

func (s *Server) registerSubscriptions() {
	const tag = "directory"
	register(s, route{id: "list-subscriptions", method: "GET", path: "/subscriptions", tag: tag, summary: "List subscriptions",
		about: "Users of a tenant see those of its applications and those to its APIs."}, s.listSubscriptions)
	register(s, route{id: "create-subscription", method: "POST", path: "/subscriptions", tag: tag, summary: "Ask for a subscription", status: 201,
		about: "It is pending until the publisher of the API approves it."}, s.createSubscription)
	register(s, route{id: "get-subscription", method: "GET", path: "/subscriptions/{id}", tag: tag, summary: "Get a subscription"},
		func(ctx context.Context, c *caller, in *ByID) (*row[directory.Subscription], error) {
			sub, _, err := s.subscription(ctx, s.Store, c, in.ID)
			if err != nil {
				return nil, err
			}
			return oneRow(sub), nil
		})
	register(s, route{id: "update-subscription", method: "PATCH", path: "/subscriptions/{id}", tag: tag, summary: "Change a subscription's plan or end"}, s.updateSubscription)
	register(s, route{id: "delete-subscription", method: "DELETE", path: "/subscriptions/{id}", tag: tag, summary: "Delete a subscription",
		about: "Revoking keeps the row, so that callers are told why they are refused."}, s.deleteSubscription)
	for _, t := range transitions {
		register(s, route{id: t.verb + "-subscription", method: "POST", path: "/subscriptions/{id}/" + t.verb, tag: tag, summary: t.summary, status: 200},
			func(ctx context.Context, c *caller, in *stateInput) (*changed[directory.Subscription], error) {
				return s.moveSubscription(ctx, c, in, t)
			})
	}
}

// publisher is the tenant that publishes an API; "" when the platform does, or the API is gone.
func publisher(doc *policy.Document, api string) string {
	if doc != nil {
		for i := range doc.APIs {
			if doc.APIs[i].Name == api {
				return doc.APIs[i].Tenant
			}
		}
	}
	return ""
}

// judges reports whether the caller decides over subscriptions to an API: users of the platform and of its publisher.
func (s *Server) judges(c *caller, api string) bool {
	doc, _, _ := s.Config.Current()
	return !c.confined() || c.user.Tenant == publisher(doc, api)
}

// subscription reads a subscription that the caller may see, and the tenant of its application.
func (s *Server) subscription(ctx context.Context, r store.Reader, c *caller, id string) (directory.Subscription, string, error) {
	sub, err := r.Subscription(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return sub, "", notFound("subscription", id)
	}
	if err != nil {
		return sub, "", err
	}
	a, err := r.Application(ctx, sub.Application)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return sub, "", err
	}
	if !c.sees(a.Tenant) && !s.judges(c, sub.API) {
		return directory.Subscription{}, "", notFound("subscription", id)
	}
	return sub, a.Tenant, nil
}

func (s *Server) listSubscriptions(ctx context.Context, c *caller, in *subscriptionsInput) (*listed[directory.Subscription], error) {
	visible := s.visibleApplications(ctx, c)
	var keep func(directory.Subscription) (bool, error)
	if c.confined() || in.API != "" || in.State != "" {
		keep = func(sub directory.Subscription) (bool, error) {
			if in.API != "" && sub.API != in.API || in.State != "" && string(sub.State) != in.State {
				return false, nil
			}
			if s.judges(c, sub.API) {
				return true, nil
			}
			return visible(sub.Application)
		}
	}
	return collect(ctx, "subscriptions", in.PageInput, func(ctx context.Context, p store.Page) ([]directory.Subscription, error) {
		return s.Store.Subscriptions(ctx, in.Application, p)
	}, func(sub directory.Subscription) string { return sub.ID }, keep)
}

func (s *Server) createSubscription(ctx context.Context, c *caller, in *subscriptionInput) (*created[directory.Subscription], error) {
	b, now := in.Body, s.stamp()
	if err := s.knownAPI(b.API, b.Version); err != nil {
		return nil, err
	}
	if err := s.knownPlan(b.Plan); err != nil {
		return nil, err
	}
	if err := checkExpires(b.Expires, now); err != nil {
		return nil, err
	}
	state := directory.Pending
	if b.Approve {
		if !s.judges(c, b.API) {
			return nil, problem(403, "not_publisher", fmt.Sprintf("Your tenant does not publish the API %q, so it cannot approve subscriptions to it.", b.API),
				"Leave approve out: the publisher then decides.")
		}
		state = directory.Approved
	}
	a, err := s.application(ctx, s.Store, c, b.Application)
	if err != nil {
		return nil, asReference(err, "/application", fmt.Sprintf("There is no application %q.", b.Application), "Create it first, or correct the id.")
	}
	sub := directory.Subscription{ID: newID("s"), Application: a.ID, API: b.API, Version: b.Version, Plan: b.Plan, State: state, Comment: b.Comment,
		Created: now, Expires: optionalStamp(b.Expires)}
	e := s.entry(c, "subscription.create", "subscription/"+sub.ID, a.Tenant, b)
	out, err := createOnce(ctx, s, c, in.Key, b, e, sub, nil, func(tx store.Tx) error {
		if _, err := s.application(ctx, tx, c, a.ID); err != nil {
			return err
		}
		err := tx.PutSubscription(ctx, sub)
		if errors.Is(err, store.ErrConflict) {
			return problem(409, "exists", fmt.Sprintf("Application %q has a subscription to %s %s already.", b.Application, b.API, b.Version),
				"GET /api/v1/subscriptions?application="+b.Application+" shows it. A revoked one has to be deleted before another is made.")
		}
		return err
	})
	return located(out, err, "/api/v1/subscriptions/", func(sub directory.Subscription) string { return sub.ID })
}

func (s *Server) updateSubscription(ctx context.Context, c *caller, in *subscriptionPatchInput) (*row[directory.Subscription], error) {
	b := in.Body
	if b.Plan != nil {
		if err := s.knownPlan(*b.Plan); err != nil {
			return nil, err
		}
	}
	if err := checkExpires(b.Expires.Value, s.stamp()); err != nil {
		return nil, err
	}
	detail := map[string]any{}
	if b.Plan != nil {
		detail["plan"] = *b.Plan
	}
	if b.Expires.Sent {
		detail["expires"] = optionalStamp(b.Expires.Value)
	}
	out, err := s.changeSubscription(ctx, c, &in.ByIDMatch, "", "subscription.update", detail, false, func(sub *directory.Subscription) error {
		if b.Plan != nil {
			sub.Plan = *b.Plan
		}
		if b.Expires.Sent {
			sub.Expires = optionalStamp(b.Expires.Value)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return oneRow(out.Body), nil
}

func (s *Server) moveSubscription(ctx context.Context, c *caller, in *stateInput, t transition) (*changed[directory.Subscription], error) {
	var why StateRequest
	if in.Body != nil {
		why = *in.Body
	}
	return s.changeSubscription(ctx, c, &in.ByIDMatch, in.Key, "subscription."+t.verb, why, t.byOwner, func(sub *directory.Subscription) error {
		if !slices.Contains(t.from, sub.State) {
			return problem(409, "state", fmt.Sprintf("The subscription is %s, and only one that is %s can be changed to %s.", sub.State, states(t.from), t.to),
				"Read its state with GET /api/v1/subscriptions/"+sub.ID+".")
		}
		sub.State = t.to
		sub.Comment = why.Comment
		return nil
	})
}

func states(l []directory.SubscriptionState) string {
	out := string(l[0])
	for _, st := range l[1:] {
		out += " or " + string(st)
	}
	return out
}

// changed is a changed row; for an Idempotency-Key that came before, the row as it was then.
type changed[T any] struct {
	ETag     string `header:"ETag"`
	Replayed string `header:"Idempotency-Replayed"`
	Body     T
}

// changeSubscription changes one row. The publisher of the API may; the application's own tenant only where byOwner says so.
func (s *Server) changeSubscription(ctx context.Context, c *caller, in *ByIDMatch, key, action string, detail any, byOwner bool, change func(*directory.Subscription) error) (*changed[directory.Subscription], error) {
	sub, tenant, err := s.subscription(ctx, s.Store, c, in.ID)
	if err != nil {
		return nil, err
	}
	if !byOwner && !s.judges(c, sub.API) {
		return nil, problem(403, "not_publisher", fmt.Sprintf("Your tenant does not publish the API %q, so it does not decide over this subscription.", sub.API),
			"Ask the publisher of the API.")
	}
	e := s.entry(c, action, "subscription/"+sub.ID, tenant, detail)
	sub, replayed, err := once(ctx, s, c, key, detail, e, nil, func(tx store.Tx) (directory.Subscription, error) {
		sub, _, err := s.subscription(ctx, tx, c, in.ID)
		if err != nil {
			return sub, err
		}
		if err := checkMatch(in.IfMatch, rowTag(sub)); err != nil {
			return sub, err
		}
		if err := change(&sub); err != nil {
			return sub, err
		}
		return sub, tx.PutSubscription(ctx, sub)
	})
	if err != nil {
		return nil, err
	}
	return &changed[directory.Subscription]{ETag: rowTag(sub), Replayed: replayed, Body: sub}, nil
}

func (s *Server) deleteSubscription(ctx context.Context, c *caller, in *ByIDMatch) (*struct{}, error) {
	sub, tenant, err := s.subscription(ctx, s.Store, c, in.ID)
	if err != nil {
		return nil, err
	}
	// Deleting a rejected or suspended subscription and asking anew would wash the decision away.
	if !s.judges(c, sub.API) && sub.State != directory.Pending {
		return nil, problem(403, "not_publisher", "Only the publisher of the API deletes a subscription it has decided over.", "Revoke it instead.")
	}
	return nil, s.update(ctx, s.entry(c, "subscription.delete", "subscription/"+sub.ID, tenant, nil), func(tx store.Tx) error {
		sub, _, err := s.subscription(ctx, tx, c, in.ID)
		if err != nil {
			return err
		}
		if err := checkMatch(in.IfMatch, rowTag(sub)); err != nil {
			return err
		}
		return tx.DeleteSubscription(ctx, sub.ID)
	})
}

// knownAPI refuses an API or version that the running configuration does not have.
func (s *Server) knownAPI(api, version string) error {
	doc, _, generation := s.Config.Current()
	var names []string
	if doc != nil {
		for i := range doc.APIs {
			a := &doc.APIs[i]
			names = append(names, a.Name)
			if a.Name != api {
				continue
			}
			if version == "*" || slices.ContainsFunc(a.Versions, func(v policy.Version) bool { return v.Version == version }) {
				return nil
			}
			var versions []string
			for _, v := range a.Versions {
				versions = append(versions, v.Version)
			}
			return invalid("/version", fmt.Sprintf("The API %q has no version %q.", api, version), "Use one of: "+listOr(versions, "none yet")+", or * for all.")
		}
	}
	return invalid("/api", fmt.Sprintf("The configuration (generation %d) has no API %q.", generation, api), "Use one of: "+listOr(names[:min(20, len(names))], "none yet")+".")
}

func (s *Server) knownPlan(plan string) error {
	doc, _, generation := s.Config.Current()
	if plan == "" || doc != nil && hasPlan(doc, plan) {
		return nil
	}
	return invalid("/plan", fmt.Sprintf("The configuration (generation %d) has no plan %q.", generation, plan), "Add the plan to the configuration, or leave plan out.")
}

func hasPlan(doc *policy.Document, plan string) bool { _, ok := doc.Plans[plan]; return ok }
