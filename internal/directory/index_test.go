package directory

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var moment = time.Date(2026, 11, 22, 19, 40, 1, 234_000_000, time.UTC)

func sum(s string) [32]byte { return sha256.Sum256([]byte(s)) }

func someKey(n int) Key {
	k := Key{ID: fmt.Sprintf("k_%012d", n), Application: fmt.Sprint("app-", n/10), Name: fmt.Sprint("key ", n), Hash: sum(fmt.Sprint("text", n)), Created: moment}
	switch n % 4 {
	case 0:
		k.Scopes, k.Expires = []string{"orders:read", "orders:create"}, moment.Add(time.Hour)
	case 1:
		k.Scopes, k.Revoked, k.ReplacedBy = []string{}, moment, "k_next"
	}
	return k
}

func empty() *Index {
	ix := NewIndex()
	ix.Begin().Commit()
	return ix
}

func TestLookupsBeforeTheFirstLoadAreErrors(t *testing.T) {
	ix := NewIndex()
	l := ix.Begin()
	l.PutKey(someKey(1))
	l.PutTenant(Tenant{ID: "acme"})
	l.PutApplication(Application{ID: "shop", Tenant: "acme"})
	l.PutSubscription(Subscription{ID: "s", Application: "shop", API: "orders", Version: "v1"})
	h := someKey(1).Hash
	ask := func() (found [4]bool, errs [4]error) {
		found[0], errs[0] = ix.Key(&h, new(Key))
		found[1], errs[1] = ix.Tenant("acme", new(Tenant))
		found[2], errs[2] = ix.Application("shop", new(Application))
		found[3], errs[3] = ix.Subscription("shop", "orders", "v1", new(Subscription))
		return found, errs
	}
	found, errs := ask()
	for i := range found {
		if found[i] || !errors.Is(errs[i], ErrNotLoaded) {
			t.Errorf("look-up %d before the load: %v, %v; want ErrNotLoaded", i, found[i], errs[i])
		}
	}
	for name, err := range map[string]error{
		"PutKey": ix.PutKey(someKey(1)), "DeleteKey": ix.DeleteKey("k", h), "PutTenant": ix.PutTenant(Tenant{ID: "t"}), "DeleteTenant": ix.DeleteTenant("t"),
		"PutApplication": ix.PutApplication(Application{ID: "a"}), "DeleteApplication": ix.DeleteApplication("a"),
		"PutSubscription": ix.PutSubscription(Subscription{ID: "s"}), "DeleteSubscription": ix.DeleteSubscription("s"),
	} {
		if !errors.Is(err, ErrNotLoaded) {
			t.Errorf("%s before the load: %v, want ErrNotLoaded", name, err)
		}
	}
	l.Commit()
	found, errs = ask()
	for i := range found {
		if !found[i] || errs[i] != nil {
			t.Errorf("look-up %d after the load: %v, %v", i, found[i], errs[i])
		}
	}
	if c := ix.Count(); c != (Count{1, 1, 1, 1}) {
		t.Errorf("count: %+v", c)
	}
	ix.Begin().Commit() // a later load replaces everything
	if found, errs = ask(); found != [4]bool{} || errs != [4]error{} {
		t.Errorf("after an empty load: %v %v", found, errs)
	}
}

func TestSubscriptionToOneVersionGoesBeforeAllVersions(t *testing.T) {
	ix := empty()
	put := func(id, version string) {
		t.Helper()
		if err := ix.PutSubscription(Subscription{ID: id, Application: "shop", API: "orders", Version: version, Plan: "gold", State: Approved, Comment: "Ä", Created: moment}); err != nil {
			t.Fatal(err)
		}
	}
	check := func(version, want string) {
		t.Helper()
		var s Subscription
		found, err := ix.Subscription("shop", "orders", version, &s)
		if err != nil || found != (want != "") || s.ID != want {
			t.Errorf("version %s: found %v %q, %v; want %q", version, found, s.ID, err, want)
		}
	}
	check("v1", "")
	put("all", "*")
	check("v1", "all")
	put("one", "v1")
	check("v1", "one")
	check("v2", "all")
	put("one", "v2") // moved
	check("v1", "all")
	check("v2", "one")
	if err := ix.DeleteSubscription("one"); err != nil {
		t.Fatal(err)
	}
	check("v2", "all")
	if found, _ := ix.Subscription("shop", "order", "s*", new(Subscription)); found {
		t.Error("names that are equal only when written without a gap are two names")
	}
	_ = ix.DeleteSubscription("all")
	check("v2", "")
}

