// Package jwks fetches, keeps and renews the key sets of token issuers, so that a request finds them in memory.
//
// Requests never fetch for themselves: all that wait for a source wait for one fetch, and for a bounded time. Keys are
// renewed in the background before they are old. A key id that is not in the set causes a fetch, at most one in half a
// minute whatever callers send, so that a rotation acts at once and an attacker gains nothing. While an issuer does not
// answer its last keys go on being used, until a bound; after that the keys are not known, which is an outage and no denial.
//
// What is fetched is bounded in size and time, and redirects never leave the host. Metadata can send the fetch only to
// where a metadata server of that kind could be: see reach.
package jwks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"postern/internal/gate"
	"postern/internal/jose"
)

const (
	defaultRefresh = 10 * time.Minute
	defaultStale   = 24 * time.Hour
	fileRefresh    = 5 * time.Second
	missingEvery   = 30 * time.Second // between fetches that missing keys cause
	missingInFile  = time.Second
	patience       = 3 * time.Second // of a request
	firstRetry     = time.Second     // after a fetch that failed; doubled up to
	lastRetry      = time.Minute
	forgetAfter    = time.Hour
)

// Options are the settings of Sets. The zero value is right for production.
type Options struct {
	Now    func() time.Time // default time.Now
	Logger *slog.Logger     // default: none
}

// Sets is the key sets of all issuers. It implements gate.KeySets.
type Sets struct {
	opts Options

	mu      sync.RWMutex
	sources map[string]*source
	ctx     context.Context
	stop    context.CancelFunc
	running sync.WaitGroup
}

// New returns Sets that know nothing yet.
func New(o Options) *Sets {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Sets{opts: o, sources: map[string]*source{}}
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s
}

// Close ends every fetch and waits for it.
func (s *Sets) Close() {
	s.mu.Lock()
	s.stop()
	s.mu.Unlock()
	s.running.Wait()
}

// Keys implements gate.KeySets.
func (s *Sets) Keys(ctx context.Context, src *gate.KeySource, missing string, dry bool) (*jose.Set, error) {
	o := s.source(src, dry)
	if o == nil {
		return nil, gate.ErrKeysNotFetched
	}
	now := s.opts.Now()
	o.asked.Store(now.Unix())
	r := o.current.Load()
	if r != nil && missing == "" && now.Before(r.renew) {
		return r.set, nil
	}
	if dry {
		return o.dry(r, now)
	}
	return s.slow(ctx, o, r, missing, now)
}

// dry answers with what is there.
func (o *source) dry(r *reading, now time.Time) (*jose.Set, error) {
	switch {
	case r == nil:
		return nil, gate.ErrKeysNotFetched
	case now.After(r.useUntil):
		return nil, o.outage(r)
	}
	return r.set, nil
}

// slow answers when the keys are missing, old, or do not have the key that is asked for.
func (s *Sets) slow(ctx context.Context, o *source, r *reading, missing string, now time.Time) (*jose.Set, error) {
	usable := r != nil && !now.After(r.useUntil)
	if usable && (missing == "" || has(r.set, missing) || !o.mayForce(now)) {
		if !now.Before(r.renew) {
			s.begin(o, now)
		}
		return r.set, nil
	}
	done := s.begin(o, now)
	if done == nil { // a fetch failed a moment ago
		if usable {
			return r.set, nil
		}
		return nil, o.outage(r)
	}
	patience := time.NewTimer(patience)
	defer patience.Stop()
	select {
	case <-done:
	case <-patience.C:
	case <-ctx.Done():
	}
	fresh := o.current.Load()
	switch {
	case fresh != nil && fresh != r:
		return fresh.set, nil
	case usable:
		return r.set, nil
	case fresh != nil && !s.opts.Now().After(fresh.useUntil):
		return fresh.set, nil
	}
	return nil, o.outage(r)
}

func has(set *jose.Set, kid string) bool {
	for _, k := range set.Keys {
		if k.ID == kid {
			return true
		}
	}
	return false
}

