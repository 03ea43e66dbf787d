package authn_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"math/big"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"postern/internal/decision"
	"postern/internal/directory"
	"postern/internal/gate"
	"postern/internal/gate/authn"
	"postern/internal/gatetest"
)

var secret = gatetest.MakeKey(7)

func basicOf(id, secret string) func(*gate.Exchange) {
	return with("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(id+":"+secret)))
}

func client(change func(*directory.Credential)) func(*gate.Exchange) {
	c := directory.Credential{ID: "c_shop", Kind: directory.ClientSecret, Hash: directory.HashSecret(secret), Scopes: []string{"orders"}}
	if change != nil {
		change(&c)
	}
	return gatetest.Owns(c)
}

func TestBasic(t *testing.T) {
	good := all(client(nil), basicOf("c_shop", secret))
	gatetest.Run(t, gatetest.Suite{
		Name: "authn",
		New:  func() gate.Gate { return authn.Several(rule, authn.Basic(rule)) },
		Pass: good,
		Refusals: []gatetest.Case{
			missingOther("nothing", client(nil)),
			reason("an unknown client", decision.CredentialRejected, all(client(nil), basicOf("c_none", secret))),
			reason("another secret", decision.CredentialRejected, all(client(nil), basicOf("c_shop", gatetest.OtherKeyText))),
			reason("no secret", decision.CredentialRejected, all(client(func(c *directory.Credential) { c.Hash = [32]byte{} }), basicOf("c_shop", ""))),
			reason("a credential of another kind", decision.CredentialRejected, all(client(func(c *directory.Credential) { c.Kind = directory.PublicKey }), basicOf("c_shop", secret))),
			reason("no base64", decision.CredentialRejected, all(client(nil), with("Authorization", "Basic %%%"))),
			reason("no colon", decision.CredentialRejected, all(client(nil), with("Authorization", "Basic eA=="))),
			reason("too long", decision.CredentialRejected, all(client(nil), basicOf(strings.Repeat("a", 4000), secret))),
			reason("twice", decision.CredentialRejected, all(good, basicOf("c_shop", "x"))),
			reason("expired", decision.CredentialExpired, all(client(func(c *directory.Credential) { c.Expires = gatetest.Now }), basicOf("c_shop", secret))),
			reason("revoked", decision.CredentialRevoked, all(client(func(c *directory.Credential) { c.Revoked = gatetest.Now }), basicOf("c_shop", secret))),
			reason("of an application that is gone", decision.ApplicationUnknown, all(client(func(c *directory.Credential) { c.Application = "gone" }), basicOf("c_shop", secret))),
		},
		Unknown: []gatetest.Case{{Name: "a record", Setup: all(client(nil), with("Authorization", decision.Redacted)), Reason: decision.CredentialRejected}},
		Outages: []gatetest.Case{
			{Name: "no directory of credentials", Setup: basicOf("c_shop", secret), Reason: decision.AuthnUnavailable},
			{Name: "it fails", Setup: all(good, func(x *gate.Exchange) { x.Env.Credentials.(*gatetest.Credentials).Err = gatetest.ErrOutage }), Reason: decision.AuthnUnavailable},
		},
		Canaries: []string{secret},
		// Decoding the text allocates; it is no method for the hot path.
		PassAllocs: 4,
	})
}

// reason is a case of which only the reason is checked, and that proof and reason agree.
func reason(name string, r *decision.Reason, setup func(*gate.Exchange)) gatetest.Case {
	return gatetest.Case{Name: name, Reason: r, Setup: setup, Check: func(t *testing.T, x *gate.Exchange, v decision.Verdict) {
		t.Helper()
		if x.Principal.Proven != (r.Public == decision.ToProven) {
			t.Errorf("proven %v, and the reason is for the %s: %s", x.Principal.Proven, r.Public, v.Render(decision.ToOperator).Detail)
		}
	}}
}

func missingOther(name string, setup func(*gate.Exchange)) gatetest.Case {
	return gatetest.Case{Name: name, Reason: decision.CredentialMissing, Setup: setup, Without: []string{"where"}}
}

// The vectors of AWS's own test suite for Signature Version 4.
func TestHMACAgainstTheVectorsOfAWS(t *testing.T) {
	const day = "20150830T123600Z"
	at := time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC)
	newGate := func() gate.Gate {
		return authn.Several(rule, authn.HMAC(authn.HMACConfig{Region: "us-east-1", Service: "service", Rule: rule}))
	}
	request := func(method, target, sig string) func(*gate.Exchange) {
		return all(gatetest.Owns(directory.Credential{ID: "AKIDEXAMPLE", Kind: directory.SharedSecret, Secret: []byte("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")}),
			gatetest.Target(method, target), func(x *gate.Exchange) {
				x.Host = "example.amazonaws.com"
				x.Env.Now = func() time.Time { return at }
			}, with("X-Amz-Date", day, "Authorization", "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, Signature="+sig))
	}
	const vanilla = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
	for name, c := range map[string][3]string{
		"get-vanilla":                      {"GET", "/", vanilla},
		"get-vanilla-query-order-key-case": {"GET", "/?Param2=value2&Param1=value1", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
		"post-vanilla":                     {"POST", "/", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
	} {
		x := gatetest.Exchange(request(c[0], c[1], c[2]))
		if v := newGate().Check(ctx, x); !v.Passed() || x.Principal.Method != "hmac" || x.Principal.Application.ID != "shop-web" {
			t.Errorf("%s: %s", name, v.Render(decision.ToOperator).Detail)
		}
	}
	good := request("GET", "/", vanilla)
	clockAt := func(d time.Duration) func(*gate.Exchange) {
		return func(x *gate.Exchange) { x.Env.Now = func() time.Time { return at.Add(d) } }
	}
	gatetest.Run(t, gatetest.Suite{
		Name: "authn", New: newGate, Pass: good, PassAllocs: 80, // it computes with texts; see Basic
		Refusals: []gatetest.Case{
			missingOther("nothing", with()),
			reason("another path", decision.SignatureInvalid, request("GET", "/x", vanilla)),
			reason("another method", decision.SignatureInvalid, request("PUT", "/", vanilla)),
			reason("a body that was not signed", decision.SignatureInvalid, all(good, gatetest.Content("text/plain", "x"))),
			reason("another digest of the body", decision.SignatureInvalid, all(good, with("X-Amz-Content-Sha256", strings.Repeat("0", 64)))),
			reason("an unsigned body", decision.SignatureInvalid, all(good, with("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD"))),
			reason("too late", decision.SignatureTime, all(good, clockAt(6*time.Minute))),
			reason("too early", decision.SignatureTime, all(good, clockAt(-6*time.Minute))),
			reason("revoked", decision.CredentialRevoked, all(good, func(x *gate.Exchange) {
				c := x.Env.Credentials.(*gatetest.Credentials)
				row := c.ByID["AKIDEXAMPLE"]
				row.Revoked = at
				c.ByID["AKIDEXAMPLE"] = row
			})),
			reason("an unknown id", decision.CredentialRejected, all(good, func(x *gate.Exchange) { clear(x.Env.Credentials.(*gatetest.Credentials).ByID) })),
			reason("nonsense", decision.CredentialRejected, all(gatetest.Owns(), with("Authorization", "AWS4-HMAC-SHA256 x"))),
		},
		Unknown: []gatetest.Case{{Name: "a record", Setup: with("Authorization", decision.Redacted), Reason: decision.CredentialRejected}},
		Outages: []gatetest.Case{
			{Name: "no directory", Setup: all(good, func(x *gate.Exchange) { x.Env.Credentials = nil }), Reason: decision.AuthnUnavailable},
			{Name: "a secret that cannot be read", Setup: all(good, gatetest.Owns(directory.Credential{ID: "AKIDEXAMPLE", Kind: directory.SharedSecret})), Reason: decision.AuthnUnavailable},
		},
		Canaries: []string{"wJalrXUtnFEMI", vanilla},
	})
}

// The examples of RFC 9421 appendix B.2.5 and B.2.6.
func TestSignaturesAgainstTheExamplesOfTheRFC(t *testing.T) {
	shared, _ := base64.StdEncoding.DecodeString("uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==")
	at := time.Unix(1618884473, 0)
	base := all(gatetest.Owns(
		directory.Credential{ID: "test-shared-secret", Kind: directory.SharedSecret, Secret: shared},
		directory.Credential{ID: "test-key-ed25519", Kind: directory.PublicKey, PublicKey: `{"kty":"OKP","crv":"Ed25519","x":"JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs"}`}),
		gatetest.Target("POST", "/foo?param=Value&Pet=dog"), func(x *gate.Exchange) {
			x.Host = "example.com"
			x.Env.Now = func() time.Time { return at }
		}, with("Date", "Tue, 20 Apr 2021 02:07:55 GMT", "Content-Type", "application/json",
			"Content-Digest", "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:",
			"Content-Length", "18"), func(x *gate.Exchange) { x.Body = gatetest.Body([]byte(`{"hello": "world"}`)) })
	hmacSig := with("Signature-Input", `sig-b25=("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret"`,
		"Signature", "sig-b25=:pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=:")
	edSig := with("Signature-Input", `sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519"`,
		"Signature", "sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:")
	newGate := func() gate.Gate {
		return authn.Several(rule, authn.Signatures(authn.SignatureConfig{Components: []string{"@authority", "date"}, Rule: rule}))
	}
	gatetest.Run(t, gatetest.Suite{
		Name: "authn", New: newGate, Pass: all(base, hmacSig), PassAllocs: 120, // it parses and joins fields; see Basic
		Refusals: []gatetest.Case{
			missingOther("nothing", base),
			reason("another date", decision.SignatureInvalid, all(base, hmacSig, func(x *gate.Exchange) { x.Header.Set("Date", "Tue, 20 Apr 2021 02:07:56 GMT") })),
			reason("a field twice", decision.SignatureInvalid, all(base, hmacSig, with("Date", "x"))),
			reason("too late", decision.SignatureTime, all(base, hmacSig, func(x *gate.Exchange) { x.Env.Now = func() time.Time { return at.Add(time.Hour) } })),
			{Name: "covers too little", Reason: decision.SignatureCoverage, Setup: all(base, edSig), New: func() gate.Gate {
				return authn.Several(rule, authn.Signatures(authn.SignatureConfig{Rule: rule}))
			}, Check: fact("missing", "@query", "", decision.ToProven)},
			reason("an unknown key", decision.CredentialRejected, all(base, with("Signature-Input", `s=("date");created=1;keyid="none"`, "Signature", "s=:AA==:"))),
			reason("no keyid", decision.CredentialRejected, all(base, with("Signature-Input", `s=("date");created=1`, "Signature", "s=:AA==:"))),
			reason("another label", decision.CredentialRejected, all(base, with("Signature-Input", `s=("date");keyid="test-shared-secret"`, "Signature", "t=:AA==:"))),
			reason("half of it", decision.CredentialRejected, all(base, with("Signature", "s=:AA==:"))),
			reason("nonsense", decision.CredentialRejected, all(base, with("Signature-Input", "x", "Signature", "y"))),
			reason("another algorithm", decision.CredentialRejected, all(base, with("Signature-Input", `s=("date");created=1618884473;keyid="test-shared-secret";alg="ed25519"`, "Signature", "s=:AA==:"))),
			reason("a field that is not there", decision.CredentialRejected, all(base, with("Signature-Input", `s=("x-none");keyid="test-shared-secret"`, "Signature", "s=:AA==:"))),
			reason("a component twice", decision.CredentialRejected, all(base, with("Signature-Input", `s=("date" "date");keyid="test-shared-secret"`, "Signature", "s=:AA==:"))),
		},
		Unknown:  []gatetest.Case{{Name: "a record", Setup: all(base, with("Signature-Input", `s=("date")`, "Signature", decision.Redacted)), Reason: decision.CredentialRejected}},
		Outages:  []gatetest.Case{{Name: "no directory", Setup: all(base, hmacSig, func(x *gate.Exchange) { x.Env.Credentials = nil }), Reason: decision.AuthnUnavailable}},
		Canaries: []string{string(shared), "pxcQw6G3AjtMBQjwo8XzkZf"},
	})
	x := gatetest.Exchange(base, edSig)
	if v := newGate().Check(ctx, x); !v.Passed() || x.Principal.Method != "signature" {
		t.Errorf("ed25519: %s", v.Render(decision.ToOperator).Detail)
	}
}

// certificateOf makes a certificate signed by parent, or by itself.
func certificateOf(t testing.TB, change func(*x509.Certificate), parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "shop"}, NotBefore: gatetest.Now.Add(-time.Hour), NotAfter: gatetest.Now.Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, DNSNames: []string{"Shop.example"}, URIs: []*url.URL{{Scheme: "spiffe", Host: "acme", Path: "/shop"}}}
	change(c)
	if parent == nil {
		parent, parentKey = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), parentKey)
	if err != nil {
		t.Fatal(err)
	}
	out, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return out, key
}

