package admin_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/internal/admin"
)

// operation is a route as the OpenAPI description has it.
type operation struct{ method, path, id string }

func described(t *testing.T, api *admin.Server) []operation {
	t.Helper()
	var spec struct {
		OpenAPI string `json:"openapi"`
		Paths   map[string]map[string]struct {
			OperationID string           `json:"operationId"`
			Security    []map[string]any `json:"security"`
		} `json:"paths"`
	}
	if err := json.Unmarshal(api.OpenAPI(), &spec); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(spec.OpenAPI, "3.1") {
		t.Errorf("OpenAPI %q", spec.OpenAPI)
	}
	var out []operation
	for path, methods := range spec.Paths {
		for method, op := range methods {
			out = append(out, operation{strings.ToUpper(method), path, op.OperationID})
			if public := admin.Public(op.OperationID); public == (len(op.Security) > 0) {
				t.Errorf("%s: public %v, but described with security %v", op.OperationID, public, op.Security)
			}
		}
	}
	return out
}

// fill puts something into the parameters of a path.
func fill(path string) string {
	return strings.NewReplacer("{id}", "x", "{n}", "1", "{trace}", "01JD0Z8C0M3V9W6T5Q4R2E1A7B", "{code}", "route.not_found").Replace(path)
}

func TestEveryRouteStandsInTheTable(t *testing.T) {
	w := newWorld(t)
	var ids []string
	for _, op := range described(t, w.api) {
		ids = append(ids, op.id)
	}
	slices.Sort(ids)
	if table := admin.TableIDs(); !slices.Equal(ids, table) {
		t.Errorf("routes and table differ:\nroutes %v\ntable  %v", ids, table)
	}
}

func TestNobodyIsLetInWithoutACredential(t *testing.T) {
	w := populated(t)
	for _, op := range described(t, w.api) {
		if admin.Public(op.id) {
			continue
		}
		w.do("", op.method, fill(op.path), nil).refused(401, "sign_in_needed")
		for _, bad := range []string{"nonsense", "postern_pat_" + strings.Repeat("0", 38), w.boot[:len(w.boot)-1] + "-"} {
			a := w.do(bad, op.method, fill(op.path), nil)
			a.refused(401, "credential_rejected")
			if !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Bearer ") {
				t.Errorf("%s: WWW-Authenticate %q", op.id, a.header.Get("WWW-Authenticate"))
			}
		}
	}
	// A broken Authorization field does not fall back to a cookie that is good.
	w.get("", "/api/v1/me", "Authorization", "Basic YTpi").refused(401, "credential_rejected")
	w.get("", "/api/v1/me", "Authorization", "Bearer a b").refused(401, "credential_rejected")
}

func TestRolesAllowWhatTheyShould(t *testing.T) {
	w := populated(t)
	_, boss := w.user(w.boot, "boss@example.com", "", "admin")
	sessions := map[string]string{"admin": boss}
	for _, role := range []string{"operator", "security", "viewer"} {
		_, sessions[role] = w.user(boss, role+"@example.com", "", role)
	}
	for _, c := range []struct {
		method, path string
		may          string // roles that are let in
	}{
		{"GET", "/config", "admin operator security viewer"},
		{"PUT", "/config", "admin operator"},
		{"GET", "/tenants", "admin operator security viewer"},
		{"POST", "/tenants", "admin operator"},
		{"PATCH", "/applications/acme-shop", "admin operator"},
		{"DELETE", "/keys/k_x", "admin operator security"},
		{"POST", "/keys/k_x/rotate", "admin operator"},
		{"GET", "/users", "admin security"},
		{"POST", "/users", "admin"},
		{"GET", "/audit", "admin operator security"},
		{"GET", "/records", "admin operator security viewer"},
		{"POST", "/simulate", "admin operator security"},
		{"GET", "/status", "admin operator security viewer"},
	} {
		for role, session := range sessions {
			a := w.do(session, c.method, "/api/v1"+c.path, nil)
			if slices.Contains(strings.Fields(c.may), role) {
				if a.status == 401 || a.status == 403 {
					t.Errorf("%s %s as %s: %d", c.method, c.path, role, a.status)
				}
				continue
			}
			p := a.refused(403, "role_missing")
			if !strings.Contains(p.Remedies[0], "admin") {
				t.Errorf("%s %s as %s does not name a role that may: %v", c.method, c.path, role, p.Remedies)
			}
		}
	}
}

