package edge

import (
	"cmp"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/header"
	"postern/internal/http1"
)

// ServeHTTP feeds a net/http request into the lifecycle of the fast engine.
func (w *web) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	ls, _ := r.Context().Value(leaseKey{}).(*lease)
	cl := takeCall()
	x := &cl.x
	begin(x, w.server.opts.Env)
	x.Peer, x.Client, x.Scheme = ls.peer, ls.peer.Addr(), "http"
	if r.TLS != nil {
		x.TLS, x.Scheme = r.TLS, "https"
	}
	sink := &webSink{rw: rw, rc: http.NewResponseController(rw), x: x, sp: w.spec, set: ls.set, body: &cl.body, http1: r.ProtoMajor == 1}
	src := &webBody{r: r, rc: sink.rc, set: ls.set, body: &cl.body, left: -1}
	if r.ProtoMajor > 1 {
		src.left = r.ContentLength
	}
	stop := context.AfterFunc(r.Context(), sink.leave)

	if g := guardOf(r); g != nil && r.RequestURI == refusedTarget && g.refused.Load() != nil {
		w.serveRefused(cl, sink, g.refused.Load(), ls)
	} else {
		describeWeb(x, r)
		cl.body.reset(src, x, r.ContentLength, ls.set.bodyBytes, ls.set.body)
		if r.ContentLength != 0 || r.ProtoMajor > 1 && r.Header["Content-Length"] != nil { // 0 is a claim there: the stream may be open
			x.Body = &cl.body
		}
		sink.closes = r.ProtoMajor == 1 && (r.Header.Get("Upgrade") != "" || r.Method == "CONNECT") // see wantsUpgrade and tunnels
		if v, ok := strictWeb(x, r, ls.set); ok {
			w.server.run(r.Context(), cl, sink, ls.set, ls.shard)
		} else {
			w.server.refuseUnread(cl, sink, v, ls.shard)
		}
	}
	stop()
	broken, upgraded := sink.broken, sink.conn
	cl.release()
	if upgraded != nil {
		_ = upgraded.Close()
	}
	if broken {
		panic(http.ErrAbortHandler) // RST_STREAM, or the connection is closed without the end of the body
	}
}

// serveRefused answers what the guard could not read.
func (w *web) serveRefused(cl *call, sink *webSink, h *refusedHead, ls *lease) {
	x := &cl.x
	x.Method, x.Target, x.RawPath, x.RawQuery, x.Host = h.method, h.target, h.path, h.query, h.host
	x.Proto = "HTTP/1.1"
	if h.minor == 0 {
		x.Proto = "HTTP/1.0"
	}
	cl.body.reset(nil, x, 0, -1, 0)
	sink.closes = true
	v := decision.Refuse(decision.RequestTimeout, nil, decision.Fact{
		Name: "limit", Want: ls.set.header.String() + " for its header", Public: decision.ToAnyone})
	if malformed, ok := h.err.(*http1.ParseError); ok {
		v = malformedVerdict(malformed, ls.set)
	}
	w.server.refuseUnread(cl, sink, v, ls.shard)
}

// describeWeb copies a net/http request into the exchange. Fields come in the order of their names, because net/http forgets
// the order they were sent in.
func describeWeb(x *gate.Exchange, r *http.Request) {
	x.Method, x.Target, x.Host, x.Proto = r.Method, r.RequestURI, r.Host, r.Proto
	target := r.RequestURI
	if i := strings.Index(target, "://"); i > 0 && !strings.HasPrefix(target, "/") { // absolute-form
		target = target[i+3:]
		if j := strings.IndexAny(target, "/?"); j >= 0 {
			target = target[j:]
		} else {
			target = "/"
		}
		if target[0] == '?' {
			target = "/" + target
		}
	}
	x.RawPath, x.RawQuery, _ = strings.Cut(target, "?")
	h := make(header.List, 0, len(r.Header)+2)
	h.Add("Host", r.Host)
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		for _, value := range r.Header[name] {
			h.Add(name, value)
		}
	}
	x.Header = h
	if r.ProtoMajor == 1 && r.ContentLength == 0 && h.HasToken("Connection", "upgrade") && !h.HasToken("Upgrade", "h2c") {
		x.Upgrade = h.Get("Upgrade")
	}
}

