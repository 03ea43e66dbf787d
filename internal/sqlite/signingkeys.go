package sqlite

import (
	"context"

	"postern/internal/store"
)

func (r *reader) scanSigningKey(rows row) (k store.SigningKey, err error) {
	var sealed []byte
	if err = rows.Scan(&k.ID, &sealed, instant{&k.Created}); err == nil {
		k.Private = r.vault.unseal(sealed, k.ID)
	}
	return k, err
}

// SigningKeys implements store.Reader.
func (r *reader) SigningKeys(ctx context.Context) ([]store.SigningKey, error) {
	return list(ctx, r, "signing keys", r.scanSigningKey, `SELECT id, sealed, created FROM signing_keys ORDER BY created, id`)
}

// PutSigningKey implements store.Tx.
func (x *tx) PutSigningKey(ctx context.Context, k store.SigningKey) error {
	v, err := x.vault.open()
	if err != nil {
		return err
	}
	return x.put(ctx, named("put signing key", k.ID), k.ID, `INSERT INTO signing_keys (id, sealed, created) VALUES (?, ?, ?)`,
		k.ID, v.Seal(k.Private, k.ID), millis(k.Created))
}

// DeleteSigningKey implements store.Tx.
func (x *tx) DeleteSigningKey(ctx context.Context, id string) error {
	return x.remove(ctx, named("delete signing key", id), id, `DELETE FROM signing_keys WHERE id = ?`)
}
