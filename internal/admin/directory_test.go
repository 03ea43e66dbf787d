package admin_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"postern/internal/directory"
)

func TestAnOperatorSetsUpAConsumer(t *testing.T) {
	w := populated(t)
	before := w.changed
	app := w.post(w.boot, "/api/v1/applications", map[string]any{"id": "shop-web", "tenant": "acme", "name": "Shop", "roles": []string{"order-writer"}}).want(201)
	if got := app.header.Get("Location"); got != "/api/v1/applications/shop-web" {
		t.Errorf("Location %q", got)
	}
	key := w.post(w.boot, "/api/v1/applications/shop-web/keys", map[string]any{"name": "ci", "scopes": []string{"orders:create"}}).want(201)
	text, id := key.text("text"), key.text("key", "id")
	if !directory.LooksLikeKey(text) {
		t.Fatalf("the answer has no key text: %s", key.body)
	}
	stored, err := w.db.Key(t.Context(), id)
	if err != nil || stored.Hash != directory.HashKey(text) {
		t.Fatalf("the store does not know the key: %+v, %v", stored, err)
	}
	sub := w.post(w.boot, "/api/v1/subscriptions", map[string]any{"application": "shop-web", "api": "orders", "version": "v1", "plan": "free"}).want(201)
	if sub.text("state") != "pending" {
		t.Errorf("a new subscription is %s", sub.text("state"))
	}
	approved := w.post(w.boot, "/api/v1/subscriptions/"+sub.text("id")+"/approve", map[string]any{"comment": "welcome"}).want(200)
	if approved.text("state") != "approved" || approved.text("comment") != "welcome" {
		t.Errorf("approved: %s", approved.body)
	}
	if w.changed != before+4 {
		t.Errorf("the serving index was told of %d changes, want 4", w.changed-before)
	}
	// The text is shown once: nothing else ever holds it.
	for _, path := range []string{"/api/v1/keys/" + id, "/api/v1/keys", "/api/v1/applications/shop-web/keys", "/api/v1/audit"} {
		if body := string(w.get(w.boot, path).want(200).body); strings.Contains(body, text) || strings.Contains(body, text[len(text)-20:]) {
			t.Errorf("%s shows the key again", path)
		}
	}
	want := []string{"subscription.approve subscription/" + sub.text("id"), "subscription.create subscription/" + sub.text("id"), "key.create key/" + id, "application.create application/shop-web"}
	if got := w.actions()[:4]; !slices.Equal(got, want) {
		t.Errorf("audit trail %v, want %v", got, want)
	}
}

func TestKeysLiveAndEnd(t *testing.T) {
	w := populated(t)
	made := w.post(w.boot, "/api/v1/applications/acme-shop/keys", map[string]any{"name": "a", "expires": w.clock().Add(48 * time.Hour)}).want(201)
	id := made.text("key", "id")
	// Change it: null takes the end away.
	patched := w.do(w.boot, "PATCH", "/api/v1/keys/"+id, map[string]any{"name": "b", "expires": nil}, "If-Match", made.header.Get("ETag")).want(200)
	if patched.text("name") != "b" || patched.field("expires") != nil {
		t.Fatalf("patched: %s", patched.body)
	}
	w.do(w.boot, "PATCH", "/api/v1/keys/"+id, map[string]any{"name": "c"}, "If-Match", made.header.Get("ETag")).refused(412, "precondition_failed")
	// Rotate it: both work for the overlap.
	next := w.post(w.boot, "/api/v1/keys/"+id+"/rotate", map[string]any{"overlap": "1h"}).want(201)
	old := w.get(w.boot, "/api/v1/keys/"+id).want(200)
	if old.text("state") != "replaced" || old.text("replaced_by") != next.text("key", "id") || next.text("key", "name") != "b" {
		t.Fatalf("old %s, new %s", old.body, next.body)
	}
	w.post(w.boot, "/api/v1/keys/"+id+"/rotate", nil).refused(409, "key_replaced")
	w.pass(time.Hour)
	if got := w.get(w.boot, "/api/v1/keys/"+id).text("state"); got != "revoked" {
		t.Errorf("after the overlap the old key is %s", got)
	}
	// Revoke the new one; a second time changes nothing.
	second := next.text("key", "id")
	first := w.do(w.boot, "DELETE", "/api/v1/keys/"+second, nil).want(200).text("revoked")
	w.pass(time.Minute)
	if again := w.do(w.boot, "DELETE", "/api/v1/keys/"+second, nil).want(200).text("revoked"); again != first || first == "" {
		t.Errorf("revoked %q, then %q", first, again)
	}
	w.post(w.boot, "/api/v1/keys/"+second+"/rotate", nil).refused(409, "key_revoked")
}

