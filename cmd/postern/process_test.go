package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"postern/internal/admin"
	"postern/internal/directory"
	"postern/internal/store"
)

// asProgram makes the test binary run the program itself.
const asProgram = "POSTERN_TEST_AS_PROGRAM"

// server is a real `postern serve` process.
type server struct {
	cmd            *exec.Cmd
	admin, gateway string
	boot           string
	log            bytes.Buffer
}

var announced = regexp.MustCompile(`^(gateway (\S+) listens on (\S+)|management API on (\S+)|bootstrap token: (\S+))$`)

// serve starts a process over a data folder and waits until it has said where it listens; at its first start, also for
// the bootstrap token.
func serve(t *testing.T, data, config string, first bool) *server {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := &server{cmd: exec.Command(exe, "serve", "--data", data, "--config", config, "--admin", "127.0.0.1:0")}
	s.cmd.Env = append(os.Environ(), asProgram+"=1")
	s.cmd.Stderr = &s.log
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.kill)
	lines := bufio.NewScanner(out)
	for (s.admin == "" || first && s.boot == "") && lines.Scan() {
		m := announced.FindStringSubmatch(lines.Text())
		switch {
		case m == nil:
		case m[3] != "":
			s.gateway = "http://" + m[3]
		case m[4] != "":
			s.admin = m[4]
		case m[5] != "":
			s.boot = m[5]
		}
	}
	if s.admin == "" || first && s.boot == "" {
		s.kill()
		t.Fatalf("the process ended before it listened: %s", s.log.String())
	}
	go func() { _, _ = io.Copy(io.Discard, out) }() // the pipe ends with the process
	return s
}

// kill ends the process as a power cut would, as far as it can be done to a process.
func (s *server) kill() {
	if s.cmd.ProcessState == nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
	}
}

// client talks to the process's management API.
func (s *server) client(t *testing.T, token string) *client {
	t.Helper()
	base, err := url.Parse(s.admin)
	if err != nil {
		t.Fatal(err)
	}
	return &client{base: base, token: token, http: &http.Client{Transport: &http.Transport{}}}
}

const served = `postern: 1
listeners: [{name: public, address: "127.0.0.1:0"}]
roles:
  reader: {permissions: ["orders:read"]}
upstreams:
  orders: {targets: [{url: "UPSTREAM"}]}
apis:
  - name: orders
    versions:
      - version: v1
        base_path: /orders
        upstream: orders
        operations: [{name: list, title: list orders, method: GET, path: /all, permission: "orders:read"}]
`

