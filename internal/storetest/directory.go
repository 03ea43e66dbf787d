package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern/internal/directory"
	"postern/internal/store"
)

func testRoundTrip(t *testing.T, s store.Store) {
	ctx := t.Context()
	app := seed(t, s, "acme", 1)
	a := application(app, "acme")
	a.Owner = "acme-user"
	has(t, tenant("acme"))(s.Tenant(ctx, "acme"))
	has(t, a)(s.Application(ctx, app))
	has(t, key("acme-key", app, 1))(s.Key(ctx, "acme-key"))
	has(t, subscription("acme-sub", app, "orders", "v1"))(s.Subscription(ctx, "acme-sub"))
	has(t, user("acme-user", "acme", "acme@example.com"))(s.User(ctx, "acme-user"))
	has(t, user("acme-user", "acme", "acme@example.com"))(s.UserByEmail(ctx, "ACME@Example.com"))
	has(t, "$argon2id$acme")(s.PasswordHash(ctx, "acme-user"))
	has(t, token("acme-token", "acme-user", 1))(s.Token(ctx, "acme-token"))
	has(t, token("acme-token", "acme-user", 1))(s.TokenByHash(ctx, hash(1)))
	has(t, []directory.Tenant{tenant("acme")})(s.Tenants(ctx, store.Page{}))
	has(t, []directory.Application{a})(s.Applications(ctx, "acme", store.Page{}))
	has(t, []directory.Application(nil))(s.Applications(ctx, "other", store.Page{}))
	has(t, []directory.Key{key("acme-key", app, 1)})(s.Keys(ctx, app, store.Page{}))
	has(t, []directory.Key(nil))(s.Keys(ctx, "other", store.Page{}))
	has(t, []directory.Subscription{subscription("acme-sub", app, "orders", "v1")})(s.Subscriptions(ctx, app, store.Page{}))
	has(t, []directory.Subscription(nil))(s.Subscriptions(ctx, "other", store.Page{}))
	has(t, []directory.User{user("acme-user", "acme", "acme@example.com")})(s.Users(ctx, store.Page{}))
	has(t, []store.Token{token("acme-token", "acme-user", 1)})(s.Tokens(ctx, "acme-user", store.Page{}))
	has(t, []store.Token(nil))(s.Tokens(ctx, "other", store.Page{}))

	bootstrap := store.Token{ID: "boot", Kind: "bootstrap", Hash: hash(2), Roles: []string{"admin"}, Created: at, Revoked: at}
	platform := user("root", "", "root@example.com")
	update(t, s, func(ctx context.Context, tx store.Tx) error {
		return errors.Join(tx.PutToken(ctx, bootstrap), tx.PutUser(ctx, platform))
	})
	has(t, bootstrap)(s.Token(ctx, "boot"))
	has(t, platform)(s.User(ctx, "root"))
	has(t, []store.Token{token("acme-token", "acme-user", 1), bootstrap})(s.Tokens(ctx, "", store.Page{}))
}

func testEmpty(t *testing.T, s store.Store) {
	ctx := t.Context()
	has(t, []directory.Tenant(nil))(s.Tenants(ctx, store.Page{}))
	has(t, []store.Generation(nil))(s.Generations(ctx, 0, 0))
	has(t, []store.AuditEntry(nil))(s.AuditTrail(ctx, 0, 0))
	missing[store.Generation](t, "current generation")(s.CurrentGeneration(ctx))
	if c, n, err := s.Changes(ctx, 0, 10); len(c) != 0 || n != 0 || err != nil {
		t.Errorf("changes of an empty store: %v, newest %d, error %v", c, n, err)
	}
	if err := s.EachKey(ctx, func(directory.Key) error { return errors.New("called") }); err != nil {
		t.Errorf("EachKey: %v", err)
	}
	update(t, s, func(context.Context, store.Tx) error { return nil })
}

