package authn_test

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/internal/decision"
	"postern/internal/directory"
	"postern/internal/gate"
	"postern/internal/gate/authn"
	"postern/internal/gatetest"
	"postern/internal/jose"
)

func signer(seed byte, kid string) *jose.Signer {
	s, err := jose.NewSigner(ed25519.NewKeyFromSeed(slices.Repeat([]byte{seed}, 32)), kid)
	if err != nil {
		panic(err)
	}
	return s
}

var (
	idp     = signer(1, "2026-03")
	rotated = signer(2, "2026-04")
	forger  = signer(3, "2026-03")
)

func setOf(signers ...*jose.Signer) *jose.Set {
	var keys []string
	for _, s := range signers {
		keys = append(keys, string(s.JWK()))
	}
	set, err := jose.ParseSet([]byte(`{"keys":[` + strings.Join(keys, ",") + `]}`))
	if err != nil {
		panic(err)
	}
	return set
}

// claims are those of a good token, changed; a nil value removes one.
func claims(change map[string]any) []byte {
	c := map[string]any{"iss": "https://id.example.com", "aud": "orders", "sub": "ada", "azp": "shop-web", "scope": "orders:read orders:write",
		"exp": gatetest.Now.Add(time.Minute).Unix(), "iat": gatetest.Now.Add(-time.Minute).Unix(), "groups": []string{"writers", "others"}, "dept": "tea"}
	maps.Copy(c, change)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	b, err := json.Marshal(c)
	if err != nil {
		panic(err)
	}
	return b
}

func token(change map[string]any) string { return tokenBy(idp, "JWT", claims(change)) }

func tokenBy(s *jose.Signer, typ string, payload []byte) string {
	t, err := s.Sign(typ, payload)
	if err != nil {
		panic(err)
	}
	return t
}

func newIssuer() *authn.Issuer {
	return authn.NewIssuer(authn.IssuerConfig{
		Issuer: "https://id.example.com", Source: gate.KeySource{ID: "s", URL: "https://id.example.com/keys"},
		Algorithms: []string{"RS256", "EdDSA"}, Audience: []string{"orders", "shop"}, Types: []string{"", "JWT", "at+jwt"}, Skew: 30 * time.Second,
		Required: []authn.RequiredClaim{{Name: "dept", Values: []string{"tea", "coffee"}}},
		Claims: authn.ClaimMap{Application: []string{"client_id", "azp"}, User: "sub", Scopes: []string{"scope"}, Roles: "groups",
			RoleMap: map[string]string{"writers": "order-writer"}, Attributes: []authn.Attribute{{Name: "department", Claim: "dept"}}},
	})
}

func newTokens() gate.Gate { return authn.Several(rule, authn.Tokens(rule, newIssuer())) }

// carries makes a set-up with a bearer token and the issuer's keys at hand.
func carries(text string) func(*gate.Exchange) {
	return all(with("Authorization", "Bearer "+text), published)
}

func published(x *gate.Exchange) { x.Env.KeySets = &gatetest.KeySets{Set: setOf(idp)} }

// fact checks one fact, and who may see it.
func fact(name, want, got string, public decision.Disclosure) func(*testing.T, *gate.Exchange, decision.Verdict) {
	return func(t *testing.T, _ *gate.Exchange, v decision.Verdict) {
		t.Helper()
		for _, f := range v.Facts() {
			if f.Name == name {
				if f.Want != want || f.Got != got || f.Public != public {
					t.Errorf("fact %+v, want %q %q for the %s", f, want, got, public)
				}
				return
			}
		}
		t.Errorf("no fact %s among %+v", name, v.Facts())
	}
}

func refused(name string, r *decision.Reason, setup func(*gate.Exchange), check func(*testing.T, *gate.Exchange, decision.Verdict), without ...string) gatetest.Case {
	return gatetest.Case{Name: name, Reason: r, Setup: setup, Without: without, Check: func(t *testing.T, x *gate.Exchange, v decision.Verdict) {
		t.Helper()
		if x.Principal.Proven != (r.Public == decision.ToProven) {
			t.Errorf("proven %v, and the reason is for the %s", x.Principal.Proven, r.Public)
		}
		if !strings.Contains(x.Challenge, "Bearer") && r.Status == 401 {
			t.Errorf("challenge %q", x.Challenge)
		}
		if check != nil {
			check(t, x, v)
		}
	}}
}

func unix(d time.Duration) int64 { return gatetest.Now.Add(d).Unix() }

