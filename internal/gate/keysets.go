package gate

import (
	"context"
	"errors"
	"time"

	"postern/internal/jose"
)

// KeySets has the public keys of token issuers: fetched, kept and renewed outside of any request.
type KeySets interface {
	// Keys returns the keys of a source. A set that is there is returned at once; otherwise the caller waits a bounded time
	// for the one fetch that all callers share. missing, when it is not empty, is a key id that the last set did not have:
	// it may cause one fetch, of which there are few in any minute, whatever callers send.
	//
	// dry asks for what is there and never fetches. ErrKeysNotFetched then says that nothing is. Any other error means that
	// the keys are not known, which is never a denial.
	Keys(ctx context.Context, src *KeySource, missing string, dry bool) (*jose.Set, error)
}

// ErrKeysNotFetched says that a key set was never fetched, and may not be now.
var ErrKeysNotFetched = errors.New("the key set has not been fetched yet")

// KeySource is where the keys of an issuer come from. Exactly one of Discovery, URL and File is set.
type KeySource struct {
	ID        string // equal for equal sources, over reloads too
	Issuer    string // what the metadata at Discovery must say
	Discovery string // address of the issuer's metadata (OpenID Connect Discovery 1.0, RFC 8414)
	URL       string // address of the key set
	File      string // file with the key set
	CAFile    string // trust for a private certificate authority; empty: the system's
	Refresh   time.Duration
	Stale     time.Duration // how long keys are used after the last time that they could be fetched
}
