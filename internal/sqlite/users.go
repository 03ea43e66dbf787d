package sqlite

import (
	"context"
	"fmt"
	"strings"

	"postern/internal/directory"
	"postern/internal/store"
)

const userColumns = `id, tenant, email, name, roles, standing, created`

func scanUser(r row) (u directory.User, err error) {
	err = r.Scan(&u.ID, text{&u.Tenant}, &u.Email, &u.Name, names{&u.Roles}, &u.Standing, instant{&u.Created})
	return u, err
}

// User implements store.Reader.
func (r *reader) User(ctx context.Context, id string) (directory.User, error) {
	return one(ctx, r, named("user", id), scanUser, `SELECT `+userColumns+` FROM users WHERE id = ?`, id)
}

// UserByEmail implements store.Reader. Addresses that differ only in case are one address.
func (r *reader) UserByEmail(ctx context.Context, email string) (directory.User, error) {
	return one(ctx, r, named("user with email", email), scanUser, `SELECT `+userColumns+` FROM users WHERE email_fold = ?`, strings.ToLower(email))
}

// Users implements store.Reader.
func (r *reader) Users(ctx context.Context, p store.Page) ([]directory.User, error) {
	return list(ctx, r, "users", scanUser,
		`SELECT `+userColumns+` FROM users WHERE id > ? ORDER BY id LIMIT ?`, p.After, pageLimit(p))
}

// PutUser implements store.Tx. The password stays as it is.
func (x *tx) PutUser(ctx context.Context, u directory.User) error {
	return x.put(ctx, named("put user", u.ID), u.ID,
		`INSERT INTO users (id, tenant, email, email_fold, name, roles, standing, created) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET tenant = excluded.tenant, email = excluded.email, email_fold = excluded.email_fold,
			name = excluded.name, roles = excluded.roles, standing = excluded.standing, created = excluded.created`,
		u.ID, orNull(u.Tenant), u.Email, strings.ToLower(u.Email), u.Name, jsonNames(u.Roles), string(u.Standing), millis(u.Created))
}

// DeleteUser implements store.Tx. The user's tokens and password go too; ErrReference says that the user owns applications.
func (x *tx) DeleteUser(ctx context.Context, id string) error {
	return x.remove(ctx, named("delete user", id), id, `DELETE FROM tokens WHERE user_id = ?`, `DELETE FROM users WHERE id = ?`)
}

// PasswordHash implements store.Reader.
func (r *reader) PasswordHash(ctx context.Context, user string) (string, error) {
	return one(ctx, r, named("password of user", user), func(r row) (phc string, err error) {
		err = r.Scan(&phc)
		return phc, err
	}, `SELECT password FROM users WHERE id = ? AND password <> ''`, user)
}

// PutPasswordHash implements store.Tx. An empty hash takes the password away; ErrReference says that there is no such user.
func (x *tx) PutPasswordHash(ctx context.Context, user, phc string) error {
	what := named("put password of user", user)
	n, err := x.exec(ctx, what, `UPDATE users SET password = ? WHERE id = ?`, phc, user)
	if err == nil && n == 0 {
		err = fmt.Errorf("%s: there is no such user: %w", what, store.ErrReference)
	}
	return err
}
