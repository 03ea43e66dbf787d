package authz_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/gate/authz"
	"postern/internal/gatetest"
	"postern/internal/pdp"
	"postern/internal/policy"
)

// world is a document with one operation, as snapshot would compile it.
type world struct {
	permission string
	cedar      string
	shadow     string
	body       map[string]policy.BodyField
	params     []string
	rules      authz.Rules
}

func (w world) gate(t testing.TB) gate.Gate {
	t.Helper()
	s := authz.Subject{Tenant: "acme", API: "orders", Version: "v1", Name: "create-order", Permission: w.permission,
		Method: "POST", Template: "/orders/v1/orders", Params: w.params, Body: w.body}
	model, err := authz.NewModel(map[string]policy.Role{"order-reader": {}, "order-writer": {Inherits: []string{"order-reader"}}, "support": {}},
		[]string{"department"}, []authz.Subject{s})
	if err != nil {
		t.Fatal(err)
	}
	var texts []pdp.Text
	for name, text := range map[string]string{"rules": w.cedar, "trial": w.shadow} {
		if text != "" {
			texts = append(texts, pdp.Text{Name: name, Cedar: text, Pointer: "/policies/0/cedar", Shadow: name == "trial"})
		}
	}
	set, err := pdp.Parse(texts...)
	if err != nil {
		t.Fatal(err)
	}
	if problems := model.Check(set, []authz.Subject{s}); problems != nil {
		t.Fatal(problems)
	}
	w.rules.Model, w.rules.Policies, w.rules.Subject = model, set, s
	return authz.Attributed(authz.Config{Roles: roles(t), Permission: w.permission, Title: "create orders", Rule: rule}, w.rules)
}

func and(fns ...func(*gate.Exchange)) func(*gate.Exchange) {
	return func(x *gate.Exchange) {
		for _, fn := range fns {
			fn(x)
		}
	}
}

func user(issuer, subject string) func(*gate.Exchange) {
	return func(x *gate.Exchange) { x.Principal.Issuer, x.Principal.Subject = issuer, subject }
}

func fact(t *testing.T, v decision.Verdict, name, want, got string) {
	t.Helper()
	for _, f := range v.Facts() {
		if f.Name == name && strings.Contains(f.Want, want) && strings.Contains(f.Got, got) {
			return
		}
	}
	t.Errorf("no fact %s with %q, %q in %+v", name, want, got, v.Facts())
}

func has(name, want, got string) func(*testing.T, *gate.Exchange, decision.Verdict) {
	return func(t *testing.T, _ *gate.Exchange, v decision.Verdict) { t.Helper(); fact(t, v, name, want, got) }
}

