package edge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"postern/internal/policy"
)

// Server is the data plane: a set of listeners that changes at run time. It is a prometheus.Collector.
type Server struct {
	opts      Options
	log       limitedLog
	shards    [shardCount]shard
	nextShard atomic.Uint32
	rejected  rejections
	acme      acmeSet

	mu        sync.Mutex // held by Start, Reload and Shutdown
	listeners map[string]*listener
	stopped   bool
	retiring  sync.WaitGroup // listeners that were removed and finish their requests
}

// New makes a server without listeners.
func New(o Options) *Server {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	s := &Server{opts: o, listeners: map[string]*listener{}}
	s.log.Logger = o.Logger
	for i := range s.shards {
		s.shards[i].refusals = make([]atomic.Int64, len(reasons)+1)
	}
	return s
}

// ErrStopped is returned by Start and Reload after Shutdown.
var ErrStopped = errors.New("the server has been shut down")

// Start opens the listeners. If one cannot be opened, none is. It returns at once; Shutdown ends what it started.
func (s *Server) Start(ctx context.Context, listeners []policy.Listener) error {
	return s.Reload(ctx, listeners)
}

// Reload makes these the listeners. One whose address stays keeps its socket: if its settings changed, new connections get
// the new ones, and old connections finish their request under the old ones. New addresses are opened before anything
// else changes; if one fails, everything stays as it was. Removed listeners drain in the background.
func (s *Server) Reload(ctx context.Context, listeners []policy.Listener) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return ErrStopped
	}
	specs := make(map[string]*spec, len(listeners))
	opened := map[string]net.Listener{}
	undo := func(err error) error {
		for _, ln := range opened {
			_ = ln.Close()
		}
		for _, sp := range specs {
			sp.discard()
		}
		return err
	}
	for _, p := range listeners {
		key := keyOf(p)
		if specs[key] != nil {
			return undo(fmt.Errorf("listener %q: the address %s is used by listener %q already", p.Name, p.Address, specs[key].policy.Name))
		}
		if old := s.listeners[key]; old != nil && reflect.DeepEqual(old.spec.Load().policy, p) {
			specs[key] = old.spec.Load()
			continue
		}
		sp, err := s.newSpec(p)
		if err != nil {
			return undo(fmt.Errorf("listener %q: %w", p.Name, err))
		}
		specs[key] = sp
		if s.listeners[key] != nil {
			continue
		}
		var lc net.ListenConfig
		ln, err := lc.Listen(ctx, "tcp", p.Address)
		if err != nil {
			return undo(listenError(p, err, s.holder(p, listeners)))
		}
		opened[key] = ln
	}
	for key, sp := range specs {
		if old := s.listeners[key]; old != nil {
			if old.spec.Load() != sp {
				replaced := old.replace(sp)
				s.retiring.Go(func() { old.retireReplaced(replaced) })
			}
			continue
		}
		l := newListener(s, opened[key], sp)
		s.listeners[key] = l
		l.start()
		s.log.Info("listening", "listener", sp.policy.Name, "address", l.ln.Addr().String())
	}
	for key, l := range s.listeners {
		if specs[key] != nil {
			continue
		}
		delete(s.listeners, key)
		s.log.Info("listener removed; finishing its requests", "listener", l.name(), "address", l.ln.Addr().String())
		s.retiring.Go(func() { l.shutdown(context.Background()) })
	}
	s.beginACME()
	return nil
}

// beginACME starts the certificate managers that listeners now refer to.
func (s *Server) beginACME() {
	var plain net.Addr
	for _, l := range s.listeners {
		if l.spec.Load().tls == nil && (plain == nil || strings.HasSuffix(l.ln.Addr().String(), ":80")) {
			plain = l.ln.Addr()
		}
	}
	for _, l := range s.listeners {
		if c := l.spec.Load().tls; c != nil && c.acme != nil {
			if err := c.acme.begin(l.ln.Addr(), plain); err != nil {
				s.log.Error("certificates cannot be managed", "listener", l.name(), "error", err)
			}
		}
	}
}

// keyOf identifies a socket over reloads: its address, or its name when the system chooses the port.
func keyOf(p policy.Listener) string {
	if strings.HasSuffix(p.Address, ":0") {
		return p.Name + " " + p.Address
	}
	return p.Address
}

// holder is the name of a running listener that is about to be removed and has the port of p, if there is one.
func (s *Server) holder(p policy.Listener, next []policy.Listener) string {
	_, port, _ := net.SplitHostPort(p.Address)
	for _, l := range s.listeners {
		_, other, _ := net.SplitHostPort(l.ln.Addr().String())
		stays := slices.ContainsFunc(next, func(n policy.Listener) bool { return keyOf(n) == keyOf(l.spec.Load().policy) })
		if port == other && !stays {
			return l.name()
		}
	}
	return ""
}

// listenError says which listener could not be opened, the likely cause and what to do. holder is a listener of our own
// that has the port.
func listenError(p policy.Listener, err error, holder string) error {
	hint := ""
	switch {
	case errors.Is(err, syscall.EADDRINUSE) && holder != "":
		hint = fmt.Sprintf(": the running listener %q has that port on an overlapping address; remove it in one change and add the new one in the next, or restart", holder)
	case errors.Is(err, syscall.EADDRINUSE):
		hint = ": another program, or a second Postern, listens there; stop it (ss -ltnp shows which) or choose another address"
	case errors.Is(err, syscall.EACCES):
		hint = ": ports below 1024 need the right to bind them (setcap cap_net_bind_service=+ep on the binary); or choose a higher port"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		hint = ": no network interface of this machine has that address; use one that it has, or leave the host empty for all of them"
	}
	return fmt.Errorf("listener %q cannot listen on %s: %w%s", p.Name, p.Address, err, hint)
}

// Addresses returns the address each listener listens on, by its name: useful when the system chose the port.
func (s *Server) Addresses() map[string]net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[string]net.Addr, len(s.listeners))
	for _, l := range s.listeners {
		out[l.name()] = l.ln.Addr()
	}
	return out
}

// Shutdown stops accepting, lets requests in progress finish (with "Connection: close" or GOAWAY), and returns when all
// connections are closed. When ctx or a listener's drain time ends first, the rest is broken off; that is an error.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.stopped = true
	listeners := s.listeners
	s.listeners = map[string]*listener{}
	s.mu.Unlock()
	var all sync.WaitGroup
	errs := make(chan error, len(listeners))
	for _, l := range listeners {
		all.Go(func() { errs <- l.shutdown(ctx) })
	}
	all.Wait()
	close(errs)
	var err error
	for e := range errs {
		err = errors.Join(err, e)
	}
	finished := make(chan struct{})
	go func() {
		s.retiring.Wait()
		close(finished)
	}()
	select {
	case <-finished:
	case <-ctx.Done():
		err = errors.Join(err, fmt.Errorf("removed listeners still had requests: %w", ctx.Err()))
	}
	s.acme.stop()
	return err
}

func (s *Server) shard() *shard { return &s.shards[s.nextShard.Add(1)%shardCount] }
