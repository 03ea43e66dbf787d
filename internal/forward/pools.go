package forward

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"postern/internal/gate"
	"postern/internal/http1"
	"postern/internal/policy"
)

type logger = *slog.Logger

const maxAttempts = 8

// Pools are the upstreams of the process. They outlive configurations: a pool whose configuration did not change is kept.
type Pools struct {
	now func() time.Time
	log logger

	commit sync.Mutex // one Commit at a time, with the retiring that follows

	mu     sync.Mutex
	live   map[string]*pool
	stop   chan struct{} // ends the sweeper; nil while it does not run
	swept  sync.WaitGroup
	closed bool
}

// PoolOptions are what Pools need. Zero fields mean defaults.
type PoolOptions struct {
	Now    func() time.Time // for Status and active checks; default time.Now
	Logger *slog.Logger     // default slog.Default()
}

// NewPools returns an empty set of pools.
func NewPools(o PoolOptions) *Pools {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return &Pools{now: o.Now, log: o.Logger, live: map[string]*pool{}}
}

// Prepared is a set of upstreams that could be put into service.
type Prepared struct {
	owner     *Pools
	upstreams map[string]*Upstream
}

// UpstreamError says which upstream is wrong and why. Its text names no secret.
type UpstreamError struct {
	Name string // key in the document's upstreams
	Err  error
}

func (e *UpstreamError) Error() string { return fmt.Sprintf("upstream %s: %v", e.Name, e.Err) }

// Unwrap returns the cause.
func (e *UpstreamError) Unwrap() error { return e.Err }

// Prepare builds what a configuration names, reusing pools whose configuration (with the contents of its TLS files) is
// unchanged. Nothing is connected, started or stopped before Commit. secrets resolves the references in a credential's
// value; a value that cannot be resolved is no error here but a state of the upstream (gate.UpstreamState.CredentialError),
// because it may be wanted that the rest of the configuration works. Errors are *UpstreamError, joined, one for each upstream.
func (p *Pools) Prepare(upstreams map[string]policy.Upstream, secrets func(string) (string, error)) (*Prepared, error) {
	p.mu.Lock()
	live := maps.Clone(p.live)
	p.mu.Unlock()
	out := &Prepared{owner: p, upstreams: make(map[string]*Upstream, len(upstreams))}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(upstreams)) {
		u, err := p.prepare(name, upstreams[name], live[name], secrets)
		if err != nil {
			errs = append(errs, &UpstreamError{name, err})
			continue
		}
		out.upstreams[name] = u
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return out, nil
}

func (p *Pools) prepare(name string, cfg policy.Upstream, old *pool, secrets func(string) (string, error)) (*Upstream, error) {
	u := &Upstream{keepCaller: cfg.KeepCredential, identity: newIdentity(cfg.Identity)}
	if c := cfg.Credential; c != nil {
		if !http1.ValidFieldName(c.Header) || framing(c.Header) {
			return nil, fmt.Errorf("credential header %q cannot be set: write a field name such as Authorization", c.Header)
		}
		u.credential.Name = c.Header
		value, err := c.Value, error(nil)
		if secrets != nil {
			value, err = secrets(c.Value)
		}
		switch {
		case err != nil:
			u.missing = err.Error()
		case value == "" || !http1.ValidFieldValue(value):
			u.missing = "the referenced secret is empty or contains characters that a header field cannot carry"
		default:
			u.credential.Value = value
		}
	}
	cfg.Credential, cfg.KeepCredential, cfg.Identity = nil, false, nil
	key, err := poolKey(cfg)
	if err != nil {
		return nil, err
	}
	if old != nil && old.key == key {
		u.pool = old
		return u, nil
	}
	if u.pool, err = newPool(name, key, cfg, p.log, p.now); err != nil {
		return nil, err
	}
	return u, nil
}

// poolKey is the identity of a pool: its configuration and what is in the files it names.
func poolKey(cfg policy.Upstream) (string, error) {
	text, err := json.Marshal(cfg)
	if err != nil {
		return "", fmt.Errorf("write the configuration: %w", err)
	}
	sum, err := tlsFilesSum(cfg.TLS)
	if err != nil {
		return "", err
	}
	return string(text) + sum, nil
}

// Upstream returns the upstream of that name, or nil.
func (p *Prepared) Upstream(name string) gate.Upstream {
	if u, ok := p.upstreams[name]; ok {
		return u
	}
	return nil
}

// Commit puts the set into service. Pools that it does not name, or whose configuration changed, retire: their checks stop
// and idle connections close, calls in flight finish. A new pool of an old name inherits what is known about common targets.
func (p *Prepared) Commit() {
	o := p.owner
	o.commit.Lock()
	defer o.commit.Unlock()
	o.mu.Lock()
	if o.closed {
		o.mu.Unlock()
		return
	}
	old := o.live
	o.live = make(map[string]*pool, len(p.upstreams))
	var gone []*pool
	for name, u := range p.upstreams {
		o.live[name] = u.pool
		if was := old[name]; was != nil && was != u.pool {
			u.pool.inherit(was)
		}
		u.pool.start()
	}
	for name, was := range old {
		if o.live[name] != was {
			gone = append(gone, was)
		}
	}
	if o.stop == nil {
		stop := make(chan struct{})
		o.stop = stop
		o.swept.Go(func() { o.sweep(stop) })
	}
	o.mu.Unlock()
	for _, g := range gone {
		g.retire()
	}
}

// Discard gives the set up. Nothing was started, so there is nothing to stop.
func (p *Prepared) Discard() { p.upstreams = nil }

// Close retires every pool and waits until nothing of them runs but calls in flight.
func (p *Pools) Close() {
	p.commit.Lock()
	defer p.commit.Unlock()
	p.mu.Lock()
	live, stop := p.live, p.stop
	p.live, p.stop, p.closed = nil, nil, true
	p.mu.Unlock()
	if stop != nil {
		close(stop)
	}
	p.swept.Wait()
	for _, l := range live {
		l.retire()
	}
}

// sweep closes connections that have been idle for too long.
func (p *Pools) sweep(stop <-chan struct{}) {
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		p.mu.Lock()
		live := slices.Collect(maps.Values(p.live))
		p.mu.Unlock()
		for _, l := range live {
			for _, t := range l.targets {
				t.idle.sweep(l.limits.idle)
			}
		}
	}
}
