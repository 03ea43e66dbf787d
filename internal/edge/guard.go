package edge

import (
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync/atomic"

	"postern/internal/http1"
)

// guard stands between a client and net/http where the standard engine serves HTTP/1.x. It reads every message with the
// strict parser of the fast engine and hands net/http a clean copy, so that what one parser would let pass (both
// Content-Length and Transfer-Encoding, bare line feeds, folded lines, sloppy chunks …) never reaches the other.
//
// A message that is refused becomes a request for a target that only this process knows; the handler answers it with the
// fault that the guard remembers. So the answer keeps its place behind answers that are still being written.
type guard struct {
	net.Conn // TLS or plain
	lease    *lease
	r        *http1.Reader
	req      http1.Request
	stage    guardStage
	out      []byte // what net/http has not read yet
	off      int
	refused  atomic.Pointer[refusedHead]
	raw      atomic.Bool // stage is guardRaw, for others
}

type guardStage uint8

const (
	guardHead guardStage = iota
	guardBody
	guardRaw  // after a request to upgrade, or an HTTP/2 preface
	guardOver // after a refused message
)

// refusedHead is what is known of a message that could not be read.
type refusedHead struct {
	err                               error
	method, target, path, query, host string
	minor                             int
}

// refusedTarget cannot be guessed, so no client can ask for it.
var refusedTarget = "/" + rand.Text()

// guardTLS is a guard over TLS: net/http finds the state of the connection by this method.
type guardTLS struct {
	*guard
	state *tls.ConnectionState
}

// ConnectionState makes http.Request.TLS known.
func (g guardTLS) ConnectionState() tls.ConnectionState { return *g.state }

func newGuard(ls *lease, nc net.Conn, state *tls.ConnectionState) net.Conn {
	g := &guard{Conn: nc, lease: ls, r: http1.NewReader(nc, ls.set.head)}
	ls.guard = g
	if state != nil {
		return guardTLS{g, state}
	}
	return g
}

// Read gives net/http the next bytes of clean HTTP.
func (g *guard) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for g.off == len(g.out) {
		g.out, g.off = g.out[:0], 0
		var err error
		switch g.stage {
		case guardHead:
			err = g.head()
		case guardBody:
			err = g.body()
		case guardRaw:
			return g.r.Read(p)
		default:
			err = io.EOF
		}
		if err != nil {
			return 0, err
		}
	}
	n := copy(p, g.out[g.off:])
	g.off += n
	return n, nil
}

// head reads the next request and writes it anew.
func (g *guard) head() error {
	if err := g.r.Wait(); err != nil {
		return err
	}
	req := &g.req
	req.Method, req.Target, req.Path, req.Query, req.Host, req.Minor = "", "", "", "", "", 1
	err := g.r.ReadRequest(req)
	var malformed *http1.ParseError
	switch {
	case err == nil:
	case err == error(http1.ErrHTTP2Preface) && g.lease.set.h2c:
		g.toRaw()
		return nil
	case errors.As(err, &malformed), isTimeout(err):
		h := &refusedHead{err: err, minor: req.Minor}
		h.method, h.target, h.path, h.query, h.host = clone(req.Method), clone(req.Target), clone(req.Path), clone(req.Query), clone(req.Host)
		g.refused.Store(h)
		g.stage = guardOver
		g.out = append(g.out, "GET "+refusedTarget+" HTTP/1.1\r\nHost: refused\r\nConnection: close\r\n\r\n"...)
		return nil
	default:
		return err
	}
	g.out, err = http1.AppendRequestLine(g.out, req.Method, req.Target)
	if err != nil {
		return err
	}
	if req.Minor == 0 {
		g.out[len(g.out)-3] = '0'
	}
	g.out = http1.AppendFields(g.out, req.Header)
	g.out = http1.AppendEnd(g.out)
	switch {
	case wantsUpgrade(req):
		g.toRaw() // and the handler closes the connection unless it switches
	case !req.Body.Done():
		g.stage = guardBody
	}
	return nil
}

func (g *guard) toRaw() {
	g.stage = guardRaw
	g.raw.Store(true)
}

// body passes on the next piece of a body.
func (g *guard) body() error {
	piece, err := g.req.Body.Next()
	if err != nil && err != io.EOF {
		return err
	}
	if g.req.Kind == http1.Chunked {
		g.out = http1.AppendChunk(g.out, piece)
	} else {
		g.out = append(g.out, piece...)
	}
	if g.req.Body.Done() {
		if g.req.Kind == http1.Chunked {
			g.out = http1.AppendLastChunk(g.out, g.req.Body.Trailer())
		}
		g.stage = guardHead
	}
	return nil
}

// Close gives the buffers back as well.
func (g *guard) Close() error {
	err := g.Conn.Close()
	_ = g.lease.Close()
	return err
}

// CloseWrite lets net/http close without losing the answer.
func (g *guard) CloseWrite() error {
	if half, ok := g.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}
