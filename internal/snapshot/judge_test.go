package snapshot_test

import (
	"context"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"postern/internal/counter"
	"postern/internal/decision"
	"postern/internal/directory"
	"postern/internal/gate"
	"postern/internal/gatetest"
	"postern/internal/policy"
	"postern/internal/snapshot"
)

// shop is a small but whole configuration.
const shop = `
postern: 1
trusted_proxies: [10.0.0.0/8]
roles:
  order-reader: {permissions: ["orders:read"]}
  order-writer: {permissions: ["orders:create"], inherits: [order-reader]}
plans:
  gold:
    limits: [{name: daily, quota: {requests: 1000, per: day}}]
upstreams:
  orders: {targets: [{url: "http://127.0.0.1:9000"}]}
  models: {targets: [{url: "http://127.0.0.1:9001"}]}
models:
  small: {upstream: models, prices: [{version: "1", input: "0.15", output: "0.60"}]}
  large: {upstream: models}
flood_guard: [{name: flood, rate: {requests: 100, per: 1s}}]
apis:
- name: orders
  tenant: acme
  versions:
  - version: v1
    base_path: /orders/v1
    upstream: orders
    state: deprecated
    since: "2026-01-01T00:00:00Z"
    sunset: "2026-12-31T23:59:59Z"
    successor: v2
    limits: [{name: burst, rate: {requests: 5, per: 1m}}]
    operations:
    - {name: list-orders, method: GET, path: /orders, permission: "orders:read"}
    - {name: create-order, title: create orders, method: POST, path: /orders, permission: "orders:create"}
    - {name: get-order, method: GET, path: "/orders/{id}", permission: "orders:read", scopes: [read]}
    - {name: health, method: GET, path: /health, authn: {none: true}}
    - {name: admin, method: GET, path: /admin, ip: {allow: [192.0.2.0/24]}}
    - {name: try, method: GET, path: /try, permission: "orders:create", shadow: [authz]}
  - version: v2
    base_path: /orders/v2
    upstream: orders
    state: draft
    operations:
    - {name: list-orders, method: GET, path: /orders}
  - version: v0
    base_path: /orders/v0
    upstream: orders
    state: retired
    sunset: "2025-06-30T00:00:00Z"
    successor: v1
    operations:
    - {name: list-orders, method: GET, path: /orders}
- name: ai
  kind: llm
  versions:
  - version: v1
    base_path: /v1
    subscription: none
    llm: {dialect: openai, models: [small]}
`

