package edge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"postern/internal/http1"
	"postern/internal/policy"
)

// serveTLS shakes hands and gives the connection to the engine that speaks what was agreed.
func (ls *lease) serveTLS(sp *spec) {
	tc := tls.Server(ls, sp.tls.config)
	ctx, cancel := context.WithTimeout(context.Background(), ls.set.header)
	err := tc.HandshakeContext(ctx)
	cancel()
	if err != nil {
		ls.handshakeFailed(sp, err)
		return
	}
	state := tc.ConnectionState()
	switch {
	case state.NegotiatedProtocol == "h2":
		sp.web.take(tc)
	case state.NegotiatedProtocol == acmeProtocol: // the handshake was all that the certificate authority wanted
		_ = tc.Close()
	case ls.set.standard:
		sp.web.take(newGuard(ls, tc, &state))
	default:
		newConn(ls, sp, tc, tc, &state).serve()
	}
}

// handshakeFailed closes the connection. Plain HTTP gets an answer that says so: people type http:// for https://.
func (ls *lease) handshakeFailed(sp *spec, err error) {
	ls.l.server.rejected.tls.Add(1)
	var record tls.RecordHeaderError
	if !errors.As(err, &record) || record.Conn == nil || !looksLikeHTTP(record.RecordHeader) {
		_ = ls.Close()
		return
	}
	c := newConn(ls, sp, ls.Conn, ls.Conn, nil)
	c.l.remember(c)
	defer c.end()
	cl := takeCall()
	c.call = cl
	defer cl.release()
	begin(&cl.x, c.l.server.opts.Env)
	cl.x.Peer, cl.x.Client, cl.x.Scheme = c.peer, c.peer.Addr(), "http"
	cl.fast.reset(c, cl)
	c.unreadable(cl, &http1.ParseError{Code: http1.BadRequestLine, Status: 400,
		Detail: "plain HTTP is spoken to a port that expects TLS; use https"})
}

func looksLikeHTTP(head [5]byte) bool {
	switch string(head[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO", "DELET", "PATCH", "CONNE", "TRACE", "PRI *":
		return true
	}
	return false
}

// certificates answers handshakes of one listener.
type certificates struct {
	config *tls.Config
	files  []policy.CertificateFiles
	acme   *acmeUser // nil: files
	log    *limitedLog

	loaded atomic.Pointer[loadedCertificates]
	looked atomic.Int64 // moment of the last look at the files
	mu     sync.Mutex
}

// loadedCertificates is what the files held at one time.
type loadedCertificates struct {
	all    []*tls.Certificate
	byName map[string][]*tls.Certificate // lower case; wildcards with their star
	stamp  []fileStamp
}

type fileStamp struct {
	changed time.Time
	size    int64
}

// certificateLook is how often the files are looked at for changes, while there are handshakes.
const certificateLook = 2 * time.Second

func (s *Server) newCertificates(p *policy.ListenerTLS) (*certificates, error) {
	c := &certificates{files: p.Certificates, log: &s.log}
	c.config = &tls.Config{GetCertificate: c.get, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
	switch p.MinVersion {
	case "", "1.2":
	case "1.3":
		c.config.MinVersion = tls.VersionTLS13
	default:
		return nil, fmt.Errorf("tls.min_version %q is not known: write \"1.2\" or \"1.3\"", p.MinVersion)
	}
	switch p.ClientCertificates { // not verified here: a refused handshake could not say why; gate/authn judges the certificate
	case "", "none":
	case "request":
		c.config.ClientAuth = tls.RequestClientCert
	case "require":
		c.config.ClientAuth = tls.RequireAnyClientCert
	default:
		return nil, fmt.Errorf("tls.client_certificates %q is not known: write none, request or require", p.ClientCertificates)
	}
	if p.HTTP1Only {
		c.config.NextProtos = []string{"http/1.1"}
	}
	if len(c.files) > 0 {
		loaded, err := loadCertificates(c.files)
		if err != nil {
			return nil, err
		}
		c.loaded.Store(loaded)
		c.looked.Store(int64(mono()))
	}
	if p.ACME != nil {
		user, err := s.acme.use(s, p.ACME)
		if err != nil {
			return nil, err
		}
		c.acme = user
		c.config.NextProtos = append(c.config.NextProtos, acmeProtocol)
	}
	if len(c.files) == 0 && c.acme == nil {
		return nil, errors.New("tls has neither certificates nor acme: give one of them, or remove tls")
	}
	return c, nil
}

func (c *certificates) release() {
	if c.acme != nil {
		c.acme.release()
	}
}

// loadCertificates reads every pair of files.
func loadCertificates(files []policy.CertificateFiles) (*loadedCertificates, error) {
	out := &loadedCertificates{byName: map[string][]*tls.Certificate{}, stamp: stampsOf(files)}
	for _, f := range files {
		pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
		if err != nil {
			return nil, fmt.Errorf("certificate %s with key %s cannot be used: %w", f.Cert, f.Key, err)
		}
		cert := &pair
		out.all = append(out.all, cert)
		names := cert.Leaf.DNSNames
		for _, ip := range cert.Leaf.IPAddresses {
			names = append(names, ip.String())
		}
		for _, name := range names {
			name = strings.ToLower(name)
			out.byName[name] = append(out.byName[name], cert)
		}
	}
	return out, nil
}

func stampsOf(files []policy.CertificateFiles) []fileStamp {
	var out []fileStamp
	for _, f := range files {
		for _, name := range [...]string{f.Cert, f.Key} {
			var st fileStamp
			if info, err := os.Stat(name); err == nil {
				st = fileStamp{info.ModTime(), info.Size()}
			}
			out = append(out, st)
		}
	}
	return out
}

// get chooses a certificate for a handshake: one from files that names the server, else from ACME, else the first file.
func (c *certificates) get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.refresh()
	loaded := c.loaded.Load()
	name := strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))
	if loaded != nil && name != "" {
		if cert := best(hello, loaded.byName[name]); cert != nil {
			return cert, nil
		}
		if dot := strings.IndexByte(name, '.'); dot > 0 {
			if cert := best(hello, loaded.byName["*"+name[dot:]]); cert != nil {
				return cert, nil
			}
		}
	}
	if c.acme != nil {
		cert, err := c.acme.config.GetCertificate(hello)
		if err == nil || loaded == nil || slices.Contains(hello.SupportedProtos, acmeProtocol) {
			return cert, err
		}
	}
	if loaded == nil {
		return nil, errors.New("no certificate")
	}
	return best(hello, loaded.all), nil
}

// best is the first certificate that the client can verify (an RSA and an ECDSA one may serve one name), or the first.
func best(hello *tls.ClientHelloInfo, certs []*tls.Certificate) *tls.Certificate {
	for _, cert := range certs {
		if hello.SupportsCertificate(cert) == nil {
			return cert
		}
	}
	if len(certs) > 0 {
		return certs[0]
	}
	return nil
}

// refresh reads the files again if they changed. What cannot be read leaves the old certificates in use: a renewal that is
// half written is whole at the next look.
func (c *certificates) refresh() {
	if len(c.files) == 0 || mono()-moment(c.looked.Load()) < certificateLook || !c.mu.TryLock() {
		return
	}
	defer c.mu.Unlock()
	c.looked.Store(int64(mono()))
	if slices.Equal(stampsOf(c.files), c.loaded.Load().stamp) {
		return
	}
	loaded, err := loadCertificates(c.files)
	if err != nil {
		c.log.warn("changed certificate files cannot be used; the old certificates stay in use", "error", err)
		return
	}
	c.loaded.Store(loaded)
	c.log.Info("certificates were read again")
}
