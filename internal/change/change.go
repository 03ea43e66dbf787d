// Package change is the walk of a configuration change: parse, compile, open listeners, append, swap. What cannot be
// compiled is never stored, and a change that fails at any step leaves the running configuration serving.
package change

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"postern/internal/forward"
	"postern/internal/gate"
	"postern/internal/policy"
	"postern/internal/snapshot"
	"postern/internal/store"
)

// Options is what a Walk works with. All but Listen are required.
type Options struct {
	Store  store.Store
	Pools  *forward.Pools
	Holder *snapshot.Holder
	// Listen makes the data plane listen where the document says, or fails and changes nothing. Nil: not yet.
	Listen func([]policy.Listener) error
	Now    func() time.Time
	Logger *slog.Logger
}

// Walk carries changes through, one at a time.
type Walk struct {
	Options
	mu     sync.Mutex
	source []byte // of the running document, as it was written
}

// New returns a Walk whose Holder is still empty: Start fills it.
func New(o Options) *Walk { return &Walk{Options: o} }

// Empty is the document of an installation that was never configured: one listener, no API.
const Empty = "postern: 1\n"

// Start serves the newest stored generation, or the empty document when there is none. A stored generation that no
// longer compiles (after an upgrade, or because a file it names is gone) is an error that says so.
func (w *Walk) Start(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	g, err := w.Store.CurrentGeneration(ctx)
	if errors.Is(err, store.ErrNotFound) {
		g = store.Generation{Document: []byte(Empty)}
	} else if err != nil {
		return fmt.Errorf("reading the stored configuration: %w", err)
	}
	c, err := w.compile(fmt.Sprintf("generation-%d", g.Number), g.Document, g.Number)
	if err != nil {
		return fmt.Errorf("the stored configuration (generation %d) does not compile; start with --config FILE to replace it: %w", g.Number, err)
	}
	w.serve(c)
	return nil
}

// StartEmpty serves the empty document under the number of the newest stored generation, so that Apply can replace a
// generation that does not compile.
func (w *Walk) StartEmpty(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	g, err := w.Store.CurrentGeneration(ctx)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("reading the stored configuration: %w", err)
	}
	c, err := w.compile("empty", []byte(Empty), g.Number)
	if err != nil {
		return err
	}
	w.serve(c)
	return nil
}

// Current implements admin.Config.
func (w *Walk) Current() (*policy.Document, []byte, uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.Holder.Load()
	return s.Document, w.source, s.Generation
}

// Change is a document to be made the next generation.
type Change struct {
	Base    uint64 // the generation it is based on
	Source  []byte // as it was written
	Name    string // of the source, for positions; default "document"
	Actor   string
	From    string // address of the actor
	Comment string
	Dry     bool // compile, and stop before anything changes
	// Parsed is what Source says, where it was merged from several files: problems then name these. Nil: Source is parsed.
	Parsed *policy.Document
}

// Apply implements admin.Config; see Do.
func (w *Walk) Apply(ctx context.Context, base uint64, source []byte, actor, from, comment string, dry bool) (uint64, error) {
	return w.Do(ctx, Change{Base: base, Source: source, Actor: actor, From: from, Comment: comment, Dry: dry})
}

// Do makes a document the next generation and returns its number. Errors are policy.Problems when it does not compile,
// store.ErrConflict when Base is not the current generation, and faults otherwise.
func (w *Walk) Do(ctx context.Context, ch Change) (uint64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	running := w.Holder.Load()
	if ch.Base != running.Generation {
		return 0, fmt.Errorf("%w: the change is based on generation %d, but %d is running", store.ErrConflict, ch.Base, running.Generation)
	}
	c, err := w.compileChange(ch)
	if err != nil {
		return 0, err
	}
	if ch.Dry {
		c.pools.Discard()
		return ch.Base, nil
	}
	if err := w.listen(c.Document.Listeners); err != nil {
		c.pools.Discard()
		return 0, policy.Problems{{Pointer: "/listeners", Message: err.Error()}}
	}
	if err := w.append(ctx, ch); err != nil {
		c.pools.Discard()
		if undo := w.listen(running.Document.Listeners); undo != nil {
			err = errors.Join(err, fmt.Errorf("returning to the old listeners: %w", undo))
		}
		return 0, err
	}
	w.serve(c)
	return ch.Base + 1, nil
}