func TestTokens(t *testing.T) {
	raw := func(header, payload, sig string) string {
		e := base64.RawURLEncoding.EncodeToString
		return e([]byte(header)) + "." + e([]byte(payload)) + "." + e([]byte(sig))
	}
	good := token(nil)
	gatetest.Run(t, gatetest.Suite{
		Name: "authn",
		New:  newTokens,
		Pass: carries(good),
		Refusals: []gatetest.Case{
			refused("nothing", decision.CredentialMissing, published, nil, "where"),
			refused("Bearer and nothing", decision.CredentialMissing, all(with("Authorization", "Bearer "), published), fact("where", ": Authorization says Bearer and nothing follows", "", decision.ToAnyone)),
			refused("no Bearer before it", decision.CredentialMisplaced, all(with("Authorization", good), published), fact("place", "a token of https://id.example.com as Authorization: Bearer", "Authorization without the word Bearer in front of the token", decision.ToAnyone)),
			refused("in the query", decision.CredentialMisplaced, all(gatetest.Target("GET", "/o?access_token="+good), published), fact("place", "a token of https://id.example.com as Authorization: Bearer", "the query string, as access_token", decision.ToAnyone)),
			refused("in another header", decision.CredentialMisplaced, all(with("X-Token", good), published), nil),
			refused("in a cookie", decision.CredentialMisplaced, all(with("Cookie", "a=b; t="+good), published), nil),
			refused("with another scheme", decision.CredentialMisplaced, all(with("Authorization", "JWT "+good), published), nil),
			refused("twice", decision.CredentialRejected, all(carries(good), with("Authorization", "Bearer "+good)), nil),
			refused("opaque", decision.CredentialRejected, carries("opaque"), nil),
			refused("cut off", decision.CredentialRejected, carries(good[:len(good)-8]+"."), nil),
			refused("a megabyte", decision.CredentialRejected, carries(good+strings.Repeat("A", 1<<20)), nil),
			refused("encrypted", decision.CredentialRejected, carries(good+".a.b"), nil),
			refused("Bearer twice", decision.CredentialRejected, carries("Bearer "+good), fact("check", "form: the word Bearer stands in front of the token once too often", "", decision.ToOperator)),
			refused("a claim twice", decision.CredentialRejected, carries(tokenBy(idp, "", []byte(`{"iss":"https://id.example.com","iss":"x"}`))), nil),
			refused("payload is no object", decision.CredentialRejected, carries(tokenBy(idp, "", []byte(`"x"`))), nil),
			refused("another issuer", decision.TokenIssuer, carries(token(map[string]any{"iss": "https://other.example"})), fact("issuer", "https://id.example.com", "https://other.example", decision.ToOperator)),
			refused("no issuer", decision.TokenIssuer, carries(token(map[string]any{"iss": nil})), nil),
			refused("alg none", decision.TokenAlgorithm, carries(raw(`{"alg":"none"}`, string(claims(nil)), "")), fact("algorithm", "RS256, EdDSA", "none", decision.ToOperator)),
			refused("HS256 with the public key", decision.TokenAlgorithm, carries(raw(`{"alg":"HS256","kid":"2026-03"}`, string(claims(nil)), "mac")), nil),
			refused("a key of its own", decision.TokenKeyUnknown, carries(raw(`{"alg":"EdDSA","jwk":`+string(forger.JWK())+`,"kid":"mine","jku":"https://evil.example"}`, string(claims(nil)), "x")), fact("kid", "2026-03", "mine", decision.ToOperator)),
			refused("an unknown kid", decision.TokenKeyUnknown, carries(tokenBy(rotated, "JWT", claims(nil))), nil),
			refused("a kid that is a path", decision.TokenKeyUnknown, carries(raw(`{"alg":"EdDSA","kid":"../../etc/passwd"}`, string(claims(nil)), "x")), nil),
			refused("no kid, and no key for its algorithm", decision.TokenKeyUnknown, carries(raw(`{"alg":"RS256"}`, string(claims(nil)), "x")), nil),
			refused("forged", decision.TokenSignature, carries(tokenBy(forger, "JWT", claims(nil))), fact("kid", "2026-03", "2026-03", decision.ToOperator)),
			refused("forged, without a kid", decision.TokenSignature, carries(raw(`{"alg":"EdDSA"}`, string(claims(nil)), "x")), nil),
			refused("expired", decision.TokenExpired, carries(token(map[string]any{"exp": unix(-40 * time.Second)})), func(t *testing.T, x *gate.Exchange, v decision.Verdict) {
				const want = "The token expired 40s ago: it says 2026-03-04T11:59:20Z, and our clock says 2026-03-04T12:00:00Z."
				if said := v.Render(x.Asker()); said.Detail != want {
					t.Errorf("told %q, want %q", said.Detail, want)
				}
			}),
			refused("not yet valid", decision.TokenNotYetValid, carries(token(map[string]any{"nbf": unix(90 * time.Second)})), fact("ahead", "1m30s", "our clock, with 30s allowed", decision.ToProven)),
			refused("issued in the future", decision.TokenNotYetValid, carries(token(map[string]any{"iat": unix(time.Hour)})), nil),
			refused("for another audience", decision.TokenAudience, carries(token(map[string]any{"aud": []string{"stock", "mail"}})), fact("audience", "orders, shop", "stock, mail", decision.ToProven)),
			refused("for nobody", decision.TokenAudience, carries(token(map[string]any{"aud": nil})), nil),
			refused("for another audience, and expired", decision.TokenAudience, carries(token(map[string]any{"aud": "stock", "exp": unix(-time.Hour)})), fact("also", "authn.token_expired", "expires 2026-03-04T11:00:00Z, our clock says 2026-03-04T12:00:00Z", decision.ToProven)),
			refused("without an end", decision.TokenClaim, carries(token(map[string]any{"exp": nil})), fact("claim", "exp", "missing", decision.ToProven)),
			refused("an end that is no time", decision.TokenClaim, carries(token(map[string]any{"exp": "tomorrow"})), nil),
			refused("an end beyond time", decision.TokenClaim, carries(token(map[string]any{"exp": 1e18})), nil),
			refused("another typ", decision.TokenClaim, carries(tokenBy(idp, "logout+jwt", claims(nil))), fact("claim", "typ", "logout+jwt", decision.ToProven)),
			refused("a required claim is missing", decision.TokenClaim, carries(token(map[string]any{"dept": nil})), fact("need", "tea or coffee", "", decision.ToProven)),
			refused("a required claim says something else", decision.TokenClaim, carries(token(map[string]any{"dept": "milk"})), fact("claim", "dept", "'milk'", decision.ToProven)),
			refused("no application", decision.TokenClaim, carries(token(map[string]any{"azp": nil})), fact("claim", "client_id or azp", "missing", decision.ToProven)),
			refused("an application that is not known", decision.ApplicationUnknown, carries(token(map[string]any{"azp": "nobody"})), fact("application", "one of the directory", "nobody", decision.ToProven)),
		},
		Unknown: []gatetest.Case{
			{Name: "a record", Setup: all(with("Authorization", decision.Redacted), published), Reason: decision.CredentialRejected},
			{Name: "no keys here", Setup: with("Authorization", "Bearer "+good), Reason: decision.AuthnUnavailable},
		},
		Outages: []gatetest.Case{
			{Name: "the issuer", Setup: all(carries(good), func(x *gate.Exchange) { x.Env.KeySets = &gatetest.KeySets{Err: gatetest.ErrOutage} }), Reason: decision.AuthnUnavailable},
			{Name: "the directory", Setup: all(carries(good), gatetest.Outage), Reason: decision.AuthnUnavailable},
		},
		Canaries: []string{good, strings.Split(good, ".")[2]},
	})
}

