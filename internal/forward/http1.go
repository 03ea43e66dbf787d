package forward

import (
	"errors"
	"io"
	"strings"
	"syscall"
	"time"

	"postern/internal/decision"
	"postern/internal/header"
	"postern/internal/http1"
)

// overHTTP1 makes the attempt over a connection of our own: a kept one if there is one, else a new one.
//
// A kept connection may have been closed by the server at any moment, also while the request is on its way. If nothing of an
// answer came and the request may be sent again, it is, over a new connection; that is nobody's failure and costs no retry.
func (c *call) overHTTP1(t *target) *fault {
	p := t.pool
	for fresh := false; ; fresh = true {
		var cn *conn
		if !fresh {
			cn = t.idle.pop(p.limits.idle)
		}
		if cn == nil {
			var f *fault
			if cn, f = c.connect(t); f != nil {
				return f
			}
			if cn == nil { // ALPN chose HTTP/2
				defer t.stash(nil) // if the transport did not need it
				return c.overHTTP2(t)
			}
		}
		f := c.use(cn)
		if f != nil && f.stale && !fresh && (f.unsent || c.idempotent) && c.repeatable() && !c.w.Gone() {
			continue
		}
		return f
	}
}

var (
	offerHTTP1 = []string{"http/1.1"}
	offerBoth  = []string{"h2", "http/1.1"}
)

// connect opens a connection. It returns nil without a fault when the server chose HTTP/2: the connection then waits for the
// HTTP/2 path.
func (c *call) connect(t *target) (*conn, *fault) {
	offer := offerHTTP1
	if t.https && t.pool.protocol == "auto" && c.x.Upgrade == "" {
		offer = offerBoth
	}
	start := c.now()
	nc, raw, f := c.dial(t, offer)
	if f != nil {
		return nil, f
	}
	c.x.Result.Connect = c.now().Sub(start)
	if tc, ok := nc.(tlsConn); ok && len(offer) > 1 {
		if tc.ConnectionState().NegotiatedProtocol == "h2" {
			t.speaks.Store(2)
			t.stash(nc)
			return nil, nil
		}
		t.speaks.Store(1)
	}
	return newConn(t, nc, raw, !t.https), nil
}

// use makes the call over a connection, and keeps or closes it.
func (c *call) use(cn *conn) *fault {
	cn.begin(c.total)
	keep := false
	defer func() { // also when a gate of the answer panics
		c.w.Watch(nil)
		cn.sink = nil
		if keep && cn.intact() {
			cn.target.idle.push(cn, cn.target.pool.keep)
		} else {
			cn.close()
		}
	}()
	c.w.Watch(cn)
	f := c.roundTrip(cn, &keep)
	if f != nil && !f.ours && c.w.Gone() {
		return goneFault()
	}
	return f
}

// roundTrip sends the request and passes the answer on. keep becomes true when the connection is fit for another call.
func (c *call) roundTrip(cn *conn, keep *bool) *fault {
	out := http1.GetBuffer()
	var s *sender
	b, err := c.appendHead(out.B, cn.target)
	out.B = b
	if err != nil {
		out.Release()
		return &fault{reason: decision.GatewayFault, err: err, ours: true, unsent: true}
	}
	if small := c.whole && len(c.body) <= mostBuffered; small {
		out.B = append(out.B, c.body...)
		cn.out, c.out = out.B, out // goes out with the first read: see conn.exchange
	} else if cn.reused && !cn.alive() {
		out.Release()
		return deadFault()
	} else {
		s = c.send(cn, out)
	}
	f := c.receive(cn, s, keep)
	if s == nil {
		cn.out = nil
		c.sent()
		return f
	}
	if s.halt(f == nil); f != nil || !s.complete {
		*keep = false
	}
	c.consumed = c.consumed || s.touched
	if f != nil && !f.ours {
		f = s.cause(c, f)
	}
	c.x.Result.BytesIn = s.sent
	return f
}

// sent gives the buffer of the request back.
func (c *call) sent() {
	if c.out != nil {
		c.out.Release()
		c.out = nil
	}
}

// timedOut judges a deadline that passed: the caller's leaving, the limit of the whole call, or that of a phase.
func (c *call) timedOut(cn *conn, phase string, err error) *fault {
	limits := &cn.target.pool.limits
	if c.w.Gone() {
		return goneFault()
	}
	if c.total != 0 && ticks() >= c.total {
		return timeoutFault(phaseTotal, limits.total, err)
	}
	limit := limits.read
	switch phase {
	case phaseWrite:
		limit = limits.write
	case phaseFirstByte:
		limit = limits.firstByte
	}
	return timeoutFault(phase, limit, err)
}

// appendHead writes the request's head (RFC 9112 section 3).
func (c *call) appendHead(dst []byte, t *target) ([]byte, error) {
	x := c.x
	target := c.path
	if t.prefix != "" {
		start := len(c.text)
		c.text = append(append(c.text, t.prefix...), c.path...)
		target = c.textFrom(start)
	}
	dst, err := http1.AppendRequestLine(dst, x.Method, target)
	if err != nil {
		return dst, errors.New("the request line cannot be written: method or path contain characters that are not allowed there")
	}
	dst = http1.AppendField(dst, "Host", c.hostFor(t))
	dst = http1.AppendFields(dst, c.fields)
	switch n := x.Body.Length(); {
	case c.whole && (len(c.body) > 0 || bodyExpected(x.Method)):
		dst = http1.AppendContentLength(dst, int64(len(c.body)))
	case c.whole:
	case n >= 0:
		dst = http1.AppendContentLength(dst, n)
	default:
		dst = http1.AppendChunked(dst)
	}
	if x.Upgrade != "" {
		dst = http1.AppendField(dst, "Connection", "Upgrade")
		dst = http1.AppendField(dst, "Upgrade", x.Upgrade)
	}
	return http1.AppendEnd(dst), nil
}

