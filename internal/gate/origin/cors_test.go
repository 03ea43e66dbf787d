package origin_test

import (
	"context"
	"strings"
	"testing"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/gate/origin"
	"postern/internal/gatetest"
	"postern/internal/policy"
)

var (
	ctx      = context.Background()
	corsRule = &decision.Rule{ID: "orders/v1#cors", Pointer: "/apis/0/versions/0/cors"}
	csrfRule = &decision.Rule{ID: "orders/v1#csrf", Pointer: "/apis/0/versions/0/csrf"}
)

func cors(t testing.TB, p policy.CORS) *origin.Gate {
	t.Helper()
	c, problems := origin.CompileCORS(&p, corsRule, "X-API-Key")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return origin.New(origin.Config{CORS: c})
}

// shop is the rules of most tests.
var shop = policy.CORS{
	Origins:        []string{"https://app.example.com", "*.shop.example", "http://localhost:3000"},
	OriginPatterns: []string{`https://pr-[0-9]+\.preview\.example\.org`},
	Credentials:    true,
}

func preflight(method string, fields ...string) func(*gate.Exchange) {
	return func(x *gate.Exchange) {
		x.Method, x.Preflight = "OPTIONS", method
		x.Header.Add("Origin", "https://app.example.com")
		x.Header.Add("Access-Control-Request-Method", method)
		if len(fields) > 0 {
			x.Header.Add("Access-Control-Request-Headers", strings.Join(fields, ","))
		}
	}
}

func TestCORSKeepsTheHouseRules(t *testing.T) {
	strict := shop
	strict.Methods, strict.Headers = []string{"GET", "POST"}, []string{"Content-Type"}
	gatetest.Run(t, gatetest.Suite{
		Name: "origin",
		New:  func() gate.Gate { return cors(t, strict) },
		Pass: gatetest.Header("Origin", "https://pr-7.preview.example.org"),
		Refusals: []gatetest.Case{
			{Name: "another origin", Setup: gatetest.Header("Origin", "https://evil.example"), Reason: decision.CORSDenied, Without: []string{"why", "fix"}},
			{Name: "null", Setup: gatetest.Header("Origin", "null"), Reason: decision.CORSDenied, Without: []string{"fix"}},
			{Name: "two origins", Setup: func(x *gate.Exchange) {
				x.Header.Add("Origin", "https://app.example.com")
				x.Header.Add("origin", "https://app.example.com")
			}, Reason: decision.CORSDenied},
			{Name: "preflight of another origin", Setup: func(x *gate.Exchange) {
				preflight("POST")(x)
				x.Header.Set("Origin", "https://evil.example")
			}, Reason: decision.CORSDenied, Without: []string{"why", "fix"}},
			{Name: "method", Setup: preflight("DELETE"), Reason: decision.PreflightDenied},
			{Name: "header field", Setup: preflight("POST", "content-type", "x-debug"), Reason: decision.PreflightDenied},
			{Name: "header field that is none", Setup: preflight("POST", "x y"), Reason: decision.PreflightDenied},
			{Name: "preflight of two methods", Setup: func(x *gate.Exchange) {
				preflight("POST")(x)
				x.Header.Add("Access-Control-Request-Method", "GET")
			}, Reason: decision.CORSDenied},
		},
	})
}

