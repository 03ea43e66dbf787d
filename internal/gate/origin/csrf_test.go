package origin_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/gate/origin"
	"postern/internal/gatetest"
	"postern/internal/policy"
)

func csrf(t testing.TB, p policy.CSRF) *origin.Gate {
	t.Helper()
	c, problems := origin.CompileCSRF(&p, csrfRule, secrets)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return origin.New(origin.Config{CSRF: c})
}

// secrets are signing keys as an environment would hold them.
func secrets(ref string) (string, error) {
	switch ref {
	case "${env:ONE}":
		return secretCanary, nil
	case "${env:TWO}":
		return strings.Repeat("2", 40), nil
	case "${env:SHORT}":
		return "only-thirty-one-bytes-are-here!", nil
	}
	return "", errors.New(ref + ": the environment variable is not set")
}

const (
	secretCanary  = "CANARY-signing-key-of-thirty-two-bytes-or-more"
	sessionCanary = "CANARY-session-4f1c"
)

func TestCSRFKeepsTheHouseRules(t *testing.T) {
	gatetest.Run(t, gatetest.Suite{
		Name: "origin",
		New:  func() gate.Gate { return csrf(t, policy.CSRF{TrustedOrigins: []string{"https://app.example.com"}}) },
		Pass: gatetest.Header("Origin", "https://api.example.com"),
		Refusals: []gatetest.Case{
			{Name: "cross-site", Setup: fields("Sec-Fetch-Site: cross-site", "Origin: https://evil.example"), Reason: decision.CrossSite},
			{Name: "another origin", Setup: fields("Origin: https://evil.example"), Reason: decision.WrongOrigin, Without: []string{"why", "fix"}},
			{Name: "another referer", Setup: fields("Referer: https://evil.example/a?b"), Reason: decision.WrongOrigin, Without: []string{"why", "fix"}},
			{Name: "behind TLS termination", Setup: func(x *gate.Exchange) {
				x.Scheme = "http"
				x.Header.Add("Origin", "https://api.example.com")
				x.Header.Add("X-Forwarded-Proto", "https")
			}, Reason: decision.WrongOrigin},
			{Name: "two origins", Setup: fields("Origin: https://api.example.com", "Origin: https://evil.example"), Reason: decision.WrongOrigin},
		},
		Unknown: []gatetest.Case{{Name: "nothing says", Setup: func(*gate.Exchange) {}, Reason: decision.OriginUnproven}},
	})
}

// fields adds header fields.
func fields(lines ...string) func(*gate.Exchange) {
	return func(x *gate.Exchange) {
		for _, l := range lines {
			name, value, _ := strings.Cut(l, ": ")
			x.Header.Add(name, value)
		}
	}
}

