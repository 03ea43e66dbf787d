package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern/internal/directory"
	"postern/internal/store"
)

// changesSince reads all changes after a number, in pages.
func changesSince(t *testing.T, s store.Store, since uint64, page int) ([]store.Change, uint64) {
	t.Helper()
	var all []store.Change
	for {
		c, newest, err := s.Changes(t.Context(), since, page)
		if err != nil {
			t.Fatalf("changes since %d: %v", since, err)
		}
		for i := range c {
			if c[i].Sequence <= since || c[i].Sequence > newest {
				t.Fatalf("change %d came after %d, newest %d", c[i].Sequence, since, newest)
			}
			since = c[i].Sequence
		}
		all = append(all, c...)
		if len(c) < page {
			return all, newest
		}
	}
}

func testChanges(t *testing.T, s store.Store) {
	app := seed(t, s, "acme", 1)
	_, since := changesSince(t, s, 0, 100)
	update(t, s, func(ctx context.Context, tx store.Tx) error {
		return errors.Join(
			tx.PutTenant(ctx, tenant("beta")),
			tx.PutApplication(ctx, application("beta-app", "beta")),
			tx.PutKey(ctx, key("beta-key", "beta-app", 2)),
			tx.PutSubscription(ctx, subscription("beta-sub", "beta-app", "orders", "*")),
			tx.PutUser(ctx, user("u", "beta", "u@example.com")), // users are not served from the index
		)
	})
	te, a, k, sub := tenant("beta"), application("beta-app", "beta"), key("beta-key", "beta-app", 2), subscription("beta-sub", "beta-app", "orders", "*")
	got, since := changesSince(t, s, since, 100)
	compare(t, got, []store.Change{
		{Kind: "tenant", ID: "beta", Tenant: &te}, {Kind: "application", ID: "beta-app", Application: &a},
		{Kind: "key", ID: "beta-key", Key: &k}, {Kind: "subscription", ID: "beta-sub", Subscription: &sub}})

	update(t, s, func(ctx context.Context, tx store.Tx) error {
		return errors.Join(tx.DeleteKey(ctx, "beta-key"), tx.DeleteSubscription(ctx, "beta-sub"), tx.DeleteApplication(ctx, "beta-app"), tx.DeleteTenant(ctx, "beta"))
	})
	got, since = changesSince(t, s, since, 100)
	compare(t, got, []store.Change{
		{Kind: "key", ID: "beta-key", KeyHash: hash(2)}, {Kind: "subscription", ID: "beta-sub"},
		{Kind: "application", ID: "beta-app"}, {Kind: "tenant", ID: "beta"}})

	update(t, s, func(ctx context.Context, tx store.Tx) error { return tx.DeleteTenant(ctx, "acme") })
	got, since = changesSince(t, s, since, 100)
	compare(t, got, []store.Change{ // deleting by cascade says the same as deleting one by one
		{Kind: "key", ID: "acme-key", KeyHash: hash(1)}, {Kind: "subscription", ID: "acme-sub"},
		{Kind: "application", ID: app}, {Kind: "tenant", ID: "acme"}})

	if got, newest := changesSince(t, s, since, 100); len(got) != 0 || newest != since {
		t.Errorf("nothing changed, yet: %+v, newest %d, was %d", got, newest, since)
	}
	if _, newest, err := s.Changes(t.Context(), since+1, 10); !errors.Is(err, store.ErrHistory) || newest != since {
		t.Errorf("changes since a number of the future: newest %d, error %v; want %d and ErrHistory", newest, err, since)
	}
}

func compare(t *testing.T, got, want []store.Change) {
	t.Helper()
	for i := range min(len(got), len(want)) {
		want[i].Sequence = got[i].Sequence
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("changes differ (-want +got):\n%s", d)
	}
}

func testRehash(t *testing.T, s store.Store) {
	app := seed(t, s, "acme", 1)
	_, since := changesSince(t, s, 0, 100)
	k := key("acme-key", app, 2)
	update(t, s, func(ctx context.Context, tx store.Tx) error { return tx.PutKey(ctx, k) })
	got, _ := changesSince(t, s, since, 100)
	compare(t, got, []store.Change{{Kind: "key", ID: "acme-key", KeyHash: hash(1)}, {Kind: "key", ID: "acme-key", Key: &k}})
}

func testChangePages(t *testing.T, s store.Store) {
	app := seed(t, s, "acme", 5000)
	update(t, s, func(ctx context.Context, tx store.Tx) error {
		for i := range 60 {
			if err := tx.PutKey(ctx, key(fmt.Sprint("k", i), app, i)); err != nil {
				return err
			}
		}
		return tx.DeleteKey(ctx, "k7")
	})
	whole, _ := changesSince(t, s, 0, 1000)
	for _, page := range []int{1, 7, 64} {
		got, _ := changesSince(t, s, 0, page)
		compare(t, got, whole)
	}
}

// testFollow changes the directory at random, follows it in pages of any size, and compares.
func testFollow(t *testing.T, s store.Store) {
	rng := rand.New(rand.NewPCG(1, 2))
	keys, apps := map[[32]byte]string{}, map[string]bool{}
	var since uint64
	for range 40 {
		for range rng.IntN(4) {
			_ = try(t, s, func(ctx context.Context, tx store.Tx) error { // some are refused: no reference, conflict, not found
				app, id := fmt.Sprint("app", rng.IntN(3)), fmt.Sprint("key", rng.IntN(6))
				switch rng.IntN(8) {
				case 0:
					return tx.DeleteApplication(ctx, app)
				case 1, 2:
					return tx.DeleteKey(ctx, id)
				case 3, 4:
					return errors.Join(tx.PutTenant(ctx, tenant("acme")), tx.PutApplication(ctx, application(app, "acme")))
				default:
					return tx.PutKey(ctx, key(id, app, rng.IntN(8)))
				}
			})
		}
		changes, newest, err := s.Changes(t.Context(), since, 1+rng.IntN(5))
		if err != nil {
			t.Fatal(err)
		}
		apply(changes, keys, apps)
		if len(changes) > 0 {
			since = changes[len(changes)-1].Sequence
		} else {
			since = newest
		}
	}
	rest, _ := changesSince(t, s, since, 3)
	apply(rest, keys, apps)
	wantKeys, wantApps := map[[32]byte]string{}, map[string]bool{}
	err := errors.Join(
		s.EachKey(t.Context(), func(k directory.Key) error { wantKeys[k.Hash] = k.ID; return nil }),
		s.EachApplication(t.Context(), func(a directory.Application) error { wantApps[a.ID] = true; return nil }))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(wantKeys, keys); d != "" {
		t.Errorf("keys of the follower differ (-want +got):\n%s", d)
	}
	if d := cmp.Diff(wantApps, apps); d != "" {
		t.Errorf("applications of the follower differ (-want +got):\n%s", d)
	}
}

func apply(changes []store.Change, keys map[[32]byte]string, apps map[string]bool) {
	for _, c := range changes {
		switch {
		case c.Kind == "key" && c.Key != nil:
			keys[c.Key.Hash] = c.ID
		case c.Kind == "key" && keys[c.KeyHash] == c.ID:
			delete(keys, c.KeyHash)
		case c.Kind == "application" && c.Application != nil:
			apps[c.ID] = true
		case c.Kind == "application":
			delete(apps, c.ID)
		}
	}
}
