package authn

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"slices"
	"strings"
	"time"

	"postern/internal/decision"
	"postern/internal/directory"
	"postern/internal/gate"
	"postern/internal/header"
	"postern/internal/jose"
)

// SignatureConfig says how HTTP message signatures are checked.
type SignatureConfig struct {
	Window time.Duration // how old a signature may be, and how far clocks may differ
	// Components have to be covered; default @method, @authority, @path, @query when there is one, and content-digest when
	// there is a body.
	Components []string
	BodyBytes  int // the largest body that is checked
	Rule       *decision.Rule
}

// Signatures compiles the method that accepts HTTP message signatures (RFC 9421) by the algorithms hmac-sha256, ed25519 and
// ecdsa-p256-sha256, with the body covered by Content-Digest (RFC 9530). keyid is the id of a shared secret or a public key
// of the directory, which decides the algorithm.
func Signatures(c SignatureConfig) Method {
	if c.Window <= 0 {
		c.Window = 5 * time.Minute
	}
	if c.BodyBytes <= 0 {
		c.BodyBytes = defaultSignedBody
	}
	return &httpsig{c}
}

type httpsig struct{ c SignatureConfig }

const signatureChallenge = `Signature realm="postern"`

func (g *httpsig) called() string  { return "signature" }
func (g *httpsig) invites() string { return signatureChallenge }
func (g *httpsig) what() string {
	return "a request signed by RFC 9421 (Signature-Input and Signature)"
}
func (g *httpsig) offered(x *gate.Exchange) bool {
	return x.Header.Has("Signature-Input") || x.Header.Has("Signature")
}

func joined(l header.List, name string) string {
	return strings.Join(l.Values(nil, name), ", ")
}

// Check implements gate.Gate. When a request has several signatures, the first is judged whose keyid is known.
func (g *httpsig) Check(ctx context.Context, x *gate.Exchange) decision.Verdict {
	x.Principal = gate.Principal{}
	text := joined(x.Header, "Signature")
	if strings.Contains(text, decision.Redacted) {
		return redactedField(x, g.c.Rule, signatureChallenge, "Signature")
	}
	labels, inputs, err := dictionary(joined(x.Header, "Signature-Input"), (*sfv).list)
	if err != nil {
		return verdictRejected(x, g.c.Rule, signatureChallenge, "form: Signature-Input: "+err.Error())
	}
	names, signatures, err := dictionary(text, (*sfv).bytes)
	if err != nil {
		return verdictRejected(x, g.c.Rule, signatureChallenge, "form: Signature: "+err.Error())
	}
	check := "look-up: no signature names the id of a key that is known here"
	for i, label := range labels {
		at := slices.Index(names, label)
		id := inputs[i].params["keyid"]
		if at < 0 || id == "" {
			check = "form: a signature has no keyid, or Signature-Input and Signature name different ones"
			continue
		}
		var c directory.Credential
		found, outage := findCredential(x, g.c.Rule, id, &c, directory.SharedSecret, directory.PublicKey)
		if !outage.Passed() {
			return outage
		}
		if found {
			return g.judge(ctx, x, &inputs[i], signatures[at], &c)
		}
	}
	return verdictRejected(x, g.c.Rule, signatureChallenge, check)
}

// judge checks one signature with its key.
func (g *httpsig) judge(ctx context.Context, x *gate.Exchange, in *inner, signature []byte, c *directory.Credential) decision.Verdict {
	base, fault := signatureBase(x, in)
	if fault != "" {
		return verdictRejected(x, g.c.Rule, signatureChallenge, "form: "+fault)
	}
	alg, good := "hmac-sha256", false
	if c.Kind == directory.SharedSecret {
		if len(c.Secret) == 0 {
			return verdictUnavailable(x, g.c.Rule, "the secret of "+c.ID, "it is not readable; see the gateway's log")
		}
		mac := hmac.New(sha256.New, c.Secret)
		mac.Write([]byte(base))
		good = hmac.Equal(mac.Sum(nil), signature)
	} else {
		alg, good = verifyPublic(c.PublicKey, base, signature)
	}
	if said, ok := in.params["alg"]; ok && said != alg {
		return verdictRejected(x, g.c.Rule, signatureChallenge, "algorithm: the signature names "+clip(said)+", and the key "+c.ID+" is for "+alg)
	}
	if !good {
		x.Principal = gate.Principal{}
		x.Challenge = signatureChallenge
		return decision.Refuse(decision.SignatureInvalid, g.c.Rule, decision.Fact{Name: "key", Want: strings.Clone(c.ID)},
			decision.Fact{Name: "signed", Want: clip(withoutValues(in))}, decision.SecretFact("credential", true))
	}
	v := own(x, g.c.Rule, "signature", "Signature", signatureChallenge, c)
	if !v.Passed() {
		return v
	}
	created, there, ok := seconds(in.params, "created")
	if !there || !ok {
		return uncovered(x, g.c.Rule, signatureChallenge, "the time of signing (created)")
	}
	if late := signedAt(x, g.c.Rule, signatureChallenge, time.Unix(created, 0).UTC(), g.c.Window); !late.Passed() {
		return late
	}
	if end, there, ok := seconds(in.params, "expires"); there && (!ok || !x.Env.Now().Before(time.Unix(end, 0))) {
		x.Challenge = signatureChallenge
		return decision.Refuse(decision.SignatureTime, g.c.Rule,
			decision.Fact{Name: "moment", Want: stamp(x.Env.Now()), Got: stamp(time.Unix(created, 0)), Public: decision.ToProven},
			decision.Fact{Name: "window", Want: "no more than until " + stamp(time.Unix(end, 0)), Public: decision.ToProven})
	}
	for _, name := range g.needed(x) {
		if !slices.ContainsFunc(in.items, func(c component) bool { return c.name == name }) {
			return uncovered(x, g.c.Rule, signatureChallenge, name)
		}
	}
	if slices.ContainsFunc(in.items, func(c component) bool { return c.name == "content-digest" }) {
		return g.digest(ctx, x)
	}
	return v
}

