package authn

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/url"
	"strings"
	"sync"
	"time"

	"postern/internal/decision"
	"postern/internal/directory"
	"postern/internal/gate"
	"postern/internal/jose"
)

// ClientAuth compiles the method by which clients prove themselves at the token endpoint: client_secret_basic and
// client_secret_post (RFC 6749 section 2.3.1), and private_key_jwt (RFC 7523), whose assertions name one of the audiences,
// last five minutes at most, and are accepted once by a node.
func ClientAuth(rule *decision.Rule, audiences ...string) Method {
	return &clientAuth{rule: rule, audiences: audiences}
}

type clientAuth struct {
	rule      *decision.Rule
	audiences []string
	used      used
}

// maxForm bounds a token request.
const maxForm = 32 << 10

const (
	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	assertionLife = 5 * time.Minute
	assertionSkew = 30 * time.Second
)

func (g *clientAuth) called() string  { return "client" }
func (g *clientAuth) invites() string { return basicChallenge }
func (g *clientAuth) what() string {
	return "client id and secret as Authorization: Basic or in the form, or a client_assertion"
}
func (g *clientAuth) offered(*gate.Exchange) bool { return true }

// presented is the client authentication of a token request.
type presented struct {
	id, secret, assertion, field string
	fault                        string
}

func (g *clientAuth) read(ctx context.Context, x *gate.Exchange) (p presented, v decision.Verdict) {
	b, whole, err := x.Body.Peek(ctx, maxForm)
	if err != nil || !whole {
		p.fault = "the body is larger than 32 KiB, or broken off"
		return p, decision.Pass(nil)
	}
	form, err := url.ParseQuery(string(b))
	if err != nil {
		p.fault = "the body is no form"
		return p, decision.Pass(nil)
	}
	one := func(name string) string {
		if len(form[name]) > 1 {
			p.fault = "the parameter " + name + " came several times"
		}
		return form.Get(name)
	}
	ways := 0
	if text, n := schemed(x.Header, "basic"); n > 0 {
		ways++
		p.field = authorization
		raw, err := base64.StdEncoding.Strict().DecodeString(text)
		id, secret, ok := strings.Cut(string(raw), ":")
		if text == decision.Redacted {
			return p, redactedField(x, g.rule, basicChallenge, authorization)
		}
		if err != nil || !ok || n > 1 || len(raw) > maxBasic {
			p.fault = "what follows Basic is no base64 of id:secret"
		}
		p.id, p.secret = unescaped(id), unescaped(secret) // both are form-encoded first (RFC 6749 section 2.3.1)
	}
	if s := one("client_secret"); s != "" {
		ways++
		p.id, p.secret = one("client_id"), s
	}
	if a := one("client_assertion"); a != "" {
		ways++
		if p.assertion = a; one("client_assertion_type") != assertionType {
			p.fault = "client_assertion_type is not " + assertionType
		}
	}
	if ways > 1 {
		p.fault = "the client authenticates in several ways at once (RFC 6749 section 2.3)"
	}
	return p, decision.Pass(nil)
}

// Check implements gate.Gate.
func (g *clientAuth) Check(ctx context.Context, x *gate.Exchange) decision.Verdict {
	x.Principal = gate.Principal{}
	p, v := g.read(ctx, x)
	switch {
	case !v.Passed():
		return v
	case p.fault == "" && p.id == "" && p.assertion == "":
		x.Challenge = basicChallenge
		return decision.Refuse(decision.CredentialMissing, g.rule,
			decision.Fact{Name: "accepts", Want: g.what(), Public: decision.ToAnyone}, decision.SecretFact("credential", false))
	case p.assertion != "" && p.fault == "":
		return g.assertion(x, p.assertion)
	}
	var c directory.Credential
	found, outage := findCredential(x, g.rule, p.id, &c, directory.ClientSecret)
	if !outage.Passed() {
		return outage
	}
	sum := sha256.Sum256([]byte(p.secret))
	equal := subtle.ConstantTimeCompare(sum[:], c.Hash[:]) == 1
	switch {
	case p.fault != "":
		return verdictRejected(x, g.rule, basicChallenge, "form: "+p.fault)
	case !found:
		return verdictRejected(x, g.rule, basicChallenge, "look-up: there is no client secret with the id '"+clip(p.id)+"'")
	case !equal:
		return verdictRejected(x, g.rule, basicChallenge, "secret: the client "+c.ID+" exists, and the secret is another one")
	}
	return own(x, g.rule, "client_secret", p.field, basicChallenge, &c)
}

