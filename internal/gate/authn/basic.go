package authn

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"strings"

	"postern/internal/decision"
	"postern/internal/directory"
	"postern/internal/gate"
	"postern/internal/header"
)

// Basic compiles the method that accepts the id and secret of a client as Authorization: Basic (RFC 7617). Secrets are
// generated, never chosen, so that they are compared by their SHA-256.
func Basic(rule *decision.Rule) Method { return &basic{rule: rule} }

type basic struct{ rule *decision.Rule }

const basicChallenge = `Basic realm="postern", charset="UTF-8"`

func (g *basic) called() string  { return "basic" }
func (g *basic) invites() string { return basicChallenge }
func (g *basic) what() string    { return "client id and secret as Authorization: Basic" }

func (g *basic) offered(x *gate.Exchange) bool {
	_, n := schemed(x.Header, "basic")
	return n > 0
}

// schemed returns what follows a scheme in Authorization, and how many fields have that scheme.
func schemed(l header.List, scheme string) (rest string, n int) {
	for i := range l {
		if len(l[i].Name) != len(authorization) || !header.EqualFold(l[i].Name, authorization) {
			continue
		}
		v := l[i].Value
		if len(v) > len(scheme) && v[len(scheme)] == ' ' && header.EqualFold(v[:len(scheme)], scheme) {
			if n == 0 {
				rest = strings.Trim(v[len(scheme):], " \t")
			}
			n++
		} else if v == decision.Redacted {
			rest, n = v, n+1
		}
	}
	return rest, n
}

// maxBasic bounds the credential, which is an id and a generated secret.
const maxBasic = 1024

// Check implements gate.Gate. There is one path for every secret that is not accepted, known id or not.
func (g *basic) Check(_ context.Context, x *gate.Exchange) decision.Verdict {
	x.Principal = gate.Principal{}
	text, n := schemed(x.Header, "basic")
	switch {
	case text == decision.Redacted:
		return redactedField(x, g.rule, basicChallenge, authorization)
	case n > 1:
		return verdictRejected(x, g.rule, basicChallenge, "ambiguous: Authorization came several times")
	}
	var buf [maxBasic]byte
	if base64.StdEncoding.DecodedLen(len(text)) > maxBasic {
		return verdictRejected(x, g.rule, basicChallenge, "form: longer than 1 KiB")
	}
	m, err := base64.StdEncoding.Strict().Decode(buf[:], []byte(text))
	id, secret, ok := strings.Cut(string(buf[:m]), ":")
	form := ""
	if err != nil || !ok {
		form = "form: what follows Basic is no base64 of id:secret"
	}
	var c directory.Credential
	found, outage := findCredential(x, g.rule, id, &c, directory.ClientSecret)
	if !outage.Passed() {
		return outage
	}
	x.Principal.Digest = sha256.Sum256([]byte(secret))
	equal := subtle.ConstantTimeCompare(x.Principal.Digest[:], c.Hash[:]) == 1 // c.Hash is zero when nothing was found: no text has that hash
	switch {
	case form != "":
		return verdictRejected(x, g.rule, basicChallenge, form)
	case !found:
		return verdictRejected(x, g.rule, basicChallenge, "look-up: there is no client secret with the id '"+clip(id)+"'")
	case !equal:
		return verdictRejected(x, g.rule, basicChallenge, "secret: the client "+c.ID+" exists, and the secret is another one")
	}
	return own(x, g.rule, "basic", authorization, basicChallenge, &c)
}

// redactedField answers a recorded request that is judged again.
func redactedField(x *gate.Exchange, rule *decision.Rule, challenge, field string) decision.Verdict {
	x.Principal = gate.Principal{}
	x.Challenge = challenge
	return decision.Abstain(decision.CredentialRejected, rule,
		decision.Fact{Name: "header " + field, Want: "the credential itself: records keep it out", Got: decision.Redacted, Public: decision.ToAnyone},
		decision.Fact{Name: "check", Want: "unknown: the request carries the placeholder of a redacted credential"})
}