func compile(t testing.TB, yaml string) *snapshot.Snapshot {
	t.Helper()
	doc, err := policy.Parse("postern.yaml", []byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	s, err := snapshot.Compile(doc, 7, snapshot.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// request makes an unrouted exchange in the world of gatetest. Fields of the Exchange that routing sets are cleared.
func request(line string, options ...func(*gate.Exchange)) *gate.Exchange {
	method, target, _ := strings.Cut(line, " ")
	x := gatetest.Exchange(gatetest.Target(method, target))
	x.Op, x.Path, x.Hostname, x.Client = nil, "", "", netip.Addr{}
	gatetest.DirectoryOf(x).Subscribe("orders", "v1", directory.Subscription{ID: "s1", State: directory.Approved, Plan: "gold"})
	for _, o := range options {
		o(x)
	}
	return x
}

func withKey(x *gate.Exchange) { x.Header.Add("X-API-Key", gatetest.KeyText) }

func withRole(role string) func(*gate.Exchange) {
	return func(x *gate.Exchange) {
		d := gatetest.DirectoryOf(x)
		a := d.Applications["shop-web"]
		a.Roles = []string{role}
		d.Applications["shop-web"] = a
	}
}

func body(s string) func(*gate.Exchange) { return gatetest.Content("application/json", s) }

// trace words what every gate said: "route, authn, authz!authz.permission_missing".
func trace(x *gate.Exchange) string {
	var b strings.Builder
	for i, s := range x.Trace.Steps() {
		if i > 0 {
			b.WriteString(" ")
		}
		b.WriteString(s.Gate)
		switch o := s.Verdict.Outcome(); o {
		case decision.OutcomePass:
		case decision.OutcomeAnswer:
			b.WriteString("=answer")
		case decision.OutcomeRefuse:
			b.WriteString("!" + s.Verdict.Reason().Code)
		default:
			b.WriteString("~" + o.String() + ":" + s.Verdict.Reason().Code)
		}
	}
	return b.String()
}

func TestJudge(t *testing.T) {
	s := compile(t, shop)
	for _, c := range []struct {
		name    string
		x       *gate.Exchange
		exhaust bool
		want    string
		verdict string // "pass", "answer", or the code
	}{
		{"a reader reads", request("GET /orders/v1/orders", withKey), false,
			"route limit authn account subscription authz limit upstream", "pass"},
		{"a reader may not create", request("POST /orders/v1/orders", withKey), false,
			"route limit authn account subscription authz!authz.permission_missing", "authz.permission_missing"},
		{"a writer may, and reads by inheritance", request("GET /orders/v1/orders/7", withKey, withRole("order-writer")), false,
			"route limit authn account subscription authz limit upstream", "pass"},
		{"no key", request("GET /orders/v1/orders"), false, "route limit authn!authn.credential_missing", "authn.credential_missing"},
		{"no key, all gates asked", request("POST /orders/v1/orders"), true,
			"route limit authn!authn.credential_missing account~unknown:account.unavailable subscription~unknown:subscription.missing authz~unknown:authz.permission_missing limit upstream",
			"authn.credential_missing"},
		{"open to anyone", request("GET /orders/v1/health"), false, "route limit limit upstream", "pass"},
		{"not from the office", request("GET /orders/v1/admin", withKey), false, "route ip!ip.not_allowed", "ip.not_allowed"},
		{"from the office, behind a proxy", request("GET /orders/v1/admin", withKey, func(x *gate.Exchange) {
			x.Peer = netip.MustParseAddrPort("10.0.0.1:1")
			x.Header.Add("X-Forwarded-For", "192.0.2.7")
		}), false, "route ip limit authn account subscription limit upstream", "pass"},
		{"a proxy that writes garbage", request("GET /orders/v1/orders", withKey, func(x *gate.Exchange) {
			x.Peer = netip.MustParseAddrPort("10.0.0.1:1")
			x.Header.Add("X-Forwarded-For", "garbage")
		}), false, "ip!ip.unclear", "ip.unclear"},
		{"shadowed", request("GET /orders/v1/try", withKey), false,
			"route limit authn account subscription authz~shadow:authz.permission_missing limit upstream", "pass"},
		{"no subscription", request("GET /orders/v1/orders", withKey, func(x *gate.Exchange) {
			clear(gatetest.DirectoryOf(x).Subscriptions)
		}), false, "route limit authn account subscription!subscription.missing", "subscription.missing"},
		{"a draft is invisible", request("GET /orders/v2/orders", withKey), true, "route!route.not_found", "route.not_found"},
		{"a retired version", request("GET /orders/v0/orders", withKey), true, "route!api.retired", "api.retired"},
		{"the wrong method", request("DELETE /orders/v1/orders", withKey), false, "route!route.method_not_allowed", "route.method_not_allowed"},
		{"a dot segment", request("GET /orders/v1/../v1/orders", withKey), false, "route!request.malformed", "request.malformed"},
		{"directory out", request("GET /orders/v1/orders", withKey, gatetest.Outage), false, "route limit!limit.unavailable", "limit.unavailable"},
		{"a chat", request("POST /v1/chat/completions", withKey, body(`{"model":"small"}`)), false,
			"route limit authn account guardrail upstream", "pass"},
		{"a model of another API", request("POST /v1/chat/completions", withKey, body(`{"model":"large"}`)), false,
			"route limit authn account guardrail!guardrail.model_not_allowed", "guardrail.model_not_allowed"},
		{"a chat simulated without a body", request("POST /v1/chat/completions", withKey, gatetest.Dry), true,
			"route limit authn account guardrail~unknown:guardrail.unreadable upstream~unknown:upstream.none_healthy", "guardrail.unreadable"},
		{"the models", request("GET /v1/models", withKey), false, "route limit authn account guardrail=answer", "answer"},
		{"a model", request("GET /v1/models/small", withKey), false, "route limit authn account guardrail=answer", "answer"},
		{"an unknown model", request("GET /v1/models/huge", withKey), false, "route limit authn account guardrail!guardrail.model_unknown", "guardrail.model_unknown"},
		{"a model without a name", request("GET /v1/models/", withKey), false, "route limit authn account guardrail!guardrail.model_unknown", "guardrail.model_unknown"},
		{"another API's model", request("GET /v1/models/large", withKey), false, "route limit authn account guardrail!guardrail.model_not_allowed", "guardrail.model_not_allowed"},
		{"a model without a key", request("GET /v1/models/small"), false, "route limit authn!authn.credential_missing", "authn.credential_missing"},
		{"the models without a key", request("GET /v1/models"), false, "route limit authn!authn.credential_missing", "authn.credential_missing"},
	} {
		mode := gate.StopAtFirst
		if c.exhaust {
			mode = gate.Exhaust
		}
		v := s.Judge(context.Background(), c.x, mode)
		got := v.Outcome().String()
		if r := v.Reason(); r != nil {
			got = r.Code
		}
		if trace(c.x) != c.want || got != c.verdict || c.x.Verdict.Outcome() != v.Outcome() {
			t.Errorf("%s:\n got %s (%s)\nwant %s (%s)", c.name, trace(c.x), got, c.want, c.verdict)
		}
		s.Settle(context.Background(), c.x)
	}
}

func TestWhatAnOperationCarries(t *testing.T) {
	s := compile(t, shop)
	x := request("POST /orders/v1/orders", withKey, withRole("order-writer"))
	if v := s.Judge(context.Background(), x, gate.StopAtFirst); !v.Passed() {
		t.Fatalf("refused: %s", v.Render(decision.ToOperator).Detail)
	}
	op := x.Op
	if op.Tenant != "acme" || op.API != "orders" || op.Version != "v1" || op.Name != "create-order" || op.Title != "create orders" ||
		op.Template != "/orders/v1/orders" || op.Pointer != "/apis/0/versions/0/operations/1" {
		t.Errorf("%+v", op)
	}
	if op.Deprecation != "@1767225600" || op.Sunset != "Thu, 31 Dec 2026 23:59:59 GMT" || op.Link != `</orders/v2>; rel="successor-version"` {
		t.Errorf("Deprecation %q, Sunset %q, Link %q", op.Deprecation, op.Sunset, op.Link)
	}
	if x.Principal.Plan != s.Plan("gold") || s.Plan("gold").Limits[0].ID != "plans/gold#daily" {
		t.Errorf("the plan is %+v", x.Principal.Plan)
	}
	var ids []string
	for _, r := range x.Readings {
		ids = append(ids, r.Limit.ID)
	}
	if got := strings.Join(ids, " "); got != "flood_guard#flood orders/v1#burst plans/gold#daily" {
		t.Errorf("limits asked: %s", got)
	}

	x = request("POST /orders/v1/orders", withKey)
	v := s.Judge(context.Background(), x, gate.StopAtFirst)
	if r := v.Rule(); r == nil || r.ID != "orders/v1/create-order#permission" || r.Pointer != "/apis/0/versions/0/operations/1/permission" {
		t.Errorf("the rule is %+v", r)
	}
	if said := v.Render(decision.ToProven); !strings.Contains(said.Detail, "may not create orders") || !strings.Contains(strings.Join(said.Remedies, " "), "order-writer") {
		t.Errorf("the caller is told %+v", said)
	}

	x = request("GET /orders/v0/orders")
	v = s.Judge(context.Background(), x, gate.StopAtFirst)
	if said := v.Render(decision.ToAnyone); said.Detail != "Version v0 of this API was retired on 30 June 2025." || x.Op.Link != `</orders/v1>; rel="successor-version"` {
		t.Errorf("told %q with Link %q", said.Detail, x.Op.Link)
	}
}

func TestModelsAreAnsweredByTheGateway(t *testing.T) {
	s := compile(t, shop)
	x := request("GET /v1/models", withKey)
	s.Judge(context.Background(), x, gate.StopAtFirst)
	var list struct{ Data []struct{ ID string } }
	if err := json.Unmarshal(x.Reply.Body, &list); err != nil || len(list.Data) != 1 || list.Data[0].ID != "small" {
		t.Errorf("%s (%v)", x.Reply.Body, err)
	}
	m := s.Model("small")
	p := m.PriceAt(gatetest.Now)
	if p == nil || p.Input.String() != "0.00000015" || p.CachedInput != p.Input || p.Output.String() != "0.0000006" || p.Reasoning != p.Output || p.Currency != "USD" {
		t.Errorf("the price is %+v", p)
	}
	if m.Path != "/v1" || m.UpstreamName != "small" || m.Upstream.Name() != "models" {
		t.Errorf("%+v", m)
	}
}

// TestModelNamesWithSlashes: OpenAI's libraries escape the name of a model, people do not.
func TestModelNamesWithSlashes(t *testing.T) {
	s := compile(t, strings.NewReplacer("  large: {", "  \"acme/large:free\": {", "models: [small]", "models: [acme/large:free]").Replace(shop))
	for _, path := range []string{"/v1/models/acme/large:free", "/v1/models/acme%2Flarge%3Afree", "/v1/models/acme%2flarge:free"} {
		x := request("GET "+path, withKey)
		if v := s.Judge(context.Background(), x, gate.StopAtFirst); v.Outcome() != decision.OutcomeAnswer {
			t.Errorf("%s: %v %+v", path, v.Outcome(), v.Reason())
			continue
		}
		if got := string(x.Reply.Body); got != `{"id":"acme/large:free","object":"model","created":0,"owned_by":"postern"}`+"\n" {
			t.Errorf("%s: %s", path, got)
		}
	}
}

func TestRateLimitIsReachedAndSettled(t *testing.T) {
	s := compile(t, shop)
	counters := counter.New(counter.Options{})
	ask := func() *gate.Exchange {
		x := request("GET /orders/v1/orders", withKey)
		x.Env.Counters = counters
		s.Judge(context.Background(), x, gate.StopAtFirst)
		x.Result.Origin = gate.FromUpstream
		s.Settle(context.Background(), x)
		s.Settle(context.Background(), x)
		return x
	}
	for i := range 5 {
		if x := ask(); !x.Verdict.Passed() {
			t.Fatalf("request %d: %s", i, trace(x))
		}
	}
	if x := ask(); x.Verdict.Reason() != decision.LimitRate || x.RetryAfter <= 0 {
		t.Errorf("the sixth request: %s, retry after %s", trace(x), x.RetryAfter)
	}
}

// An API that only reports its own limits is still behind the flood guard.
func TestFloodGuardCannotBeShadowed(t *testing.T) {
	s := compile(t, strings.NewReplacer("requests: 100, per: 1s", "requests: 2, per: 1m", "requests: 5, per: 1m", "requests: 1, per: 1m",
		"state: deprecated", "state: deprecated\n    shadow: [limit]").Replace(shop))
	counters := counter.New(counter.Options{})
	var got []string
	for range 3 {
		x := request("GET /orders/v1/health")
		x.Env.Counters = counters
		s.Judge(context.Background(), x, gate.StopAtFirst)
		x.Result.Origin = gate.FromUpstream
		s.Settle(context.Background(), x)
		got = append(got, trace(x))
	}
	want := []string{"route limit limit upstream", "route limit limit~shadow:limit.rate upstream", "route limit!limit.rate"}
	if strings.Join(got, "; ") != strings.Join(want, "; ") {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestUnpricedModels(t *testing.T) {
	for settings, want := range map[string]*decision.Reason{
		"llm: {dialect: openai}":                   decision.Unpriced,
		"llm: {dialect: openai, unpriced: refuse}": decision.Unpriced,
		"llm: {dialect: openai, unpriced: flag}":   nil,
	} {
		s := compile(t, strings.Replace(shop, "llm: {dialect: openai, models: [small]}", settings, 1))
		x := request("POST /v1/chat/completions", withKey, body(`{"model":"large"}`))
		if v := s.Judge(context.Background(), x, gate.StopAtFirst); v.Reason() != want || x.Op.BodyBytes != 16<<20 {
			t.Errorf("%s: %s, body limit %d", settings, trace(x), x.Op.BodyBytes)
		}
	}
}

// An operation can tighten the address lists of its version, not loosen them.
func TestAddressListsAddUp(t *testing.T) {
	s := compile(t, strings.Replace(shop, "state: deprecated", "state: deprecated\n    ip: {deny: [192.0.2.66]}", 1))
	for peer, want := range map[string]*decision.Reason{"192.0.2.1:1": nil, "192.0.2.66:1": decision.IPDenied, "203.0.113.1:1": decision.IPNotAllowed} {
		x := request("GET /orders/v1/admin", withKey)
		x.Peer = netip.MustParseAddrPort(peer)
		v := s.Judge(context.Background(), x, gate.StopAtFirst)
		if v.Reason() != want {
			t.Errorf("from %s: %s", peer, trace(x))
		}
		if want == decision.IPDenied && v.Rule().Pointer != "/apis/0/versions/0/ip" || want == decision.IPNotAllowed && v.Rule().Pointer != "/apis/0/versions/0/operations/4/ip" {
			t.Errorf("from %s: refused by %+v", peer, v.Rule())
		}
	}
}

func TestOperationSettings(t *testing.T) {
	d := base()
	v := &d.APIs[0].Versions[0]
	no := false
	v.Authn, v.StripBasePath, v.Subscription = &policy.Authn{None: true}, true, "none"
	v.Operations[1].Authn = &policy.Authn{APIKey: &policy.APIKey{Header: "X-Key", Bearer: &no}}
	v.Operations[1].BodyBytes = -1
	u := d.Upstreams["orders"]
	u.KeepCredential = true
	d.Upstreams["orders"] = u
	s, err := snapshot.Compile(d, 1, snapshot.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	open := request("GET /orders/v1/orders")
	s.Judge(context.Background(), open, gate.StopAtFirst)
	if trace(open) != "route upstream" || open.Op.StripPrefix != "/orders/v1" || !open.Op.KeepCredential {
		t.Errorf("%s, %+v", trace(open), open.Op)
	}
	for field, want := range map[string]string{
		"X-Key":         "route authn account upstream",
		"X-API-Key":     "route authn!authn.credential_misplaced",
		"Authorization": "route authn!authn.credential_misplaced",
	} {
		x := request("GET /orders/v1/orders/7")
		value := gatetest.KeyText
		if field == "Authorization" {
			value = "Bearer " + value
		}
		x.Header.Add(field, value)
		s.Judge(context.Background(), x, gate.StopAtFirst)
		if trace(x) != want || x.Op.BodyBytes != -1 {
			t.Errorf("key in %s: %s", field, trace(x))
		}
		if r := x.Trace.Steps()[1].Verdict.Rule(); r == nil || r.Pointer != "/apis/0/versions/0/operations/1/authn" {
			t.Errorf("key in %s: the rule is %+v", field, r)
		}
	}
}

func TestUncompiledSnapshotRefuses(t *testing.T) {
	if v := new(snapshot.Snapshot).Judge(context.Background(), request("GET /"), gate.StopAtFirst); v.Outcome() != decision.OutcomeRefuse {
		t.Errorf("it says %v", v.Outcome())
	}
}

func TestHolder(t *testing.T) {
	var h snapshot.Holder
	a, b := compile(t, shop), compile(t, shop)
	if h.Load() != nil || h.Swap(a) != nil || h.Load() != a || h.Swap(b) != a || h.Load() != b {
		t.Error("the holder mixes up its snapshots")
	}
}
