// Package token is the gateway's own token endpoint: an application that has proven itself gets a short-lived token with the
// scopes of its credential (RFC 6749 section 4.4, RFC 9068). It answers, so that it stands last in a chain of its own, behind
// authn, which knows the ways in which clients authenticate, and account.
//
// It is no identity provider: people never sign in here.
package token

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/header"
)

// Config is what tokens say.
type Config struct {
	Issuer   string
	Audience []string
	Lifetime time.Duration
	Rule     *decision.Rule
}

// New compiles the gate that issues tokens.
func New(c Config) gate.Gate { return &issue{c} }

type issue struct{ c Config }

const maxForm = 32 << 10

// Check implements gate.Gate.
func (g *issue) Check(ctx context.Context, x *gate.Exchange) decision.Verdict {
	p := &x.Principal
	if !p.Proven || p.Application.ID == "" {
		return decision.Abstain(decision.TokenGrant, g.c.Rule,
			decision.Fact{Name: "principal", Want: "who calls: a client that authn accepts", Public: decision.ToAnyone})
	}
	b, whole, err := x.Body.Peek(ctx, maxForm)
	form, parseErr := url.ParseQuery(string(b))
	media, _, _ := strings.Cut(x.Header.Get("Content-Type"), ";")
	switch {
	case err != nil || !whole:
		return g.refuse("the body is larger than 32 KiB, or broken off")
	case parseErr != nil || !header.EqualFold(strings.TrimSpace(media), "application/x-www-form-urlencoded"):
		return g.refuse("the body is no form (application/x-www-form-urlencoded)")
	case len(form["grant_type"]) != 1 || len(form["scope"]) > 1:
		return g.refuse("grant_type or scope is missing, or came several times")
	case form.Get("grant_type") != "client_credentials":
		return g.refuse("the grant type is not client_credentials")
	}
	scopes := p.Scopes
	if asked := strings.Fields(form.Get("scope")); len(asked) > 0 {
		for _, s := range asked {
			if !slices.Contains(p.Scopes, s) {
				return decision.Refuse(decision.TokenScope, g.c.Rule,
					decision.Fact{Name: "scope", Want: clip(s), Got: strings.Join(p.Scopes, " "), Public: decision.ToProven})
			}
		}
		scopes = asked
	}
	if x.Env.TokenSigner == nil {
		return g.unavailable(x, "this gateway has no signing keys")
	}
	if x.Env.Dry {
		x.Reply = &gate.Reply{Status: 200, Body: []byte("{}")} // nothing is issued by asking
		return decision.Answered(g.c.Rule)
	}
	return g.issue(x, scopes)
}

func (g *issue) issue(x *gate.Exchange, scopes []string) decision.Verdict {
	s, err := x.Env.TokenSigner.Signer()
	if err != nil {
		return g.unavailable(x, err.Error())
	}
	now := x.Env.Now()
	p := &x.Principal
	payload, err := json.Marshal(map[string]any{
		"iss": g.c.Issuer, "aud": g.c.Audience, "sub": p.Key.ID, "client_id": p.Application.ID, "scope": strings.Join(scopes, " "),
		"iat": now.Unix(), "exp": now.Add(g.c.Lifetime).Unix(), "jti": rand.Text(),
	})
	if err != nil {
		return g.unavailable(x, err.Error())
	}
	text, err := s.Sign("at+jwt", payload)
	if err != nil {
		return g.unavailable(x, err.Error())
	}
	body, _ := json.Marshal(map[string]any{"access_token": text, "token_type": "Bearer", "expires_in": int64(g.c.Lifetime / time.Second), "scope": strings.Join(scopes, " ")})
	x.Reply = &gate.Reply{Status: 200, Body: body, Header: header.List{
		{Name: "Content-Type", Value: "application/json"}, {Name: "Cache-Control", Value: "no-store"}, {Name: "Pragma", Value: "no-cache"}}}
	return decision.Answered(g.c.Rule)
}

func (g *issue) refuse(fault string) decision.Verdict {
	return decision.Refuse(decision.TokenGrant, g.c.Rule, decision.Fact{Name: "fault", Want: fault, Public: decision.ToAnyone})
}

func (g *issue) unavailable(x *gate.Exchange, fault string) decision.Verdict {
	x.RetryAfter = 5 * time.Second
	return decision.Refuse(decision.AuthnUnavailable, g.c.Rule, decision.Fact{Name: "dependency", Want: "the signing keys", Got: fault})
}

func clip(s string) string { return strings.Clone(s[:min(len(s), 200)]) }

// Keys compiles the gate that publishes the keys (RFC 7517).
func Keys(rule *decision.Rule) gate.Gate { return &keys{rule} }

type keys struct{ rule *decision.Rule }

// Check implements gate.Gate.
func (g *keys) Check(_ context.Context, x *gate.Exchange) decision.Verdict {
	if x.Env.TokenSigner == nil {
		x.RetryAfter = 5 * time.Second
		return decision.Refuse(decision.AuthnUnavailable, g.rule, decision.Fact{Name: "dependency", Want: "the signing keys", Got: "this gateway has none"})
	}
	body, err := x.Env.TokenSigner.JWKS()
	if err != nil {
		x.RetryAfter = 5 * time.Second
		return decision.Refuse(decision.AuthnUnavailable, g.rule, decision.Fact{Name: "dependency", Want: "the signing keys", Got: err.Error()})
	}
	x.Reply = published(body, "application/jwk-set+json")
	return decision.Answered(g.rule)
}

// Metadata compiles the gate that publishes the endpoint's metadata (RFC 8414).
func Metadata(issuer, tokenEndpoint, jwks string, rule *decision.Rule) gate.Gate {
	body, _ := json.Marshal(map[string]any{
		"issuer": issuer, "token_endpoint": tokenEndpoint, "jwks_uri": jwks, "grant_types_supported": []string{"client_credentials"},
		"response_types_supported":                         []string{},
		"token_endpoint_auth_methods_supported":            []string{"client_secret_basic", "client_secret_post", "private_key_jwt"},
		"token_endpoint_auth_signing_alg_values_supported": []string{"EdDSA", "ES256", "RS256"},
	})
	return &metadata{body, rule}
}

type metadata struct {
	body []byte
	rule *decision.Rule
}

// Check implements gate.Gate.
func (g *metadata) Check(_ context.Context, x *gate.Exchange) decision.Verdict {
	x.Reply = published(g.body, "application/json")
	return decision.Answered(g.rule)
}

func published(body []byte, media string) *gate.Reply {
	return &gate.Reply{Status: 200, Body: body, Header: header.List{
		{Name: "Content-Type", Value: media}, {Name: "Cache-Control", Value: "public, max-age=" + strconv.Itoa(300)}}}
}