func TestAGoodTokenFillsThePrincipal(t *testing.T) {
	g := newTokens()
	for range 2 { // first seen, and repeated
		x := gatetest.Exchange(carries(token(nil)))
		if v := g.Check(ctx, x); !v.Passed() {
			t.Fatal(v.Render(decision.ToOperator))
		}
		p := &x.Principal
		if !p.Proven || p.Method != "jwt" || p.Field != "Authorization" || p.Subject != "ada" || p.Issuer != "https://id.example.com" ||
			p.Application.ID != "shop-web" || p.Tenant.ID != "acme" || !slices.Equal(p.Scopes, []string{"orders:read", "orders:write"}) ||
			!slices.Equal(p.Roles, []string{"order-writer"}) || !slices.Equal(p.Attributes, []gate.Attribute{{Name: "department", Value: "tea"}}) {
			t.Errorf("principal %+v", p)
		}
	}
}

func TestARememberedTokenEndsWithItsTimeItsKeyAndItsApplication(t *testing.T) {
	g := newTokens()
	x := gatetest.Exchange(carries(token(nil)))
	check := func(want *decision.Reason) {
		t.Helper()
		v := g.Check(ctx, x)
		if v.Reason() != want {
			t.Errorf("got %v, want %v", v.Reason(), want)
		}
	}
	check(nil)
	x.Env.Now = func() time.Time { return gatetest.Now.Add(time.Minute + 29*time.Second) }
	check(nil) // within the skew
	x.Env.Now = func() time.Time { return gatetest.Now.Add(time.Minute + 30*time.Second) }
	check(decision.TokenExpired)
	x.Env.Now = func() time.Time { return gatetest.Now }
	check(nil)
	x.Env.KeySets = &gatetest.KeySets{Set: setOf(idp, rotated)}
	check(nil) // a key more
	x.Env.KeySets = &gatetest.KeySets{Set: setOf(rotated)}
	check(decision.TokenKeyUnknown) // its key was withdrawn
	x.Env.KeySets = &gatetest.KeySets{Set: setOf(idp)}
	check(nil)
	delete(gatetest.DirectoryOf(x).Applications, "shop-web")
	check(decision.ApplicationUnknown)
}

