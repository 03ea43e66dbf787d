package snapshot

import (
	"cmp"
	"net/url"
	"strings"
	"time"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/gate/account"
	"postern/internal/gate/authn"
	"postern/internal/gate/route"
	"postern/internal/gate/token"
	"postern/internal/policy"
)

// ownAudience are the aud values of the gateway's own tokens.
func ownAudience(t *policy.TokenEndpoint) []string {
	if len(t.Audience) > 0 {
		return t.Audience
	}
	return []string{t.Issuer}
}

// ownIssuer accepts the gateway's own tokens.
func (b *builder) ownIssuer() *authn.Issuer {
	const id = "own"
	if i := b.issuers[id]; i != nil {
		return i
	}
	t := b.doc.TokenEndpoint
	i := authn.NewIssuer(authn.IssuerConfig{
		Issuer: t.Issuer, Source: gate.KeySource{ID: gate.OwnKeys, Issuer: t.Issuer}, Algorithms: []string{"ES256"},
		Audience: ownAudience(t), Types: []string{"at+jwt"}, Skew: 30 * time.Second,
		Claims: authn.ClaimMap{Application: []string{"client_id"}, Scopes: []string{"scope"}},
	})
	if b.issuers == nil {
		b.issuers = map[string]*authn.Issuer{}
	}
	b.issuers[id] = i
	return i
}

// compileTokenEndpoint makes the operations of the gateway's own token endpoint. They stand outside of order.go, because
// they answer and lead nowhere: the flood guard, who the client is, whether it may act, and the answer.
func (b *builder) compileTokenEndpoint() {
	const at = "/token_endpoint"
	t := b.doc.TokenEndpoint
	if t == nil {
		return
	}
	issuer, err := url.Parse(t.Issuer)
	if err != nil || issuer.Scheme != "https" && !(issuer.Scheme == "http" && localName(issuer.Hostname())) || issuer.Host == "" || issuer.RawQuery != "" || issuer.Fragment != "" || issuer.User != nil {
		b.problem(at+"/issuer", "write the https address callers reach the gateway by, such as https://api.example.com", "%q is no issuer (RFC 8414)", t.Issuer)
		return
	}
	if t.Lifetime < 0 || t.Lifetime > policy.Duration(24*time.Hour) {
		b.problem(at+"/lifetime", "write at most 24h: a token cannot be taken back", "a lifetime of %s is not possible", t.Lifetime)
	}
	base, fault := route.Normalise(cmp.Or(t.Path, "/oauth"), route.RefuseEncodedSlash)
	if fault != nil || strings.HasSuffix(base, "/") || strings.ContainsAny(base, "{}") {
		b.problem(at+"/path", "write a path such as /oauth", "%q is no path for the token endpoint", t.Path)
		return
	}
	for i, h := range t.Hosts {
		if _, fault := route.ParseHostPattern(h); fault != nil {
			b.problem(at+"/hosts", fault.Remedy, "host %d: %s", i, fault.Text)
			return
		}
	}
	rule := &decision.Rule{ID: "token_endpoint#token", Pointer: at}
	front := strings.TrimSuffix(t.Issuer, "/")
	address := front + base + "/token"
	client := authn.ClientAuth(&decision.Rule{ID: "token_endpoint#authn", Pointer: at}, t.Issuer, address)
	var guard gate.Chain
	if b.flood != nil {
		guard = gate.Chain{{Name: "limit", Gate: b.flood}}
	}
	for _, o := range []struct {
		name, title, method, path string
		chain                     gate.Chain
	}{
		{"token", "fetch a token", "POST", base + "/token", gate.Chain{{Name: "authn", Gate: client}, {Name: "account", Gate: account.New()},
			{Name: "token", Gate: token.New(token.Config{Issuer: t.Issuer, Audience: ownAudience(t), Lifetime: t.Lifetime.Or(10 * time.Minute), Rule: rule})}}},
		{"jwks", "read the key set", "GET", base + "/jwks", gate.Chain{{Name: "token", Gate: token.Keys(rule)}}},
		{"metadata", "read the metadata", "GET", "/.well-known/oauth-authorization-server" + strings.TrimSuffix(issuer.Path, "/"),
			gate.Chain{{Name: "token", Gate: token.Metadata(t.Issuer, address, front+base+"/jwks", rule)}}},
	} {
		op := &gate.Operation{API: "token-endpoint", Version: "v1", Name: o.name, Title: o.title, Method: o.method, Template: o.path, Pointer: at,
			Dialect: "oauth", BodyBytes: 32 << 10, Chain: append(append(gate.Chain(nil), guard...), o.chain...)}
		b.entries = append(b.entries, route.Entry{Op: op, Hosts: t.Hosts, Open: o.name != "token"})
		listed := Operation{Operation: op, State: "published", Hosts: t.Hosts, Open: o.name != "token"}
		for _, l := range op.Chain {
			listed.Gates = append(listed.Gates, l.Name)
		}
		b.listed = append(b.listed, listed)
	}
}
