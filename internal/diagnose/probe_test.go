package diagnose

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/internal/reqtext"
)

// origin is a server that remembers what it was asked.
type origin struct {
	*httptest.Server
	mu   sync.Mutex
	seen []string
	body string
}

func newOrigin(t *testing.T, answer http.HandlerFunc) *origin {
	o := &origin{}
	o.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b := make([]byte, 1000)
		n, _ := r.Body.Read(b)
		o.mu.Lock()
		o.seen = append(o.seen, r.Method+" "+r.URL.RequestURI())
		o.body += string(b[:n])
		o.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(o.Close)
	return o
}

func (o *origin) methods() (list []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range o.seen {
		m, _, _ := strings.Cut(s, " ")
		list = append(list, m)
	}
	return list
}

func quick() *Prober {
	return &Prober{sleep: func(context.Context, time.Duration) error { return nil }, random: func() string { return "nobody" }}
}

func probed(t *testing.T, p *Prober, curl, status string) *Report {
	t.Helper()
	in := Input{Request: request(t, curl), Now: present}
	if status != "" {
		in.Answer = answer(t, "HTTP/1.1 "+status+" x\n\n")
	}
	r, err := Diagnose(t.Context(), in, p)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestProbesNeverChangeAnything(t *testing.T) {
	o := newOrigin(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) })
	r := probed(t, quick(), "curl -X POST "+o.URL+"/orders/7 -d 'amount=1' -H 'Authorization: Bearer abcdefgh' -H 'Origin: https://x.example' -H 'X-HTTP-Method-Override: DELETE' -H 'Idempotency-Key: k1'", "403")
	for _, m := range o.methods() {
		if !safe(m) {
			t.Errorf("%s was sent", m)
		}
	}
	if o.body != "" {
		t.Errorf("a body was sent: %q", o.body)
	}
	if r.Probes.Unsafe != 0 || r.Probes.Sent != len(o.methods()) || r.Probes.Sent < 5 {
		t.Errorf("counted %d and %d unsafe, the origin saw %v", r.Probes.Sent, r.Probes.Unsafe, o.methods())
	}
}

func TestAllowUnsafeSendsTheRequestOnce(t *testing.T) {
	o := newOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" {
			http.Error(w, "invalid csrf token", http.StatusForbidden)
		}
	})
	p := quick()
	p.Unsafe = true
	r := probed(t, p, "curl -X POST "+o.URL+"/orders -d amount=1", "")
	if n := len(slices.DeleteFunc(o.methods(), safe)); n != 1 || o.body != "amount=1" {
		t.Errorf("sent %d times, body %q", n, o.body)
	}
	if r.Probes.Unsafe != 1 || r.Causes[0].ID != "csrf_invalid" && r.Causes[0].ID != "csrf_missing" {
		t.Errorf("%d unsafe, %+v", r.Probes.Unsafe, r.Causes[0])
	}
}

func TestAllowNeutralSendsABodyThatCannotSucceed(t *testing.T) {
	o := newOrigin(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) })
	p := quick()
	p.Neutral = true
	r := probed(t, p, "curl "+o.URL+"/orders --json '{\"amount\":1}'", "403")
	if r.Probes.Unsafe != 1 || o.body != "{" {
		t.Errorf("%d unsafe requests, body %q", r.Probes.Unsafe, o.body)
	}
}

func TestBudgetAndRedirects(t *testing.T) {
	away := newOrigin(t, func(http.ResponseWriter, *http.Request) {})
	o := newOrigin(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, away.URL, http.StatusFound) })
	waits := 0
	p := quick()
	p.Budget = 2
	p.sleep = func(_ context.Context, d time.Duration) error {
		if d != 250*time.Millisecond {
			t.Errorf("waited %v", d)
		}
		waits++
		return nil
	}
	r := probed(t, p, "curl -L "+o.URL+"/a -H 'Authorization: Bearer abcdefgh'", "401")
	if len(away.methods()) != 0 {
		t.Error("a redirect to another host was followed")
	}
	if r.Probes.Sent != 2 || waits != 1 {
		t.Errorf("%d sent, %d waits", r.Probes.Sent, waits)
	}
	if r.Causes[0].ID != "credential_stripped" {
		t.Errorf("%+v", r.Causes)
	}
}