func testNotFound(t *testing.T, s store.Store) {
	ctx := t.Context()
	seed(t, s, "acme", 1)
	missing[store.Generation](t, "generation")(s.Generation(ctx, 1))
	missing[store.Generation](t, "generation beyond every integer")(s.Generation(ctx, 1<<64-1))
	missing[directory.Tenant](t, "tenant")(s.Tenant(ctx, "ACME"))
	missing[directory.Application](t, "application")(s.Application(ctx, "nobody"))
	missing[directory.Key](t, "key")(s.Key(ctx, "nobody"))
	missing[directory.Subscription](t, "subscription")(s.Subscription(ctx, "nobody"))
	missing[directory.User](t, "user")(s.User(ctx, "nobody"))
	missing[directory.User](t, "user by email")(s.UserByEmail(ctx, "nobody@example.com"))
	missing[store.Token](t, "token")(s.Token(ctx, "nobody"))
	missing[store.Token](t, "token by hash")(s.TokenByHash(ctx, hash(9)))
	missing[string](t, "password of nobody")(s.PasswordHash(ctx, "nobody"))
	update(t, s, func(ctx context.Context, tx store.Tx) error {
		return tx.PutUser(ctx, user("new", "", "new@example.com"))
	})
	missing[string](t, "password that was never set")(s.PasswordHash(ctx, "new"))
	for name, del := range map[string]func(context.Context, store.Tx) error{
		"tenant":       func(ctx context.Context, tx store.Tx) error { return tx.DeleteTenant(ctx, "nobody") },
		"application":  func(ctx context.Context, tx store.Tx) error { return tx.DeleteApplication(ctx, "nobody") },
		"key":          func(ctx context.Context, tx store.Tx) error { return tx.DeleteKey(ctx, "nobody") },
		"subscription": func(ctx context.Context, tx store.Tx) error { return tx.DeleteSubscription(ctx, "nobody") },
		"user":         func(ctx context.Context, tx store.Tx) error { return tx.DeleteUser(ctx, "nobody") },
		"token":        func(ctx context.Context, tx store.Tx) error { return tx.DeleteToken(ctx, "nobody") },
	} {
		refused(t, s, store.ErrNotFound, "delete a missing "+name, del)
	}
}

func testReplace(t *testing.T, s store.Store) {
	ctx := t.Context()
	app := seed(t, s, "acme", 1)
	te, a, k, u := tenant("acme"), application(app, "acme"), key("acme-key", app, 1), user("acme-user", "acme", "new@example.com")
	sub, tok := subscription("acme-sub", app, "orders", "*"), token("acme-token", "acme-user", 7)
	te.Standing, te.Name = directory.Suspended, "renamed"
	a.Standing, a.Roles = directory.Suspended, []string{"a", "b"}
	k.Revoked, k.ReplacedBy, k.Scopes = at.Add(time.Minute), "acme-key-2", nil
	sub.State, sub.Expires = directory.SubscriptionSuspended, time.Time{}
	tok.Revoked = at
	update(t, s, func(ctx context.Context, tx store.Tx) error {
		return errors.Join(tx.PutTenant(ctx, te), tx.PutApplication(ctx, a), tx.PutKey(ctx, k), tx.PutSubscription(ctx, sub), tx.PutUser(ctx, u), tx.PutToken(ctx, tok))
	})
	has(t, te)(s.Tenant(ctx, "acme"))
	has(t, a)(s.Application(ctx, app))
	has(t, k)(s.Key(ctx, "acme-key"))
	has(t, sub)(s.Subscription(ctx, "acme-sub"))
	has(t, u)(s.UserByEmail(ctx, "new@example.com"))
	missing[directory.User](t, "user by the old email")(s.UserByEmail(ctx, "acme@example.com"))
	has(t, "$argon2id$acme")(s.PasswordHash(ctx, "acme-user")) // putting a user keeps the password
	has(t, tok)(s.TokenByHash(ctx, hash(7)))
	missing[store.Token](t, "token by the old hash")(s.TokenByHash(ctx, hash(1)))
	has(t, []directory.Key{k})(s.Keys(ctx, "", store.Page{}))
}

func testReferences(t *testing.T, s store.Store) {
	app := seed(t, s, "acme", 1)
	for name, put := range map[string]func(context.Context, store.Tx) error{
		"an application of no tenant": func(ctx context.Context, tx store.Tx) error {
			return tx.PutApplication(ctx, application("a", "nobody"))
		},
		"an application of no owner": func(ctx context.Context, tx store.Tx) error {
			a := application("a", "acme")
			a.Owner = "nobody"
			return tx.PutApplication(ctx, a)
		},
		"a key of no application": func(ctx context.Context, tx store.Tx) error { return tx.PutKey(ctx, key("k", "nobody", 2)) },
		"a subscription of no application": func(ctx context.Context, tx store.Tx) error {
			return tx.PutSubscription(ctx, subscription("s", "nobody", "a", "*"))
		},
		"a user of no tenant": func(ctx context.Context, tx store.Tx) error {
			return tx.PutUser(ctx, user("u", "nobody", "u@example.com"))
		},
		"a token of no user":                   func(ctx context.Context, tx store.Tx) error { return tx.PutToken(ctx, token("t", "nobody", 2)) },
		"a password of no user":                func(ctx context.Context, tx store.Tx) error { return tx.PutPasswordHash(ctx, "nobody", "x") },
		"deleting the owner of an application": func(ctx context.Context, tx store.Tx) error { return tx.DeleteUser(ctx, "acme-user") },
	} {
		refused(t, s, store.ErrReference, name, put)
	}
	update(t, s, func(ctx context.Context, tx store.Tx) error {
		return errors.Join(tx.PutApplication(ctx, application(app, "acme")), tx.DeleteUser(ctx, "acme-user"))
	})
	missing[store.Token](t, "token of a deleted user")(s.Token(t.Context(), "acme-token"))
	for name, put := range map[string]func(context.Context, store.Tx) error{
		"a tenant":       func(ctx context.Context, tx store.Tx) error { return tx.PutTenant(ctx, tenant("")) },
		"an application": func(ctx context.Context, tx store.Tx) error { return tx.PutApplication(ctx, application("", "acme")) },
		"a key":          func(ctx context.Context, tx store.Tx) error { return tx.PutKey(ctx, key("", app, 2)) },
		"a subscription": func(ctx context.Context, tx store.Tx) error {
			return tx.PutSubscription(ctx, subscription("", app, "x", "*"))
		},
		"a user":  func(ctx context.Context, tx store.Tx) error { return tx.PutUser(ctx, user("", "", "e@example.com")) },
		"a token": func(ctx context.Context, tx store.Tx) error { return tx.PutToken(ctx, token("", "", 3)) },
	} {
		if try(t, s, put) == nil {
			t.Errorf("%s without an id was put", name)
		}
	}
}

