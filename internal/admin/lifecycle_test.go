package admin_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/internal/admin"
	"postern/internal/gate"
	"postern/internal/policy"
	"postern/internal/snapshot"
)

func TestAnApplicationLivesAndEnds(t *testing.T) {
	w := populated(t)
	made := w.post(w.boot, "/api/v1/applications", map[string]any{"id": "shop", "tenant": "acme"}).want(201)
	if made.text("name") != "shop" || made.text("standing") != "active" {
		t.Errorf("made: %s", made.body)
	}
	key := w.post(w.boot, "/api/v1/applications/shop/keys", map[string]any{}).want(201).text("key", "id")
	path := "/api/v1/applications/shop"
	changed := w.do(w.boot, "PATCH", path, map[string]any{"name": "Shop", "standing": "suspended", "roles": []string{"order-writer"}}, "If-Match", made.header.Get("ETag")).want(200)
	if changed.text("name") != "Shop" || changed.text("standing") != "suspended" || w.get(w.boot, path).header.Get("ETag") != changed.header.Get("ETag") {
		t.Errorf("changed: %s", changed.body)
	}
	w.do(w.boot, "PATCH", path, map[string]any{"roles": []string{"nobody"}}).refused(422, "invalid")
	w.do(w.boot, "PATCH", path, map[string]any{"owner": "u_nobody"}).refused(422, "invalid")
	w.do(w.boot, "PATCH", path, map[string]any{"tenant": "globex"}).refused(422, "invalid")
	w.do(w.boot, "DELETE", path, nil, "If-Match", made.header.Get("ETag")).refused(412, "precondition_failed")
	w.do(w.boot, "DELETE", path, nil, "If-Match", "nonsense").refused(400, "etag_malformed")
	w.do(w.boot, "DELETE", path, nil, "If-Match", "*").want(204)
	w.get(w.boot, path).refused(404, "not_found")
	w.get(w.boot, "/api/v1/keys/"+key).refused(404, "not_found")
	w.do(w.boot, "DELETE", path, nil).refused(404, "not_found")
}

func TestATenantLivesAndEnds(t *testing.T) {
	w := populated(t)
	tag := w.get(w.boot, "/api/v1/tenants/globex").header.Get("ETag")
	if got := w.do(w.boot, "PATCH", "/api/v1/tenants/globex", map[string]any{"name": "Globex Corporation", "standing": "suspended"}, "If-Match", tag).want(200); got.text("standing") != "suspended" {
		t.Errorf("changed: %s", got.body)
	}
	w.do(w.boot, "PATCH", "/api/v1/tenants/globex", map[string]any{"name": "x"}, "If-Match", tag).refused(412, "precondition_failed")
	w.do(w.boot, "PATCH", "/api/v1/tenants/nobody", map[string]any{"name": "x"}).refused(404, "not_found")
	w.do(w.boot, "DELETE", "/api/v1/tenants/globex", nil).want(204)
	w.get(w.boot, "/api/v1/applications/globex-shop").refused(404, "not_found")
}

func TestTheAuditTrailIsFilteredAndPaged(t *testing.T) {
	w := populated(t)
	var targets []string
	for after := ""; ; {
		a := w.get(w.boot, "/api/v1/audit?limit=2&action=application.create&after="+after)
		targets = append(targets, a.items("target")...)
		if after = a.text("next"); after == "" {
			break
		}
	}
	if want := []string{"application/globex-shop", "application/acme-shop"}; !slices.Equal(targets, want) {
		t.Errorf("%v, want %v", targets, want)
	}
	if got := w.get(w.boot, "/api/v1/audit?actor=bootstrap&tenant=acme&target=tenant/acme").items("from"); !slices.Equal(got, []string{"127.0.0.1"}) {
		t.Errorf("from %v", got)
	}
	w.get(w.boot, "/api/v1/audit?after=x").refused(400, "cursor_malformed")
}

func TestTokensAreListedWithoutTheirSecrets(t *testing.T) {
	w := populated(t)
	id, boss := w.user(w.boot, "boss@example.com", "", "admin")
	text := w.post(boss, "/api/v1/tokens", map[string]any{"name": "ci"}).want(201).text("text")
	otherID, other := w.user(boss, "v@example.com", "", "viewer")
	own := w.get(boss, "/api/v1/tokens")
	if got := own.items("kind"); len(got) != 2 || strings.Contains(string(own.body), text[20:]) {
		t.Errorf("one's own tokens: %s", own.body)
	}
	if got := w.get(boss, "/api/v1/tokens?user="+otherID).items("user"); !slices.Equal(got, []string{otherID}) {
		t.Errorf("a user's tokens: %v", got)
	}
	w.get(other, "/api/v1/tokens?user="+id).refused(404, "not_found")
	mine := w.get(boss, "/api/v1/tokens").items("id")[0]
	w.do(other, "DELETE", "/api/v1/tokens/"+mine, nil).refused(404, "not_found")
	w.get(other, "/api/v1/users/"+id).refused(404, "not_found")
	w.get(other, "/api/v1/users/"+otherID).want(200)
}