// Which origins match is decided by their text, byte for byte as browsers write it.
func TestOrigins(t *testing.T) {
	g := cors(t, shop)
	for origin, want := range map[string]bool{
		"https://app.example.com":                               true,
		"https://a.shop.example":                                true,
		"https://a.b.shop.example":                              true,
		"http://localhost:3000":                                 true,
		"https://pr-12.preview.example.org":                     true,
		"https://api.example.com":                               true, // its own
		"http://app.example.com":                                false,
		"https://app.example.com:443":                           false,
		"https://app.example.com:8443":                          false,
		"https://app.example.com.":                              false,
		"https://app.example.com/":                              false,
		"HTTPS://app.example.com":                               false,
		"https://APP.example.com":                               false,
		"https://app.example.com.evil.example":                  false,
		"https://evilapp.example.com":                           false,
		"https://app.example.com@evil.example":                  false,
		"https://evil.example#https://app.example.com":          false,
		"https://shop.example":                                  false, // below, not itself
		"https://.shop.example":                                 false,
		"https://evilshop.example":                              false,
		"http://a.shop.example":                                 false,
		"https://a.shop.example:8443":                           false,
		"https://a.shop.example.evil.example":                   false,
		"https://a.shop.examplé":                                false,
		"https://xn--a-ecp.ru":                                  false,
		"https://а.shop.example":                                false, // a Cyrillic a
		"https://a b.shop.example":                              false,
		"https://a%2e.shop.example":                             false,
		"https://pr-.preview.example.org":                       false,
		"https://pr-1.preview.example.org.evil.com":             false,
		"https://x/https://pr-1.preview.example.org":            false,
		"https://pr-1.preview.example.org:80":                   false,
		"http://localhost":                                      false,
		"http://localhost:03000":                                false,
		"http://localhost:3000 ":                                false,
		"null":                                                  false,
		"NULL":                                                  false,
		"":                                                      false,
		"*":                                                     false,
		"https://app.example.com, https://evil.com":             false,
		"https://app.example.com https://evil.com":              false,
		"https://" + strings.Repeat("a.", 200) + "shop.example": false,
		"file://":       false,
		"https://[::1]": false,
	} {
		x := gatetest.Exchange(gatetest.Header("Origin", origin))
		if v := g.Check(ctx, x); v.Passed() != want {
			t.Errorf("a POST of %q: %s", origin, v.Outcome())
		}
		g.Mark(x)
		if own := origin == "https://api.example.com"; (x.Browser.AllowOrigin != "") != (want && !own) {
			t.Errorf("%q is told %+v", origin, x.Browser)
		}
	}
}

func TestMoreOrigins(t *testing.T) {
	for _, c := range []struct {
		p    policy.CORS
		yes  string
		no   string
		told string // Access-Control-Allow-Origin of yes
	}{
		{policy.CORS{Origins: []string{"*"}}, "https://anybody.example", "null", "*"},
		{policy.CORS{Origins: []string{"*", "null"}}, "null", "not an origin", "*"},
		{policy.CORS{Origins: []string{"null"}}, "null", "https://a.example", "null"},
		{policy.CORS{Origins: []string{"https://*.example.com:8443"}}, "https://a.example.com:8443", "https://a.example.com", "https://a.example.com:8443"},
		{policy.CORS{Origins: []string{"https://*.example.com:*"}}, "https://a.example.com:9", "http://a.example.com:9", "https://a.example.com:9"},
		{policy.CORS{Origins: []string{"https://*.example.com:*"}}, "https://a.example.com", "https://a.example.com:443", "https://a.example.com"},
		{policy.CORS{Origins: []string{"http://*.example.com:80"}}, "http://a.example.com", "http://a.example.com:8080", "http://a.example.com"},
		{policy.CORS{Origins: []string{"HTTPS://App.Example.com:443"}}, "https://app.example.com", "https://app.example.com:443", "https://app.example.com"},
		{policy.CORS{Origins: []string{"https://[2001:db8::1]:8443"}}, "https://[2001:db8::1]:8443", "https://[2001:db8::1]", "https://[2001:db8::1]:8443"},
		{policy.CORS{Origins: []string{"capacitor://localhost"}}, "capacitor://localhost", "https://localhost", "capacitor://localhost"},
		{policy.CORS{OriginPatterns: []string{`https://a\.example|https://b\.example`}}, "https://b.example", "https://b.example.c", "https://b.example"},
	} {
		g := cors(t, c.p)
		x := gatetest.Exchange(gatetest.Header("Origin", c.yes))
		g.Mark(x)
		if v := g.Check(ctx, x); !v.Passed() || x.Browser.AllowOrigin != c.told {
			t.Errorf("%v: %s: %s, told %q", c.p, c.yes, v.Outcome(), x.Browser.AllowOrigin)
		}
		x = gatetest.Exchange(gatetest.Header("Origin", c.no))
		g.Mark(x)
		if v := g.Check(ctx, x); v.Passed() || x.Browser.AllowOrigin != "" {
			t.Errorf("%v: %s: %s, told %q", c.p, c.no, v.Outcome(), x.Browser.AllowOrigin)
		}
	}
}

