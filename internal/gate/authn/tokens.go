package authn

import (
	"context"
	"crypto/sha256"
	"errors"
	"strings"
	"unsafe"

	"postern/internal/decision"
	"postern/internal/directory"
	"postern/internal/gate"
	"postern/internal/jose"
)

// Tokens compiles the method that accepts signed JSON Web Tokens as Authorization: Bearer (RFC 6750, RFC 7519, RFC 8725).
// The issuers must differ in their names.
func Tokens(rule *decision.Rule, issuers ...*Issuer) Method {
	g := &tokens{rule: rule, issuers: issuers}
	var names []string
	for _, i := range issuers {
		names = append(names, i.c.Issuer)
	}
	g.names = strings.Join(names, ", ")
	return g
}

type tokens struct {
	rule    *decision.Rule
	issuers []*Issuer
	names   string
}

const (
	bearerChallenge    = `Bearer realm="postern"`
	bearerInvalidToken = bearerChallenge + `, error="invalid_token"`
	bearerInvalid      = bearerChallenge + `, error="invalid_request"`
)

func (g *tokens) called() string  { return "jwt" }
func (g *tokens) invites() string { return bearerChallenge }
func (g *tokens) what() string    { return "a token of " + g.names + " as Authorization: Bearer" }

// offered takes every bearer credential that does not have the form of an API key: a token that was mangled shall be
// called one.
func (g *tokens) offered(x *gate.Exchange) bool {
	t, n := bearer(x.Header)
	return n > 0 && t != "" && !strings.HasPrefix(t, keyPrefix)
}

// Check implements gate.Gate.
func (g *tokens) Check(ctx context.Context, x *gate.Exchange) decision.Verdict {
	x.Principal = gate.Principal{}
	text, n := bearer(x.Header)
	switch {
	case n > 1:
		v := verdictRejected(x, g.rule, bearerInvalid, "ambiguous: Authorization: Bearer came several times")
		return v
	case text == "":
		x.Challenge = bearerChallenge
		return decision.Refuse(decision.CredentialMissing, g.rule,
			decision.Fact{Name: "accepts", Want: g.what(), Public: decision.ToAnyone}, decision.SecretFact("credential", false),
			decision.Fact{Name: "where", Want: ": there is no token after Authorization: Bearer", Public: decision.ToAnyone})
	case text == decision.Redacted:
		x.Challenge = bearerInvalidToken
		return decision.Abstain(decision.CredentialRejected, g.rule,
			decision.Fact{Name: "header Authorization", Want: "the token itself: records keep credentials out", Got: decision.Redacted, Public: decision.ToAnyone},
			decision.Fact{Name: "check", Want: "unknown: the request carries the placeholder of a redacted credential"})
	}
	if len(text) > jose.MaxToken {
		return verdictRejected(x, g.rule, bearerInvalidToken, "form: the token is longer than 16 KiB")
	}
	p := &x.Principal
	p.Digest = sha256.Sum256(unsafe.Slice(unsafe.StringData(text), len(text)))
	for _, i := range g.issuers {
		if known := i.cache.get(&p.Digest); known != nil {
			set, err := i.keys(ctx, x, "")
			if err != nil {
				return g.noKeys(x, i, err)
			}
			if known.set == set || set.Has(&known.key) {
				return g.accept(x, i, known)
			}
			i.cache.drop(&p.Digest) // its key was withdrawn
		}
	}
	return g.verify(ctx, x, text)
}

// verify looks at a token for the first time.
func (g *tokens) verify(ctx context.Context, x *gate.Exchange, text string) decision.Verdict {
	t, err := jose.Parse(text)
	if err != nil {
		if _, ok := bearerToken(text); ok {
			err = errors.New("the word Bearer stands in front of the token once too often")
		}
		return verdictRejected(x, g.rule, bearerInvalidToken, "form: "+err.Error())
	}
	claims, err := jose.ParseClaims(t.Payload)
	if err != nil {
		return verdictRejected(x, g.rule, bearerInvalidToken, "form: "+err.Error())
	}
	name := claims.Text("iss")
	i := g.issuer(name)
	if i == nil {
		return g.refuse(x, decision.TokenIssuer, decision.Fact{Name: "issuer", Want: g.names, Got: or(clip(name), "nobody (no iss claim)")})
	}
	if !i.accepts(t.Algorithm) {
		return g.refuse(x, decision.TokenAlgorithm, decision.Fact{Name: "algorithm", Want: strings.Join(i.c.Algorithms, ", "), Got: clip(t.Algorithm)})
	}
	set, err := i.keys(ctx, x, "")
	if err != nil {
		return g.noKeys(x, i, err)
	}
	found := set.Find(t.KeyID, t.Algorithm)
	if len(found) == 0 && t.KeyID != "" {
		if set, err = i.keys(ctx, x, t.KeyID); err != nil {
			return g.noKeys(x, i, err)
		}
		found = set.Find(t.KeyID, t.Algorithm)
	}
	if len(found) == 0 {
		return g.refuse(x, decision.TokenKeyUnknown,
			decision.Fact{Name: "kid", Want: strings.Join(set.IDs(), ", "), Got: or(clip(t.KeyID), "(none)")},
			decision.Fact{Name: "algorithm", Want: strings.Join(i.c.Algorithms, ", "), Got: clip(t.Algorithm)},
			decision.Fact{Name: "keyset", Want: i.origin()})
	}
	for _, k := range found {
		if t.Verify(k) == nil {
			return g.verified(x, i, t, claims, set, k)
		}
	}
	return g.refuse(x, decision.TokenSignature,
		decision.Fact{Name: "kid", Want: strings.Join(set.IDs(), ", "), Got: or(clip(t.KeyID), found[0].ID)},
		decision.Fact{Name: "algorithm", Want: strings.Join(i.c.Algorithms, ", "), Got: clip(t.Algorithm)},
		decision.Fact{Name: "keyset", Want: i.origin()})
}

