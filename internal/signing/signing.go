// Package signing keeps the keys with which the gateway signs its own tokens: it makes them, rotates them every thirty days,
// publishes a new one an hour before it signs, and an old one until the last token it signed has ended. The store keeps
// them sealed, and every node on the store uses the same.
package signing

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"postern/internal/gate"
	"postern/internal/jose"
	"postern/internal/store"
)

const (
	rotateAfter  = 30 * 24 * time.Hour
	publishAhead = time.Hour
	keepAfter    = 25 * time.Hour // longer than the longest token
	syncEvery    = time.Minute
)

// Store is the part of a store that keeps the keys.
type Store interface {
	SigningKeys(ctx context.Context) ([]store.SigningKey, error)
	Update(ctx context.Context, entry store.AuditEntry, fn func(store.Tx) error) error
}

// Options are what Keys work with. All are required.
type Options struct {
	Store  Store
	Wanted func() bool  // whether a token endpoint is configured; without one no key is made
	Other  gate.KeySets // of every other issuer
	Now    func() time.Time
	Logger *slog.Logger
}

// Keys has the signing keys in memory. It implements gate.TokenSigner and, for the gateway's own tokens, gate.KeySets.
type Keys struct {
	Options
	current atomic.Pointer[ring]
	kick    chan struct{}
}

// ring is the keys at one time.
type ring struct {
	signer *jose.Signer
	set    *jose.Set
	jwks   []byte
	synced time.Time
}

// New readies keys; Run loads them.
func New(o Options) *Keys { return &Keys{Options: o, kick: make(chan struct{}, 1)} }

var errNone = errors.New("the signing keys are not loaded yet")

func (k *Keys) ring() (*ring, error) {
	if r := k.current.Load(); r != nil {
		return r, nil
	}
	select {
	case k.kick <- struct{}{}:
	default:
	}
	return nil, errNone
}

// Signer implements gate.TokenSigner.
func (k *Keys) Signer() (*jose.Signer, error) {
	r, err := k.ring()
	if err != nil {
		return nil, err
	}
	return r.signer, nil
}

// JWKS implements gate.TokenSigner.
func (k *Keys) JWKS() ([]byte, error) {
	r, err := k.ring()
	if err != nil {
		return nil, err
	}
	return r.jwks, nil
}

// Keys implements gate.KeySets.
func (k *Keys) Keys(ctx context.Context, src *gate.KeySource, missing string, dry bool) (*jose.Set, error) {
	if src.ID != gate.OwnKeys {
		return k.Other.Keys(ctx, src, missing, dry)
	}
	r, err := k.ring()
	if err != nil {
		return nil, err
	}
	return r.set, nil
}

// Run keeps the keys until ctx ends.
func (k *Keys) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	failed := false
	for {
		r := k.current.Load()
		if k.Wanted() && (r == nil || k.Now().Sub(r.synced) >= syncEvery || k.Now().Before(r.synced)) {
			err := k.Sync(ctx)
			if err != nil && !failed && ctx.Err() == nil {
				k.Logger.Error("the signing keys cannot be read; the last ones are used", "error", err)
			}
			failed = err != nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-k.kick:
		}
	}
}

// Sync reads the keys, and makes and drops what it is time for.
func (k *Keys) Sync(ctx context.Context) error {
	now := k.Now()
	rows, err := k.Store.SigningKeys(ctx)
	if err != nil {
		return err
	}
	if due(rows, now) {
		if err := k.rotate(ctx, now); err != nil {
			return err
		}
		if rows, err = k.Store.SigningKeys(ctx); err != nil {
			return err
		}
	}
	r, err := ringOf(rows, now)
	if err != nil {
		return err
	}
	if old := k.current.Load(); old != nil && bytes.Equal(old.jwks, r.jwks) {
		r.set = old.set // who remembers the set by its address goes on
	}
	k.current.Store(r)
	return nil
}

func newest(rows []store.SigningKey) (at time.Time) {
	for _, r := range rows {
		if r.Created.After(at) {
			at = r.Created
		}
	}
	return at
}

func due(rows []store.SigningKey, now time.Time) bool {
	return len(rows) == 0 || now.Sub(newest(rows)) >= rotateAfter
}

// rotate makes a key, unless another node just did, and drops those whose tokens have ended.
func (k *Keys) rotate(ctx context.Context, now time.Time) error {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	id := now.UTC().Format("20060102") + "-" + rand.Text()[:8]
	entry := store.AuditEntry{Time: now, Actor: "gateway", Action: "signing_key.rotate", Target: "signing_key/" + id}
	err = k.Store.Update(ctx, entry, func(tx store.Tx) error {
		rows, err := tx.SigningKeys(ctx)
		if err != nil {
			return err
		}
		if !due(rows, now) {
			return errDone
		}
		for _, r := range rows {
			if ended(rows, r, now) {
				if err := tx.DeleteSigningKey(ctx, r.ID); err != nil {
					return err
				}
			}
		}
		return tx.PutSigningKey(ctx, store.SigningKey{ID: id, Private: der, Created: now})
	})
	if errors.Is(err, errDone) {
		return nil
	}
	return err
}

var errDone = errors.New("another node made a key")

// ended reports whether no token of a key can be valid any more: another key has been signing for longer than tokens last.
func ended(rows []store.SigningKey, r store.SigningKey, now time.Time) bool {
	return slices.ContainsFunc(rows, func(o store.SigningKey) bool {
		return o.Created.After(r.Created) && now.Sub(o.Created) > publishAhead+keepAfter
	})
}

func ringOf(rows []store.SigningKey, now time.Time) (*ring, error) {
	slices.SortFunc(rows, func(a, b store.SigningKey) int { return a.Created.Compare(b.Created) })
	out := &ring{synced: now}
	jwks := []byte(`{"keys":[`)
	for i, r := range rows {
		parsed, err := x509.ParsePKCS8PrivateKey(r.Private)
		if err != nil {
			return nil, fmt.Errorf("signing key %s cannot be read; restore seal.key, or delete the key to have a new one made", r.ID)
		}
		key, ok := parsed.(crypto.Signer)
		if !ok {
			return nil, fmt.Errorf("signing key %s does not sign", r.ID)
		}
		s, err := jose.NewSigner(key, r.ID)
		if err != nil {
			return nil, fmt.Errorf("signing key %s: %w", r.ID, err)
		}
		if i > 0 {
			jwks = append(jwks, ',')
		}
		jwks = append(jwks, s.JWK()...)
		if out.signer == nil || now.Sub(r.Created) >= publishAhead {
			out.signer = s
		}
	}
	out.jwks = append(jwks, "]}"...)
	var err error
	out.set, err = jose.ParseSet(out.jwks)
	return out, err
}

var (
	_ gate.TokenSigner = (*Keys)(nil)
	_ gate.KeySets     = (*Keys)(nil)
)
