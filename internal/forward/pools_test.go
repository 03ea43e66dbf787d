package forward

import (
	"context"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/header"
	"postern/internal/policy"
)

func targetsOf(r *rig) []*target { return r.up.(*Upstream).pool.targets }

func weighted(weights ...int) policy.Upstream {
	u := policy.Upstream{}
	for i, w := range weights {
		u.Targets = append(u.Targets, policy.Target{URL: fmt.Sprintf("http://10.0.0.%d:80", i+1), Weight: w})
	}
	return u
}

func TestRoundRobinIsSmooth(t *testing.T) {
	r := newRig(t, weighted(5, 1, 1))
	p := r.up.(*Upstream).pool
	got := ""
	for range 14 {
		got += p.balance.pick(r.exchange("GET", "/"), 0, nil).addr[7:8]
	}
	if got != "11213111121311" {
		t.Errorf("order %s", got)
	}
}

func TestBalanceDistribution(t *testing.T) {
	const calls = 30_000
	for _, c := range []struct {
		balance string
		share   func(w int) float64
		off     float64 // allowed relative deviation
	}{
		{"round_robin", func(w int) float64 { return float64(w) / 10 }, 0.001},
		{"consistent_hash", func(w int) float64 { return float64(w) / 10 }, 0.25},
	} {
		t.Run(c.balance, func(t *testing.T) {
			u := weighted(1, 2, 3, 4)
			u.Balance, u.HashOn = c.balance, "header:X-User"
			r := newRig(t, u)
			p := r.up.(*Upstream).pool
			n := map[*target]int{}
			for i := range calls {
				x := r.exchange("GET", "/")
				x.Header.Add("X-User", fmt.Sprint("user-", i))
				n[p.balance.pick(x, 0, nil)]++
			}
			for _, tg := range p.targets {
				if got, want := float64(n[tg])/calls, c.share(tg.weight); math.Abs(got-want) > c.off*want {
					t.Errorf("weight %d got %.3f of the calls, want %.3f", tg.weight, got, want)
				}
			}
		})
	}
}

func TestLeastRequestPrefersTheFree(t *testing.T) {
	u := weighted(1, 1, 1)
	u.Balance = "least_request"
	r := newRig(t, u)
	p := r.up.(*Upstream).pool
	p.targets[0].inflight.Store(50)
	n := map[*target]int{}
	for range 3000 {
		n[p.balance.pick(r.exchange("GET", "/"), 0, nil)]++
	}
	if n[p.targets[0]] != 0 || n[p.targets[1]] < 1200 || n[p.targets[2]] < 1200 {
		t.Errorf("busy %d, free %d and %d", n[p.targets[0]], n[p.targets[1]], n[p.targets[2]])
	}
}

// TestConsistentHashMovesLittle: keys stay where they are when another target goes, and come back when it returns.
func TestConsistentHashMovesLittle(t *testing.T) {
	for _, on := range []string{"", "address", "application", "path", "header:X-User", "cookie:user"} {
		u := weighted(1, 1, 1, 1)
		u.Balance, u.HashOn = "consistent_hash", on
		r := newRig(t, u)
		p := r.up.(*Upstream).pool
		pick := func(i int) *target {
			x := r.exchange("GET", fmt.Sprint("/", i))
			x.Client = netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})
			x.Principal.Application.ID = fmt.Sprint("app", i)
			x.Header = header.List{{Name: "X-User", Value: fmt.Sprint(i)}, {Name: "Cookie", Value: fmt.Sprintf("a=b; user=%d; c=d", i)}}
			return p.balance.pick(x, 0, nil)
		}
		before := map[int]*target{}
		used := map[*target]bool{}
		for i := range 500 {
			before[i] = pick(i)
			used[before[i]] = true
		}
		if len(used) != 4 {
			t.Errorf("%s: only %d targets are used", on, len(used))
		}
		p.targets[1].sick.Store(true)
		for i := range 500 {
			now := pick(i)
			if before[i] != p.targets[1] && now != before[i] || now == p.targets[1] {
				t.Fatalf("%s: key %d moved without need, or to a target that is out", on, i)
			}
		}
		p.targets[1].sick.Store(false)
		for i := range 500 {
			if pick(i) != before[i] {
				t.Fatalf("%s: key %d did not come back", on, i)
			}
		}
	}
}

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