// bodyExpected reports whether a request without a body says so (RFC 9110 section 8.6).
func bodyExpected(method string) bool {
	return method == "POST" || method == "PUT" || method == "PATCH"
}

func (c *call) hostFor(t *target) string {
	switch h := t.pool.host; h {
	case "", "target":
		return t.host
	case "pass":
		if c.x.Host != "" {
			return c.x.Host
		}
		return t.host
	default:
		return h
	}
}

// mostInterim is how many interim answers one request may have. Nothing needs more than a few.
const mostInterim = 32

var errTooManyInterim = errors.New("the target sent more than 32 interim answers to one request")

// receive reads the answer and passes it on.
func (c *call) receive(cn *conn, s *sender, keep *bool) *fault {
	resp, limits := &cn.resp, &cn.target.pool.limits
	for n := 0; ; n++ {
		if err := cn.rd.ReadResponse(resp, c.x.Method); err != nil {
			return c.noHead(cn, err)
		}
		if !resp.Interim() {
			break
		}
		if n >= mostInterim {
			return &fault{reason: decision.UpstreamBadAnswer, err: errTooManyInterim}
		}
		if resp.Status == 100 || c.x.Proto == "HTTP/1.0" { // RFC 9110 section 15.2: HTTP/1.0 does not know them
			continue
		}
		if err := c.w.Interim(resp.Status, endToEnd(resp.Header)); err != nil {
			return goneFault()
		}
	}
	cn.answered()
	c.sent() // a stream may last for hours
	c.status = resp.Status
	if resp.Status == 101 {
		return c.switchProtocols(cn, s)
	}
	body := resp.Body
	if c.repeats(resp.Status) {
		if _, all := body.Whole(); all && body.Discard(http1Drain) == nil && s == nil {
			*keep = c.reusable(cn)
		}
		return answeredFault(resp.Status)
	}
	if s != nil && resp.Status >= 400 {
		s.cancel() // nobody reads the rest of the request now
	}
	cn.idleMost = keepAlive(resp.Header)
	length := int64(-1)
	switch {
	case resp.Kind == http1.FixedLength:
		length = resp.ContentLength
	case c.x.Method == "HEAD" || resp.Status == 304:
		length = resp.DeclaredLength
	}
	contentType := resp.Header.Get("Content-Type")
	if f := c.head(resp.Status, endToEnd(resp.Header), length, contentType); f != nil {
		return f
	}
	cn.rolling, cn.sink = limits.read, c
	for !body.Done() {
		p, err := body.Next()
		if err == io.EOF && !cn.severed() {
			break
		}
		if err != nil {
			return c.brokeOff(c.noBody(cn, err), length)
		}
		if f := c.pass(p); f != nil {
			return f
		}
	}
	if f := c.end(body.Trailer()); f != nil {
		return f
	}
	*keep = c.reusable(cn)
	return nil
}

// http1Drain is how much of an unwanted answer is read to keep its connection.
const http1Drain = 16 << 10

func (c *call) reusable(cn *conn) bool {
	return !cn.resp.Close && cn.resp.Body.Done() && cn.rd.Buffered() == 0
}

func answeredFault(status int) *fault {
	return &fault{reason: decision.UpstreamRefused, err: errors.New("it answered " + itoa(status) + ", which is configured to be tried again"), repeat: true}
}

// deadFault says that a kept connection was found closed, or with something on it that nobody asked for, before anything
// was sent.
func deadFault() *fault {
	return &fault{reason: decision.UpstreamUnreachable, err: errDead, unsent: true, stale: true}
}

// noHead judges why no answer came.
func (c *call) noHead(cn *conn, err error) *fault {
	switch {
	case errors.Is(err, errDead):
		return deadFault()
	case isTimeout(err) && cn.unwritten:
		return c.timedOut(cn, phaseWrite, err)
	case isTimeout(err):
		return c.timedOut(cn, phaseFirstByte, err)
	case cn.unwritten: // only when the kernel took nothing
		f := brokeFault(err)
		f.unsent, f.stale = true, cn.reused
		return f
	}
	f := brokeFault(err)
	var parse *http1.ParseError
	f.stale = cn.reused && !cn.rd.Started() && !errors.As(err, &parse) && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE))
	return f
}

// noBody judges why an answer broke off.
func (c *call) noBody(cn *conn, err error) *fault {
	switch {
	case c.sinkIs != nil:
		return goneFault()
	case isTimeout(err):
		return c.timedOut(cn, phaseRead, err)
	}
	return brokeFault(err)
}

// keepAlive returns how long the server promises to keep the connection (Keep-Alive: timeout=5), less a second, so that a
// request is not sent just when it closes; zero when it promises nothing.
func keepAlive(h header.List) time.Duration {
	for i := range h {
		if len(h[i].Name) != 10 || !header.EqualFold(h[i].Name, "Keep-Alive") {
			continue
		}
		_, v, ok := strings.Cut(h[i].Value, "timeout=")
		n := 0
		for j := 0; ok && j < len(v) && j < 6 && v[j] >= '0' && v[j] <= '9'; j++ {
			n = n*10 + int(v[j]-'0')
		}
		if n > 0 {
			return max(time.Duration(n-1)*time.Second, 500*time.Millisecond)
		}
	}
	return 0
}