func testConflicts(t *testing.T, s store.Store) {
	app := seed(t, s, "acme", 1)
	for name, put := range map[string]func(context.Context, store.Tx) error{
		"two keys with one hash": func(ctx context.Context, tx store.Tx) error { return tx.PutKey(ctx, key("other", app, 1)) },
		"two subscriptions to one version": func(ctx context.Context, tx store.Tx) error {
			return tx.PutSubscription(ctx, subscription("other", app, "orders", "v1"))
		},
		"two users with one email": func(ctx context.Context, tx store.Tx) error {
			return tx.PutUser(ctx, user("other", "", "Acme@EXAMPLE.com"))
		},
		"two tokens with one hash": func(ctx context.Context, tx store.Tx) error { return tx.PutToken(ctx, token("other", "", 1)) },
	} {
		refused(t, s, store.ErrConflict, name, put)
	}
	update(t, s, func(ctx context.Context, tx store.Tx) error {
		return errors.Join(
			tx.PutSubscription(ctx, subscription("all", app, "orders", "*")), // every version is another target than one of them
			tx.PutSubscription(ctx, subscription("v2", app, "orders", "v2")))
	})
}

func testCascade(t *testing.T, s store.Store) {
	ctx := t.Context()
	seed(t, s, "acme", 1)
	other := seed(t, s, "other", 2)
	update(t, s, func(ctx context.Context, tx store.Tx) error { return tx.DeleteTenant(ctx, "acme") })
	missing[directory.Tenant](t, "tenant")(s.Tenant(ctx, "acme"))
	missing[directory.Application](t, "application")(s.Application(ctx, "acme-app"))
	missing[directory.Key](t, "key")(s.Key(ctx, "acme-key"))
	missing[directory.Subscription](t, "subscription")(s.Subscription(ctx, "acme-sub"))
	missing[directory.User](t, "user")(s.User(ctx, "acme-user"))
	missing[store.Token](t, "token")(s.Token(ctx, "acme-token"))
	has(t, tenant("other"))(s.Tenant(ctx, "other"))
	has(t, key("other-key", other, 2))(s.Key(ctx, "other-key"))
	has(t, token("other-token", "other-user", 2))(s.Token(ctx, "other-token"))

	update(t, s, func(ctx context.Context, tx store.Tx) error { return tx.DeleteApplication(ctx, other) })
	missing[directory.Key](t, "key of a deleted application")(s.Key(ctx, "other-key"))
	missing[directory.Subscription](t, "subscription of a deleted application")(s.Subscription(ctx, "other-sub"))
	has(t, user("other-user", "other", "other@example.com"))(s.User(ctx, "other-user"))
	update(t, s, func(ctx context.Context, tx store.Tx) error { // its hash is free again
		return errors.Join(tx.PutApplication(ctx, application(other, "other")), tx.PutKey(ctx, key("again", other, 2)))
	})
}