func TestPolicies(t *testing.T) {
	w := world{permission: "orders:create", body: map[string]policy.BodyField{"amount": {Pointer: "/amount", Type: "long"}}, cedar: `
		@id("small") permit(principal in Tenant::"acme", action in Action::"orders:*", resource in API::"orders")
			when { context.body has amount && context.body.amount <= 100 };
		@id("no-teapots") forbid(principal, action, resource) when { context.query.drink.contains("coffee") };
		@id("inside") forbid(principal, action, resource) unless { context.address.isInRange(ip("198.51.100.0/24")) };`}
	small := gatetest.Content("application/json", `{"amount": 80}`)
	gatetest.Run(t, gatetest.Suite{
		Name: "authz", New: func() gate.Gate { return w.gate(t) }, PassAllocs: 80,
		Pass: and(in("order-reader", ""), small),
		Refusals: []gatetest.Case{
			{Name: "no grant", Setup: and(in("order-reader", ""), gatetest.Content("application/json", `{"amount": 101}`)), Reason: decision.PermissionMissing,
				Check: has("condition", "context.body.amount <= 100", "context.body.amount is 101")},
			{Name: "a forbid wins over a role", Setup: and(in("order-writer", ""), gatetest.Target("POST", "/o?drink=tea&drink=coffee")), Reason: decision.Forbidden,
				Check: has("rule", "rules/no-teapots at rules:4:3", "")},
			{Name: "amount as text", Setup: and(in("order-reader", ""), gatetest.Content("application/json", `{"amount": "80"}`)), Reason: decision.InputUnusable},
			{Name: "amount too large for a number", Setup: and(in("order-reader", ""), gatetest.Content("application/json", `{"amount": 80000000000000000000}`)), Reason: decision.InputUnusable},
			{Name: "amount in another case besides", Setup: and(in("order-reader", ""), gatetest.Content("application/json", `{"amount": 8, "AMOUNT": 900}`)), Reason: decision.InputUnusable},
			{Name: "a query that is read in two ways", Setup: and(in("order-writer", ""), gatetest.Target("POST", "/o?a=1;drink=coffee")), Reason: decision.InputUnusable},
			{Name: "more body than is read", Setup: and(in("order-reader", ""), gatetest.Content("application/json", `{"amount": 80, "x": "`+strings.Repeat("x", authz.MaxBody)+`"}`)), Reason: decision.InputUnusable},
		},
		Unknown: []gatetest.Case{
			{Name: "nobody is proven", Setup: func(*gate.Exchange) {}, Reason: decision.PermissionMissing},
			{Name: "a body that is not here", Setup: and(in("order-reader", ""), func(x *gate.Exchange) { x.Body = gate.AbsentBody }), Reason: decision.PermissionMissing,
				Check: has("body", "JSON body", "")},
			{Name: "an address that is hidden", Setup: and(in("order-writer", ""), func(x *gate.Exchange) { x.Client = netip.Addr{} }), Reason: decision.Forbidden,
				Check: has("address", "address of the client", "")},
		},
	})
	t.Run("a role needs no body", func(t *testing.T) {
		x := gatetest.Exchange(in("order-writer", ""))
		x.Body = gate.AbsentBody
		if v := w.gate(t).Check(t.Context(), x); v.Outcome() != decision.OutcomePass {
			t.Errorf("got %s %+v", v.Outcome(), v.Facts())
		}
	})
}

func TestWhatPoliciesRead(t *testing.T) {
	for name, c := range map[string]struct {
		cedar string
		setup func(*gate.Exchange)
		pass  bool
	}{
		"an application":           {`permit(principal == Application::"shop-web", action, resource);`, nil, true},
		"another application":      {`permit(principal == Application::"shop-app", action, resource);`, nil, false},
		"a role that is inherited": {`permit(principal in Role::"order-reader", action, resource);`, in("order-writer", ""), true},
		"a user of an issuer":      {`permit(principal == User::"https://id.example.com#ann", action, resource);`, user("https://id.example.com", "ann"), true},
		"the same name at another": {`permit(principal == User::"https://id.example.com#ann", action, resource);`, user("https://evil.example.com", "ann"), false},
		"a user of an application": {`permit(principal is User in Application::"shop-web", action, resource);`, user("", "ann"), true},
		"a name like a whole id":   {`permit(principal == User::"https://id.example.com#ann", action, resource);`, user("https://id.example.com#a", "nn"), false},
		"an attribute": {`permit(principal, action, resource) when { principal.attributes.department == ["tea"] };`,
			func(x *gate.Exchange) { x.Principal.Attributes = []gate.Attribute{{Name: "department", Value: "tea"}} }, true},
		"an attribute with two values": {`permit(principal, action, resource) when { principal.attributes.department == ["tea"] };`,
			func(x *gate.Exchange) {
				x.Principal.Attributes = []gate.Attribute{{Name: "department", Value: "tea"}, {Name: "department", Value: "spy"}}
			}, false},
		"the time":       {`permit(principal, action, resource) when { context.now < datetime("2026-03-05") && context.time.weekday == "Wednesday" && context.time.date == "2026-03-04" };`, nil, true},
		"a header":       {`permit(principal, action, resource) when { context.headers["x-region"].contains("eu") };`, gatetest.Header("X-Region", "eu"), true},
		"no such header": {`permit(principal, action, resource) when { context.headers["x-region"].contains("eu") };`, nil, false},
		"the operation":  {`permit(principal, action == Action::"orders/v1/create-order", resource == Operation::"orders/v1/create-order") when { resource.version == "v1" };`, nil, true},
		"the method":     {`permit(principal, action, resource) when { context.method == "POST" && context.host like "*.example.com" && context.scheme == "https" };`, nil, true},
		"scopes":         {`permit(principal, action, resource) when { principal.scopes.containsAll(["a", "b"]) };`, in("", "b a c"), true},
		"a path parameter": {`permit(principal, action, resource) when { context.params.id like "17*" };`,
			func(x *gate.Exchange) { x.Params[0], x.NParams = gate.Param{Name: "id", Value: "17"}, 1 }, true},
		"an address in IPv6 form": {`permit(principal, action, resource) when { context.address.isInRange(ip("198.51.100.0/24")) };`,
			func(x *gate.Exchange) { x.Client = netip.MustParseAddr("::ffff:198.51.100.7") }, true},
	} {
		t.Run(name, func(t *testing.T) {
			g := world{cedar: c.cedar, params: []string{"id"}, rules: authz.Rules{Require: true}}.gate(t)
			x := gatetest.Exchange(in("", ""))
			if c.setup != nil {
				c.setup(x)
			}
			v := g.Check(t.Context(), x)
			if v.Passed() != c.pass || !c.pass && v.Reason() != decision.NotPermitted {
				t.Errorf("got %s %+v", v.Outcome(), v.Facts())
			}
		})
	}
}