func TestDeletingAKeyByAnOldHashLeavesItsNewOwner(t *testing.T) {
	ix := empty()
	k := someKey(1)
	_ = ix.PutKey(k)
	if err := ix.DeleteKey("another", k.Hash); err != nil {
		t.Fatal(err)
	}
	if found, _ := ix.Key(&k.Hash, new(Key)); !found {
		t.Error("a key was deleted under the id of another")
	}
	_ = ix.DeleteKey(k.ID, k.Hash)
	if found, _ := ix.Key(&k.Hash, new(Key)); found {
		t.Error("a deleted key is found")
	}
}

// TestIndexAgainstAMap does a long random series of writes and compares with plain maps.
func TestIndexAgainstAMap(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	ix := empty()
	keys := map[[32]byte]Key{}
	type target struct{ app, api, version string }
	subs := map[target]Subscription{}
	for range 60_000 {
		n := rng.IntN(2000)
		switch rng.IntN(5) {
		case 0, 1:
			k := someKey(n)
			k.Name = strings.Repeat("x", rng.IntN(40))
			keys[k.Hash] = k
			_ = ix.PutKey(k)
		case 2:
			k := someKey(n)
			delete(keys, k.Hash)
			_ = ix.DeleteKey(k.ID, k.Hash)
		case 3:
			s := Subscription{ID: fmt.Sprint("s", n%300), Application: fmt.Sprint("a", rng.IntN(20)), API: fmt.Sprint("api", rng.IntN(4)), Version: []string{"*", "v1", "v2"}[rng.IntN(3)],
				State: Pending, Comment: strings.Repeat("y", rng.IntN(100)), Created: moment}
			at := target{s.Application, s.API, s.Version}
			if old, ok := subs[at]; ok && old.ID != s.ID {
				continue // the store refuses it
			}
			for at, old := range subs {
				if old.ID == s.ID {
					delete(subs, at)
				}
			}
			subs[at] = s
			_ = ix.PutSubscription(s)
		case 4:
			id := fmt.Sprint("s", n%300)
			for at, old := range subs {
				if old.ID == id {
					delete(subs, at)
				}
			}
			_ = ix.DeleteSubscription(id)
		}
	}
	for n := range 2000 {
		var got Key
		h := someKey(n).Hash
		found, err := ix.Key(&h, &got)
		want, ok := keys[h]
		if found != ok || err != nil {
			t.Fatalf("key %d: found %v, %v; want %v", n, found, err, ok)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("key %d (-want +got):\n%s", n, d)
		}
	}
	for a := range 20 {
		for api := range 4 {
			for _, v := range []string{"*", "v1", "v2"} {
				at := target{fmt.Sprint("a", a), fmt.Sprint("api", api), v}
				want, ok := subs[at]
				if !ok {
					want, ok = subs[target{at.app, at.api, "*"}]
				}
				var got Subscription
				found, err := ix.Subscription(at.app, at.api, at.version, &got)
				if d := cmp.Diff(want, got); d != "" || found != ok || err != nil {
					t.Fatalf("subscription %v: found %v, %v (-want +got):\n%s", at, found, err, d)
				}
			}
		}
	}
	if c := ix.Count(); c.Keys != len(keys) || c.Subscriptions != len(subs) {
		t.Errorf("count %+v, want %d keys and %d subscriptions", c, len(keys), len(subs))
	}
}

// What a look-up has handed out stays as it was, whatever happens to the row.
func TestHandedOutStringsNeverChange(t *testing.T) {
	ix := empty()
	k := someKey(0)
	_ = ix.PutKey(k)
	var got Key
	if found, err := ix.Key(&k.Hash, &got); !found || err != nil {
		t.Fatal(found, err)
	}
	for i := range 5000 {
		other := k
		other.Name = fmt.Sprint("another name, long enough to move everything ", i)
		_ = ix.PutKey(other)
	}
	_ = ix.DeleteKey(k.ID, k.Hash)
	if d := cmp.Diff(k, got); d != "" {
		t.Errorf("a key changed in the hands of who looked it up (-want +got):\n%s", d)
	}
}