func TestATenantIsAnIsland(t *testing.T) {
	w := populated(t)
	_, boss := w.user(w.boot, "boss@example.com", "", "admin")
	acmeID, acme := w.user(boss, "ada@acme.example", "acme", "admin")
	globexID, globex := w.user(boss, "gus@globex.example", "globex", "admin")
	key := w.post(boss, "/api/v1/applications/globex-shop/keys", map[string]any{}).want(201).text("key", "id")
	// globex calls acme's API, and the platform's.
	sub := w.post(globex, "/api/v1/subscriptions", map[string]any{"application": "globex-shop", "api": "orders", "version": "v1"}).want(201).text("id")
	other := w.post(globex, "/api/v1/subscriptions", map[string]any{"application": "globex-shop", "api": "weather", "version": "v1"}).want(201).text("id")

	t.Run("rows of others are not there", func(t *testing.T) {
		for _, c := range []struct {
			method, path string
			body         any
		}{
			{"GET", "/tenants/globex", nil}, {"GET", "/applications/globex-shop", nil}, {"PATCH", "/applications/globex-shop", map[string]any{"name": "x"}},
			{"DELETE", "/applications/globex-shop", nil}, {"GET", "/applications/globex-shop/keys", nil}, {"POST", "/applications/globex-shop/keys", map[string]any{}},
			{"GET", "/keys?application=globex-shop", nil}, {"GET", "/keys/" + key, nil}, {"PATCH", "/keys/" + key, map[string]any{"name": "x"}}, {"DELETE", "/keys/" + key, nil},
			{"POST", "/keys/" + key + "/rotate", nil}, {"GET", "/subscriptions/" + other, nil}, {"POST", "/subscriptions/" + other + "/revoke", nil},
			{"GET", "/users/" + globexID, nil}, {"PATCH", "/users/" + globexID, map[string]any{"name": "x"}}, {"DELETE", "/users/" + globexID, nil},
			{"PUT", "/users/" + globexID + "/password", map[string]any{"password": password}}, {"GET", "/tokens?user=" + globexID, nil},
			{"GET", "/applications?tenant=globex", nil}, {"GET", "/records?tenant=globex", nil},
		} {
			a := w.do(acme, c.method, "/api/v1"+c.path, c.body)
			a.refused(404, "not_found")
			if strings.Contains(string(a.body), "gus@") {
				t.Errorf("%s %s: the refusal tells about another tenant: %s", c.method, c.path, a.body)
			}
		}
		w.post(acme, "/api/v1/applications", map[string]any{"id": "y", "tenant": "globex"}).refused(422, "invalid")
		w.post(acme, "/api/v1/users", map[string]any{"email": "e@x.example", "tenant": "globex", "roles": []string{"viewer"}}).refused(422, "invalid")
		w.post(acme, "/api/v1/tokens", map[string]any{"name": "x", "user": globexID}).refused(422, "invalid")
	})
	t.Run("lists show one's own", func(t *testing.T) {
		for path, want := range map[string][]string{"/tenants": {"acme"}, "/applications": {"acme-shop"}, "/keys": {}, "/users": {acmeID}} {
			if got := w.get(acme, "/api/v1"+path).items("id"); !slices.Equal(got, want) {
				t.Errorf("%s: %v, want %v", path, got, want)
			}
		}
		// The publisher of an API sees who subscribes to it, and nothing else of them.
		if got := w.get(acme, "/api/v1/subscriptions").items("id"); !slices.Equal(got, []string{sub}) {
			t.Errorf("subscriptions %v, want %v", got, sub)
		}
		for _, e := range w.get(acme, "/api/v1/audit?limit=1000").items("tenant") {
			if e != "acme" {
				t.Errorf("the audit trail shows tenant %q", e)
			}
		}
	})
	t.Run("the platform is out of reach", func(t *testing.T) {
		for _, c := range [][2]string{{"GET", "/config"}, {"PUT", "/config"}, {"GET", "/config/generations"}, {"POST", "/config/diff"}, {"POST", "/tenants"}, {"PATCH", "/tenants/acme"},
			{"DELETE", "/tenants/acme"}, {"POST", "/simulate"}, {"GET", "/status"}} {
			w.do(acme, c[0], "/api/v1"+c[1], nil).refused(403, "platform_only")
		}
		// A user made by a tenant's administrator is of that tenant, whatever is asked for.
		made := w.post(acme, "/api/v1/users", map[string]any{"email": "new@acme.example", "roles": []string{"admin"}}).want(201)
		if made.text("tenant") != "acme" {
			t.Errorf("a tenant's administrator made a user of the platform: %s", made.body)
		}
	})
	t.Run("the publisher decides, the subscriber may leave", func(t *testing.T) {
		w.post(globex, "/api/v1/subscriptions/"+sub+"/approve", nil).refused(403, "not_publisher")
		w.post(globex, "/api/v1/subscriptions", map[string]any{"application": "globex-shop", "api": "orders", "version": "*", "approve": true}).refused(403, "not_publisher")
		w.post(acme, "/api/v1/subscriptions/"+sub+"/approve", nil).want(200)
		w.do(globex, "PATCH", "/api/v1/subscriptions/"+sub, map[string]any{"plan": "free"}).refused(403, "not_publisher")
		w.do(globex, "DELETE", "/api/v1/subscriptions/"+sub, nil).refused(403, "not_publisher")
		w.post(globex, "/api/v1/subscriptions/"+sub+"/revoke", nil).want(200)
	})
	t.Run("a suspended tenant is out", func(t *testing.T) {
		w.do(boss, "PATCH", "/api/v1/tenants/globex", map[string]any{"standing": "suspended"}).want(200)
		w.get(globex, "/api/v1/me").refused(401, "credential_rejected")
		w.post("", "/api/v1/session", map[string]any{"email": "gus@globex.example", "password": password}).refused(401, "sign_in_failed")
	})
	t.Run("a tenant with users stays", func(t *testing.T) {
		w.do(boss, "DELETE", "/api/v1/tenants/globex", nil).refused(409, "reference")
		w.do(boss, "DELETE", "/api/v1/users/"+globexID, nil).want(204)
		w.do(boss, "DELETE", "/api/v1/tenants/globex", nil).want(204)
		w.get(boss, "/api/v1/keys/"+key).refused(404, "not_found")
	})
}

