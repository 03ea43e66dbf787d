package demo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"postern/internal/directory"
	"postern/internal/store"
)

// Keys are the texts of the demo's API keys. They exist only here: the store keeps their hashes.
type Keys struct {
	Reader string // of shop-web, which may read orders and use models
	Writer string // of shop-backend, which may create orders too
}

// Seed makes the demo's tenant, applications and subscriptions where they are missing, and gives both applications a new
// key each, in place of those of an earlier start. Everything else in the store is left alone.
func Seed(ctx context.Context, s store.Store, now time.Time) (Keys, error) {
	var keys Keys
	entry := store.AuditEntry{Time: now, Actor: "demo", Action: "demo.seed", Target: "tenant/acme", Tenant: "acme"}
	err := s.Update(ctx, entry, func(tx store.Tx) error {
		_, err := tx.Tenant(ctx, "acme")
		if err := ifMissing(err, func() error {
			return tx.PutTenant(ctx, directory.Tenant{ID: "acme", Name: "Acme", Standing: directory.Active, Created: now})
		}); err != nil {
			return err
		}
		if keys.Reader, err = seedApplication(ctx, tx, now, "shop-web", "Shop website", "order-reader", "model-user"); err != nil {
			return err
		}
		keys.Writer, err = seedApplication(ctx, tx, now, "shop-backend", "Shop backend", "order-writer", "model-user")
		return err
	})
	if err != nil {
		return Keys{}, fmt.Errorf("demo: seed: %w", err)
	}
	return keys, nil
}

// seedApplication returns the text of the application's new key.
func seedApplication(ctx context.Context, tx store.Tx, now time.Time, id, name string, roles ...string) (string, error) {
	_, err := tx.Application(ctx, id)
	if err := ifMissing(err, func() error {
		return tx.PutApplication(ctx, directory.Application{ID: id, Tenant: "acme", Name: name, Standing: directory.Active, Roles: roles, Created: now})
	}); err != nil {
		return "", err
	}
	for _, api := range []string{"orders", "llm"} {
		s := directory.Subscription{
			ID: "demo-" + id + "-" + api, Application: id, API: api, Version: "v1", Plan: "standard",
			State: directory.Approved, Comment: "made by postern demo", Created: now,
		}
		_, err := tx.Subscription(ctx, s.ID)
		if err := ifMissing(err, func() error { return tx.PutSubscription(ctx, s) }); err != nil {
			return "", err
		}
	}
	text, err := directory.NewKeyText(rand.Reader)
	if err != nil {
		return "", err
	}
	return text, tx.PutKey(ctx, directory.Key{ID: "demo-" + id, Application: id, Name: "demo", Hash: directory.HashKey(text), Created: now})
}

// ifMissing calls put when a look-up found no row, and passes other errors of the look-up on.
func ifMissing(lookup error, put func() error) error {
	if errors.Is(lookup, store.ErrNotFound) {
		return put()
	}
	return lookup
}