func TestEnforcement(t *testing.T) {
	for _, c := range []struct {
		enforce, method, upgrade string
		refused                  bool
	}{
		{"", "GET", "", false}, {"", "HEAD", "", false}, {"", "POST", "", true}, {"", "DELETE", "", true}, {"", "PROPFIND", "", true},
		{"", "GET", "websocket", true}, // CORS does not cover WebSocket: any page may open one
		{"writes", "OPTIONS", "", false}, {"all", "GET", "", true}, {"none", "POST", "", false}, {"none", "GET", "websocket", false},
	} {
		p := shop
		p.Enforce = c.enforce
		x := gatetest.Exchange(gatetest.Header("Origin", "https://evil.example"))
		x.Method, x.Upgrade = c.method, c.upgrade
		if v := cors(t, p).Check(ctx, x); v.Passed() == c.refused {
			t.Errorf("enforce %q, %s %s of another page: %s", c.enforce, c.method, c.upgrade, v.Outcome())
		}
	}
	x := gatetest.Exchange()
	if v := cors(t, policy.CORS{Origins: []string{"https://a.example"}, Enforce: "all"}).Check(ctx, x); !v.Passed() {
		t.Error("a program without Origin is refused")
	}
}

func TestPreflightReply(t *testing.T) {
	p := shop
	p.PrivateNetwork, p.Methods = true, []string{"POST"}
	x := gatetest.Exchange(preflight("POST", " Content-Type", "", "x-api-key "), gatetest.Header("Access-Control-Request-Private-Network", "true"),
		gatetest.Header("Access-Control-Request-Headers", "authorization"))
	g := cors(t, p)
	g.Mark(x)
	v := g.Check(ctx, x)
	if v.Outcome() != decision.OutcomeAnswer || x.Reply == nil || x.Reply.Status != 204 || len(x.Reply.Body) != 0 {
		t.Fatalf("%s, %+v", v.Outcome(), x.Reply)
	}
	var got strings.Builder
	for _, f := range x.Reply.Header {
		got.WriteString(f.Name + ": " + f.Value + "\n")
	}
	want := `Vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers, Access-Control-Request-Private-Network
Access-Control-Allow-Origin: https://app.example.com
Access-Control-Allow-Methods: POST
Access-Control-Allow-Headers: Content-Type, x-api-key, authorization
Access-Control-Allow-Credentials: true
Access-Control-Allow-Private-Network: true
Access-Control-Max-Age: 600
`
	if got.String() != want {
		t.Errorf("got\n%swant\n%s", got.String(), want)
	}
	if b := x.Browser; b.AllowOrigin != "" || b.Vary || b.Cookie != "" {
		t.Errorf("the answer would get the fields twice: %+v", b)
	}
}

func TestPreflightOfFieldsAndNetworks(t *testing.T) {
	// What browsers ask although everybody may send it, and any field where that is allowed.
	if v := cors(t, shop).Check(ctx, gatetest.Exchange(preflight("POST", "accept", "range"))); v.Outcome() != decision.OutcomeAnswer {
		t.Error(v.Outcome())
	}
	p := shop
	p.Headers = []string{"*"}
	x := gatetest.Exchange(preflight("POST", "x-anything", "authorization"), gatetest.Header("Access-Control-Request-Private-Network", "true"))
	if v := cors(t, p).Check(ctx, x); v.Outcome() != decision.OutcomeAnswer || x.Reply.Header.Get("Access-Control-Allow-Headers") != "x-anything, authorization" {
		t.Error(v.Outcome(), x.Reply)
	}
	if x.Reply.Header.Has("Access-Control-Allow-Private-Network") {
		t.Error("the private network is open without being allowed")
	}
}

