package forward

import (
	"context"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"postern/internal/gate"
	"postern/internal/policy"
)

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