func TestMistakesInTheDirectory(t *testing.T) {
	w := populated(t)
	for name, c := range map[string]struct {
		method, path string
		body         any
		status       int
		code         string
	}{
		"tenant id with capitals":      {"POST", "/tenants", map[string]any{"id": "Acme"}, 422, "invalid"},
		"tenant exists":                {"POST", "/tenants", map[string]any{"id": "acme"}, 409, "exists"},
		"application without a tenant": {"POST", "/applications", map[string]any{"id": "x"}, 422, "invalid"},
		"application of no tenant":     {"POST", "/applications", map[string]any{"id": "x", "tenant": "nobody"}, 422, "invalid"},
		"application exists":           {"POST", "/applications", map[string]any{"id": "acme-shop", "tenant": "acme"}, 409, "exists"},
		"role that is not there":       {"POST", "/applications", map[string]any{"id": "x", "tenant": "acme", "roles": []string{"order-wrtier"}}, 422, "invalid"},
		"owner that is not there":      {"POST", "/applications", map[string]any{"id": "x", "tenant": "acme", "owner": "u_1"}, 422, "invalid"},
		"key of no application":        {"POST", "/applications/nothing/keys", map[string]any{}, 404, "not_found"},
		"scope with a space":           {"POST", "/applications/acme-shop/keys", map[string]any{"scopes": []string{"a b"}}, 422, "invalid"},
		"key that is over already":     {"POST", "/applications/acme-shop/keys", map[string]any{"expires": "2020-01-01T00:00:00Z"}, 422, "invalid"},
		"overlap without a unit":       {"POST", "/keys/k_x/rotate", map[string]any{"overlap": "24"}, 422, "invalid"},
		"key that is not there":        {"GET", "/keys/k_x", nil, 404, "not_found"},
		"subscription to no API":       {"POST", "/subscriptions", map[string]any{"application": "acme-shop", "api": "odrers", "version": "v1"}, 422, "invalid"},
		"subscription to no version":   {"POST", "/subscriptions", map[string]any{"application": "acme-shop", "api": "orders", "version": "v9"}, 422, "invalid"},
		"subscription with no plan":    {"POST", "/subscriptions", map[string]any{"application": "acme-shop", "api": "orders", "version": "v1", "plan": "gold"}, 422, "invalid"},
		"unknown field":                {"POST", "/tenants", map[string]any{"id": "x", "nmae": "y"}, 422, "invalid"},
		"name in another case":         {"POST", "/tenants", map[string]any{"ID": "x"}, 422, "invalid"},
		"field twice":                  {"POST", "/tenants", `{"id":"x","id":"y"}`, 400, "malformed"},
		"text after the body":          {"POST", "/tenants", `{"id":"x"} {}`, 400, "malformed"},
		"no JSON":                      {"POST", "/tenants", `id=x`, 400, "malformed"},
		"no body":                      {"POST", "/tenants", nil, 400, "malformed"},
		"huge body":                    {"POST", "/tenants", `{"id":"x","name":"` + strings.Repeat("x", 1<<20) + `"}`, 413, "body_too_large"},
		"deep body":                    {"POST", "/tenants", `{"id":` + strings.Repeat("[", 100_000), 400, "malformed"},
		"unknown query parameter":      {"GET", "/tenants?limt=5", nil, 422, "invalid"},
		"page of 0":                    {"GET", "/tenants?limit=0", nil, 422, "invalid"},
		"cursor of nothing":            {"GET", "/tenants?after=x", nil, 400, "cursor_malformed"},
		"standing that is not one":     {"PATCH", "/tenants/acme", map[string]any{"standing": "asleep"}, 422, "invalid"},
		"path that is not there":       {"GET", "/teapots", nil, 404, "no_route"},
		"method that is not there":     {"PUT", "/tenants", `{}`, 405, "method_not_allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			w.do(w.boot, c.method, "/api/v1"+c.path, c.body).refused(c.status, c.code)
		})
	}
	w.post(w.boot, "/api/v1/tenants", `id: x`, "Content-Type", "application/yaml").refused(415, "media_type")
	if got := w.get(w.boot, "/api/v1/tenants").items("id"); !slices.Equal(got, []string{"acme", "globex"}) {
		t.Errorf("a mistake changed something: %v", got)
	}
}

