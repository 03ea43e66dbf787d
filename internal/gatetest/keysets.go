package gatetest

import (
	"context"

	"postern/internal/gate"
	"postern/internal/jose"
)

// KeySets is a gate.KeySets in memory: the same set for every source. A nil Set has not been fetched, and cannot be.
type KeySets struct {
	Set *jose.Set
	Err error
	// Next is the set that a fetch for a missing key finds; nil: Set again.
	Next    *jose.Set
	Fetches int // caused by missing keys; not safe for concurrent use
}

// Keys implements gate.KeySets.
func (k *KeySets) Keys(_ context.Context, _ *gate.KeySource, missing string, dry bool) (*jose.Set, error) {
	switch {
	case k.Err != nil:
		return nil, k.Err
	case k.Set == nil && dry:
		return nil, gate.ErrKeysNotFetched
	case k.Set == nil:
		return nil, ErrOutage
	}
	if missing != "" && !dry {
		k.Fetches++
		if k.Next != nil {
			k.Set = k.Next
		}
	}
	return k.Set, nil
}
