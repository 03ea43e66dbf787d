package admin_test

import (
	"context"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"postern/internal/admin"
	"postern/internal/decision"
	"postern/internal/directory"
	"postern/internal/snapshot"
	"postern/internal/store"
)

func TestTheListenerAnswersToItsNamesOnly(t *testing.T) {
	w := newWorld(t)
	for host, status := range map[string]int{
		"localhost:8081": 200, "127.0.0.1:8081": 200, "[::1]:8081": 200, "10.1.2.3": 200, "gw.example.com": 200, "GW.example.com.:443": 200, "console.localhost": 200,
		"evil.example": 421, "localhost.evil.example": 421, "127.0.0.1.evil.example": 421, "gw.example.com.evil.example:8081": 421,
	} {
		if a := w.get(w.boot, "/api/v1/me", "Host", host); a.status != status {
			t.Errorf("Host %s: %d, want %d", host, a.status, status)
		}
	}
	w.get("", "/livez", "Host", "evil.example").refused(421, "host_unknown")
}

func TestPagesOfOtherOriginsAreRefused(t *testing.T) {
	w := newWorld(t)
	body := map[string]any{"id": "acme"}
	w.post(w.boot, "/api/v1/tenants", body, "Origin", "https://evil.example").refused(403, "cross_origin")
	w.post(w.boot, "/api/v1/tenants", body, "Sec-Fetch-Site", "cross-site").refused(403, "cross_origin")
	w.post("", "/api/v1/session", map[string]any{"bootstrap_token": w.boot}, "Sec-Fetch-Site", "same-site").refused(403, "cross_origin")
	w.post(w.boot, "/api/v1/tenants", body, "Origin", w.url, "Sec-Fetch-Site", "same-origin").want(201)
}

func TestEveryAnswerKeepsBrowsersStrict(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"/", "/livez", "/api/v1/me", "/reasons/", "/reasons/authz.permission_missing", "/nothing"} {
		h := w.get("", path).header
		if h.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(h.Get("Content-Security-Policy"), "default-src 'none'") || !strings.Contains(h.Get("Content-Security-Policy"), "frame-ancestors 'none'") {
			t.Errorf("%s: %v", path, h)
		}
	}
	if got := w.get(w.boot, "/api/v1/me").header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control %q", got)
	}
}

func TestProbesAndPages(t *testing.T) {
	why := []string{"the directory is not loaded"}
	r := prometheus.NewRegistry()
	r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "postern_test"}, func() float64 { return 7 }))
	w := newWorld(t, func(o *admin.Options) {
		o.Ready = func() []string { return why }
		o.Gatherer = r
		o.Status = func() any { return map[string]int{"upstreams": 3} }
		o.Operations = func() []snapshot.Operation { return nil }
	})
	w.get("", "/livez").want(200)
	if a := w.get("", "/readyz").want(503); !strings.Contains(string(a.body), why[0]) {
		t.Errorf("readyz: %s", a.body)
	}
	if a := w.get("", "/").want(200); !strings.Contains(string(a.body), why[0]) {
		t.Errorf("start page: %s", a.body)
	}
	why = nil
	w.get("", "/readyz").want(200)
	if a := w.get("", "/metrics").want(200); !strings.Contains(string(a.body), "postern_test 7") {
		t.Errorf("metrics: %s", a.body)
	}
	// From another machine metrics take a token.
	req := httptest.NewRequestWithContext(t.Context(), "GET", "http://10.0.0.1/metrics", nil)
	req.RemoteAddr = "10.0.0.9:1234"
	rec := httptest.NewRecorder()
	w.api.Handler().ServeHTTP(rec, req)
	if rec.Code != 401 {
		t.Errorf("metrics from elsewhere: %d", rec.Code)
	}
	st := w.get(w.boot, "/api/v1/status").want(200)
	if st.field("node", "upstreams") != 3.0 || st.text("version") != "test" || st.field("ready") != true {
		t.Errorf("status: %s", st.body)
	}
	if got := w.get(w.boot, "/api/v1/operations").items("name"); len(got) != 0 {
		t.Errorf("operations %v", got)
	}
	if a := w.get("", "/api/openapi.json").want(200); !strings.Contains(string(a.body), `"openapi":"3.1`) {
		t.Errorf("openapi: %.100s", a.body)
	}
	a := w.do("", "DELETE", "/livez", nil)
	a.refused(405, "method_not_allowed")
	if a.header.Get("Allow") != "GET, HEAD" {
		t.Errorf("Allow %q", a.header.Get("Allow"))
	}
}

func TestTheCatalogueIsPublished(t *testing.T) {
	w := newWorld(t)
	codes := w.get("", "/api/v1/reasons").items("code")
	if len(codes) != len(decision.Catalogue()) || !slices.Contains(codes, "authz.permission_missing") {
		t.Errorf("codes %v", codes)
	}
	for _, code := range codes {
		if got := w.get("", "/api/v1/reasons/"+code).want(200).text("code"); got != code {
			t.Errorf("%s: %s", code, got)
		}
		html := string(w.get("", "/reasons/"+code).want(200).body)
		md := w.get("", "/reasons/"+code, "Accept", "text/markdown").want(200)
		if !strings.Contains(html, code) || !strings.HasPrefix(string(md.body), "# ") || strings.Contains(html+string(md.body), "{") && strings.Contains(string(md.body), "|") {
			t.Errorf("page of %s:\n%s", code, md.body)
		}
	}
	w.get("", "/api/v1/reasons/no.such").refused(404, "not_found")
	w.get("", "/reasons/no.such").refused(404, "not_found")
	w.get("", "/reasons").want(301)
}

func TestAFaultOfTheStoreTellsNothing(t *testing.T) {
	f := &faulty{}
	w := newWorld(t, func(o *admin.Options) { f.Store = o.Store; o.Store = f })
	f.fail.Store(true)
	for _, a := range []*answer{
		w.get(w.boot, "/api/v1/me"), w.post("", "/api/v1/session", map[string]any{"email": "a@b.example", "password": password}),
		w.get("postern_pat_x", "/api/v1/tenants"),
	} {
		p := a.refused(500, "fault")
		for _, leak := range []string{"sqlite", "SELECT", "/var/lib", "tokens", "I/O"} {
			if strings.Contains(p.Detail+strings.Join(p.Remedies, ""), leak) {
				t.Errorf("the answer leaks %q: %s", leak, a.body)
			}
		}
	}
}

// faulty is a store whose reads fail when told to, the way disks do.
type faulty struct {
	store.Store
	fail atomic.Bool
}

func (f *faulty) TokenByHash(ctx context.Context, h [32]byte) (store.Token, error) {
	if f.fail.Load() {
		return store.Token{}, errDisk
	}
	return f.Store.TokenByHash(ctx, h)
}

func (f *faulty) UserByEmail(ctx context.Context, email string) (directory.User, error) {
	if f.fail.Load() {
		return directory.User{}, errDisk
	}
	return f.Store.UserByEmail(ctx, email)
}

func TestAPanicIsAFault(t *testing.T) {
	w := populated(t, func(o *admin.Options) { o.Status = func() any { panic("a defect: /var/lib/postern") } })
	p := w.get(w.boot, "/api/v1/status").refused(500, "fault")
	if strings.Contains(p.Detail, "defect:") {
		t.Errorf("the panic is told: %s", p.Detail)
	}
	w.get(w.boot, "/api/v1/me").want(200)
}

func TestNewNeedsWhatItStandsOn(t *testing.T) {
	if _, err := admin.New(admin.Options{}); err == nil {
		t.Error("an API without a store was made")
	}
}
