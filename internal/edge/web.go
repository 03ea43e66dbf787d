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

// web is the standard engine of one spec: a net/http server that is given connections instead of accepting them.
type web struct {
	server *Server
	spec   *spec
	http   *http.Server
	queue  *handoff
	done   chan struct{}
	began  bool
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
	w := &web{server: s, spec: sp, queue: newHandoff(), done: make(chan struct{})}
	set := sp.set
	w.http = &http.Server{
		Handler:                      w,
		ReadHeaderTimeout:            set.header,
		IdleTimeout:                  set.idle,
		MaxHeaderBytes:               set.headerBytes,
		ErrorLog:                     log.New(debugLog{&s.log}, "", 0),
		DisableGeneralOptionsHandler: true,
		Protocols:                    new(http.Protocols),
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: set.streams,
			MaxReadFrameSize:     16 << 10, // RFC 9113's initial size; larger frames only let one stream hold up others
			WriteByteTimeout:     set.write,
			SendPingTimeout:      max(set.idle/2, time.Second), // finds peers that vanished without a FIN
		},
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(context.WithValue(ctx, leaseKey{}, leaseOf(c)), guardKey{}, c)
		},
	}
	w.http.Protocols.SetHTTP1(true)
	w.http.Protocols.SetHTTP2(true)
	w.http.Protocols.SetUnencryptedHTTP2(true) // reached only by connections that the listener hands over: see takeH2C
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
	l.background.Go(func() {
		defer close(w.done)
		if err := w.http.Serve(w.queue); err != nil && !errors.Is(err, http.ErrServerClosed) {
			w.server.log.Error("the standard engine stopped", "listener", w.spec.policy.Name, "error", err)
		}
	})
}

// take hands a connection to net/http.
func (w *web) take(c net.Conn) {
	if ls := leaseOf(c); ls != nil {
		ls.hand()
	}
	if !w.queue.put(c) {
		_ = c.Close()
	}
}

// stop drains the engine and reports whether every request ended before ctx.
func (w *web) stop(ctx context.Context) bool {
	if !w.began {
		return true
	}
	clean := w.http.Shutdown(ctx) == nil // GOAWAY, and waits for what is in progress
	if !clean {
		_ = w.http.Close()
	}
	<-w.done
	return clean
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