func testPages(t *testing.T, s store.Store) {
	ctx := t.Context()
	app := seed(t, s, "acme", 5000)
	var want []string
	update(t, s, func(ctx context.Context, tx store.Tx) error {
		for i := range 250 {
			id := fmt.Sprintf("k%04d", i)
			want = append(want, id)
			if err := tx.PutKey(ctx, key(id, app, i)); err != nil {
				return err
			}
		}
		return tx.DeleteKey(ctx, "acme-key")
	})
	for _, limit := range []int{0, 1, 7, 100, 250, 1000, 1 << 30} {
		var got []string
		for after := ""; ; {
			page, err := s.Keys(ctx, app, store.Page{After: after, Limit: limit})
			if err != nil {
				t.Fatal(err)
			}
			if most := map[bool]int{true: 100, false: min(limit, 1000)}[limit == 0]; len(page) > most {
				t.Fatalf("limit %d: a page of %d", limit, len(page))
			}
			if len(page) == 0 {
				break
			}
			for _, k := range page {
				got = append(got, k.ID)
			}
			after = got[len(got)-1]
			if limit == 1 && len(got) == 3 {
				got = append(got, want[3:]...) // long enough
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("pages of %d: got %d rows %v…, want %d", limit, len(got), got[:min(3, len(got))], len(want))
		}
	}
}

func testTimes(t *testing.T, s store.Store) {
	zone := time.FixedZone("somewhere", -9*3600)
	for _, in := range []time.Time{
		{}, at, at.In(zone), at.Add(999 * time.Microsecond), time.UnixMilli(0), time.UnixMilli(-1),
		time.Date(1, 1, 1, 0, 0, 0, 1_000_000, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999_000_000, time.UTC),
	} {
		te := directory.Tenant{ID: "t", Created: in}
		update(t, s, func(ctx context.Context, tx store.Tx) error { return tx.PutTenant(ctx, te) })
		if want := in.Truncate(time.Millisecond).UTC(); !in.IsZero() {
			te.Created = want
		}
		has(t, te)(s.Tenant(t.Context(), "t"))
	}
}

func testUnicode(t *testing.T, s store.Store) {
	for _, name := range []string{"Zoë Müller", "株式会社", "شركة", "👩‍👩‍👧‍👦", "e\u0301 is not é", `"quoted" 'n' \ %s -- ; DROP TABLE tenants`, "line\nline\ttab", "\ufeff", " spaces "} {
		te := tenant("t")
		te.Name = name
		a := application("a", "t")
		a.Name, a.Roles = name, []string{name, "plain"}
		update(t, s, func(ctx context.Context, tx store.Tx) error {
			return errors.Join(tx.PutTenant(ctx, te), tx.PutApplication(ctx, a))
		})
		has(t, te)(s.Tenant(t.Context(), "t"))
		has(t, a)(s.Application(t.Context(), "a"))
	}
}

func testLists(t *testing.T, s store.Store) {
	app := seed(t, s, "acme", 1)
	for _, scopes := range [][]string{nil, {}, {""}, {"a"}, {"b", "a", "b"}} {
		k := key("acme-key", app, 1)
		k.Scopes = scopes // none: not limited; an empty list: limited to nothing
		update(t, s, func(ctx context.Context, tx store.Tx) error { return tx.PutKey(ctx, k) })
		got, err := s.Key(t.Context(), "acme-key")
		if err != nil || !cmp.Equal(got.Scopes, scopes) {
			t.Errorf("scopes %#v came back as %#v (%v)", scopes, got.Scopes, err)
		}
	}
}

func testEach(t *testing.T, s store.Store) {
	ctx := t.Context()
	app := seed(t, s, "acme", 5000)
	want := map[string]bool{"acme-key": true}
	update(t, s, func(ctx context.Context, tx store.Tx) error {
		for i := range 1500 { // more than a page
			k := key(fmt.Sprintf("k%d", i), app, i)
			want[k.ID] = true
			if err := tx.PutKey(ctx, k); err != nil {
				return err
			}
		}
		return nil
	})
	err := s.EachKey(ctx, func(k directory.Key) error {
		if !want[k.ID] {
			t.Errorf("key %s was streamed twice or never put", k.ID)
		}
		delete(want, k.ID)
		return nil
	})
	if err != nil || len(want) > 0 {
		t.Errorf("%d keys missing, error %v", len(want), err)
	}
	n := 0
	count := func() error { n++; return nil }
	err = errors.Join(
		s.EachTenant(ctx, func(v directory.Tenant) error { has(t, tenant("acme"))(v, nil); return count() }),
		s.EachApplication(ctx, func(v directory.Application) error {
			a := application(app, "acme")
			a.Owner = "acme-user"
			has(t, a)(v, nil)
			return count()
		}),
		s.EachSubscription(ctx, func(v directory.Subscription) error {
			has(t, subscription("acme-sub", app, "orders", "v1"))(v, nil)
			return count()
		}))
	if err != nil || n != 3 {
		t.Errorf("streamed %d of 3 rows, error %v", n, err)
	}
	stop := errors.New("enough")
	if err := s.EachKey(ctx, func(directory.Key) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("the error of the callback was lost: %v", err)
	}
	update(t, s, func(ctx context.Context, tx store.Tx) error { return tx.DeleteKey(ctx, "k1") }) // the broken-off stream holds nothing
}
