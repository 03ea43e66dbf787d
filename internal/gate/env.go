package gate

import (
	"context"
	"net/netip"
	"time"

	"postern/internal/directory"
)

// Env is everything outside itself that a gate may reach. Live, simulate and replay differ in what is behind it.
type Env struct {
	Now       func() time.Time
	Directory Directory
	Counters  Counters
	// Credentials has the other ways than API keys by which applications prove themselves; nil: it is not known.
	Credentials Credentials
	// KeySets has the keys of token issuers; nil: there is no way to get any.
	KeySets KeySets
	// Asker asks other systems; nil: there is no way to.
	Asker Asker
	// Introspector asks authorization servers about tokens; nil: none can be asked.
	Introspector Introspector
	// TokenSigner signs the tokens of the gateway's own token endpoint; nil: there is none.
	TokenSigner TokenSigner
	// Dry says that nothing may be spent or written: Counters peek, and upstream state is read only.
	Dry bool
}

// Directory answers who is who. Look-ups are served from memory. An error means that the answer is not known (the
// directory is not loaded, or too old), which is never a denial; false means that there is no such row.
type Directory interface {
	Key(hash *[32]byte, into *directory.Key) (bool, error)
	Application(id string, into *directory.Application) (bool, error)
	Tenant(id string, into *directory.Tenant) (bool, error)
	// Subscription finds the application's subscription to a version of an API, or to all its versions.
	Subscription(application, api, version string, into *directory.Subscription) (bool, error)
}

// Credentials finds the credentials of applications, in memory, by the rules of Directory.
type Credentials interface {
	Credential(id string, into *directory.Credential) (bool, error)
	// CredentialByMatch finds the credential of a certificate; see directory.Credential.Match.
	CredentialByMatch(match string, into *directory.Credential) (bool, error)
}

// Counters count requests against limits.
type Counters interface {
	// Take takes one unit from every limit, or from none: it returns the index of the first take that has no room, or -1. It
	// fills the Reading of every take either way. An error means that nothing was counted.
	Take(ctx context.Context, now time.Time, takes []Take) (refused int, err error)
	// Return gives back what a Take took, for a request that failed before anything was sent.
	Return(ctx context.Context, now time.Time, takes []Take)
}

// LimitKind is how a limit counts.
type LimitKind uint8

const (
	LimitRate  LimitKind = iota // GCRA
	LimitQuota                  // fixed calendar periods
)

// CalendarUnit is the period of a quota.
type CalendarUnit uint8

const (
	Second CalendarUnit = iota
	Minute
	Hour
	Day
	Week // from Monday
	Month
)

// Limit is a compiled limit.
type Limit struct {
	ID     string // unique in the snapshot and stable over generations, so that counts survive a reload
	Name   string
	Kind   LimitKind
	Max    int64         // requests per Period or per Unit
	Period time.Duration // rate: the time in which Max requests are allowed
	Burst  int64         // rate: how many may come at once
	Unit   CalendarUnit  // quota
	Zone   *time.Location
	By     LimitBy
	Shadow bool
	// PassUnavailable lets requests pass while counters cannot be reached.
	PassUnavailable bool
	Pointer         string
}

// LimitBy is whose requests are counted together.
type LimitBy uint8

const (
	ByApplication LimitBy = iota
	ByKey
	ByTenant
	ByAddress
	ByEveryone
)

// Subject is whom a unit is taken from: a name, or an address.
type Subject struct {
	Name string
	Addr netip.Addr
}

// Take is one limit asked for one subject.
type Take struct {
	Limit   *Limit
	Subject Subject
	Reading LimitReading
	// Mark is set by Counters.Take and read by Counters.Return: the period a unit was taken from, so that it is never given
	// back to another.
	Mark int64
}

// LimitReading is what a limit says after (or instead of) a take.
type LimitReading struct {
	Limit     *Limit
	Remaining int64         // units left now
	Reset     time.Duration // until the limit is whole again (rate) or starts anew (quota)
	Retry     time.Duration // until one unit is free; zero when one is
}
