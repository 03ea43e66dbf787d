package behaviour

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"postern/conformance/gateway"
)

const tokenDocument = `
postern: 1
listeners: [{name: main, address: %[1]s}]
token_endpoint: {issuer: "http://%[1]s", lifetime: 5m}
upstreams:
  backend: {targets: [{url: "http://%[2]s"}], identity: {application: X-Application, scopes: X-Scopes}}
apis:
  - name: orders
    versions:
      - version: v1
        upstream: backend
        authn: {own_tokens: true}
        operations:
          - {name: list, method: GET, path: /orders, scopes: ["orders:read"]}
          - {name: create, method: POST, path: /orders, scopes: ["orders:write"]}
`

// TestTokenEndpoint fetches tokens as an OAuth client does and calls with them, also after the process was killed.
func TestTokenEndpoint(t *testing.T) {
	backend := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, r.Header.Get("X-Application")+" for "+r.Header.Get("X-Scopes"))
	}))
	address := gateway.FreeAddress(t)
	config := fmt.Sprintf(tokenDocument, address, backend)
	p := gateway.Start(t, gateway.Options{Config: config})
	m := p.Manage()
	m.Tenant("acme")
	m.Application("shop", "acme", nil, []string{"orders"}, "")
	var made struct {
		Credential struct {
			ID string `json:"id"`
		} `json:"credential"`
		Secret string `json:"secret"`
	}
	m.Do("POST", "/api/v1/applications/shop/credentials", map[string]any{"kind": "client_secret", "scopes": []string{"orders:read"}}, &made)
	id, secret := made.Credential.ID, made.Secret

	send := func(method, path, body string, prepare func(*http.Request)) (int, string) {
		t.Helper()
		req, err := http.NewRequest(method, "http://"+address+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		prepare(req)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(b)
	}
	// fetch asks for a token and returns it, or the status and the OAuth error.
	fetch := func(id, secret, scope string) (token, refusal string) {
		t.Helper()
		form := url.Values{"grant_type": {"client_credentials"}, "scope": {scope}}
		status, body := send("POST", "/oauth/token", form.Encode(), func(r *http.Request) {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.SetBasicAuth(id, secret)
		})
		var out struct {
			Token   string `json:"access_token"`
			Type    string `json:"token_type"`
			Expires int    `json:"expires_in"`
			Scope   string `json:"scope"`
			Error   string `json:"error"`
		}
		if err := json.Unmarshal([]byte(body), &out); err != nil {
			t.Fatalf("%d %s: %v", status, body, err)
		}
		if status != 200 {
			return "", fmt.Sprint(status, " ", out.Error)
		}
		if !strings.EqualFold(out.Type, "Bearer") || out.Expires != 300 || strings.Count(out.Token, ".") != 2 {
			t.Errorf("the answer is %d seconds of %q", out.Expires, out.Type)
		}
		return out.Token, ""
	}
	call := func(method, token string) string {
		t.Helper()
		status, body := send(method, "/orders", "", func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) })
		var problem struct{ Reason string }
		if status != 200 {
			if err := json.Unmarshal([]byte(body), &problem); err != nil {
				t.Fatalf("%d %q: %v", status, body, err)
			}
			body = problem.Reason
		}
		return fmt.Sprint(status, " ", body)
	}
	expect := func(what, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s: got %q, want %q", what, got, want)
		}
	}

	// The signing keys are loaded a moment after the start; until then the answer is 503, which no client takes for a no.
	var token, refusal string
	gateway.Eventually(t, "the signing keys", func() error {
		if token, refusal = fetch(id, secret, "orders:read"); refusal == "503 temporarily_unavailable" {
			return errors.New(refusal)
		}
		return nil
	})
	expect("a token", refusal, "")
	expect("it may read", call("GET", token), "200 shop for orders:read")
	expect("it may not write", call("POST", token), "403 authz.scope_insufficient")
	expect("the client secret is no token", call("GET", secret)[:4], "401 ")
	_, refusal = fetch(id, "guessed", "orders:read")
	expect("another secret", refusal, "401 invalid_client")
	_, refusal = fetch("c_nobody", secret, "orders:read")
	expect("another client", refusal, "401 invalid_client")
	_, refusal = fetch(id, secret, "orders:write")
	expect("a scope that the credential does not have", refusal, "400 invalid_scope")

	// Signing keys are kept: tokens outlive a crash.
	p.Kill()
	p = gateway.Start(t, gateway.Options{Config: config, Data: p.Data})
	gateway.Eventually(t, "the signing keys after a crash", func() error {
		if got := call("GET", token); strings.HasPrefix(got, "503 ") {
			return errors.New(got)
		}
		return nil
	})
	expect("after a crash", call("GET", token), "200 shop for orders:read")
	m = p.Manage()
	m.Do("DELETE", "/api/v1/credentials/"+id, nil, nil)
	_, refusal = fetch(id, secret, "orders:read")
	expect("no token for a revoked secret", refusal, "401 invalid_client")
	gateway.Canaries(t, p, m, map[string]string{"the client secret": secret, "the token": token})
}
