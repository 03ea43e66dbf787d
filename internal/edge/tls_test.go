package edge

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postern/internal/decision"
	"postern/internal/forward"
	"postern/internal/gate"
	"postern/internal/header"
	"postern/internal/policy"
)

// issue writes a self-signed certificate for the names and returns its files and its pool.
func issue(t *testing.T, dir string, names ...string) (policy.CertificateFiles, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62))
	template := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: names[0]}, DNSNames: names, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, _ := x509.MarshalPKCS8PrivateKey(key)
	files := policy.CertificateFiles{Cert: filepath.Join(dir, names[0]+".pem"), Key: filepath.Join(dir, names[0]+".key")}
	for name, block := range map[string]*pem.Block{files.Cert: {Type: "CERTIFICATE", Bytes: der}, files.Key: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, _ := x509.ParseCertificate(der)
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return files, pool
}

// newTLSWorld serves api.example.com and *.shop.example.com over TLS.
func newTLSWorld(t *testing.T, change ...func(*policy.Listener)) (*world, *x509.CertPool, []policy.CertificateFiles) {
	dir := t.TempDir()
	api, pool := issue(t, dir, "api.example.com")
	shop, _ := issue(t, dir, "*.shop.example.com")
	for _, f := range []policy.CertificateFiles{shop} {
		b, _ := os.ReadFile(f.Cert)
		pool.AppendCertsFromPEM(b)
	}
	files := []policy.CertificateFiles{api, shop}
	change = append([]func(*policy.Listener){func(l *policy.Listener) { l.TLS = &policy.ListenerTLS{Certificates: files} }}, change...)
	return newWorld(t, change...), pool, files
}

// browser is a net/http client that connects to the world whatever the host.
func (w *world) browser(pool *x509.CertPool, protocols func(*http.Protocols)) *http.Client {
	tr := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", w.addr)
		},
		TLSClientConfig: &tls.Config{RootCAs: pool},
		Protocols:       new(http.Protocols),
	}
	protocols(tr.Protocols)
	w.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 20 * time.Second}
}

func overHTTP1(p *http.Protocols) { p.SetHTTP1(true) }
func overHTTP2(p *http.Protocols) { p.SetHTTP2(true) }
func overH2C(p *http.Protocols)   { p.SetUnencryptedHTTP2(true) }

func TestTLS(t *testing.T) {
	engines(t, func(t *testing.T, engine func(*policy.Listener)) {
		w, pool, _ := newTLSWorld(t, engine)
		for name, c := range map[string]struct {
			protocols func(*http.Protocols)
			major     int
		}{"http/1.1": {overHTTP1, 1}, "h2": {overHTTP2, 2}} {
			t.Run(name, func(t *testing.T) {
				browser := w.browser(pool, c.protocols)
				for _, host := range []string{"api.example.com", "toys.shop.example.com"} {
					for range 3 {
						resp, err := browser.Post("https://"+host+"/orders?x=1", "application/json", strings.NewReader(`{"a":1}`))
						if err != nil {
							t.Fatal(err)
						}
						b, _ := io.ReadAll(resp.Body)
						resp.Body.Close()
						if resp.ProtoMajor != c.major || resp.StatusCode != 200 || string(b) != `{"a":1}` || len(resp.Header.Values("Postern-Trace")) != 1 {
							t.Fatalf("%s: %s %d %q %v", host, resp.Proto, resp.StatusCode, b, resp.Header)
						}
					}
				}
			})
		}
	})
}

