package edge

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"postern/internal/gatetest"
	"postern/internal/policy"
)

// browsing is a gateway that answers for CORS, and sets CSRF tokens under /form, in front of an upstream with CORS fields of
// its own.
func browsing(t *testing.T, engine func(*policy.Listener)) *world {
	upstream := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Access-Control-Allow-Origin", "*")
		rw.Header().Set("access-control-expose-headers", "X-Upstream")
		rw.Header().Set("Vary", "Accept-Encoding")
		if r.Method == "OPTIONS" {
			rw.WriteHeader(299)
		}
	}))
	t.Cleanup(upstream.Close)
	return serving(t, &policy.Document{
		Format:     1,
		Upstreams:  map[string]policy.Upstream{"orders": {Targets: []policy.Target{{URL: upstream.URL}}}},
		FloodGuard: []policy.Limit{{Name: "flood", Rate: &policy.Rate{Requests: 30, Per: policy.Duration(time.Hour)}}},
		APIs: []policy.API{{Name: "orders", Versions: []policy.Version{{
			Version: "v1", Upstream: "orders", Subscription: "none",
			CORS: &policy.CORS{Origins: []string{"https://app.example.com"}, Credentials: true},
			Operations: []policy.Operation{
				{Name: "create", Method: "POST", Path: "/orders"},
				{Name: "denied", Method: "GET", Path: "/denied", IP: &policy.IPRules{Deny: []string{"127.0.0.0/8"}}},
				{Name: "own", Method: "*", Path: "/own", Authn: &policy.Authn{None: true}, CORS: &policy.CORS{None: true}},
				{Name: "form", Method: "*", Path: "/form", Authn: &policy.Authn{None: true}, CSRF: &policy.CSRF{Token: &policy.CSRFToken{}}},
			},
		}}}},
	}, engine)
}

