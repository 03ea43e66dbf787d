package edge

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"math"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"postern/internal/decision"
	"postern/internal/forward"
	"postern/internal/gate"
	"postern/internal/header"
	"postern/internal/http1"
)

// conn is one connection of the fast engine: HTTP/1.x, one request after the other on one goroutine.
type conn struct {
	l      *listener
	lease  *lease
	sp     *spec
	set    *settings
	nc     net.Conn     // what HTTP is read from
	wr     net.Conn     // what HTTP is written to: nc, or the socket below a PROXY reader
	tcp    *net.TCPConn // the socket below; nil in tests without one
	peer   netip.AddrPort
	tls    *tls.ConnectionState
	scheme string
	r      *http1.Reader
	shard  *shard
	ctx    context.Context
	cancel context.CancelFunc
	call   *call // of the request in progress

	setRead, setWrite func(time.Time) error // method values, made once
	readBy, writeBy   deadline
	phase             phase
	headBy            moment
	expect            atomic.Bool // the client waits for 100 (Continue)
	expectMu          sync.Mutex  // orders 100 (Continue) before the final answer; used only by requests that expect it

	watch
	place     int           // in the listener's list
	turn      atomic.Uint32 // odd while a request is in progress
	idleSince atomic.Int64  // moment the last request ended
	closing   atomic.Bool   // close after the request in progress
	handed    bool          // given to the standard engine
	upgraded  atomic.Bool   // raw bytes: a half-closed client is nothing unusual
	seen      uint32        // sweeper: turn at its last look
	finAt     moment        // sweeper: when it first saw the client's FIN
}

