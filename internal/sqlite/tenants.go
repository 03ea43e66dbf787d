package sqlite

import (
	"context"
	"fmt"

	"postern/internal/directory"
	"postern/internal/store"
)

const tenantColumns = `id, name, standing, created`

func scanTenant(r row) (t directory.Tenant, err error) {
	err = r.Scan(&t.ID, &t.Name, &t.Standing, instant{&t.Created})
	return t, err
}

// Tenant implements store.Reader.
func (r *reader) Tenant(ctx context.Context, id string) (directory.Tenant, error) {
	return one(ctx, r, named("tenant", id), scanTenant, `SELECT `+tenantColumns+` FROM tenants WHERE id = ?`, id)
}

// Tenants implements store.Reader.
func (r *reader) Tenants(ctx context.Context, p store.Page) ([]directory.Tenant, error) {
	return list(ctx, r, "tenants", scanTenant,
		`SELECT `+tenantColumns+` FROM tenants WHERE id > ? ORDER BY id LIMIT ?`, p.After, pageLimit(p))
}

// EachTenant implements store.Store.
func (d *DB) EachTenant(ctx context.Context, fn func(directory.Tenant) error) error {
	return each(ctx, &d.reader, "tenants", scanTenant, fn, `SELECT `+tenantColumns+` FROM tenants`)
}

// PutTenant implements store.Tx.
func (x *tx) PutTenant(ctx context.Context, t directory.Tenant) error {
	err := x.put(ctx, named("put tenant", t.ID), t.ID,
		`INSERT INTO tenants (id, name, standing, created) VALUES (?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET name = excluded.name, standing = excluded.standing, created = excluded.created`,
		t.ID, t.Name, string(t.Standing), millis(t.Created))
	if err != nil {
		return err
	}
	return x.note(ctx, "tenant", t.ID)
}

// DeleteTenant implements store.Tx. With the tenant go its applications with all they own, and its users with their tokens;
// ErrReference says that one of these users owns an application of another tenant.
func (x *tx) DeleteTenant(ctx context.Context, id string) error {
	const apps = `(SELECT id FROM applications WHERE tenant = ?)`
	what := named("delete tenant", id)
	for _, s := range []string{
		noteDeletedKeys + ` WHERE application IN ` + apps,
		noteDeletedCredentials + ` WHERE application IN ` + apps,
		noteDeletedSubscriptions + ` WHERE application IN ` + apps,
		noteDeletedApplications + ` WHERE tenant = ?`,
	} {
		if err := x.noteAll(ctx, what, s, id); err != nil {
			return err
		}
	}
	err := x.remove(ctx, what, id,
		`DELETE FROM api_keys WHERE application IN `+apps,
		`DELETE FROM credentials WHERE application IN `+apps,
		`DELETE FROM subscriptions WHERE application IN `+apps,
		`DELETE FROM applications WHERE tenant = ?`,
		`DELETE FROM tokens WHERE user_id IN (SELECT id FROM users WHERE tenant = ?)`,
		`DELETE FROM users WHERE tenant = ?`,
		`DELETE FROM tenants WHERE id = ?`)
	if err != nil {
		return err
	}
	return x.noteDeleted(ctx, "tenant", id, nil)
}

// named says which row an error is about. Ids are public; secrets never are part of one.
func named(what, id string) string { return fmt.Sprintf("%s %q", what, id) }