// Where a request comes from is read from the first field that says so, and never from what pages can write.
func TestSourceOfRequests(t *testing.T) {
	g := csrf(t, policy.CSRF{TrustedOrigins: []string{"https://app.example.com", "*.partner.example"}})
	const pass = ""
	for _, c := range []struct {
		lines  string
		reason string
	}{
		{"Sec-Fetch-Site: same-origin", pass},
		{"Sec-Fetch-Site: none", pass},
		{"Sec-Fetch-Site: Same-Origin", pass},
		{"Sec-Fetch-Site: same-origin|Origin: https://internal.name", pass}, // a proxy rewrote the host; the browser knows better
		{"Sec-Fetch-Site: same-site", "origin.cross_site"},
		{"Sec-Fetch-Site: same-site|Origin: https://app.example.com", pass},
		{"Sec-Fetch-Site: cross-site|Origin: https://a.partner.example", pass},
		{"Sec-Fetch-Site: cross-site|Origin: https://api.example.com", "origin.cross_site"},
		{"Sec-Fetch-Site: cross-site|Referer: https://app.example.com/", "origin.cross_site"},
		{"Sec-Fetch-Site: cross-site|Origin: null", "origin.cross_site"},
		{"Sec-Fetch-Site: ", "origin.cross_site"},
		{"Sec-Fetch-Site: same-origin, cross-site", "origin.cross_site"},
		{"Sec-Fetch-Site: same-origin|Sec-Fetch-Site: same-origin", "origin.cross_site"},
		{"Sec-Fetch-Site: same-origin|Origin: https://api.example.com|Origin: https://evil.example", "origin.wrong_origin"},
		{"Origin: https://api.example.com", pass},
		{"Origin: https://app.example.com", pass},
		{"Origin: https://api.example.com:443", "origin.wrong_origin"}, // no browser writes it so
		{"Origin: https://api.example.com:8443", "origin.wrong_origin"},
		{"Origin: http://api.example.com", "origin.wrong_origin"},
		{"Origin: https://API.example.com", "origin.wrong_origin"},
		{"Origin: https://api.example.com.evil.example", "origin.wrong_origin"},
		{"Origin: null", "origin.wrong_origin"},
		{"Origin: ", "origin.wrong_origin"},
		{"Origin: null|Referer: https://api.example.com/", "origin.wrong_origin"},
		{"Referer: https://api.example.com/form?x=1", pass},
		{"Referer: https://api.example.com", pass},
		{"Referer: https://app.example.com/", pass},
		{"Referer: https://evil.example/?https://api.example.com/", "origin.wrong_origin"},
		{"Referer: https://api.example.com@evil.example/", "origin.wrong_origin"},
		{"Referer: https://api.example.com\\@evil.example/", pass}, // browsers read a backslash as a slash
		{"Referer: /form", "origin.wrong_origin"},
		{"Referer: about:blank", "origin.wrong_origin"},
		{"Referer: https://api.example.com/|Referer: https://api.example.com/", "origin.wrong_origin"},
		{"Referer: ", "origin.unproven"},
		{"X-Requested-With: XMLHttpRequest", "origin.unproven"},
		{"Cookie: session=1", "origin.unproven"},
	} {
		x := gatetest.Exchange(fields(strings.Split(c.lines, "|")...))
		v := g.Check(ctx, x)
		got := ""
		if r := v.Reason(); r != nil {
			got = r.Code
		}
		if got != c.reason {
			t.Errorf("POST with %s: %q, want %q", c.lines, got, c.reason)
		}
		for _, method := range []string{"GET", "HEAD", "OPTIONS"} {
			x.Method = method
			if v := g.Check(ctx, x); !v.Passed() {
				t.Errorf("%s with %s: %s", method, c.lines, v.Reason().Code)
			}
		}
		x.Method, x.Upgrade = "GET", "websocket"
		if v := g.Check(ctx, x); v.Passed() != (c.reason == pass) {
			t.Errorf("a WebSocket with %s: %s", c.lines, v.Outcome())
		}
	}
}

// The external address counts: what trusted proxies forwarded, the port of the Host field, IPv6.
func TestOwnOrigin(t *testing.T) {
	g := csrf(t, policy.CSRF{})
	for _, c := range []struct {
		scheme, host, hostname, origin string
		same                           bool
	}{
		{"https", "shop.example", "shop.example", "https://shop.example", true},
		{"https", "shop.example:443", "shop.example", "https://shop.example", true},
		{"http", "shop.example:80", "shop.example", "http://shop.example", true},
		{"http", "shop.example:443", "shop.example", "http://shop.example:443", true},
		{"https", "shop.example:8443", "shop.example", "https://shop.example:8443", true},
		{"https", "shop.example:8443", "shop.example", "https://shop.example", false},
		{"https", "SHOP.example", "shop.example", "https://shop.example", true},
		{"https", "[2001:db8::1]:8443", "2001:db8::1", "https://[2001:db8::1]:8443", true},
		{"https", "[2001:db8::1]", "2001:db8::1", "https://[2001:db8::1]", true},
		{"https", "[2001:db8::1]", "2001:db8::1", "https://[2001:db8::2]", false},
		{"http", "shop.example", "shop.example", "https://shop.example", false},
		{"https", "", "", "https://", false},
	} {
		x := gatetest.Exchange(gatetest.Header("Origin", c.origin))
		x.Scheme, x.Host, x.Hostname = c.scheme, c.host, c.hostname
		if v := g.Check(ctx, x); v.Passed() != c.same {
			t.Errorf("%s at %s://%s: %s", c.origin, c.scheme, c.host, v.Outcome())
		}
	}
}

