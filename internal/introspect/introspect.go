// Package introspect asks authorization servers whether a token is active (RFC 7662).
//
// An endpoint that is slow or down is asked by a bounded number of requests at once; the others fail at once, which is an
// outage and no denial. Redirects are not followed: the request carries a credential and a token.
package introspect

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"postern/internal/gate"
)

const (
	timeout   = 3 * time.Second
	maxAnswer = 64 << 10
	atOnce    = 64 // requests in flight to one endpoint
)

// Client asks. It implements gate.Introspector. The zero Client is ready.
type Client struct {
	mu      sync.Mutex
	sources map[string]*source
}

// source is one endpoint.
type source struct {
	http  *http.Client
	slots chan struct{}
}

// Close lets go of kept connections.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.sources {
		s.http.CloseIdleConnections()
	}
}

const maxSources = 1000

func (c *Client) source(src *gate.IntrospectionSource) (*source, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.sources[src.ID]; s != nil {
		return s, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if src.CAFile != "" {
		pem, err := os.ReadFile(src.CAFile)
		if err != nil {
			return nil, fmt.Errorf("ca_file: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca_file: %s holds no certificate", src.CAFile)
		}
	}
	if c.sources == nil || len(c.sources) >= maxSources {
		c.sources = map[string]*source{} // only configurations make sources: so many come from reloads
	}
	s := &source{slots: make(chan struct{}, atOnce), http: &http.Client{
		Timeout:       timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{TLSClientConfig: config, MaxIdleConnsPerHost: 16, IdleConnTimeout: 30 * time.Second,
			MaxResponseHeaderBytes: 64 << 10, ForceAttemptHTTP2: true},
	}}
	c.sources[src.ID] = s
	return s, nil
}

// Introspect implements gate.Introspector.
func (c *Client) Introspect(ctx context.Context, src *gate.IntrospectionSource, token string) ([]byte, error) {
	s, err := c.source(src)
	if err != nil {
		return nil, err
	}
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	default:
		return nil, fmt.Errorf("%d requests to %s are waiting already", atOnce, src.URL)
	}
	form := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, src.URL, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "postern")
	if src.ClientID != "" {
		req.SetBasicAuth(url.QueryEscape(src.ClientID), url.QueryEscape(src.ClientSecret))
	}
	answer, err := s.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %d", src.URL, answer.StatusCode)
	}
	b, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	if err == nil && len(b) > maxAnswer {
		err = errors.New("the answer is larger than 64 KiB")
	}
	return b, err
}

var _ gate.Introspector = (*Client)(nil)
