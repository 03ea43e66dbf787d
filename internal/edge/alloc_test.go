package edge

import (
	"context"
	"net"
	"testing"
	"time"

	"postern/internal/decision"
	"postern/internal/forward"
	"postern/internal/gate"
	"postern/internal/header"
	"postern/internal/policy"
)

// memory is a connection that brings the same request again and again and forgets what is written.
type memoryConn struct {
	request string
	off     int
	written int
}

func (m *memoryConn) Read(p []byte) (int, error) {
	if m.off == len(m.request) {
		m.off = 0
	}
	n := copy(p, m.request[m.off:])
	m.off += n
	return n, nil
}

func (m *memoryConn) Write(p []byte) (int, error)      { m.written += len(p); return len(p), nil }
func (m *memoryConn) Close() error                     { return nil }
func (m *memoryConn) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (m *memoryConn) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }
func (m *memoryConn) SetDeadline(time.Time) error      { return nil }
func (m *memoryConn) SetReadDeadline(time.Time) error  { return nil }
func (m *memoryConn) SetWriteDeadline(time.Time) error { return nil }

// fixed is a judge and an upstream that allocate nothing themselves.
type fixed struct {
	op     *gate.Operation
	answer header.List
	body   []byte
	limit  *gate.Limit
}

func (f *fixed) Judge(_ context.Context, x *gate.Exchange, _ gate.Mode) decision.Verdict {
	x.Op = f.op
	x.Readings = append(x.Readings, gate.LimitReading{Limit: f.limit, Remaining: 99, Reset: 1500 * time.Millisecond})
	for _, name := range [...]string{"route", "ip", "authn", "account", "subscription", "authz", "limit", "upstream"} {
		x.Trace.Add(name, decision.Pass(nil))
	}
	return decision.Pass(nil)
}

func (f *fixed) Forward(ctx context.Context, x *gate.Exchange, w forward.Sink) decision.Verdict {
	if n := x.Body.Length(); n > 0 {
		if b, whole, err := x.Body.Peek(ctx, int(n)); err != nil || !whole || int64(len(b)) != n {
			return decision.Refuse(decision.UpstreamBadAnswer, nil)
		}
	}
	w.Watch(x.Env.Directory.(forward.Deadliner))
	w.Watch(nil)
	x.Result.Origin, x.Result.ReceivedStatus = gate.FromUpstream, 200
	_ = w.Head(200, f.answer, int64(len(f.body)))
	_, _ = w.Write(f.body)
	if w.End(nil) != nil {
		return decision.Refuse(decision.ClientGone, nil)
	}
	return decision.Pass(nil)
}

func (f *fixed) Record(*gate.Exchange, uint64) {}

// noDeadliner stands for an upstream's connection; it travels in Env only so that the test's forwarder finds it.
type noDeadliner struct{ gate.Directory }

func (noDeadliner) SetDeadline(time.Time) error { return nil }

// newMemory makes a connection of the fast engine over memory.
func newMemory(t testing.TB, request string) (*conn, *memoryConn) {
	f := &fixed{
		op:     &gate.Operation{Tenant: "acme", API: "orders", Version: "v1"},
		answer: header.List{{Name: "Content-Type", Value: "application/json"}, {Name: "Date", Value: "Sun, 22 Nov 2026 19:40:00 GMT"}, {Name: "Server", Value: "orders"}},
		body:   make([]byte, 256),
		limit:  &gate.Limit{Name: "burst", Kind: gate.LimitRate, Max: 100, Period: time.Second},
	}
	current := Current{Judge: f, Generation: 1}
	s := New(Options{Current: func() Current { return current }, Forwarder: f, Recorder: f, Env: &gate.Env{Now: time.Now, Directory: noDeadliner{}}})
	set, err := newSettings(policy.Listener{})
	if err != nil {
		t.Fatal(err)
	}
	sp := &spec{set: set}
	l := newListener(s, nil, sp)
	m := &memoryConn{request: request}
	ls := &lease{Conn: m, l: l, sp: sp, set: set, shard: s.shard()}
	return newConn(ls, sp, m, m, nil), m
}

// one serves one request as conn.serve does.
func (c *conn) one(t testing.TB) {
	c.phase = phaseIdle
	if err := c.r.Wait(); err != nil {
		t.Fatal(err)
	}
	c.turn.Add(1)
	c.phase, c.headBy = phaseHead, 0
	cl := takeCall()
	if !c.exchange(cl) {
		t.Fatal("the connection was not kept")
	}
	cl.release()
	c.call = nil
	c.idleSince.Store(int64(mono()))
	c.turn.Add(1)
}

const ordinaryPost = "POST /orders/v1/orders?dry=1 HTTP/1.1\r\nHost: api.example.com\r\nUser-Agent: bench/1\r\nAccept: */*\r\n" +
	"X-API-Key: postern_0123456789abcdef0123456789abcdef\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{\"item\":\"chair\"}"

func TestAllowedRequestAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes pools forget")
	}
	for name, request := range map[string]string{
		"GET":  "GET /orders/v1/orders HTTP/1.1\r\nHost: api.example.com\r\nX-API-Key: abc\r\n\r\n",
		"POST": ordinaryPost,
	} {
		c, m := newMemory(t, request)
		for range 10 {
			c.one(t)
		}
		if n := testing.AllocsPerRun(1000, func() { c.one(t) }); n >= 1 {
			t.Errorf("%s: %v allocations a request, want none", name, n)
		}
		if m.written == 0 {
			t.Errorf("%s: nothing was answered", name)
		}
	}
}

func BenchmarkAllowedPost(b *testing.B) {
	c, m := newMemory(b, ordinaryPost)
	b.ReportAllocs()
	for b.Loop() {
		c.one(b)
	}
	b.ReportMetric(float64(m.written)/float64(b.N), "bytes/answer")
}

func BenchmarkRefusal(b *testing.B) {
	c, _ := newMemory(b, ordinaryPost)
	v := refuseWith(decision.LimitRate, decision.Fact{Name: "limit", Want: "100 requests per second", Public: decision.ToAnyone})
	judge := judgeFunc(v)
	c.l.server.opts.Current = func() Current { return Current{Judge: judge} }
	b.ReportAllocs()
	for b.Loop() {
		c.one(b)
	}
}

type judgeFunc func(context.Context, *gate.Exchange) decision.Verdict

func (f judgeFunc) Judge(ctx context.Context, x *gate.Exchange, _ gate.Mode) decision.Verdict {
	return f(ctx, x)
}
