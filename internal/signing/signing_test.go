package signing_test

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	"postern/internal/gate"
	"postern/internal/gatetest"
	"postern/internal/jose"
	"postern/internal/signing"
	"postern/internal/store"
)

// memory is a store of signing keys.
type memory struct {
	store.Tx
	rows []store.SigningKey
}

func (m *memory) SigningKeys(context.Context) ([]store.SigningKey, error) {
	return slices.Clone(m.rows), nil
}
func (m *memory) PutSigningKey(_ context.Context, k store.SigningKey) error {
	m.rows = append(m.rows, k)
	return nil
}
func (m *memory) DeleteSigningKey(_ context.Context, id string) error {
	m.rows = slices.DeleteFunc(m.rows, func(k store.SigningKey) bool { return k.ID == id })
	return nil
}
func (m *memory) Update(_ context.Context, _ store.AuditEntry, fn func(store.Tx) error) error {
	return fn(m)
}

func TestKeysAreRotatedWithoutAGap(t *testing.T) {
	now := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	m := &memory{}
	fresh := func() *signing.Keys {
		return signing.New(signing.Options{Store: m, Other: &gatetest.KeySets{}, Wanted: func() bool { return true }, Now: func() time.Time { return now }, Logger: slog.New(slog.DiscardHandler)})
	}
	k, other := fresh(), fresh()
	if _, err := k.Signer(); err == nil {
		t.Fatal("there is a key before any was loaded")
	}
	sync := func(want int) (signer string, set *jose.Set) {
		t.Helper()
		if err := k.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		s, err := k.Signer()
		if err != nil {
			t.Fatal(err)
		}
		if set, err = k.Keys(t.Context(), &gate.KeySource{ID: gate.OwnKeys}, "", false); err != nil || len(set.Keys) != want {
			t.Fatalf("%d keys are published, want %d: %v", len(set.Keys), want, err)
		}
		return s.ID, set
	}
	first, set := sync(1)
	if again, same := sync(1); again != first || same != set {
		t.Error("a second look made another key or set")
	}
	if err := other.Sync(t.Context()); err != nil || len(m.rows) != 1 {
		t.Errorf("another node made a key of its own: %v", err)
	}
	now = now.Add(31 * 24 * time.Hour)
	if s, _ := sync(2); s != first {
		t.Error("a new key signs before it was published long enough")
	}
	now = now.Add(2 * time.Hour)
	second, _ := sync(2)
	if second == first {
		t.Error("the new key does not sign")
	}
	now = now.Add(31 * 24 * time.Hour)
	_, set = sync(2)
	if slices.Contains(set.IDs(), first) || !slices.Contains(set.IDs(), second) {
		t.Errorf("published: %v", set.IDs())
	}
	m.rows[0].Private = nil
	if err := k.Sync(t.Context()); err == nil {
		t.Error("a key that cannot be read goes unnoticed")
	}
	if s, err := k.Signer(); err != nil || s == nil {
		t.Error("the last keys are gone")
	}
}
