package sqlite

import (
	"context"

	"postern/internal/directory"
	"postern/internal/store"
)

const subscriptionColumns = `id, application, api, version, plan, state, comment, created, expires`

func scanSubscription(r row) (s directory.Subscription, err error) {
	err = r.Scan(&s.ID, &s.Application, &s.API, &s.Version, &s.Plan, &s.State, &s.Comment, instant{&s.Created}, instant{&s.Expires})
	return s, err
}

// Subscription implements store.Reader.
func (r *reader) Subscription(ctx context.Context, id string) (directory.Subscription, error) {
	return one(ctx, r, named("subscription", id), scanSubscription, `SELECT `+subscriptionColumns+` FROM subscriptions WHERE id = ?`, id)
}

// Subscriptions implements store.Reader.
func (r *reader) Subscriptions(ctx context.Context, application string, p store.Page) ([]directory.Subscription, error) {
	if application == "" {
		return list(ctx, r, "subscriptions", scanSubscription,
			`SELECT `+subscriptionColumns+` FROM subscriptions WHERE id > ? ORDER BY id LIMIT ?`, p.After, pageLimit(p))
	}
	return list(ctx, r, named("subscriptions of application", application), scanSubscription,
		`SELECT `+subscriptionColumns+` FROM subscriptions WHERE application = ? AND id > ? ORDER BY id LIMIT ?`, application, p.After, pageLimit(p))
}

// EachSubscription implements store.Store.
func (d *DB) EachSubscription(ctx context.Context, fn func(directory.Subscription) error) error {
	return each(ctx, &d.reader, "subscriptions", scanSubscription, fn, `SELECT `+subscriptionColumns+` FROM subscriptions`)
}

// PutSubscription implements store.Tx.
func (x *tx) PutSubscription(ctx context.Context, s directory.Subscription) error {
	err := x.put(ctx, named("put subscription", s.ID), s.ID,
		`INSERT INTO subscriptions (id, application, api, version, plan, state, comment, created, expires) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET application = excluded.application, api = excluded.api, version = excluded.version,
			plan = excluded.plan, state = excluded.state, comment = excluded.comment, created = excluded.created, expires = excluded.expires`,
		s.ID, s.Application, s.API, s.Version, s.Plan, string(s.State), s.Comment, millis(s.Created), millis(s.Expires))
	if err != nil {
		return err
	}
	return x.note(ctx, "subscription", s.ID)
}

// DeleteSubscription implements store.Tx.
func (x *tx) DeleteSubscription(ctx context.Context, id string) error {
	if err := x.remove(ctx, named("delete subscription", id), id, `DELETE FROM subscriptions WHERE id = ?`); err != nil {
		return err
	}
	return x.noteDeleted(ctx, "subscription", id, nil)
}
