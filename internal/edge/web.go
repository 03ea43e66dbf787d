package edge

import (
	"context"
	"crypto/tls"
	"errors"
	"log"
	"net"
	"net/http"
	"sync"
	"time"
)

// web is the standard engine of one spec: net/http servers that are given connections instead of accepting them. HTTP/1.x and
// HTTP/2 have a server each because they drain differently: HTTP/2 says GOAWAY, HTTP/1.x has to be waited for (stopHTTP1).
type web struct {
	server *Server
	spec   *spec
	h1, h2 stdServer
	began  bool
}

type stdServer struct {
	http.Server
	queue *handoff
	done  chan struct{}
}

type (
	leaseKey struct{}
	guardKey struct{}
)

// guardOf returns the guard that a request came through; nil for HTTP/2.
func guardOf(r *http.Request) *guard {
	switch g := r.Context().Value(guardKey{}).(type) {
	case *guard:
		return g
	case guardTLS:
		return g.guard
	}
	return nil
}

func newWeb(s *Server, sp *spec) *web {
	w := &web{server: s, spec: sp}
	set := sp.set
	for _, std := range [...]*stdServer{&w.h1, &w.h2} {
		std.queue, std.done = newHandoff(), make(chan struct{})
		std.Handler = w
		std.ReadHeaderTimeout, std.IdleTimeout, std.MaxHeaderBytes = set.header, set.idle, set.headerBytes
		std.ErrorLog = log.New(debugLog{&s.log}, "", 0)
		std.DisableGeneralOptionsHandler = true
		std.HTTP2 = &http.HTTP2Config{
			MaxConcurrentStreams: set.streams,
			MaxReadFrameSize:     16 << 10, // RFC 9113's initial size; larger frames only let one stream hold up others
			WriteByteTimeout:     set.write,
			SendPingTimeout:      max(set.idle/2, time.Second), // finds peers that vanished without a FIN
		}
		std.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(context.WithValue(ctx, leaseKey{}, leaseOf(c)), guardKey{}, c)
		}
		std.Protocols = new(http.Protocols)
		std.Protocols.SetHTTP1(true)
		std.Protocols.SetHTTP2(true)
		std.Protocols.SetUnencryptedHTTP2(true) // reached only by what takeH2C and guard let through
	}
	w.h1.ConnState = func(c net.Conn, state http.ConnState) {
		if ls := leaseOf(c); ls != nil {
			switch state {
			case http.StateNew, http.StateIdle:
				ls.idleSince.Store(int64(mono()))
			default:
				ls.idleSince.Store(0)
			}
		}
	}
	return w
}

// leaseOf finds the lease below a connection that was handed over.
func leaseOf(c net.Conn) *lease {
	switch c := c.(type) {
	case *lease:
		return c
	case *tls.Conn:
		return leaseOf(c.NetConn())
	case *guard:
		return c.lease
	case guardTLS:
		return c.lease
	case *tunnel:
		return leaseOf(c.Conn)
	}
	return nil
}

func (w *web) start(l *listener) {
	w.began = true
	for _, std := range [...]*stdServer{&w.h1, &w.h2} {
		l.background.Go(func() {
			defer close(std.done)
			if err := std.Serve(std.queue); err != nil && !errors.Is(err, http.ErrServerClosed) {
				w.server.log.Error("the standard engine stopped", "listener", w.spec.policy.Name, "error", err)
			}
		})
	}
}

// take hands a connection to net/http.
func (w *web) take(c net.Conn) {
	ls := leaseOf(c)
	ls.idleSince.Store(int64(mono()))
	ls.hand()
	std := &w.h2
	switch c.(type) {
	case *guard, guardTLS:
		std = &w.h1
	}
	if !std.queue.put(c) {
		_ = c.Close()
	}
}

// stop drains the engine and reports whether every request ended before ctx.
func (w *web) stop(ctx context.Context, l *listener) bool {
	if !w.began {
		return true
	}
	w.spec.retired.Store(true)
	h2 := make(chan error, 1)
	go func() { h2 <- w.h2.Shutdown(ctx) }() // GOAWAY
	clean := w.stopHTTP1(ctx, l)
	clean = w.h1.Shutdown(ctx) == nil && clean
	clean = <-h2 == nil && clean
	if !clean {
		_ = w.h1.Close()
		_ = w.h2.Close()
	}
	<-w.h1.done
	<-w.h2.done
	return clean
}

// stopHTTP1 waits until HTTP/1.x connections have ended. http.Server.Shutdown closes idle ones at once and with them
// requests that are on their way; here a connection has to be idle for drainIdle first, and answers say that it closes.
func (w *web) stopHTTP1(ctx context.Context, l *listener) bool {
	tick := time.NewTicker(drainLook)
	defer tick.Stop()
	for {
		left := 0
		now := int64(mono())
		l.connsMu.Lock()
		for ls := range l.leases {
			if ls.sp != w.spec || ls.guard == nil || ls.guard.raw.Load() {
				continue
			}
			left++
			if idle := ls.idleSince.Load(); idle != 0 && now-idle > int64(drainIdle) {
				_ = ls.guard.Conn.SetReadDeadline(longAgo)
			}
		}
		l.connsMu.Unlock()
		if left == 0 {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
}

// handoff is a net.Listener over connections that somebody else accepted.
type handoff struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newHandoff() *handoff {
	return &handoff{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (h *handoff) put(c net.Conn) bool {
	select {
	case h.conns <- c:
		return true
	case <-h.closed:
		return false
	}
}

// Accept implements net.Listener.
func (h *handoff) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (h *handoff) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}

// Addr implements net.Listener.
func (h *handoff) Addr() net.Addr { return &net.TCPAddr{} }

// debugLog takes what net/http says of its connections. It is about single clients, mostly scanners, so it is not more
// than debugging output.
type debugLog struct{ log *limitedLog }

func (d debugLog) Write(p []byte) (int, error) {
	d.log.Debug("net/http: " + string(p))
	return len(p), nil
}

// takeH2C gives a plain connection whose client speaks HTTP/2 to the standard engine, if the listener allows h2c.
func (l *listener) takeH2C(c *conn) bool {
	if !c.set.h2c {
		return false
	}
	c.phase, c.handed = phaseRaw, true
	_ = c.nc.SetDeadline(noDeadline)
	c.sp.web.take(&tunnel{Conn: c.lease, r: c.r})
	return true
}
