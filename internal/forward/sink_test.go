package forward

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/header"
	"postern/internal/policy"
)

// recorder is a Sink in memory. Like an engine it holds everything back until Flush or End.
type recorder struct {
	mu      sync.Mutex
	interim []int
	status  int
	head    header.List
	length  int64
	pending []byte
	sent    []byte
	flushes int
	ended   bool
	trailer header.List
	commit  bool
	watched Deadliner
	gone    atomic.Bool
	refuse  error // what Write answers

	progress chan string   // what each Flush and End sent, if somebody listens
	upgraded net.Conn      // given to Upgrade
	waiting  chan struct{} // signalled when something is watched
}

func (r *recorder) Interim(status int, h header.List) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.interim = append(r.interim, status)
	return nil
}

func (r *recorder) Head(status int, h header.List, length int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status, r.length = status, length
	for _, f := range h {
		r.head.Add(string([]byte(f.Name)), string([]byte(f.Value)))
	}
	return nil
}

func (r *recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refuse != nil {
		return 0, r.refuse
	}
	r.pending = append(r.pending, p...)
	return len(p), nil
}

func (r *recorder) Flush() error { return r.flush(false) }

func (r *recorder) flush(end bool) error {
	r.mu.Lock()
	new := string(r.pending)
	r.sent = append(r.sent, r.pending...)
	r.pending = r.pending[:0]
	r.commit = true
	r.flushes++
	r.mu.Unlock()
	if r.progress != nil && (new != "" || end) {
		r.progress <- new
	}
	return nil
}

func (r *recorder) End(trailer header.List) error {
	for _, f := range trailer {
		r.trailer.Add(string([]byte(f.Name)), string([]byte(f.Value)))
	}
	r.ended = true
	return r.flush(true)
}

func (r *recorder) Upgrade(status int, h header.List) (net.Conn, error) {
	if r.upgraded == nil {
		return nil, errors.New("no upgrade here")
	}
	r.status, r.commit = status, true
	for _, f := range h {
		r.head.Add(string([]byte(f.Name)), string([]byte(f.Value)))
	}
	return r.upgraded, nil
}

func (r *recorder) Committed() bool { r.mu.Lock(); defer r.mu.Unlock(); return r.commit }

func (r *recorder) Watch(c Deadliner) {
	r.mu.Lock()
	r.watched = c
	r.mu.Unlock()
	if c != nil && r.waiting != nil {
		select {
		case r.waiting <- struct{}{}:
		default:
		}
	}
}

func (r *recorder) Gone() bool { return r.gone.Load() }

// leave is what an engine does when the caller goes away.
func (r *recorder) leave() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gone.Store(true)
	if r.watched != nil {
		r.watched.SetDeadline(time.Unix(1, 0)) //nolint:errcheck // a test
	}
}

// body is a request body from a reader. Its length is -1 when it is not known.
type body struct {
	r       io.Reader
	length  int64
	trailer header.List
	peeked  []byte
	done    bool
	broken  chan struct{}
	once    sync.Once
}

func bodyOf(s string) *body {
	return &body{r: bytes.NewReader([]byte(s)), length: int64(len(s)), broken: make(chan struct{})}
}

func streamOf(r io.Reader) *body { return &body{r: r, length: -1, broken: make(chan struct{})} }

func (b *body) Read(p []byte) (int, error) {
	if len(b.peeked) > 0 {
		n := copy(p, b.peeked)
		b.peeked = b.peeked[n:]
		return n, nil
	}
	return b.r.Read(p)
}

func (b *body) Peek(_ context.Context, max int) ([]byte, bool, error) {
	if !b.done {
		all, err := io.ReadAll(io.LimitReader(b.r, int64(max)-int64(len(b.peeked))))
		b.peeked = append(b.peeked, all...)
		if err != nil {
			return nil, false, err
		}
		b.done = int64(len(b.peeked)) == b.length || b.length < 0 && len(b.peeked) < max
	}
	return b.peeked, b.done, nil
}

func (b *body) Length() int64        { return b.length }
func (b *body) Replace(p []byte)     { b.peeked, b.length, b.done = p, int64(len(p)), true }
func (b *body) Trailer() header.List { return b.trailer }

