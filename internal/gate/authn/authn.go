// Package authn proves who calls: it reads the credential of a request, looks it up, and puts the principal on the
// exchange. Now it knows API keys; every further kind of credential is a gate of this package.
//
// What it tells is bounded by who asks. Unknown, malformed and never-issued keys are one reason, reached by one path that
// always hashes and always looks up, so that neither words nor time tell them apart; only the operator's trace says which
// it was. A key that verified but is expired or revoked has proven its holder, who is told exactly. A directory that does
// not answer is a 503, never a 401.
package authn

import (
	"context"
	"strconv"
	"strings"
	"time"

	"postern/internal/decision"
	"postern/internal/directory"
	"postern/internal/gate"
	"postern/internal/header"
	"postern/internal/jose"
)

// Config says where a key is read from.
type Config struct {
	Header string         // field that carries the key alone; default X-API-Key
	Bearer bool           // also read Authorization: Bearer (RFC 6750 section 2.1)
	Rule   *decision.Rule // the configuration that asks for a key
}

const (
	defaultHeader = "X-API-Key"
	authorization = "Authorization"
	// retryAfter is what callers are told to wait while the directory does not answer.
	retryAfter = 5 * time.Second
)

// New compiles the gate. It passes requests with a live key and fills x.Principal with the key, its application and
// tenant, the scopes it is limited to (none listed: it is not limited), and the field it was read from, for forward to
// remove, with every copy of the key in other fields and in the query. The same key may stand in both accepted fields.
func New(c Config) Method {
	g := &apiKey{header: c.Header, rule: c.Rule}
	if g.header == "" {
		g.header = defaultHeader
	}
	g.bearer = c.Bearer
	g.bare = header.EqualFold(g.header, authorization)
	scheme := `ApiKey realm="postern", header="` + g.header + `"`
	g.place, g.accepts = "the header "+g.header, "the API key in header "+g.header
	if c.Bearer {
		scheme = `Bearer realm="postern"`
		g.place += " or Authorization: Bearer"
		g.accepts += " or as Authorization: Bearer"
	}
	g.challenge = scheme
	g.invalidToken = scheme + `, error="invalid_token"`
	g.invalidRequest = scheme + `, error="invalid_request"`
	return g
}

// apiKey is the gate for API keys. Its strings are made once, so that a refusal formats little and a pass nothing.
type apiKey struct {
	header, place, accepts string
	// Challenges by RFC 9110 section 11.6.1 and RFC 6750 section 3: without a code when no credential was sent.
	challenge, invalidToken, invalidRequest string
	bearer                                  bool
	bare                                    bool // the field that carries the key alone is Authorization itself
	tokensElsewhere                         bool // another method reads bearer tokens, so those are not for this one
	rule                                    *decision.Rule
}

// found is what the accepted places of a request hold.
type found struct {
	text      string // the credential; empty: none
	field     string // where it stood
	empty     string // an accepted place that is there but holds nothing
	ambiguous string // why it is not one credential
}

func (g *apiKey) called() string  { return "api_key" }
func (g *apiKey) invites() string { return g.challenge }
func (g *apiKey) what() string    { return g.accepts }

func (g *apiKey) offered(x *gate.Exchange) bool {
	f := g.read(x.Header)
	return f.text != "" || f.ambiguous != ""
}

// Check implements gate.Gate.
func (g *apiKey) Check(ctx context.Context, x *gate.Exchange) decision.Verdict {
	x.Principal = gate.Principal{}
	f := g.read(x.Header)
	switch {
	case f.ambiguous != "":
		x.Challenge = g.invalidRequest
		return decision.Refuse(decision.CredentialRejected, g.rule,
			decision.Fact{Name: "check", Want: "ambiguous: " + f.ambiguous, Got: "several credentials"},
			decision.SecretFact("credential", true))
	case f.text == "":
		return g.missing(ctx, x, f)
	case f.text == decision.Redacted:
		return g.redacted(x, f)
	}
	if flaw := around(f.text); flaw != "" {
		return g.misplaced(x, "the field "+f.field+" with "+flaw)
	}
	return g.verify(x, f)
}