func TestProgramsMayPassUnproven(t *testing.T) {
	g := csrf(t, policy.CSRF{Unproven: "pass", Token: &policy.CSRFToken{}})
	if v := g.Check(ctx, gatetest.Exchange()); !v.Passed() {
		t.Errorf("a program without cookies: %s", v.Reason().Code)
	}
	for lines, want := range map[string]*decision.Reason{
		"Cookie: session=1":               decision.CSRFMissing,
		"Origin: https://evil.example":    decision.WrongOrigin,
		"Origin: https://api.example.com": decision.CSRFMissing,
		"Sec-Fetch-Site: cross-site":      decision.CrossSite,
	} {
		if v := g.Check(ctx, gatetest.Exchange(fields(lines))); v.Passed() || v.Reason() != want {
			t.Errorf("%s: %s", lines, v.Outcome())
		}
	}
	if v := csrf(t, policy.CSRF{Unproven: "pass"}).Check(ctx, gatetest.Exchange(fields("Cookie: a=b"))); v.Outcome() != decision.OutcomeAbstain {
		t.Errorf("a cookie and no origin: %s", v.Outcome())
	}
}

// A cross-site POST of a browser passes under no configuration: whatever is configured, and whatever the attacker can add to
// a request that the victim's browser sends.
func TestNoConfigurationPassesACrossSitePOST(t *testing.T) {
	var gates []*origin.Gate
	for _, unproven := range []string{"", "pass"} {
		for _, trusted := range [][]string{nil, {"https://app.example.com", "*.partner.example"}} {
			for _, token := range []*policy.CSRFToken{nil, {}, {Field: "t"}, session("k1")} {
				c, problems := origin.CompileCSRF(&policy.CSRF{Unproven: unproven, TrustedOrigins: trusted, Token: token}, csrfRule, secrets)
				if len(problems) > 0 {
					t.Fatal(problems)
				}
				gates = append(gates, origin.New(origin.Config{CSRF: c}))
				for _, p := range []policy.CORS{{Origins: []string{"*", "null"}, Enforce: "none"}, {Origins: []string{"https://evil.example"}, Credentials: true}} {
					cc, problems := origin.CompileCORS(&p, corsRule)
					if len(problems) > 0 {
						t.Fatal(problems)
					}
					gates = append(gates, origin.New(origin.Config{CSRF: c, CORS: cc}))
				}
			}
		}
	}
	const evil = "https://evil.example"
	for _, evidence := range [][]string{
		{"Sec-Fetch-Site: cross-site", "Origin: " + evil, "Referer: " + evil + "/"}, {"Sec-Fetch-Site: cross-site"},
		{"Sec-Fetch-Site: same-site", "Origin: https://evil.api.example.com"}, {"Sec-Fetch-Site: cross-site", "Origin: null"},
		{"Origin: " + evil}, {"Origin: null"}, {"Origin: https://api.example.com.evil.example"}, {"Referer: " + evil + "/https://api.example.com/"},
		{}, // the attacker's page has Referrer-Policy: no-referrer, and the browser is old
	} {
		for _, host := range []string{"api.example.com", "api.example.com:8443"} {
			for _, add := range [][]string{
				{}, {"Content-Type: application/x-www-form-urlencoded"}, {"Content-Type: text/plain"},
			} {
				for i, g := range gates {
					x := gatetest.Exchange(fields(evidence...), fields(add...), fields("Cookie: session="+sessionCanary+"; __Host-csrf="+strings.Repeat("A", 32)))
					x.Host = host
					x.Body = gatetest.Body([]byte("t=" + strings.Repeat("B", 32)))
					g.Mark(x)
					if v := g.Check(ctx, x); v.Passed() {
						t.Fatalf("configuration %d passes %v %v at %s", i, evidence, add, host)
					}
				}
			}
		}
	}
}

