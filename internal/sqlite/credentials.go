package sqlite

import (
	"context"
	"log/slog"
	"sync"

	"postern/internal/directory"
	"postern/internal/seal"
	"postern/internal/store"
)

const credentialColumns = `id, application, kind, name, secret_hash, sealed, public_key, match, scopes, created, expires, revoked`

// sealFile holds the key of sealed secrets. It belongs to the database: a backup needs both.
const sealFile = "seal.key"

// vault seals and unseals secrets with the key in the data folder, which it reads, or makes, when the first one is met.
type vault struct {
	file     string
	readOnly bool
	log      *slog.Logger

	mu  sync.Mutex
	key *seal.Key
}

func (v *vault) open() (*seal.Key, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.key == nil {
		k, err := seal.Open(v.file, !v.readOnly)
		if err != nil {
			return nil, err
		}
		v.key = k
	}
	return v.key, nil
}

// unseal returns nil for a secret that cannot be read, and logs why: one lost secret must not keep a directory from being
// served. Whoever needs the secret finds that it is not there.
func (v *vault) unseal(sealed []byte, owner string) []byte {
	k, err := v.open()
	if err == nil {
		var secret []byte
		if secret, err = k.Unseal(sealed, owner); err == nil {
			return secret
		}
	}
	v.log.Error("the secret of a credential cannot be read; requests signed with it are not accepted", "credential", owner, "key_file", v.file, "error", err)
	return nil
}

func (r *reader) scanCredential(rows row) (c directory.Credential, err error) {
	var sealed []byte
	err = rows.Scan(&c.ID, &c.Application, &c.Kind, &c.Name, digest{&c.Hash}, &sealed, &c.PublicKey, text{&c.Match}, names{&c.Scopes},
		instant{&c.Created}, instant{&c.Expires}, instant{&c.Revoked})
	if err == nil && len(sealed) > 0 {
		c.Secret = r.vault.unseal(sealed, c.ID)
	}
	return c, err
}

// Credential implements store.Reader.
func (r *reader) Credential(ctx context.Context, id string) (directory.Credential, error) {
	return one(ctx, r, named("credential", id), r.scanCredential, `SELECT `+credentialColumns+` FROM credentials WHERE id = ?`, id)
}

// Credentials implements store.Reader.
func (r *reader) Credentials(ctx context.Context, application string, p store.Page) ([]directory.Credential, error) {
	if application == "" {
		return list(ctx, r, "credentials", r.scanCredential,
			`SELECT `+credentialColumns+` FROM credentials WHERE id > ? ORDER BY id LIMIT ?`, p.After, pageLimit(p))
	}
	return list(ctx, r, named("credentials of application", application), r.scanCredential,
		`SELECT `+credentialColumns+` FROM credentials WHERE application = ? AND id > ? ORDER BY id LIMIT ?`, application, p.After, pageLimit(p))
}

// EachCredential implements store.Store.
func (d *DB) EachCredential(ctx context.Context, fn func(directory.Credential) error) error {
	return each(ctx, &d.reader, "credentials", d.scanCredential, fn, `SELECT `+credentialColumns+` FROM credentials`)
}

// PutCredential implements store.Tx. A secret that could not be read when the row was is left as it is.
func (x *tx) PutCredential(ctx context.Context, c directory.Credential) error {
	var hash, sealed any
	if c.Hash != ([32]byte{}) {
		hash = c.Hash[:]
	}
	if len(c.Secret) > 0 {
		k, err := x.vault.open()
		if err != nil {
			return err
		}
		sealed = k.Seal(c.Secret, c.ID)
	}
	err := x.put(ctx, named("put credential", c.ID), c.ID,
		`INSERT INTO credentials (`+credentialColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET application = excluded.application, kind = excluded.kind, name = excluded.name,
			secret_hash = excluded.secret_hash, sealed = coalesce(excluded.sealed, credentials.sealed), public_key = excluded.public_key, match = excluded.match,
			scopes = excluded.scopes, created = excluded.created, expires = excluded.expires, revoked = excluded.revoked`,
		c.ID, c.Application, string(c.Kind), c.Name, hash, sealed, c.PublicKey, orNull(c.Match), jsonNames(c.Scopes),
		millis(c.Created), millis(c.Expires), millis(c.Revoked))
	if err != nil {
		return err
	}
	return x.note(ctx, "credential", c.ID)
}

// DeleteCredential implements store.Tx.
func (x *tx) DeleteCredential(ctx context.Context, id string) error {
	if err := x.remove(ctx, named("delete credential", id), id, `DELETE FROM credentials WHERE id = ?`); err != nil {
		return err
	}
	return x.noteDeleted(ctx, "credential", id, nil)
}
