package forward

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"os"

	"postern/internal/policy"
)

// tlsConfig reads the files of an upstream's TLS settings. The server name is set for each target later.
func tlsConfig(u *policy.UpstreamTLS) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(64)}
	if u == nil {
		return c, nil
	}
	c.ServerName, c.InsecureSkipVerify = u.ServerName, u.Insecure //nolint:gosec // the operator asked for it, and audit reports it
	if u.CAFile != "" {
		pem, err := os.ReadFile(u.CAFile)
		if err != nil {
			return nil, fmt.Errorf("tls.ca_file: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls.ca_file: %s contains no certificate in PEM form", u.CAFile)
		}
	}
	if (u.CertFile == "") != (u.KeyFile == "") {
		return nil, fmt.Errorf("tls: cert_file and key_file belong together: give both or neither")
	}
	if u.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(u.CertFile, u.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("tls: load the client certificate %s: %w", u.CertFile, err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// tlsFilesSum is a digest of the files' contents, so that a pool is built anew when a certificate was replaced.
func tlsFilesSum(u *policy.UpstreamTLS) (string, error) {
	if u == nil {
		return "", nil
	}
	h := sha256.New()
	for _, f := range []struct{ field, path string }{{"ca_file", u.CAFile}, {"cert_file", u.CertFile}, {"key_file", u.KeyFile}} {
		if f.path == "" {
			continue
		}
		b, err := os.ReadFile(f.path)
		if err != nil {
			return "", fmt.Errorf("tls.%s: %w", f.field, err)
		}
		fmt.Fprintf(h, "%s %d ", f.field, len(b))
		h.Write(b) //nolint:errcheck // never fails
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
