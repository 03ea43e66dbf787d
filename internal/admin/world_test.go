package admin_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/internal/admin"
	"postern/internal/decision"
	"postern/internal/policy"
	"postern/internal/record"
	"postern/internal/sqlite"
	"postern/internal/store"
)

const document = `postern: 1
roles:
  order-reader: {permissions: ["orders:read"]}
  order-writer: {permissions: ["orders:*"]}
plans:
  free: {limits: [{name: calls, rate: {requests: 10, per: 1s}}]}
upstreams:
  orders:
    targets: [{url: "http://127.0.0.1:9"}]
    credential: {header: Authorization, value: "Bearer literal-secret"}
apis:
  - name: orders
    tenant: acme
    versions:
      - {version: v1, base_path: /orders/v1, upstream: orders, operations: [{name: list, method: GET, path: /orders}]}
  - name: weather
    versions:
      - {version: v1, base_path: /weather, upstream: orders, operations: [{name: now, method: GET, path: /now}]}
`

// configuration is the walk of a change over the real store, without a snapshot to swap.
type configuration struct {
	db  store.Store
	now func() time.Time

	mu     sync.Mutex
	doc    *policy.Document
	source []byte
	n      uint64
}

func (c *configuration) Current() (*policy.Document, []byte, uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.doc, c.source, c.n
}