func TestActiveChecks(t *testing.T) {
	var ill atomic.Bool
	checks := make(chan struct{}, 100)
	url := server(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/base/healthz" {
			if ill.Load() {
				w.WriteHeader(500)
			}
			select {
			case checks <- struct{}{}:
			default:
			}
		}
	})
	u := to(url + "/base")
	u.Health = &policy.HealthCheck{Path: "/healthz", Interval: policy.Duration(5 * time.Millisecond), Healthy: 2, Unhealthy: 2}
	r := newRig(t, u)
	until := func(healthy int) {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); r.up.State(time.Now()).Healthy != healthy; {
			if time.Now().After(end) {
				t.Fatalf("still not %d healthy", healthy)
			}
			<-checks
		}
	}
	_, v := r.get("/")
	mustPass(t, v) // well until proven otherwise
	ill.Store(true)
	until(0)
	x := r.exchange("GET", "/")
	_, v = r.send(x)
	mustRefuse(t, v, decision.UpstreamNoneHealthy)
	if x.RetryAfter == 0 || !strings.Contains(fmt.Sprint(v.Facts()), url) {
		t.Errorf("retry %v, facts %v", x.RetryAfter, v.Facts())
	}

	// A reload with another weight keeps what is known; one that drops the upstream stops the checks.
	u.Targets[0].Weight = 3
	set, err := r.pools.Prepare(map[string]policy.Upstream{"orders": u}, nil)
	if err != nil {
		t.Fatal(err)
	}
	set.Commit()
	if s := set.Upstream("orders").State(time.Now()); s.Healthy != 0 && ill.Load() {
		t.Errorf("the new pool forgot that its target is ill: %+v", s)
	}
	ill.Store(false)
	r.up = set.Upstream("orders")
	until(1)
}