func (w *Walk) append(ctx context.Context, ch Change) error {
	now := w.Now()
	entry := store.AuditEntry{Time: now, Actor: ch.Actor, From: ch.From, Action: "config.apply", Target: fmt.Sprintf("generation/%d", ch.Base+1)}
	return w.Store.Update(ctx, entry, func(tx store.Tx) error {
		_, err := tx.AppendGeneration(ctx, ch.Base, store.Generation{Document: ch.Source, Actor: ch.Actor, Comment: ch.Comment, Created: now})
		return err
	})
}

// compiled is a configuration that could be served.
type compiled struct {
	*snapshot.Snapshot
	pools  *forward.Prepared
	source []byte
}

func (w *Walk) compileChange(ch Change) (compiled, error) {
	if ch.Parsed != nil {
		return w.compileDocument(ch.Parsed, ch.Source, ch.Base+1)
	}
	if ch.Name == "" {
		ch.Name = "document"
	}
	return w.compile(ch.Name, ch.Source, ch.Base+1)
}

func (w *Walk) compile(name string, source []byte, generation uint64) (compiled, error) {
	doc, err := policy.Parse(name, source)
	if err != nil {
		return compiled{}, err
	}
	return w.compileDocument(doc, source, generation)
}

func (w *Walk) compileDocument(doc *policy.Document, source []byte, generation uint64) (compiled, error) {
	pools, err := w.Pools.Prepare(doc.Upstreams, Secret)
	if err != nil {
		return compiled{}, Located(doc, upstreamProblems(err))
	}
	s, err := snapshot.Compile(doc, generation, snapshot.Deps{Secret: Secret, Upstream: func(name string) (gate.Upstream, bool) {
		u := pools.Upstream(name)
		return u, u != nil
	}})
	if err != nil {
		pools.Discard()
		return compiled{}, Located(doc, err)
	}
	return compiled{s, pools, source}, nil
}

// serve makes c the running configuration. Nothing in it can fail.
func (w *Walk) serve(c compiled) {
	w.Holder.Swap(c.Snapshot)
	c.pools.Commit()
	w.source = c.source
	for name := range c.Document.Upstreams {
		if missing := c.pools.Upstream(name).State(w.Now()).CredentialError; missing != "" {
			w.Logger.Warn("calls to an upstream will be refused: its credential cannot be had", "upstream", name, "cause", missing)
		}
	}
}

func (w *Walk) listen(l []policy.Listener) error {
	if w.Listen == nil {
		return nil
	}
	return w.Listen(l)
}

// Secret resolves a reference such as ${env:NAME} or ${file:PATH} from the environment and files of this process.
func Secret(s string) (string, error) { return policy.Resolve(s, os.LookupEnv, os.ReadFile) }

// Located adds positions to problems that only know their pointers; other errors are returned as they are.
func Located(doc *policy.Document, err error) error {
	var problems policy.Problems
	if !errors.As(err, &problems) {
		return err
	}
	doc.LocateAll(problems)
	problems.Sort()
	return problems
}

// upstreamProblems words what forward.Pools.Prepare found as problems of the document.
func upstreamProblems(err error) error {
	list := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		list = joined.Unwrap()
	}
	var problems policy.Problems
	for _, e := range list {
		var u *forward.UpstreamError
		if !errors.As(e, &u) {
			return err
		}
		problems = append(problems, policy.Problem{Pointer: "/upstreams/" + policy.EscapePointer(u.Name), Message: u.Err.Error()})
	}
	return problems
}