// One factor decides, and removing it shows which.
func TestProbesFindTheFactor(t *testing.T) {
	deny := func(when func(*http.Request) bool) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if when(r) {
				w.WriteHeader(403)
			}
		}
	}
	for _, c := range []struct {
		name, curl, cause string
		handler           http.HandlerFunc
	}{
		{"the User-Agent", "-A evil/1", "bot_ua_block", deny(func(r *http.Request) bool { return strings.Contains(r.UserAgent(), "evil") })},
		{"Origin", "-H 'Origin: https://x.example'", "origin_rejected", deny(func(r *http.Request) bool { return r.Header.Get("Origin") != "" })},
		{"Referer", "-e https://x.example/", "referer_rejected", deny(func(r *http.Request) bool { return r.Referer() != "" })},
		{"a forged address", "-H 'X-Forwarded-For: 10.1.1.1'", "ip_denied", deny(func(r *http.Request) bool { return r.Header.Get("X-Forwarded-For") != "" })},
		{"Host", "-H 'Host: other.example'", "host_not_served", deny(func(r *http.Request) bool { return r.Host == "other.example" })},
		{"rights", "-H 'Authorization: Bearer abcdefgh'", "role_insufficient", func(w http.ResponseWriter, r *http.Request) {
			switch r.Header.Get("Authorization") {
			case "Bearer abcdefgh":
				w.WriteHeader(403)
			default:
				w.WriteHeader(401)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := newOrigin(t, c.handler)
			r := probed(t, quick(), fmt.Sprintf("curl %s/x %s", o.URL, c.curl), "")
			if r.Verdict != Refused || r.Causes[0].ID != c.cause || r.Causes[0].Confidence < 0.6 {
				t.Errorf("%s %+v", r.Verdict, r.Causes)
			}
		})
	}
}

func TestNothingIsRefused(t *testing.T) {
	o := newOrigin(t, func(http.ResponseWriter, *http.Request) {})
	if r := probed(t, quick(), "curl "+o.URL+"/x", ""); r.Verdict != Allowed || r.ExitCode() != 0 {
		t.Errorf("%s %+v", r.Verdict, r.Causes)
	}
}

func TestServerThatCannotBeReached(t *testing.T) {
	o := newOrigin(t, nil)
	o.Close()
	r := probed(t, quick(), "curl "+o.URL+"/x", "")
	if r.Verdict != CannotTell || r.Probes.Sent != 1 || !slices.ContainsFunc(r.Checks, func(k Check) bool { return k.ID == "reach" && k.Outcome == Problem }) {
		t.Errorf("%s, %d sent, %+v", r.Verdict, r.Probes.Sent, r.Checks)
	}
}

func TestProbingEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	o := newOrigin(t, func(w http.ResponseWriter, _ *http.Request) { cancel(); w.WriteHeader(403) })
	_, err := Diagnose(ctx, Input{Request: request(t, "curl "+o.URL+"/x"), Now: present}, &Prober{Interval: time.Hour})
	if err == nil || len(o.methods()) != 1 {
		t.Errorf("%v, %v", err, o.methods())
	}
}

func TestPlanSendsNothing(t *testing.T) {
	o := newOrigin(t, func(http.ResponseWriter, *http.Request) {})
	plan, err := (&Prober{}).Plan(request(t, "curl -X PUT "+o.URL+"/a/b.json -d x"))
	if err != nil || len(o.methods()) != 0 {
		t.Fatal(err, o.methods())
	}
	for _, q := range plan {
		if !safe(q.Method) || !strings.HasPrefix(q.URL, o.URL) {
			t.Errorf("planned %+v", q)
		}
	}
	if _, err := (&Prober{}).Plan(&reqtext.Request{URL: "ftp://a"}); err == nil {
		t.Error("an address that is none has a plan")
	}
}
