package behaviour

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"postern/conformance/gateway"
)

// TestCanaries sends planted secrets in every place a caller may put them, right and wrong, allowed and refused, and then looks
// for them everywhere.
func TestCanaries(t *testing.T) {
	var mu sync.Mutex
	var reached strings.Builder
	w := newWorld(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		reached.WriteString(r.URL.String())
		_ = r.Header.Write(&reached)
	}), "", "--access-log", "-", "--log-level", "debug")
	m := w.process.Manage()
	m.Tenant("acme")
	m.Application("shop", "acme", []string{"writer"}, []string{"orders"}, "")
	_, key := m.Key("shop")
	secrets := map[string]string{"the API key": key}
	plant := func(what string) string {
		s := "canary" + strings.ReplaceAll(what, " ", "") + "7d1f0c2b9a"
		secrets[what] = s
		return s
	}
	basic, bearer, cookie, token := plant("a basic password"), plant("a bearer token"), plant("a cookie"), plant("a token in the address")
	var traces []string
	send := func(path, body string, status int, fields ...string) {
		t.Helper()
		req, err := http.NewRequest("POST", "http://"+w.plain+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(fields); i += 2 {
			req.Header.Set(fields[i], fields[i+1])
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		answer, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if res.StatusCode != status {
			t.Errorf("%.40s: %d, want %d: %s", path, res.StatusCode, status, answer)
		}
		for what, s := range secrets {
			if strings.Contains(string(answer), s) {
				t.Errorf("%s stands in the answer to %.20s: %s", what, path, strings.ReplaceAll(string(answer), s, "<the secret>"))
			}
		}
		traces = append(traces, res.Header.Get("Postern-Trace"))
	}
	send("/orders", "{}", 200, "X-API-Key", key)
	send("/orders", "{}", 200, "Authorization", "Bearer "+key)
	send("/orders?api_key="+key, "{}", 401)
	send("/orders?x="+key, "{}", 401)
	send("/orders?API-Key="+url.QueryEscape(key), "{}", 401)
	send("/orders", `{"key":"`+key+`"}`, 401)
	send("/orders", "{}", 401, "X-Other-Key", key)
	send("/orders", "{}", 401, "Authorization", key)
	send("/orders", "{}", 401, "Authorization", "Basic "+basic)
	send("/orders", "{}", 401, "Authorization", "Bearer "+bearer)
	send("/orders", "{}", 401, "X-API-Key", key+"x")
	send("/orders/"+key, "{}", 404, "X-API-Key", key)
	send("/orders?api_key="+key+"&x=1", "{}", 200, "X-API-Key", key)
	send("/orders?x="+strings.Replace(key, "_", "%5F", 1), "{}", 200, "Authorization", "Bearer "+key)
	send("/nowhere/"+key, "{}", 404)
	send("/nowhere/"+strings.Replace(key, "_", "%5f", 1)+"/x", "{}", 404)
	send("/nowhere?access_token="+token, "{}", 404, "Cookie", "session="+cookie)
	send("/orders?access_token="+token+"&password="+token, "{}", 200, "X-API-Key", key, "Cookie", "session="+cookie)
	for _, trace := range traces {
		m.Record(trace)
		_, _, _ = m.Try("GET", "/api/v1/explain/"+trace, nil)
	}
	mu.Lock()
	if strings.Contains(reached.String(), key) {
		t.Errorf("the caller's key reached the backend: %s", strings.ReplaceAll(reached.String(), key, "<the key>"))
	}
	mu.Unlock()
	gateway.Canaries(t, w.process, m, secrets)
	// The bootstrap token is printed once, and stands nowhere else.
	if n := strings.Count(w.process.Output(), m.Token()); n != 1 {
		t.Errorf("the bootstrap token was printed %d times", n)
	}
	if strings.Contains(m.Answers(), m.Token()) {
		t.Error("the bootstrap token stands in an answer of the management API")
	}
	// Nor do secrets come out when the process ends and is started again on the same folder.
	w.process.Stop()
	again := gateway.Start(t, gateway.Options{Config: w.document("127.0.0.1:9", ""), Data: w.process.Data})
	gateway.Canaries(t, again, again.Manage(), secrets)
}