func TestMarkWithoutOrigin(t *testing.T) {
	x := gatetest.Exchange()
	cors(t, shop).Mark(x)
	if !x.Browser.InCharge || !x.Browser.Vary || x.Browser.AllowOrigin != "" {
		t.Errorf("a cache would keep an answer for every page: %+v", x.Browser)
	}
	x = gatetest.Exchange()
	cors(t, policy.CORS{Origins: []string{"*", "null"}}).Mark(x)
	if x.Browser.Vary || x.Browser.AllowOrigin != "*" {
		t.Errorf("all pages are told the same, and caches cannot know: %+v", x.Browser)
	}
	x = gatetest.Exchange(gatetest.Header("Origin", "https://app.example.com"))
	cors(t, policy.CORS{Origins: shop.Origins, Expose: []string{"X-Total", "postern-trace"}}).Mark(x)
	if x.Browser.Credentials || x.Browser.Expose != "Postern-Trace, RateLimit, RateLimit-Policy, Retry-After, WWW-Authenticate, X-Total" {
		t.Errorf("%+v", x.Browser)
	}
}

// What cannot work, and what would let just anybody in with the credentials of others, cannot be saved.
func TestCORSMistakes(t *testing.T) {
	with := func(origins ...string) policy.CORS { return policy.CORS{Origins: origins, Credentials: true} }
	matching := func(pattern string) policy.CORS {
		return policy.CORS{OriginPatterns: []string{pattern}, Credentials: true}
	}
	for _, c := range []struct {
		p    policy.CORS
		at   string // below cors
		says string
	}{
		{policy.CORS{}, "/origins", "no origin"},
		{with("*"), "/origins/0", "every page on the web"},
		{with("https://a.example", "null"), "/origins/1", "sandboxed frame"},
		{with("*.com"), "/origins/0", "anybody can get a name below com"},
		{with("https://*.co.uk:*"), "/origins/0", "below co.uk"},
		{with("*.github.io"), "/origins/0", "below github.io"},
		{with("https://*"), "/origins/0", "origin_patterns"},
		{with("https://app.*.example.com"), "/origins/0", "origin_patterns"},
		{with("**.example.com"), "/origins/0", "origin_patterns"},
		{with("app.example.com"), "/origins/0", "no scheme"},
		{with("https://app.example.com/"), "/origins/0", "has a path"},
		{with("https://u:p@app.example.com"), "/origins/0", "user name"},
		{with("https://app.example.com:99999"), "/origins/0", "no origin"},
		{with("https://bücher.example"), "/origins/0", "xn--bcher-kva.example"},
		{with(""), "/origins/0", "no scheme"},
		{matching(`.*`), "/origin_patterns/0", "origins of others"},
		{matching(`https?://.+`), "/origin_patterns/0", "origins of others"},
		{matching(`https://.*example\.com`), "/origin_patterns/0", "https://attackerexample.com"},
		{matching(`https://app.example\.com`), "/origin_patterns/0", "https://attackerexample.com"}, // the dot is any character
		{matching(`https://[a-z]+\.com`), "/origin_patterns/0", "origins of others"},
		{matching(`https://[a-z]+\.(example\.com|github\.io)`), "/origin_patterns/0", "attacker.github.io"},
		{matching(`https://(www\.)?[^.]+\.example.*`), "/origin_patterns/0", "origins of others"},
		{matching(`https://app\.example\.com|.*`), "/origin_patterns/0", "origins of others"},
		{matching(`^https://.+(:[0-9]+)?$`), "/origin_patterns/0", "origins of others"},
		{matching(`https://[a-z.]+:8443`), "/origin_patterns/0", "origins of others"},
		{matching(`(`), "/origin_patterns/0", "missing"},
		{matching(``), "/origin_patterns/0", "empty"},
		{matching(strings.Repeat("a", 1001)), "/origin_patterns/0", "longer than"},
		{policy.CORS{Origins: []string{"*"}, Methods: []string{"*"}}, "/methods/0", "no method"},
		{policy.CORS{Origins: []string{"*"}, Methods: []string{"post"}}, "/methods/0", "no method"},
		{policy.CORS{Origins: []string{"*"}, Headers: []string{"X A"}}, "/headers/0", "no name"},
		{policy.CORS{Origins: shop.Origins, Credentials: true, Expose: []string{"*"}}, "/expose/0", "no name"},
		{policy.CORS{Origins: []string{"*"}, MaxAge: policy.Duration(48 * 3600e9)}, "/max_age", "no browser"},
		{policy.CORS{Origins: []string{"*"}, Enforce: "yes"}, "/enforce", "not possible"},
	} {
		_, problems := origin.CompileCORS(&c.p, corsRule)
		if len(problems) != 1 {
			t.Errorf("%+v: %d problems: %v", c.p, len(problems), problems)
			continue
		}
		p := problems[0]
		if p.Pointer != corsRule.Pointer+c.at || !strings.Contains(p.Message+p.Remedy, c.says) || p.Remedy == "" {
			t.Errorf("%+v:\n got %s: %s: %s\nwant %s: %s", c.p, p.Pointer, p.Message, p.Remedy, c.at, c.says)
		}
	}
}

