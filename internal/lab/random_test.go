package lab_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/internal/counter"
	"postern/internal/directory"
	"postern/internal/gate"
	"postern/internal/gatetest"
	"postern/internal/header"
	"postern/internal/lab"
	"postern/internal/policy"
	"postern/internal/snapshot"
)

// chooser makes the choices of a random case: a number from 0 to n-1.
type chooser func(n int, what string) int

func (c chooser) one(in int, what string) bool { return c(in, what) == 0 }

func pick[T any](c chooser, what string, from ...T) T { return from[c(len(from), what)] }

// life is a whole small installation: what Simulate is asked about, and what changes are made to for real.
type life struct {
	doc       *policy.Document
	people    *gatetest.Directory
	upstreams map[string]gate.UpstreamState
	req       lab.Request
	earlier   int // requests of a good caller that came before
	now       time.Time
}

var (
	keyText   = gatetest.MakeKey(11)
	otherText = gatetest.MakeKey(12)
	spareText = gatetest.MakeKey(13)
)

// randomLife makes configuration, directory and request. Most of it is in order, so that a case has few faults, not ten.
func randomLife(t testing.TB, c chooser) *life {
	t.Helper()
	l := &life{now: gatetest.Now, people: &gatetest.Directory{
		Keys: map[[32]byte]directory.Key{}, Applications: map[string]directory.Application{},
		Tenants: map[string]directory.Tenant{}, Subscriptions: map[[3]string]directory.Subscription{},
	}}
	l.randomDocument(c)
	l.randomPeople(c)
	l.randomRequest(c)
	text, err := policy.Marshal(l.doc)
	if err != nil {
		t.Fatal(err)
	}
	if l.doc, err = policy.Parse("random.yaml", text); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return l
}

func (l *life) randomDocument(c chooser) {
	l.upstreams = map[string]gate.UpstreamState{"orders": {Targets: 1, Healthy: 1}, "models": {Targets: 1, Healthy: 1}}
	if c.one(12, "upstream") {
		l.upstreams[pick(c, "which", "orders", "models")] = pick(c, "state", gate.UpstreamState{Targets: 2},
			gate.UpstreamState{Targets: 1, Healthy: 1, CircuitOpen: true, Until: l.now.Add(4 * time.Second)},
			gate.UpstreamState{Targets: 1, Healthy: 1, CredentialError: "TOKEN is not set"})
	}
	d := &policy.Document{Format: 1, Roles: map[string]policy.Role{
		"order-reader": {Permissions: []string{"orders:read"}},
		"model-user":   {Permissions: []string{"models:use"}},
	}, Upstreams: map[string]policy.Upstream{
		"orders": {Targets: []policy.Target{{URL: "http://127.0.0.1:9001"}}}, "models": {Targets: []policy.Target{{URL: "http://127.0.0.1:9002"}}},
	}}
	if !c.one(8, "writer") {
		d.Roles["order-writer"] = policy.Role{Permissions: []string{"orders:create"}, Inherits: []string{"order-reader"}}
	}
	if c.one(2, "admin") {
		d.Roles["admin"] = policy.Role{Permissions: []string{"*"}}
	}
	d.Plans = map[string]policy.Plan{"gold": {}, "tight": {Limits: []policy.Limit{{Name: "few", Rate: &policy.Rate{Requests: 1, Per: policy.Duration(time.Hour)}}}},
		"small": {Limits: []policy.Limit{{Name: "daily", Quota: &policy.Quota{Requests: 1, Per: "day"}}}}}
	if c.one(10, "guard") {
		d.FloodGuard = []policy.Limit{{Name: "flood", By: "address", Rate: &policy.Rate{Requests: 2, Per: policy.Duration(time.Minute)}}}
	}
	v1 := policy.Version{Version: "v1", BasePath: "/orders/v1", Upstream: "orders", Operations: []policy.Operation{
		{Name: "list", Method: "GET", Path: "/orders", Permission: "orders:read"},
		{Name: "read", Method: "GET", Path: "/orders/{id}", Permission: "orders:read"},
		{Name: "create", Title: "create orders", Method: "POST", Path: "/orders", Permission: "orders:create"},
		{Name: "open", Method: "GET", Path: "/open", Authn: &policy.Authn{None: true}},
	}}
	create := &v1.Operations[2]
	if c.one(3, "scopes") {
		create.Scopes = pick(c, "list", []string{"orders.write"}, []string{"orders.write", "orders.all"})
	}
	if c.one(6, "body") {
		create.BodyBytes = 8
	}
	if c.one(5, "ip") {
		v1.IP = pick(c, "rules", &policy.IPRules{Deny: []string{"203.0.113.0/24"}}, &policy.IPRules{Allow: []string{"10.0.0.0/8"}},
			&policy.IPRules{Allow: []string{"203.0.113.0/24", "2001:db8::/32"}, Deny: []string{"203.0.113.9", "203.0.113.8/30"}})
	}
	if c.one(6, "limit") {
		v1.Limits = []policy.Limit{{Name: "burst", By: pick(c, "by", "application", "key", "everyone", "address"), Rate: &policy.Rate{Requests: 1, Per: policy.Duration(time.Minute)}}}
	}
	if c.one(6, "header") {
		v1.Authn = &policy.Authn{APIKey: &policy.APIKey{Header: pick(c, "name", "X-Shop-Key", "Authorization")}}
	}
	v1.State = pick(c, "state", "", "", "", "", "", "", "draft", "retired", "deprecated")
	if c.one(10, "subscription") {
		v1.Subscription = "none"
	}
	versions := []policy.Version{v1}
	if c.one(3, "v2") {
		versions[0].Successor = "v2"
		versions = append(versions, policy.Version{Version: "v2", BasePath: "/orders/v2", Upstream: "orders", Operations: []policy.Operation{
			{Name: "list", Method: "GET", Path: "/orders", Permission: "orders:read"}, {Name: "create", Method: "POST", Path: "/orders", Permission: "orders:create"}}})
	}
	d.Models = map[string]policy.Model{
		"fast": {Upstream: "models", Prices: []policy.ModelPrice{{Version: "1", Input: "1", Output: "2"}}},
		"free": {Upstream: "models"},
		"big":  {Upstream: "models", Prices: []policy.ModelPrice{{Version: "1", From: "2030-01-01T00:00:00Z", Input: "1", Output: "2"}}},
	}
	llm := &policy.LLM{Dialect: "openai", Permission: "models:use", Models: pick(c, "models", nil, []string{"fast"}, []string{"free", "fast"})}
	llm.Unpriced = pick(c, "unpriced", "", "", "flag")
	d.APIs = []policy.API{{Name: "orders", Versions: versions}, {Name: "llm", Kind: "llm", Versions: []policy.Version{{Version: "v1", BasePath: "/v1", LLM: llm}}}}
	l.doc = d
}

