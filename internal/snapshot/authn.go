package snapshot

import (
	"cmp"
	"crypto/x509"
	"encoding/json"
	"errors"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/gate/authn"
	"postern/internal/jose"
	"postern/internal/policy"
)

// compileAuthn makes the gate of one `authn`, which may be nil: an API key is asked for then.
func (b *builder) compileAuthn(a *policy.Authn, rule *decision.Rule) gate.Gate {
	g := b.compileMethods(a, rule)
	if a != nil && a.Failures != nil && a.Failures.Most > 0 {
		g = authn.Failures(g, a.Failures.Most, a.Failures.Per.Or(time.Minute), rule)
	}
	return g
}

func (b *builder) compileMethods(a *policy.Authn, rule *decision.Rule) gate.Gate {
	if a == nil {
		a = &policy.Authn{}
	}
	var methods []authn.Method
	if k := a.Certificate; k != nil {
		c := authn.CertificateConfig{Forwarded: k.Forwarded, Rule: rule}
		c.Roots, c.Unread = b.authorities(k.CA)
		methods = append(methods, authn.Certificates(c))
	}
	if a.APIKey != nil || !otherMethods(a) {
		c := authn.Config{Header: "X-API-Key", Bearer: true, Rule: rule}
		if k := a.APIKey; k != nil {
			if k.Header != "" {
				c.Header = k.Header
			}
			c.Bearer = k.Bearer == nil || *k.Bearer
		}
		methods = append(methods, authn.New(c))
	}
	if len(a.JWT) > 0 || a.OwnTokens {
		var issuers []*authn.Issuer
		if a.OwnTokens && b.doc.TokenEndpoint != nil {
			issuers = append(issuers, b.ownIssuer())
		}
		for i := range a.JWT {
			issuers = append(issuers, b.issuer(&a.JWT[i]))
		}
		methods = append(methods, authn.Tokens(rule, issuers...))
	}
	if n := a.Introspection; n != nil {
		methods = append(methods, b.introspection(n, rule, len(a.JWT) == 0 && !a.OwnTokens))
	}
	if a.Basic {
		methods = append(methods, authn.Basic(rule))
	}
	if h := a.HMAC; h != nil {
		methods = append(methods, authn.HMAC(authn.HMACConfig{Region: h.Region, Service: h.Service, Window: time.Duration(h.Window),
			Headers: lowered(h.Headers), BodyBytes: h.BodyBytes, UnsignedPayload: h.UnsignedPayload, Rule: rule}))
	}
	if m := a.Signature; m != nil {
		methods = append(methods, authn.Signatures(authn.SignatureConfig{Window: time.Duration(m.Window),
			Components: lowered(m.Components), BodyBytes: m.BodyBytes, Rule: rule}))
	}
	if len(methods) == 1 && (a.APIKey != nil || !otherMethods(a)) {
		return methods[0]
	}
	return authn.Several(rule, methods...)
}

// otherMethods reports whether anything but an API key is accepted.
func otherMethods(a *policy.Authn) bool {
	return len(a.JWT) > 0 || a.OwnTokens || a.Introspection != nil || a.Certificate != nil || a.Basic || a.HMAC != nil || a.Signature != nil
}

func lowered(list []string) (out []string) {
	for _, s := range list {
		out = append(out, strings.ToLower(s))
	}
	return out
}

// authorities reads PEM certificates. unread says that they are referred to and may not be read here.
func (b *builder) authorities(pem string) (pool *x509.CertPool, unread bool) {
	if pem == "" {
		return nil, false
	}
	if b.deps.Secret == nil {
		return nil, true
	}
	text, err := b.deps.Secret(pem)
	if err != nil {
		return nil, true // checkAuthn has said so
	}
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(text))
	return pool, false
}