// idle is an upstream that nothing is sent to.
type idle string

func (u idle) Name() string                           { return string(u) }
func (u idle) State(time.Time) (s gate.UpstreamState) { return s }

func TestOperationsOfATenant(t *testing.T) {
	doc, err := policy.Parse("", []byte(document))
	if err != nil {
		t.Fatal(err)
	}
	s, err := snapshot.Compile(doc, 1, snapshot.Deps{Upstream: func(name string) (gate.Upstream, bool) { return idle(name), true }})
	if err != nil {
		t.Fatal(err)
	}
	w := populated(t, func(o *admin.Options) { o.Operations = s.Operations })
	_, boss := w.user(w.boot, "boss@example.com", "", "admin")
	_, acme := w.user(boss, "ada@acme.example", "acme", "viewer")
	if got := w.get(boss, "/api/v1/operations").items("path"); !slices.Equal(got, []string{"/orders/v1/orders", "/weather/now"}) {
		t.Errorf("the platform's operations: %v", got)
	}
	got := w.get(acme, "/api/v1/operations")
	if !slices.Equal(got.items("name"), []string{"list"}) || !strings.Contains(string(got.body), `"authn"`) {
		t.Errorf("a tenant's operations: %s", got.body)
	}
	if got := w.get(boss, "/api/v1/operations?api=weather").items("name"); !slices.Equal(got, []string{"now"}) {
		t.Errorf("of one API: %v", got)
	}
}

func TestCookiesOverTLSAreTiedToTheirOrigin(t *testing.T) {
	w := newWorld(t)
	srv := httptest.NewTLSServer(w.api.Handler())
	defer srv.Close()
	resp, err := srv.Client().Post(srv.URL+"/api/v1/session", "application/json", strings.NewReader(`{"bootstrap_token":"`+w.boot+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	set := resp.Header.Get("Set-Cookie")
	if !strings.HasPrefix(set, "__Host-postern_session=") || !strings.Contains(set, "; Secure") || !strings.Contains(set, "Path=/") {
		t.Fatalf("Set-Cookie %q", set)
	}
	cookie, err := http.ParseSetCookie(set)
	if err != nil {
		t.Fatal(err)
	}
	for name, status := range map[string]int{cookie.Name: 200, "postern_session": 401} {
		r, _ := http.NewRequestWithContext(t.Context(), "GET", srv.URL+"/api/v1/me", nil)
		r.AddCookie(&http.Cookie{Name: name, Value: cookie.Value})
		resp, err := srv.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		var me admin.Me
		if err := json.NewDecoder(resp.Body).Decode(&me); err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != status || status == 200 && !me.Bootstrap {
			t.Errorf("cookie %s: %d, %+v", name, resp.StatusCode, me)
		}
	}
}

func TestANodeWithoutRecords(t *testing.T) {
	w := newWorld(t, func(o *admin.Options) { o.Records, o.Lab = nil, &laboratory{} })
	w.get(w.boot, "/api/v1/records").refused(503, "no_records")
	w.get(w.boot, "/api/v1/records/01JD0Z8C0M3V9W6T5Q4R2E1A7B").refused(503, "no_records")
	w.get(w.boot, "/api/v1/explain/01JD0Z8C0M3V9W6T5Q4R2E1A7B").refused(503, "no_records")
}

func TestAnAdministratorResetsAPassword(t *testing.T) {
	w := populated(t)
	_, boss := w.user(w.boot, "boss@example.com", "", "admin")
	id, session := w.user(boss, "ada@acme.example", "acme", "admin")
	path := "/api/v1/users/" + id + "/password"
	w.put(boss, path, `{"password":"another four random words"}`, "Content-Type", "application/json").want(204)
	w.get(session, "/api/v1/me").refused(401, "credential_rejected")
	session = w.signIn("ada@acme.example", "another four random words")
	token := w.post(session, "/api/v1/tokens", map[string]any{"name": "ci"}).want(201).text("text")
	w.put(token, path, `{"current":"another four random words","password":"yet another four words"}`, "Content-Type", "application/json").refused(403, "session_needed")
	w.post(token, "/api/v1/session", nil).want(400)
	w.do(token, "DELETE", "/api/v1/session", nil).refused(409, "no_session")
}