func TestAPolicyThatFailsDoesNotApplyAndIsReported(t *testing.T) {
	w := world{permission: "orders:create", body: map[string]policy.BodyField{"amount": {Pointer: "/amount", Type: "long"}},
		cedar: `forbid(principal, action, resource) when { context.body has amount && context.body.amount * 2 > 10 };`}
	x := gatetest.Exchange(in("order-writer", ""), gatetest.Content("application/json", `{"amount": 9223372036854775807}`))
	v := w.gate(t).Check(t.Context(), x)
	if v.Outcome() != decision.OutcomePass {
		t.Fatalf("got %s", v.Outcome())
	}
	fact(t, v, "policy_error", "rules#1 at rules:1:1 does not apply", "overflow")
}

func TestPoliciesInShadowReport(t *testing.T) {
	w := world{permission: "orders:create", shadow: `forbid(principal, action, resource); permit(principal, action, resource);`}
	g := w.gate(t)
	v := g.Check(t.Context(), gatetest.Exchange(in("order-writer", "")))
	if v.Outcome() != decision.OutcomeShadow || v.Reason() != decision.Forbidden {
		t.Errorf("got %s", v.Outcome())
	}
	fact(t, v, "rule", "trial#1 at trial:1:1", "")
	if v := g.Check(t.Context(), gatetest.Exchange(in("order-reader", ""))); v.Reason() != decision.PermissionMissing || v.Outcome() != decision.OutcomeRefuse {
		t.Errorf("a permit in shadow grants: %s", v.Outcome())
	}
}

func TestTheFieldOfTheCredentialIsNotRead(t *testing.T) {
	w := world{cedar: `forbid(principal, action, resource) unless { context.headers["x-shop-token"].contains("yes") };`, rules: authz.Rules{}}
	x := gatetest.Exchange(in("order-writer", ""), gatetest.Header("X-Shop-Token", gatetest.KeyText))
	x.Principal.Field = "X-Shop-Token"
	v := w.gate(t).Check(t.Context(), x)
	fact(t, v, "condition", "x-shop-token", "context.headers.x-shop-token is []")
	for _, f := range v.Facts() {
		if strings.Contains(f.Got, gatetest.KeyText) {
			t.Errorf("the key is told: %s", f.Name)
		}
	}
}