func TestConcurrentLookupsAndWrites(t *testing.T) {
	ix := empty()
	stay := someKey(5_000_000)
	_ = ix.PutKey(stay)
	var readers, writers sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		readers.Go(func() {
			var k Key
			var s Subscription
			for {
				select {
				case <-stop:
					return
				default:
				}
				if found, err := ix.Key(&stay.Hash, &k); !found || err != nil || k.ID != stay.ID {
					t.Errorf("a key that stays was not found: %v %v %q", found, err, k.ID)
					return
				}
				_, _ = ix.Subscription("a", "b", "v1", &s)
				_, _ = ix.Application("a", new(Application))
			}
		})
	}
	for w := range 3 {
		writers.Go(func() {
			for i := range 3000 {
				k := someKey(w*3000 + i)
				_ = ix.PutKey(k)
				_ = ix.PutSubscription(Subscription{ID: fmt.Sprint(w), Application: "a", API: "b", Version: fmt.Sprint("v", i%3, w)})
				_ = ix.PutApplication(Application{ID: fmt.Sprint("a", i%5), Tenant: "t", Roles: []string{fmt.Sprint(i % 7)}})
				if i%2 == 0 {
					_ = ix.DeleteKey(k.ID, k.Hash)
				}
			}
		})
	}
	writers.Wait()
	close(stop)
	readers.Wait()
	if c := ix.Count(); c.Keys != 3*1500+1 {
		t.Errorf("%d keys, want %d", c.Keys, 3*1500+1)
	}
}

func TestLookupsAllocateNothing(t *testing.T) {
	ix := empty()
	k := someKey(4)
	_ = ix.PutKey(k)
	_ = ix.PutTenant(Tenant{ID: "acme", Name: "Acme"})
	_ = ix.PutApplication(Application{ID: "shop", Tenant: "acme", Roles: []string{"a"}})
	_ = ix.PutSubscription(Subscription{ID: "s", Application: "shop", API: "orders", Version: "*"})
	var key Key
	var ten Tenant
	var app Application
	var sub Subscription
	never := sum("never issued")
	ok := true
	n := testing.AllocsPerRun(1000, func() {
		a, _ := ix.Key(&k.Hash, &key)
		b, _ := ix.Tenant("acme", &ten)
		c, _ := ix.Application("shop", &app)
		d, _ := ix.Subscription("shop", "orders", "v1", &sub)
		e, _ := ix.Key(&never, &key)
		ok = ok && a && b && c && d && !e
	})
	if n != 0 || !ok {
		t.Errorf("%v allocations, found all: %v", n, ok)
	}
}

func TestLongTextIsCutNotMixedUp(t *testing.T) {
	ix := empty()
	k := someKey(2)
	k.ID, k.Name, k.ReplacedBy = strings.Repeat("i", 40_000), strings.Repeat("n", 40_000), strings.Repeat("s", 70_000)
	_ = ix.PutKey(k)
	var got Key
	_, _ = ix.Key(&k.Hash, &got)
	k.ReplacedBy = k.ReplacedBy[:65535]
	if !cmp.Equal(k, got) {
		t.Errorf("long text came back with %d, %d and %d bytes", len(got.ID), len(got.Name), len(got.ReplacedBy))
	}
}

// BenchmarkMillionKeys reports what a key costs and how long a look-up takes:
//
//	go test -run - -bench MillionKeys ./internal/directory
func BenchmarkMillionKeys(b *testing.B) {
	const n = 1_000_000
	hashes := make([][32]byte, n)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	ix := NewIndex()
	l := ix.Begin()
	start := time.Now()
	for i := range n {
		k := someKey(i)
		hashes[i] = k.Hash
		l.PutKey(k)
	}
	load := time.Since(start)
	l.Commit()
	runtime.GC()
	runtime.ReadMemStats(&after)
	rng := rand.New(rand.NewPCG(1, 2))
	var k Key
	for b.Loop() {
		if found, _ := ix.Key(&hashes[rng.IntN(n)], &k); !found {
			b.Fatal("lost a key")
		}
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "B/key")
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/1e6, "MB")
	b.ReportMetric(load.Seconds(), "s-to-fill")
	runtime.KeepAlive(hashes)
}
