package snapshot_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/policy"
	"postern/internal/snapshot"
)

// base is a document that compiles; cases change it.
func base() *policy.Document {
	return &policy.Document{
		Format:    1,
		Upstreams: map[string]policy.Upstream{"orders": {Targets: []policy.Target{{URL: "http://127.0.0.1:9000"}}}},
		Models:    map[string]policy.Model{"small": {Upstream: "orders"}},
		APIs: []policy.API{
			{Name: "orders", Versions: []policy.Version{{
				Version: "v1", BasePath: "/orders/v1", Upstream: "orders",
				Operations: []policy.Operation{{Name: "list", Method: "GET", Path: "/orders"}, {Name: "get", Method: "GET", Path: "/orders/{id}"}},
			}}},
			{Name: "ai", Kind: "llm", Versions: []policy.Version{{Version: "v1", BasePath: "/v1", LLM: &policy.LLM{Dialect: "openai"}}}},
		},
	}
}

func TestBaseCompiles(t *testing.T) {
	if _, err := snapshot.Compile(base(), 1, snapshot.Deps{}); err != nil {
		t.Fatal(err)
	}
	if _, err := snapshot.Compile(new(policy.Document), 1, snapshot.Deps{}); err != nil {
		t.Errorf("the empty document: %v", err)
	}
}