// checkAuthn checks one `authn` of the document.
func (b *builder) checkAuthn(pointer string, a *policy.Authn) {
	if a == nil {
		return
	}
	if a.None && a.APIKey != nil {
		b.problem(pointer, "remove none or api_key", "none lets everybody in, so no API key can be asked for")
	}
	if a.None && otherMethods(a) {
		b.problem(pointer, "remove none, or the methods", "none lets everybody in, so nothing else can be asked for")
	}
	if k := a.APIKey; k != nil && k.Header != "" {
		b.checkFieldName(pointer+"/api_key/header", k.Header)
	}
	if f := a.Failures; f != nil && f.Most < 1 {
		b.problem(pointer+"/failures/most", "write 1 or more, such as 20", "%d failures cannot be waited for", f.Most)
	}
	b.checkSigned(pointer, a)
	b.checkIntrospection(pointer+"/introspection", a.Introspection)
	if a.OwnTokens && b.doc.TokenEndpoint == nil {
		b.problem(pointer+"/own_tokens", "configure token_endpoint", "this gateway has no token endpoint, so there are no tokens of its own")
	}
	names := map[string]int{}
	for i := range a.JWT {
		at := pointer + "/jwt/" + strconv.Itoa(i)
		if first, ok := names[a.JWT[i].Issuer]; ok {
			b.problem(at+"/issuer", "list an issuer once", "the issuer %q is also item %d of this list", a.JWT[i].Issuer, first)
		}
		names[a.JWT[i].Issuer] = i
		b.checkJWT(at, &a.JWT[i])
	}
}

// checkSigned checks certificates and signatures.
func (b *builder) checkSigned(pointer string, a *policy.Authn) {
	if c := a.Certificate; c != nil && c.CA != "" {
		at := pointer + "/certificate/ca"
		if err := policy.CheckReferences(c.CA); err != nil {
			b.problem(at, "write ${file:/path/to/ca.pem}", "%v", err)
		} else if b.deps.Secret != nil {
			text, err := b.deps.Secret(c.CA)
			if err == nil && !x509.NewCertPool().AppendCertsFromPEM([]byte(text)) {
				err = errors.New("it holds no PEM certificate")
			}
			if err != nil {
				b.problem(at, "let it lead to a file with the PEM certificates of the authorities", "the authorities cannot be read: %v", err)
			}
		}
	}
	if c := a.Certificate; c != nil && c.Forwarded && len(b.doc.TrustedProxies) == 0 {
		b.problem(pointer+"/certificate/forwarded", "list the proxies under /trusted_proxies", "nobody is trusted to forward a certificate")
	}
	window := func(at string, w policy.Duration, body int) {
		if w > policy.Duration(15*time.Minute) {
			b.problem(at+"/window", "write at most 15m", "in %s a recorded request could be sent again", w)
		}
		b.counts(at, map[string]int{"body_bytes": body})
	}
	if h := a.HMAC; h != nil {
		window(pointer+"/hmac", h.Window, h.BodyBytes)
	}
	if m := a.Signature; m != nil {
		window(pointer+"/signature", m.Window, m.BodyBytes)
		for i, c := range m.Components {
			if strings.HasPrefix(c, "@") && !slices.Contains(derived, c) {
				b.problem(pointer+"/signature/components/"+strconv.Itoa(i), "write a field name or one of "+orList(derived), "there is no component %q of a request", c)
			}
		}
	}
}

// derived are the components of RFC 9421 section 2.2 that are supported.
var derived = []string{"@method", "@authority", "@scheme", "@path", "@query", "@request-target", "@target-uri"}

