package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"postern/internal/change"
	"postern/internal/policy"
	"postern/internal/store"
)

// loadConfiguration starts the stored configuration, or the file or demo document where one is given and differs, and
// listens. A stored configuration that does not compile any more is no obstacle to a file that does.
func (n *node) loadConfiguration(ctx context.Context, f serveFlags) error {
	if err := n.changes.Start(ctx); err != nil {
		if f.config == "" {
			return err
		}
		n.log.Warn("the stored configuration is passed over in favour of --config", "error", err)
		if err := n.changes.StartEmpty(ctx); err != nil {
			return err
		}
	}
	n.changes.Listen = n.listen(ctx)
	applied, err := false, error(nil)
	switch {
	case f.demo != nil:
		applied, err = n.applyDemo(ctx, f.demo)
	case f.config != "":
		applied, err = n.applyFile(ctx, f.config)
	}
	if err != nil || applied {
		return err // a change that was applied has opened the listeners
	}
	return n.changes.Listen(n.holder.Load().Document.Listeners)
}

// applyFile makes a file or folder the running configuration and says whether anything changed.
func (n *node) applyFile(ctx context.Context, path string) (bool, error) {
	ch := change.Change{Name: path, Actor: "file", Comment: "from " + path}
	info, err := os.Stat(path)
	if err != nil {
		return false, fmt.Errorf("configuration: %w", err)
	}
	if !info.IsDir() { // as it is, so that its comments are kept
		if ch.Source, err = os.ReadFile(path); err != nil {
			return false, fmt.Errorf("configuration: %w", err)
		}
		return n.apply(ctx, ch)
	}
	if ch.Parsed, err = policy.ParseFiles(path); err != nil {
		return false, err
	}
	if ch.Source, err = policy.Marshal(ch.Parsed); err != nil {
		return false, err
	}
	return n.apply(ctx, ch)
}

// apply applies a document unless it is what runs already.
func (n *node) apply(ctx context.Context, ch change.Change) (bool, error) {
	_, running, generation := n.changes.Current()
	if generation > 0 && bytes.Equal(bytes.TrimSpace(running), bytes.TrimSpace(ch.Source)) {
		return false, nil
	}
	ch.Base = generation
	_, err := n.changes.Do(ctx, ch)
	return err == nil, err
}

// reloadFile is what SIGHUP does. A file that is wrong changes nothing and is logged.
func (n *node) reloadFile(ctx context.Context, f serveFlags) {
	if f.config == "" {
		n.log.Info("SIGHUP: there is no --config file to read again")
		return
	}
	changed, err := n.applyFile(ctx, f.config)
	var problems policy.Problems
	switch {
	case errors.As(err, &problems):
		for _, p := range problems {
			n.log.Error("SIGHUP: the configuration is wrong, the old one goes on", "problem", p.String())
		}
	case errors.Is(err, store.ErrConflict):
		n.log.Error("SIGHUP: the configuration was changed by somebody else at the same time; try again", "error", err)
	case err != nil:
		n.log.Error("SIGHUP: the configuration could not be applied, the old one goes on", "error", err)
	case changed:
		n.log.Info("SIGHUP: configuration applied", "generation", n.holder.Load().Generation)
	default:
		n.log.Info("SIGHUP: the configuration has not changed")
	}
}

// applyDemo applies the demo's document when nothing is configured, or when the demo itself was the last to configure.
func (n *node) applyDemo(ctx context.Context, source []byte) (bool, error) {
	g, err := n.db.CurrentGeneration(ctx)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return false, err
	}
	if err == nil && g.Actor != "demo" {
		return false, nil // somebody tries changes of their own
	}
	return n.apply(ctx, change.Change{Name: "demo.yaml", Source: source, Actor: "demo", Comment: "the demo's configuration"})
}

type hangup struct{ c chan os.Signal }

func hangups() hangup {
	h := hangup{make(chan os.Signal, 1)}
	signal.Notify(h.c, syscall.SIGHUP)
	return h
}

func (h hangup) stop() { signal.Stop(h.c) }