func TestARotationActsAtOnce(t *testing.T) {
	keys := &gatetest.KeySets{Set: setOf(idp), Next: setOf(idp, rotated)}
	x := gatetest.Exchange(carries(tokenBy(rotated, "JWT", claims(nil))), func(x *gate.Exchange) { x.Env.KeySets = keys })
	if v := newTokens().Check(ctx, x); !v.Passed() || keys.Fetches != 1 {
		t.Errorf("%d fetches: %s", keys.Fetches, v.Render(decision.ToOperator).Detail)
	}
}

func TestSeveralMethods(t *testing.T) {
	several := func() gate.Gate {
		return authn.Several(rule, authn.New(authn.Config{Bearer: true, Rule: rule}), authn.Tokens(rule, newIssuer()))
	}
	expiredKey := row(func(k *directory.Key) { k.Expires = gatetest.Now.Add(-time.Hour) })
	for _, c := range []struct {
		name   string
		setup  func(*gate.Exchange)
		reason *decision.Reason
		method string
		facts  []string
	}{
		{"a key", with("X-API-Key", key), nil, "api_key", nil},
		{"a key as bearer", with("Authorization", "Bearer "+key), nil, "api_key", nil},
		{"a token", carries(token(nil)), nil, "jwt", nil},
		{"a bad key and a good token", all(carries(token(nil)), with("X-API-Key", "x")), nil, "jwt", nil},
		{"an expired key and a forged token: the key's holder is proven", all(carries(tokenBy(forger, "", claims(nil))), with("X-API-Key", key), expiredKey), decision.KeyExpired, "", []string{"method api_key", "method jwt"}},
		{"an unknown key and an unknown issuer", all(carries(token(map[string]any{"iss": "x"})), with("X-API-Key", "x")), decision.TokenIssuer, "", []string{"method api_key", "method jwt"}},
		{"an outage goes before a denial", all(with("X-API-Key", "x", "Authorization", "Bearer "+token(nil)), func(x *gate.Exchange) { x.Env.KeySets = &gatetest.KeySets{Err: gatetest.ErrOutage} }), decision.AuthnUnavailable, "", nil},
		{"a key in the query", gatetest.Target("GET", "/o?k="+key), decision.CredentialMisplaced, "", nil},
		{"nothing", published, decision.CredentialMissing, "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := gatetest.Exchange(c.setup)
			v := several().Check(ctx, x)
			if v.Reason() != c.reason || x.Principal.Method != c.method && c.reason == nil {
				t.Fatalf("got %v by %q: %s", v.Reason(), x.Principal.Method, v.Render(decision.ToOperator).Detail)
			}
			if c.reason == nil {
				if x.Challenge != "" {
					t.Errorf("a pass with a challenge: %s", x.Challenge)
				}
				return
			}
			for _, name := range c.facts {
				if !slices.ContainsFunc(v.Facts(), func(f decision.Fact) bool { return f.Name == name && f.Public == decision.ToOperator && f.Got != "" }) {
					t.Errorf("no fact %q in %+v", name, v.Facts())
				}
			}
			if c.reason.Status == 401 && strings.Count(x.Challenge, "realm=") != 1 { // both ways invite by the same scheme
				t.Errorf("the challenge does not list both ways: %s", x.Challenge)
			}
		})
	}
}

func FuzzTokens(f *testing.F) {
	good := token(nil)
	f.Add(good)
	f.Add(tokenBy(forger, "JWT", claims(nil)))
	f.Add("ey.ey.")
	g := newTokens()
	f.Fuzz(func(t *testing.T, text string) {
		x := gatetest.Exchange(carries(text))
		if v := g.Check(context.Background(), x); v.Passed() && strings.TrimLeft(text, " \t") != good {
			t.Fatalf("passed: %q", text)
		} else if !v.Passed() && v.Outcome() != decision.OutcomeAbstain && x.Principal.Proven && v.Reason().Public != decision.ToProven {
			t.Fatalf("%s leaves a proven principal", v.Reason().Code)
		}
	})
}

func BenchmarkTokenRepeated(b *testing.B) {
	g, x := newTokens(), gatetest.Exchange(carries(token(nil)))
	b.ReportAllocs()
	for b.Loop() {
		if v := g.Check(ctx, x); !v.Passed() {
			b.Fatal("refused")
		}
	}
}

func BenchmarkTokenFirstSeen(b *testing.B) {
	x := gatetest.Exchange(carries(token(nil)))
	x.Env.Dry = true // nothing is remembered
	g := newTokens()
	b.ReportAllocs()
	for b.Loop() {
		if v := g.Check(ctx, x); !v.Passed() {
			b.Fatal("refused")
		}
	}
}