func (b *builder) checkJWT(at string, j *policy.JWT) {
	if j.Issuer == "" {
		b.problem(at+"/issuer", "write the value of the iss claim, such as https://id.example.com", "the issuer is missing")
	}
	from := 0
	for _, s := range []string{j.Discovery, j.JWKSURL, j.JWKSFile} {
		if s != "" {
			from++
		}
	}
	switch {
	case from > 1:
		b.problem(at, "keep one of discovery, jwks_url and jwks_file", "the keys come from %d places", from)
	case j.Discovery != "":
		b.checkFetched(at+"/discovery", j.Discovery)
	case j.JWKSURL != "":
		b.checkFetched(at+"/jwks_url", j.JWKSURL)
	case from == 0 && j.Issuer != "":
		b.checkFetched(at+"/issuer", j.Issuer)
	}
	for i, alg := range j.Algorithms {
		if !jose.IsAsymmetric(alg) {
			b.problem(at+"/algorithms/"+strconv.Itoa(i), "write one of "+orList(jose.Asymmetric), "the algorithm %q is not possible: either it does not exist, or with it whoever verifies tokens could also make them", alg)
		}
	}
	switch {
	case len(j.Audience) == 0 && !j.AnyAudience:
		b.problem(at, "write audience: [the value of aud for this API]; or any_audience: true, if tokens for other services shall be accepted too", "the issuer %q has no audience", j.Issuer)
	case len(j.Audience) > 0 && j.AnyAudience:
		b.problem(at+"/any_audience", "remove one of the two", "any audience is accepted, and some are listed")
	}
	if j.Skew > policy.Duration(10*time.Minute) {
		b.problem(at+"/skew", "write at most 10m, and correct the clocks", "a skew of %s would accept tokens long after their end", j.Skew)
	}
	b.notNegative(at, map[string]policy.Duration{"skew": j.Skew, "max_age": j.Max, "refresh": j.Refresh, "stale": j.Stale})
	b.checkClaims(at+"/claims", &j.Claims)
}

func (b *builder) checkClaims(at string, c *policy.JWTClaims) {
	if c.Fixed != "" && (len(c.Application) > 0 || len(c.Applications) > 0) {
		b.problem(at+"/application_id", "remove it, or application and applications", "the application is fixed, so no claim can name it")
	}
	if (c.Roles == "") != (len(c.RoleMap) == 0) {
		b.problem(at, "write both roles and role_map", "roles come from a token only when a claim lists them and role_map knows them")
	}
	for _, name := range slices.Sorted(maps.Keys(c.RoleMap)) {
		role := c.RoleMap[name]
		if _, ok := b.doc.Roles[role]; !ok {
			remedy := "add it under /roles"
			if near := policy.Suggest(role, slices.Sorted(maps.Keys(b.doc.Roles))); near != "" {
				remedy = "did you mean " + near + "? Otherwise " + remedy
			}
			b.problem(at+"/role_map/"+policy.EscapePointer(name), remedy, "there is no role %q", role)
		}
	}
}

// checkFetched checks an address that the gateway fetches from: https, or http on this machine.
func (b *builder) checkFetched(at, address string) {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		b.problem(at, "write an address such as https://id.example.com/keys", "%q is no address to fetch from", address)
	case u.User != nil || u.Fragment != "":
		b.problem(at, "remove the user name or fragment", "%q has a part that is not sent", u.Redacted())
	case u.Scheme == "http" && !localName(u.Hostname()):
		b.problem(at, "write https", "what is fetched from %q could be changed by anybody on the way", address)
	}
}

