package behaviour

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"

	"postern/conformance/gateway"
)

const document = `
postern: 1
listeners:
  - name: plain
    address: %[1]s
    h2c: true
  - name: secure
    address: %[2]s
    tls: {certificates: [{cert: "%[3]s", key: "%[4]s"}]}
    strict_sni: false
roles:
  writer: {permissions: ["orders:create"]}
upstreams:
  backend: {targets: [{url: "http://%[5]s"}]}
  grpc:    {targets: [{url: "http://%[6]s"}], protocol: h2c}
apis:
  - name: open
    versions:
      - version: v1
        upstream: backend
        subscription: none
        authn: {none: true}
        operations: [{name: any, method: "*", path: "/open/{rest...}"}]
  - name: grpc
    versions:
      - version: v1
        upstream: grpc
        subscription: none
        authn: {none: true}
        operations: [{name: any, method: POST, path: "/postern.conformance.Echo/{rest...}"}]
  - name: orders
    versions:
      - version: v1
        upstream: backend
        operations: [{name: create-orders, method: "*", path: /orders, permission: "orders:create"}]
`

const patience = gateway.Patience

// world is a gateway between a backend of the test's making and clients.
type world struct {
	process       *gateway.Process
	plain, secure string // addresses
	cert          gateway.Certificate
}

// newWorld starts a gateway before a backend; grpc may be empty.
func newWorld(t *testing.T, backend http.Handler, grpc string, args ...string) *world {
	t.Helper()
	w := &world{plain: gateway.FreeAddress(t), secure: gateway.FreeAddress(t), cert: gateway.NewCertificate(t)}
	w.process = gateway.Start(t, gateway.Options{Config: w.document(serve(t, backend), grpc), Args: args})
	return w
}

func (w *world) document(backend, grpc string) string {
	if grpc == "" {
		grpc = "127.0.0.1:9" // discard: nobody listens
	}
	return fmt.Sprintf(document, w.plain, w.secure, w.cert.CertFile, w.cert.KeyFile, backend, grpc)
}

// serve runs a backend for the length of the test and returns its address.
func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: patience}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
	return l.Addr().String()
}

// clients are HTTP clients for each way into the gateway, by name, with the base address to use.
func (w *world) clients(t *testing.T) map[string]struct {
	*http.Client
	base string
} {
	t.Helper()
	make := func(protocols func(*http.Protocols), secure bool) *http.Client {
		var p http.Protocols
		protocols(&p)
		tr := &http.Transport{Protocols: &p}
		if secure {
			tr.TLSClientConfig = &tls.Config{RootCAs: w.cert.Pool, ServerName: "gw.test"}
		}
		t.Cleanup(tr.CloseIdleConnections)
		return &http.Client{Transport: tr, Timeout: 2 * patience}
	}
	type c = struct {
		*http.Client
		base string
	}
	h1 := func(p *http.Protocols) { p.SetHTTP1(true) }
	return map[string]c{
		"HTTP/1.1":          {make(h1, false), "http://" + w.plain},
		"HTTP/1.1 over TLS": {make(h1, true), "https://" + w.secure},
		"h2c":               {make(func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) }, false), "http://" + w.plain},
		"HTTP/2 over TLS":   {make(func(p *http.Protocols) { p.SetHTTP2(true) }, true), "https://" + w.secure},
	}
}

// within fails the test when nothing comes out of a channel in time.
func within[T any](t *testing.T, what string, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		t.Fatalf("%s: not within %v", what, patience)
	}
	return v
}
