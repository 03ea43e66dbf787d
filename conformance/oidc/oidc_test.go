package oidc_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"postern/conformance/gateway"
)

// Three APIs that differ in what they ask of a token; the claim client_id names the application by another name.
const config = `postern: 1
listeners: [{name: main, address: %[1]q}]
upstreams: {backend: {targets: [{url: %[2]q}], identity: {application: X-Application, user: X-User, issuer: X-Issuer}}}
apis:
  - name: orders
    versions:
      - version: v1
        upstream: backend
        authn: {jwt: [{issuer: %[3]q, audience: [sid1], claims: {applications: {sid1: shop}}}]}
        operations: [{name: list, method: GET, path: /orders}]
  - name: bills
    versions:
      - version: v1
        upstream: backend
        authn: {jwt: [{issuer: %[3]q, audience: [bills], claims: {applications: {sid1: shop}}}]}
        operations: [{name: list, method: GET, path: /bills}]
  - name: parcels
    versions:
      - version: v1
        upstream: backend
        authn: {jwt: [{issuer: %[3]q, audience: [sid1]}]}
        operations: [{name: list, method: GET, path: /parcels}]
`

// world is a gateway that trusts the provider, before a backend that counts.
type world struct {
	t       testing.TB
	process *gateway.Process
	base    string
	served  atomic.Int64
	last    atomic.Pointer[http.Header] // what the backend was sent
}

func newWorld(t *testing.T, issuer string) *world {
	t.Helper()
	w := &world{t: t}
	backend := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		w.last.Store(&r.Header)
		w.served.Add(1)
	}))
	t.Cleanup(backend.Close)
	address := gateway.FreeAddress(t)
	w.base = "http://" + address
	w.process = gateway.Start(t, gateway.Options{Config: fmt.Sprintf(config, address, backend.URL, issuer)})
	m := w.process.Manage()
	m.Tenant("acme")
	m.Application("shop", "acme", nil, []string{"orders", "bills", "parcels"}, "")
	return w
}

// call sends a token and returns the status and, of a refusal, the reason. A refusal must not reach the backend.
func (w *world) call(path, token string) string {
	w.t.Helper()
	req, err := http.NewRequest("GET", w.base+path, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	before := w.served.Load()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	reached := w.served.Load() - before
	if res.StatusCode == 200 {
		if reached != 1 {
			w.t.Errorf("%s was answered 200, and the backend was reached %d times", path, reached)
		}
		return "200"
	}
	var problem struct {
		Reason string `json:"reason"`
	}
	if err := json.Unmarshal(body, &problem); err != nil {
		w.t.Fatalf("%s: %d, no problem document: %v in %q", path, res.StatusCode, err, body)
	}
	if reached != 0 {
		w.t.Errorf("%s was refused with %s, and the backend was reached", path, problem.Reason)
	}
	if token != "" && strings.Contains(string(body), token) {
		w.t.Errorf("the refusal shows the token: %s", body)
	}
	return fmt.Sprintf("%d %s", res.StatusCode, problem.Reason)
}

func (w *world) expect(what, path, token, want string) {
	w.t.Helper()
	if got := w.call(path, token); got != want {
		w.t.Errorf("%s: got %s, want %s", what, got, want)
	}
}

func TestTokens(t *testing.T) {
	p := newProvider(t)
	w := newWorld(t, p.issuer)
	token := p.token()

	w.expect("a token of the provider", "/orders", token, "200")
	h := *w.last.Load()
	if got := h.Get("X-Application") + " " + h.Get("X-User") + " " + h.Get("X-Issuer"); got != "shop sid1 "+p.issuer {
		t.Errorf("the backend is told that %q calls", got)
	}
	w.expect("no token", "/orders", "", "401 authn.credential_missing")
	w.expect("a token for another audience", "/bills", token, "401 authn.token_audience")
	w.expect("a claim that names no application", "/parcels", token, "403 authn.application_unknown")

	head, signature := token[:strings.LastIndexByte(token, '.')], token[strings.LastIndexByte(token, '.')+1:]
	turned := "A"
	if signature[0] == 'A' {
		turned = "B"
	}
	w.expect("a signature that was touched", "/orders", head+"."+turned+signature[1:], "401 authn.credential_rejected")
	w.expect("no signature", "/orders", head+".", "401 authn.credential_rejected")

	other := newProvider(t) // the same software and client, with a key of the same name
	w.expect("a token of another issuer", "/orders", other.token(), "401 authn.credential_rejected")

	if n := p.fetches.Load(); n != 1 {
		t.Errorf("the key set was fetched %d times, want once", n)
	}
	m := w.process.Manage()
	var status json.RawMessage
	m.Do("GET", "/api/v1/status", nil, &status)
	if !strings.Contains(string(status), "key-1") {
		t.Errorf("the status does not list the issuer's key: %s", status)
	}
	gateway.Canaries(t, w.process, m, map[string]string{"a token": token, "its signature": signature})
}

func TestRotation(t *testing.T) {
	p := newProvider(t)
	w := newWorld(t, p.issuer)
	old := p.token()
	w.expect("before the rotation", "/orders", old, "200")

	p.rotate()
	w.expect("the old token, while nothing is known of the rotation", "/orders", old, "200")
	w.expect("a token by the new key, at once", "/orders", p.token(), "200")
	w.expect("the old token: its key is gone, though it was remembered", "/orders", old, "401 authn.credential_rejected")

	// Keys that are not there cause no further fetch within half a minute, whoever asks and however often.
	p.rotate()
	third := p.token()
	for range 20 {
		w.expect("a token by a key that was published a moment after a fetch", "/orders", third, "401 authn.credential_rejected")
	}
	if n := p.fetches.Load(); n != 2 {
		t.Errorf("the key set was fetched %d times, want twice", n)
	}
}

func TestOutage(t *testing.T) {
	p := newProvider(t)
	w := newWorld(t, p.issuer)
	w.expect("while the provider answers", "/orders", p.token(), "200")
	unseen := p.token()
	p.stop()
	w.expect("a token that was not seen yet, by the last keys", "/orders", unseen, "200")

	// A gateway that never had the keys does not know: that is no verdict about the token.
	late := newWorld(t, p.issuer)
	late.expect("without keys", "/orders", unseen, "503 authn.unavailable")
	late.expect("no token is no outage", "/orders", "", "401 authn.credential_missing")

	p.start()
	gateway.Eventually(t, "the provider is back", func() error {
		if got := late.call("/orders", unseen); got != "200" {
			return fmt.Errorf("got %s", got)
		}
		return nil
	})
}