func TestForbidsReachOpenOperations(t *testing.T) {
	w := world{cedar: `forbid(principal is Anonymous, action, resource) when { context.headers["x-bad"].contains("1") };`, rules: authz.Rules{Open: true}}
	g := w.gate(t)
	if v := g.Check(t.Context(), gatetest.Exchange()); v.Outcome() != decision.OutcomePass {
		t.Errorf("got %s", v.Outcome())
	}
	if v := g.Check(t.Context(), gatetest.Exchange(gatetest.Header("X-Bad", "1"))); v.Reason() != decision.Forbidden {
		t.Errorf("got %s", v.Outcome())
	}
}

func TestAFieldThatARecordKeptOutIsUnknown(t *testing.T) {
	w := world{permission: "orders:create", cedar: `forbid(principal, action, resource) when { context.headers["x-team"].contains("red") };`}
	v := w.gate(t).Check(t.Context(), gatetest.Exchange(in("order-writer", ""), gatetest.Header("X-Team", decision.Redacted)))
	if v.Outcome() != decision.OutcomeAbstain {
		t.Errorf("got %s", v.Outcome())
	}
}

func TestNothingAskedIsNoGate(t *testing.T) {
	if g := (world{}).gate(t); g != nil {
		t.Errorf("got %T", g)
	}
	x := gatetest.Exchange(in("order-writer", ""))
	g := world{permission: "orders:create"}.gate(t)
	if n := testing.AllocsPerRun(100, func() { g.Check(context.Background(), x) }); n != 0 {
		t.Errorf("without policies a pass costs %v allocations", n)
	}
}

// asker answers questions in tests.
type asker struct {
	answers map[string]gate.Said
	err     error
	asked   []gate.Question
}

func (a *asker) Ask(_ context.Context, q *gate.Question) (gate.Said, error) {
	a.asked = append(a.asked, *q)
	if q.Remembered {
		return gate.Said{}, gate.ErrNotRemembered
	}
	if a.err != nil {
		return gate.Said{}, a.err
	}
	return a.answers[q.URL], nil
}