// newConn makes a connection of the fast engine. nc is read, wr is written; state is nil on plain connections.
func newConn(ls *lease, sp *spec, nc, wr net.Conn, state *tls.ConnectionState) *conn {
	c := &conn{l: ls.l, lease: ls, sp: sp, set: ls.set, nc: nc, wr: wr, tcp: ls.tcp, peer: ls.peer, tls: state, scheme: "http", shard: ls.shard}
	if state != nil {
		c.scheme = "https"
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.setRead, c.setWrite = nc.SetReadDeadline, wr.SetWriteDeadline
	c.r = http1.NewReader((*source)(c), ls.set.head)
	c.idleSince.Store(int64(mono()))
	return c
}

// phase says which time limit a read is under.
type phase uint8

const (
	phaseIdle phase = iota // between requests
	phaseHead              // the first byte of a request is there
	phaseBody
	phaseLast // a last look before an idle connection is closed: the deadline is set already
	phaseRaw  // after an upgrade
)

const lastLook = 5 * time.Millisecond

// source is the conn as http1 reads from it: under the time limit of the phase.
type source conn

func (s *source) Read(p []byte) (int, error) {
	c := (*conn)(s)
	switch c.phase {
	case phaseIdle:
		c.readBy.extend(c.setRead, c.set.idle)
		forward.StandAside() // in a crowd the next request is there by then: no read that fails, and no wait
	case phaseHead:
		// The first read of a head usually brings all of it. Only when there is a second one the clock starts, and it does
		// not start again with each byte: a client that sends a byte now and then (slowloris) has the same time as others.
		if c.headBy == 0 {
			c.headBy = mono() + c.set.header
			c.readBy.set(c.setRead, c.headBy)
		}
	case phaseBody:
		if c.expect.Load() {
			c.sayContinue()
		}
		c.readBy.extend(c.setRead, c.set.body)
		if c.call.body.closed.Load() { // after the deadline was set: Interrupt must not be overruled
			return 0, errBodyClosed
		}
	}
	return c.nc.Read(p)
}

// serve handles requests until the connection ends. It closes the connection.
func (c *conn) serve() {
	c.l.remember(c)
	defer c.end()
	for {
		c.phase = phaseIdle
		if err := c.r.Wait(); err != nil {
			if !c.closing.Load() || !isTimeout(err) {
				return
			}
			// A drain woke the idle connection. A request that crossed the wake-up is still served.
			c.phase = phaseLast
			c.readBy.set(c.setRead, mono()+lastLook)
			if c.r.Wait() != nil {
				return
			}
		}
		c.turn.Add(1)
		c.l.startSweeper()
		c.phase, c.headBy = phaseHead, 0
		cl := takeCall()
		keep := c.exchange(cl)
		cl.release()
		c.call = nil
		if !keep {
			return
		}
		c.idleSince.Store(int64(mono()))
		c.turn.Add(1)
	}
}

func isTimeout(err error) bool {
	var network net.Error
	return errors.As(err, &network) && network.Timeout()
}

// exchange handles one request, of which at least one byte has arrived. It reports whether the connection can be used
// for another one.
func (c *conn) exchange(cl *call) (keep bool) {
	c.call = cl
	s := c.l.server
	x, req, w := &cl.x, &cl.req, &cl.fast
	begin(x, s.opts.Env)
	x.Peer, x.Client, x.TLS, x.Scheme = c.peer, c.peer.Addr(), c.tls, c.scheme
	w.reset(c, cl)
	c.expect.Store(false)

	req.Method, req.Target, req.Path, req.Query, req.Host, req.Header, req.Minor = "", "", "", "", "", req.Header[:0], 1
	if err := c.r.ReadRequest(req); err != nil {
		return c.unreadable(cl, err)
	}
	c.phase = phaseBody
	describe(x, req)
	if req.Kind != http1.NoBody && req.ContentLength != 0 {
		cl.body.reset(c, x, req.ContentLength, c.set.bodyBytes, c.set.body)
		x.Body = &cl.body
		// RFC 9110 section 10.1.1: no 100 (Continue) for a body that is coming anyway.
		c.expect.Store(req.Expect100 && req.Body.Buffered() == 0)
	} else {
		cl.body.reset(nil, x, 0, -1, 0)
	}
	w.expects = c.expect.Load()
	// What follows CONNECT was meant for the tunnel that the client hopes for, not for this server (RFC 9110 section 9.3.6).
	w.closes = req.Close || c.closing.Load() || req.Method == "CONNECT"

	s.run(c.ctx, cl, w, c.set, c.shard)
	return c.settle(cl)
}

// describe copies what http1 read into the exchange.
func describe(x *gate.Exchange, req *http1.Request) {
	x.Method, x.Target, x.RawPath, x.RawQuery, x.Host = req.Method, req.Target, req.Path, req.Query, req.Host
	x.Header = req.Header
	x.Proto = "HTTP/1.1"
	if req.Minor == 0 {
		x.Proto = "HTTP/1.0"
	}
	if wantsUpgrade(req) {
		x.Upgrade = req.Upgrade
	}
}

// wantsUpgrade reports whether a request asks for another protocol in a way that is honoured. RFC 9110 section 7.8 lets a
// server ignore Upgrade. h2c by Upgrade is obsolete (RFC 9113 section 3.1) and lets requests pass a gateway unjudged; with
// a body it is unclear to which protocol the bytes belong.
func wantsUpgrade(req *http1.Request) bool {
	return req.Upgrade != "" && req.ContentLength == 0 && !req.Header.HasToken("Upgrade", "h2c")
}

// settle ends an exchange on the connection: unread bytes of the body are dropped, or the connection is closed.
func (c *conn) settle(cl *call) (keep bool) {
	w := &cl.fast
	switch {
	case w.upgraded:
		return false
	case w.broken || c.gone.Load() || !w.ended:
		closeHard(c.nc, c.tcp)
		return false
	}
	if _, here := cl.req.Body.Whole(); here { // nobody read it, or it was peeked where it lies
		if cl.req.Body.Discard(math.MaxInt64) == nil && !w.closes {
			return true
		}
		if c.r.Buffered() > 0 || cl.x.Method == "CONNECT" {
			c.linger()
		}
		return false
	}
	if !w.closes && !c.expect.Load() && !cl.body.closed.Load() {
		// A refusal often leaves a body behind. A little of it is read so that the connection can be kept.
		c.readBy.set(c.setRead, mono()+drainWait)
		if cl.req.Body.Discard(drainBytes) == nil {
			return true
		}
	}
	c.linger()
	return false
}

const (
	drainBytes = 64 << 10
	drainWait  = 500 * time.Millisecond

	lingerBytes = 1 << 20
	lingerWait  = time.Second
)

// linger closes so that the client can read the answer although it is still sending: a socket that is closed with unread
// bytes sends a reset, which makes the client's system drop the answer (RFC 9112 section 9.6).
func (c *conn) linger() {
	if half, ok := c.nc.(interface{ CloseWrite() error }); !ok || half.CloseWrite() != nil {
		return
	}
	_ = c.nc.SetReadDeadline(time.Now().Add(lingerWait))
	_, _ = io.CopyN(io.Discard, c.nc, lingerBytes)
}

// unreadable answers a request that could not be read, and closes.
func (c *conn) unreadable(cl *call, err error) (keep bool) {
	x, req := &cl.x, &cl.req
	var malformed *http1.ParseError
	var v decision.Verdict
	switch {
	case errors.As(err, &malformed):
		if malformed == http1.ErrHTTP2Preface && c.l.takeH2C(c) {
			return false
		}
		v = malformedVerdict(malformed, c.set)
	case isTimeout(err):
		v = decision.Refuse(decision.RequestTimeout, nil, decision.Fact{
			Name: "limit", Want: c.set.header.String() + " for its header", Public: decision.ToAnyone})
	default: // the connection broke, or ended before a request began: there is nobody to answer
		cl.fast.broken = true
		return false
	}
	describe(x, req)
	x.Header = nil
	cl.fast.closes = true
	cl.body.reset(nil, x, 0, -1, 0)
	c.l.server.refuseUnread(cl, &cl.fast, v, c.shard)
	if !cl.fast.broken {
		c.linger()
	}
	return false
}

// malformedVerdict maps what http1 found to a reason. The status is always the reason's: every doubt about framing is one 400.
func malformedVerdict(e *http1.ParseError, set *settings) decision.Verdict {
	switch e.Code {
	case http1.LineTooLong, http1.FieldsTooLarge:
		return decision.Refuse(decision.HeaderTooLarge, nil, decision.Fact{Name: "limit", Want: e.Detail, Public: decision.ToAnyone})
	case http1.BadExpectation:
		return decision.Refuse(decision.ExpectationFailed, nil, decision.Fact{Name: "fault", Want: e.Detail, Public: decision.ToAnyone})
	}
	return decision.Refuse(decision.RequestMalformed, nil, decision.Fact{Name: "fault", Want: e.Detail, Public: decision.ToAnyone})
}

// end closes the connection and gives its resources back.
func (c *conn) end() {
	if p := recover(); p != nil { // a defect of the engine itself: requests recover their own
		c.l.server.log.panicked(nil, p)
	}
	c.cancel()
	c.l.forget(c)
	if !c.handed {
		_ = c.nc.Close()
		c.lease.release()
		c.r.Release()
	}
}

// The conn is the source of its request's body.

func (c *conn) read(p []byte) (int, error) { return c.call.req.Body.Read(p) }
func (c *conn) whole() ([]byte, bool)      { return c.call.req.Body.Whole() }
func (c *conn) ready() int                 { return c.call.req.Body.Buffered() }
func (c *conn) trailer() header.List       { return c.call.req.Body.Trailer() }
func (c *conn) interrupt()                 { _ = c.nc.SetReadDeadline(longAgo) }

// sayContinue asks for the body, when the first reader wants it and the final answer has not begun.
func (c *conn) sayContinue() {
	c.expectMu.Lock()
	defer c.expectMu.Unlock()
	if !c.expect.Swap(false) {
		return
	}
	c.writeBy.extend(c.setWrite, c.set.write)
	_, _ = io.WriteString(c.wr, http1.Continue) // an error comes up again with the answer
}
