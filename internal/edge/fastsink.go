package edge

import (
	"errors"
	"net"

	"postern/internal/forward"
	"postern/internal/gate"
	"postern/internal/header"
	"postern/internal/http1"
)

// fastSink writes answers of the fast engine. Head and a small body leave in one write.
type fastSink struct {
	c  *conn
	x  *gate.Exchange
	cl *call

	out      []byte // what is not written yet
	status   int
	left     int64 // bytes of the body still to come; -1: unknown
	sent     int64 // bytes of the body taken
	minor    int
	bodyless bool // no body by method or status
	chunked  bool
	held     bool // a head is in out
	begun    bool // a byte of the final answer may be on the wire
	ended    bool
	broken   bool // the connection must be reset: the answer is not whole
	upgraded bool
	closes   bool // the connection closes after this answer
	expects  bool // the request asked for 100 (Continue)
	own      bool // the gateway's own answer: not an upstream's
}

const (
	outRoom  = 4 << 10  // first size of out
	outFlush = 16 << 10 // written at the latest when this much is held back
	outKeep  = 64 << 10 // a larger buffer is not kept
)

func (w *fastSink) reset(c *conn, cl *call) {
	out := w.out[:0]
	if out == nil || cap(out) > outKeep {
		out = make([]byte, 0, outRoom)
	}
	*w = fastSink{c: c, cl: cl, x: &cl.x, out: out, minor: 1}
}

var (
	errNoHead    = errors.New("edge: a body was written before its head")
	errTooMuch   = errors.New("edge: more body bytes than the head announced")
	errTooLittle = errors.New("edge: fewer body bytes than the head announced")
	errBegun     = errors.New("edge: the answer has already begun")
	errClientEnd = errors.New("edge: the client is gone")
)

// Interim implements forward.Sink. 100 (Continue) is the engine's own affair, and HTTP/1.0 knows no 1xx.
func (w *fastSink) Interim(status int, h header.List) error {
	if w.begun || w.minor == 0 || w.cl.req.Minor == 0 || status == 100 || status < 100 || status >= 200 {
		return nil
	}
	held := len(w.out)
	w.out = http1.AppendStatusLine(w.out, status)
	w.out = http1.AppendFields(w.out, h)
	w.out = http1.AppendEnd(w.out)
	err := w.write(w.out[held:])
	w.out = w.out[:held]
	return err
}

// Head implements forward.Sink.
func (w *fastSink) Head(status int, h header.List, length int64) error {
	if w.begun {
		return errBegun
	}
	method := w.x.Method
	w.held, w.status, w.sent = true, status, 0
	w.bodyless = method == "HEAD" || status == 204 || status == 304
	w.chunked, w.left = false, length
	if w.c.closing.Load() || w.unreadBody() {
		w.closes = true
	}
	b := http1.AppendStatusLine(w.out[:0], status)
	seen := answerFields{own: w.own}
	for i := range h {
		if seen.keep(w.x, &h[i]) {
			b = http1.AppendField(b, h[i].Name, h[i].Value)
		}
	}
	if !seen.date {
		b = http1.AppendDate(b, w.x.Env.Now())
	}
	b = appendAnswerFields(b, w.x, status, w.own)
	switch {
	case w.bodyless:
		if length >= 0 && status != 204 {
			b = http1.AppendContentLength(b, length)
		}
	case length >= 0:
		b = http1.AppendContentLength(b, length)
	case w.cl.req.Minor == 0 || method == "CONNECT":
		w.closes = true // HTTP/1.0 knows no chunks: the end of the connection is the end of the body
	default:
		w.chunked = true
		b = http1.AppendChunked(b)
	}
	switch {
	case w.closes:
		b = append(b, "Connection: close\r\n"...)
	case w.cl.req.Minor == 0:
		b = append(b, "Connection: keep-alive\r\n"...)
	}
	w.out = http1.AppendEnd(b)
	return nil
}

// unreadBody reports whether the connection has to be closed because of what is left of the request body, so that the
// answer can say so.
func (w *fastSink) unreadBody() bool {
	return w.x.Body != gate.NoBody && (w.c.expect.Load() || w.cl.body.outstanding(w.cl.req.Body.Remaining, drainBytes))
}

// Write implements forward.Sink.
func (w *fastSink) Write(p []byte) (int, error) {
	switch {
	case !w.held:
		return 0, errNoHead
	case len(p) == 0:
		return 0, nil
	case w.bodyless:
		return len(p), nil
	case w.left >= 0:
		if int64(len(p)) > w.left {
			w.broken = true
			return 0, errTooMuch
		}
		w.left -= int64(len(p))
	}
	w.sent += int64(len(p))
	if w.chunked {
		w.out = http1.AppendChunkHeader(w.out, len(p))
	}
	if len(w.out)+len(p) <= outFlush {
		w.out = append(w.out, p...)
		if w.chunked {
			w.out = append(w.out, "\r\n"...)
		}
		return len(p), nil
	}
	err := w.writeBig(p)
	return len(p), err
}