// strictWeb applies to HTTP/2 what internal/http1 asks of HTTP/1.x and net/http leaves open.
func strictWeb(x *gate.Exchange, r *http.Request, set *settings) (decision.Verdict, bool) {
	malformed := func(fault string) (decision.Verdict, bool) {
		return decision.Refuse(decision.RequestMalformed, nil, decision.Fact{Name: "fault", Want: fault, Public: decision.ToAnyone}), false
	}
	for i := 0; i < len(x.Target); i++ {
		if c := x.Target[i]; c <= ' ' || c >= 0x7f || c == '#' {
			return malformed("the request target contains a byte that must be percent-encoded")
		}
	}
	if r.ProtoMajor > 1 {
		if fault := malformedHTTP2(r); fault != "" {
			return malformed(fault)
		}
	}
	for _, other := range r.Header["Host"] { // HTTP/2 only: net/http removes it in HTTP/1.x
		if !strings.EqualFold(other, r.Host) {
			return malformed("the Host field and :authority name different hosts")
		}
	}
	if x.Host == "" && r.ProtoMajor > 1 {
		return malformed("the request has neither :authority nor Host")
	}
	for name := range r.Header {
		if strings.EqualFold(name, "Content_Length") || strings.EqualFold(name, "Transfer_Encoding") {
			return malformed("a field name would be taken for a framing field by servers that do not tell _ from -")
		}
	}
	if len(x.Header) > set.head.HeaderCount+1 {
		return decision.Refuse(decision.HeaderTooLarge, nil, decision.Fact{
			Name: "limit", Want: "there are more fields than the listener allows", Public: decision.ToAnyone}), false
	}
	return decision.Verdict{}, true
}

// malformedHTTP2 says what makes a request malformed by RFC 9113 sections 8.1.1 and 8.3.1 that net/http hands on, or "": it
// takes a Content-Length that it cannot read for 0, believes the first of several, and takes an absolute URI as :path.
func malformedHTTP2(r *http.Request) string {
	switch target := r.RequestURI; {
	case r.Method == "CONNECT", target == "*" && r.Method == "OPTIONS", strings.HasPrefix(target, "/"):
	default:
		return ":path does not start with a slash"
	}
	lengths := r.Header["Content-Length"]
	switch {
	case lengths == nil:
		return ""
	case len(lengths) > 1:
		return "Content-Length occurs more than once"
	}
	for i := range len(lengths[0]) {
		if c := lengths[0][i]; c < '0' || c > '9' {
			return "Content-Length is not a number"
		}
	}
	switch n, err := strconv.ParseInt(lengths[0], 10, 64); {
	case err != nil && lengths[0] == "":
		return "Content-Length is empty"
	case err != nil:
		return "Content-Length is larger than any body"
	case n != r.ContentLength: // END_STREAM came with the header section
		return "Content-Length announces a body, and the request ends without one"
	}
	return ""
}

// webBody is the body of a net/http request as the lifecycle reads it.
type webBody struct {
	r      *http.Request
	rc     *http.ResponseController
	set    *settings
	body   *body
	left   int64 // HTTP/2: bytes to come by Content-Length; -1 when that is not known or was counted before (guard.go)
	readBy deadline
	ended  bool
}

func (b *webBody) read(p []byte) (int, error) {
	b.readBy.extend(b.setDeadline, b.set.body)
	if b.body.closed.Load() { // after the deadline was set: Interrupt must not be overruled
		return 0, errBodyClosed
	}
	n, err := b.r.Body.Read(p)
	if b.left >= 0 {
		if b.left -= int64(n); b.left == 0 && n > 0 && err == nil {
			n, err = b.confirm(n)
		}
		err = lengthFault(err)
	}
	b.ended = b.ended || err != nil
	return n, err
}

// confirm withholds the last n bytes of a body until the stream has ended: DATA frames may go on behind the announced
// length, and then the request is malformed (RFC 9113 section 8.1.1) although a whole one could be made of its beginning.
func (b *webBody) confirm(n int) (int, error) {
	var more [1]byte
	b.readBy.extend(b.setDeadline, b.set.body)
	if _, err := b.r.Body.Read(more[:]); err != io.EOF {
		return 0, cmp.Or(err, errTooLong)
	}
	return n, io.EOF
}

var errTooLong = errors.New("edge: the body is longer than its Content-Length")

// lengthFault words the errors by which net/http says that DATA frames and Content-Length disagree.
//
// RATIONALE: these errors have no type, so they are known by what they name. Were they worded otherwise one day, the request
// would still go nowhere; it would only be taken for one whose client left (TestMalformedHTTP2 would notice).
func lengthFault(err error) error {
	if err == nil || err == io.EOF || !strings.Contains(err.Error(), "Content-Length") {
		return err
	}
	return &gate.BodyError{Reason: decision.RequestMalformed, Err: err, Facts: []decision.Fact{{
		Name: "fault", Want: "the body does not have the length that Content-Length announces", Public: decision.ToAnyone,
	}}}
}

func (b *webBody) setDeadline(t time.Time) error { return b.rc.SetReadDeadline(t) }
func (b *webBody) whole() ([]byte, bool)         { return nil, false }
func (b *webBody) ready() int                    { return 0 } // net/http does not say
func (b *webBody) interrupt()                    { _ = b.rc.SetReadDeadline(longAgo) }

func (b *webBody) trailer() header.List {
	if !b.ended {
		return nil
	}
	var t header.List
	for _, name := range slices.Sorted(maps.Keys(b.r.Trailer)) {
		for _, value := range b.r.Trailer[name] {
			t.Add(name, value)
		}
	}
	return t
}
