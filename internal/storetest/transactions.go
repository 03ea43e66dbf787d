package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"postern/internal/directory"
	"postern/internal/store"
)

func testAudit(t *testing.T, s store.Store) {
	ctx := t.Context()
	entry := store.AuditEntry{Time: at, Actor: "user:ada", From: "192.0.2.1", Action: "tenant.create", Target: "tenant/acme", Tenant: "acme", Detail: `{"name":"Ä"}`}
	if err := s.Update(ctx, entry, func(tx store.Tx) error { return tx.PutTenant(ctx, tenant("acme")) }); err != nil {
		t.Fatal(err)
	}
	second := store.AuditEntry{Actor: "cli", Action: "tenant.delete", Target: "tenant/acme"}
	before := time.Now().Add(-time.Hour)
	if err := s.Update(ctx, second, func(tx store.Tx) error { return tx.DeleteTenant(ctx, "acme") }); err != nil {
		t.Fatal(err)
	}
	update(t, s, func(ctx context.Context, tx store.Tx) error { return tx.PutTenant(ctx, tenant("silent")) })
	got, err := s.AuditTrail(ctx, 0, 10)
	if err != nil || len(got) != 2 {
		t.Fatalf("audit trail: %+v, error %v; want two entries", got, err)
	}
	entry.Number = got[1].Number
	if got[1] != entry || entry.Number == 0 {
		t.Errorf("first entry: got %+v, want %+v", got[1], entry)
	}
	if got[0].Action != second.Action || got[0].Number <= got[1].Number || got[0].Time.Before(before) {
		t.Errorf("second entry: %+v, want the newest first, with a number after %d and the time it was written", got[0], got[1].Number)
	}
	if older, err := s.AuditTrail(ctx, got[0].Number, 10); err != nil || len(older) != 1 || older[0] != got[1] {
		t.Errorf("the page before %d: %+v, error %v", got[0].Number, older, err)
	}
	if one, err := s.AuditTrail(ctx, 0, 1); err != nil || len(one) != 1 || one[0] != got[0] {
		t.Errorf("a page of one: %+v, error %v", one, err)
	}
}

func testRollback(t *testing.T, s store.Store) {
	ctx := t.Context()
	app := seed(t, s, "acme", 1)
	_, newest, err := s.Changes(ctx, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	own := errors.New("changed my mind")
	entry := store.AuditEntry{Actor: "a", Action: "everything"}
	everything := func(tx store.Tx) error {
		_, gen := tx.AppendGeneration(ctx, 0, store.Generation{Document: []byte("x"), Actor: "a"})
		return errors.Join(gen, tx.PutTenant(ctx, tenant("new")), tx.DeleteKey(ctx, "acme-key"), tx.PutKey(ctx, key("new", app, 9)),
			tx.PutToken(ctx, token("new", "", 9)), tx.SaveAnswer(ctx, "a", "k", hash(1), store.SavedAnswer{Status: 201}))
	}
	for name, fn := range map[string]func(store.Tx) error{
		"the function failed": func(tx store.Tx) error { return errors.Join(everything(tx), own) },
		"a statement failed after others": func(tx store.Tx) error {
			return errors.Join(everything(tx), tx.PutKey(ctx, key("k", "nobody", 3)), own)
		},
		"a statement failed before others": func(tx store.Tx) error { return errors.Join(tx.DeleteKey(ctx, "nobody"), everything(tx), own) },
	} {
		if err := s.Update(ctx, entry, fn); !errors.Is(err, own) {
			t.Errorf("%s: got error %v, want the function's", name, err)
		}
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("a panic was swallowed")
			}
		}()
		_ = s.Update(ctx, entry, func(tx store.Tx) error {
			if err := everything(tx); err != nil {
				t.Error(err)
			}
			panic("gone")
		})
	}()
	missing[store.Generation](t, "generation")(s.CurrentGeneration(ctx))
	missing[directory.Tenant](t, "tenant")(s.Tenant(ctx, "new"))
	missing[store.Token](t, "token")(s.Token(ctx, "new"))
	has(t, key("acme-key", app, 1))(s.Key(ctx, "acme-key"))
	has(t, []store.AuditEntry(nil))(s.AuditTrail(ctx, 0, 10))
	if _, n, err := s.Changes(ctx, newest, 10); n != newest || err != nil {
		t.Errorf("changes went from %d to %d (%v)", newest, n, err)
	}
	update(t, s, func(ctx context.Context, tx store.Tx) error { // also the answer was not saved
		old, err := tx.Idempotent(ctx, "a", "k", hash(1))
		if old != nil {
			t.Errorf("an answer that was rolled back came again: %+v", old)
		}
		return err
	})
}

