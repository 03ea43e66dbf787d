package forward

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// stopper lets the engine's watcher end something that has no connection yet: it cancels when its deadline passes.
type stopper struct{ cancel context.CancelCauseFunc }

var errGone = errors.New("the client went away")

func (s stopper) SetDeadline(time.Time) error {
	s.cancel(errGone)
	return nil
}

// dial connects to the target: TCP, and TLS if it is https, within the connect limit for both together. protocols are
// offered by ALPN. raw is the TCP connection itself.
func (t *target) dial(ctx context.Context, protocols []string) (nc, raw net.Conn, f *fault) {
	limit := t.pool.limits.connect
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errDialTimeout)
	defer cancel()
	d := net.Dialer{KeepAlive: 30 * time.Second}
	raw, err := d.DialContext(ctx, "tcp", t.addr)
	if err != nil {
		return nil, nil, ended(ctx, dialFault(err, limit))
	}
	if !t.https {
		return raw, raw, nil
	}
	cfg := t.pool.tls.Clone()
	if cfg.ServerName == "" {
		cfg.ServerName = t.server
	}
	cfg.NextProtos = protocols
	end := &rawEnd{Conn: raw}
	tc := tls.Client(end, cfg)
	if err := tc.HandshakeContext(ctx); err != nil {
		raw.Close() //nolint:errcheck // given up
		return nil, nil, ended(ctx, handshakeFault(err, limit))
	}
	return tlsLink{tc, end}, raw, nil
}

// tlsLink is a TLS connection that knows how it ended.
type tlsLink struct {
	*tls.Conn
	end *rawEnd
}

// rawEnd is the TCP connection below TLS. It notes that it ended, which crypto/tls does not tell from a proper end: that
// ends with an alert (close_notify) and needs no end of the connection.
type rawEnd struct {
	net.Conn
	cut bool
}

func (r *rawEnd) Read(p []byte) (int, error) {
	n, err := r.Conn.Read(p)
	if err == io.EOF {
		r.cut = true
	}
	return n, err
}

// severed reports whether the connection ended without the alert that ends TLS. A body that is only delimited by the end is
// then incomplete (RFC 9112 section 9.8): anybody on the way can cut a connection.
func (c *conn) severed() bool {
	l, ok := c.nc.(tlsLink)
	return ok && l.end.cut
}

// dial connects for a call: the caller's leaving and the limit of the whole call end it.
func (c *call) dial(t *target, offer []string) (nc, raw net.Conn, f *fault) {
	ctx, cancel := context.WithCancelCause(c.ctx)
	defer cancel(nil)
	c.w.Watch(stopper{cancel})
	defer c.w.Watch(nil)
	if c.total != 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithDeadline(ctx, atTick(c.total))
		defer stop()
	}
	nc, raw, f = t.dial(ctx, offer)
	if f != nil && c.total != 0 && ticks() >= c.total && !f.ours {
		f = timeoutFault(phaseTotal, t.pool.limits.total, f)
		f.unsent = true
	}
	return nc, raw, f
}

var errDialTimeout = fmt.Errorf("connecting took too long: %w", context.DeadlineExceeded)

// ended replaces a fault that was caused by the caller's leaving.
func ended(ctx context.Context, f *fault) *fault {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.DeadlineExceeded) {
		g := goneFault()
		g.unsent = true
		return g
	}
	return f
}
