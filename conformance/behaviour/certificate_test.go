package behaviour

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"postern/conformance/gateway"
)

const certificateDocument = `
postern: 1
listeners:
  - name: secure
    address: %[1]s
    tls: {certificates: [{cert: "%[2]s", key: "%[3]s"}], client_certificates: request}
    strict_sni: false
upstreams:
  backend: {targets: [{url: "http://%[4]s"}], identity: {application: X-Application, method: X-Method}}
apis:
  - name: orders
    versions:
      - version: v1
        upstream: backend
        authn: {certificate: {ca: "${file:%[5]s}"}}
        operations: [{name: list, method: GET, path: /orders}]
`

// authority signs client certificates.
type authority struct {
	t    *testing.T
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	n    int64
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t}
	der, key := a.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: "clients"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotAfter: time.Now().Add(time.Hour),
	})
	a.key = key
	var err error
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return a
}

// sign makes a certificate; an authority's first is its own.
func (a *authority) sign(c *x509.Certificate) ([]byte, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	a.n++
	c.SerialNumber, c.NotBefore = big.NewInt(a.n), time.Now().Add(-2*time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	return der, key
}

// client makes the certificate of a caller with a DNS name, which ends at some time.
func (a *authority) client(name string, until time.Time) *tls.Certificate {
	a.t.Helper()
	der, key := a.sign(&x509.Certificate{
		Subject:  pkix.Name{CommonName: "partner.test"}, // a name that is registered, where no name may be looked for
		DNSNames: []string{name}, NotAfter: until, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// TestClientCertificates proves callers by their certificate in a real handshake, over HTTP/1.1 and HTTP/2.
func TestClientCertificates(t *testing.T) {
	backend := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, r.Header.Get("X-Application")+" by "+r.Header.Get("X-Method"))
	}))
	ours, theirs := newAuthority(t), newAuthority(t)
	ca := filepath.Join(t.TempDir(), "clients-ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ours.cert.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	own, address := gateway.NewCertificate(t), gateway.FreeAddress(t)
	p := gateway.Start(t, gateway.Options{Config: fmt.Sprintf(certificateDocument, address, own.CertFile, own.KeyFile, backend, ca)})
	m := p.Manage()
	m.Tenant("acme")
	m.Application("shop", "acme", nil, []string{"orders"}, "")
	m.Application("partner", "acme", nil, []string{"orders"}, "")
	register := func(application, match string) (id string) {
		var out struct {
			Credential struct {
				ID string `json:"id"`
			} `json:"credential"`
		}
		m.Do("POST", "/api/v1/applications/"+application+"/credentials", map[string]any{"kind": "certificate", "match": match}, &out)
		return out.Credential.ID
	}
	fingerprint := func(c *tls.Certificate) string {
		sum := sha256.Sum256(c.Certificate[0])
		return "sha256:" + hex.EncodeToString(sum[:])
	}

	later, ago := time.Now().Add(time.Hour), time.Now().Add(-time.Hour)
	pinned := theirs.client("pinned.test", later) // of an authority that the gateway does not know
	register("shop", fingerprint(pinned))
	register("partner", "dns:partner.test")
	doomed := map[string]*tls.Certificate{} // one for each protocol, as each is revoked on the way
	ids := map[string]string{}
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		doomed[protocol] = theirs.client("doomed.test", later)
		ids[protocol] = register("shop", fingerprint(doomed[protocol]))
	}

	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		client := func(c *tls.Certificate) *http.Client {
			conf := &tls.Config{RootCAs: own.Pool, ServerName: "gw.test", ClientSessionCache: tls.NewLRUClientSessionCache(4)}
			if c != nil {
				// Whatever authorities the server names: a caller may send what it has.
				conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return c, nil }
			}
			var on http.Protocols
			on.SetHTTP1(protocol == "HTTP/1.1")
			on.SetHTTP2(protocol == "HTTP/2.0")
			tr := &http.Transport{TLSClientConfig: conf, Protocols: &on}
			t.Cleanup(tr.CloseIdleConnections)
			return &http.Client{Transport: tr, Timeout: patience}
		}
		// get returns what came of a request, and whether its TLS session was resumed.
		get := func(t *testing.T, c *http.Client, header string) (string, bool) {
			t.Helper()
			req, err := http.NewRequest("GET", "https://"+address+"/orders", nil)
			if err != nil {
				t.Fatal(err)
			}
			if header != "" {
				req.Header.Set("X-Forwarded-Client-Cert", header)
			}
			res, err := c.Do(req)
			if err != nil {
				t.Fatalf("the handshake or the request failed: %v", err)
			}
			defer res.Body.Close()
			b, err := io.ReadAll(res.Body)
			if err != nil {
				t.Fatal(err)
			}
			if res.Proto != protocol {
				t.Fatalf("the answer came by %s", res.Proto)
			}
			if res.StatusCode == 200 {
				return "200 " + string(b), res.TLS.DidResume
			}
			var problem struct{ Reason string }
			if err := json.Unmarshal(b, &problem); err != nil {
				t.Fatalf("%d %q: %v", res.StatusCode, b, err)
			}
			return fmt.Sprint(res.StatusCode, " ", problem.Reason), res.TLS.DidResume
		}
		for _, c := range []struct {
			name, header, want string
			cert               *tls.Certificate
		}{
			{"its fingerprint is registered", "", "200 shop by certificate", pinned},
			{"a registered name, by our authority", "", "200 partner by certificate", ours.client("partner.test", later)},
			{"none", "", "401 authn.credential_missing", nil},
			{"none, but a header that only proxies may send", "Hash=" + fingerprint(pinned)[7:], "401 authn.credential_missing", nil},
			{"unknown", "", "401 authn.credential_rejected", theirs.client("other.test", later)},
			{"a registered name, by an authority we do not know", "", "401 authn.credential_rejected", theirs.client("partner.test", later)},
			{"by our authority, with a name that nobody registered", "", "403 authn.application_unknown", ours.client("other.test", later)},
			{"it has ended", "", "401 authn.certificate_expired", ours.client("partner.test", ago)},
		} {
			t.Run(protocol+"/"+c.name, func(t *testing.T) {
				if got, _ := get(t, client(c.cert), c.header); got != c.want {
					t.Errorf("got %s, want %s", got, c.want)
				}
			})
		}
		t.Run(protocol+"/a resumed session", func(t *testing.T) {
			c := client(pinned)
			for i, want := range []bool{false, true} {
				got, resumed := get(t, c, "")
				if got != "200 shop by certificate" || resumed != want {
					t.Errorf("connection %d: got %s, resumed %v", i+1, got, resumed)
				}
				c.CloseIdleConnections()
			}
		})
		t.Run(protocol+"/revoked while its connection is open", func(t *testing.T) {
			c := client(doomed[protocol])
			if got, _ := get(t, c, ""); got != "200 shop by certificate" {
				t.Errorf("before: got %s", got)
			}
			m.Do("DELETE", "/api/v1/credentials/"+ids[protocol], nil, nil)
			if got, _ := get(t, c, ""); got != "401 authn.credential_revoked" {
				t.Errorf("after: got %s", got)
			}
		})
	}
}