func testIsolation(t *testing.T, s store.Store) {
	update(t, s, func(ctx context.Context, tx store.Tx) error {
		if err := tx.PutTenant(ctx, tenant("acme")); err != nil {
			return err
		}
		has(t, tenant("acme"))(tx.Tenant(ctx, "acme"))
		has(t, []directory.Tenant{tenant("acme")})(tx.Tenants(ctx, store.Page{}))
		missing[directory.Tenant](t, "a tenant of an open transaction, seen from outside")(s.Tenant(ctx, "acme"))
		return nil
	})
	has(t, tenant("acme"))(s.Tenant(t.Context(), "acme"))
}

func testGenerations(t *testing.T, s store.Store) {
	ctx := t.Context()
	appendTo := func(base uint64, doc string) (n uint64, err error) {
		err = try(t, s, func(ctx context.Context, tx store.Tx) error {
			n, err = tx.AppendGeneration(ctx, base, store.Generation{Number: 77, Document: []byte(doc), Actor: "user:ada", Comment: "Änderung " + doc, Created: at})
			return err
		})
		return n, err
	}
	if _, err := appendTo(1, "too early"); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a first generation based on 1: %v, want ErrConflict", err)
	}
	for i := range uint64(5) {
		if n, err := appendTo(i, fmt.Sprint("doc\n", i+1)); err != nil || n != i+1 {
			t.Fatalf("generation %d: numbered %d, error %v", i+1, n, err)
		}
	}
	for _, base := range []uint64{0, 4, 6, 1<<64 - 1} {
		if _, err := appendTo(base, "late"); !errors.Is(err, store.ErrConflict) {
			t.Errorf("based on %d when 5 is current: %v, want ErrConflict", base, err)
		}
	}
	want := func(n uint64, doc string) store.Generation {
		g := store.Generation{Number: n, Actor: "user:ada", Comment: fmt.Sprint("Änderung doc\n", n), Created: at}
		if doc != "" {
			g.Document = []byte(doc)
		}
		return g
	}
	has(t, want(5, "doc\n5"))(s.CurrentGeneration(ctx))
	has(t, want(2, "doc\n2"))(s.Generation(ctx, 2))
	has(t, []store.Generation{want(5, ""), want(4, ""), want(3, ""), want(2, ""), want(1, "")})(s.Generations(ctx, 0, 0))
	has(t, []store.Generation{want(3, ""), want(2, "")})(s.Generations(ctx, 4, 2))
	has(t, []store.Generation(nil))(s.Generations(ctx, 1, 2))
	big := make([]byte, 10<<20)
	if _, err := appendTo(5, string(big)); err != nil {
		t.Errorf("a document of 10 MiB: %v", err)
	}
	if g, err := s.CurrentGeneration(ctx); err != nil || len(g.Document) != len(big) {
		t.Errorf("the document of 10 MiB came back with %d bytes, error %v", len(g.Document), err)
	}
}

func testGenerationRace(t *testing.T, s store.Store) {
	const writers, rounds = 8, 5
	for round := range uint64(rounds) {
		var wg sync.WaitGroup
		won := make(chan uint64, writers)
		for w := range writers {
			wg.Go(func() {
				err := try(t, s, func(ctx context.Context, tx store.Tx) error {
					n, err := tx.AppendGeneration(ctx, round, store.Generation{Document: fmt.Append(nil, w), Actor: "a"})
					if err == nil {
						won <- n
					}
					return err
				})
				if err != nil && !errors.Is(err, store.ErrConflict) {
					t.Errorf("writer %d: %v, want nil or ErrConflict", w, err)
				}
			})
		}
		wg.Wait()
		if len(won) != 1 || <-won != round+1 {
			t.Fatalf("round %d: not exactly one writer won", round)
		}
	}
}