func TestCertificates(t *testing.T) {
	ca, caKey := certificateOf(t, func(c *x509.Certificate) {
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage, c.ExtKeyUsage, c.DNSNames, c.URIs = true, true, x509.KeyUsageCertSign, nil, nil, nil
	}, nil, nil)
	leaf, _ := certificateOf(t, func(*x509.Certificate) {}, ca, caKey)
	old, _ := certificateOf(t, func(c *x509.Certificate) { c.NotAfter = gatetest.Now.Add(-time.Minute) }, ca, caKey)
	server, _ := certificateOf(t, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }, ca, caKey)
	self, _ := certificateOf(t, func(*x509.Certificate) {}, nil, nil)
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	sum := sha256.Sum256(self.Raw)
	print := hex.EncodeToString(sum[:])
	presents := func(c ...*x509.Certificate) func(*gate.Exchange) {
		return func(x *gate.Exchange) { x.TLS = &tls.ConnectionState{PeerCertificates: c} }
	}
	byName := gatetest.Owns(directory.Credential{ID: "c_1", Kind: directory.Certificate, Match: "dns:shop.example", Scopes: []string{"orders"}})
	byPrint := gatetest.Owns(directory.Credential{ID: "c_2", Kind: directory.Certificate, Match: "sha256:" + print})
	behind := func(x *gate.Exchange) { x.Client = netip.MustParseAddr("203.0.113.9") }
	gatetest.Run(t, gatetest.Suite{
		Name: "authn",
		New: func() gate.Gate {
			return authn.Several(rule, authn.Certificates(authn.CertificateConfig{Roots: roots, Forwarded: true, Rule: rule}))
		},
		Pass: all(byName, presents(leaf)), PassAllocs: 200, // a chain is verified; connections are kept, so it is not often
		Refusals: []gatetest.Case{
			missingOther("nothing", byName),
			reason("signed by itself", decision.CertificateUntrusted, all(byName, presents(self))),
			reason("a server's", decision.CertificateUntrusted, all(byName, presents(server))),
			{Name: "expired", Reason: decision.CertificateExpired, Setup: all(byName, presents(old))},
			reason("unknown name", decision.ApplicationUnknown, all(gatetest.Owns(), presents(leaf))),
			reason("revoked", decision.CredentialRevoked, all(gatetest.Owns(directory.Credential{ID: "c_1", Match: "uri:spiffe://acme/shop", Revoked: gatetest.Now}), presents(leaf))),
			missingOther("the header of a stranger is not looked at", all(byPrint, with("X-Forwarded-Client-Cert", "Hash="+print))),
			reason("a forwarded one nobody knows", decision.ApplicationUnknown, all(byName, behind, with("X-Forwarded-Client-Cert", "Hash="+strings.Repeat("0", 64)))),
			reason("a forwarded one that is nonsense", decision.CredentialRejected, all(byName, behind, with("X-Forwarded-Client-Cert", `By="x`))),
			reason("what the client put in front", decision.ApplicationUnknown, all(byPrint, behind, with("X-Forwarded-Client-Cert", "Hash="+print+",URI=spiffe://other"))),
		},
		Unknown: []gatetest.Case{{Name: "authorities are not read here", Setup: all(byName, presents(leaf)), Reason: decision.CertificateUntrusted, New: func() gate.Gate {
			return authn.Several(rule, authn.Certificates(authn.CertificateConfig{Unread: true, Rule: rule}))
		}}},
		Outages: []gatetest.Case{{Name: "no directory", Setup: presents(leaf), Reason: decision.AuthnUnavailable}},
	})
	g := authn.Several(rule, authn.Certificates(authn.CertificateConfig{Forwarded: true, Rule: rule}))
	for name, setup := range map[string]func(*gate.Exchange){
		"by its fingerprint, without an authority": all(byPrint, presents(self)),
		"forwarded by its fingerprint":             all(byPrint, behind, with("X-Forwarded-Client-Cert", "By=spiffe://gw;Hash="+strings.ToUpper(print)+`;Subject="CN=a,O=\"b\"";URI=`)),
		"forwarded by its name, the last counts":   all(byName, behind, with("X-Forwarded-Client-Cert", `Hash=`+print+`,Subject="x, y";DNS=Shop.example`)),
	} {
		x := gatetest.Exchange(setup)
		if v := g.Check(ctx, x); !v.Passed() || x.Principal.Method != "certificate" {
			t.Errorf("%s: %s", name, v.Render(decision.ToOperator).Detail)
		}
	}
}

