package jwks

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"

	"postern/internal/gate"
	"postern/internal/jose"
)

const (
	fetchTimeout = 8 * time.Second // of the whole: metadata and keys
	stepTimeout  = 4 * time.Second // of one answer
	maxAnswer    = 512 << 10
	maxRedirects = 3
)

// fetcher returns the way to a source's keys.
func fetcher(src *gate.KeySource) func(context.Context) (*jose.Set, error) {
	switch {
	case src.File != "":
		return func(context.Context) (*jose.Set, error) { return readFile(src.File) }
	case src.URL != "":
		return func(ctx context.Context) (*jose.Set, error) {
			return fetchSet(ctx, src, src.URL, new(reach))
		}
	}
	return func(ctx context.Context) (*jose.Set, error) { return discover(ctx, src) }
}

func readFile(name string) (*jose.Set, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := bounded(f)
	if err != nil {
		return nil, err
	}
	return jose.ParseSet(b)
}

// discover reads the issuer's metadata, which must say that it is this issuer's, and fetches the keys it points at.
func discover(ctx context.Context, src *gate.KeySource) (*jose.Set, error) {
	seen := new(reach)
	b, err := get(ctx, src, src.Discovery, seen)
	if err != nil {
		return nil, fmt.Errorf("metadata: %w", err)
	}
	var meta struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	if err := json.Unmarshal(b, &meta); err != nil {
		return nil, errors.New("metadata: the answer is no JSON object")
	}
	if meta.Issuer != src.Issuer {
		return nil, fmt.Errorf("metadata: it is of issuer %.200q, and the configuration says %q; the two must be equal to the letter", meta.Issuer, src.Issuer)
	}
	to, err := url.Parse(meta.JWKSURI)
	from, _ := url.Parse(src.Discovery)
	switch {
	case err != nil || to.Host == "" || to.User != nil:
		return nil, fmt.Errorf("metadata: jwks_uri %.200q is no address", meta.JWKSURI)
	case to.Scheme != "https" && (to.Scheme != "http" || from.Scheme != "http" || to.Hostname() != from.Hostname()):
		return nil, fmt.Errorf("metadata: jwks_uri %.200q is not https", meta.JWKSURI)
	}
	next := &reach{bound: true, least: zone(seen.seen.Load())}
	if to.Host == from.Host {
		next.bound = false
	}
	return fetchSet(ctx, src, meta.JWKSURI, next)
}

func fetchSet(ctx context.Context, src *gate.KeySource, address string, r *reach) (*jose.Set, error) {
	b, err := get(ctx, src, address, r)
	if err != nil {
		return nil, err
	}
	return jose.ParseSet(b)
}

// get fetches one document. RATIONALE for a transport of its own: fetches are minutes apart, so that a kept connection
// would only be in the way of checking where a new one leads.
func get(ctx context.Context, src *gate.KeySource, address string, r *reach) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
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
	client := &http.Client{
		Transport: &http.Transport{DialContext: r.dialer().DialContext, TLSClientConfig: config, DisableKeepAlives: true,
			DisableCompression: true, MaxResponseHeaderBytes: 64 << 10, ForceAttemptHTTP2: true},
		CheckRedirect: func(next *http.Request, via []*http.Request) error {
			if len(via) > maxRedirects || next.URL.Scheme != via[0].URL.Scheme || next.URL.Host != via[0].URL.Host {
				return errors.New("it redirects to another host, or too often")
			}
			return nil
		},
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "postern")
	answer, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %d", address, answer.StatusCode)
	}
	return bounded(answer.Body)
}

func bounded(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxAnswer+1))
	switch {
	case err != nil:
		return nil, err
	case len(b) > maxAnswer:
		return nil, errTooLarge
	}
	return b, nil
}