func TestCSRFMistakes(t *testing.T) {
	key := policy.CSRFKey{ID: "k1", Secret: "${env:ONE}"}
	token := func(p policy.CSRFToken) policy.CSRF { return policy.CSRF{Token: &p} }
	signed := func(change func(*policy.CSRFToken)) policy.CSRF {
		p := policy.CSRFToken{Kind: "session", Session: "sid", Keys: []policy.CSRFKey{key}}
		change(&p)
		return policy.CSRF{Token: &p}
	}
	for _, c := range []struct {
		p        policy.CSRF
		at, says string
	}{
		{policy.CSRF{TrustedOrigins: []string{"*"}}, "/trusted_origins/0", "every page"},
		{policy.CSRF{TrustedOrigins: []string{"null"}}, "/trusted_origins/0", "null"},
		{policy.CSRF{TrustedOrigins: []string{"*.vercel.app"}}, "/trusted_origins/0", "anybody can get a name"},
		{policy.CSRF{Unproven: "allow"}, "/unproven", "not possible"},
		{token(policy.CSRFToken{Cookie: "csrf"}), "/token/cookie", "__Host-csrf"},
		{token(policy.CSRFToken{Cookie: "__Host-"}), "/token/cookie", "__Host-"},
		{token(policy.CSRFToken{Cookie: "__Host-a;b"}), "/token/cookie", "__Host-"},
		{token(policy.CSRFToken{Header: "X CSRF"}), "/token/header", "no name"},
		{token(policy.CSRFToken{SameSite: "none"}), "/token/same_site", "not possible"},
		{token(policy.CSRFToken{Kind: "jwt"}), "/token/kind", "not possible"},
		{token(policy.CSRFToken{Session: "sid"}), "/token/session", "signed tokens"},
		{token(policy.CSRFToken{Keys: []policy.CSRFKey{key}}), "/token/keys", "signed tokens"},
		{token(policy.CSRFToken{Lifetime: policy.Duration(time.Hour)}), "/token/lifetime", "signed tokens"},
		{signed(func(p *policy.CSRFToken) { p.Session = "" }), "/token/session", "session cookie"},
		{signed(func(p *policy.CSRFToken) { p.Session = "__Host-csrf" }), "/token/session", "session cookie"},
		{signed(func(p *policy.CSRFToken) { p.Keys = nil }), "/token/keys", "no key"},
		{signed(func(p *policy.CSRFToken) { p.Lifetime = policy.Duration(time.Second) }), "/token/lifetime", "1m"},
		{signed(func(p *policy.CSRFToken) { p.Keys = append(p.Keys, key) }), "/token/keys/1/id", "two keys"},
		{signed(func(p *policy.CSRFToken) { p.Keys[0].ID = "a.b" }), "/token/keys/0/id", "no id"},
		{signed(func(p *policy.CSRFToken) { p.Keys[0].Secret = secretCanary }), "/token/keys/0/secret", "does not belong into the document"},
		{signed(func(p *policy.CSRFToken) { p.Keys[0].Secret = "${vault:x}" }), "/token/keys/0/secret", "does not belong"},
		{signed(func(p *policy.CSRFToken) { p.Keys[0].Secret = "${env:GONE}" }), "/token/keys/0/secret", "not set"},
		{signed(func(p *policy.CSRFToken) { p.Keys[0].Secret = "${env:SHORT}" }), "/token/keys/0/secret", "fewer than 32"},
	} {
		_, problems := origin.CompileCSRF(&c.p, csrfRule, secrets)
		if len(problems) != 1 {
			t.Errorf("%s %s: %d problems: %v", c.at, c.says, len(problems), problems)
			continue
		}
		p := problems[0]
		text := fmt.Sprint(p.Message, " ", p.Remedy)
		if p.Pointer != csrfRule.Pointer+c.at || !strings.Contains(text, c.says) || p.Remedy == "" || strings.Contains(text, "CANARY") || strings.Contains(text, "thirty-one") {
			t.Errorf("got %s: %s\nwant %s: %s", p.Pointer, text, c.at, c.says)
		}
	}
}
