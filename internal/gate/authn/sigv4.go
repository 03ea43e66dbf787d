package authn

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"postern/internal/decision"
	"postern/internal/directory"
	"postern/internal/gate"
	"postern/internal/header"
)

// HMACConfig says how requests signed the AWS way are checked.
type HMACConfig struct {
	Region, Service string        // of the credential scope; empty: any
	Window          time.Duration // between X-Amz-Date and our clock, both ways
	Headers         []string      // further fields that have to be signed, in lower case
	BodyBytes       int           // the largest body that is checked
	UnsignedPayload bool          // accept requests whose body is not signed
	Rule            *decision.Rule
}

// HMAC compiles the method that accepts requests signed with AWS Signature Version 4 in the Authorization field, which every
// AWS SDK and curl's --aws-sigv4 can make. The id is that of a shared secret of the directory.
func HMAC(c HMACConfig) Method {
	if c.Window <= 0 {
		c.Window = 5 * time.Minute
	}
	if c.BodyBytes <= 0 {
		c.BodyBytes = defaultSignedBody
	}
	return &sigv4{c}
}

type sigv4 struct{ c HMACConfig }

const (
	sigv4Scheme    = "AWS4-HMAC-SHA256"
	sigv4Challenge = sigv4Scheme + ` realm="postern"`
)

func (g *sigv4) called() string  { return "hmac" }
func (g *sigv4) invites() string { return sigv4Challenge }
func (g *sigv4) what() string {
	return "a request signed with AWS Signature Version 4 (" + sigv4Scheme + ")"
}

func (g *sigv4) offered(x *gate.Exchange) bool {
	_, n := schemed(x.Header, sigv4Scheme)
	return n > 0
}

// sigv4Auth is the Authorization field taken apart.
type sigv4Auth struct {
	id, date, region, service string
	headers                   []string
	signature                 [32]byte
}

// parseSigv4 reads "Credential=id/20260304/region/service/aws4_request, SignedHeaders=host;x-amz-date, Signature=…".
func parseSigv4(s string) (a sigv4Auth, fault string) {
	if len(s) > 4096 {
		return a, "it is longer than 4 KiB"
	}
	seen := 0
	for part := range strings.SplitSeq(s, ",") {
		name, value, _ := strings.Cut(strings.Trim(part, " \t"), "=")
		switch name {
		case "Credential":
			scope := strings.Split(value, "/")
			if len(scope) != 5 || scope[4] != "aws4_request" || len(scope[1]) != 8 || scope[0] == "" {
				return a, "Credential is not id/date/region/service/aws4_request"
			}
			a.id, a.date, a.region, a.service = scope[0], scope[1], scope[2], scope[3]
			seen |= 1
		case "SignedHeaders":
			a.headers = strings.Split(value, ";")
			if len(a.headers) > 64 || !slices.IsSorted(a.headers) || len(slices.Compact(slices.Clone(a.headers))) != len(a.headers) || strings.ToLower(value) != value {
				return a, "SignedHeaders is not sorted, in lower case and without repetition"
			}
			seen |= 2
		case "Signature":
			b, err := hex.DecodeString(value)
			if err != nil || len(b) != 32 {
				return a, "Signature is no SHA-256 in hexadecimal"
			}
			copy(a.signature[:], b)
			seen |= 4
		default:
			return a, "it has an unknown part"
		}
	}
	if seen != 7 || strings.Count(s, "=") < 3 {
		return a, "Credential, SignedHeaders or Signature is missing"
	}
	return a, ""
}

