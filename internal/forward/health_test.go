package forward

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"postern/internal/decision"
	"postern/internal/policy"
)

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