// Interrupt implements Interrupter for readers that can be closed.
func (b *body) Interrupt() {
	b.once.Do(func() {
		close(b.broken)
		if c, ok := b.r.(interface{ CloseWithError(error) error }); ok {
			c.CloseWithError(errors.New("interrupted")) //nolint:errcheck // a test
		}
	})
}

// at is a clock that a test moves.
type at struct{ now atomic.Int64 }

func newClock() *at {
	c := &at{}
	c.now.Store(time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC).UnixNano())
	return c
}

func (c *at) Now() time.Time          { return time.Unix(0, c.now.Load()) }
func (c *at) advance(d time.Duration) { c.now.Add(int64(d)) }

var quiet = slog.New(slog.DiscardHandler)

// rig is a forwarder with one upstream.
type rig struct {
	t     *testing.T
	f     *Forwarder
	pools *Pools
	up    gate.Upstream
	clock func() time.Time
}

func newRig(t *testing.T, u policy.Upstream) *rig {
	return newRigAt(t, u, time.Now, Options{Logger: quiet})
}

func newRigAt(t *testing.T, u policy.Upstream, now func() time.Time, o Options) *rig {
	t.Helper()
	pools := NewPools(PoolOptions{Now: now, Logger: quiet})
	t.Cleanup(pools.Close)
	set, err := pools.Prepare(map[string]policy.Upstream{"orders": u}, nil)
	if err != nil {
		t.Fatal(err)
	}
	set.Commit()
	return &rig{t: t, f: New(o), pools: pools, up: set.Upstream("orders"), clock: now}
}

func to(urls ...string) policy.Upstream {
	u := policy.Upstream{}
	for _, s := range urls {
		u.Targets = append(u.Targets, policy.Target{URL: s})
	}
	return u
}

func (r *rig) exchange(method, path string) *gate.Exchange {
	return &gate.Exchange{
		ID: decision.NewTraceID(r.clock()), Started: r.clock(), Env: &gate.Env{Now: r.clock}, Method: method, Path: path, RawPath: path,
		Host: "api.example.com", Scheme: "https", Proto: "HTTP/1.1", Body: gate.NoBody, Peer: netip.MustParseAddrPort("192.0.2.7:4711"),
		Client: netip.MustParseAddr("192.0.2.7"), Op: &gate.Operation{Upstream: r.up},
	}
}

func (r *rig) send(x *gate.Exchange) (*recorder, decision.Verdict) {
	w := &recorder{}
	return w, r.f.Forward(context.Background(), x, w)
}

func (r *rig) get(path string) (*recorder, decision.Verdict) { return r.send(r.exchange("GET", path)) }

func mustPass(t *testing.T, v decision.Verdict) {
	t.Helper()
	if !v.Passed() {
		t.Fatalf("refused: %s, facts %+v", v.Reason().Code, v.Facts())
	}
}

func mustRefuse(t *testing.T, v decision.Verdict, want *decision.Reason) {
	t.Helper()
	if v.Passed() || v.Reason() != want {
		t.Fatalf("got %v %+v, want %s", v.Outcome(), v.Reason(), want.Code)
	}
}

// raw is an upstream that speaks bytes: serve is called for each connection with its number, counting from 1.
func raw(t *testing.T, serve func(n int, c net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var open sync.Map
	wg.Go(func() {
		for n := 1; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			open.Store(c, true)
			wg.Go(func() {
				defer c.Close()
				serve(n, c)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		open.Range(func(c, _ any) bool { c.(net.Conn).Close(); return true })
		wg.Wait()
	})
	return "http://" + l.Addr().String()
}

// readHead reads a request head from a raw connection.
func readHead(c net.Conn) (string, error) {
	var b []byte
	one := make([]byte, 1)
	for !bytes.HasSuffix(b, []byte("\r\n\r\n")) {
		if _, err := c.Read(one); err != nil {
			return string(b), err
		}
		b = append(b, one[0])
	}
	return string(b), nil
}

// answers makes a raw server that reads a head and sends what it is given, for every request of a connection.
func answers(t *testing.T, text string) string {
	return raw(t, func(_ int, c net.Conn) {
		for {
			if _, err := readHead(c); err != nil {
				return
			}
			if _, err := io.WriteString(c, text); err != nil {
				return
			}
		}
	})
}