func TestOwner(t *testing.T) {
	param := func(v string) func(*gate.Exchange) {
		return func(x *gate.Exchange) { x.Params[0], x.NParams = gate.Param{Name: "id", Value: v}, 1 }
	}
	body := func(s string) func(*gate.Exchange) { return gatetest.Content("application/json", s) }
	path := &authz.Owner{Param: "id", Is: "user", Exempt: []string{"support"}, Rule: rule}
	inBody := &authz.Owner{Pointer: "/order/owner", Is: "user", Rule: rule}
	for name, c := range map[string]struct {
		owner   *authz.Owner
		setup   func(*gate.Exchange)
		pass    bool
		unknown bool
		reason  *decision.Reason
	}{
		"the owner":                 {path, and(user("", "ann"), param("ann")), true, false, nil},
		"somebody else":             {path, and(user("", "bob"), param("ann")), false, false, nil},
		"another case":              {path, and(user("", "Ann"), param("ann")), false, false, nil},
		"an application is no user": {path, param("shop-web"), false, false, nil},
		"nobody owns, nobody calls": {path, param(""), false, false, nil},
		"exempt":                    {path, and(in("support", ""), param("ann")), true, false, nil},
		"the application":           {&authz.Owner{Param: "id", Is: "application", Rule: rule}, param("shop-web"), true, false, nil},
		"the tenant":                {&authz.Owner{Param: "id", Is: "tenant", Rule: rule}, param("acme"), true, false, nil},
		"body":                      {inBody, and(user("", "ann"), body(`{"order": {"owner": "ann"}}`)), true, false, nil},
		"body, a number":            {inBody, and(user("", "42"), body(`{"order": {"owner": 42}}`)), true, false, nil},
		"body, a number otherwise":  {inBody, and(user("", "42"), body(`{"order": {"owner": 4.2e1}}`)), false, false, nil},
		"body, a list of one":       {inBody, and(user("", "ann"), body(`{"order": {"owner": ["ann"]}}`)), false, false, nil},
		"body, an object":           {inBody, and(user("", "ann"), body(`{"order": {"owner": {"ann": 1}}}`)), false, false, nil},
		"body, a list on the way":   {inBody, and(user("", "ann"), body(`{"order": [{"owner": "ann"}]}`)), false, false, nil},
		"body, null":                {inBody, and(user("", "ann"), body(`{"order": {"owner": null}}`)), false, false, nil},
		"body, true":                {inBody, and(user("", "true"), body(`{"order": {"owner": true}}`)), false, false, nil},
		"body, empty":               {inBody, and(user("", ""), body(`{"order": {"owner": ""}}`)), false, false, nil},
		"no body":                   {inBody, user("", "ann"), false, false, nil},
		"body, twice":               {inBody, and(user("", "ann"), body(`{"order": {"owner": "ann", "owner": "bob"}}`)), false, false, decision.InputUnusable},
		"body, the way twice":       {inBody, and(user("", "ann"), body(`{"order": {"owner": "ann"}, "order": {"owner": "bob"}}`)), false, false, decision.InputUnusable},
		"body, escaped twice":       {inBody, and(user("", "ann"), body(`{"order": {"owner": "ann", "\u006fwner": "bob"}}`)), false, false, decision.InputUnusable},
		"body, in capitals besides": {inBody, and(user("", "ann"), body(`{"order": {"owner": "ann", "OWNER": "bob"}}`)), false, false, decision.InputUnusable},
		"body, two values":          {inBody, and(user("", "ann"), body(`{"order": {"owner": "ann"}} {}`)), false, false, decision.InputUnusable},
		"body, not UTF-8":           {inBody, and(user("", "ann"), body("{\"order\": {\"owner\": \"ann\", \"x\": \"\xff\"}}")), false, false, decision.InputUnusable},
		"body, a form":              {inBody, and(user("", "ann"), body(`order[owner]=ann`)), false, false, decision.InputUnusable},
		"body, not here":            {inBody, and(user("", "ann"), func(x *gate.Exchange) { x.Body = gate.AbsentBody }), false, true, nil},
		"claim": {&authz.Owner{Claim: "department", Is: "application", Rule: rule}, func(x *gate.Exchange) {
			x.Principal.Attributes = []gate.Attribute{{Name: "department", Value: "shop-web"}}
		}, true, false, nil},
		"claim, twice": {&authz.Owner{Claim: "department", Is: "application", Rule: rule}, func(x *gate.Exchange) {
			x.Principal.Attributes = []gate.Attribute{{Name: "department", Value: "shop-web"}, {Name: "department", Value: "shop-web"}}
		}, false, false, nil},
		"an attribute of the caller": {&authz.Owner{Param: "id", Is: "attribute:department", Rule: rule}, and(param("tea"), func(x *gate.Exchange) {
			x.Principal.Attributes = []gate.Attribute{{Name: "department", Value: "tea"}}
		}), true, false, nil},
	} {
		t.Run(name, func(t *testing.T) {
			x := gatetest.Exchange(in("", ""))
			c.setup(x)
			v := world{rules: authz.Rules{Owner: c.owner}}.gate(t).Check(t.Context(), x)
			reason := c.reason
			if reason == nil {
				reason = decision.NotOwner
			}
			switch {
			case c.pass && v.Outcome() != decision.OutcomePass,
				c.unknown && v.Outcome() != decision.OutcomeAbstain,
				!c.pass && !c.unknown && v.Outcome() != decision.OutcomeRefuse,
				!c.pass && v.Reason() != reason:
				t.Errorf("got %s %v %+v", v.Outcome(), v.Reason(), v.Facts())
			}
		})
	}
}

// silent never answers, not even from memory.
type silent struct{}

func (silent) Ask(context.Context, *gate.Question) (gate.Said, error) {
	return gate.Said{}, errors.New("connection refused")
}

