package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"postern/internal/admin"
	"postern/internal/ask"
	"postern/internal/calllog"
	"postern/internal/change"
	"postern/internal/counter"
	"postern/internal/decision"
	"postern/internal/directory"
	"postern/internal/edge"
	"postern/internal/follow"
	"postern/internal/forward"
	"postern/internal/gate"
	"postern/internal/introspect"
	"postern/internal/jwks"
	"postern/internal/pdp"
	"postern/internal/policy"
	"postern/internal/provider"
	"postern/internal/provider/openai"
	"postern/internal/record"
	"postern/internal/signing"
	"postern/internal/snapshot"
	"postern/internal/sqlite"
	"postern/internal/store"
)

// node is one running Postern: everything, assembled. This file is the only place that knows all parts.
type node struct {
	log       *slog.Logger
	db        *sqlite.DB
	index     *directory.Index
	follower  *follow.Follower
	counters  *counter.Counters
	records   *calllog.Log
	pools     *forward.Pools
	keySets   *jwks.Sets
	holder    *snapshot.Holder
	changes   *change.Walk
	edge      *edge.Server
	admin     *admin.Server
	bootstrap string // one-time token; empty once there is an administrator

	management *http.Server
	closeLog   func() error

	stopBackground context.CancelFunc
	backgroundCtx  context.Context
	running        sync.WaitGroup
}

// background runs until close.
func (n *node) background(run func(context.Context) error) {
	n.running.Add(1)
	go func() {
		defer n.running.Done()
		if err := run(n.backgroundCtx); err != nil && n.backgroundCtx.Err() == nil {
			n.log.Error("a background task ended", "error", err)
		}
	}()
}

// sync makes a write of this process act before its writer is answered. A fault is logged by the follower, which goes on
// trying.
func (n *node) sync() { _ = n.follower.Sync(n.backgroundCtx) }

// translators are the dialects this binary speaks to model servers.
func translators(dialect string) provider.Translator {
	if dialect == "openai" {
		return openai.Translator{}
	}
	return nil
}

// openNode opens the data folder and assembles a node that does not listen yet.
func openNode(ctx context.Context, f serveFlags, log *slog.Logger, stdout io.Writer) (_ *node, err error) {
	n := &node{log: log, closeLog: func() error { return nil }}
	n.backgroundCtx, n.stopBackground = context.WithCancel(context.WithoutCancel(ctx))
	defer func() {
		if err != nil {
			err = errors.Join(err, n.close(ctx))
		}
	}()
	if n.db, err = sqlite.Open(ctx, f.data, sqlite.Options{Logger: log}); err != nil {
		return nil, err
	}
	n.index = directory.NewIndex()
	n.follower = follow.New(n.db, n.index, follow.Options{Changed: n.db.Changed, Logger: log})
	if err := n.follower.Sync(ctx); err != nil {
		return nil, fmt.Errorf("loading the directory: %w", err)
	}
	n.background(n.follower.Run)
	n.counters = counter.New(counter.Options{})
	if _, lost, err := n.counters.Restore(ctx, time.Now(), n.db.Counters()); err != nil {
		return nil, fmt.Errorf("restoring the counters: %w", err)
	} else if lost > 0 {
		log.Warn("some limits start anew: their counters could not be restored", "counters", lost)
	}
	accessLog, closeLog, err := f.openAccessLog(stdout)
	if err != nil {
		return nil, err
	}
	n.closeLog = closeLog
	n.records = calllog.New(calllog.Options{
		Records: n.db.Records(), AccessLog: accessLog, Logger: log, KeepFor: f.recordsKeep, KeepRecords: f.recordsMost,
	})
	n.pools = forward.NewPools(forward.PoolOptions{Logger: log})
	n.holder = &snapshot.Holder{}
	n.changes = change.New(change.Options{Store: n.db, Pools: n.pools, Holder: n.holder, Now: time.Now, Logger: log})
	n.keySets = jwks.New(jwks.Options{Logger: log})
	signingKeys := signing.New(signing.Options{Store: n.db, Other: n.keySets, Now: time.Now, Logger: log, Wanted: func() bool {
		s := n.holder.Load()
		return s != nil && s.Document.TokenEndpoint != nil
	}})
	n.background(signingKeys.Run)
	env := &gate.Env{Now: time.Now, Directory: n.index, Counters: n.counters, KeySets: signingKeys, TokenSigner: signingKeys, Introspector: &introspect.Client{}, Credentials: n.index, Asker: ask.New(ask.Options{})}
	n.edge = edge.New(edge.Options{
		Current:   n.current,
		Forwarder: forward.New(forward.Options{Logger: log, Translators: translators}),
		Env:       env,
		Recorder:  n.records,
		Logger:    log,
		ACMEDir:   filepath.Join(n.db.Folder(), "acme"),
	})
	n.admin, err = admin.New(admin.Options{
		Store: n.db, Records: n.remembered(), Config: n.changes, Lab: &labAdapter{node: n, env: env},
		Changed: n.sync, Operations: n.operations, Decisions: n.decisions, Status: n.status, Ready: n.notReady,
		Gatherer: n.metrics(), Hosts: f.adminHosts, Version: versionText(), Now: time.Now, Logger: log,
	})
	return n, err
}

// remembered is the call records including those that wait to be written, so that a refusal of a moment ago is found.
func (n *node) remembered() store.Records { return freshRecords{n.db.Records(), n.records} }

type freshRecords struct {
	store.Records
	log *calllog.Log
}