func TestTightPatternsMayHaveCredentials(t *testing.T) {
	for _, pattern := range []string{
		`https://app\.example\.com`, `https?://(app|www)\.example\.com(:[0-9]+)?`, `https://[^.]+\.example\.com:\d{2,5}`,
		`https://.*\.example\.co\.uk`, `(?i)https://.+\.example\.com`, `https://(a\.example\.com|b\.example\.org)(?::8443)?`,
		`https://[a-z]+\.(example\.com|example\.org)`, `http://localhost:[0-9]+`, `https://pr-\d+\.preview\.example\.com$`,
		`^https://[a-z]+\.example\.com(:[0-9]+)?$`, `https://a\.example\.com:\d+|https://b\.example\.com:\d+`, `https://(x\.example\.com:1|y\.example\.org(:2)?)$`,
	} {
		if _, problems := origin.CompileCORS(&policy.CORS{OriginPatterns: []string{pattern}, Credentials: true}, corsRule); len(problems) > 0 {
			t.Errorf("%s: %v", pattern, problems)
		}
	}
}

// TLS ends in front of the gateway, and the page of the API's own origin is taken for another one: why is said.
func TestOwnOriginBehindTLSTermination(t *testing.T) {
	for fields, want := range map[string]string{
		"":                              "let the proxy in front, 198.51.100.7, send `X-Forwarded-Proto: https`, and list its address in `trusted_proxies`",
		"X-Forwarded-Proto: https":      "List the proxy in front, 198.51.100.7, in `trusted_proxies`: its X-Forwarded-Proto says https, and is not believed",
		"X-Forwarded-Proto: http":       "its X-Forwarded-Proto says http",
		"Forwarded: for=_x;proto=https": "its Forwarded says https, and is not believed",
	} {
		x := gatetest.Exchange(gatetest.Header("Origin", "https://api.example.com"))
		x.Scheme = "http"
		if name, value, ok := strings.Cut(fields, ": "); ok {
			x.Header.Add(name, value)
		}
		v := cors(t, shop).Check(ctx, x)
		said := v.Render(decision.ToOperator)
		if v.Reason() != decision.CORSDenied || !strings.Contains(strings.Join(said.Remedies, "\n"), want) {
			t.Errorf("%s: %s\n%s", fields, said.Detail, strings.Join(said.Remedies, "\n"))
		}
		if said := v.Render(decision.ToAnyone); !strings.Contains(said.Detail, "counts as http and not as https") || strings.Contains(said.Detail, "198.51") {
			t.Errorf("%s: the caller is told %s", fields, said.Detail)
		}
	}
}
