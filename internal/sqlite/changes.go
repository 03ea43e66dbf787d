package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"postern/internal/directory"
	"postern/internal/store"
)

// Statements that remember many deletions at once; a WHERE follows.
const (
	noteDeletedKeys          = `INSERT INTO changes (kind, id, deleted, key_hash) SELECT 'key', id, 1, key_hash FROM api_keys`
	noteDeletedSubscriptions = `INSERT INTO changes (kind, id, deleted) SELECT 'subscription', id, 1 FROM subscriptions`
	noteDeletedCredentials   = `INSERT INTO changes (kind, id, deleted) SELECT 'credential', id, 1 FROM credentials`
	noteDeletedApplications  = `INSERT INTO changes (kind, id, deleted) SELECT 'application', id, 1 FROM applications`
)

func (x *tx) note(ctx context.Context, kind, id string) error {
	x.changed = true
	_, err := x.exec(ctx, "remember a change", `INSERT INTO changes (kind, id, deleted) VALUES (?, ?, 0)`, kind, id)
	return err
}

func (x *tx) noteDeleted(ctx context.Context, kind, id string, hash []byte) error {
	x.changed = true
	_, err := x.exec(ctx, "remember a change", `INSERT INTO changes (kind, id, deleted, key_hash) VALUES (?, ?, 1, ?)`, kind, id, hash)
	return err
}

func (x *tx) noteAll(ctx context.Context, what, statement, id string) error {
	x.changed = true
	_, err := x.exec(ctx, what, statement, id)
	return err
}

func (x *tx) forgetChanges(ctx context.Context, keep int64) error {
	_, err := x.exec(ctx, "forget old changes", `DELETE FROM changes WHERE sequence <= (SELECT max(sequence) FROM changes) - ?`, keep)
	return err
}

type change struct {
	store.Change
	deleted bool
}

func scanChange(r row) (c change, err error) {
	err = r.Scan(&c.Sequence, &c.Kind, &c.ID, &c.deleted, digest{&c.KeyHash})
	return c, err
}

// Changes implements store.Store. It reads one state of the database: a row that was changed and is gone by now comes as
// deleted already at its change.
func (d *DB) Changes(ctx context.Context, since uint64, n int) (_ []store.Change, newest uint64, err error) {
	t, err := d.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, 0, explain(d.file, "changes", err)
	}
	defer t.Rollback()
	r := &reader{q: t, file: d.file, vault: d.vault}
	var oldest uint64
	// Two sub-queries, since SQLite answers min and max from the index only one at a time.
	err = t.QueryRowContext(ctx, `SELECT (SELECT coalesce(min(sequence), 0) FROM changes), (SELECT coalesce(max(sequence), 0) FROM changes)`).Scan(&oldest, &newest)
	switch {
	case err != nil:
		return nil, 0, r.fault("changes", err)
	case since > newest || since+1 < oldest:
		return nil, newest, fmt.Errorf("changes since %d, of which %d to %d are remembered: %w", since, oldest, newest, store.ErrHistory)
	}
	rows, err := list(ctx, r, "changes", scanChange,
		`SELECT sequence, kind, id, deleted, key_hash FROM changes WHERE sequence > ? ORDER BY sequence LIMIT ?`, signed(since), limit(n, 1000))
	if err != nil || len(rows) == 0 {
		return nil, newest, err
	}
	out, err := r.present(ctx, rows)
	return out, newest, err
}

// present adds to changes the rows as they are now: one query a kind, however many changes there are.
func (r *reader) present(ctx context.Context, rows []change) ([]store.Change, error) {
	first, last := rows[0].Sequence, rows[len(rows)-1].Sequence
	some := map[string]bool{}
	for i := range rows {
		some[rows[i].Kind] = some[rows[i].Kind] || !rows[i].deleted
	}
	tenants, err := changed(ctx, r, some, "tenant", "tenants", tenantColumns, scanTenant, func(t *directory.Tenant) string { return t.ID }, first, last)
	if err != nil {
		return nil, err
	}
	apps, err := changed(ctx, r, some, "application", "applications", applicationColumns, scanApplication, func(a *directory.Application) string { return a.ID }, first, last)
	if err != nil {
		return nil, err
	}
	keys, err := changed(ctx, r, some, "key", "api_keys", keyColumns, scanKey, func(k *directory.Key) string { return k.ID }, first, last)
	if err != nil {
		return nil, err
	}
	credentials, err := changed(ctx, r, some, "credential", "credentials", credentialColumns, r.scanCredential, func(c *directory.Credential) string { return c.ID }, first, last)
	if err != nil {
		return nil, err
	}
	subs, err := changed(ctx, r, some, "subscription", "subscriptions", subscriptionColumns, scanSubscription, func(s *directory.Subscription) string { return s.ID }, first, last)
	if err != nil {
		return nil, err
	}
	out := make([]store.Change, len(rows))
	for i := range rows {
		c := &out[i]
		*c = rows[i].Change
		if rows[i].deleted {
			continue
		}
		switch c.Kind {
		case "tenant":
			c.Tenant = tenants[c.ID]
		case "application":
			c.Application = apps[c.ID]
		case "key":
			c.Key = keys[c.ID]
		case "credential":
			c.Credential = credentials[c.ID]
		case "subscription":
			c.Subscription = subs[c.ID]
		}
	}
	return out, nil
}

func changed[T any](ctx context.Context, r *reader, some map[string]bool, kind, table, columns string, scan func(row) (T, error), id func(*T) string, first, last uint64) (map[string]*T, error) {
	if !some[kind] {
		return nil, nil
	}
	m := map[string]*T{}
	err := each(ctx, r, "changed rows", scan, func(v T) error { m[id(&v)] = &v; return nil },
		`SELECT `+columns+` FROM `+table+` WHERE id IN (SELECT id FROM changes WHERE sequence BETWEEN ? AND ? AND kind = ? AND deleted = 0)`,
		signed(first), signed(last), kind)
	return m, err
}
