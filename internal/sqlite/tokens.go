package sqlite

import (
	"context"

	"postern/internal/store"
)

const tokenColumns = `id, user_id, name, kind, token_hash, roles, created, expires, revoked`

func scanToken(r row) (t store.Token, err error) {
	err = r.Scan(&t.ID, text{&t.User}, &t.Name, &t.Kind, digest{&t.Hash}, names{&t.Roles},
		instant{&t.Created}, instant{&t.Expires}, instant{&t.Revoked})
	return t, err
}

// Token implements store.Reader.
func (r *reader) Token(ctx context.Context, id string) (store.Token, error) {
	return one(ctx, r, named("token", id), scanToken, `SELECT `+tokenColumns+` FROM tokens WHERE id = ?`, id)
}

// TokenByHash implements store.Reader.
func (r *reader) TokenByHash(ctx context.Context, hash [32]byte) (store.Token, error) {
	return one(ctx, r, "token by its hash", scanToken, `SELECT `+tokenColumns+` FROM tokens WHERE token_hash = ?`, hash[:])
}

// Tokens implements store.Reader. An empty user stands for all, those of no user included.
func (r *reader) Tokens(ctx context.Context, user string, p store.Page) ([]store.Token, error) {
	if user == "" {
		return list(ctx, r, "tokens", scanToken,
			`SELECT `+tokenColumns+` FROM tokens WHERE id > ? ORDER BY id LIMIT ?`, p.After, pageLimit(p))
	}
	return list(ctx, r, named("tokens of user", user), scanToken,
		`SELECT `+tokenColumns+` FROM tokens WHERE user_id = ? AND id > ? ORDER BY id LIMIT ?`, user, p.After, pageLimit(p))
}

// PutToken implements store.Tx. ErrConflict says that another token has the hash, ErrReference that the user does not exist.
func (x *tx) PutToken(ctx context.Context, t store.Token) error {
	return x.put(ctx, named("put token", t.ID), t.ID,
		`INSERT INTO tokens (id, user_id, name, kind, token_hash, roles, created, expires, revoked) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET user_id = excluded.user_id, name = excluded.name, kind = excluded.kind, token_hash = excluded.token_hash,
			roles = excluded.roles, created = excluded.created, expires = excluded.expires, revoked = excluded.revoked`,
		t.ID, orNull(t.User), t.Name, t.Kind, t.Hash[:], jsonNames(t.Roles), millis(t.Created), millis(t.Expires), millis(t.Revoked))
}

// DeleteToken implements store.Tx.
func (x *tx) DeleteToken(ctx context.Context, id string) error {
	return x.remove(ctx, named("delete token", id), id, `DELETE FROM tokens WHERE id = ?`)
}
