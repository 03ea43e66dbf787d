package edge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"postern/internal/decision"
	"postern/internal/forward"
	"postern/internal/gate"
	"postern/internal/policy"
)

// stuck is an upstream that never answers: it waits until the engine wakes it by a deadline.
type stuck struct {
	woken   chan struct{}
	waiting chan struct{}
	once    sync.Once
}

func newStuck() *stuck { return &stuck{woken: make(chan struct{}), waiting: make(chan struct{}, 100)} }

func (u *stuck) SetDeadline(t time.Time) error {
	if t.Before(time.Now()) {
		u.once.Do(func() { close(u.woken) })
	}
	return nil
}

func (u *stuck) forward(t *testing.T) func(context.Context, *gate.Exchange, forward.Sink) decision.Verdict {
	return func(ctx context.Context, x *gate.Exchange, s forward.Sink) decision.Verdict {
		_, _ = io.ReadAll(x.Body)
		s.Watch(u)
		u.waiting <- struct{}{}
		<-u.woken
		s.Watch(nil)
		if !s.Gone() {
			t.Error("woken, but the caller is not gone")
		}
		<-ctx.Done() // gates and HTTP/2 upstreams learn of it by the context
		return decision.Refuse(decision.UpstreamUnreachable, nil)
	}
}

func TestClientGone(t *testing.T) {
	engines(t, func(t *testing.T, engine func(*policy.Listener)) {
		for name, leave := range map[string]func(*net.TCPConn){
			"reset":  func(c *net.TCPConn) { _ = c.SetLinger(0); _ = c.Close() },
			"closed": func(c *net.TCPConn) { _ = c.Close() },
		} {
			t.Run(name, func(t *testing.T) {
				w, u := newWorld(t, engine), newStuck()
				w.forward = u.forward(t)
				c := w.dial()
				c.send(post("/", "body"))
				<-u.waiting
				leave(c.Conn.(*net.TCPConn))
				if r := w.records(1)[0]; r.reason != "upstream.client_gone" || r.status != 0 {
					t.Fatalf("record %+v", r)
				}
			})
		}
	})
}

// TestHalfClosed: a client that has finished sending still gets an answer that comes within the grace.
func TestHalfClosed(t *testing.T) {
	w := newWorld(t)
	reached, go_on := make(chan struct{}), make(chan struct{})
	w.forward = func(ctx context.Context, x *gate.Exchange, s forward.Sink) decision.Verdict {
		close(reached)
		<-go_on
		return echo(ctx, x, s)
	}
	c := w.dial()
	c.send(get("/half"))
	_ = c.Conn.(*net.TCPConn).CloseWrite()
	<-reached
	l := w.listener()
	w.eventually("the sweeper to see the FIN", func() bool {
		l.connsMu.Lock()
		defer l.connsMu.Unlock()
		return len(l.conns) == 1 && l.conns[0].finAt != 0
	})
	close(go_on)
	if resp, body := c.answer("GET"); resp.StatusCode != 200 || body != "GET /half" {
		t.Fatalf("%d %q", resp.StatusCode, body)
	}
	c.closed()
}

func (w *world) listener() *listener {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	for _, l := range w.s.listeners {
		return l
	}
	return nil
}

func TestPanics(t *testing.T) {
	engines(t, func(t *testing.T, engine func(*policy.Listener)) {
		w := newWorld(t, engine)
		t.Run("in a gate", func(t *testing.T) {
			w.judge = func(context.Context, *gate.Exchange) decision.Verdict { panic("a gate broke") }
			defer func() { w.judge = nil }()
			c := w.dial()
			c.send(get("/"))
			resp, body := c.answer("GET")
			if resp.StatusCode != 500 || !strings.Contains(body, "policy.fault") || strings.Contains(body, "a gate broke") {
				t.Fatalf("%d %s", resp.StatusCode, body)
			}
			if w.reached.Load() != 0 {
				t.Fatal("it reached the upstream")
			}
			w.logsMu.Lock()
			defer w.logsMu.Unlock()
			if log := w.logs.String(); !strings.Contains(log, "a gate broke") || !strings.Contains(log, resp.Header.Get("Postern-Trace")) {
				t.Fatalf("log: %s", log)
			}
		})
		t.Run("in the middle of an answer", func(t *testing.T) {
			w.forward = func(_ context.Context, _ *gate.Exchange, s forward.Sink) decision.Verdict {
				_ = s.Head(200, nil, 1000)
				_, _ = s.Write([]byte("begun"))
				_ = s.Flush()
				panic("the forwarder broke")
			}
			defer func() { w.forward = nil }()
			c := w.dial()
			c.send(get("/"))
			resp := c.head()
			if b, err := io.ReadAll(resp.Body); err == nil {
				t.Fatalf("the answer ended well: %q", b)
			}
		})
		for _, r := range w.records(2) { // a caller sees its connection break before the call is on record
			if r.reason != "policy.fault" {
				t.Errorf("record %+v", r)
			}
		}
		c := w.dial()
		c.send(get("/alive"))
		if resp, _ := c.answer("GET"); resp.StatusCode != 200 {
			t.Fatal(resp.Status)
		}
	})
}