// Check implements gate.Gate.
func (g *sigv4) Check(ctx context.Context, x *gate.Exchange) decision.Verdict {
	x.Principal = gate.Principal{}
	text, n := schemed(x.Header, sigv4Scheme)
	switch {
	case text == decision.Redacted:
		return redactedField(x, g.c.Rule, sigv4Challenge, authorization)
	case n > 1:
		return verdictRejected(x, g.c.Rule, sigv4Challenge, "ambiguous: Authorization came several times")
	}
	a, fault := parseSigv4(text)
	date, dates := x.Header.Lookup("X-Amz-Date")
	at, err := time.Parse("20060102T150405Z", date)
	switch {
	case fault != "":
	case err != nil || dates != 1 || !strings.HasPrefix(date, a.date):
		fault = "X-Amz-Date is missing, is not 20060102T150405Z, or is of another day than the credential"
	case !slices.Contains(a.headers, "host") || !slices.Contains(a.headers, "x-amz-date"):
		fault = "host and x-amz-date have to be signed"
	case g.c.Region != "" && a.region != g.c.Region || g.c.Service != "" && a.service != g.c.Service:
		fault = "the credential is for " + clip(a.region+"/"+a.service) + ", and this API is " + g.c.Region + "/" + g.c.Service
	}
	var c directory.Credential
	found, outage := findCredential(x, g.c.Rule, a.id, &c, directory.SharedSecret)
	switch {
	case !outage.Passed():
		return outage
	case found && len(c.Secret) == 0:
		return verdictUnavailable(x, g.c.Rule, "the secret of "+c.ID, "it is not readable; see the gateway's log")
	}
	payload, digest := x.Header.Get("X-Amz-Content-Sha256"), ""
	if payload == "" { // not every client sends it, but all sign it
		b, v := wholeBody(ctx, x, g.c.Rule, g.c.BodyBytes)
		if !v.Passed() {
			return v
		}
		sum := sha256.Sum256(b)
		payload, digest = hex.EncodeToString(sum[:]), "computed"
	}
	canonical := g.canonical(x, &a, payload)
	equal := verifySigv4(c.Secret, &a, date, canonical)
	switch {
	case fault != "":
		return verdictRejected(x, g.c.Rule, sigv4Challenge, "form: "+fault)
	case !found:
		return verdictRejected(x, g.c.Rule, sigv4Challenge, "look-up: there is no shared secret with the id '"+clip(a.id)+"'")
	case !equal:
		return g.invalid(x, &a, &c, payload)
	}
	v := own(x, g.c.Rule, "hmac", authorization, sigv4Challenge, &c)
	if !v.Passed() {
		return v
	}
	if late := signedAt(x, g.c.Rule, sigv4Challenge, at, g.c.Window); !late.Passed() {
		return late
	}
	for _, name := range g.c.Headers {
		if !slices.Contains(a.headers, name) && x.Header.Has(name) {
			return uncovered(x, g.c.Rule, sigv4Challenge, name)
		}
	}
	if digest == "" {
		return g.body(ctx, x, payload)
	}
	return v
}

// body checks a body against the digest that was signed.
func (g *sigv4) body(ctx context.Context, x *gate.Exchange, payload string) decision.Verdict {
	if payload == "UNSIGNED-PAYLOAD" {
		if g.c.UnsignedPayload || x.Body.Length() == 0 {
			return decision.Pass(g.c.Rule)
		}
		return uncovered(x, g.c.Rule, sigv4Challenge, "the body")
	}
	b, v := wholeBody(ctx, x, g.c.Rule, g.c.BodyBytes)
	if !v.Passed() {
		return v
	}
	if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != payload {
		x.Challenge = sigv4Challenge
		return decision.Refuse(decision.DigestMismatch, g.c.Rule, decision.Fact{Name: "digest", Want: "x-amz-content-sha256", Got: hex.EncodeToString(sum[:]), Public: decision.ToProven})
	}
	return decision.Pass(g.c.Rule)
}

func (g *sigv4) invalid(x *gate.Exchange, a *sigv4Auth, c *directory.Credential, payload string) decision.Verdict {
	x.Principal = gate.Principal{}
	x.Challenge = sigv4Challenge
	return decision.Refuse(decision.SignatureInvalid, g.c.Rule,
		decision.Fact{Name: "key", Want: strings.Clone(c.ID)},
		decision.Fact{Name: "signed", Want: x.Method + " " + clip(x.RawPath) + ", host " + clip(x.Host) + ", fields " + clip(strings.Join(a.headers, ";")) + ", body " + clip(payload)},
		decision.SecretFact("credential", true))
}

