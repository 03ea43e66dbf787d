package token_test

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/gate/token"
	"postern/internal/gatetest"
	"postern/internal/jose"
)

var rule = &decision.Rule{ID: "token_endpoint#token", Pointer: "/token_endpoint"}

type signer struct{ err error }

func (s signer) Signer() (*jose.Signer, error) {
	k, _ := jose.NewSigner(ed25519.NewKeyFromSeed(make([]byte, 32)), "k1")
	return k, s.err
}
func (s signer) JWKS() ([]byte, error) {
	k, _ := s.Signer()
	return []byte(`{"keys":[` + string(k.JWK()) + `]}`), s.err
}

func newGate() gate.Gate {
	return token.New(token.Config{Issuer: "https://api.example.com", Audience: []string{"orders"}, Lifetime: time.Minute, Rule: rule})
}

func asks(form string) func(*gate.Exchange) {
	return func(x *gate.Exchange) {
		gatetest.Proven(x)
		x.Principal.Scopes = []string{"a", "b"}
		x.Env.TokenSigner = signer{}
		gatetest.Content("application/x-www-form-urlencoded", form)(x)
	}
}

func TestWhatIsRefused(t *testing.T) {
	no := func(name string, r *decision.Reason, setup func(*gate.Exchange)) gatetest.Case {
		return gatetest.Case{Name: name, Reason: r, Setup: setup}
	}
	gatetest.Run(t, gatetest.Suite{
		Name: "token", New: newGate,
		Refusals: []gatetest.Case{
			no("another grant", decision.TokenGrant, asks("grant_type=password")),
			no("no grant", decision.TokenGrant, asks("")),
			no("two grants", decision.TokenGrant, asks("grant_type=client_credentials&grant_type=client_credentials")),
			no("no form", decision.TokenGrant, asks("%zz")),
			no("JSON", decision.TokenGrant, func(x *gate.Exchange) {
				asks("")(x)
				x.Header.Del("Content-Type")
				gatetest.Content("application/json", `{"grant_type":"client_credentials"}`)(x)
			}),
			no("too large", decision.TokenGrant, asks("grant_type=client_credentials&x="+strings.Repeat("x", 40<<10))),
			no("a scope it does not have", decision.TokenScope, asks("grant_type=client_credentials&scope=a+admin")),
		},
		Unknown: []gatetest.Case{{Name: "nobody", Setup: func(*gate.Exchange) {}, Reason: decision.TokenGrant}},
	})
}

func TestATokenSaysWhoAndWhat(t *testing.T) {
	for form, want := range map[string]string{"grant_type=client_credentials": "a b", "grant_type=client_credentials&scope=b": "b"} {
		x := gatetest.Exchange(asks(form))
		if v := newGate().Check(context.Background(), x); v.Outcome() != decision.OutcomeAnswer || x.Reply.Status != 200 || x.Reply.Header.Get("Cache-Control") != "no-store" {
			t.Fatal(v.Render(decision.ToOperator).Detail)
		}
		var said struct {
			AccessToken string `json:"access_token"`
			TokenType   string `json:"token_type"`
			ExpiresIn   int    `json:"expires_in"`
			Scope       string
		}
		if err := json.Unmarshal(x.Reply.Body, &said); err != nil || said.TokenType != "Bearer" || said.ExpiresIn != 60 || said.Scope != want {
			t.Fatalf("%s, %v", x.Reply.Body, err)
		}
		tok, err := jose.Parse(said.AccessToken)
		if err != nil || tok.Type != "at+jwt" {
			t.Fatal(err)
		}
		c, _ := jose.ParseClaims(tok.Payload)
		exp, _, _ := c.Time("exp")
		if c.Text("client_id") != "shop-web" || c.Text("scope") != want || !exp.Equal(gatetest.Now.Add(time.Minute)) || c.Text("jti") == "" || c.Text("iss") != "https://api.example.com" {
			t.Errorf("claims %s", tok.Payload)
		}
	}
}

func TestAskingDryIssuesNothing(t *testing.T) {
	x := gatetest.Exchange(asks("grant_type=client_credentials"))
	gatetest.Dry(x)
	if v := newGate().Check(context.Background(), x); v.Outcome() != decision.OutcomeAnswer || strings.Contains(string(x.Reply.Body), "access_token") {
		t.Errorf("%s", x.Reply.Body)
	}
}

func TestWithoutKeysItIsUnavailable(t *testing.T) {
	for _, g := range []gate.Gate{newGate(), token.Keys(rule)} {
		for _, s := range []gate.TokenSigner{nil, signer{gatetest.ErrOutage}} {
			x := gatetest.Exchange(asks("grant_type=client_credentials"))
			x.Env.TokenSigner = s
			if v := g.Check(context.Background(), x); v.Reason() != decision.AuthnUnavailable || x.RetryAfter <= 0 {
				t.Errorf("%T: %v", g, v.Reason())
			}
		}
	}
}
