package oidc_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/op"

	"postern/conformance/gateway"
)

// The service user of the provider's example storage.
const clientID, clientSecret = "sid1", "verysecret"

// provider is an OpenID provider on loopback that can rotate its key, go away and come back to the same address.
type provider struct {
	t       testing.TB
	issuer  string
	address string
	handler http.Handler
	store   *keeper
	server  *http.Server
	fetches atomic.Int64 // of the key set
}

func newProvider(t testing.TB) *provider {
	t.Helper()
	p := &provider{t: t, address: gateway.FreeAddress(t)}
	p.issuer = "http://" + p.address
	p.store = &keeper{Storage: storage.NewStorage(storage.NewUserStore(p.issuer))}
	p.rotate()
	handler, err := op.NewProvider(&op.Config{CryptoKeyId: "state"}, p.store, op.StaticIssuer(p.issuer),
		op.WithAllowInsecure(), op.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	p.handler = handler
	p.start()
	t.Cleanup(p.stop)
	return p
}

// rotate makes a new key the only one: the provider signs with it and publishes no other.
func (p *provider) rotate() {
	p.t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		p.t.Fatal(err)
	}
	p.store.mu.Lock()
	defer p.store.mu.Unlock()
	p.store.turn++
	p.store.key = &signingKey{id: fmt.Sprintf("key-%d", p.store.turn), key: key}
}

func (p *provider) start() {
	p.t.Helper()
	l, err := net.Listen("tcp", p.address)
	if err != nil {
		p.t.Fatal(err)
	}
	p.server = &http.Server{ReadHeaderTimeout: gateway.Patience, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/keys" {
			p.fetches.Add(1)
		}
		p.handler.ServeHTTP(w, r)
	})}
	server := p.server
	go func() { _ = server.Serve(l) }()
}

// stop ends the listener and every connection: whoever connects is refused.
func (p *provider) stop() { _ = p.server.Close() }

// token fetches an access token as a client of the provider does: metadata first, then the token endpoint that it names.
func (p *provider) token() string {
	p.t.Helper()
	var meta struct {
		Issuer   string `json:"issuer"`
		Endpoint string `json:"token_endpoint"`
		Keys     string `json:"jwks_uri"`
	}
	req, err := http.NewRequest("GET", p.issuer+"/.well-known/openid-configuration", nil)
	if err != nil {
		p.t.Fatal(err)
	}
	p.ask(req, &meta)
	if meta.Issuer != p.issuer || meta.Keys != p.issuer+"/keys" {
		p.t.Fatalf("the provider says %+v of itself", meta)
	}
	form := url.Values{"grant_type": {"client_credentials"}, "scope": {"openid"}}
	if req, err = http.NewRequest("POST", meta.Endpoint, strings.NewReader(form.Encode())); err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(clientID, clientSecret)
	var got struct {
		Token string `json:"access_token"`
	}
	p.ask(req, &got)
	if strings.Count(got.Token, ".") != 2 {
		p.t.Fatalf("the provider's access token %q is no signed token", got.Token)
	}
	return got.Token
}

func (p *provider) ask(req *http.Request, into any) {
	p.t.Helper()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != 200 {
		p.t.Fatalf("%s: %d %s %v", req.URL, res.StatusCode, b, err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		p.t.Fatalf("%s: %v in %s", req.URL, err, b)
	}
}

// keeper is the provider's example storage with keys that change, and with access tokens that can be read by others.
type keeper struct {
	*storage.Storage

	mu   sync.Mutex
	turn int
	key  *signingKey
}

func (k *keeper) now() *signingKey {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.key
}

func (k *keeper) SigningKey(context.Context) (op.SigningKey, error) { return k.now(), nil }
func (k *keeper) KeySet(context.Context) ([]op.Key, error)          { return []op.Key{public{k.now()}}, nil }
func (k *keeper) SignatureAlgorithms(context.Context) ([]jose.SignatureAlgorithm, error) {
	return []jose.SignatureAlgorithm{jose.RS256}, nil
}

func (k *keeper) ClientCredentials(ctx context.Context, id, secret string) (op.Client, error) {
	c, err := k.Storage.ClientCredentials(ctx, id, secret)
	return signedTokens{c}, err
}

// signedTokens is a client whose access tokens are signed, not opaque.
type signedTokens struct{ op.Client }

func (signedTokens) AccessTokenType() op.AccessTokenType { return op.AccessTokenTypeJWT }

// signingKey is a private key with its id.
type signingKey struct {
	id  string
	key *rsa.PrivateKey
}

func (k *signingKey) SignatureAlgorithm() jose.SignatureAlgorithm { return jose.RS256 }
func (k *signingKey) Key() any                                    { return k.key }
func (k *signingKey) ID() string                                  { return k.id }

// public is the half of a key that is published.
type public struct{ k *signingKey }

func (p public) ID() string                         { return p.k.id }
func (p public) Algorithm() jose.SignatureAlgorithm { return jose.RS256 }
func (p public) Use() string                        { return "sig" }
func (p public) Key() any                           { return &p.k.key.PublicKey }