// assertion checks private_key_jwt.
func (g *clientAuth) assertion(x *gate.Exchange, text string) decision.Verdict {
	reject := func(check string) decision.Verdict { return verdictRejected(x, g.rule, basicChallenge, check) }
	t, err := jose.Parse(text)
	if err != nil {
		return reject("form: client_assertion: " + err.Error())
	}
	claims, err := jose.ParseClaims(t.Payload)
	if err != nil {
		return reject("form: client_assertion: " + err.Error())
	}
	id := claims.Text("iss")
	var c directory.Credential
	found, outage := findCredential(x, g.rule, id, &c, directory.PublicKey)
	if !outage.Passed() {
		return outage
	}
	if !found {
		return reject("look-up: there is no public key with the id '" + clip(id) + "'")
	}
	key, err := jose.ParseKey([]byte(c.PublicKey))
	if err != nil || !jose.IsAsymmetric(t.Algorithm) || t.Verify(key) != nil {
		return reject("signature: client_assertion does not verify with the key " + c.ID)
	}
	now := x.Env.Now()
	exp, _, okExp := claims.Time("exp")
	nbf, hasNbf, okNbf := claims.Time("nbf")
	jti := claims.Text("jti")
	meant := false
	for _, aud := range claims.Texts("aud") {
		for _, a := range g.audiences {
			meant = meant || aud == a
		}
	}
	switch {
	case claims.Text("sub") != id:
		return reject("form: iss and sub of client_assertion differ")
	case !meant:
		return reject("audience: client_assertion is for " + clip(strings.Join(claims.Texts("aud"), ", ")) + ", not for " + strings.Join(g.audiences, " or "))
	case !okExp || !now.Before(exp.Add(assertionSkew)) || hasNbf && (!okNbf || now.Add(assertionSkew).Before(nbf)):
		return reject("time: client_assertion has ended, or has not begun; our clock says " + stamp(now))
	case exp.After(now.Add(assertionLife + assertionSkew)):
		return reject("time: client_assertion lasts longer than " + assertionLife.String())
	case jti == "" || len(jti) > 256:
		return reject("form: client_assertion has no jti, or one longer than 256 bytes")
	}
	if !g.used.first(sha256.Sum256([]byte(id+"\x00"+jti)), exp.Add(assertionSkew), now, x.Env.Dry) {
		return reject("replay: the client_assertion was used before")
	}
	return own(x, g.rule, "private_key_jwt", "", basicChallenge, &c)
}

// used remembers assertions until they end. Only those whose signature verified come in.
type used struct {
	mu   sync.Mutex
	rows map[[32]byte]time.Time
}

const maxUsed = 100_000

// first reports whether an assertion is used for the first time, and remembers it unless dry. When there is no room it says
// no: an assertion that cannot be remembered could be used twice.
func (u *used) first(id [32]byte, until, now time.Time, dry bool) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if end, known := u.rows[id]; known && now.Before(end) {
		return false
	}
	if dry {
		return true
	}
	if u.rows == nil {
		u.rows = map[[32]byte]time.Time{}
	}
	if len(u.rows) >= maxUsed {
		for k, end := range u.rows {
			if !now.Before(end) {
				delete(u.rows, k)
			}
		}
		if len(u.rows) >= maxUsed {
			return false
		}
	}
	u.rows[id] = until
	return true
}