func TestAFindingNamesThePlace(t *testing.T) {
	w := populated(t)
	p := w.post(w.boot, "/api/v1/applications", map[string]any{"id": "x", "tenant": "acme", "roles": []any{"order-reader", 7}}).refused(422, "invalid")
	if len(p.Errors) != 1 || p.Errors[0].In != "body" || p.Errors[0].Pointer != "/roles/1" {
		t.Errorf("errors: %+v", p.Errors)
	}
	p = w.post("", "/api/v1/session", map[string]any{"email": 5, "password": "hunter2hunter2"}).refused(422, "invalid")
	if strings.Contains(p.Error()+p.Errors[0].Message, "hunter2") {
		t.Errorf("the refusal repeats a password: %+v", p)
	}
}

func TestListsArePagedToTheEnd(t *testing.T) {
	w := populated(t)
	want := []string{}
	for range 25 {
		want = append(want, w.post(w.boot, "/api/v1/applications/acme-shop/keys", map[string]any{}).want(201).text("key", "id"))
	}
	slices.Sort(want)
	for _, limit := range []string{"1", "7", "25", "26", "1000"} {
		var got []string
		for after, turns := "", 0; ; turns++ {
			a := w.get(w.boot, "/api/v1/applications/acme-shop/keys?limit="+limit+"&after="+after)
			got = append(got, a.items("id")...)
			if after = a.text("next"); after == "" || turns > 30 {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("pages of %s gave %d rows, want %d", limit, len(got), len(want))
		}
	}
	next := w.get(w.boot, "/api/v1/applications/acme-shop/keys?limit=5").text("next")
	w.get(w.boot, "/api/v1/tenants?after="+next).refused(400, "cursor_malformed")
}

func TestAPostIsCarriedOutOnce(t *testing.T) {
	w := populated(t)
	body := map[string]any{"name": "ci"}
	first := w.post(w.boot, "/api/v1/applications/acme-shop/keys", body, "Idempotency-Key", "abc").want(201)
	again := w.post(w.boot, "/api/v1/applications/acme-shop/keys", body, "Idempotency-Key", "abc").want(201)
	if again.text("key", "id") != first.text("key", "id") || again.header.Get("Idempotency-Replayed") != "true" {
		t.Fatalf("repeated: %s", again.body)
	}
	if first.text("text") == "" || again.text("text") != "" {
		t.Errorf("the key's text is for the first answer only: %q, then %q", first.text("text"), again.text("text"))
	}
	if got := w.get(w.boot, "/api/v1/applications/acme-shop/keys").items("id"); len(got) != 1 {
		t.Errorf("keys %v", got)
	}
	n := 0
	for _, a := range w.actions() {
		if strings.HasPrefix(a, "key.create") {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d audit entries for one key", n)
	}
	w.post(w.boot, "/api/v1/applications/acme-shop/keys", map[string]any{"name": "other"}, "Idempotency-Key", "abc").refused(422, "idempotency_key_reused")
	w.post(w.boot, "/api/v1/applications/globex-shop/keys", body, "Idempotency-Key", "abc").refused(422, "idempotency_key_reused")
}

func TestSubscriptionsFollowTheirStates(t *testing.T) {
	w := populated(t)
	id := w.post(w.boot, "/api/v1/subscriptions", map[string]any{"application": "acme-shop", "api": "orders", "version": "*"}).want(201).text("id")
	w.post(w.boot, "/api/v1/subscriptions", map[string]any{"application": "acme-shop", "api": "orders", "version": "*"}).refused(409, "exists")
	for _, step := range []struct {
		verb, state string // state "": refused
	}{
		{"suspend", ""}, {"reject", "rejected"}, {"reject", ""}, {"approve", "approved"}, {"approve", ""}, {"suspend", "suspended"},
		{"approve", ""}, {"resume", "approved"}, {"resume", ""}, {"revoke", "revoked"}, {"approve", ""}, {"revoke", ""},
	} {
		a := w.post(w.boot, "/api/v1/subscriptions/"+id+"/"+step.verb, nil)
		if step.state == "" {
			a.refused(409, "state")
		} else if a.want(200).text("state") != step.state {
			t.Fatalf("%s: %s", step.verb, a.body)
		}
	}
	w.do(w.boot, "DELETE", "/api/v1/subscriptions/"+id, nil).want(204)
	w.get(w.boot, "/api/v1/subscriptions/"+id).refused(404, "not_found")

	// A lost answer is asked for again: the step is not taken twice, and not refused as taken.
	next := w.post(w.boot, "/api/v1/subscriptions", map[string]any{"application": "acme-shop", "api": "weather", "version": "v1"}).want(201).text("id")
	w.post(w.boot, "/api/v1/subscriptions/"+next+"/approve", nil, "Idempotency-Key", "k").want(200)
	again := w.post(w.boot, "/api/v1/subscriptions/"+next+"/approve", nil, "Idempotency-Key", "k").want(200)
	if again.text("state") != "approved" || again.header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("repeated: %s", again.body)
	}
	w.post(w.boot, "/api/v1/subscriptions/"+next+"/approve", nil).refused(409, "state")
}

func TestASubscriptionIsMovedToAnotherPlan(t *testing.T) {
	w := populated(t)
	made := w.post(w.boot, "/api/v1/subscriptions", map[string]any{"application": "acme-shop", "api": "orders", "version": "v1", "approve": true}).want(201)
	if made.text("state") != "approved" {
		t.Errorf("made: %s", made.body)
	}
	path := "/api/v1/subscriptions/" + made.text("id")
	got := w.do(w.boot, "PATCH", path, map[string]any{"plan": "free", "expires": w.clock().Add(time.Hour)}, "If-Match", made.header.Get("ETag")).want(200)
	if got.text("plan") != "free" || got.text("expires") == "" || got.text("state") != "approved" {
		t.Errorf("changed: %s", got.body)
	}
	if got := w.get(w.boot, path).header.Get("ETag"); got == made.header.Get("ETag") {
		t.Error("a changed row has its old ETag")
	}
	w.do(w.boot, "PATCH", path, map[string]any{"plan": "gold"}).refused(422, "invalid")
	w.do(w.boot, "PATCH", path, map[string]any{"state": "approved"}).refused(422, "invalid")
	if got := w.do(w.boot, "PATCH", path, map[string]any{"expires": nil}).want(200); got.field("expires") != nil {
		t.Errorf("changed: %s", got.body)
	}
}
