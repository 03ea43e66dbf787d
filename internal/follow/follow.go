// Package follow keeps the in-memory directory equal to the stored one: it loads everything once, and from then on applies
// what changed, at once when this process wrote and by polling when another did. That is how a key that was created or
// revoked acts on every node within a second without anything being recompiled.
//
// While the store cannot be read the last known directory goes on being served, and Status says so: an outage is no denial.
package follow

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"postern/internal/directory"
	"postern/internal/store"
)

// Source is the part of a store that is followed.
type Source interface {
	EachTenant(ctx context.Context, fn func(directory.Tenant) error) error
	EachApplication(ctx context.Context, fn func(directory.Application) error) error
	EachKey(ctx context.Context, fn func(directory.Key) error) error
	EachSubscription(ctx context.Context, fn func(directory.Subscription) error) error
	EachCredential(ctx context.Context, fn func(directory.Credential) error) error
	Changes(ctx context.Context, since uint64, limit int) ([]store.Change, uint64, error)
}

// Options are the settings of a Follower. The zero value is right for production.
type Options struct {
	// Every is how often the store is asked for changes; default 500 ms.
	Every time.Duration
	// Changed, when set, returns a channel that is closed at the next write of this process (see sqlite.DB.Changed), so that
	// these act without waiting for the next poll.
	Changed func() <-chan struct{}
	// Now is the clock of Status; default time.Now.
	Now func() time.Time
	// Logger hears when the store cannot be read and when it can be again; default: none.
	Logger *slog.Logger
}

// Follower keeps one index equal to one store.
type Follower struct {
	source Source
	index  *directory.Index
	opts   Options

	mu     sync.Mutex // held while changes are applied
	loaded bool
	since  uint64

	state  sync.Mutex
	status Status
}

// Status is how well the index follows.
type Status struct {
	Sequence uint64    `json:"sequence"`        // of the newest change that was applied
	Loads    uint64    `json:"loads"`           // of the whole directory; more than one means that changes were missed
	Applied  uint64    `json:"applied"`         // changes
	Synced   time.Time `json:"synced,omitzero"` // when the index was last known to equal the store
	Fault    string    `json:"fault,omitempty"` // why it is not known now; empty: it is
	Since    time.Time `json:"since,omitzero"`  // of the fault
}

// New returns a follower that has done nothing yet.
func New(source Source, index *directory.Index, opts Options) *Follower {
	if opts.Every <= 0 {
		opts.Every = 500 * time.Millisecond
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	return &Follower{source: source, index: index, opts: opts}
}

// Status says how well the index follows.
func (f *Follower) Status() Status {
	f.state.Lock()
	defer f.state.Unlock()
	return f.status
}

// Sync brings the index to the state that the store has now, or one that is newer. After a write it makes sure that the
// write acts in this process before the writer is answered. The first Sync loads the directory.
func (f *Follower) Sync(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := f.catchUp(ctx)
	f.report(err)
	return err
}

// Run follows until ctx ends, and returns nil then. Faults are logged and tried again.
func (f *Follower) Run(ctx context.Context) error {
	tick := time.NewTicker(f.opts.Every)
	defer tick.Stop()
	for {
		var changed <-chan struct{}
		if f.opts.Changed != nil {
			changed = f.opts.Changed() // before asking: a write in between closes it
		}
		// A fault that lasts is asked about at every tick, not at every write.
		if err := f.Sync(ctx); err != nil {
			changed = nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-tick.C:
		}
	}
}

// page is how many changes are asked for at once.
const page = 1000

func (f *Follower) catchUp(ctx context.Context) error {
	if !f.loaded {
		if err := f.load(ctx); err != nil {
			return err
		}
	}
	for {
		changes, newest, err := f.source.Changes(ctx, f.since, page)
		switch {
		case errors.Is(err, store.ErrHistory):
			f.opts.Logger.Warn("directory changes were missed; loading the whole directory again", "since", f.since, "newest", newest)
			if err := f.load(ctx); err != nil {
				return err
			}
			continue
		case err != nil:
			return fmt.Errorf("directory changes: %w", err)
		}
		for i := range changes {
			if err := f.apply(&changes[i]); err != nil {
				return fmt.Errorf("directory change %d: %w", changes[i].Sequence, err)
			}
			f.since = changes[i].Sequence
		}
		f.state.Lock()
		f.status.Applied += uint64(len(changes))
		f.status.Sequence = f.since
		f.state.Unlock()
		if len(changes) < page {
			return nil
		}
	}
}

// load reads everything. The number of the newest change is read first: what changes during the load is applied twice,
// which does no harm, rather than not at all.
func (f *Follower) load(ctx context.Context) error {
	_, newest, err := f.source.Changes(ctx, 0, 1)
	if err != nil && !errors.Is(err, store.ErrHistory) {
		return fmt.Errorf("load the directory: %w", err)
	}
	l := f.index.Begin()
	for _, step := range []func() error{
		func() error {
			return f.source.EachTenant(ctx, func(t directory.Tenant) error { l.PutTenant(t); return nil })
		},
		func() error {
			return f.source.EachApplication(ctx, func(a directory.Application) error { l.PutApplication(a); return nil })
		},
		func() error { return f.source.EachKey(ctx, func(k directory.Key) error { l.PutKey(k); return nil }) },
		func() error {
			return f.source.EachCredential(ctx, func(c directory.Credential) error { l.PutCredential(c); return nil })
		},
		func() error {
			return f.source.EachSubscription(ctx, func(s directory.Subscription) error { l.PutSubscription(s); return nil })
		},
	} {
		if err := step(); err != nil {
			return fmt.Errorf("load the directory: %w", err)
		}
	}
	l.Commit()
	f.loaded, f.since = true, newest
	f.state.Lock()
	f.status.Loads++
	f.status.Sequence = newest
	f.state.Unlock()
	return nil
}

func (f *Follower) apply(c *store.Change) error {
	switch c.Kind {
	case "tenant":
		if c.Tenant == nil {
			return f.index.DeleteTenant(c.ID)
		}
		return f.index.PutTenant(*c.Tenant)
	case "application":
		if c.Application == nil {
			return f.index.DeleteApplication(c.ID)
		}
		return f.index.PutApplication(*c.Application)
	case "key":
		if c.Key == nil {
			return f.index.DeleteKey(c.ID, c.KeyHash)
		}
		return f.index.PutKey(*c.Key)
	case "credential":
		if c.Credential == nil {
			return f.index.DeleteCredential(c.ID)
		}
		return f.index.PutCredential(*c.Credential)
	case "subscription":
		if c.Subscription == nil {
			return f.index.DeleteSubscription(c.ID)
		}
		return f.index.PutSubscription(*c.Subscription)
	}
	return nil // a kind that a newer version writes is none that this one serves
}

// report keeps the outcome of a Sync, and logs when it differs from the one before.
func (f *Follower) report(err error) {
	f.state.Lock()
	defer f.state.Unlock()
	switch {
	case err == nil:
		if f.status.Fault != "" {
			f.opts.Logger.Info("the directory is followed again", "after", f.opts.Now().Sub(f.status.Since))
		}
		f.status.Fault, f.status.Since, f.status.Synced = "", time.Time{}, f.opts.Now()
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded): // the asker went away; nothing is known
	default:
		if f.status.Fault == "" {
			f.status.Since = f.opts.Now()
			f.opts.Logger.Error("the directory cannot be read; the last known one is served", "error", err)
		}
		f.status.Fault = err.Error()
	}
}