// TestShutdown answers what is in progress, tells keep-alive clients, and then accepts nothing.
func TestShutdown(t *testing.T) {
	engines(t, func(t *testing.T, engine func(*policy.Listener)) {
		w := newWorld(t, engine)
		reached, go_on := make(chan struct{}), make(chan struct{})
		w.forward = func(ctx context.Context, x *gate.Exchange, s forward.Sink) decision.Verdict {
			close(reached)
			<-go_on
			return echo(ctx, x, s)
		}
		idle := w.dial()
		c := w.dial()
		c.send(get("/last"))
		<-reached
		done := make(chan error, 1)
		go func() { done <- w.s.Shutdown(context.Background()) }()
		idle.closed()
		select {
		case err := <-done:
			t.Fatalf("Shutdown did not wait: %v", err)
		default:
		}
		close(go_on)
		resp, body := c.answer("GET")
		if body != "GET /last" || !resp.Close {
			t.Fatalf("%q %v", body, resp.Header)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if conn, err := net.Dial("tcp", w.addr); err == nil {
			conn.Close()
			t.Fatal("the port is still open")
		}
		if err := w.s.Start(context.Background(), nil); !errors.Is(err, ErrStopped) {
			t.Fatal(err)
		}
	})
}

func TestShutdownBreaksOffWhatTakesTooLong(t *testing.T) {
	w, u := newWorld(t, func(l *policy.Listener) { l.Timeouts.Drain = policy.Duration(50 * time.Millisecond) }), newStuck()
	w.forward = u.forward(t)
	c := w.dial()
	c.send(get("/"))
	<-u.waiting
	if err := w.s.Shutdown(context.Background()); err == nil || !strings.Contains(err.Error(), "broken off") {
		t.Fatalf("%v", err)
	}
	if r := w.records(1)[0]; r.reason != "upstream.client_gone" {
		t.Fatalf("record %+v", r)
	}
}

// TestReloadDropsNothing keeps clients busy while listeners change all the time.
func TestReloadDropsNothing(t *testing.T) {
	engines(t, func(t *testing.T, engine func(*policy.Listener)) {
		w := newWorld(t, engine)
		stop := make(chan struct{})
		var clients sync.WaitGroup
		var answered atomic.Int64
		for i := range 4 {
			clients.Go(func() {
				var c *client
				for n := 0; ; n++ {
					select {
					case <-stop:
						return
					default:
					}
					if c == nil {
						c = w.dial()
					}
					if _, err := io.WriteString(c.Conn, post(fmt.Sprintf("/%d/%d", i, n), "x")); err != nil {
						t.Errorf("a request was dropped: %v", err)
						return
					}
					resp, err := http.ReadResponse(c.r, nil)
					if err != nil || resp.StatusCode != 200 {
						t.Errorf("a request was dropped: %v %v", resp, err)
						return
					}
					_, _ = io.ReadAll(resp.Body)
					answered.Add(1)
					if resp.Close {
						c.Close()
						c = nil
					}
				}
			})
		}
		for i := range 10 {
			l := policy.Listener{Name: "public", Address: "127.0.0.1:0"}
			engine(&l)
			l.Limits.HeaderCount = 50 + i // a change: same socket, new settings
			listeners := []policy.Listener{l}
			if i%2 == 0 {
				listeners = append(listeners, policy.Listener{Name: "other", Address: "127.0.0.1:0"})
			}
			if err := w.s.Reload(context.Background(), listeners); err != nil {
				t.Fatal(err)
			}
			before := answered.Load()
			w.eventually("answers after the reload", func() bool { return answered.Load() > before+20 || t.Failed() })
		}
		close(stop)
		clients.Wait()
		if got := w.s.Addresses()["public"].String(); got != w.addr {
			t.Fatalf("the socket moved from %s to %s", w.addr, got)
		}
	})
}

func TestReloadNewSettings(t *testing.T) {
	w := newWorld(t)
	l := policy.Listener{Name: "public", Address: "127.0.0.1:0"}
	l.Limits.BodyBytes = 3
	if err := w.s.Reload(context.Background(), []policy.Listener{l}); err != nil {
		t.Fatal(err)
	}
	c := w.dial()
	c.send(post("/", "four"))
	if resp, _ := c.answer("POST"); resp.StatusCode != 413 {
		t.Fatal(resp.Status)
	}
}

func TestPortInUse(t *testing.T) {
	w := newWorld(t)
	err := w.s.Reload(context.Background(), []policy.Listener{{Name: "public", Address: "127.0.0.1:0"}, {Name: "second", Address: w.addr}})
	if !errors.Is(err, syscall.EADDRINUSE) {
		t.Fatalf("%v", err)
	}
	for _, want := range []string{`"second"`, w.addr, "ss -ltnp"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error %q does not say %q", err, want)
		}
	}
	c := w.dial() // everything stays as it was
	c.send(get("/"))
	c.answer("GET")
	if len(w.s.Addresses()) != 1 {
		t.Errorf("%v", w.s.Addresses())
	}
}

