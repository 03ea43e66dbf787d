package edge

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"postern/internal/policy"
)

// authority is a small ACME server (RFC 8555) that validates by calling back, over TLS or plain HTTP, and trusts signatures.
type authority struct {
	t         *testing.T
	srv       *httptest.Server
	kind      string // the challenge it offers
	callback  string // address of the gateway
	key       *ecdsa.PrivateKey
	root      *x509.Certificate
	leaf      []byte
	validated atomic.Bool
}

func newAuthority(t *testing.T, kind string) *authority {
	a := &authority{t: t, kind: kind}
	a.key, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	a.root, _ = x509.ParseCertificate(der)
	a.srv = httptest.NewTLSServer(a)
	t.Cleanup(a.srv.Close)
	return a
}

func (a *authority) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Replay-Nonce", fmt.Sprint("nonce", time.Now().UnixNano()))
	w.Header().Set("Location", a.srv.URL+"/order")
	var jws struct{ Payload string }
	_ = json.NewDecoder(r.Body).Decode(&jws)
	payload, _ := base64.RawURLEncoding.DecodeString(jws.Payload)
	status := "pending"
	if a.validated.Load() {
		status = "valid"
	}
	order := map[string]any{"status": map[string]string{"pending": "pending", "valid": "ready"}[status], "identifiers": []any{map[string]string{"type": "dns", "value": "api.example.com"}},
		"authorizations": []string{a.srv.URL + "/authz"}, "finalize": a.srv.URL + "/finalize", "certificate": a.srv.URL + "/cert"}
	challenge := map[string]string{"type": a.kind, "url": a.srv.URL + "/challenge", "token": "token-of-the-challenge", "status": status}
	reply := func(code int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(v)
	}
	switch r.URL.Path {
	case "/dir":
		reply(200, map[string]string{"newNonce": a.srv.URL + "/nonce", "newAccount": a.srv.URL + "/account", "newOrder": a.srv.URL + "/neworder", "revokeCert": a.srv.URL + "/revoke", "keyChange": a.srv.URL + "/key"})
	case "/nonce":
	case "/account":
		w.Header().Set("Location", a.srv.URL+"/account/1")
		reply(201, map[string]string{"status": "valid"})
	case "/neworder":
		reply(201, order)
	case "/authz":
		reply(200, map[string]any{"status": status, "identifier": map[string]string{"type": "dns", "value": "api.example.com"}, "challenges": []any{challenge}})
	case "/challenge":
		a.validate()
		reply(200, challenge)
	case "/finalize":
		var csr struct{ CSR string }
		_ = json.Unmarshal(payload, &csr)
		der, _ := base64.RawURLEncoding.DecodeString(csr.CSR)
		a.sign(der)
		order["status"] = "valid"
		reply(200, order)
	case "/order":
		if a.leaf != nil {
			order["status"] = "valid"
		}
		reply(200, order)
	case "/cert":
		w.Header().Set("Content-Type", "application/pem-certificate-chain")
		_ = pem.Encode(w, &pem.Block{Type: "CERTIFICATE", Bytes: a.leaf})
		_ = pem.Encode(w, &pem.Block{Type: "CERTIFICATE", Bytes: a.root.Raw})
	default:
		reply(404, nil)
	}
}

// validate calls the gateway back as the challenge asks.
func (a *authority) validate() {
	if a.kind == "tls-alpn-01" {
		c, err := tls.Dial("tcp", a.callback, &tls.Config{ServerName: "api.example.com", NextProtos: []string{acmeProtocol}, InsecureSkipVerify: true})
		if err != nil {
			a.t.Logf("tls-alpn-01: %v", err)
			return
		}
		defer c.Close()
		for _, e := range c.ConnectionState().PeerCertificates[0].Extensions {
			if e.Critical && e.Id.String() == "1.3.6.1.5.5.7.1.31" {
				a.validated.Store(c.ConnectionState().NegotiatedProtocol == acmeProtocol)
			}
		}
		return
	}
	req, _ := http.NewRequest("GET", "http://"+a.callback+challengePrefix+"token-of-the-challenge", nil)
	req.Host = "api.example.com"
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		a.t.Logf("http-01: %v", err)
		return
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	a.validated.Store(resp.StatusCode == 200 && strings.HasPrefix(string(b), "token-of-the-challenge."))
}

func (a *authority) sign(der []byte) {
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil || !slices.Contains(csr.DNSNames, "api.example.com") {
		a.t.Errorf("certificate request: %v", err)
		return
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(2), DNSNames: csr.DNSNames, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(12 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	a.leaf, _ = x509.CreateCertificate(rand.Reader, template, a.root, csr.PublicKey, a.key)
}

func TestACME(t *testing.T) {
	for _, kind := range []string{"tls-alpn-01", "http-01"} {
		t.Run(kind, func(t *testing.T) {
			a := newAuthority(t, kind)
			trust := filepath.Join(t.TempDir(), "ca.pem")
			if err := os.WriteFile(trust, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.srv.Certificate().Raw}), 0o600); err != nil {
				t.Fatal(err)
			}
			w := newWorld(t)
			secure := policy.Listener{Name: "secure", Address: freeAddress(t), TLS: &policy.ListenerTLS{ACME: &policy.ACME{
				Domains: []string{"api.example.com"}, Directory: a.srv.URL + "/dir", CAFile: trust}}}
			a.callback = secure.Address
			if kind == "http-01" {
				a.callback = w.addr
			}
			if err := w.s.Reload(context.Background(), []policy.Listener{{Name: "public", Address: "127.0.0.1:0"}, secure}); err != nil {
				t.Fatal(err)
			}
			pool := x509.NewCertPool()
			pool.AddCert(a.root)
			w.eventually("a certificate", func() bool {
				c, err := tls.Dial("tcp", secure.Address, &tls.Config{RootCAs: pool, ServerName: "api.example.com"})
				if err != nil {
					return false
				}
				c.Close()
				return true
			})
			if w.reached.Load() != 0 {
				t.Error("a challenge was forwarded")
			}
			w.addr = secure.Address
			resp, err := w.browser(pool, overHTTP2).Get("https://api.example.com/x")
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != 200 || resp.ProtoMajor != 2 {
				t.Fatal(resp.Status, resp.Proto)
			}
		})
	}
}

func freeAddress(t *testing.T) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}