func TestNobodyHandsOnMoreThanTheyHave(t *testing.T) {
	w := populated(t)
	bossID, boss := w.user(w.boot, "boss@example.com", "", "admin")
	opID, op := w.user(boss, "op@example.com", "", "operator", "viewer")

	// A token with fewer roles cannot make one with more.
	small := w.post(op, "/api/v1/tokens", map[string]any{"name": "ci", "roles": []string{"viewer"}}).want(201).text("text")
	made := w.post(small, "/api/v1/tokens", map[string]any{"name": "ci2"}).want(201)
	if got := made.field("token", "roles"); len(got.([]any)) != 1 {
		t.Errorf("a viewer's token made one with roles %v", got)
	}
	w.post(small, "/api/v1/tokens", map[string]any{"name": "x", "roles": []string{"operator"}}).refused(403, "role_too_wide")
	w.post(op, "/api/v1/tokens", map[string]any{"name": "x", "roles": []string{"admin"}}).refused(422, "invalid")
	w.post(small, "/api/v1/tenants", map[string]any{"id": "x"}).refused(403, "role_missing")

	// A smaller role than one's own is no role one has to have oneself.
	reader := w.post(boss, "/api/v1/tokens", map[string]any{"name": "dashboards", "roles": []string{"viewer"}}).want(201).text("text")
	w.get(reader, "/api/v1/tenants").want(200)
	w.post(reader, "/api/v1/tenants", map[string]any{"id": "x"}).refused(403, "role_missing")
	w.post(boss, "/api/v1/tokens", map[string]any{"name": "x", "roles": []string{"root"}}).refused(422, "invalid")

	// What is taken from a user is taken from the user's tokens, and no more than that.
	wide := w.post(op, "/api/v1/tokens", map[string]any{"name": "deploy", "roles": []string{"operator"}}).want(201).text("text")
	w.get(wide, "/api/v1/audit").want(200)
	w.do(boss, "PATCH", "/api/v1/users/"+opID, map[string]any{"roles": []string{"viewer"}}).want(200)
	w.get(wide, "/api/v1/audit").refused(403, "role_missing")
	w.get(small, "/api/v1/tenants").want(200)
	w.do(boss, "PATCH", "/api/v1/users/"+opID, map[string]any{"standing": "suspended"}).want(200)
	w.get(small, "/api/v1/me").refused(401, "credential_rejected")
	w.get(op, "/api/v1/me").refused(401, "credential_rejected")

	// The last administrator cannot go.
	w.do(boss, "DELETE", "/api/v1/users/"+bossID, nil).refused(409, "last_administrator")
	w.do(boss, "PATCH", "/api/v1/users/"+bossID, map[string]any{"roles": []string{"viewer"}}).refused(409, "last_administrator")
	w.do(boss, "PATCH", "/api/v1/users/"+bossID, map[string]any{"standing": "suspended"}).refused(409, "last_administrator")
}

