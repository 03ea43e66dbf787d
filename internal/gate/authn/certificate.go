package authn

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"strings"
	"time"

	"postern/internal/decision"
	"postern/internal/directory"
	"postern/internal/gate"
)

// CertificateConfig says which client certificates are accepted.
type CertificateConfig struct {
	Roots *x509.CertPool // authorities whose certificates may be known by a name; nil: certificates are known by their fingerprint only
	// Unread says that there are authorities, which were not read here (a document is only checked).
	Unread bool
	// Forwarded believes X-Forwarded-Client-Cert of trusted proxies, which ended TLS and verified the certificate.
	Forwarded bool
	Rule      *decision.Rule
}

// Certificates compiles the method that accepts a client certificate: from the TLS connection, or from a trusted front
// proxy's header. What is proven is that the caller has its private key; which application that is, the directory says by the
// certificate's fingerprint or a subject alternative name.
func Certificates(c CertificateConfig) Method { return &certificates{c} }

type certificates struct{ c CertificateConfig }

const forwardedCert = "X-Forwarded-Client-Cert"

func (g *certificates) called() string  { return "certificate" }
func (g *certificates) invites() string { return "" } // TLS asks for it, not HTTP
func (g *certificates) what() string    { return "a client certificate" }

func (g *certificates) offered(x *gate.Exchange) bool {
	return x.TLS != nil && len(x.TLS.PeerCertificates) > 0 || g.c.Forwarded && behindProxy(x) && x.Header.Has(forwardedCert)
}

// behindProxy reports whether the peer is a proxy whose word was taken: then the client is somebody else.
func behindProxy(x *gate.Exchange) bool {
	return x.Client.IsValid() && x.Peer.IsValid() && x.Client.Unmap() != x.Peer.Addr().Unmap()
}

// Check implements gate.Gate.
func (g *certificates) Check(_ context.Context, x *gate.Exchange) decision.Verdict {
	x.Principal = gate.Principal{}
	if x.Env == nil || x.Env.Credentials == nil {
		return verdictUnavailable(x, g.c.Rule, "the directory", "no directory of credentials is attached")
	}
	if g.c.Forwarded && behindProxy(x) && x.Header.Has(forwardedCert) {
		return g.forwarded(x)
	}
	if x.TLS == nil || len(x.TLS.PeerCertificates) == 0 {
		return decision.Refuse(decision.CredentialMissing, g.c.Rule,
			decision.Fact{Name: "accepts", Want: g.what(), Public: decision.ToAnyone}, decision.SecretFact("credential", false))
	}
	chain := x.TLS.PeerCertificates
	leaf := chain[0]
	sum := sha256.Sum256(leaf.Raw)
	var c directory.Credential
	found, err := x.Env.Credentials.CredentialByMatch("sha256:"+hex.EncodeToString(sum[:]), &c)
	if err != nil {
		return verdictUnavailable(x, g.c.Rule, "the directory", err.Error())
	}
	now := x.Env.Now()
	if !found {
		if v, ok := g.chain(x, chain, now); !ok {
			return v
		}
		if found, err = g.named(x, leaf, &c); err != nil {
			return verdictUnavailable(x, g.c.Rule, "the directory", err.Error())
		}
	}
	if !found {
		x.Principal.Proven, x.Principal.Method = true, "certificate"
		return decision.Refuse(decision.ApplicationUnknown, g.c.Rule,
			decision.Fact{Name: "application", Want: "a credential for its fingerprint or a name in it", Got: subject(leaf), Public: decision.ToProven})
	}
	v := own(x, g.c.Rule, "certificate", "", "", &c)
	if !v.Passed() {
		return v
	}
	if now.After(leaf.NotAfter) || now.Before(leaf.NotBefore) {
		return g.expired(x, leaf, now)
	}
	return v
}

// chain verifies the certificate as of the time it was valid, so that one which has ended is told apart from one which
// nobody vouches for.
func (g *certificates) chain(x *gate.Exchange, chain []*x509.Certificate, now time.Time) (decision.Verdict, bool) {
	leaf := chain[0]
	switch {
	case g.c.Unread:
		x.Principal = gate.Principal{}
		return decision.Abstain(decision.CertificateUntrusted, g.c.Rule,
			decision.Fact{Name: "ca", Want: "the certificates of the accepted authorities, which are not read here", Public: decision.ToAnyone}), false
	case g.c.Roots == nil:
		return g.untrusted(x, leaf, "its fingerprint is not registered, and no authority is configured"), false
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:min(len(chain), 10)] {
		between.AddCert(c)
	}
	at := now
	if now.After(leaf.NotAfter) {
		at = leaf.NotAfter
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: g.c.Roots, Intermediates: between, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		return g.untrusted(x, leaf, verifyFault(err)), false
	}
	if at != now {
		x.Principal.Proven, x.Principal.Method = true, "certificate"
		return g.expired(x, leaf, now), false
	}
	return decision.Verdict{}, true
}

func verifyFault(err error) string {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "it was signed by an unknown authority"
	}
	return clip(err.Error())
}