func TestRulesKeepThePromisesOfGates(t *testing.T) {
	w := world{permission: "orders:create", params: []string{"id"}, rules: authz.Rules{
		Owner: &authz.Owner{URL: "https://orders.internal/{id}", Pointer: "/owner", Is: "application", Rule: rule}}}
	asking := func(a gate.Asker) func(*gate.Exchange) {
		return and(in("order-writer", ""), func(x *gate.Exchange) {
			x.Params[0], x.NParams = gate.Param{Name: "id", Value: "17"}, 1
			x.Env.Asker = a
		})
	}
	body := func(x *gate.Exchange) { x.Params[0], x.NParams = gate.Param{Name: "id", Value: "shop-app"}, 1 }
	path := world{permission: "orders:create", params: []string{"id"}, rules: authz.Rules{Owner: &authz.Owner{Param: "id", Is: "application", Exempt: []string{"support"}, Rule: rule}}}
	permit := world{cedar: `permit(principal == Application::"shop-app", action, resource);`, rules: authz.Rules{Require: true}}
	gatetest.Run(t, gatetest.Suite{
		Name: "authz", New: func() gate.Gate { return w.gate(t) }, PassAllocs: 50,
		Pass: and(in("order-writer", ""), asking(memory{`{"owner": "shop-web"}`})),
		Refusals: []gatetest.Case{
			{Name: "not the owner", New: func() gate.Gate { return path.gate(t) }, Setup: and(in("order-writer", ""), body), Reason: decision.NotOwner},
			{Name: "no permit", New: func() gate.Gate { return permit.gate(t) }, Setup: in("order-writer", ""), Reason: decision.NotPermitted},
		},
		Outages: []gatetest.Case{{Name: "the order service does not answer", Setup: asking(silent{}), Reason: decision.AuthzUnavailable}},
	})
}

// memory has one answer, which it remembers.
type memory struct{ body string }

func (m memory) Ask(context.Context, *gate.Question) (gate.Said, error) {
	return gate.Said{Status: 200, Body: []byte(m.body)}, nil
}

func TestOwnerByHTTP(t *testing.T) {
	o := &authz.Owner{URL: "https://orders.internal/owners/{id}?full=1", Pointer: "/owner", Is: "user", Timeout: time.Second, Cache: time.Minute, Rule: rule}
	const address = "https://orders.internal/owners/17?full=1"
	said := func(status int, body string) *asker {
		return &asker{answers: map[string]gate.Said{address: {Status: status, Body: []byte(body)}}}
	}
	setup := func(a *asker) func(*gate.Exchange) {
		return and(in("", ""), user("", "ann"), func(x *gate.Exchange) {
			x.Params[0], x.NParams = gate.Param{Name: "id", Value: "17"}, 1
			if a != nil {
				x.Env.Asker = a
			}
		})
	}
	// gatetest asks dry what it asked before, and a dry question finds nothing in memory: outages and refusals are tested here.
	for name, c := range map[string]struct {
		a      *asker
		reason *decision.Reason
	}{
		"hers":             {said(200, `{"owner": "ann"}`), nil},
		"another's":        {said(200, `{"owner": "bob"}`), decision.NotOwner},
		"a list":           {said(200, `{"owner": ["ann"]}`), decision.NotOwner},
		"nobody's":         {said(200, `{}`), decision.NotOwner},
		"no such order":    {said(404, ``), decision.NotOwner},
		"broken":           {said(500, `{"owner": "ann"}`), decision.AuthzUnavailable},
		"denied to us":     {said(401, ``), decision.AuthzUnavailable},
		"redirected":       {said(302, ``), decision.AuthzUnavailable},
		"not JSON":         {said(200, `<html>`), decision.AuthzUnavailable},
		"no answer":        {&asker{err: errors.New("connection refused")}, decision.AuthzUnavailable},
		"nobody to ask it": {nil, decision.AuthzUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			g := world{params: []string{"id"}, rules: authz.Rules{Owner: o}}.gate(t)
			x := gatetest.Exchange(setup(c.a))
			v := g.Check(t.Context(), x)
			if v.Reason() != c.reason {
				t.Errorf("got %s %v %+v", v.Outcome(), v.Reason(), v.Facts())
			}
			if c.reason == decision.AuthzUnavailable && x.RetryAfter <= 0 {
				t.Error("an outage without saying when to try again")
			}
			dry := gatetest.Exchange(setup(c.a), gatetest.Dry)
			if v := g.Check(t.Context(), dry); v.Outcome() != decision.OutcomeAbstain {
				t.Errorf("asked dry: got %s", v.Outcome())
			}
		})
	}
	t.Run("what callers write stays one segment", func(t *testing.T) {
		for value, want := range map[string]string{"a/b": "a%2Fb", "a?b": "a%3Fb", "a&b=c": "a%26b%3Dc", "a b": "a%20b", "a#b": "a%23b"} {
			a := &asker{}
			x := gatetest.Exchange(setup(a))
			x.Params[0].Value = value
			world{params: []string{"id"}, rules: authz.Rules{Owner: o}}.gate(t).Check(t.Context(), x)
			if len(a.asked) != 1 || a.asked[0].URL != "https://orders.internal/owners/"+want+"?full=1" {
				t.Errorf("%s: asked %+v", value, a.asked)
			}
		}
		for _, value := range []string{"", ".", ".."} {
			a := &asker{}
			x := gatetest.Exchange(setup(a))
			x.Params[0].Value = value
			v := world{params: []string{"id"}, rules: authz.Rules{Owner: o}}.gate(t).Check(t.Context(), x)
			if len(a.asked) != 0 || v.Reason() != decision.NotOwner {
				t.Errorf("%q: asked %+v, %v", value, a.asked, v.Reason())
			}
		}
	})
}

