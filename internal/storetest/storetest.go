// Package storetest is the shared suite of the storage contract: every adapter of internal/store runs it in its own tests,
// so that SQLite and those that follow keep the same promises, word for word.
//
// Each case opens a fresh, empty store. The suite checks what the interface promises and nothing about how it is kept.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern/internal/directory"
	"postern/internal/store"
)

// Run runs the suite of store.Store. open returns an empty store; it closes it with t.Cleanup.
func Run(t *testing.T, open func(t *testing.T) store.Store) {
	for _, c := range []struct {
		name string
		test func(*testing.T, store.Store)
	}{
		{"what is put is found again", testRoundTrip},
		{"an empty store finds nothing and fails at nothing", testEmpty},
		{"what is missing is not found", testNotFound},
		{"putting again replaces", testReplace},
		{"rows need what they refer to", testReferences},
		{"two rows cannot be one", testConflicts},
		{"deleting takes along what belongs to it", testCascade},
		{"pages cover every row once", testPages},
		{"times are kept to the millisecond, in UTC", testTimes},
		{"text of every language is kept", testUnicode},
		{"empty lists and none are kept apart", testLists},
		{"a write and its audit entry are one", testAudit},
		{"a failed write leaves nothing", testRollback},
		{"a transaction sees its own writes, others do not", testIsolation},
		{"generations are counted one by one", testGenerations},
		{"of concurrent changes to one generation exactly one wins", testGenerationRace},
		{"concurrent writers do not lose writes", testConcurrentWriters},
		{"an idempotency key gives the first answer", testIdempotency},
		{"every row is streamed", testEach},
		{"changes come in order, deletions included", testChanges},
		{"a key whose hash changed is deleted under the old one", testRehash},
		{"changes in pages are complete", testChangePages},
		{"a follower ends with the same directory", testFollow},
		{"credentials are kept, and their secrets are", testCredentials},
		{"signing keys are kept", testSigningKeys},
		{"a cancelled caller gets a fault and leaves nothing", testCancelled},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

// at is an arbitrary moment with milliseconds.
var at = time.Date(2026, 11, 22, 19, 40, 1, 234_000_000, time.UTC)

func hash(n int) (h [32]byte) {
	copy(h[:], fmt.Sprintf("hash %d", n))
	h[31] = 0xff // no text
	return h
}

func tenant(id string) directory.Tenant {
	return directory.Tenant{ID: id, Name: "Tenant " + id, Standing: directory.Active, Created: at}
}

func application(id, tenant string) directory.Application {
	return directory.Application{ID: id, Tenant: tenant, Name: "Application " + id, Standing: directory.Active, Roles: []string{"order-reader"}, Created: at}
}

func key(id, application string, n int) directory.Key {
	return directory.Key{ID: id, Application: application, Name: "key " + id, Hash: hash(n), Scopes: []string{"orders"}, Created: at, Expires: at.Add(time.Hour)}
}

func subscription(id, application, api, version string) directory.Subscription {
	return directory.Subscription{ID: id, Application: application, API: api, Version: version, Plan: "gold", State: directory.Approved, Comment: "ok", Created: at, Expires: at.Add(24 * time.Hour)}
}

func user(id, tenant, email string) directory.User {
	return directory.User{ID: id, Tenant: tenant, Email: email, Name: "User " + id, Roles: []string{"operator"}, Standing: directory.Active, Created: at}
}

func token(id, user string, n int) store.Token {
	return store.Token{ID: id, User: user, Name: "token " + id, Kind: "api", Hash: hash(n), Roles: []string{"viewer"}, Created: at, Expires: at.Add(time.Hour)}
}

// update writes without an audit entry and must succeed.
func update(t *testing.T, s store.Store, fn func(context.Context, store.Tx) error) {
	t.Helper()
	if err := try(t, s, fn); err != nil {
		t.Fatalf("update: %v", err)
	}
}

// try writes without an audit entry.
func try(t *testing.T, s store.Store, fn func(context.Context, store.Tx) error) error {
	t.Helper()
	ctx := t.Context()
	return s.Update(ctx, store.AuditEntry{}, func(tx store.Tx) error { return fn(ctx, tx) })
}

// refused checks that a write fails with an error of that kind.
func refused(t *testing.T, s store.Store, want error, what string, fn func(context.Context, store.Tx) error) {
	t.Helper()
	if err := try(t, s, fn); !errors.Is(err, want) {
		t.Errorf("%s: got error %v, want one that is %q", what, err, want)
	}
}

// has checks that a read finds exactly this.
func has[T any](t *testing.T, want T) func(got T, err error) {
	t.Helper()
	return func(got T, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("reading %T: %v", want, err)
		} else if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%T differs (-want +got):\n%s", want, d)
		}
	}
}

// missing checks that a read finds nothing.
func missing[T any](t *testing.T, what string) func(got T, err error) {
	t.Helper()
	return func(got T, err error) {
		t.Helper()
		if !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: got %+v and error %v, want ErrNotFound", what, got, err)
		}
	}
}

// seed is a tenant with an application, a key, a subscription, a user who owns it, and a token.
func seed(t *testing.T, s store.Store, tenantID string, n int) (app string) {
	t.Helper()
	app = tenantID + "-app"
	update(t, s, func(ctx context.Context, tx store.Tx) error {
		a := application(app, tenantID)
		a.Owner = tenantID + "-user"
		return errors.Join(
			tx.PutTenant(ctx, tenant(tenantID)),
			tx.PutUser(ctx, user(tenantID+"-user", tenantID, tenantID+"@example.com")),
			tx.PutPasswordHash(ctx, tenantID+"-user", "$argon2id$"+tenantID),
			tx.PutToken(ctx, token(tenantID+"-token", tenantID+"-user", n)),
			tx.PutApplication(ctx, a),
			tx.PutKey(ctx, key(tenantID+"-key", app, n)),
			tx.PutSubscription(ctx, subscription(tenantID+"-sub", app, "orders", "v1")),
		)
	})
	return app
}
