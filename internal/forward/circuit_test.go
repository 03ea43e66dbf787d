package forward

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/policy"
)

func TestCircuit(t *testing.T) {
	clock := newClock()
	var failing atomic.Bool
	var calls atomic.Int32
	url := server(t, func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		if failing.Load() {
			w.WriteHeader(503)
		}
	})
	u := to(url)
	u.Circuit = &policy.CircuitBreaker{MinRequests: 4, FailureRate: 0.5, Open: policy.Duration(5 * time.Second), Trials: 2, Window: policy.Duration(10 * time.Second)}
	r := newRigAt(t, u, clock.Now, Options{Logger: quiet})
	get := func(want *decision.Reason) {
		t.Helper()
		x := r.exchange("POST", "/")
		_, v := r.send(x)
		if want == nil {
			mustPass(t, v)
			return
		}
		mustRefuse(t, v, want)
		if x.RetryAfter <= 0 || x.Result.Origin != gate.FromGateway {
			t.Errorf("retry after %v, origin %s", x.RetryAfter, x.Result.Origin)
		}
	}
	state := func(want string, open bool) {
		t.Helper()
		s := r.pools.Status()[0]
		if s.Circuit != want || r.up.State(clock.Now()).CircuitOpen != open {
			t.Fatalf("circuit %s, gate sees open %v; want %s", s.Circuit, r.up.State(clock.Now()).CircuitOpen, want)
		}
	}
	get(nil)
	get(nil)
	failing.Store(true)
	get(nil)
	state("closed", false)
	get(nil) // the fourth, and half of them failed
	state("open", true)
	calls.Store(0)
	get(decision.UpstreamCircuitOpen)
	if calls.Load() != 0 {
		t.Error("an open circuit let a call through")
	}
	clock.advance(5*time.Second + 1)
	state("half_open", false)
	get(nil) // a trial, which fails
	state("open", true)
	get(decision.UpstreamCircuitOpen)
	clock.advance(6 * time.Second)
	failing.Store(false)
	get(nil)
	state("half_open", false)
	get(nil)
	state("closed", false)
	get(nil)

	t.Run("old failures do not count", func(t *testing.T) {
		failing.Store(true)
		get(nil)
		get(nil)
		clock.advance(time.Minute)
		failing.Store(false)
		get(nil)
		get(nil)
		get(nil)
		state("closed", false)
	})
	t.Run("a trial that streams counts when its head is there", func(t *testing.T) {
		more := make(chan struct{})
		u := to(server(t, func(w http.ResponseWriter, r *http.Request) {
			http.NewResponseController(w).Flush()
			<-more
		}))
		u.Circuit = &policy.CircuitBreaker{MinRequests: 1, Trials: 1}
		r := newRigAt(t, u, clock.Now, Options{Logger: quiet})
		r.up.(*Upstream).pool.circuit.done(permit{}, clock.Now(), true)
		clock.advance(6 * time.Second)
		done := make(chan struct{})
		w := &headSignal{got: make(chan struct{})}
		go func() { defer close(done); r.f.Forward(context.Background(), r.exchange("GET", "/"), w) }()
		<-w.got
		if s := r.pools.Status()[0].Circuit; s != "closed" {
			t.Errorf("circuit %s while the trial streams", s)
		}
		close(more)
		<-done
	})
	t.Run("a clock that jumps back suspends nothing", func(t *testing.T) {
		u := to(answers(t, ok3), answers(t, ok3))
		u.Circuit = &policy.CircuitBreaker{MinRequests: 1, Trials: 1}
		u.Passive = &policy.PassiveHealth{Failures: 1}
		r := newRigAt(t, u, clock.Now, Options{Logger: quiet})
		p := r.up.(*Upstream).pool
		p.circuit.done(permit{}, clock.Now(), true)
		p.targets[0].failed(clock.Now())
		if s := r.pools.Status()[0]; s.Circuit != "open" || s.Healthy != 1 {
			t.Fatalf("%+v", s)
		}
		clock.advance(-time.Hour)
		if s := r.pools.Status()[0]; s.Circuit == "open" || s.Healthy != 2 {
			t.Errorf("%+v", s)
		}
		_, v := r.get("/")
		mustPass(t, v)
	})
	t.Run("a trial that panics gives its place back", func(t *testing.T) {
		u := to(answers(t, ok3))
		u.Circuit = &policy.CircuitBreaker{MinRequests: 1, Trials: 1}
		r := newRigAt(t, u, clock.Now, Options{Logger: quiet})
		c := r.up.(*Upstream).pool.circuit
		c.done(permit{}, clock.Now(), true)
		clock.advance(6 * time.Second)
		func() {
			defer func() { _ = recover() }()
			r.f.Forward(context.Background(), r.exchange("GET", "/"), &panicking{})
		}()
		_, v := r.get("/")
		mustPass(t, v)
		if s := r.pools.Status()[0]; s.Circuit != "closed" || s.InFlight != 0 {
			t.Errorf("%+v", s)
		}
	})
	t.Run("only so many trials at once", func(t *testing.T) {
		c := newCircuit(&policy.CircuitBreaker{Trials: 2, MinRequests: 1})
		now := clock.Now()
		c.done(permit{}, now, true)
		now = now.Add(6 * time.Second)
		a, _, ok1 := c.enter(now)
		_, _, ok2 := c.enter(now)
		_, _, ok3 := c.enter(now)
		if !ok1 || !ok2 || ok3 {
			t.Errorf("%v %v %v", ok1, ok2, ok3)
		}
		c.cancelled(a) // its caller left: another may try
		if _, _, ok := c.enter(now); !ok {
			t.Error("a cancelled trial still counts")
		}
	})
}