// What a page may read stands on every answer: the upstream's, the gateway's own, and refusals of gates that come before origin.
func TestAnswersTellTheBrowser(t *testing.T) {
	engines(t, func(t *testing.T, engine func(*policy.Listener)) {
		w := browsing(t, engine)
		c := w.dial()
		exchange := func(request string) (int, http.Header, string) {
			c.send(strings.ReplaceAll(request, "\n", "\r\n") + "\r\n\r\n")
			method, _, _ := strings.Cut(request, " ")
			resp, body := c.answer(method)
			return resp.StatusCode, resp.Header, body
		}
		const page = "Origin: https://app.example.com"
		const key = "X-API-Key: "
		told := func(name string, status, want int, h http.Header) {
			t.Helper()
			if status != want || h.Get("Access-Control-Allow-Origin") != "https://app.example.com" || h.Get("Access-Control-Allow-Credentials") != "true" ||
				!strings.Contains(h.Get("Access-Control-Expose-Headers"), "Postern-Trace") || len(h.Values("Access-Control-Allow-Origin")) != 1 ||
				len(h.Values("Access-Control-Expose-Headers")) != 1 || !strings.Contains(strings.Join(h.Values("Vary"), ", "), "Origin") {
				t.Errorf("%s: %d %v", name, status, h)
			}
		}
		status, h, _ := exchange("POST /orders HTTP/1.1\nHost: a\n" + page + "\n" + key + gatetest.KeyText + "\nContent-Length: 0")
		told("an answer of the upstream", status, 200, h)
		if !strings.Contains(strings.Join(h.Values("Vary"), ", "), "Accept-Encoding") {
			t.Errorf("the upstream's Vary is lost: %v", h)
		}
		status, h, body := exchange("POST /orders HTTP/1.1\nHost: a\n" + page + "\nContent-Length: 0")
		told("a refusal of authn", status, 401, h)
		if !strings.Contains(body, "authn.credential_missing") {
			t.Error(body)
		}
		status, h, _ = exchange("GET /denied HTTP/1.1\nHost: a\n" + page)
		told("a refusal before origin", status, 403, h)

		status, h, _ = exchange("POST /orders HTTP/1.1\nHost: a\n" + key + gatetest.KeyText + "\nContent-Length: 0")
		if status != 200 || h.Get("Access-Control-Allow-Origin") != "" || !strings.Contains(strings.Join(h.Values("Vary"), ", "), "Origin") {
			t.Errorf("a program: %d %v", status, h)
		}
		status, h, body = exchange("POST /orders HTTP/1.1\nHost: a\nOrigin: https://evil.test\n" + key + gatetest.KeyText + "\nContent-Length: 0")
		if status != 403 || h.Get("Access-Control-Allow-Origin") != "" || !strings.Contains(body, "origin.cors_denied") {
			t.Errorf("a page of another origin: %d %v %s", status, h, body)
		}

		preflight := "\n" + page + "\nAccess-Control-Request-Method: POST\nAccess-Control-Request-Headers: x-api-key"
		status, h, body = exchange("OPTIONS /orders HTTP/1.1\nHost: a" + preflight)
		if status != 204 || body != "" || len(h.Values("Access-Control-Allow-Origin")) != 1 || h.Get("Access-Control-Allow-Methods") != "POST" ||
			h.Get("Access-Control-Allow-Headers") != "x-api-key" || len(h.Values("Vary")) != 1 || h.Get("Postern-Trace") == "" {
			t.Errorf("a preflight: %d %v %q", status, h, body)
		}
		status, h, _ = exchange("OPTIONS /orders HTTP/1.1\nHost: a\nContent-Length: 5" + preflight + "\n\nhello")
		if status != 204 {
			t.Errorf("a preflight with a body: %d %v", status, h)
		}
		c = w.dial()
		status, h, _ = exchange("OPTIONS /orders HTTP/1.1\nHost: a\n" + page)
		if status != 405 || h.Get("Allow") != "POST" {
			t.Errorf("OPTIONS that is no preflight: %d %v", status, h)
		}
		status, h, _ = exchange("OPTIONS /own HTTP/1.1\nHost: a" + preflight)
		if status != 299 || h.Get("Access-Control-Allow-Origin") != "*" || h.Get("Access-Control-Expose-Headers") != "X-Upstream" {
			t.Errorf("where the upstream answers for itself: %d %v", status, h)
		}

		status, h, _ = exchange("GET /form HTTP/1.1\nHost: a")
		set := h.Get("Set-Cookie")
		cookie, attributes, _ := strings.Cut(set, ";")
		if status != 200 || attributes != " Path=/; Secure; SameSite=Lax" {
			t.Fatalf("a page with a form: %d %q", status, set)
		}
		_, token, _ := strings.Cut(cookie, "=")
		own := "\nContent-Length: 0\nOrigin: http://a\nCookie: " + cookie
		if status, h, body := exchange("POST /form HTTP/1.1\nHost: a" + own + "\nX-CSRF-Token: " + token); status != 200 || h.Get("Set-Cookie") != "" {
			t.Errorf("its own form: %d %v %s", status, h, body)
		}
		if status, _, body := exchange("POST /form HTTP/1.1\nHost: a" + own); status != 403 || !strings.Contains(body, "origin.csrf_missing") || strings.Contains(body, token) {
			t.Errorf("without the token: %d %s", status, body)
		}
		if status, _, body := exchange("POST /form HTTP/1.1\nHost: a\nContent-Length: 0\nCookie: a=b"); status != 403 || !strings.Contains(body, "origin.csrf_missing") {
			t.Errorf("without anything: %d %s", status, body)
		}

		for status != 429 { // the flood guard, which comes before origin, ends it
			status, h, _ = exchange("POST /orders HTTP/1.1\nHost: a\n" + page + "\nContent-Length: 0")
		}
		told("a refusal of the flood guard", status, 429, h)
	})
}