// installed starts a first process with a tenant, an application and an administrator, and returns an API token.
func installed(t *testing.T) (s *server, data, config, token string) {
	t.Helper()
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("orders")) }))
	t.Cleanup(upstream.Close)
	data, config = filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "postern.yaml")
	if err := os.WriteFile(config, []byte(strings.Replace(served, "UPSTREAM", upstream.URL, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	s = serve(t, data, config, true)
	post := func(token, path string, body, out any) {
		t.Helper()
		if _, err := s.client(t, token).do(t.Context(), call{method: "POST", path: path, json: body}, out); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
	}
	post(s.boot, "/tenants", admin.TenantRequest{ID: "acme"}, nil)
	post(s.boot, "/applications", admin.ApplicationRequest{ID: "shop", Tenant: "acme"}, nil)
	var u directory.User
	post(s.boot, "/users", admin.UserRequest{Email: "ada@example.com", Roles: []string{"admin"}, Password: "four random words do well"}, &u)
	var session admin.Session
	post("", "/session", admin.SessionRequest{Email: "ada@example.com", Password: "four random words do well", As: "bearer"}, &session)
	var made admin.NewToken
	post(session.Token, "/tokens", admin.TokenRequest{Name: "test"}, &made)
	return s, data, config, made.Text
}

// TestAcknowledgedWritesSurviveKill kills a real gateway in the middle of writes, again and again. What was answered 2xx is
// there after the restart, each with its line in the audit trail, and there is no line without its key.
func TestAcknowledgedWritesSurviveKill(t *testing.T) {
	rounds := 10
	if testing.Short() {
		rounds = 2
	}
	s, data, config, token := installed(t)
	acknowledged := map[string]bool{}
	for range rounds {
		api := s.client(t, token)
		var mu sync.Mutex
		var writers sync.WaitGroup
		until := len(acknowledged) + 1 + rand.IntN(60)
		for range 4 {
			writers.Go(func() {
				for {
					var made admin.NewKey
					_, err := api.do(context.Background(), call{method: "POST", path: "/applications/shop/keys", json: admin.KeyRequest{}}, &made)
					mu.Lock()
					if err == nil {
						acknowledged[made.Key.ID] = true
					}
					if len(acknowledged) >= until {
						_ = s.cmd.Process.Kill() // while the others write
					}
					mu.Unlock()
					var refused *apiError
					if errors.As(err, &refused) {
						t.Errorf("a write was refused: %v", err)
					}
					if err != nil {
						return
					}
				}
			})
		}
		writers.Wait()
		s.kill()
		s = serve(t, data, config, false)
		api = s.client(t, token)
		stored, audited := map[string]bool{}, map[string]bool{}
		if err := pages(t.Context(), api, "/keys", url.Values{"limit": {"1000"}}, func(k admin.Key) bool { stored[k.ID] = true; return true }); err != nil {
			t.Fatalf("after the restart: %v\n%s", err, s.log.String())
		}
		if err := pages(t.Context(), api, "/audit", url.Values{"limit": {"1000"}, "action": {"key.create"}}, func(e store.AuditEntry) bool {
			audited[strings.TrimPrefix(e.Target, "key/")] = true
			return true
		}); err != nil {
			t.Fatal(err)
		}
		for id := range acknowledged {
			if !stored[id] || !audited[id] {
				t.Fatalf("key %s was acknowledged; stored %v, in the audit trail %v", id, stored[id], audited[id])
			}
		}
		if len(stored) != len(audited) {
			t.Fatalf("%d keys and %d lines in the audit trail", len(stored), len(audited))
		}
	}
	t.Logf("%d keys acknowledged over %d kills", len(acknowledged), rounds)
}

// TestAKeyActsAtOnce drives the gateway and its management API together, the way an operator does.
func TestAKeyActsAtOnce(t *testing.T) {
	s, data, config, token := installed(t)
	api := s.client(t, token)
	do := func(method, path string, body, out any) {
		t.Helper()
		if _, err := api.do(t.Context(), call{method: method, path: path, json: body}, out); err != nil {
			t.Fatalf("%s %s: %v", method, path, err)
		}
	}
	ask := func(key, reason string, status int) string {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), "GET", s.gateway+"/orders/all", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-API-Key", key)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != status || !strings.Contains(string(body), reason) {
			t.Fatalf("status %d, want %d %s\n%s", resp.StatusCode, status, reason, body)
		}
		return resp.Header.Get("Postern-Trace")
	}
	var made admin.NewKey
	do("POST", "/applications/shop/keys", admin.KeyRequest{}, &made)
	ask(made.Text, "subscription.missing", 403)
	var sub directory.Subscription
	do("POST", "/subscriptions", admin.SubscriptionRequest{Application: "shop", API: "orders", Version: "v1"}, &sub)
	ask(made.Text, "subscription.pending", 403)
	do("POST", "/subscriptions/"+sub.ID+"/approve", admin.StateRequest{}, nil)
	refused := ask(made.Text, "authz.permission_missing", 403)
	roles := []string{"reader"}
	do("PATCH", "/applications/shop", admin.ApplicationPatch{Roles: &roles}, nil)
	ask(made.Text, "orders", 200)
	suspended := "suspended"
	do("PATCH", "/tenants/acme", admin.TenantPatch{Standing: &suspended}, nil)
	ask(made.Text, "account.tenant_suspended", 403)
	active := "active"
	do("PATCH", "/tenants/acme", admin.TenantPatch{Standing: &active}, nil)
	do("DELETE", "/keys/"+made.Key.ID, nil, nil)
	ask(made.Text, "authn.key_revoked", 401)

	// Stopping writes what was recorded; the explanation is there afterwards.
	if err := s.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Wait(); err != nil {
		t.Fatalf("a graceful stop: %v\n%s", err, s.log.String())
	}
	again := serve(t, data, config, false)
	env := environment("POSTERN_ADDRESS", again.admin, "POSTERN_TOKEN", token)
	code, out, errs := typed(t, env, "explain", refused)
	if code != exitNo || !strings.Contains(out, "authz.permission_missing") {
		t.Errorf("explain: code %d\n%s%s", code, out, errs)
	}
	if code, out, errs = typed(t, env, "logs", "--outcome", "refused"); code != 0 || strings.Count(out, "\n") != 5 {
		t.Errorf("logs: code %d\n%s%s", code, out, errs)
	}
}