func localName(host string) bool {
	if a, err := netip.ParseAddr(host); err == nil {
		return a.IsLoopback()
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// claimMap compiles the meaning of claims, with its defaults.
func claimMap(j *policy.JWTClaims) authn.ClaimMap {
	c := authn.ClaimMap{Application: j.Application, Applications: j.Applications, Fixed: j.Fixed,
		User: cmp.Or(j.User, "sub"), Scopes: j.Scopes, Roles: j.Roles, RoleMap: j.RoleMap}
	if len(c.Application) == 0 {
		c.Application = []string{"client_id", "azp"}
	}
	if len(c.Scopes) == 0 {
		c.Scopes = []string{"scope", "scp"}
	}
	for _, name := range policy.SortedNames(j.Attributes) {
		c.Attributes = append(c.Attributes, authn.Attribute{Name: name, Claim: j.Attributes[name]})
	}
	return c
}

// introspection compiles the method that asks an authorization server.
func (b *builder) introspection(n *policy.Introspection, rule *decision.Rule, tokens bool) authn.Method {
	c := authn.IntrospectionConfig{Audience: n.Audience, Remember: time.Duration(n.Remember), Claims: claimMap(&n.Claims), Rule: rule, TakesTokens: tokens,
		Source: gate.IntrospectionSource{URL: n.URL, ClientID: n.ClientID, CAFile: n.CAFile}}
	if n.ClientSecret != "" {
		c.Unread = b.deps.Secret == nil
		if b.deps.Secret != nil {
			c.Source.ClientSecret, _ = b.deps.Secret(n.ClientSecret) // checkIntrospection has reported a fault
		}
	}
	id, _ := json.Marshal(n)
	c.Source.ID = string(id)
	return authn.Introspection(c)
}

func (b *builder) checkIntrospection(at string, n *policy.Introspection) {
	if n == nil {
		return
	}
	b.checkFetched(at+"/url", n.URL)
	if n.Remember > policy.Duration(10*time.Minute) {
		b.problem(at+"/remember", "write at most 10m", "a token that was revoked would go on working for %s", n.Remember)
	}
	if err := policy.CheckReferences(n.ClientSecret); err != nil {
		b.problem(at+"/client_secret", "write ${env:NAME} or ${file:/path}", "%v", err)
	} else if n.ClientSecret != "" && b.deps.Secret != nil {
		if _, err := b.deps.Secret(n.ClientSecret); err != nil {
			b.problem(at+"/client_secret", "make the reference lead to the secret", "the client secret cannot be read: %v", err)
		}
	}
	b.checkClaims(at+"/claims", &n.Claims)
}

// issuer compiles an issuer once, however many operations accept it: they share the memory of verified tokens.
func (b *builder) issuer(j *policy.JWT) *authn.Issuer {
	id, _ := json.Marshal(j) // of plain data it cannot fail
	if i := b.issuers[string(id)]; i != nil {
		return i
	}
	c := authn.IssuerConfig{
		Issuer: j.Issuer, Algorithms: j.Algorithms, Audience: j.Audience, AnyAudience: j.AnyAudience, Types: j.Types,
		Skew: j.Skew.Or(30 * time.Second), MaxAge: time.Duration(j.Max),
		Claims: claimMap(&j.Claims),
		Source: gate.KeySource{Issuer: j.Issuer, Discovery: j.Discovery, URL: j.JWKSURL, File: j.JWKSFile, CAFile: j.CAFile,
			Refresh: time.Duration(j.Refresh), Stale: time.Duration(j.Stale)},
	}
	s := &c.Source
	if s.Discovery == "" && s.URL == "" && s.File == "" {
		s.Discovery = strings.TrimSuffix(j.Issuer, "/") + "/.well-known/openid-configuration"
	}
	source, _ := json.Marshal(s)
	s.ID = string(source)
	if len(c.Algorithms) == 0 {
		c.Algorithms = []string{"RS256", "ES256", "EdDSA"}
	}
	if len(c.Types) == 0 {
		c.Types = []string{"", "JWT", "at+jwt"}
	}
	for _, name := range slices.Sorted(maps.Keys(j.RequiredClaims)) {
		c.Required = append(c.Required, authn.RequiredClaim{Name: name, Values: j.RequiredClaims[name]})
	}
	i := authn.NewIssuer(c)
	if b.issuers == nil {
		b.issuers = map[string]*authn.Issuer{}
	}
	b.issuers[string(id)] = i
	return i
}

// checkIdentity checks the fields that tell an upstream who calls.
func (b *builder) checkIdentity(at string, u policy.Upstream) {
	seen := map[string]bool{}
	for _, name := range u.Identity.Fields() {
		b.checkFieldName(at, name)
		folded := strings.Map(func(r rune) rune {
			if r == '_' {
				return '-'
			}
			return r
		}, strings.ToLower(name))
		switch {
		case seen[folded]:
			b.problem(at, "give each its own field", "the field %s carries two things", name)
		case strings.HasPrefix(folded, "x-forwarded-") || strings.HasPrefix(folded, "postern-") || folded == "forwarded" || folded == "via" || folded == "authorization" || folded == "content-type":
			b.problem(at, "use a name of your own, such as X-Application-Id", "the field %s means something else", name)
		case u.Credential != nil && strings.EqualFold(u.Credential.Header, name):
			b.problem(at, "use another field", "the field %s carries the credential for the upstream", name)
		}
		seen[folded] = true
	}
}