// Each case makes one mistake, or the few that cannot be made one at a time.
func TestMistakes(t *testing.T) {
	type doc = policy.Document
	v1 := func(d *doc) *policy.Version { return &d.APIs[0].Versions[0] }
	op := func(d *doc) *policy.Operation { return &v1(d).Operations[0] }
	ai := func(d *doc) *policy.Version { return &d.APIs[1].Versions[0] }
	up := func(change func(*policy.Upstream)) func(*doc) {
		return func(d *doc) {
			u := d.Upstreams["orders"]
			change(&u)
			d.Upstreams["orders"] = u
		}
	}
	model := func(change func(*policy.Model)) func(*doc) {
		return func(d *doc) {
			m := d.Models["small"]
			change(&m)
			d.Models["small"] = m
		}
	}
	price := func(p policy.ModelPrice) func(*doc) {
		return model(func(m *policy.Model) { m.Prices = []policy.ModelPrice{p} })
	}
	rate := func(n int64) *policy.Rate { return &policy.Rate{Requests: n, Per: policy.Duration(time.Second)} }
	const o, v, l = "/apis/0/versions/0/operations/0", "/apis/0/versions/0", "/apis/1/versions/0"
	for _, c := range []struct {
		name    string
		change  func(*doc)
		pointer string
		want    string // in message and remedy
	}{
		{"format", func(d *doc) { d.Format = 2 }, "/postern", "postern: 1"},
		{"trusted proxies", func(d *doc) { d.TrustedProxies = []string{"10.0.0.0/8", "10.0.0.1/8"} }, "/trusted_proxies/1", "write 10.0.0.0/8"},
		{"forwarding field", func(d *doc) { d.ForwardedBy = "x-forwarded-fro" }, "/forwarded_by", "did you mean x-forwarded-for?"},
		{"portal", func(d *doc) { d.PortalURL = "portal.example" }, "/portal_url", "https://"},
		{"role cycle", func(d *doc) {
			d.Roles = map[string]policy.Role{"a": {Inherits: []string{"b"}}, "b": {Inherits: []string{"a"}}}
		}, "/roles/b/inherits/0", "circle"},
		{"role inherits nobody", func(d *doc) { d.Roles = map[string]policy.Role{"a": {Inherits: []string{"x"}}} }, "/roles/a/inherits/0", "does not exist"},
		{"plan limit", func(d *doc) { d.Plans = map[string]policy.Plan{"a/b": {Limits: []policy.Limit{{Name: "x"}}}} }, "/plans/a~1b/limits/0", "neither a rate nor a quota"},
		{"flood guard by application", func(d *doc) { d.FloodGuard = []policy.Limit{{Name: "x", By: "key", Rate: rate(1)}} }, "/flood_guard/0/by", "before it is known who calls"},

		{"listener address", func(d *doc) { d.Listeners = []policy.Listener{{Name: "a", Address: "8080"}} }, "/listeners/0/address", "host:port"},
		{"listener port", func(d *doc) { d.Listeners = []policy.Listener{{Name: "a", Address: ":99999"}} }, "/listeners/0/address", "host:port"},
		{"listener twice", func(d *doc) {
			d.Listeners = []policy.Listener{{Name: "a", Address: ":1"}, {Name: "b", Address: ":1"}}
		}, "/listeners/1/address", "listener 0"},
		{"engine", func(d *doc) { d.Listeners = []policy.Listener{{Name: "a", Address: ":1", Engine: "fasst"}} }, "/listeners/0/engine", "did you mean fast?"},
		{"TLS from nowhere", func(d *doc) {
			d.Listeners = []policy.Listener{{Name: "a", Address: ":1", TLS: &policy.ListenerTLS{}}}
		}, "/listeners/0/tls", "certificate"},
		{"h2c with TLS", func(d *doc) {
			d.Listeners = []policy.Listener{{Name: "a", Address: ":1", H2C: true, TLS: &policy.ListenerTLS{ACME: &policy.ACME{Domains: []string{"a"}}}}}
		}, "/listeners/0/h2c", "ALPN"},
		{"body limit", func(d *doc) {
			d.Listeners = []policy.Listener{{Name: "a", Address: ":1", Limits: policy.MessageLimits{BodyBytes: -2}}}
		}, "/listeners/0/limits/body_bytes", "-1"},
		{"negative timeout", func(d *doc) {
			d.Listeners = []policy.Listener{{Name: "a", Address: ":1", Timeouts: policy.ClientTimeouts{Idle: -1}}}
		}, "/listeners/0/timeouts/idle", "negative"},

		{"no target", up(func(u *policy.Upstream) { u.Targets = nil }), "/upstreams/orders/targets", "http://"},
		{"target without scheme", up(func(u *policy.Upstream) { u.Targets[0].URL = "127.0.0.1:9000" }), "/upstreams/orders/targets/0/url", "http://"},
		{"target with a password", up(func(u *policy.Upstream) { u.Targets[0].URL = "http://u:p@a" }), "/upstreams/orders/targets/0/url", "credential"},
		{"target with a query", up(func(u *policy.Upstream) { u.Targets[0].URL = "http://a/?x" }), "/upstreams/orders/targets/0/url", "query"},
		{"h2c over https", up(func(u *policy.Upstream) { u.Targets[0].URL, u.Protocol = "https://a", "h2c" }), "/upstreams/orders/targets/0/url", "protocol: h2"},
		{"protocol", up(func(u *policy.Upstream) { u.Protocol = "http2" }), "/upstreams/orders/protocol", "http1"},
		{"balance", up(func(u *policy.Upstream) { u.Balance = "round-robin" }), "/upstreams/orders/balance", "did you mean round_robin?"},
		{"hash without balance", up(func(u *policy.Upstream) { u.HashOn = "path" }), "/upstreams/orders/hash_on", "consistent_hash"},
		{"hash on nothing", up(func(u *policy.Upstream) { u.HashOn, u.Balance = "adress", "consistent_hash" }), "/upstreams/orders/hash_on", "did you mean address?"},
		{"half a client certificate", up(func(u *policy.Upstream) { u.TLS = &policy.UpstreamTLS{CertFile: "x"} }), "/upstreams/orders/tls", "both"},
		{"health path", up(func(u *policy.Upstream) { u.Health = &policy.HealthCheck{Path: "healthz"} }), "/upstreams/orders/health/path", "/healthz"},
		{"failure rate", up(func(u *policy.Upstream) { u.Circuit = &policy.CircuitBreaker{FailureRate: 50} }), "/upstreams/orders/circuit/failure_rate", "0 to 1"},
		{"retry status", up(func(u *policy.Upstream) { u.Retry = &policy.Retry{Status: []int{503, 99}} }), "/upstreams/orders/retry/status/1", "100 to 599"},
		{"credential field", up(func(u *policy.Upstream) { u.Credential = &policy.UpstreamCredential{Header: "X Y", Value: "x"} }), "/upstreams/orders/credential/header", "X-API-Key"},
		{"credential reference", up(func(u *policy.Upstream) {
			u.Credential = &policy.UpstreamCredential{Header: "X-Y", Value: "${evn:X}"}
		}), "/upstreams/orders/credential/value", "${env:NAME}"},

		{"model without upstream", model(func(m *policy.Model) { m.Upstream = "" }), "/models/small/upstream", "leads to no upstream"},
		{"model's upstream", model(func(m *policy.Model) { m.Upstream = "odrers" }), "/models/small/upstream", "did you mean orders?"},
		{"model path", model(func(m *policy.Model) { m.Path = "v1" }), "/models/small/path", "start the path with /"},
		{"price missing", price(policy.ModelPrice{Version: "1", Output: "1"}), "/models/small/prices/0/input", "missing"},
		{"price in words", price(policy.ModelPrice{Version: "1", Input: "cheap", Output: "1"}), "/models/small/prices/0/input", "no amount"},
		{"price too fine", price(policy.ModelPrice{Version: "1", Input: "0.0000001", Output: "1"}), "/models/small/prices/0/input", "exactly"},
		{"price negative", price(policy.ModelPrice{Version: "1", Input: "1", Output: "-1"}), "/models/small/prices/0/output", "negative"},
		{"price without version", price(policy.ModelPrice{Input: "1", Output: "1"}), "/models/small/prices/0/version", "2026-01"},
		{"currency", price(policy.ModelPrice{Version: "1", Input: "1", Output: "1", Currency: "Euro"}), "/models/small/prices/0/currency", "EUR"},
		{"price from", price(policy.ModelPrice{Version: "1", Input: "1", Output: "1", From: "yesterday"}), "/models/small/prices/0/from", "RFC 3339"},
		{"two prices at once", model(func(m *policy.Model) {
			m.Prices = []policy.ModelPrice{{Version: "1", Input: "1", Output: "1"}, {Version: "2", Input: "1", Output: "1"}}
		}), "/models/small/prices/1/from", "begins when"},

		{"API name", func(d *doc) { d.APIs[0].Name = "Orders!" }, "/apis/0/name", "lower-case"},
		{"API twice", func(d *doc) { d.APIs[1].Name = "orders" }, "/apis/1/name", "/apis/0"},
		{"API kind", func(d *doc) { d.APIs[0].Kind = "htttp" }, "/apis/0/kind", "did you mean http?"},
		{"API without versions", func(d *doc) { d.APIs[0].Versions = nil }, "/apis/0/versions", "no version"},
		{"version name", func(d *doc) { v1(d).Version = "v/1" }, v + "/version", "such as v1"},
		{"version twice", func(d *doc) {
			d.APIs[0].Versions = append(d.APIs[0].Versions, policy.Version{Version: "v1", State: "draft"})
		}, "/apis/0/versions/1/version", "item 0"},
		{"state", func(d *doc) { v1(d).State = "publishd" }, v + "/state", "did you mean published?"},
		{"since", func(d *doc) { v1(d).Since = "2026-01-01" }, v + "/since", "RFC 3339"},
		{"sunset before since", func(d *doc) {
			v1(d).Since, v1(d).Sunset = "2026-01-01T00:00:00Z", "2025-01-01T00:00:00Z"
		}, v + "/sunset", "after since"},
		{"successor", func(d *doc) { v1(d).Successor = "v2" }, v + "/successor", "no other version"},
		{"its own successor", func(d *doc) { v1(d).Successor = "v1" }, v + "/successor", "no other version"},
		{"host", func(d *doc) { v1(d).Hosts = []string{"api.example:80"} }, v + "/hosts/0", "without a port"},
		{"host twice", func(d *doc) { v1(d).Hosts = []string{"a.example", "A.example."} }, v + "/hosts/1", "twice"},
		{"base path", func(d *doc) { v1(d).BasePath = "/a/../b" }, v + "/base_path", "dot segment"},
		{"base path with a slash at its end", func(d *doc) { v1(d).BasePath = "/orders/" }, v + "/base_path", "write /orders"},
		{"base path with a parameter", func(d *doc) { v1(d).BasePath = "/{tenant}" }, v + "/base_path", "'{'"},
		{"selecting field", func(d *doc) { v1(d).ByHeader = &policy.HeaderMatch{Name: "Host", Value: "x"} }, v + "/by_header/name", "another field"},
		{"selecting value", func(d *doc) { v1(d).ByHeader = &policy.HeaderMatch{Name: "X-V"} }, v + "/by_header/value", "no value"},
		{"encoded slashes", func(d *doc) { v1(d).EncodedSlashes = "allow" }, v + "/encoded_slashes", "refuse or keep"},
		{"none and a key", func(d *doc) { v1(d).Authn = &policy.Authn{None: true, APIKey: &policy.APIKey{}} }, v + "/authn", "remove none or api_key"},
		{"key field", func(d *doc) { v1(d).Authn = &policy.Authn{APIKey: &policy.APIKey{Header: "Transfer-Encoding"}} }, v + "/authn/api_key/header", "another field"},
		{"subscription of nobody", func(d *doc) { v1(d).Authn, v1(d).Subscription = &policy.Authn{None: true}, "required" }, v + "/subscription", "subscription: none"},
		{"subscription", func(d *doc) { v1(d).Subscription = "no" }, v + "/subscription", "required or none"},
		{"deny list", func(d *doc) { v1(d).IP = &policy.IPRules{Deny: []string{"::/0", "localhost"}} }, v + "/ip/deny/1", "192.0.2.7"},
		{"limit with both", func(d *doc) {
			v1(d).Limits = []policy.Limit{{Name: "a", Rate: rate(1), Quota: &policy.Quota{Requests: 1, Per: "day"}}}
		}, v + "/limits/0", "both"},
		{"limit twice", func(d *doc) { v1(d).Limits = []policy.Limit{{Name: "a", Rate: rate(1)}, {Name: "a", Rate: rate(2)}} }, v + "/limits/1/name", "item 0"},
		{"shadow of nothing", func(d *doc) { v1(d).Shadow = []string{"auhtz"} }, v + "/shadow/0", "did you mean authz?"},
		{"shadow of routing", func(d *doc) { op(d).Shadow = []string{"route"} }, o + "/shadow/0", "cannot be set to report only"},
		{"models on http", func(d *doc) { v1(d).LLM = &policy.LLM{} }, v + "/llm", "kind: llm"},
		{"no operations", func(d *doc) { v1(d).Operations = nil }, v + "/operations", "no operation"},
		{"upstream", func(d *doc) { v1(d).Upstream = "order" }, v + "/upstream", "did you mean orders?"},
		{"no upstream", func(d *doc) {
			v1(d).Upstream = ""
			v1(d).Operations = v1(d).Operations[:1]
		}, o + "/upstream", "leads to no upstream"},

		{"operation name", func(d *doc) { op(d).Name = "list orders" }, o + "/name", "create-order"},
		{"operation twice", func(d *doc) { v1(d).Operations[1].Name = "list" }, v + "/operations/1/name", "item 0"},
		{"method in lower case", func(d *doc) { op(d).Method = "get" }, o + "/method", "write GET"},
		{"method mistyped", func(d *doc) { op(d).Method = "GTE" }, o + "/method", "did you mean GET?"},
		{"no method", func(d *doc) { op(d).Method = "" }, o + "/method", "missing"},
		{"tunnel", func(d *doc) { op(d).Method = "CONNECT" }, o + "/method", "tunnel"},
		{"template", func(d *doc) { op(d).Path = "/orders/{id}.json" }, o + "/path", "mixes"},
		{"path without slash", func(d *doc) { op(d).Path = "orders" }, o + "/path", "start it with /"},
		{"same route", func(d *doc) { v1(d).Operations[1].Path = "/orders" }, v + "/operations/1", o},
		{"same route in another API", func(d *doc) {
			d.APIs[1] = d.APIs[0]
			d.APIs[1].Name = "copy"
			d.APIs[1].Versions = slices.Clone(d.APIs[0].Versions)
			d.APIs[1].Versions[0].Operations = d.APIs[0].Versions[0].Operations[:1]
		}, "/apis/1/versions/0/operations/0", o},
		{"two selecting fields", func(d *doc) {
			w := *v1(d)
			w.Version, w.Operations = "v2", w.Operations[:1]
			v1(d).ByHeader, w.ByHeader = &policy.HeaderMatch{Name: "A", Value: "1"}, &policy.HeaderMatch{Name: "B", Value: "1"}
			d.APIs[0].Versions = append(d.APIs[0].Versions, w)
		}, "/apis/0/versions/1/operations/0", "same field name"},
		{"permission", func(d *doc) { op(d).Permission = "orders:*" }, o + "/permission", "star"},
		{"scope", func(d *doc) { op(d).Scopes = []string{"a", "b c"} }, o + "/scopes/1", "RFC 6749"},
		{"permission of nobody", func(d *doc) { op(d).Permission, op(d).Authn = "orders:read", &policy.Authn{None: true} }, o, "open to anyone"},
		{"body bytes", func(d *doc) { op(d).BodyBytes = -5 }, o + "/body_bytes", "-1"},
		{"allow list of an operation", func(d *doc) { op(d).IP = &policy.IPRules{Allow: []string{"x"}} }, o + "/ip/allow/0", "no address"},
		{"operation's upstream", func(d *doc) { op(d).Upstream = "nowhere" }, o + "/upstream", "add it under /upstreams"},

		{"llm with operations", func(d *doc) { ai(d).Operations = v1(d).Operations }, l + "/operations", "dialect"},
		{"llm with an upstream", func(d *doc) { ai(d).Upstream = "orders" }, l + "/upstream", "each model"},
		{"llm without its settings", func(d *doc) { ai(d).LLM = nil }, l + "/llm", "dialect: openai"},
		{"dialect", func(d *doc) { ai(d).LLM.Dialect = "opnai" }, l + "/llm/dialect", "did you mean openai?"},
		{"unpriced", func(d *doc) { ai(d).LLM.Unpriced = "ignore" }, l + "/llm/unpriced", "refuse or flag"},
		{"model", func(d *doc) { ai(d).LLM.Models = []string{"small", "smal"} }, l + "/llm/models/1", "did you mean small?"},
		{"model twice", func(d *doc) { ai(d).LLM.Models = []string{"small", "small"} }, l + "/llm/models/1", "twice"},
		{"no models at all", func(d *doc) { d.Models = nil }, l + "/llm/models", "no model"},
		{"llm permission", func(d *doc) { ai(d).LLM.Permission = ":x" }, l + "/llm/permission", "empty word"},
	} {
		d := base()
		c.change(d)
		s, err := snapshot.Compile(d, 1, snapshot.Deps{})
		problems, _ := errors.AsType[policy.Problems](err)
		if s != nil || len(problems) == 0 {
			t.Errorf("%s: compiles (%v)", c.name, err)
			continue
		}
		i := slices.IndexFunc(problems, func(p policy.Problem) bool { return p.Pointer == c.pointer })
		if i < 0 || !strings.Contains(problems[i].Message+"; "+problems[i].Remedy, c.want) {
			t.Errorf("%s: no problem at %s with %q in\n%v", c.name, c.pointer, c.want, err)
		}
		for _, p := range problems {
			if p.Message == "" || p.Remedy == "" {
				t.Errorf("%s: a problem without message or remedy: %+v", c.name, p)
			}
			if p.Pointer != c.pointer {
				t.Errorf("%s: also %v", c.name, p)
			}
		}
	}
}