func testConcurrentWriters(t *testing.T, s store.Store) {
	ctx := t.Context()
	app := seed(t, s, "acme", 5000)
	const writers, each = 6, 15
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				n := w*each + i
				k := key(fmt.Sprintf("w%d-%d", w, i), app, n)
				entry := store.AuditEntry{Time: at, Actor: "test", Action: "key.create", Target: k.ID}
				if err := s.Update(ctx, entry, func(tx store.Tx) error { return tx.PutKey(ctx, k) }); err != nil {
					t.Errorf("writer %d: %v", w, err)
				}
				if got, err := s.Key(ctx, k.ID); err != nil || got.Hash != k.Hash {
					t.Errorf("writer %d does not see what it wrote: %v", w, err)
				}
			}
		})
	}
	wg.Wait()
	keys, err := s.Keys(ctx, app, store.Page{Limit: 1000})
	audit, err2 := s.AuditTrail(ctx, 0, 1000)
	if len(keys) != writers*each+1 || len(audit) != writers*each || err != nil || err2 != nil {
		t.Errorf("%d keys and %d audit entries, want %d and %d (%v, %v)", len(keys), len(audit), writers*each+1, writers*each, err, err2)
	}
}

func testIdempotency(t *testing.T, s store.Store) {
	save := func(ctx context.Context, tx store.Tx, actor, key string, n int, a store.SavedAnswer) {
		t.Helper()
		if err := tx.SaveAnswer(ctx, actor, key, hash(n), a); err != nil {
			t.Errorf("save answer: %v", err)
		}
	}
	answered := func(ctx context.Context, tx store.Tx, actor, key string, n int, want *store.SavedAnswer) {
		t.Helper()
		has(t, want)(tx.Idempotent(ctx, actor, key, hash(n)))
	}
	first := store.SavedAnswer{Status: 201, Body: []byte("{\"id\":\"\x00\xff\"}")}
	update(t, s, func(ctx context.Context, tx store.Tx) error {
		answered(ctx, tx, "ada", "k", 1, nil)
		save(ctx, tx, "ada", "k", 1, first)
		answered(ctx, tx, "ada", "k", 1, &first)
		return nil
	})
	update(t, s, func(ctx context.Context, tx store.Tx) error {
		save(ctx, tx, "ada", "k", 1, store.SavedAnswer{Status: 500})
		answered(ctx, tx, "ada", "k", 1, &first) // the first stays
		answered(ctx, tx, "bob", "k", 1, nil)    // keys belong to who used them
		answered(ctx, tx, "ada", "other", 1, nil)
		return nil
	})
	refused(t, s, store.ErrConflict, "the key with another request", func(ctx context.Context, tx store.Tx) error {
		_, err := tx.Idempotent(ctx, "ada", "k", hash(2))
		return err
	})
	refused(t, s, store.ErrConflict, "saving under the key of another request", func(ctx context.Context, tx store.Tx) error {
		return tx.SaveAnswer(ctx, "ada", "k", hash(2), first)
	})
}

func testCancelled(t *testing.T, s store.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	err := s.Update(ctx, store.AuditEntry{Action: "x"}, func(tx store.Tx) error {
		if err := tx.PutTenant(ctx, tenant("acme")); err != nil {
			t.Error(err)
		}
		cancel()
		return nil
	})
	if err == nil {
		t.Error("a write whose caller went away before the commit was acknowledged")
	}
	if err := s.Update(ctx, store.AuditEntry{}, func(store.Tx) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("begin after the caller went away: %v", err)
	}
	if _, err := s.Tenant(ctx, "acme"); !errors.Is(err, context.Canceled) {
		t.Errorf("read after the caller went away: %v", err)
	}
	missing[directory.Tenant](t, "tenant")(s.Tenant(t.Context(), "acme"))
	seed(t, s, "next", 1) // the store goes on
}
