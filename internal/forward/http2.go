package forward

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"postern/internal/decision"
	"postern/internal/header"
	"postern/internal/http1"
)

type tlsConn interface{ ConnectionState() tls.ConnectionState }

// stash keeps a connection on which the server chose HTTP/2 for the transport, which dials next; nil empties the place.
func (t *target) stash(nc net.Conn) {
	next := &nc
	if nc == nil {
		next = nil
	}
	if old := t.ready.Swap(next); old != nil {
		(*old).Close() //nolint:errcheck // two calls connected at once; one connection serves both
	}
}

// newTransport makes the HTTP/2 side of a pool. It neither follows redirects, nor adds fields, nor decompresses.
func newTransport(p *pool) *http.Transport {
	var protocols http.Protocols
	protocols.SetHTTP2(p.protocol != "h2c")
	protocols.SetUnencryptedHTTP2(p.protocol == "h2c")
	return &http.Transport{
		Protocols:              &protocols,
		DisableCompression:     true,
		MaxResponseHeaderBytes: 256 << 10,
		IdleConnTimeout:        p.limits.idle,
		HTTP2: &http.HTTP2Config{
			SendPingTimeout:  15 * time.Second,
			PingTimeout:      15 * time.Second,
			WriteByteTimeout: p.limits.write,
		},
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			return p.dialHTTP2(ctx, addr)
		},
		DialTLSContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			return p.dialHTTP2(ctx, addr)
		},
	}
}

var errNotHTTP2 = errors.New("the server did not choose HTTP/2 by ALPN")

func (p *pool) dialHTTP2(ctx context.Context, addr string) (net.Conn, error) {
	for _, t := range p.targets {
		if t.addr != addr {
			continue
		}
		if nc := t.ready.Swap(nil); nc != nil {
			return bare(*nc), nil
		}
		offer := []string{"h2"}
		if p.protocol == "auto" {
			offer = offerBoth
		}
		nc, _, f := t.dial(ctx, offer)
		if f != nil {
			return nil, f
		}
		if tc, ok := nc.(tlsConn); ok && tc.ConnectionState().NegotiatedProtocol != "h2" {
			nc.Close() //nolint:errcheck // of no use here
			t.speaks.Store(0)
			return nil, &fault{reason: decision.UpstreamTLS, err: errNotHTTP2, unsent: true}
		}
		return bare(nc), nil
	}
	return nil, fmt.Errorf("%s is no target of upstream %s", addr, p.name)
}

// bare returns the *tls.Conn that net/http wants to see.
func bare(nc net.Conn) net.Conn {
	if l, ok := nc.(tlsLink); ok {
		return l.Conn
	}
	return nc
}

// overHTTP2 makes the attempt through net/http's HTTP/2. As with HTTP/1.1, a request that met a kept connection in its last
// moment is sent once more if that is safe; net/http itself does so only where the server said that it did not handle it.
func (c *call) overHTTP2(t *target) *fault {
	f := c.once2(t)
	if f != nil && f.stale && c.idempotent && c.repeatable() && !c.w.Gone() {
		f = c.once2(t)
	}
	return f
}