// verified judges the claims of a token whose signature is good. From here on the caller is proven.
func (g *tokens) verified(x *gate.Exchange, i *Issuer, t *jose.Token, claims jose.Claims, set *jose.Set, k *jose.Key) decision.Verdict {
	p := &x.Principal
	g.prove(p, i)
	v, fault := i.read(t, claims)
	if fault == nil {
		v.set, v.key = set, k.Thumbprint
		fault = v.late(i, x.Env.Now())
	} else if late := v.late(i, x.Env.Now()); late != nil && !v.expires.IsZero() {
		f := &late.facts[0]
		fault.facts = append(fault.facts, decision.Fact{Name: "also", Want: late.reason.Code, Got: f.Name + " " + f.Want + ", our clock says " + f.Got, Public: decision.ToProven})
	}
	if fault != nil {
		return g.late(x, v, fault)
	}
	if x.Env.Dry {
		return g.accept(x, i, v)
	}
	i.cache.put(p.Digest, v, x.Env.Now())
	return g.accept(x, i, v)
}

// late refuses a genuine token. Who sent it is known all the same, and is put on the exchange as far as the directory knows
// it, so that the later gates can be asked too.
func (g *tokens) late(x *gate.Exchange, v *verified, fault *fault) decision.Verdict {
	p := &x.Principal
	p.Subject, p.Scopes, p.Roles, p.Attributes = v.subject, v.scopes, v.roles, v.attributes
	if dir := x.Env.Directory; dir != nil && v.application != "" {
		known, err := dir.Application(v.application, &p.Application)
		if known && err == nil {
			known, err = dir.Tenant(p.Application.Tenant, &p.Tenant)
		}
		if !known || err != nil {
			p.Application, p.Tenant = directory.Application{}, directory.Tenant{}
		}
	}
	x.Challenge = bearerInvalidToken
	return decision.Refuse(fault.reason, g.rule, fault.facts...)
}

func (g *tokens) prove(p *gate.Principal, i *Issuer) {
	p.Proven, p.Method, p.Field, p.Issuer = true, i.method, authorization, i.c.Issuer
}

// accept fills the principal from a token that is known to be good, and asks only what time and the directory say.
func (g *tokens) accept(x *gate.Exchange, i *Issuer, v *verified) decision.Verdict {
	p := &x.Principal
	g.prove(p, i)
	p.Subject, p.Scopes, p.Roles, p.Attributes = v.subject, v.scopes, v.roles, v.attributes
	if fault := v.late(i, x.Env.Now()); fault != nil {
		return g.late(x, v, fault)
	}
	if verdict, ok := settle(x, g.rule, v.application); !ok {
		return verdict
	}
	return decision.Pass(g.rule)
}

func (g *tokens) issuer(name string) *Issuer {
	for _, i := range g.issuers {
		if i.c.Issuer == name {
			return i
		}
	}
	return nil
}

func (g *tokens) refuse(x *gate.Exchange, r *decision.Reason, facts ...decision.Fact) decision.Verdict {
	x.Principal = gate.Principal{}
	x.Challenge = bearerInvalidToken
	return decision.Refuse(r, g.rule, append(facts, decision.SecretFact("credential", true))...)
}

// noKeys answers when the keys are not known: unknown when nothing may be fetched, unavailable otherwise.
func (g *tokens) noKeys(x *gate.Exchange, i *Issuer, err error) decision.Verdict {
	if errors.Is(err, gate.ErrKeysNotFetched) {
		x.Principal = gate.Principal{}
		x.RetryAfter = retryAfter
		return decision.Abstain(decision.AuthnUnavailable, g.rule,
			decision.Fact{Name: "jwks", Want: "the keys of " + i.c.Issuer + ": " + i.origin(), Got: "not fetched here", Public: decision.ToAnyone})
	}
	return verdictUnavailable(x, g.rule, "the keys of "+i.c.Issuer, err.Error())
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// tokenElsewhere names the place of a token that stands where none is read.
func tokenElsewhere(x *gate.Exchange) string {
	for i := range x.Header {
		f := &x.Header[i]
		switch {
		case jose.LooksLikeToken(f.Value) && strings.EqualFold(f.Name, authorization):
			return "Authorization without the word Bearer in front of the token"
		case jose.LooksLikeToken(f.Value) && sayable(f.Name):
			return "the header " + strings.Clone(f.Name)
		case strings.EqualFold(f.Name, authorization):
			if scheme, rest, ok := strings.Cut(f.Value, " "); ok && jose.LooksLikeToken(strings.TrimLeft(rest, " ")) && sayable(scheme) {
				return "Authorization with the scheme " + strings.Clone(scheme)
			}
		case strings.EqualFold(f.Name, "Cookie"):
			for part := range strings.SplitSeq(f.Value, ";") {
				if _, v, ok := strings.Cut(part, "="); ok && jose.LooksLikeToken(v) {
					return "a cookie"
				}
			}
		}
	}
	for part := range strings.SplitSeq(x.RawQuery, "&") {
		if name, v, ok := strings.Cut(part, "="); ok && jose.LooksLikeToken(v) {
			if sayable(name) {
				return "the query string, as " + strings.Clone(name)
			}
			return "the query string"
		}
	}
	return ""
}