// verify looks the key up. There is one path for every key that is not accepted: nothing before the look-up returns.
func (g *apiKey) verify(x *gate.Exchange, f found) decision.Verdict {
	p := &x.Principal
	env := x.Env
	if env == nil || env.Directory == nil {
		return g.unavailable(x, "no directory is attached")
	}
	p.Digest = directory.HashKey(f.text)
	known, err := env.Directory.Key(&p.Digest, &p.Key)
	if err != nil {
		return g.unavailable(x, err.Error())
	}
	if !known {
		return g.rejected(x, f.text, "")
	}
	id := p.Key.Application
	if known, err = env.Directory.Application(id, &p.Application); err != nil {
		return g.unavailable(x, err.Error())
	}
	if !known {
		return g.rejected(x, f.text, "key "+p.Key.ID+" belongs to application '"+id+"', which does not exist")
	}
	if known, err = env.Directory.Tenant(p.Application.Tenant, &p.Tenant); err != nil {
		return g.unavailable(x, err.Error())
	}
	if !known {
		return g.rejected(x, f.text, "application '"+id+"' belongs to tenant '"+p.Application.Tenant+"', which does not exist")
	}
	p.Proven, p.Method, p.Scopes, p.Field = true, "api_key", p.Key.Scopes, f.field
	k := &p.Key
	if k.Revoked.IsZero() && k.Expires.IsZero() {
		return decision.Pass(g.rule) // most keys: the clock is not asked
	}
	now := env.Now()
	if !k.Revoked.IsZero() && !k.Revoked.After(now) {
		return g.revoked(x)
	}
	if !k.Expires.IsZero() && !k.Expires.After(now) {
		return g.expired(x, now)
	}
	return decision.Pass(g.rule)
}

// read takes the credential from the accepted places and from nowhere else.
func (g *apiKey) read(l header.List) (f found) {
	var key, token string
	var keys, tokens int
	for i := range l {
		switch {
		case header.EqualFold(l[i].Name, g.header):
			keys++
			key = l[i].Value
			if g.bare && g.bearer {
				if t, ok := bearerToken(key); ok {
					key = t
				}
			}
		case g.bearer && header.EqualFold(l[i].Name, authorization):
			t, ok := bearerToken(l[i].Value)
			if !ok && l[i].Value == decision.Redacted {
				// A record hides the scheme with the rest: it may have been a bearer token.
				t, ok = l[i].Value, true
			}
			if ok && !(g.tokensElsewhere && jose.LooksLikeToken(t)) {
				tokens++
				token = t
			}
		}
	}
	switch {
	case keys > 1:
		f.ambiguous = "the field " + g.header + " came " + strconv.Itoa(keys) + " times"
	case tokens > 1:
		f.ambiguous = "Authorization: Bearer came " + strconv.Itoa(tokens) + " times"
	case key != "" && token != "" && key != token:
		f.ambiguous = "the field " + g.header + " and Authorization: Bearer carry different credentials; " +
			"set `bearer: false` if Authorization is meant for the upstream"
	case key != "":
		f.text, f.field = key, g.header
	case token != "":
		f.text, f.field = token, authorization
	case keys > 0:
		f.empty = "the field " + g.header + " is empty"
	case tokens > 0:
		f.empty = "Authorization says Bearer and nothing follows"
	}
	return f
}

// bearerToken returns what follows the scheme Bearer, which is compared without case (RFC 9110 section 11.1).
func bearerToken(v string) (token string, ok bool) {
	const scheme = "bearer"
	if len(v) < len(scheme) || !header.EqualFold(v[:len(scheme)], scheme) {
		return "", false
	}
	v = v[len(scheme):]
	if v == "" {
		return "", true
	}
	if v[0] != ' ' && v[0] != '\t' {
		return "", false
	}
	return strings.TrimLeft(v, " \t"), true
}
