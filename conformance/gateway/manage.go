package gateway

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"testing"
	"time"
)

// client asks the management API. Redirects would hide what was answered.
var client = &http.Client{
	Timeout:       Patience,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// Manager is a client of the management API, written from its public description.
type Manager struct {
	t       testing.TB
	base    string
	token   string
	answers bytes.Buffer // everything it was ever told, for the canary search
}

// Manage signs in with the bootstrap token.
func (p *Process) Manage() *Manager {
	p.t.Helper()
	return &Manager{t: p.t, base: "http://" + p.Admin, token: p.BootstrapToken()}
}

// ManageAs uses a token that was kept from an earlier start.
func (p *Process) ManageAs(token string) *Manager {
	return &Manager{t: p.t, base: "http://" + p.Admin, token: token}
}

// Token is the credential in use.
func (m *Manager) Token() string { return m.token }

// Answers is the text of every answer so far.
func (m *Manager) Answers() string { return m.answers.String() }

// Try sends a request and returns status and body, or the error of the connection.
func (m *Manager) Try(method, path string, in any) (int, []byte, error) {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return 0, nil, err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequest(method, m.base+path, body)
	if err != nil {
		return 0, nil, err
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Authorization", "Bearer "+m.token)
	res, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	m.answers.Write(b)
	return res.StatusCode, b, err
}

// Do is Try for requests that must succeed; out may be nil.
func (m *Manager) Do(method, path string, in, out any) {
	m.t.Helper()
	status, b, err := m.Try(method, path, in)
	if err != nil {
		m.t.Fatalf("%s %s: %v", method, path, err)
	}
	if status < 200 || status > 299 {
		m.t.Fatalf("%s %s: answered %d: %s", method, path, status, b)
	}
	if out != nil {
		if err := json.Unmarshal(b, out); err != nil {
			m.t.Fatalf("%s %s: %v in %s", method, path, err, b)
		}
	}
}

// Tenant makes a tenant.
func (m *Manager) Tenant(id string) {
	m.t.Helper()
	m.Do("POST", "/api/v1/tenants", map[string]any{"id": id}, nil)
}

// Application makes an application of a tenant with roles, subscribed to version v1 of the APIs named.
func (m *Manager) Application(id, tenant string, roles, apis []string, plan string) {
	m.t.Helper()
	m.Do("POST", "/api/v1/applications", map[string]any{"id": id, "tenant": tenant, "roles": roles}, nil)
	for _, api := range apis {
		m.Do("POST", "/api/v1/subscriptions", map[string]any{
			"application": id, "api": api, "version": "v1", "plan": plan, "approve": true,
		}, nil)
	}
}

// Key makes an API key and returns its id and its text.
func (m *Manager) Key(application string, scopes ...string) (id, text string) {
	m.t.Helper()
	var out struct {
		Key struct {
			ID string `json:"id"`
		} `json:"key"`
		Text string `json:"text"`
	}
	in := map[string]any{"name": "conformance"}
	if len(scopes) > 0 {
		in["scopes"] = scopes
	}
	// The key's text is shown in this answer by design, so that it is no finding of the canary search.
	said := m.answers.Len()
	m.Do("POST", "/api/v1/applications/"+application+"/keys", in, &out)
	m.answers.Truncate(said)
	if out.Text == "" {
		m.t.Fatal("the answer to a new key has no text")
	}
	return out.Key.ID, out.Text
}

// Record is the part of a call record that the suites look at.
type Record struct {
	Trace        string `json:"trace"`
	Path         string `json:"path"`
	Application  string `json:"application"`
	Outcome      string `json:"outcome"`
	Origin       string `json:"origin"`
	Status       int    `json:"status"`
	Reason       string `json:"reason"`
	Fault        string `json:"fault"`
	Truncated    bool   `json:"truncated"`
	Model        string `json:"model"`
	Stream       bool   `json:"stream"`
	Input        int64  `json:"input_tokens"`
	CachedInput  int64  `json:"cached_input_tokens"`
	Output       int64  `json:"output_tokens"`
	Reasoning    int64  `json:"reasoning_tokens"`
	Estimated    bool   `json:"usage_estimated"`
	Cost         int64  `json:"cost_pico"`
	Currency     string `json:"currency"`
	PriceVersion string `json:"price_version"`
}

// Record waits for the record of a call: records are written in batches, a little later than the answer.
func (m *Manager) Record(trace string) Record {
	m.t.Helper()
	var r Record
	Eventually(m.t, "the record of "+trace, func() error {
		status, b, err := m.Try("GET", "/api/v1/records/"+url.PathEscape(trace), nil)
		if err != nil {
			return err
		}
		if status != http.StatusOK {
			return fmt.Errorf("answered %d: %s", status, b)
		}
		return json.Unmarshal(b, &r)
	})
	return r
}

// Records returns the text of the newest records, newest first.
func (m *Manager) Records(limit int) string {
	m.t.Helper()
	status, b, err := m.Try("GET", fmt.Sprintf("/api/v1/records?limit=%d", limit), nil)
	if err != nil || status != http.StatusOK {
		m.t.Fatalf("records: %d %v: %s", status, err, b)
	}
	return string(b)
}

// Eventually repeats a check until it holds, within Patience.
func Eventually(t testing.TB, what string, check func() error) {
	t.Helper()
	deadline := time.Now().Add(Patience)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v: %v", what, Patience, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