// needed are the components that a signature of this request has to cover.
func (g *httpsig) needed(x *gate.Exchange) []string {
	if len(g.c.Components) > 0 {
		return g.c.Components
	}
	list := []string{"@method", "@authority", "@path"}
	if x.RawQuery != "" {
		list = append(list, "@query")
	}
	if x.Body.Length() != 0 {
		list = append(list, "content-digest")
	}
	return list
}

// signatureBase is what was signed (RFC 9421 section 2.5). Components with parameters are not supported.
func signatureBase(x *gate.Exchange, in *inner) (base, fault string) {
	var b strings.Builder
	for i, c := range in.items {
		if c.params {
			return "", "the component " + clip(c.name) + " has parameters, which are not supported"
		}
		for _, other := range in.items[:i] {
			if other.name == c.name {
				return "", "the component " + clip(c.name) + " is listed twice"
			}
		}
		value, ok := componentValue(x, c.name)
		if !ok {
			return "", "the component " + clip(c.name) + " is not in the request, or not supported"
		}
		b.WriteString(`"` + c.name + `": ` + value + "\n")
	}
	b.WriteString(`"@signature-params": ` + in.text)
	return b.String(), ""
}

// componentValue is RFC 9421 sections 2.1 and 2.2. Derived values are taken from the request as received: what a client
// signed is what it sent.
func componentValue(x *gate.Exchange, name string) (string, bool) {
	switch name {
	case "@method":
		return x.Method, true
	case "@authority":
		host := strings.ToLower(x.Host)
		if x.Scheme == "https" {
			host = strings.TrimSuffix(host, ":443")
		} else {
			host = strings.TrimSuffix(host, ":80")
		}
		return host, true
	case "@scheme":
		return x.Scheme, true
	case "@path":
		return or(x.RawPath, "/"), true
	case "@query":
		return "?" + x.RawQuery, true
	case "@request-target":
		return x.Target, true
	case "@target-uri":
		q := ""
		if x.RawQuery != "" {
			q = "?" + x.RawQuery
		}
		host, _ := componentValue(x, "@authority")
		return x.Scheme + "://" + host + or(x.RawPath, "/") + q, true
	}
	if strings.HasPrefix(name, "@") || strings.ToLower(name) != name || !x.Header.Has(name) {
		return "", false
	}
	var values []string
	for _, f := range x.Header {
		if header.EqualFold(f.Name, name) {
			values = append(values, strings.Trim(f.Value, " \t"))
		}
	}
	return strings.Join(values, ", "), true
}

// verifyPublic checks with a public key, whose type decides the algorithm.
func verifyPublic(jwk, base string, signature []byte) (alg string, good bool) {
	k, err := jose.ParseKey([]byte(jwk))
	switch {
	case err != nil:
		return "a key that cannot be used", false
	case k.May("EdDSA"):
		return "ed25519", jose.VerifyBytes(k, "EdDSA", []byte(base), signature)
	case k.May("ES256"):
		return "ecdsa-p256-sha256", jose.VerifyBytes(k, "ES256", []byte(base), signature)
	}
	return "an algorithm that is not supported", false
}

func withoutValues(in *inner) string {
	var names []string
	for _, c := range in.items {
		names = append(names, c.name)
	}
	return strings.Join(names, ", ") + " with " + in.text
}

// digest checks Content-Digest, which the signature covers: every algorithm in it that is known, and at least one.
func (g *httpsig) digest(ctx context.Context, x *gate.Exchange) decision.Verdict {
	names, sums, err := dictionary(joined(x.Header, "Content-Digest"), (*sfv).bytes)
	body, v := wholeBody(ctx, x, g.c.Rule, g.c.BodyBytes)
	if !v.Passed() {
		return v
	}
	known := 0
	for i, name := range names {
		var want []byte
		switch name {
		case "sha-256":
			sum := sha256.Sum256(body)
			want = sum[:]
		case "sha-512":
			sum := sha512.Sum512(body)
			want = sum[:]
		default:
			continue
		}
		if known++; subtle.ConstantTimeCompare(want, sums[i]) != 1 {
			known = -maxSignatures
		}
	}
	if err == nil && known > 0 {
		return decision.Pass(g.c.Rule)
	}
	what := "Content-Digest names neither sha-256 nor sha-512"
	if known < 0 {
		what = "Content-Digest"
	}
	x.Challenge = signatureChallenge
	return decision.Refuse(decision.DigestMismatch, g.c.Rule, decision.Fact{Name: "digest", Want: what, Public: decision.ToProven})
}
