package forward

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/header"
	"postern/internal/policy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// discard is the cheapest sink.
type discard struct{ n int }

func (d *discard) Interim(int, header.List) error                   { return nil }
func (d *discard) Head(int, header.List, int64) error               { return nil }
func (d *discard) Write(p []byte) (int, error)                      { d.n += len(p); return len(p), nil }
func (d *discard) Flush() error                                     { return nil }
func (d *discard) End(header.List) error                            { return nil }
func (d *discard) Upgrade(int, header.List) (c net.Conn, err error) { return nil, io.EOF }
func (d *discard) Committed() bool                                  { return false }
func (d *discard) Watch(Deadliner)                                  {}
func (d *discard) Gone() bool                                       { return false }

// cheap is a body at hand.
type cheap struct{ b []byte }

func (c *cheap) Read([]byte) (int, error)                        { return 0, io.EOF }
func (c *cheap) Peek(context.Context, int) ([]byte, bool, error) { return c.b, true, nil }
func (c *cheap) Length() int64                                   { return int64(len(c.b)) }
func (c *cheap) Replace([]byte)                                  {}
func (c *cheap) Trailer() header.List                            { return nil }

// fixedServer answers every request of 512 body bytes with 256 bytes and allocates nothing doing so.
func fixedServer(tb testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	answer := append([]byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 256\r\n\r\n"), make([]byte, 256)...)
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		buf := make([]byte, 8<<10)
		for { // a request is one write and fits into one read
			if _, err := c.Read(buf); err != nil {
				return
			}
			if _, err := c.Write(answer); err != nil {
				return
			}
		}
	}()
	tb.Cleanup(func() { l.Close(); <-done })
	return "http://" + l.Addr().String()
}

// ordinary is a POST as API clients send it.
func ordinary(r *rig) (*gate.Exchange, func()) {
	x := r.exchange("POST", "/orders")
	x.Header = header.List{{Name: "Host", Value: "api.example.com"}, {Name: "User-Agent", Value: "shop/1.0"}, {Name: "Accept", Value: "*/*"},
		{Name: "Content-Type", Value: "application/json"}, {Name: "Content-Length", Value: "512"}, {Name: "X-API-Key", Value: canary}, {Name: "X-Request-Id", Value: "17"}}
	x.Principal.Field = "X-API-Key"
	x.RawQuery = "expand=lines"
	b := &cheap{b: make([]byte, 512)}
	return x, func() {
		x.Result = gate.Result{Attempts: x.Result.Attempts[:0]}
		x.Body = b
	}
}

func TestOrdinaryCallAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	now := time.Now()
	r := newRigAt(t, to(fixedServer(t)), func() time.Time { return now }, Options{Logger: quiet})
	x, again := ordinary(r)
	w := &discard{}
	var v decision.Verdict
	call := func() { again(); v = r.f.Forward(context.Background(), x, w) }
	call()
	mustPass(t, v)
	if n := testing.AllocsPerRun(500, call); n != 0 {
		t.Errorf("%v allocations a call", n)
	}
	mustPass(t, v)
	if w.n < 500*256 {
		t.Errorf("%d bytes came back", w.n)
	}
}

func BenchmarkPost(b *testing.B) {
	p := NewPools(PoolOptions{Logger: quiet})
	defer p.Close()
	set, err := p.Prepare(map[string]policy.Upstream{"orders": to(fixedServer(b))}, nil)
	if err != nil {
		b.Fatal(err)
	}
	set.Commit()
	r := &rig{f: New(Options{Logger: quiet}), up: set.Upstream("orders"), clock: time.Now}
	x, again := ordinary(r)
	w := &discard{}
	b.ReportAllocs()
	for b.Loop() {
		again()
		if v := r.f.Forward(context.Background(), x, w); !v.Passed() {
			b.Fatal(x.Result.Fault)
		}
	}
}
