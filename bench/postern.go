package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// posternKeys is how many API keys exist and are used in turn.
const posternKeys = 64

func posternDocument(address string, o *origin) string {
	model := func(name, path string) string {
		return fmt.Sprintf("  bench-%s: {upstream: origin, name: echo-1, path: /%s, prices: [{version: \"1\", input: \"0.15\", output: \"0.60\"}]}\n", name, path)
	}
	return fmt.Sprintf(`postern: 1
listeners: [{name: bench, address: "%s"}]
roles:
  caller: {permissions: ["bench:call"]}
plans:
  bench: {limits: [{name: rate, rate: {requests: 1000000, per: 1s, burst: 1000000}}]}
upstreams:
  origin: {targets: [{url: "http://%s"}]}
models:
%s%s%sapis:
  - name: plain
    versions:
      - version: v1
        upstream: origin
        authn: {none: true}
        subscription: none
        operations: [{name: call, method: POST, path: /plain/x}]
  - name: guarded
    versions:
      - version: v1
        upstream: origin
        operations: [{name: call, method: POST, path: /guarded/x, permission: "bench:call"}]
  - name: llm
    kind: llm
    versions:
      - version: v1
        base_path: /v1
        llm: {dialect: openai, permission: "bench:call"}
`, address, o.address, model("chat", "chat"), model("stream", "stream"), model("paced", "paced"))
}

var bootstrapToken = regexp.MustCompile(`bootstrap token: (\S+)`)

func startPostern(ctx context.Context, dir, name, binary string, o *origin) (*system, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	management, err := freeAddress()
	if err != nil {
		return nil, err
	}
	home := filepath.Join(dir, name)
	if err := os.MkdirAll(home, 0o700); err != nil {
		return nil, err
	}
	file, log := filepath.Join(home, "bench.yaml"), filepath.Join(home, "out")
	if err := os.WriteFile(file, []byte(posternDocument(address, o)), 0o600); err != nil {
		return nil, err
	}
	cmd, err := pinned(log, nil, binary, "serve", "--data", filepath.Join(home, "data"), "--config", file, "--admin", management)
	if err != nil {
		return nil, err
	}
	s := &system{name: name, address: address, cmd: cmd}
	if err := ready(address, log); err != nil {
		return s, err
	}
	if err := ready(management, log); err != nil {
		return s, err
	}
	var token []string
	for range 100 {
		b, err := os.ReadFile(log)
		if err != nil {
			return s, err
		}
		if token = bootstrapToken.FindStringSubmatch(string(b)); token != nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if token == nil {
		return s, fmt.Errorf("postern printed no bootstrap token")
	}
	s.keys, err = seed(ctx, "http://"+management+"/api/v1", token[1])
	return s, err
}

// seed makes one tenant and as many applications as keys, each subscribed under the plan.
func seed(ctx context.Context, base, bootstrap string) ([]string, error) {
	api := &client{base: base}
	var session struct{ Token string }
	if err := api.post(ctx, "/session", map[string]any{"bootstrap_token": bootstrap, "as": "bearer"}, &session); err != nil {
		return nil, err
	}
	api.token = session.Token
	if err := api.post(ctx, "/tenants", map[string]any{"id": "bench"}, nil); err != nil {
		return nil, err
	}
	var keys []string
	for i := range posternKeys {
		app := fmt.Sprintf("app-%d", i)
		if err := api.post(ctx, "/applications", map[string]any{"id": app, "tenant": "bench", "roles": []string{"caller"}}, nil); err != nil {
			return nil, err
		}
		for _, name := range []string{"guarded", "llm"} {
			if err := api.post(ctx, "/subscriptions", map[string]any{"application": app, "api": name, "version": "v1", "plan": "bench", "approve": true}, nil); err != nil {
				return nil, err
			}
		}
		var key struct{ Text string }
		if err := api.post(ctx, "/applications/"+app+"/keys", map[string]any{"name": "bench"}, &key); err != nil {
			return nil, err
		}
		keys = append(keys, key.Text)
	}
	time.Sleep(time.Second) // keys act within a second
	return keys, nil
}

type client struct{ base, token string }

func (c *client) post(ctx context.Context, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode > 299 {
		return fmt.Errorf("POST %s: %s: %s", path, resp.Status, strings.TrimSpace(string(b)))
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(b, out)
}