// writeBig writes what is held back and p, without copying p if the socket takes several pieces at once.
func (w *fastSink) writeBig(p []byte) error {
	const worthwhile = 8 << 10
	if socket, ok := w.c.wr.(*net.TCPConn); ok && len(p) >= worthwhile && !w.expects {
		w.begun = true
		w.c.writeBy.extend(w.c.setWrite, w.c.set.write)
		v := &w.cl.vector
		v.parts[0], v.parts[1] = w.out, p
		v.list = v.parts[:2]
		_, err := v.list.WriteTo(socket)
		clear(v.parts[:])
		w.out = w.out[:0]
		if err != nil {
			return w.failed(err)
		}
	} else {
		for len(w.out)+len(p) > outFlush {
			n := max(outFlush-len(w.out), 0)
			w.out = append(w.out, p[:n]...)
			p = p[n:]
			if err := w.Flush(); err != nil {
				return err
			}
		}
		w.out = append(w.out, p...)
	}
	if w.chunked {
		w.out = append(w.out, "\r\n"...)
	}
	return nil
}

// Flush implements forward.Sink.
func (w *fastSink) Flush() error {
	if len(w.out) == 0 || !w.held {
		return nil
	}
	w.begun = true
	if w.expects {
		w.c.expectMu.Lock()
		defer w.c.expectMu.Unlock()
		if w.c.expect.Swap(false) {
			w.closes = true // the body may still come or not: nobody can tell where the next request starts
		}
	}
	err := w.write(w.out)
	w.out = w.out[:0]
	return err
}

func (w *fastSink) write(p []byte) error {
	if w.broken {
		return errClientEnd
	}
	w.c.writeBy.extend(w.c.setWrite, w.c.set.write)
	forward.StandAside()
	if _, err := w.c.wr.Write(p); err != nil {
		return w.failed(err)
	}
	return nil
}

// failed notes that the client cannot be written to: it went away, or it is too slow.
func (w *fastSink) failed(err error) error {
	w.broken = true
	w.c.leave()
	return err
}

// End implements forward.Sink.
func (w *fastSink) End(trailer header.List) error {
	switch {
	case !w.held:
		return errNoHead
	case w.ended:
		return nil
	case !w.bodyless && w.left > 0:
		w.broken = true
		return errTooLittle
	}
	if w.chunked && !w.bodyless {
		w.out = http1.AppendLastChunk(w.out, trailer)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	w.ended = true
	return nil
}

// Upgrade implements forward.Sink.
func (w *fastSink) Upgrade(status int, h header.List) (net.Conn, error) {
	if w.begun {
		return nil, errBegun
	}
	w.status, w.held, w.own = status, true, false
	b := http1.AppendStatusLine(w.out[:0], status)
	var seen answerFields
	for i := range h {
		if header.EqualFold(h[i].Name, "Upgrade") || header.EqualFold(h[i].Name, "Connection") {
			continue
		}
		if seen.keep(w.x, &h[i]) {
			b = http1.AppendField(b, h[i].Name, h[i].Value)
		}
	}
	protocol := h.Get("Upgrade")
	if protocol == "" {
		protocol = w.x.Upgrade
	}
	b = http1.AppendField(b, "Upgrade", protocol)
	b = append(b, "Connection: Upgrade\r\n"...)
	b = appendAnswerFields(b, w.x, status, false)
	w.out = http1.AppendEnd(b)
	if err := w.Flush(); err != nil {
		return nil, err
	}
	w.ended, w.upgraded, w.closes = true, true, true
	return w.c.tunnel(), nil
}

// Committed implements forward.Sink.
func (w *fastSink) Committed() bool { return w.begun }

// Watch implements forward.Sink.
func (w *fastSink) Watch(c forward.Deadliner) { w.c.Watch(c) }

// Gone implements forward.Sink.
func (w *fastSink) Gone() bool { return w.c.Gone() }

// abort makes sure that the caller cannot take what it got for a whole answer.
func (w *fastSink) abort() { w.broken = true }

// forwarding has nothing to prepare: the fast engine reads and writes independently.
func (w *fastSink) forwarding() {}

// setOwn says that the answer is the gateway's and not an upstream's.
func (w *fastSink) setOwn() { w.own = true }

func (w *fastSink) isEnded() bool { return w.ended }

// result is the status and the number of body bytes that were sent; 0 when nothing was.
func (w *fastSink) result() (status int, bytes int64) {
	if !w.begun {
		return 0, 0
	}
	return w.status, w.sent
}

// tunnel turns the connection into raw bytes both ways, those read ahead first.
func (c *conn) tunnel() *tunnel {
	c.phase = phaseRaw
	c.upgraded.Store(true)
	_ = c.nc.SetDeadline(noDeadline)
	return &tunnel{Conn: c.nc, r: c.r}
}

// tunnel is a connection after a switch of protocols.
type tunnel struct {
	net.Conn
	r *http1.Reader
}

func (t *tunnel) Read(p []byte) (int, error) { return t.r.Read(p) }

// CloseWrite sends the end of the stream to the client and leaves the other direction open.
func (t *tunnel) CloseWrite() error {
	if half, ok := t.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}
