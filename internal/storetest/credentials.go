package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"postern/internal/directory"
	"postern/internal/store"
)

func testCredentials(t *testing.T, s store.Store) {
	app := seed(t, s, "acme", 1)
	_, since := changesSince(t, s, 0, 100)
	all := []directory.Credential{
		{ID: "c1", Application: app, Kind: directory.ClientSecret, Name: "shop", Hash: hash(1), Scopes: []string{"orders"}, Created: at, Expires: at.Add(time.Hour)},
		{ID: "c2", Application: app, Kind: directory.SharedSecret, Secret: []byte("a secret that both sides know"), Scopes: []string{}, Created: at},
		{ID: "c3", Application: app, Kind: directory.PublicKey, PublicKey: `{"kty":"OKP"}`, Created: at, Revoked: at.Add(time.Minute)},
		{ID: "c4", Application: app, Kind: directory.Certificate, Match: "dns:shop.example", Created: at},
	}
	update(t, s, func(ctx context.Context, tx store.Tx) error {
		var errs []error
		for _, c := range all {
			errs = append(errs, tx.PutCredential(ctx, c))
		}
		return errors.Join(errs...)
	})
	ctx := t.Context()
	var changes []store.Change
	for i := range all {
		c := all[i]
		has(t, c)(s.Credential(ctx, c.ID))
		changes = append(changes, store.Change{Kind: "credential", ID: c.ID, Credential: &c})
	}
	got, since := changesSince(t, s, since, 100)
	compare(t, got, changes)
	has(t, all[1:3])(s.Credentials(ctx, app, store.Page{After: "c1", Limit: 2}))
	has(t, all)(s.Credentials(ctx, "", store.Page{}))
	n := 0
	if err := s.EachCredential(ctx, func(directory.Credential) error { n++; return nil }); err != nil || n != len(all) {
		t.Errorf("streamed %d credentials, %v", n, err)
	}
	refused(t, s, store.ErrConflict, "two credentials for one certificate", func(ctx context.Context, tx store.Tx) error {
		c := all[3]
		c.ID = "c5"
		return tx.PutCredential(ctx, c)
	})
	refused(t, s, store.ErrReference, "a credential of no application", func(ctx context.Context, tx store.Tx) error {
		return tx.PutCredential(ctx, directory.Credential{ID: "c6", Application: "nobody", Kind: directory.ClientSecret})
	})
	refused(t, s, store.ErrNotFound, "deleting a credential that is not there", func(ctx context.Context, tx store.Tx) error {
		return tx.DeleteCredential(ctx, "c9")
	})
	update(t, s, func(ctx context.Context, tx store.Tx) error { return tx.DeleteCredential(ctx, "c1") })
	missing[directory.Credential](t, "a deleted credential")(s.Credential(ctx, "c1"))
	update(t, s, func(ctx context.Context, tx store.Tx) error { return tx.DeleteApplication(ctx, app) })
	missing[directory.Credential](t, "a credential of a deleted application")(s.Credential(ctx, "c2"))
	got, _ = changesSince(t, s, since, 100)
	deleted := 0
	for _, c := range got {
		if c.Kind == "credential" && c.Credential == nil {
			deleted++
		}
	}
	if deleted != len(all) {
		t.Errorf("%d of %d deletions are among the changes", deleted, len(all))
	}
}

func testSigningKeys(t *testing.T, s store.Store) {
	a, b := store.SigningKey{ID: "a", Private: []byte("private a"), Created: at}, store.SigningKey{ID: "b", Private: []byte("private b"), Created: at.Add(-time.Hour)}
	update(t, s, func(ctx context.Context, tx store.Tx) error {
		return errors.Join(tx.PutSigningKey(ctx, a), tx.PutSigningKey(ctx, b))
	})
	has(t, []store.SigningKey{b, a})(s.SigningKeys(t.Context()))
	refused(t, s, store.ErrConflict, "a signing key twice", func(ctx context.Context, tx store.Tx) error { return tx.PutSigningKey(ctx, a) })
	update(t, s, func(ctx context.Context, tx store.Tx) error { return tx.DeleteSigningKey(ctx, "b") })
	has(t, []store.SigningKey{a})(s.SigningKeys(t.Context()))
	refused(t, s, store.ErrNotFound, "a signing key that is not there", func(ctx context.Context, tx store.Tx) error { return tx.DeleteSigningKey(ctx, "b") })
}