func TestTLSHTTP1Only(t *testing.T) {
	w, pool, _ := newTLSWorld(t, func(l *policy.Listener) { l.TLS.HTTP1Only = true })
	c, err := tls.Dial("tcp", w.addr, &tls.Config{RootCAs: pool, ServerName: "api.example.com", NextProtos: []string{"h2", "http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if p := c.ConnectionState().NegotiatedProtocol; p != "http/1.1" {
		t.Fatalf("negotiated %q", p)
	}
}

func TestTLSMinVersion(t *testing.T) {
	w, pool, _ := newTLSWorld(t, func(l *policy.Listener) { l.TLS.MinVersion = "1.3" })
	if c, err := tls.Dial("tcp", w.addr, &tls.Config{RootCAs: pool, ServerName: "api.example.com", MaxVersion: tls.VersionTLS12}); err == nil {
		c.Close()
		t.Fatal("TLS 1.2 was accepted")
	}
}

func TestMisdirected(t *testing.T) {
	engines(t, func(t *testing.T, engine func(*policy.Listener)) {
		w, pool, _ := newTLSWorld(t, engine)
		dial := func(serverName string) *client {
			raw, err := net.Dial("tcp", w.addr)
			if err != nil {
				t.Fatal(err)
			}
			return w.client(tls.Client(raw, &tls.Config{RootCAs: pool, ServerName: serverName}))
		}
		c := dial("api.example.com")
		c.send("GET / HTTP/1.1\r\nHost: other.example.com\r\n\r\n")
		resp, body := c.answer("GET")
		if resp.StatusCode != 421 || !strings.Contains(body, "request.misdirected") || w.reached.Load() != 0 {
			t.Fatalf("%d %s", resp.StatusCode, body)
		}
		c = dial("api.example.com")
		c.send("GET / HTTP/1.1\r\nHost: API.example.com.:8443\r\n\r\n")
		if resp, _ := c.answer("GET"); resp.StatusCode != 200 {
			t.Fatal(resp.Status)
		}
	})
}

func TestPlainHTTPToTLS(t *testing.T) {
	w, _, _ := newTLSWorld(t)
	c := w.dial()
	c.send(get("/"))
	resp, body := c.answer("GET")
	if resp.StatusCode != 400 || !strings.Contains(body, "use https") {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	c.closed()
	if r := w.records(1)[0]; r.reason != "request.malformed" {
		t.Fatalf("%+v", r)
	}
}

func TestCertificateReload(t *testing.T) {
	w, pool, files := newTLSWorld(t)
	dir := filepath.Dir(files[0].Cert)
	_, renewed := issue(t, dir, "api.example.com") // over the old files
	stale := time.Now().Add(time.Hour)             // file systems with coarse times
	_ = os.Chtimes(files[0].Cert, stale, stale)
	w.listener().spec.Load().tls.looked.Store(int64(mono() - 2*certificateLook))
	if _, err := tls.Dial("tcp", w.addr, &tls.Config{RootCAs: pool, ServerName: "api.example.com"}); err == nil {
		t.Fatal("the old certificate is still served")
	}
	c, err := tls.Dial("tcp", w.addr, &tls.Config{RootCAs: renewed, ServerName: "api.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	t.Run("a broken file keeps the old one", func(t *testing.T) {
		if err := os.WriteFile(files[0].Cert, []byte("half a certi"), 0o600); err != nil {
			t.Fatal(err)
		}
		w.listener().spec.Load().tls.looked.Store(int64(mono() - 2*certificateLook))
		c, err := tls.Dial("tcp", w.addr, &tls.Config{RootCAs: renewed, ServerName: "api.example.com"})
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
	})
}

func TestTLSConfigurationErrors(t *testing.T) {
	for name, c := range map[string]struct {
		tls  *policy.ListenerTLS
		want string
	}{
		"nothing":      {&policy.ListenerTLS{}, "neither certificates nor acme"},
		"missing file": {&policy.ListenerTLS{Certificates: []policy.CertificateFiles{{Cert: "no.pem", Key: "no.key"}}}, "no.pem"},
		"version":      {&policy.ListenerTLS{MinVersion: "1.1"}, `"1.2" or "1.3"`},
		"no domains":   {&policy.ListenerTLS{ACME: &policy.ACME{}}, "acme.domains"},
	} {
		w := newWorld(t)
		err := w.s.Reload(context.Background(), []policy.Listener{{Name: "secure", Address: "127.0.0.1:0", TLS: c.tls}})
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), `"secure"`) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestH2C(t *testing.T) {
	engines(t, func(t *testing.T, engine func(*policy.Listener)) {
		w := newWorld(t, engine, func(l *policy.Listener) { l.H2C = true })
		browser := w.browser(nil, overH2C)
		for i := range 3 {
			resp, err := browser.Post("http://api.example.com/x", "text/plain", strings.NewReader(fmt.Sprint("body ", i)))
			if err != nil {
				t.Fatal(err)
			}
			b, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.ProtoMajor != 2 || string(b) != fmt.Sprint("body ", i) {
				t.Fatalf("%s %q", resp.Proto, b)
			}
		}
		c := w.dial() // HTTP/1.1 still works
		c.send(get("/"))
		if resp, _ := c.answer("GET"); resp.StatusCode != 200 {
			t.Fatal(resp.Status)
		}
		if r := w.records(4)[0]; r.client != "127.0.0.1" || r.status != 200 {
			t.Fatalf("%+v", r)
		}
	})
}

// TestGRPC checks what gRPC needs: both directions streaming at once, trailers, and refusals as a status of its own.
func TestGRPC(t *testing.T) {
	w, pool, _ := newTLSWorld(t)
	w.forward = func(_ context.Context, x *gate.Exchange, s forward.Sink) decision.Verdict {
		if x.Proto != "HTTP/2.0" || x.Header.Get("Te") != "trailers" {
			t.Errorf("proto %s, te %q", x.Proto, x.Header.Get("Te"))
		}
		_ = s.Head(200, header.List{{Name: "Content-Type", Value: "application/grpc"}}, -1)
		_ = s.Flush()
		buf := make([]byte, 4)
		for {
			n, err := io.ReadFull(x.Body, buf)
			if n > 0 {
				_, _ = s.Write(bytes.ToUpper(buf[:n]))
				_ = s.Flush()
			}
			if err != nil {
				_ = s.End(header.List{{Name: "grpc-status", Value: "0"}, {Name: "grpc-message", Value: "fine"}})
				return decision.Pass(nil)
			}
		}
	}
	call := func() (*http.Response, *io.PipeWriter) {
		pr, pw := io.Pipe()
		req, _ := http.NewRequest("POST", "https://api.example.com/pkg.Service/Method", pr)
		req.Header.Set("Content-Type", "application/grpc")
		req.Header.Set("Te", "trailers")
		resp, err := w.browser(pool, overHTTP2).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		return resp, pw
	}
	resp, pw := call()
	buf := make([]byte, 4)
	for range 3 {
		_, _ = io.WriteString(pw, "ping")
		if _, err := io.ReadFull(resp.Body, buf); err != nil || string(buf) != "PING" {
			t.Fatalf("%q %v", buf, err)
		}
	}
	pw.Close()
	_, _ = io.ReadAll(resp.Body)
	if resp.Trailer.Get("Grpc-Status") != "0" || resp.Trailer.Get("Grpc-Message") != "fine" {
		t.Fatalf("trailers %v", resp.Trailer)
	}
	w.judge = refuseWith(decision.CredentialMissing)
	resp, pw = call()
	defer pw.Close()
	if resp.StatusCode != 200 || resp.Header.Get("Grpc-Status") != "16" || !strings.HasPrefix(resp.Header.Get("Grpc-Message"), "authn.credential_missing: ") ||
		resp.Header.Get("Content-Type") != "application/grpc" {
		t.Fatalf("%d %v", resp.StatusCode, resp.Header)
	}
}

// TestHTTP2ClientGone resets a stream.
func TestHTTP2ClientGone(t *testing.T) {
	w, pool, _ := newTLSWorld(t)
	u := newStuck()
	w.forward = u.forward(t)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-u.waiting
		cancel()
	}()
	req, _ := http.NewRequestWithContext(ctx, "POST", "https://api.example.com/", strings.NewReader("x"))
	if resp, err := w.browser(pool, overHTTP2).Do(req); err == nil {
		t.Fatal(resp.Status)
	}
	if r := w.records(1)[0]; r.reason != "upstream.client_gone" {
		t.Fatalf("%+v", r)
	}
}

// TestHTTP2Aborts: a stream whose upstream broke off is reset, not ended.
func TestHTTP2Aborts(t *testing.T) {
	w, pool, _ := newTLSWorld(t)
	w.forward = func(_ context.Context, _ *gate.Exchange, s forward.Sink) decision.Verdict {
		_ = s.Head(200, nil, -1)
		_, _ = s.Write([]byte("half"))
		_ = s.Flush()
		return decision.Refuse(decision.UpstreamUnreachable, nil)
	}
	resp, err := w.browser(pool, overHTTP2).Get("https://api.example.com/")
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(resp.Body); err == nil {
		t.Fatalf("ended well: %q", b)
	}
	if r := w.records(1)[0]; !r.truncated {
		t.Fatalf("%+v", r)
	}
}

func TestHTTP2Limits(t *testing.T) {
	w, pool, _ := newTLSWorld(t, func(l *policy.Listener) { l.Limits.BodyBytes, l.Limits.HeaderCount = 10, 20 })
	browser := w.browser(pool, overHTTP2)
	resp, err := browser.Post("https://api.example.com/", "text/plain", io.MultiReader(strings.NewReader("0123456789"), strings.NewReader("0")))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 413 {
		t.Error(resp.Status)
	}
	req, _ := http.NewRequest("GET", "https://api.example.com/", nil)
	for i := range 30 {
		req.Header.Set(fmt.Sprint("X-", i), "y")
	}
	if resp, err = browser.Do(req); err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 431 {
		t.Error(resp.Status)
	}
}

func TestProxyProtocol(t *testing.T) {
	v2 := []byte("\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xcb\x00\x71\x07\x0a\x00\x00\x01\x11\x5c\x01\xbb")
	engines(t, func(t *testing.T, engine func(*policy.Listener)) {
		trusted := newWorld(t, engine, func(l *policy.Listener) { l.ProxyProtocol = []string{"127.0.0.0/8"} })
		for name, c := range map[string]struct{ head, client string }{
			"v1":      {"PROXY TCP4 203.0.113.7 10.0.0.1 4444 443\r\n", "203.0.113.7"},
			"v1 IPv6": {"PROXY TCP6 2001:db8::7 ::1 4444 443\r\n", "2001:db8::7"},
			"v2":      {string(v2), "203.0.113.7"},
			"unknown": {"PROXY UNKNOWN\r\n", "127.0.0.1"},
		} {
			t.Run(name, func(t *testing.T) {
				n := len(trusted.records(0))
				conn := trusted.dial()
				conn.send(c.head + get("/a") + get("/b"))
				conn.answer("GET")
				conn.answer("GET")
				for _, r := range trusted.records(n + 2)[n:] {
					if r.client != c.client {
						t.Errorf("client %s, want %s", r.client, c.client)
					}
				}
			})
		}
		t.Run("missing", func(t *testing.T) {
			c := trusted.dial()
			c.send(get("/"))
			c.closed()
		})
		t.Run("from elsewhere", func(t *testing.T) {
			w := newWorld(t, engine, func(l *policy.Listener) { l.ProxyProtocol = []string{"192.0.2.0/24"} })
			c := w.dial()
			_, _ = io.WriteString(c.Conn, "PROXY TCP4 203.0.113.7 10.0.0.1 4444 443\r\n"+get("/"))
			c.closed()
			if w.reached.Load() != 0 || w.s.rejected.proxy.Load() != 1 {
				t.Fatal("it was served")
			}
		})
	})
}

func TestProxyProtocolBeforeTLS(t *testing.T) {
	w, pool, _ := newTLSWorld(t, func(l *policy.Listener) { l.ProxyProtocol = []string{"127.0.0.1"} })
	for _, protos := range [][]string{{"http/1.1"}, {"h2"}} {
		raw, err := net.Dial("tcp", w.addr)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(raw, "PROXY TCP4 203.0.113.9 10.0.0.1 4444 443\r\n")
		c := tls.Client(raw, &tls.Config{RootCAs: pool, ServerName: "api.example.com", NextProtos: protos})
		if protos[0] == "h2" {
			tr := &http.Transport{DialTLSContext: func(context.Context, string, string) (net.Conn, error) { return c, c.Handshake() }, ForceAttemptHTTP2: true}
			resp, err := (&http.Client{Transport: tr}).Get("https://api.example.com/")
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			tr.CloseIdleConnections()
			continue
		}
		cl := w.client(c)
		cl.send(get("/"))
		cl.answer("GET")
	}
	for _, r := range w.records(2) {
		if r.client != "203.0.113.9" {
			t.Errorf("%+v", r)
		}
	}
}