func TestOverlappingAddress(t *testing.T) {
	w := newWorld(t)
	_, port, _ := net.SplitHostPort(w.addr)
	err := w.s.Reload(context.Background(), []policy.Listener{{Name: "all", Address: ":" + port}})
	if err == nil || !strings.Contains(err.Error(), `the running listener "public" has that port`) {
		t.Fatalf("%v", err)
	}
}

// TestClientThatDoesNotRead: an answer that nobody takes ends at the write timeout and frees the upstream.
func TestClientThatDoesNotRead(t *testing.T) {
	engines(t, func(t *testing.T, engine func(*policy.Listener)) {
		w := newWorld(t, engine, func(l *policy.Listener) { l.Timeouts.Write = policy.Duration(100 * time.Millisecond) })
		w.forward = func(_ context.Context, x *gate.Exchange, s forward.Sink) decision.Verdict {
			_ = s.Head(200, nil, -1)
			piece := make([]byte, 64<<10)
			for range 10_000 {
				if _, err := s.Write(piece); err != nil {
					if !s.Gone() {
						t.Error("a failed write does not say that the client is gone")
					}
					return decision.Refuse(decision.ClientGone, nil)
				}
			}
			t.Error("640 MB were written to a client that reads nothing")
			_ = s.End(nil)
			return decision.Pass(nil)
		}
		c := w.dial()
		c.send(get("/"))
		if r := w.records(1)[0]; r.reason != "upstream.client_gone" {
			t.Fatalf("%+v", r)
		}
	})
}

func TestTooManyConnections(t *testing.T) {
	w := newWorld(t, func(l *policy.Listener) { l.Limits.Connections = 2 })
	a, b := w.dial(), w.dial()
	for _, c := range []*client{a, b} {
		c.send(get("/"))
		c.answer("GET")
	}
	w.dial().closed()
	a.Close()
	w.eventually("a place to be free", func() bool { return w.listener().open.Load() < 2 })
	c := w.dial()
	c.send(get("/"))
	c.answer("GET")
}

func TestMetrics(t *testing.T) {
	w := newWorld(t)
	c := w.dial()
	c.send(post("/", "12345"))
	c.answer("POST")
	w.judge = refuseWith(decision.LimitRate)
	c.send(get("/"))
	c.answer("GET")
	w.records(2)
	w.eventually("the last request to be accounted for", func() bool { // it is recorded a moment before it leaves the gauge
		var n int64
		for i := range w.s.shards {
			n += w.s.shards[i].inFlight.Load()
		}
		return n == 0
	})
	reg := prometheus.NewPedanticRegistry()
	if err := reg.Register(w.s); err != nil {
		t.Fatal(err)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.Metric {
			name := f.GetName()
			for _, l := range m.Label {
				name += " " + l.GetValue()
			}
			got[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	for name, want := range map[string]float64{
		"postern_requests_total upstream 2xx": 1, "postern_requests_total gateway 4xx": 1, "postern_refusals_total limit limit.rate": 1,
		"postern_connections": 1, "postern_connections_accepted_total": 1, "postern_request_body_bytes_total": 5,
		"postern_request_duration_seconds": 2, "postern_requests_in_flight": 0,
	} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v (%v)", name, got[name], want, got)
		}
	}
}
