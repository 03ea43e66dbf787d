package authn_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/gate/authn"
	"postern/internal/gatetest"
)

// server is an authorization server that answers alike.
type server struct {
	answer string
	err    error
	asked  int
}

func (s *server) Introspect(context.Context, *gate.IntrospectionSource, string) ([]byte, error) {
	s.asked++
	return []byte(s.answer), s.err
}

func newIntrospection() gate.Gate {
	return authn.Several(rule, authn.Introspection(authn.IntrospectionConfig{Source: gate.IntrospectionSource{ID: "i", URL: "https://id.example.com/introspect"},
		Audience: []string{"orders"}, Remember: time.Minute, Claims: authn.ClaimMap{Application: []string{"client_id"}, User: "sub", Scopes: []string{"scope"}}, Rule: rule}))
}

func says(answer string) func(*gate.Exchange) {
	return all(with("Authorization", "Bearer opaque-token-canary"), func(x *gate.Exchange) { x.Env.Introspector = &server{answer: answer} })
}

func TestIntrospection(t *testing.T) {
	exp := strconv.FormatInt(gatetest.Now.Add(time.Hour).Unix(), 10)
	good := `{"active":true,"client_id":"shop-web","aud":"orders","sub":"ada","scope":"r w","exp":` + exp + `}`
	for name, c := range map[string]struct {
		setup  func(*gate.Exchange)
		reason *decision.Reason
	}{
		"active":                 {says(good), nil},
		"active, without an end": {says(`{"active":true,"client_id":"shop-web","aud":["orders"]}`), nil},
		"not active":             {says(`{"active":false}`), decision.CredentialRejected},
		"for another audience":   {says(`{"active":true,"client_id":"shop-web","aud":"x","exp":` + exp + `}`), decision.TokenAudience},
		"for another, no end":    {says(`{"active":true,"client_id":"shop-web","aud":"x"}`), decision.TokenAudience},
		"no application":         {says(`{"active":true,"aud":"orders","exp":` + exp + `}`), decision.TokenClaim},
		"no application, no end": {says(`{"active":true,"aud":"orders"}`), decision.TokenClaim},
		"an unknown application": {says(`{"active":true,"aud":"orders","client_id":"x","exp":` + exp + `}`), decision.ApplicationUnknown},
		"ended by our clock":     {says(`{"active":true,"aud":"orders","client_id":"shop-web","exp":1}`), decision.TokenExpired},
		"active twice":           {says(`{"active":false,"active":true}`), decision.AuthnUnavailable},
		"active as text":         {says(`{"active":"yes"}`), decision.AuthnUnavailable},
		"an error page":          {says(`<html>`), decision.AuthnUnavailable},
		"nothing":                {func(x *gate.Exchange) { says(good)(x); x.Header.Del("Authorization") }, decision.CredentialMissing},
		"it does not answer":     {func(x *gate.Exchange) { says(good)(x); x.Env.Introspector.(*server).err = gatetest.ErrOutage }, decision.AuthnUnavailable},
		"there is nobody to ask": {with("Authorization", "Bearer x"), decision.AuthnUnavailable},
		"the token came twice":   {func(x *gate.Exchange) { says(good)(x); with("Authorization", "Bearer y")(x) }, decision.CredentialRejected},
	} {
		x := gatetest.Exchange(c.setup)
		v := newIntrospection().Check(ctx, x)
		if v.Reason() != c.reason {
			t.Errorf("%s: %v, %s", name, v.Reason(), v.Render(decision.ToOperator).Detail)
		}
		if c.reason != nil && c.reason.Status < 500 && c.reason != decision.CredentialMissing && x.Principal.Proven != (c.reason.Public == decision.ToProven) {
			t.Errorf("%s: proven %v", name, x.Principal.Proven)
		}
	}
	g, x := newIntrospection(), gatetest.Exchange(says(good))
	gatetest.Dry(x)
	if v := g.Check(ctx, x); v.Outcome() != decision.OutcomeAbstain || x.Env.Introspector.(*server).asked != 0 {
		t.Error("a simulation asked the authorization server")
	}
	x = gatetest.Exchange(says(good))
	s := x.Env.Introspector.(*server)
	for range 3 {
		if v := g.Check(ctx, x); !v.Passed() || x.Principal.Method != "introspection" || x.Principal.Subject != "ada" || len(x.Principal.Scopes) != 2 {
			t.Fatalf("%+v %s", x.Principal, v.Render(decision.ToOperator).Detail)
		}
	}
	if s.asked != 1 {
		t.Errorf("asked %d times within a minute", s.asked)
	}
	s.answer = `{"active":false}`
	x.Env.Now = func() time.Time { return gatetest.Now.Add(61 * time.Second) }
	if v := g.Check(ctx, x); v.Reason() != decision.CredentialRejected || s.asked != 2 {
		t.Error("a revoked token goes on working")
	}
}
