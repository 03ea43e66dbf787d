package authn

import (
	"context"
	"crypto/sha256"
	"errors"
	"strings"
	"time"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/jose"
)

// IntrospectionConfig says who is asked about opaque tokens, and what the answers mean.
type IntrospectionConfig struct {
	Source      gate.IntrospectionSource
	Unread      bool     // the client secret was not read here (a document is only checked)
	Audience    []string // one of them is needed; none listed: not asked
	Remember    time.Duration
	Claims      ClaimMap
	Rule        *decision.Rule
	TakesTokens bool // also signed tokens, because no other method reads them
}

// Introspection compiles the method that asks the authorization server about each bearer token (RFC 7662). Answers are
// remembered for a short while, but never longer than the token lasts.
func Introspection(c IntrospectionConfig) Method {
	if c.Remember <= 0 {
		c.Remember = 30 * time.Second
	}
	g := &introspection{c: c}
	g.issuer = &Issuer{c: IssuerConfig{Issuer: c.Source.URL, Claims: c.Claims, Audience: c.Audience, AnyAudience: len(c.Audience) == 0,
		Types: []string{""}}, method: "introspection"}
	g.tokens = &tokens{rule: c.Rule, issuers: []*Issuer{g.issuer}, names: c.Source.URL}
	return g
}

type introspection struct {
	c      IntrospectionConfig
	issuer *Issuer
	tokens *tokens // fills principals
}

func (g *introspection) called() string  { return "introspection" }
func (g *introspection) invites() string { return bearerChallenge }
func (g *introspection) what() string    { return "a token as Authorization: Bearer" }

func (g *introspection) offered(x *gate.Exchange) bool {
	t, n := bearer(x.Header)
	return n > 0 && t != "" && !strings.HasPrefix(t, keyPrefix) && (g.c.TakesTokens || !jose.LooksLikeToken(t))
}

// Check implements gate.Gate.
func (g *introspection) Check(ctx context.Context, x *gate.Exchange) decision.Verdict {
	x.Principal = gate.Principal{}
	text, n := bearer(x.Header)
	switch {
	case n > 1:
		return verdictRejected(x, g.c.Rule, bearerInvalid, "ambiguous: Authorization: Bearer came several times")
	case text == decision.Redacted:
		return redactedField(x, g.c.Rule, bearerInvalidToken, authorization)
	case text == "" || len(text) > jose.MaxToken:
		return verdictRejected(x, g.c.Rule, bearerInvalidToken, "form: the token is empty, or longer than 16 KiB")
	}
	now := x.Env.Now()
	p := &x.Principal
	p.Digest = sha256.Sum256([]byte(text))
	if known := g.issuer.cache.get(&p.Digest); known != nil {
		if now.Before(known.until) && !now.Before(known.notBefore) {
			return g.conclude(x, known)
		}
		g.issuer.cache.drop(&p.Digest)
	}
	if x.Env.Dry || x.Env.Introspector == nil || g.c.Unread {
		if !x.Env.Dry && !g.c.Unread {
			return verdictUnavailable(x, g.c.Rule, "the introspection endpoint "+g.c.Source.URL, "there is no way to ask it")
		}
		x.Principal = gate.Principal{}
		x.RetryAfter = retryAfter
		return decision.Abstain(decision.AuthnUnavailable, g.c.Rule,
			decision.Fact{Name: "introspection", Want: "the answer of " + g.c.Source.URL + " about this token, which is not asked here", Public: decision.ToAnyone})
	}
	answer, err := x.Env.Introspector.Introspect(ctx, &g.c.Source, text)
	if err != nil {
		return verdictUnavailable(x, g.c.Rule, "the introspection endpoint "+g.c.Source.URL, err.Error())
	}
	v, err := g.read(answer, now)
	if err != nil {
		return verdictUnavailable(x, g.c.Rule, "the introspection endpoint "+g.c.Source.URL, err.Error())
	}
	v.notBefore = now.Add(-time.Second) // a clock that jumps back makes an answer no older than it is
	g.issuer.cache.put(p.Digest, v, now)
	return g.conclude(x, v)
}

var errAnswer = errors.New("the answer is no JSON object with \"active\"")

// read turns an answer into what is remembered.
func (g *introspection) read(answer []byte, now time.Time) (*verified, error) {
	c, err := jose.ParseClaims(answer)
	active := c.Texts("active")
	if err != nil || len(active) != 1 || active[0] != "true" && active[0] != "false" {
		return nil, errAnswer
	}
	until := now.Add(g.c.Remember)
	if active[0] == "false" {
		return &verified{inactive: true, until: until, expires: until}, nil
	}
	exp, there, ok := c.Time("exp")
	if there && !ok {
		return nil, errors.New("the answer has an exp that is no time")
	}
	v, first := g.issuer.read(&jose.Token{}, c)
	if first != nil && !there && len(first.facts) > 0 && first.facts[0].Name == "claim" && first.facts[0].Want == "exp" {
		first = nil // an authorization server may keep the end of a token to itself (RFC 7662 section 2.2)
		if v.application == "" {
			first = &fault{decision.TokenClaim, []decision.Fact{{Name: "claim", Want: strings.Join(g.c.Claims.Application, " or "), Got: "missing", Public: decision.ToProven},
				{Name: "need", Want: "the id of an application", Public: decision.ToProven}}}
		} else if len(g.c.Audience) > 0 && !meets(c.Texts("aud"), g.c.Audience) {
			first = &fault{decision.TokenAudience, []decision.Fact{{Name: "audience", Want: strings.Join(g.c.Audience, ", "), Got: or(clip(strings.Join(c.Texts("aud"), ", ")), "nobody (no aud)"), Public: decision.ToProven}}}
		}
	}
	v.fault = first
	if there && exp.Before(until) {
		until = exp
	}
	if !there {
		v.expires = until
	}
	v.until = until
	return v, nil
}

func meets(have, want []string) bool {
	for _, h := range have {
		for _, w := range want {
			if h == w {
				return true
			}
		}
	}
	return false
}

// conclude judges by an answer.
func (g *introspection) conclude(x *gate.Exchange, v *verified) decision.Verdict {
	switch {
	case v.inactive: // unknown, expired and revoked are one to who asks (RFC 7662 section 2.2)
		return verdictRejected(x, g.c.Rule, bearerInvalidToken, "introspection: "+g.c.Source.URL+" says that the token is not active")
	case v.fault != nil:
		g.tokens.prove(&x.Principal, g.issuer)
		return g.tokens.late(x, v, v.fault)
	}
	return g.tokens.accept(x, g.issuer, v)
}