func TestAUserWhoOwnsApplicationsStays(t *testing.T) {
	w := populated(t)
	id, _ := w.user(w.boot, "owner@acme.example", "acme", "viewer")
	w.do(w.boot, "PATCH", "/api/v1/applications/acme-shop", map[string]any{"owner": id}).want(200)
	w.do(w.boot, "PATCH", "/api/v1/applications/globex-shop", map[string]any{"owner": id}).refused(422, "invalid")
	w.do(w.boot, "DELETE", "/api/v1/users/"+id, nil).refused(409, "reference")
	w.do(w.boot, "PATCH", "/api/v1/applications/acme-shop", map[string]any{"owner": ""}).want(200)
	w.do(w.boot, "DELETE", "/api/v1/users/"+id, nil).want(204)
}

func TestTokensEnd(t *testing.T) {
	w := populated(t)
	_, boss := w.user(w.boot, "boss@example.com", "", "admin")
	made := w.post(boss, "/api/v1/tokens", map[string]any{"name": "ci", "expires": w.clock().Add(time.Hour)}).want(201)
	text := made.text("text")
	if got := w.get(text, "/api/v1/me").want(200).text("actor"); got != "token:"+made.text("token", "id") {
		t.Errorf("actor %q", got)
	}
	w.post(boss, "/api/v1/tokens", map[string]any{"name": "x", "expires": w.clock().Add(400 * 24 * time.Hour)}).refused(422, "invalid")
	w.pass(time.Hour)
	w.get(text, "/api/v1/me").refused(401, "credential_rejected")
	second := w.post(boss, "/api/v1/tokens", map[string]any{"name": "ci"}).want(201)
	w.do(boss, "DELETE", "/api/v1/tokens/"+second.text("token", "id"), nil).want(204)
	w.get(second.text("text"), "/api/v1/me").refused(401, "credential_rejected")
	w.do(boss, "DELETE", "/api/v1/tokens/"+second.text("token", "id"), nil).refused(404, "not_found")
}