func (c *configuration) Apply(ctx context.Context, base uint64, source []byte, actor, from, comment string, dry bool) (uint64, error) {
	doc, err := policy.Parse("", source)
	if err != nil || dry {
		return base, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var n uint64
	err = c.db.Update(ctx, store.AuditEntry{Time: c.now(), Actor: actor, From: from, Action: "config.apply", Target: "config", Detail: comment}, func(tx store.Tx) error {
		var err error
		n, err = tx.AppendGeneration(ctx, base, store.Generation{Document: source, Actor: actor, Comment: comment, Created: c.now()})
		return err
	})
	if err == nil {
		c.doc, c.source, c.n = doc, source, n
	}
	return n, err
}

// world is a management API over a real store, with a clock that stands still.
type world struct {
	t       *testing.T
	db      *sqlite.DB
	api     *admin.Server
	config  *configuration
	url     string
	mu      sync.Mutex
	now     time.Time
	changed int
	boot    string // the bootstrap token
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	w.now = w.now.Add(d)
	w.mu.Unlock()
}

func newWorld(t *testing.T, with ...func(*admin.Options)) *world {
	t.Helper()
	w := &world{t: t, now: time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)}
	db, err := sqlite.Open(t.Context(), t.TempDir(), sqlite.Options{Now: w.clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	w.db = db
	w.config = &configuration{db: db, now: w.clock}
	o := admin.Options{Store: db, Records: db.Records(), Config: w.config, Now: w.clock, Version: "test", Hosts: []string{"gw.example.com"},
		Changed: func() { w.mu.Lock(); w.changed++; w.mu.Unlock() }}
	for _, f := range with {
		f(&o)
	}
	if w.api, err = admin.New(o); err != nil {
		t.Fatal(err)
	}
	if w.boot, err = w.api.EnsureBootstrap(t.Context()); err != nil || w.boot == "" {
		t.Fatalf("bootstrap: %q, %v", w.boot, err)
	}
	srv := httptest.NewServer(w.api.Handler())
	t.Cleanup(srv.Close)
	w.url = srv.URL
	return w
}

// populated is a world with a configuration, two tenants, an administrator and users of one tenant.
func populated(t *testing.T, with ...func(*admin.Options)) *world {
	w := newWorld(t, with...)
	w.put(w.boot, "/api/v1/config", document, "If-Match", `"0"`).want(200)
	for _, id := range []string{"acme", "globex"} {
		w.post(w.boot, "/api/v1/tenants", map[string]any{"id": id}).want(201)
		w.post(w.boot, "/api/v1/applications", map[string]any{"id": id + "-shop", "tenant": id, "roles": []string{"order-reader"}}).want(201)
	}
	return w
}

// answer is what the API said.
type answer struct {
	t      *testing.T
	asked  string
	status int
	header http.Header
	body   []byte
}

func (w *world) do(token, method, path string, body any, fields ...string) *answer {
	w.t.Helper()
	var in io.Reader
	contentType := ""
	switch b := body.(type) {
	case nil:
	case string:
		in = strings.NewReader(b)
	default:
		raw, err := json.Marshal(b)
		if err != nil {
			w.t.Fatal(err)
		}
		in, contentType = bytes.NewReader(raw), "application/json"
	}
	r, err := http.NewRequestWithContext(w.t.Context(), method, w.url+path, in)
	if err != nil {
		w.t.Fatal(err)
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(fields); i += 2 {
		if fields[i] == "Host" {
			r.Host = fields[i+1]
			continue
		}
		r.Header.Set(fields[i], fields[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return &answer{w.t, method + " " + path, resp.StatusCode, resp.Header, raw}
}

func (w *world) get(token, path string, fields ...string) *answer {
	w.t.Helper()
	return w.do(token, "GET", path, nil, fields...)
}

func (w *world) post(token, path string, body any, fields ...string) *answer {
	w.t.Helper()
	return w.do(token, "POST", path, body, fields...)
}

func (w *world) put(token, path, body string, fields ...string) *answer {
	w.t.Helper()
	return w.do(token, "PUT", path, body, fields...)
}

// want fails the test unless the answer has that status.
func (a *answer) want(status int) *answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("%s: status %d, want %d\n%s", a.asked, a.status, status, a.body)
	}
	return a
}

// refused fails the test unless the answer is a problem with that status and code, which says what to do.
func (a *answer) refused(status int, code string) *admin.Problem {
	a.t.Helper()
	a.want(status)
	if ct := a.header.Get("Content-Type"); ct != "application/problem+json" {
		a.t.Fatalf("%s: Content-Type %q\n%s", a.asked, ct, a.body)
	}
	var p admin.Problem
	if err := json.Unmarshal(a.body, &p); err != nil {
		a.t.Fatal(err)
	}
	if p.Code != code || p.Type != "urn:postern:problem:"+code || p.Status != status || p.Title == "" {
		a.t.Fatalf("%s: problem %s, want code %s", a.asked, a.body, code)
	}
	if len(p.Remedies) == 0 && len(p.Errors) == 0 {
		a.t.Errorf("%s: the problem does not say what to do: %s", a.asked, a.body)
	}
	return &p
}

func (a *answer) into(v any) *answer {
	a.t.Helper()
	if err := json.Unmarshal(a.body, v); err != nil {
		a.t.Fatalf("%s: %v\n%s", a.asked, err, a.body)
	}
	return a
}

// field returns one member of an object, by its path.
func (a *answer) field(path ...string) any {
	a.t.Helper()
	var v any
	a.into(&v)
	for _, p := range path {
		m, ok := v.(map[string]any)
		if !ok {
			a.t.Fatalf("%s: no %v in %s", a.asked, path, a.body)
		}
		v = m[p]
	}
	return v
}

func (a *answer) text(path ...string) string {
	a.t.Helper()
	s, _ := a.field(path...).(string)
	return s
}

// items returns the ids of a list.
func (a *answer) items(key string) []string {
	a.t.Helper()
	a.want(200)
	var l struct{ Items []map[string]any }
	a.into(&l)
	out := []string{}
	for _, i := range l.Items {
		s, _ := i[key].(string)
		out = append(out, s)
	}
	return out
}

const password = "four random words do well"

// user makes a user with a password and returns its id and a bearer session.
func (w *world) user(by, email, tenant string, roles ...string) (id, session string) {
	w.t.Helper()
	id = w.post(by, "/api/v1/users", map[string]any{"email": email, "tenant": tenant, "roles": roles, "password": password}).want(201).text("id")
	return id, w.signIn(email, password)
}

func (w *world) signIn(email, pw string) string {
	w.t.Helper()
	return w.post("", "/api/v1/session", map[string]any{"email": email, "password": pw, "as": "bearer"}).want(201).text("token")
}

// actions returns the actions of the audit trail, newest first.
func (w *world) actions() []string {
	w.t.Helper()
	rows, err := w.db.AuditTrail(w.t.Context(), 0, 1000)
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, e := range rows {
		out = append(out, e.Action+" "+e.Target)
	}
	return out
}

// recorded stores a call record.
func (w *world) recorded(r record.Record) decision.TraceID {
	w.t.Helper()
	if r.ID == (decision.TraceID{}) {
		r.ID = decision.NewTraceID(w.clock())
	}
	r.Time = w.clock()
	if err := w.db.Records().AppendRecords(w.t.Context(), []record.Record{r}); err != nil {
		w.t.Fatal(err)
	}
	return r.ID
}

// laboratory answers for the lab.
type laboratory struct {
	asker decision.Disclosure
	asked admin.SimulateRequest
	err   error
}

func (l *laboratory) Explain(_ context.Context, id decision.TraceID, asker decision.Disclosure) (any, error) {
	l.asker = asker
	return map[string]string{"trace": id.String()}, l.err
}

func (l *laboratory) Simulate(_ context.Context, r admin.SimulateRequest) (any, error) {
	l.asked = r
	if r.Request == "nonsense" {
		return nil, &admin.InputError{Message: "that is no request", Remedy: "paste a curl command"}
	}
	return map[string]string{"verdict": "pass"}, l.err
}

var errDisk = errors.New("sqlite: disk I/O error in /var/lib/postern/postern.db: SELECT secret FROM tokens")
