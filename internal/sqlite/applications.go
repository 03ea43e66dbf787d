package sqlite

import (
	"context"

	"postern/internal/directory"
	"postern/internal/store"
)

const applicationColumns = `id, tenant, name, owner, standing, roles, created`

func scanApplication(r row) (a directory.Application, err error) {
	err = r.Scan(&a.ID, &a.Tenant, &a.Name, text{&a.Owner}, &a.Standing, names{&a.Roles}, instant{&a.Created})
	return a, err
}

// Application implements store.Reader.
func (r *reader) Application(ctx context.Context, id string) (directory.Application, error) {
	return one(ctx, r, named("application", id), scanApplication, `SELECT `+applicationColumns+` FROM applications WHERE id = ?`, id)
}

// Applications implements store.Reader.
func (r *reader) Applications(ctx context.Context, tenant string, p store.Page) ([]directory.Application, error) {
	if tenant == "" {
		return list(ctx, r, "applications", scanApplication,
			`SELECT `+applicationColumns+` FROM applications WHERE id > ? ORDER BY id LIMIT ?`, p.After, pageLimit(p))
	}
	return list(ctx, r, named("applications of tenant", tenant), scanApplication,
		`SELECT `+applicationColumns+` FROM applications WHERE tenant = ? AND id > ? ORDER BY id LIMIT ?`, tenant, p.After, pageLimit(p))
}

// EachApplication implements store.Store.
func (d *DB) EachApplication(ctx context.Context, fn func(directory.Application) error) error {
	return each(ctx, &d.reader, "applications", scanApplication, fn, `SELECT `+applicationColumns+` FROM applications`)
}

// PutApplication implements store.Tx. ErrReference says that the tenant, or the owner, does not exist.
func (x *tx) PutApplication(ctx context.Context, a directory.Application) error {
	err := x.put(ctx, named("put application", a.ID), a.ID,
		`INSERT INTO applications (id, tenant, name, owner, standing, roles, created) VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET tenant = excluded.tenant, name = excluded.name, owner = excluded.owner,
			standing = excluded.standing, roles = excluded.roles, created = excluded.created`,
		a.ID, a.Tenant, a.Name, orNull(a.Owner), string(a.Standing), jsonNames(a.Roles), millis(a.Created))
	if err != nil {
		return err
	}
	return x.note(ctx, "application", a.ID)
}

// DeleteApplication implements store.Tx. Its keys, credentials and subscriptions go with it.
func (x *tx) DeleteApplication(ctx context.Context, id string) error {
	what := named("delete application", id)
	for _, s := range []string{noteDeletedKeys + ` WHERE application = ?`, noteDeletedCredentials + ` WHERE application = ?`, noteDeletedSubscriptions + ` WHERE application = ?`} {
		if err := x.noteAll(ctx, what, s, id); err != nil {
			return err
		}
	}
	err := x.remove(ctx, what, id,
		`DELETE FROM api_keys WHERE application = ?`,
		`DELETE FROM credentials WHERE application = ?`,
		`DELETE FROM subscriptions WHERE application = ?`,
		`DELETE FROM applications WHERE id = ?`)
	if err != nil {
		return err
	}
	return x.noteDeleted(ctx, "application", id, nil)
}