func TestAllMistakesAtOnceWithLines(t *testing.T) {
	doc, err := policy.Parse("shop.yaml", []byte(`postern: 1
trusted_proxies: [nowhere]
apis:
- name: orders
  versions:
  - version: v1
    upstream: missing
    operations:
    - name: list
      method: get
      path: orders
`))
	if err != nil {
		t.Fatal(err)
	}
	_, err = snapshot.Compile(doc, 1, snapshot.Deps{})
	var lines []string
	for line := range strings.Lines(err.Error()) {
		lines = append(lines, strings.Join(strings.SplitN(line, ":", 5)[:2], ":")+" "+strings.TrimSpace(strings.SplitN(line, ":", 5)[3]))
	}
	want := []string{"shop.yaml:2 /trusted_proxies/0", "shop.yaml:7 /apis/0/versions/0/upstream",
		"shop.yaml:10 /apis/0/versions/0/operations/0/method", "shop.yaml:11 /apis/0/versions/0/operations/0/path"}
	if !slices.Equal(lines, want) {
		t.Errorf("got %q\nwant %q\n%v", lines, want, err)
	}
}

type pool string

func (p pool) Name() string                       { return string(p) }
func (p pool) State(time.Time) gate.UpstreamState { return gate.UpstreamState{} }

func TestUpstreamsAreConnected(t *testing.T) {
	s, err := snapshot.Compile(base(), 1, snapshot.Deps{Upstream: func(name string) (gate.Upstream, bool) { return pool(name), true }})
	if err != nil {
		t.Fatal(err)
	}
	if u := s.Operations()[0].Operation.Upstream; u != pool("orders") {
		t.Errorf("the operation leads to %v", u)
	}
	if u := s.Model("small").Upstream; u != pool("orders") {
		t.Errorf("the model leads to %v", u)
	}
	_, err = snapshot.Compile(base(), 1, snapshot.Deps{Upstream: func(string) (gate.Upstream, bool) { return nil, false }})
	if err == nil || !strings.Contains(err.Error(), "/upstreams/orders") {
		t.Errorf("without a pool: %v", err)
	}
}