func FuzzFields(f *testing.F) {
	f.Add(`sig=("date" "@method");created=1;keyid="a"`, "sig=:AA==:", "Hash=00;URI=x", "AWS4-HMAC-SHA256 Credential=a/b/c/d/aws4_request, SignedHeaders=host, Signature=00")
	f.Add(`a=();b="\"", c=("x";sf)`, "a=:=:", `"`, "Basic Og==")
	f.Add("", "", ",;=", "AWS4-HMAC-SHA256 ,=,=,=")
	g := authn.Several(rule, authn.Certificates(authn.CertificateConfig{Forwarded: true, Rule: rule}), authn.Basic(rule),
		authn.HMAC(authn.HMACConfig{Rule: rule}), authn.Signatures(authn.SignatureConfig{Rule: rule}))
	owns := gatetest.Owns(directory.Credential{ID: "a", Kind: directory.SharedSecret, Secret: []byte("a secret nobody guesses")},
		directory.Credential{ID: "b", Kind: directory.PublicKey, PublicKey: string(signer(5, "b").JWK())})
	f.Fuzz(func(t *testing.T, input, signature, cert, authorization string) {
		x := gatetest.Exchange(owns, with("Signature-Input", input, "Signature", signature, "X-Forwarded-Client-Cert", cert, "Authorization", authorization),
			func(x *gate.Exchange) { x.Client = netip.MustParseAddr("203.0.113.9") })
		if v := g.Check(ctx, x); v.Passed() {
			t.Fatal("passed without a secret")
		}
	})
}