// source finds what is kept of a source. A dry question never makes one.
func (s *Sets) source(src *gate.KeySource, dry bool) *source {
	s.mu.RLock()
	o := s.sources[src.ID]
	s.mu.RUnlock()
	if o != nil || dry {
		return o
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if o = s.sources[src.ID]; o == nil {
		s.forget()
		o = newSource(src)
		s.sources[src.ID] = o
	}
	return o
}

// forget drops sources that no configuration uses any more. s.mu is held.
func (s *Sets) forget() {
	old := s.opts.Now().Add(-forgetAfter).Unix()
	for id, o := range s.sources {
		if at := o.asked.Load(); at != 0 && at < old {
			delete(s.sources, id)
		}
	}
}

// source is one issuer's keys and how they are got.
type source struct {
	src     gate.KeySource
	fetch   func(context.Context) (*jose.Set, error)
	current atomic.Pointer[reading]
	asked   atomic.Int64 // Unix time of the last question

	mu       sync.Mutex
	fetching chan struct{} // closed when the fetch in progress ends; nil: none is
	retry    time.Time     // no fetch before this
	pause    time.Duration
	forced   time.Time // the last fetch that a missing key caused
	fault    error     // of the last fetch; nil: it succeeded
}

// reading is a set as it was fetched.
type reading struct {
	set      *jose.Set
	at       time.Time
	renew    time.Time // from then on a newer one is fetched in the background
	useUntil time.Time
}

func newSource(src *gate.KeySource) *source {
	o := &source{src: *src}
	if o.src.Refresh <= 0 {
		o.src.Refresh = defaultRefresh
		if o.src.File != "" {
			o.src.Refresh = fileRefresh
		}
	}
	if o.src.Stale <= 0 {
		o.src.Stale = defaultStale
	}
	o.fetch = fetcher(&o.src)
	return o
}

// mayForce reports whether a missing key may cause a fetch now, and counts it.
func (o *source) mayForce(now time.Time) bool {
	every := missingEvery
	if o.src.File != "" {
		every = missingInFile
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.forced.IsZero() && now.Sub(o.forced) < every && !now.Before(o.forced) {
		return o.fetching != nil // wait with those whose fetch it is
	}
	o.forced = now
	return true
}

// begin starts a fetch unless one is in progress, and returns what is closed at its end; nil when the last one failed so
// recently that none may begin.
func (s *Sets) begin(o *source, now time.Time) <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.fetching != nil {
		return o.fetching
	}
	if now.Before(o.retry) && o.retry.Sub(now) <= lastRetry { // a clock that jumped back is no reason to wait
		return nil
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.ctx.Err() != nil {
		return nil
	}
	done := make(chan struct{})
	o.fetching = done
	s.running.Add(1)
	go s.run(o, done)
	return done
}

func (s *Sets) run(o *source, done chan struct{}) {
	defer s.running.Done()
	ctx, cancel := context.WithTimeout(s.ctx, fetchTimeout)
	defer cancel()
	set, err := o.fetch(ctx)
	now := s.opts.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	if err == nil {
		if r := o.current.Load(); r != nil && same(r.set, set) {
			set = r.set // who remembers the set by its address goes on
		}
		o.current.Store(&reading{set: set, at: now, renew: now.Add(o.src.Refresh), useUntil: now.Add(max(o.src.Stale, o.src.Refresh))})
		if o.fault != nil || len(set.Skipped) > 0 {
			s.opts.Logger.Info("key set fetched", "source", o.name(), "keys", set.IDs(), "passed_over", set.Skipped)
		}
		o.fault, o.pause, o.retry = nil, 0, time.Time{}
	} else {
		if o.fault == nil {
			s.opts.Logger.Warn("a key set cannot be fetched; the last one is used while it is not too old", "source", o.name(), "error", err)
		}
		o.pause = min(max(2*o.pause, firstRetry), lastRetry)
		o.fault, o.retry = err, now.Add(o.pause)
	}
	o.fetching = nil
	close(done)
}

func same(a, b *jose.Set) bool {
	if len(a.Keys) != len(b.Keys) {
		return false
	}
	for i, k := range a.Keys {
		if k.Thumbprint != b.Keys[i].Thumbprint || k.ID != b.Keys[i].ID || k.Algorithm != b.Keys[i].Algorithm {
			return false
		}
	}
	return true
}

// outage words why the keys are not known.
func (o *source) outage(r *reading) error {
	o.mu.Lock()
	fault := o.fault
	o.mu.Unlock()
	if fault == nil {
		fault = fmt.Errorf("no answer within %s yet", patience)
	}
	if r != nil {
		return fmt.Errorf("the keys from %s are from %s, older than %s, and cannot be renewed: %w", o.name(), r.at.UTC().Format(time.RFC3339), o.src.Stale, fault)
	}
	return fmt.Errorf("the keys from %s: %w", o.name(), fault)
}

func (o *source) name() string {
	switch {
	case o.src.Discovery != "":
		return o.src.Discovery
	case o.src.URL != "":
		return o.src.URL
	}
	return o.src.File
}

// Status is how one source is.
type Status struct {
	Source  string    `json:"source"`
	Issuer  string    `json:"issuer,omitempty"`
	Keys    []string  `json:"keys"`
	Skipped []string  `json:"passed_over,omitempty"`
	Fetched time.Time `json:"fetched,omitzero"`
	Fault   string    `json:"fault,omitempty"` // of the last fetch
}

// Status tells of every source that was asked for.
func (s *Sets) Status() []Status {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := make([]Status, 0, len(s.sources))
	for _, o := range s.sources {
		st := Status{Source: o.name(), Issuer: o.src.Issuer, Keys: []string{}}
		if r := o.current.Load(); r != nil {
			st.Keys, st.Skipped, st.Fetched = r.set.IDs(), r.set.Skipped, r.at
		}
		o.mu.Lock()
		if o.fault != nil {
			st.Fault = o.fault.Error()
		}
		o.mu.Unlock()
		out = append(out, st)
	}
	return out
}

var _ gate.KeySets = (*Sets)(nil)

var errTooLarge = errors.New("the answer is larger than 512 KiB")