// named looks for a subject alternative name that the directory knows. The common name is not looked at (RFC 9525).
func (g *certificates) named(x *gate.Exchange, leaf *x509.Certificate, c *directory.Credential) (bool, error) {
	for _, match := range subjectNames(leaf) {
		if found, err := x.Env.Credentials.CredentialByMatch(match, c); found || err != nil {
			return found, err
		}
	}
	return false, nil
}

// subjectNames are the names a certificate is looked up by, most telling first.
func subjectNames(leaf *x509.Certificate) (names []string) {
	for _, u := range leaf.URIs {
		names = append(names, "uri:"+u.String())
	}
	for _, d := range leaf.DNSNames {
		names = append(names, "dns:"+strings.ToLower(d))
	}
	for _, e := range leaf.EmailAddresses {
		names = append(names, "email:"+strings.ToLower(e))
	}
	return names[:min(len(names), 32)]
}

func subject(leaf *x509.Certificate) string {
	if names := subjectNames(leaf); len(names) > 0 {
		return clip(strings.Join(names, ", "))
	}
	return clip(leaf.Subject.String())
}

func (g *certificates) untrusted(x *gate.Exchange, leaf *x509.Certificate, fault string) decision.Verdict {
	x.Principal = gate.Principal{}
	return decision.Refuse(decision.CertificateUntrusted, g.c.Rule,
		decision.Fact{Name: "certificate", Want: subject(leaf)}, decision.Fact{Name: "fault", Want: fault},
		decision.Fact{Name: "issuer", Got: clip(leaf.Issuer.String())})
}

func (g *certificates) expired(x *gate.Exchange, leaf *x509.Certificate, now time.Time) decision.Verdict {
	until := stamp(leaf.NotAfter)
	if now.Before(leaf.NotBefore) {
		until = "nothing yet (it begins " + stamp(leaf.NotBefore) + ")"
	}
	return decision.Refuse(decision.CertificateExpired, g.c.Rule,
		decision.Fact{Name: "certificate", Want: subject(leaf), Public: decision.ToProven},
		decision.Fact{Name: "expires", Want: until, Got: stamp(now), Public: decision.ToProven})
}

// forwarded reads the element of X-Forwarded-Client-Cert that the nearest proxy wrote, which is the last one.
func (g *certificates) forwarded(x *gate.Exchange) decision.Verdict {
	value := x.Header.Values(nil, forwardedCert)
	matches, fault := parseForwardedCert(value[len(value)-1])
	if fault != "" {
		return verdictRejected(x, g.c.Rule, "", "form: "+forwardedCert+": "+fault)
	}
	for _, m := range matches {
		var c directory.Credential
		found, err := x.Env.Credentials.CredentialByMatch(m, &c)
		if err != nil {
			return verdictUnavailable(x, g.c.Rule, "the directory", err.Error())
		}
		if found {
			return own(x, g.c.Rule, "certificate", forwardedCert, "", &c)
		}
	}
	x.Principal.Proven, x.Principal.Method = true, "certificate"
	return decision.Refuse(decision.ApplicationUnknown, g.c.Rule,
		decision.Fact{Name: "application", Want: "a credential for its fingerprint or a name in it", Got: clip(strings.Join(matches, ", ")), Public: decision.ToProven})
}

// parseForwardedCert reads the format of Envoy: elements joined by commas, of pairs joined by semicolons, values optionally
// quoted. It returns what the last element can be looked up by.
func parseForwardedCert(s string) (matches []string, fault string) {
	if len(s) > 16<<10 {
		return nil, "it is longer than 16 KiB"
	}
	key, value, quoted := strings.Builder{}, strings.Builder{}, false
	into := &key
	var names []string
	end := func() string {
		k, v := strings.ToLower(strings.Trim(key.String(), " \t")), value.String()
		switch k {
		case "hash":
			if b, err := hex.DecodeString(v); err != nil || len(b) != 32 {
				return "Hash is no SHA-256 in hexadecimal"
			}
			matches = append(matches, "sha256:"+strings.ToLower(v))
		case "uri":
			names = append(names, "uri:"+v)
		case "dns":
			names = append(names, "dns:"+strings.ToLower(v))
		}
		key.Reset()
		value.Reset()
		into = &key
		return ""
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case quoted && c == '\\' && i+1 < len(s):
			i++
			into.WriteByte(s[i])
		case c == '"':
			quoted = !quoted
		case !quoted && c == '=' && into == &key:
			into = &value
		case !quoted && (c == ';' || c == ','):
			if fault := end(); fault != "" {
				return nil, fault
			}
			if c == ',' {
				matches, names = nil, nil
			}
		default:
			into.WriteByte(c)
		}
	}
	if quoted {
		return nil, "a quote is not closed"
	}
	if fault := end(); fault != "" {
		return nil, fault
	}
	if matches = append(matches, names...); len(matches) == 0 {
		return nil, "its last element has neither Hash nor URI nor DNS"
	}
	return matches, ""
}