func TestClientsAtTheTokenEndpoint(t *testing.T) {
	const endpoint = "https://api.example.com/oauth/token"
	key := signer(6, "c_pk")
	owns := gatetest.Owns(directory.Credential{ID: "c_shop", Kind: directory.ClientSecret, Hash: directory.HashSecret(secret)},
		directory.Credential{ID: "c_pk", Kind: directory.PublicKey, PublicKey: string(key.JWK())})
	form := func(values ...string) func(*gate.Exchange) {
		v := url.Values{"grant_type": {"client_credentials"}}
		for i := 0; i < len(values); i += 2 {
			v.Add(values[i], values[i+1])
		}
		return all(owns, gatetest.Content("application/x-www-form-urlencoded", v.Encode()))
	}
	assertion := func(change map[string]any) func(*gate.Exchange) {
		c := map[string]any{"iss": "c_pk", "sub": "c_pk", "aud": endpoint, "jti": "1", "exp": unix(time.Minute), "azp": nil, "scope": nil, "groups": nil, "dept": nil, "iat": nil}
		for k, v := range change {
			c[k] = v
		}
		return form("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer", "client_assertion", tokenBy(key, "JWT", claims(c)))
	}
	newGate := func() gate.Gate { return authn.ClientAuth(rule, "https://api.example.com", endpoint) }
	for name, c := range map[string]struct {
		setup  func(*gate.Exchange)
		reason *decision.Reason
	}{
		"basic":                      {all(form(), basicOf("c_shop", secret)), nil},
		"post":                       {form("client_id", "c_shop", "client_secret", secret), nil},
		"assertion":                  {assertion(nil), nil},
		"nothing":                    {form(), decision.CredentialMissing},
		"two ways":                   {all(form("client_id", "c_shop", "client_secret", secret), basicOf("c_shop", secret)), decision.CredentialRejected},
		"a parameter twice":          {form("client_secret", secret, "client_id", "c_shop", "client_id", "x"), decision.CredentialRejected},
		"another secret":             {form("client_id", "c_shop", "client_secret", "x"), decision.CredentialRejected},
		"an unknown client":          {form("client_id", "c_none", "client_secret", secret), decision.CredentialRejected},
		"assertion for another":      {assertion(map[string]any{"aud": "https://other.example"}), decision.CredentialRejected},
		"assertion of another":       {assertion(map[string]any{"sub": "c_shop"}), decision.CredentialRejected},
		"assertion of a secret's id": {assertion(map[string]any{"iss": "c_shop", "sub": "c_shop"}), decision.CredentialRejected},
		"assertion without jti":      {assertion(map[string]any{"jti": nil}), decision.CredentialRejected},
		"assertion that ended":       {assertion(map[string]any{"exp": unix(-time.Minute)}), decision.CredentialRejected},
		"assertion that lasts":       {assertion(map[string]any{"exp": unix(time.Hour)}), decision.CredentialRejected},
		"assertion that is forged": {form("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer", "client_assertion",
			tokenBy(forger, "JWT", claims(map[string]any{"iss": "c_pk", "sub": "c_pk", "aud": endpoint, "jti": "1"}))), decision.CredentialRejected},
		"assertion of another type": {form("client_assertion_type", "x", "client_assertion", "y"), decision.CredentialRejected},
	} {
		x := gatetest.Exchange(c.setup)
		if v := newGate().Check(ctx, x); v.Reason() != c.reason || x.Principal.Proven != (c.reason == nil) {
			t.Errorf("%s: %v, %s", name, v.Reason(), v.Render(decision.ToOperator).Detail)
		}
	}
	g := newGate()
	if v := g.Check(ctx, gatetest.Exchange(assertion(nil))); !v.Passed() {
		t.Fatal("the first use is refused")
	}
	if v := g.Check(ctx, gatetest.Exchange(assertion(nil))); v.Reason() != decision.CredentialRejected {
		t.Error("an assertion was accepted twice")
	}
}
