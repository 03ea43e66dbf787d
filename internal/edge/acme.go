package edge

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"

	"postern/internal/gate"
	"postern/internal/header"
	"postern/internal/policy"
)

// acmeProtocol is the ALPN name of the tls-alpn-01 challenge (RFC 8737).
const acmeProtocol = "acme-tls/1"

// acmeSet shares one certificate manager among listeners with equal ACME settings, and over reloads.
type acmeSet struct {
	active atomic.Int64
	mu     sync.Mutex
	users  map[string]*acmeUser
}

// acmeUser is one certificate manager and how many specs use it.
type acmeUser struct {
	set     *acmeSet
	key     string
	config  *certmagic.Config
	issuer  *certmagic.ACMEIssuer
	cache   *certmagic.Cache
	domains []string
	cancel  context.CancelFunc // nil until begin
	refs    int
	once    sync.Once
}

// use returns the manager for these settings. begin starts it.
func (a *acmeSet) use(s *Server, p *policy.ACME) (*acmeUser, error) {
	if s.opts.ACMEDir == "" {
		return nil, errors.New("acme needs a data folder to keep certificates in")
	}
	if len(p.Domains) == 0 {
		return nil, errors.New("acme.domains is empty: name the hosts that certificates are wanted for")
	}
	key := strings.Join([]string{p.Directory, p.Email, p.CAFile, strings.Join(p.Domains, ",")}, "|")
	a.mu.Lock()
	defer a.mu.Unlock()
	if u := a.users[key]; u != nil {
		u.refs++
		return u, nil
	}
	var roots *x509.CertPool
	if p.CAFile != "" {
		pem, err := os.ReadFile(p.CAFile)
		if err != nil {
			return nil, fmt.Errorf("acme.ca_file cannot be read: %w", err)
		}
		roots = x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("acme.ca_file %s holds no certificate in PEM form", p.CAFile)
		}
	}
	u := &acmeUser{set: a, key: key, refs: 1}
	logger := zap.NewNop()
	u.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return u.config, nil },
		Logger:           logger,
	})
	u.config = certmagic.New(u.cache, certmagic.Config{
		Storage: &certmagic.FileStorage{Path: s.opts.ACMEDir},
		Logger:  logger,
		OnEvent: func(_ context.Context, event string, data map[string]any) error {
			switch event {
			case "cert_obtained":
				s.log.Info("certificate obtained", "name", data["identifier"], "renewal", data["renewal"])
			case "cert_failed":
				s.log.warn("certificate cannot be obtained; it is tried again", "name", data["identifier"], "error", data["error"],
					"remedy", "check that the name leads to this gateway from the internet, on port 443 or 80")
			}
			return nil
		},
	})
	directory := p.Directory
	if directory == "" {
		directory = certmagic.LetsEncryptProductionCA
	}
	u.issuer = certmagic.NewACMEIssuer(u.config, certmagic.ACMEIssuer{
		CA: directory, TestCA: directory, Email: p.Email, Agreed: true, TrustedRoots: roots, Logger: logger,
	})
	u.config.Issuers = []certmagic.Issuer{u.issuer}
	u.domains = p.Domains
	if a.users == nil {
		a.users = map[string]*acmeUser{}
	}
	a.users[key] = u
	a.active.Add(1)
	return u, nil
}

// begin has the certificates fetched and renewed in the background; until the first is there, handshakes for its name fail.
// It is called when the listeners are open, because the certificate authority calls back. certmagic opens ports of its own
// for that unless somebody listens there already, so it is told where the gateway does; plain is nil when no listener
// takes plain HTTP, and then http-01 is not offered.
func (u *acmeUser) begin(secure, plain net.Addr) error {
	u.set.mu.Lock()
	defer u.set.mu.Unlock()
	if u.cancel != nil {
		return nil
	}
	at := addrPort(secure)
	u.issuer.AltTLSALPNPort = int(at.Port())
	if !at.Addr().IsUnspecified() {
		u.issuer.ListenHost = at.Addr().String()
	}
	if plain != nil {
		u.issuer.AltHTTPPort = int(addrPort(plain).Port())
	}
	u.issuer.DisableHTTPChallenge = plain == nil
	ctx, cancel := context.WithCancel(context.Background())
	u.cancel = cancel
	if err := u.config.ManageAsync(ctx, u.domains); err != nil {
		return fmt.Errorf("acme: %w", err)
	}
	return nil
}

func (u *acmeUser) release() {
	u.set.mu.Lock()
	defer u.set.mu.Unlock()
	if u.refs--; u.refs == 0 {
		delete(u.set.users, u.key)
		u.set.active.Add(-1)
		u.stop()
	}
}

func (u *acmeUser) stop() {
	u.once.Do(func() {
		if u.cancel != nil {
			u.cancel()
		}
		u.cache.Stop()
	})
}

// stop ends every manager.
func (a *acmeSet) stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, u := range a.users {
		u.stop()
	}
	a.users = nil
}

const challengePrefix = "/.well-known/acme-challenge/"

// challenge answers an http-01 challenge (RFC 8555 section 8.3) that one of the managers waits for. It is asked before routing,
// because a certificate authority has no credential and the path belongs to no API.
func (a *acmeSet) challenge(x *gate.Exchange) *gate.Reply {
	if a.active.Load() == 0 || x.Method != "GET" || !strings.HasPrefix(x.RawPath, challengePrefix) {
		return nil
	}
	a.mu.Lock()
	users := make([]*acmeUser, 0, len(a.users))
	for _, u := range a.users {
		users = append(users, u)
	}
	a.mu.Unlock()
	r := &http.Request{Method: "GET", Host: strings.Clone(x.Host), URL: &url.URL{Path: strings.Clone(x.RawPath)}, Header: http.Header{}}
	for _, u := range users {
		w := challengeWriter{h: http.Header{}, status: 200}
		if u.issuer.HandleHTTPChallenge(&w, r) {
			return &gate.Reply{Status: w.status, Header: header.List{{Name: "Content-Type", Value: "text/plain"}}, Body: w.body}
		}
	}
	return nil
}

// challengeWriter collects what certmagic answers to a challenge.
type challengeWriter struct {
	h      http.Header
	status int
	body   []byte
}

// Header implements http.ResponseWriter.
func (w *challengeWriter) Header() http.Header { return w.h }

// WriteHeader implements http.ResponseWriter.
func (w *challengeWriter) WriteHeader(status int) { w.status = status }

// Write implements http.ResponseWriter.
func (w *challengeWriter) Write(p []byte) (int, error) {
	w.body = append(w.body, p...)
	return len(p), nil
}
