package edge

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postern/internal/decision"
	"postern/internal/forward"
	"postern/internal/gate"
	"postern/internal/header"
	"postern/internal/policy"
)

// world is a running edge with a judge and an upstream of the test's own.
type world struct {
	t       *testing.T
	s       *Server
	addr    string
	env     *gate.Env
	judge   func(ctx context.Context, x *gate.Exchange) decision.Verdict
	forward func(ctx context.Context, x *gate.Exchange, w forward.Sink) decision.Verdict
	portal  string

	reached atomic.Int64 // calls that got to the forwarder
	mu      sync.Mutex
	seen    []remembered
	logs    bytes.Buffer
	logsMu  sync.Mutex
}

// remembered is a finished call.
type remembered struct {
	status              int
	origin              gate.Origin
	reason, method, url string
	trace               string
	in, out             int64
	truncated           bool
	generation          uint64
	client              string
	steps               int
}

func (w *world) Judge(ctx context.Context, x *gate.Exchange, _ gate.Mode) decision.Verdict {
	if w.judge != nil {
		return w.judge(ctx, x)
	}
	return decision.Pass(nil)
}

func (w *world) Forward(ctx context.Context, x *gate.Exchange, s forward.Sink) decision.Verdict {
	w.reached.Add(1)
	if w.forward != nil {
		return w.forward(ctx, x, s)
	}
	return echo(ctx, x, s)
}

func (w *world) Record(x *gate.Exchange, generation uint64) {
	r := remembered{status: x.Result.Status, origin: x.Result.Origin, method: strings.Clone(x.Method), url: strings.Clone(x.RawPath),
		trace: x.ID.String(), in: x.Result.BytesIn, out: x.Result.BytesOut, truncated: x.Result.Truncated, generation: generation,
		client: x.Client.String(), steps: len(x.Trace.Steps())}
	if reason := x.Verdict.Reason(); reason != nil {
		r.reason = reason.Code
	}
	w.mu.Lock()
	w.seen = append(w.seen, r)
	w.mu.Unlock()
}

func (w *world) Write(p []byte) (int, error) {
	w.logsMu.Lock()
	defer w.logsMu.Unlock()
	return w.logs.Write(p)
}

// records waits until n calls have been recorded and returns all of them.
func (w *world) records(n int) []remembered {
	w.t.Helper()
	var out []remembered
	w.eventually(fmt.Sprintf("%d records", n), func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		out = append([]remembered(nil), w.seen...)
		return len(out) >= n
	})
	return out
}

// eventually polls until the condition holds; the limit is far beyond what any machine needs.
func (w *world) eventually(what string, ok func() bool) {
	w.t.Helper()
	for limit := time.Now().Add(20 * time.Second); !ok(); {
		if time.Now().After(limit) {
			w.t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// echo answers 200 with the request body, or its method and path when there is none.
func echo(_ context.Context, x *gate.Exchange, s forward.Sink) decision.Verdict {
	b, err := io.ReadAll(x.Body)
	if err != nil {
		return refusalOf(err)
	}
	if len(b) == 0 {
		b = []byte(x.Method + " " + x.RawPath)
	}
	x.Result.Origin, x.Result.ReceivedStatus = gate.FromUpstream, 200
	_ = s.Head(200, header.List{{Name: "Content-Type", Value: "text/plain"}, {Name: "Postern-Trace", Value: "forged"}}, int64(len(b)))
	if _, err := s.Write(b); err != nil {
		return decision.Refuse(decision.ClientGone, nil)
	}
	if s.End(nil) != nil {
		return decision.Refuse(decision.ClientGone, nil)
	}
	return decision.Pass(nil)
}

// refusalOf is what a forwarder makes of a fault in the request body.
func refusalOf(err error) decision.Verdict {
	var known *gate.BodyError
	if errors.As(err, &known) {
		return known.Verdict()
	}
	return decision.Refuse(decision.ClientGone, nil)
}

// newWorld starts an edge with one listener on a free port of loopback.
func newWorld(t *testing.T, change ...func(*policy.Listener)) *world {
	t.Helper()
	w := &world{t: t, env: &gate.Env{Now: time.Now}}
	l := policy.Listener{Name: "public", Address: "127.0.0.1:0"}
	for _, f := range change {
		f(&l)
	}
	w.s = New(Options{
		Current:   func() Current { return Current{Judge: w, Generation: 7, PortalURL: w.portal} },
		Forwarder: w, Env: w.env, Recorder: w, ACMEDir: t.TempDir(),
		Logger: slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelInfo})),
	})
	if err := w.s.Start(context.Background(), []policy.Listener{l}); err != nil {
		t.Fatal(err)
	}
	w.addr = w.s.Addresses()["public"].String()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = w.s.Shutdown(ctx)
	})
	return w
}

// client is a raw connection.
type client struct {
	net.Conn
	t *testing.T
	r *bufio.Reader
}

func (w *world) dial() *client {
	w.t.Helper()
	c, err := net.Dial("tcp", w.addr)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.client(c)
}

func (w *world) client(c net.Conn) *client {
	w.t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return &client{Conn: c, t: w.t, r: bufio.NewReader(c)}
}

func (c *client) send(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c.Conn, s); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

// answer reads one response and its body.
func (c *client) answer(method string) (*http.Response, string) {
	c.t.Helper()
	resp, err := http.ReadResponse(c.r, &http.Request{Method: method})
	if err != nil {
		c.t.Fatalf("no answer: %v", err)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatalf("the body of the answer: %v", err)
	}
	return resp, string(b)
}

// closed checks that the server closes the connection without another byte.
func (c *client) closed() {
	c.t.Helper()
	b, err := io.ReadAll(c.r)
	if len(b) > 0 {
		c.t.Fatalf("more bytes came: %q", b)
	}
	var network net.Error
	if errors.As(err, &network) && network.Timeout() {
		c.t.Fatal("the connection stayed open")
	}
}

func post(path, body string) string {
	return "POST " + path + " HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
}

func get(path string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: api.example.com\r\n\r\n"
}

// engines runs a test with both engines speaking HTTP/1.1.
func engines(t *testing.T, f func(t *testing.T, engine func(*policy.Listener))) {
	for _, name := range []string{"fast", "standard"} {
		t.Run(name, func(t *testing.T) { f(t, func(l *policy.Listener) { l.Engine = name }) })
	}
}