func TestDecisionPoint(t *testing.T) {
	p := &authz.Point{URL: "https://pdp.internal/access/v1/evaluation", Timeout: time.Second, Authorization: "${env:PDP}", Rule: rule}
	for name, c := range map[string]struct {
		status int
		body   string
		reason *decision.Reason
	}{
		"yes":               {200, `{"decision": true}`, nil},
		"no":                {200, `{"decision": false, "context": {"reason_admin": {"en": "outside of the region"}}}`, decision.Forbidden},
		"no word":           {200, `{}`, decision.AuthzUnavailable},
		"a word, not a yes": {200, `{"decision": "true"}`, decision.AuthzUnavailable},
		"yes and no":        {200, `{"decision": true, "decision": false}`, decision.AuthzUnavailable},
		"yes and No":        {200, `{"decision": true, "Decision": false}`, decision.AuthzUnavailable},
		"an outage":         {503, `{"decision": true}`, decision.AuthzUnavailable},
		"not for us":        {403, ``, decision.AuthzUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			a := &asker{answers: map[string]gate.Said{p.URL: {Status: c.status, Body: []byte(c.body)}}}
			x := gatetest.Exchange(in("order-writer", "s1"))
			x.Env.Asker = a
			v := world{permission: "orders:create", rules: authz.Rules{Point: p}}.gate(t).Check(t.Context(), x)
			if v.Reason() != c.reason {
				t.Errorf("got %s %v %+v", v.Outcome(), v.Reason(), v.Facts())
			}
			const question = `{"subject":{"type":"application","id":"shop-web","properties":{"application":"shop-web","roles":["order-writer"],"scopes":["s1"],"tenant":"acme"}},` +
				`"action":{"name":"orders:create","properties":{"method":"POST"}},"resource":{"type":"operation","id":"orders/v1/create-order"},"context":{"address":"198.51.100.7"}}`
			if len(a.asked) != 1 || string(a.asked[0].Body) != question || a.asked[0].Authorization != "${env:PDP}" {
				t.Errorf("asked %s", a.asked[0].Body)
			}
			if name == "no" {
				fact(t, v, "reason", "outside of the region", "")
			}
		})
	}
}