func (c *call) once2(t *target) (f *fault) {
	x, limits := c.x, &t.pool.limits
	x.Result.Protocol = "HTTP/2.0"
	ctx, cancel := context.WithCancelCause(c.ctx)
	defer cancel(nil)
	c.w.Watch(stopper{cancel})
	defer c.w.Watch(nil)
	clock := newPhaseClock(cancel, c.total, limits)
	defer clock.close()
	body := c.newBody2(clock)
	defer func() { // also when something panics: the transport must not touch the request body any more
		cancel(nil)
		body.release()
		c.consumed = c.consumed || body.begun.Load()
		x.Result.BytesIn = body.sent.Load()
	}()
	req, err := c.request2(t, body)
	if err != nil {
		return &fault{reason: decision.GatewayFault, err: err, ours: true, unsent: true}
	}
	if body.over() {
		clock.sent()
	}
	interim := &interim2{c: c}
	reused := false
	req = req.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn:        func(i httptrace.GotConnInfo) { reused = i.Reused },
		Got1xxResponse: interim.pass,
	}))
	resp, err := t.pool.h2.RoundTrip(req)
	interim.close()
	if err != nil {
		body.release()
		f := c.failed2(ctx, body, err)
		f.stale = reused && f.reason == decision.UpstreamUnreachable
		return f
	}
	defer resp.Body.Close() //nolint:errcheck // what matters was read
	clock.answered()
	c.status = resp.StatusCode
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return &fault{reason: decision.UpstreamBadAnswer, err: errors.New("the target answered 101, which HTTP/2 does not have")}
	}
	if c.repeats(resp.StatusCode) {
		return answeredFault(resp.StatusCode)
	}
	length, contentType := resp.ContentLength, resp.Header.Get("Content-Type")
	if length == 0 && resp.Header.Get("Content-Length") == "" && (bodiless(x.Method, resp.StatusCode) || strings.HasPrefix(contentType, "application/grpc")) {
		length = -1 // net/http says 0 because the stream ended; the server said nothing
	}
	if f := c.head(resp.StatusCode, endToEnd(c.fields2(resp.Header)), length, contentType); f != nil {
		return f
	}
	return c.relay2(ctx, resp, body, clock)
}

// bodiless reports whether an answer has no body by definition (RFC 9110 section 6.4.1).
func bodiless(method string, status int) bool {
	return method == "HEAD" || status == 204 || status == 304
}

// relay2 passes the body of an answer on.
func (c *call) relay2(ctx context.Context, resp *http.Response, body *body2, clock *phaseClock) *fault {
	buf := bodyBuffers.Get().(*[bodyBuffer]byte)
	defer bodyBuffers.Put(buf)
	left := resp.ContentLength
	if bodiless(c.x.Method, resp.StatusCode) || resp.Body == http.NoBody {
		left = 0
	}
	for left != 0 {
		if err := c.flush(); err != nil {
			return c.sunk(err)
		}
		clock.begin(phaseRead)
		n, err := resp.Body.Read(buf[:])
		clock.stop()
		if n > 0 {
			if f := c.pass(buf[:n]); f != nil {
				return f
			}
			if left > 0 {
				left = max(left-int64(n), 0)
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			length := resp.ContentLength
			return c.brokeOff(c.failed2(ctx, body, err), length)
		}
	}
	if left == 0 && resp.Body != http.NoBody && !bodiless(c.x.Method, resp.StatusCode) { // trailers come with the end
		clock.begin(phaseRead)
		io.Copy(io.Discard, io.LimitReader(resp.Body, 1)) //nolint:errcheck // the body is complete
		clock.stop()
	}
	return c.end(c.fields2(resp.Trailer))
}

// request2 builds the request for net/http.
func (c *call) request2(t *target, body *body2) (*http.Request, error) {
	x := c.x
	scheme := "http"
	if t.https {
		scheme = "https"
	}
	path, query, hasQuery := strings.Cut(t.prefix+c.path, "?")
	decoded, err := url.PathUnescape(path)
	if err != nil {
		return nil, errors.New("the path has an escape that cannot be decoded")
	}
	if !http1.ValidToken(x.Method) {
		return nil, errors.New("the method contains characters that are not allowed there")
	}
	u := &url.URL{Scheme: scheme, Host: t.addr, Path: decoded, RawPath: path, RawQuery: query, ForceQuery: hasQuery && query == ""}
	if u.EscapedPath() != path { // net/url would spell it differently: send it as it is
		u.Path, u.RawPath, u.Opaque = "", "", path
	}
	h := make(http.Header, len(c.fields)+1)
	for _, f := range c.fields {
		key := http.CanonicalHeaderKey(strings.Clone(f.Name)) // net/http keeps names and values beyond the exchange
		h[key] = append(h[key], strings.Clone(f.Value))
	}
	if c.grpc { // the one use of TE that ends a hop later (RFC 9113 section 8.2.2)
		h["Te"] = []string{"trailers"}
	}
	if _, ok := h["User-Agent"]; !ok {
		h["User-Agent"] = nil // or net/http would add its own
	}
	req := &http.Request{Method: strings.Clone(x.Method), URL: u, Host: strings.Clone(c.hostFor(t)), Header: h, Proto: "HTTP/2.0", ProtoMajor: 2}
	switch {
	case c.whole && len(c.body) == 0:
		body.finish(nil)
	case c.whole:
		req.ContentLength = int64(len(c.body))
		req.Body = body
		req.GetBody = func() (io.ReadCloser, error) { return body.again() }
	default:
		req.ContentLength = x.Body.Length()
		req.Body = body
		if names := x.Header.Values(nil, "Trailer"); len(names) > 0 {
			req.Trailer = http.Header{}
			body.trailer = req.Trailer
			for _, name := range strings.Split(strings.Join(names, ","), ",") {
				if name = strings.TrimSpace(name); http1.ValidToken(name) && !http1.ForbiddenTrailer(name) {
					req.Trailer[http.CanonicalHeaderKey(strings.Clone(name))] = nil
				}
			}
		}
	}
	return req, nil
}

// interim2 passes interim answers on. The transport reports them from a goroutine of its own while the call waits for the
// final answer; after close it is not listened to.
type interim2 struct {
	mu sync.Mutex
	c  *call
	n  int
}

func (i *interim2) pass(code int, h textproto.MIMEHeader) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.c == nil || code == 100 || i.c.x.Proto == "HTTP/1.0" {
		return nil
	}
	if i.n++; i.n > mostInterim {
		return &fault{reason: decision.UpstreamBadAnswer, err: errTooManyInterim}
	}
	return i.c.w.Interim(code, endToEnd(i.c.fields2(http.Header(h))))
}