func (l *life) randomPeople(c chooser) {
	p, now := l.people, l.now
	for _, t := range []string{"acme", "umbra"} {
		p.Tenants[t] = directory.Tenant{ID: t, Standing: directory.Active}
	}
	if c.one(12, "tenant") {
		p.Tenants["acme"] = directory.Tenant{ID: "acme", Standing: directory.Suspended}
	}
	app := directory.Application{ID: "shop", Tenant: "acme", Standing: directory.Active,
		Roles: pick(c, "roles", []string{"order-writer", "model-user"}, []string{"order-reader", "model-user"}, []string{"order-reader"}, nil, []string{"gone"})}
	if c.one(12, "application") {
		app.Standing = directory.Suspended
	}
	p.Applications["shop"] = app
	for i := range 3 {
		id := fmt.Sprintf("other-%d", i)
		p.Applications[id] = directory.Application{ID: id, Tenant: "umbra", Standing: directory.Active, Roles: []string{"order-reader"}}
	}
	key := directory.Key{ID: "k_shop", Application: "shop", Scopes: pick(c, "key scopes", nil, nil, []string{"orders.write"}, []string{"orders.read"})}
	switch c(12, "key") {
	case 0:
		key.Expires = now.Add(-time.Hour)
	case 1:
		key.Revoked = now.Add(-time.Hour)
	case 2:
		key.Revoked, key.ReplacedBy = now.Add(-time.Hour), "k_spare"
	}
	p.AddKey(keyText, key)
	p.AddKey(spareText, directory.Key{ID: "k_spare", Application: "shop"})
	for _, api := range []string{"orders", "llm"} {
		s := directory.Subscription{ID: "s_" + api, Application: "shop", API: api, Version: pick(c, "version", "v1", "v1", "*"), State: directory.Approved,
			Plan: pick(c, "plan", "", "gold", "tight", "small", "unknown")}
		switch c(10, "subscription") {
		case 0:
			continue
		case 1:
			s.State = pick(c, "state", directory.Pending, directory.Rejected, directory.SubscriptionSuspended, directory.Revoked)
		case 2:
			s.Expires = now.Add(-time.Minute)
		}
		p.Subscriptions[[3]string{"shop", api, s.Version}] = s
	}
}