func (r freshRecords) Record(ctx context.Context, id decision.TraceID) (record.Record, error) {
	return r.log.Get(ctx, id)
}

func (r freshRecords) FindRecords(ctx context.Context, q record.Query) ([]record.Record, error) {
	return r.log.Find(ctx, q)
}

// current is what the data plane judges by.
func (n *node) current() edge.Current {
	s := n.holder.Load()
	return edge.Current{Judge: s, Generation: s.Generation, PortalURL: s.Document.PortalURL}
}

func (n *node) operations() []snapshot.Operation { return n.holder.Load().Operations() }

func (n *node) decisions(set string) *pdp.Service { return n.holder.Load().Decisions(set) }

// defaultListeners serve a document that names none.
var defaultListeners = []policy.Listener{{Name: "default", Address: ":8080"}}

func (n *node) listen(ctx context.Context) func([]policy.Listener) error {
	return func(l []policy.Listener) error {
		if len(l) == 0 {
			l = defaultListeners
		}
		return n.edge.Reload(ctx, l)
	}
}

// run serves until ctx ends. started is called once, when everything listens; nil is allowed.
func (n *node) run(ctx context.Context, f serveFlags, stdout io.Writer, started func(context.Context, *node) error) error {
	reload := hangups() // before anything listens: a SIGHUP meant for a reload must not end a process that is ready
	defer reload.stop()
	management, err := net.Listen("tcp", f.admin)
	if err != nil {
		return fmt.Errorf("the management API cannot listen on %s: %w; end the program that uses the port, or choose another with --admin", f.admin, err)
	}
	defer management.Close()
	if err := n.loadConfiguration(ctx, f); err != nil {
		return err
	}
	if n.bootstrap, err = n.admin.EnsureBootstrap(ctx); err != nil {
		return err
	}
	n.management = &http.Server{Handler: n.admin.Handler(), ReadHeaderTimeout: 10 * time.Second, WriteTimeout: 2 * time.Minute, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(n.log.Handler(), slog.LevelWarn)}
	failed := make(chan error, 1)
	go func() { failed <- n.management.Serve(management) }()
	if started != nil {
		if err := started(ctx, n); err != nil {
			return err
		}
	} else {
		n.announce(stdout, management.Addr())
	}
	go debug.FreeOSMemory() // what starting took, schemas above all, need not wait for the scavenger
	return n.untilEnd(ctx, f, failed, reload.c)
}

// announce prints where things are. The bootstrap token goes to standard output only, never to a log.
func (n *node) announce(w io.Writer, management net.Addr) {
	for name, address := range n.edge.Addresses() {
		fmt.Fprintf(w, "gateway %s listens on %s\n", name, address)
	}
	fmt.Fprintf(w, "management API on http://%s\n", management)
	if n.bootstrap != "" {
		fmt.Fprintf(w, "bootstrap token: %s\n(works for 24 hours or until the first administrator is made: `postern login`, then `postern users create --role admin`)\n", n.bootstrap)
	}
}

// untilEnd saves counters regularly and applies the file on SIGHUP until ctx ends or the management listener fails.
func (n *node) untilEnd(ctx context.Context, f serveFlags, failed <-chan error, reload <-chan os.Signal) error {
	save := time.NewTicker(time.Second)
	defer save.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			return fmt.Errorf("the management API stopped: %w", err)
		case <-save.C:
			if err := n.counters.Save(ctx, time.Now(), n.db.Counters()); err != nil && ctx.Err() == nil {
				n.log.Error("the counters could not be saved; they go on in memory", "error", err)
			}
		case <-reload:
			n.reloadFile(ctx, f)
		}
	}
}

// close ends everything in the order that loses nothing: callers first, then what remembers them, the store last. It can be
// called on a node that is only partly open.
func (n *node) close(ctx context.Context) error {
	var errs []error
	if n.edge != nil {
		errs = append(errs, n.edge.Shutdown(ctx))
	}
	if n.management != nil {
		errs = append(errs, n.management.Shutdown(ctx))
	}
	if n.pools != nil {
		n.pools.Close()
	}
	if n.keySets != nil {
		n.keySets.Close()
	}
	if n.records != nil {
		errs = append(errs, n.records.Close(ctx))
	}
	n.stopBackground()
	n.running.Wait()
	if n.counters != nil && n.db != nil {
		errs = append(errs, n.counters.Save(context.WithoutCancel(ctx), time.Now(), n.db.Counters()))
	}
	if n.db != nil {
		errs = append(errs, n.db.Close())
	}
	return errors.Join(append(errs, n.closeLog())...)
}

// metrics gathers what every part counts.
func (n *node) metrics() prometheus.Gatherer {
	r := prometheus.NewRegistry()
	r.MustRegister(n.edge, n.pools.Collector(), n.records, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// status is what GET /api/v1/status says of this node.
func (n *node) status() any {
	listeners := map[string]string{}
	for name, a := range n.edge.Addresses() {
		listeners[name] = a.String()
	}
	return struct {
		Listeners map[string]string `json:"listeners"`
		Upstreams any               `json:"upstreams"`
		Records   any               `json:"records"`
		KeySets   []jwks.Status     `json:"key_sets"`
	}{listeners, n.pools.Status(), n.records.Stats(), n.keySets.Status()}
}

func (n *node) notReady() []string {
	var why []string
	if n.holder.Load() == nil {
		why = append(why, "no configuration is running")
	}
	if s := n.follower.Status(); s.Synced.IsZero() {
		why = append(why, "the directory is not loaded")
	}
	return why
}