// canonical is the canonical request of the AWS documentation ("Create a signed AWS API request", step 1).
func (g *sigv4) canonical(x *gate.Exchange, a *sigv4Auth, payload string) string {
	var b strings.Builder
	path := x.RawPath
	if path == "" {
		path = "/"
	}
	b.WriteString(x.Method + "\n" + awsEscape(path, true) + "\n" + awsQuery(x.RawQuery) + "\n")
	for _, name := range a.headers {
		b.WriteString(name + ":" + awsField(x, name) + "\n")
	}
	b.WriteString("\n" + strings.Join(a.headers, ";") + "\n" + payload)
	return b.String()
}

func awsField(x *gate.Exchange, name string) string {
	if name == "host" {
		return x.Host
	}
	var values []string
	for _, f := range x.Header {
		if header.EqualFold(f.Name, name) {
			values = append(values, strings.Join(strings.Fields(f.Value), " "))
		}
	}
	if values == nil && name == "content-length" {
		return strconv.FormatInt(max(x.Body.Length(), 0), 10)
	}
	return strings.Join(values, ",")
}

// awsEscape encodes everything but unreserved characters, and slashes when they are kept.
func awsEscape(s string, slashes bool) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-_.~", c) >= 0 || slashes && c == '/' {
			b.WriteByte(c)
			continue
		}
		const digits = "0123456789ABCDEF"
		b.Write([]byte{'%', digits[c>>4], digits[c&15]})
	}
	return b.String()
}

// awsQuery sorts the parameters by name and value, as they are encoded.
func awsQuery(raw string) string {
	if raw == "" {
		return ""
	}
	var list [][2]string
	for part := range strings.SplitSeq(raw, "&") {
		if part == "" {
			continue
		}
		k, v, _ := strings.Cut(part, "=")
		list = append(list, [2]string{awsEscape(unescaped(k), false), awsEscape(unescaped(v), false)})
	}
	slices.SortFunc(list, func(a, b [2]string) int {
		if c := strings.Compare(a[0], b[0]); c != 0 {
			return c
		}
		return strings.Compare(a[1], b[1])
	})
	var b strings.Builder
	for i, p := range list {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(p[0] + "=" + p[1])
	}
	return b.String()
}

func unescaped(s string) string {
	if plain, err := url.QueryUnescape(s); err == nil {
		return plain
	}
	return s
}

// verifySigv4 signs the canonical request and compares in constant time.
func verifySigv4(secret []byte, a *sigv4Auth, date, canonical string) bool {
	sum := sha256.Sum256([]byte(canonical))
	text := sigv4Scheme + "\n" + date + "\n" + a.date + "/" + a.region + "/" + a.service + "/aws4_request\n" + hex.EncodeToString(sum[:])
	key := append([]byte("AWS4"), secret...)
	for _, part := range [...]string{a.date, a.region, a.service, "aws4_request", text} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	return hmac.Equal(key, a.signature[:]) && len(secret) > 0
}

// signedAt checks the time of a signature that verified.
func signedAt(x *gate.Exchange, rule *decision.Rule, challenge string, at time.Time, window time.Duration) decision.Verdict {
	now := x.Env.Now()
	if d := now.Sub(at); d <= window && d >= -window {
		return decision.Pass(rule)
	}
	x.Challenge = challenge
	return decision.Refuse(decision.SignatureTime, rule,
		decision.Fact{Name: "moment", Want: stamp(now), Got: stamp(at), Public: decision.ToProven},
		decision.Fact{Name: "window", Want: span(window), Public: decision.ToProven})
}

func uncovered(x *gate.Exchange, rule *decision.Rule, challenge, what string) decision.Verdict {
	x.Challenge = challenge
	return decision.Refuse(decision.SignatureCoverage, rule, decision.Fact{Name: "missing", Want: what, Public: decision.ToProven})
}
