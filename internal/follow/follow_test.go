package follow

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

// source is a store of keys in memory that can break, forget and count.
type source struct {
	mu      sync.Mutex
	keys    map[string]directory.Key
	log     []store.Change // sequence = forgotten + index + 1
	forgot  uint64
	broken  error
	changed chan struct{}
}

func newSource() *source {
	return &source{keys: map[string]directory.Key{}, changed: make(chan struct{})}
}

func (s *source) put(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := directory.Key{ID: id, Application: "app", Hash: hash(id)}
	s.keys[id] = k
	s.note(store.Change{Kind: "key", ID: id, Key: &k})
}

func (s *source) delete(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.keys, id)
	s.note(store.Change{Kind: "key", ID: id, KeyHash: hash(id)})
}

func (s *source) note(c store.Change) {
	c.Sequence = s.forgot + uint64(len(s.log)) + 1
	s.log = append(s.log, c)
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *source) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.log) - 1
	s.forgot, s.log = s.forgot+uint64(n), s.log[n:]
}

func (s *source) breakWith(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = err
}

func (s *source) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

func (s *source) EachTenant(context.Context, func(directory.Tenant) error) error { return nil }
func (s *source) EachApplication(_ context.Context, fn func(directory.Application) error) error {
	return fn(directory.Application{ID: "app", Tenant: "acme"})
}
func (s *source) EachCredential(context.Context, func(directory.Credential) error) error { return nil }

func (s *source) EachSubscription(context.Context, func(directory.Subscription) error) error {
	return nil
}

func (s *source) EachKey(_ context.Context, fn func(directory.Key) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.keys {
		if err := fn(k); err != nil {
			return err
		}
	}
	return s.broken
}

func (s *source) Changes(_ context.Context, since uint64, limit int) ([]store.Change, uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	newest := s.forgot + uint64(len(s.log))
	switch {
	case s.broken != nil:
		return nil, 0, s.broken
	case since < s.forgot || since > newest:
		return nil, newest, store.ErrHistory
	}
	rest := s.log[since-s.forgot:]
	return rest[:min(limit, len(rest))], newest, nil
}

func hash(id string) (h [32]byte) {
	copy(h[:], id)
	return h
}

func knows(t *testing.T, ix *directory.Index, id string, want bool) {
	t.Helper()
	h := hash(id)
	if found, err := ix.Key(&h, new(directory.Key)); found != want || err != nil {
		t.Errorf("key %s: found %v, %v; want %v", id, found, err, want)
	}
}

func sync1(t *testing.T, f *Follower) {
	t.Helper()
	if err := f.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestSyncMakesWritesAct(t *testing.T) {
	s, ix := newSource(), directory.NewIndex()
	f := New(s, ix, Options{})
	s.put("old")
	sync1(t, f)
	knows(t, ix, "old", true)
	for i := range 2*page + 7 {
		s.put(fmt.Sprint("new", i))
	}
	s.delete("old")
	sync1(t, f)
	knows(t, ix, "old", false)
	knows(t, ix, fmt.Sprint("new", 2*page+6), true)
	if st := f.Status(); st.Loads != 1 || st.Applied != 2*page+8 || st.Sequence != 2*page+9 || st.Fault != "" || st.Synced.IsZero() {
		t.Errorf("status: %+v", st)
	}
}

func TestMissedChangesLoadEverythingAgain(t *testing.T) {
	s, ix := newSource(), directory.NewIndex()
	f := New(s, ix, Options{})
	s.put("a")
	sync1(t, f)
	s.put("b")
	s.delete("a")
	s.put("c")
	s.forget()
	sync1(t, f)
	knows(t, ix, "a", false)
	knows(t, ix, "b", true)
	knows(t, ix, "c", true)
	if st := f.Status(); st.Loads != 2 {
		t.Errorf("status: %+v, want two loads", st)
	}
}

func TestAnOutageServesTheLastKnownDirectory(t *testing.T) {
	s, ix := newSource(), directory.NewIndex()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	f := New(s, ix, Options{Now: func() time.Time { return now }})
	down := errors.New("database is gone")
	s.breakWith(down)
	if err := f.Sync(t.Context()); !errors.Is(err, down) {
		t.Errorf("sync: %v", err)
	}
	h := hash("a")
	if _, err := ix.Key(&h, new(directory.Key)); !errors.Is(err, directory.ErrNotLoaded) {
		t.Errorf("look-up without a directory: %v, want ErrNotLoaded", err)
	}
	s.breakWith(nil)
	s.put("a")
	sync1(t, f)
	s.breakWith(down)
	s.delete("a")
	if err := f.Sync(t.Context()); !errors.Is(err, down) {
		t.Errorf("sync: %v", err)
	}
	knows(t, ix, "a", true)
	if st := f.Status(); st.Fault == "" || !st.Since.Equal(now) {
		t.Errorf("status does not tell of the outage: %+v", st)
	}
	s.breakWith(nil)
	sync1(t, f)
	knows(t, ix, "a", false)
	if st := f.Status(); st.Fault != "" {
		t.Errorf("status still tells of an outage: %+v", st)
	}
}

func TestRunFollowsWritesAtOnceAndByPolling(t *testing.T) {
	for name, changed := range map[string]func(*source) func() <-chan struct{}{
		"told of writes": func(s *source) func() <-chan struct{} { return s.Changed },
		"polling":        func(*source) func() <-chan struct{} { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			s, ix := newSource(), directory.NewIndex()
			every := time.Millisecond
			if name == "told of writes" {
				every = time.Hour // no poll will help
			}
			f := New(s, ix, Options{Every: every, Changed: changed(s)})
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			done := make(chan error, 1)
			go func() { done <- f.Run(ctx) }()
			for i := range 20 {
				id := fmt.Sprint("k", i)
				s.put(id)
				h := hash(id)
				for {
					if found, _ := ix.Key(&h, new(directory.Key)); found {
						break
					}
					if ctx.Err() != nil {
						t.Fatalf("key %s never acted", id)
					}
					time.Sleep(time.Millisecond)
				}
			}
			cancel()
			if err := <-done; err != nil {
				t.Errorf("Run: %v", err)
			}
		})
	}
}