func (l *life) randomRequest(c chooser) {
	r := lab.Request{Method: "POST", URL: "http://api.example.com/orders/v1/orders", Body: []byte(`{"item":"tea"}`), Client: netip.MustParseAddr(pick(c, "client", "203.0.113.9", "203.0.113.77", "10.1.2.3", "2001:db8::7"))}
	r.Header = header.List{{Name: "Content-Type", Value: "application/json"}}
	switch c(8, "request") {
	case 0:
		r.Method, r.Body = "GET", nil
	case 1:
		r.Method, r.Body, r.URL = "GET", nil, "http://api.example.com/orders/v1/orders/17"
	case 2:
		r.Method, r.Body, r.URL = "GET", nil, "http://api.example.com/orders/v1/open"
	case 3, 4:
		r.URL = "http://api.example.com/v1/chat/completions"
		r.Body = []byte(`{"model":"` + pick(c, "model", "fast", "free", "big", "nothing") + `","messages":[]}`)
	}
	switch c(24, "mistake") {
	case 0:
		r.Method = "DELETE"
	case 1:
		r.URL = strings.Replace(r.URL, "orders/v1/orders", "orders/v1/ordres", 1)
	case 2:
		r.URL += "/"
	case 3:
		r.URL = strings.Replace(r.URL, "/orders/", "/x/../orders/", 1)
	case 4:
		r.Header = append(r.Header, header.Field{Name: "Expect", Value: "200-ok"})
	case 5:
		r.Header = append(r.Header, header.Field{Name: "Cookie", Value: strings.Repeat("c", 40<<10)})
	case 6:
		r.Body = []byte(`{"model": 7}`)
	case 7:
		r.Header = append(r.Header, header.Field{Name: "X-Forwarded-For", Value: "10.9.9.9"})
	}
	field := "X-API-Key"
	if a := l.doc.APIs[0].Versions[0].Authn; a != nil && strings.Contains(r.URL, "/orders/v1") {
		field = a.APIKey.Header
	}
	value := func(text string) string {
		if field == "Authorization" {
			return "Bearer " + text
		}
		return text
	}
	switch c(14, "credential") {
	case 0:
	case 1:
		r.Header = append(r.Header, header.Field{Name: field, Value: value(otherText)})
	case 2:
		r.URL += "?api_key=" + keyText
	case 3:
		r.Header = append(r.Header, header.Field{Name: "X-Other", Value: keyText})
	case 4:
		r.Header = append(r.Header, header.Field{Name: "Authorization", Value: "Bearer " + otherText}, header.Field{Name: field, Value: value(keyText)})
	default:
		r.Header = append(r.Header, header.Field{Name: field, Value: value(keyText)})
	}
	l.req = r
	l.earlier = pick(c, "earlier", 0, 0, 1, 3)
}

// clone returns a life of its own.
func (l *life) clone() *life {
	n := *l
	d := *l.people
	d.Keys, d.Applications, d.Tenants, d.Subscriptions = cloned(d.Keys), cloned(d.Applications), cloned(d.Tenants), cloned(d.Subscriptions)
	n.people = &d
	n.upstreams = cloned(l.upstreams)
	n.req.Header = slices.Clone(l.req.Header)
	text, err := policy.Marshal(l.doc)
	if err == nil {
		n.doc, err = policy.Parse("clone.yaml", text)
	}
	if err != nil {
		panic(err)
	}
	return &n
}

func cloned[K comparable, V any](m map[K]V) map[K]V {
	out := make(map[K]V, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}

func (l *life) compile(t testing.TB) *snapshot.Snapshot {
	t.Helper()
	snap, err := snapshot.Compile(l.doc, 1, snapshot.Deps{Upstream: func(name string) (gate.Upstream, bool) {
		_, known := l.doc.Upstreams[name]
		return pool{name, l.upstreams[name]}, known
	}})
	if err != nil {
		text, _ := policy.Marshal(l.doc)
		t.Fatalf("%v\n%s", err, text)
	}
	return snap
}

// counters returns counters in which the earlier requests of this life were counted, under its configuration.
func (l *life) counters(t testing.TB) *counter.Counters {
	t.Helper()
	counters, snap := counter.New(counter.Options{}), l.compile(t)
	for range l.earlier {
		x, err := lab.Exchange(l.req)
		if err != nil {
			t.Fatal(err)
		}
		x.Env = &gate.Env{Now: func() time.Time { return l.now }, Directory: l.people, Counters: counters}
		snap.Judge(t.Context(), x, gate.StopAtFirst)
	}
	return counters
}

// pool is an upstream whose circuit lets trials through once its time has come, as those of forward do.
type pool struct {
	name string
	is   gate.UpstreamState
}

// Name implements gate.Upstream.
func (p pool) Name() string { return p.name }

// State implements gate.Upstream.
func (p pool) State(now time.Time) gate.UpstreamState {
	if p.is.CircuitOpen && !p.is.Until.After(now) {
		return gate.UpstreamState{Targets: p.is.Targets, Healthy: p.is.Healthy}
	}
	return p.is
}