func (i *interim2) close() {
	i.mu.Lock()
	i.c = nil
	i.mu.Unlock()
}

// fields2 turns a net/http header into a list. The order of names is lost there, that of a name's values is kept.
func (c *call) fields2(h http.Header) header.List {
	if len(h) == 0 {
		return nil
	}
	out := make(header.List, 0, len(h)+2)
	for name, values := range h {
		for _, v := range values {
			out = append(out, header.Field{Name: name, Value: v})
		}
	}
	return out
}

// failed2 judges an error of net/http.
func (c *call) failed2(ctx context.Context, body *body2, err error) *fault {
	if err := body.callersFault(); err != nil {
		return bodyFault(err)
	}
	var timeout *phaseTimeout
	switch cause := context.Cause(ctx); {
	case errors.As(cause, &timeout):
		return timeoutFault(timeout.phase, timeout.limit, cause)
	case cause != nil || c.w.Gone():
		return goneFault()
	}
	if f := (*fault)(nil); errors.As(err, &f) {
		return f
	}
	if isTimeout(err) {
		return timeoutFault(phaseRead, c.up.pool.limits.read, err)
	}
	// A gRPC server whose caller's deadline passes resets the stream. That is the deadline, and not a server out of reach.
	if limit, ok := grpcTimeout(c.x.Header.Get("Grpc-Timeout")); ok && c.grpc && c.x.Env.Now().Sub(c.x.Started) >= limit {
		return timeoutFault(phaseTotal, limit, err)
	}
	return brokeFault(err)
}

// grpcTimeout reads a grpc-timeout field: at most eight digits and a unit (gRPC over HTTP/2, "Requests").
func grpcTimeout(v string) (time.Duration, bool) {
	if len(v) < 2 || len(v) > 9 {
		return 0, false
	}
	units := map[byte]time.Duration{'H': time.Hour, 'M': time.Minute, 'S': time.Second, 'm': time.Millisecond, 'u': time.Microsecond, 'n': time.Nanosecond}
	unit, ok := units[v[len(v)-1]]
	n, err := strconv.ParseUint(v[:len(v)-1], 10, 32)
	if !ok || err != nil {
		return 0, false
	}
	if n > uint64(math.MaxInt64/unit) {
		return math.MaxInt64, true
	}
	return time.Duration(n) * unit, true
}
