package sqlite

import (
	"context"
	"errors"

	"postern/internal/directory"
	"postern/internal/store"
)

const keyColumns = `id, application, name, key_hash, scopes, created, expires, revoked, replaced_by`

func scanKey(r row) (k directory.Key, err error) {
	err = r.Scan(&k.ID, &k.Application, &k.Name, digest{&k.Hash}, names{&k.Scopes},
		instant{&k.Created}, instant{&k.Expires}, instant{&k.Revoked}, &k.ReplacedBy)
	return k, err
}

// Key implements store.Reader.
func (r *reader) Key(ctx context.Context, id string) (directory.Key, error) {
	return one(ctx, r, named("key", id), scanKey, `SELECT `+keyColumns+` FROM api_keys WHERE id = ?`, id)
}

// Keys implements store.Reader.
func (r *reader) Keys(ctx context.Context, application string, p store.Page) ([]directory.Key, error) {
	if application == "" {
		return list(ctx, r, "keys", scanKey,
			`SELECT `+keyColumns+` FROM api_keys WHERE id > ? ORDER BY id LIMIT ?`, p.After, pageLimit(p))
	}
	return list(ctx, r, named("keys of application", application), scanKey,
		`SELECT `+keyColumns+` FROM api_keys WHERE application = ? AND id > ? ORDER BY id LIMIT ?`, application, p.After, pageLimit(p))
}

// EachKey implements store.Store.
func (d *DB) EachKey(ctx context.Context, fn func(directory.Key) error) error {
	return each(ctx, &d.reader, "keys", scanKey, fn, `SELECT `+keyColumns+` FROM api_keys`)
}

// PutKey implements store.Tx.
func (x *tx) PutKey(ctx context.Context, k directory.Key) error {
	switch old, err := x.Key(ctx, k.ID); {
	case err == nil && old.Hash != k.Hash:
		// Followers know a key by its hash: to them this is another key.
		if err := x.noteDeleted(ctx, "key", k.ID, old.Hash[:]); err != nil {
			return err
		}
	case err != nil && !errors.Is(err, store.ErrNotFound):
		return err
	}
	err := x.put(ctx, named("put key", k.ID), k.ID,
		`INSERT INTO api_keys (id, application, name, key_hash, scopes, created, expires, revoked, replaced_by) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET application = excluded.application, name = excluded.name, key_hash = excluded.key_hash,
			scopes = excluded.scopes, created = excluded.created, expires = excluded.expires, revoked = excluded.revoked,
			replaced_by = excluded.replaced_by`,
		k.ID, k.Application, k.Name, k.Hash[:], jsonNames(k.Scopes), millis(k.Created), millis(k.Expires), millis(k.Revoked), k.ReplacedBy)
	if err != nil {
		return err
	}
	return x.note(ctx, "key", k.ID)
}

// DeleteKey implements store.Tx.
func (x *tx) DeleteKey(ctx context.Context, id string) error {
	what := named("delete key", id)
	if err := x.noteAll(ctx, what, noteDeletedKeys+` WHERE id = ?`, id); err != nil {
		return err
	}
	return x.remove(ctx, what, id, `DELETE FROM api_keys WHERE id = ?`)
}
