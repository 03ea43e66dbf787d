package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

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

// applyFile makes a file the running configuration and says whether anything changed.
func (n *node) applyFile(ctx context.Context, path string) (bool, error) {
	source, err := readDocument(path)
	if err != nil {
		return false, err
	}
	return n.applySource(ctx, source, "file", "from "+path)
}

// applySource applies a document unless it is what runs already.
func (n *node) applySource(ctx context.Context, source []byte, actor, comment string) (bool, error) {
	_, running, generation := n.changes.Current()
	if generation > 0 && bytes.Equal(bytes.TrimSpace(running), bytes.TrimSpace(source)) {
		return false, nil
	}
	_, err := n.changes.Apply(ctx, generation, source, actor, "", comment, false)
	return err == nil, err
}

// readDocument reads a file as it is, so that its comments are kept, and a folder as one merged document.
func readDocument(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	if !info.IsDir() {
		return os.ReadFile(path)
	}
	doc, err := policy.ParseFiles(path)
	if err != nil {
		return nil, err
	}
	return policy.Marshal(doc)
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
	return n.applySource(ctx, source, "demo", "the demo's configuration")
}

type hangup struct{ c chan os.Signal }

func hangups() hangup {
	h := hangup{make(chan os.Signal, 1)}
	signal.Notify(h.c, syscall.SIGHUP)
	return h
}

func (h hangup) stop() { signal.Stop(h.c) }