func TestReloadKeepsEqualPools(t *testing.T) {
	url := answers(t, ok3)
	r := newRig(t, to(url))
	_, v := r.get("/")
	mustPass(t, v)
	old := r.up.(*Upstream)

	same := to(url)
	same.Credential = &policy.UpstreamCredential{Header: "X-Token", Value: "new"} // a new secret is no new pool
	set, err := r.pools.Prepare(map[string]policy.Upstream{"orders": same, "other": to(url)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(r.pools.Status()); n != 1 {
		t.Errorf("Prepare has effects: %d pools", n)
	}
	set.Commit()
	kept := set.Upstream("orders").(*Upstream)
	if kept.pool != old.pool || kept.credential.Value != "new" || old.credential.Value != "" || r.pools.Status()[0].Targets[0].Idle != 1 {
		t.Error("the pool was not kept, or the credential of the old configuration changed")
	}
	if set.Upstream("none") != nil {
		t.Error("an upstream that is not there")
	}

	set, err = r.pools.Prepare(map[string]policy.Upstream{"other": to(url)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	set.Commit()
	if s := r.pools.Status(); len(s) != 1 || s[0].Name != "other" || old.pool.targets[0].idle.len() != 0 {
		t.Errorf("%+v", s)
	}
	_, v = r.get("/") // judged under the old configuration, sent after the reload: it is not dropped
	mustPass(t, v)
	if old.pool.targets[0].idle.len() != 0 {
		t.Error("a retired pool keeps connections")
	}

	// A set that was prepared before its pools retired brings them back.
	a, _ := r.pools.Prepare(map[string]policy.Upstream{"other": to(url)}, nil)
	b, _ := r.pools.Prepare(nil, nil)
	b.Commit()
	a.Commit()
	r.up = a.Upstream("other")
	_, v = r.get("/")
	mustPass(t, v)
	if r.pools.Status()[0].Targets[0].Idle != 1 {
		t.Error("a pool that came back keeps no connections")
	}
	a.Discard()
}

func TestNewCertificateIsANewPool(t *testing.T) {
	url, ca := tlsServer(t, false, nil, describe)
	pools := NewPools(PoolOptions{Logger: quiet})
	defer pools.Close()
	prepare := func() *pool {
		set, err := pools.Prepare(map[string]policy.Upstream{"orders": overTLS(url, ca)}, nil)
		if err != nil {
			t.Fatal(err)
		}
		set.Commit()
		return set.Upstream("orders").(*Upstream).pool
	}
	first := prepare()
	if prepare() != first {
		t.Error("the pool was not kept")
	}
	b, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(ca, append(b, b...), 0o600); err != nil {
		t.Fatal(err)
	}
	if prepare() == first {
		t.Error("a replaced CA file was not read")
	}
}

func TestChecksSpeakTheProtocol(t *testing.T) {
	seen := make(chan string, 1)
	h := func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Proto + " " + r.URL.Path + " " + r.UserAgent()
		w.WriteHeader(204)
	}
	tls1, ca1 := tlsServer(t, false, nil, h)
	tls2, ca2 := tlsServer(t, true, nil, h)
	h2c := to(h2cServer(t, h))
	h2c.Protocol = "h2c"
	for want, u := range map[string]policy.Upstream{"HTTP/1.1": overTLS(tls1, ca1), "HTTP/2.0": overTLS(tls2, ca2), "HTTP/2.0 ": h2c} {
		r := newRig(t, u)
		p := r.up.(*Upstream).pool
		p.check = &policy.HealthCheck{Path: "/healthz"}
		client := p.checkClient()
		if err := p.ask(context.Background(), client, p.targets[0]); err != nil {
			t.Fatal(err)
		}
		client.CloseIdleConnections()
		if got := <-seen; got != strings.TrimSpace(want)+" /healthz postern-health" {
			t.Errorf("%s, want %s", got, want)
		}
		p.check.Status = []int{200}
		client = p.checkClient()
		if err := p.ask(context.Background(), client, p.targets[0]); err == nil {
			t.Error("204 was accepted where only 200 is")
		}
		client.CloseIdleConnections()
		<-seen
		p.check = nil
	}
}

func TestPrepareRefusesMistakes(t *testing.T) {
	dir := t.TempDir()
	junk := dir + "/junk.pem"
	if err := os.WriteFile(junk, []byte("not pem"), 0o600); err != nil {
		t.Fatal(err)
	}
	good := to("http://10.0.0.1:80")
	with := func(f func(u *policy.Upstream)) policy.Upstream { u := good; f(&u); return u }
	for _, c := range []struct {
		name string
		u    policy.Upstream
		says string
	}{
		{"no targets", policy.Upstream{}, "no targets"},
		{"no scheme", to("10.0.0.1:80"), "http://host:port"},
		{"ftp", to("ftp://h"), "http://host:port"},
		{"no host", to("http://"), "names no host"},
		{"a password", to("http://user:hunter2@h"), "use credential"},
		{"a query", to("http://h/?a"), "query"},
		{"h2c over TLS", with(func(u *policy.Upstream) { u.Targets = to("https://h").Targets; u.Protocol = "h2c" }), "without TLS"},
		{"h2 without TLS", with(func(u *policy.Upstream) { u.Protocol = "h2" }), "needs https"},
		{"protocol", with(func(u *policy.Upstream) { u.Protocol = "spdy" }), "auto, http1, h2 or h2c"},
		{"balance", with(func(u *policy.Upstream) { u.Balance = "random" }), "round_robin"},
		{"hash_on", with(func(u *policy.Upstream) { u.HashOn = "cookie:" }), "cookie:<name>"},
		{"weight", policy.Upstream{Targets: []policy.Target{{URL: "http://h", Weight: -1}}}, "negative"},
		{"health path", with(func(u *policy.Upstream) { u.Health = &policy.HealthCheck{} }), "health.path"},
		{"CA is missing", with(func(u *policy.Upstream) { u.TLS = &policy.UpstreamTLS{CAFile: dir + "/none"} }), "ca_file"},
		{"CA is junk", with(func(u *policy.Upstream) {
			u.Targets = to("https://h").Targets
			u.TLS = &policy.UpstreamTLS{CAFile: junk}
		}), "no certificate"},
		{"half a key pair", with(func(u *policy.Upstream) {
			u.Targets = to("https://h").Targets
			u.TLS = &policy.UpstreamTLS{CertFile: junk}
		}), "belong together"},
		{"credential header", with(func(u *policy.Upstream) { u.Credential = &policy.UpstreamCredential{Header: "Content-Length"} }), "credential header"},
	} {
		t.Run(c.name, func(t *testing.T) {
			pools := NewPools(PoolOptions{Logger: quiet})
			defer pools.Close()
			_, err := pools.Prepare(map[string]policy.Upstream{"orders": c.u, "fine": good}, nil)
			if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "upstream orders") || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestReloadsUnderTraffic(t *testing.T) {
	url := server(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "yes") })
	r := newRig(t, to(url))
	var current atomic.Pointer[gate.Upstream]
	current.Store(&r.up)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				x := r.exchange("POST", "/")
				x.Op.Upstream = *current.Load()
				w := &recorder{}
				if v := r.f.Forward(context.Background(), x, w); !v.Passed() || string(w.sent) != "yes" {
					t.Errorf("a request was dropped by a reload: %s", x.Result.Fault)
					return
				}
			}
		})
	}
	for i := range 40 {
		u := to(url)
		u.Connections = 1 + i%3 // a new pool each time
		set, err := r.pools.Prepare(map[string]policy.Upstream{"orders": u}, nil)
		if err != nil {
			t.Fatal(err)
		}
		set.Commit()
		up := set.Upstream("orders")
		current.Store(&up)
	}
	close(stop)
	wg.Wait()
}

func TestCollector(t *testing.T) {
	r := newRig(t, to(answers(t, ok3)))
	r.get("/")
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(r.pools.Collector())
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		m := f.Metric[0]
		got[f.GetName()] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
	}
	if got["postern_upstream_attempts_total"] != 1 || got["postern_upstream_healthy"] != 1 || got["postern_upstream_idle_connections"] != 1 || len(got) != 7 {
		t.Errorf("%v", got)
	}
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