func TestOrderIsTheHouseOrder(t *testing.T) {
	got := strings.Join(snapshot.Order(), " ")
	if got != "route ip limit origin authn account subscription authz limit waf guardrail upstream" {
		t.Errorf("the order is %s", got)
	}
	if len(snapshot.Order())+1 > decision.MaxSteps {
		t.Error("the order is longer than a trace")
	}
	for i, why := range snapshot.Why() {
		if why == "" {
			t.Errorf("nobody says why %s stands there", snapshot.Order()[i])
		}
	}
}

func TestOperationsAreListed(t *testing.T) {
	s := compile(t, shop)
	var got []string
	for _, o := range s.Operations() {
		got = append(got, fmt.Sprintf("%s/%s/%s %s %s %s open=%v", o.API, o.Version, o.Name, o.Method, o.Template, o.State, o.Open))
	}
	for _, want := range []string{
		"orders/v1/create-order POST /orders/v1/orders deprecated open=false",
		"orders/v1/health GET /orders/v1/health deprecated open=true",
		"orders/v2/list-orders GET /orders/v2/orders draft open=false",
		"orders/v0/list-orders GET /orders/v0/orders retired open=false",
		"ai/v1/chat POST /v1/chat/completions published open=false",
		"ai/v1/models GET /v1/models published open=false",
		"ai/v1/model GET /v1/models/{id...} published open=false",
	} {
		if !slices.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, strings.Join(got, "\n"))
		}
	}
	if g := strings.Join(s.Operations()[1].Gates, " "); g != "limit authn account subscription authz limit upstream" {
		t.Errorf("gates of create-order: %s", g)
	}
}

func BenchmarkCompile10000(b *testing.B) {
	d := base()
	for i := range 5000 {
		v := d.APIs[0].Versions[0]
		v.BasePath = fmt.Sprintf("/service-%d", i)
		v.Limits = []policy.Limit{{Name: "burst", Rate: &policy.Rate{Requests: 5, Per: policy.Duration(time.Second)}}}
		d.APIs = append(d.APIs, policy.API{Name: fmt.Sprintf("service-%d", i), Versions: []policy.Version{v}})
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := snapshot.Compile(d, 1, snapshot.Deps{}); err != nil {
			b.Fatal(err)
		}
	}
}