func TestEjection(t *testing.T) {
	clock := newClock()
	bad := raw(t, func(_ int, c net.Conn) { readHead(c) })
	good := answers(t, ok3)
	u := to(bad, good, good+"/")
	u.Passive = &policy.PassiveHealth{Failures: 2, For: policy.Duration(10 * time.Second)}
	u.Retry = &policy.Retry{Attempts: 2, Budget: 1}
	r := newRigAt(t, u, clock.Now, Options{Logger: quiet})
	for range 12 {
		_, v := r.get("/")
		mustPass(t, v)
	}
	s := r.pools.Status()[0]
	if s.Targets[0].Healthy || s.Targets[0].Why != "ejected" || s.Targets[0].Failures != 2 || s.Healthy != 2 {
		t.Errorf("%+v", s)
	}
	clock.advance(11 * time.Second)
	if !r.pools.Status()[0].Targets[0].Healthy {
		t.Error("it never comes back")
	}
	t.Run("never more than half, never the only one", func(t *testing.T) {
		u := to(bad, bad+"/a", bad+"/b", bad+"/c")
		u.Passive = &policy.PassiveHealth{Failures: 1}
		r := newRigAt(t, u, clock.Now, Options{Logger: quiet})
		for range 20 {
			r.get("/")
		}
		if s := r.pools.Status()[0]; s.Healthy != 2 {
			t.Errorf("%d of 4 left, want 2", s.Healthy)
		}
		one := to(bad)
		one.Passive = u.Passive
		r = newRigAt(t, one, clock.Now, Options{Logger: quiet})
		for range 5 {
			_, v := r.get("/")
			mustRefuse(t, v, decision.UpstreamUnreachable)
		}
	})
}

// headSignal says when it has the head of an answer.
type headSignal struct {
	discard
	got chan struct{}
}

func (h *headSignal) Flush() error {
	select {
	case <-h.got:
	default:
		close(h.got)
	}
	return nil
}

// panicking is a sink with a defect.
type panicking struct{ discard }

func (*panicking) Watch(c Deadliner) {
	if _, ok := c.(*conn); ok {
		panic("a defect")
	}
}
