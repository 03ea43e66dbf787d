package edge

import (
	"bufio"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"postern/internal/gate"
	"postern/internal/header"
	"postern/internal/http1"
)

// webSink writes answers through net/http.
type webSink struct {
	watch
	rw    http.ResponseWriter
	rc    *http.ResponseController
	x     *gate.Exchange
	sp    *spec
	set   *settings
	body  *body
	http1 bool

	writeBy  deadline
	status   int
	left     int64
	sent     int64
	bodyless bool
	held     bool // a head is in the header map
	begun    bool
	ended    bool
	broken   bool
	own      bool
	closes   bool
	duplex   bool     // net/http does not read the rest of the body before it answers
	conn     net.Conn // after an upgrade
}

// forwarding lets the answer begin while the request body is still being read. net/http cannot use a connection again
// on which that happened unless the body was read to its end (it would read in two places at once), so it is not switched
// on for refusals, and an answer that comes early closes the connection.
func (w *webSink) forwarding() {
	if w.http1 && w.x.Body != gate.NoBody {
		w.duplex = w.rc.EnableFullDuplex() == nil
	}
}

// Interim implements forward.Sink.
func (w *webSink) Interim(status int, h header.List) error {
	if w.begun || status <= 101 || status >= 200 || w.x.Proto == "HTTP/1.0" {
		return nil
	}
	m := w.rw.Header()
	clear(m)
	for _, f := range h {
		m.Add(clone(f.Name), clone(f.Value))
	}
	w.extend()
	w.rw.WriteHeader(status)
	clear(m)
	return nil
}

// Head implements forward.Sink.
func (w *webSink) Head(status int, h header.List, length int64) error {
	if w.begun {
		return errBegun
	}
	w.held, w.status, w.left, w.sent = true, status, length, 0
	w.bodyless = w.x.Method == "HEAD" || status == 204 || status == 304
	m := w.rw.Header()
	clear(m)
	seen := answerFields{own: w.own}
	for i := range h {
		if seen.keep(w.x, &h[i]) && http1.ValidFieldName(h[i].Name) && http1.ValidFieldValue(h[i].Value) {
			m.Add(clone(h[i].Name), clone(h[i].Value))
		}
	}
	if _, ok := m["Content-Type"]; !ok {
		m["Content-Type"] = nil // net/http must not guess one
	}
	if !seen.date {
		m.Set("Date", w.x.Env.Now().UTC().Format(http.TimeFormat))
	}
	listAnswerFields(w.x, status, w.own, m.Add)
	if length >= 0 && status != 204 {
		m.Set("Content-Length", strconv.FormatInt(length, 10))
	}
	if w.http1 && (w.closes || w.sp.retired.Load() || w.x.Body != gate.NoBody && w.body.leftOver(w.duplex)) {
		m.Set("Connection", "close")
	} else if w.http1 && !w.duplex && w.x.Body != gate.NoBody && w.body.unread() {
		// net/http reads a modest rest before it answers, so that the connection can be kept. It must not wait long for one.
		_ = w.rc.SetReadDeadline(time.Now().Add(drainWait))
	}
	return nil
}

func clone(s string) string { return strings.Clone(s) } // net/http may keep it beyond the exchange

func (w *webSink) commit() {
	if !w.begun {
		w.begun = true
		w.extend()
		w.rw.WriteHeader(w.status)
	}
}

func (w *webSink) extend() { w.writeBy.extend(w.setDeadline, w.set.write) }

func (w *webSink) setDeadline(t time.Time) error { return w.rc.SetWriteDeadline(t) }

// Write implements forward.Sink.
func (w *webSink) Write(p []byte) (int, error) {
	switch {
	case !w.held:
		return 0, errNoHead
	case len(p) == 0:
		return 0, nil
	case w.broken:
		return 0, errClientEnd
	case w.bodyless:
		return len(p), nil
	case w.left >= 0:
		if int64(len(p)) > w.left {
			w.broken = true
			return 0, errTooMuch
		}
		w.left -= int64(len(p))
	}
	w.commit()
	w.extend()
	n, err := w.rw.Write(p)
	w.sent += int64(n)
	if err != nil {
		w.fail()
	}
	return n, err
}

func (w *webSink) fail() {
	w.broken = true
	w.leave()
}

// Flush implements forward.Sink.
func (w *webSink) Flush() error {
	if !w.held || w.broken {
		return nil
	}
	w.commit()
	w.extend()
	if err := w.rc.Flush(); err != nil {
		w.fail()
		return err
	}
	return nil
}

// End implements forward.Sink.
func (w *webSink) End(trailer header.List) error {
	switch {
	case !w.held:
		return errNoHead
	case w.ended:
		return nil
	case w.broken:
		return errClientEnd
	case !w.bodyless && w.left > 0:
		w.broken = true
		return errTooLittle
	}
	w.commit()
	if w.http1 && len(trailer) > 0 && w.left < 0 && !w.bodyless {
		// Or net/http sends a small answer with a Content-Length, behind which there is no place for trailers.
		if err := w.Flush(); err != nil {
			return err
		}
	}
	for _, f := range trailer {
		if !http1.ForbiddenTrailer(f.Name) && http1.ValidFieldName(f.Name) && http1.ValidFieldValue(f.Value) {
			w.rw.Header().Add(http.TrailerPrefix+clone(f.Name), clone(f.Value))
		}
	}
	w.ended = true
	return nil
}

// Upgrade implements forward.Sink.
func (w *webSink) Upgrade(status int, h header.List) (net.Conn, error) {
	if w.begun || !w.http1 {
		return nil, errors.ErrUnsupported
	}
	nc, rest, err := w.rc.Hijack()
	if err != nil {
		return nil, err
	}
	w.begun, w.held, w.status = true, true, status
	b := http1.AppendStatusLine(nil, status)
	var seen answerFields
	protocol := w.x.Upgrade
	for i := range h {
		switch {
		case header.EqualFold(h[i].Name, "Upgrade"):
			protocol = h[i].Value
		case header.EqualFold(h[i].Name, "Connection"):
		case seen.keep(w.x, &h[i]):
			b = http1.AppendField(b, h[i].Name, h[i].Value)
		}
	}
	b = http1.AppendField(b, "Upgrade", protocol)
	b = append(b, "Connection: Upgrade\r\n"...)
	b = appendAnswerFields(b, w.x, status, false)
	b = http1.AppendEnd(b)
	_ = nc.SetDeadline(noDeadline)
	w.conn = &hijacked{Conn: nc, rest: rest.Reader}
	if _, err := nc.Write(b); err != nil {
		_ = nc.Close()
		w.leave()
		return nil, err
	}
	w.ended = true
	return w.conn, nil
}

// Committed implements forward.Sink.
func (w *webSink) Committed() bool { return w.begun }

func (w *webSink) abort()        { w.broken = true }
func (w *webSink) setOwn()       { w.own = true }
func (w *webSink) isEnded() bool { return w.ended }

func (w *webSink) result() (status int, bytes int64) {
	if !w.begun {
		return 0, 0
	}
	return w.status, w.sent
}

// hijacked is a connection taken from net/http, with what it had read ahead.
type hijacked struct {
	net.Conn
	rest *bufio.Reader
}

func (h *hijacked) Read(p []byte) (int, error) {
	if h.rest.Buffered() > 0 {
		return h.rest.Read(p)
	}
	return h.Conn.Read(p)
}

// CloseWrite sends the end of the stream to the client.
func (h *hijacked) CloseWrite() error {
	if half, ok := h.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}
