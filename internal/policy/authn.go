package policy

import (
	"maps"
	"slices"
)

// JWT accepts signed tokens of one issuer, sent as Authorization: Bearer. Exactly one of Discovery, JWKSURL and JWKSFile may be
// set; without any the metadata is looked for below the issuer.
type JWT struct {
	Issuer    string `json:"issuer"`              // the iss claim, to the letter
	Discovery string `json:"discovery,omitempty"` // address of the issuer's metadata; default <issuer>/.well-known/openid-configuration
	JWKSURL   string `json:"jwks_url,omitempty"`  // address of its key set
	JWKSFile  string `json:"jwks_file,omitempty"` // file with its key set, read again when it changes
	CAFile    string `json:"ca_file,omitempty"`   // trust for a private certificate authority; default: the system's
	// Algorithms are the only ones accepted from this issuer; default RS256, ES256 and EdDSA. There is no way to accept none or HS256.
	Algorithms  []string `json:"algorithms,omitempty"`
	Audience    []string `json:"audience,omitempty"`     // one of these must be in the aud claim
	AnyAudience bool     `json:"any_audience,omitempty"` // accept tokens that were issued for other services; audit reports it
	// Types are the accepted values of the typ header; default JWT, at+jwt and none. Write "" for none.
	Types []string `json:"typ,omitempty"`
	Skew  Duration `json:"skew,omitempty"`    // how far clocks may differ; default 30s, at most 10m
	Max   Duration `json:"max_age,omitempty"` // how old a token may be, whatever its exp; default: not asked
	// RequiredClaims must be in the token, with one of the values if any are listed, such as {email_verified: ["true"]}.
	RequiredClaims map[string][]string `json:"required_claims,omitempty"`
	Claims         JWTClaims           `json:"claims,omitzero"`
	Refresh        Duration            `json:"refresh,omitempty"` // how often keys are fetched anew; default 10m, of a file 5s
	Stale          Duration            `json:"stale,omitempty"`   // how long keys are used while they cannot be fetched; default 24h
}

// JWTClaims says what claims mean. A claim is a name such as azp, or a path such as realm_access.roles.
type JWTClaims struct {
	Application  []string          `json:"application,omitempty"`    // the first that is there names the application; default client_id, azp
	Applications map[string]string `json:"applications,omitempty"`   // what that claim says, to the id of the application meant; others stand for themselves
	Fixed        string            `json:"application_id,omitempty"` // every token of this issuer is of this application
	User         string            `json:"user,omitempty"`           // default sub
	Scopes       []string          `json:"scopes,omitempty"`         // the first that is there lists the scopes; default scope, scp
	Roles        string            `json:"roles,omitempty"`          // lists roles, of which role_map knows some; default: none come from a token
	RoleMap      map[string]string `json:"role_map,omitempty"`       // what the claim says, to a role of the document; others are passed over
	Attributes   map[string]string `json:"attributes,omitempty"`     // attribute of the caller, to the claim that vouches for it
}

// Introspection asks an authorization server about tokens that only it can read (RFC 7662).
type Introspection struct {
	URL          string   `json:"url"`                     // of the introspection endpoint
	ClientID     string   `json:"client_id,omitempty"`     // by which the gateway proves itself there
	ClientSecret string   `json:"client_secret,omitempty"` // with ${env:NAME} or ${file:PATH}
	CAFile       string   `json:"ca_file,omitempty"`       // trust for a private certificate authority; default: the system's
	Audience     []string `json:"audience,omitempty"`      // one of these must be in the answer's aud; default: not asked
	// Remember is how long an answer is used again, at most as long as the token lasts; default 30s, at most 10m. A token that was
	// revoked goes on working that long.
	Remember Duration  `json:"remember,omitempty"`
	Claims   JWTClaims `json:"claims,omitzero"`
}

// ClientCertificate accepts client certificates. An application is known by a certificate's fingerprint, which needs no
// authority, or by a name in a certificate of an authority in CA; both are credentials of the directory. The listener has to
// ask for certificates: tls.client_certificates.
type ClientCertificate struct {
	CA        string `json:"ca,omitempty"`        // PEM certificates of the accepted authorities, such as ${file:/etc/postern/clients-ca.pem}
	Forwarded bool   `json:"forwarded,omitempty"` // believe X-Forwarded-Client-Cert of trusted_proxies, which must overwrite it
}

// HMAC accepts requests signed with AWS Signature Version 4, which AWS SDKs and `curl --aws-sigv4` make. The secret is a shared
// secret of the directory.
type HMAC struct {
	Region          string   `json:"region,omitempty"`           // of the credential scope; default: any
	Service         string   `json:"service,omitempty"`          // of the credential scope; default: any
	Window          Duration `json:"window,omitempty"`           // between the time of signing and our clock; default 5m, at most 15m
	Headers         []string `json:"headers,omitempty"`          // further fields that have to be signed where they are sent
	BodyBytes       int      `json:"body_bytes,omitempty"`       // the largest body that is checked; default 1 MiB
	UnsignedPayload bool     `json:"unsigned_payload,omitempty"` // accept UNSIGNED-PAYLOAD: then the body could have been changed by anybody
}

// MessageSignature accepts HTTP message signatures (RFC 9421) by hmac-sha256, ed25519 and ecdsa-p256-sha256. The key is a shared
// secret or a public key of the directory.
type MessageSignature struct {
	Window Duration `json:"window,omitempty"` // between created and our clock; default 5m, at most 15m
	// Components have to be covered. Default: @method, @authority, @path, @query when there is one, content-digest when there is a body.
	Components []string `json:"components,omitempty"`
	BodyBytes  int      `json:"body_bytes,omitempty"` // the largest body that is checked against its digest; default 1 MiB
}

// TokenEndpoint lets applications fetch short-lived tokens with their client secret or private key (OAuth 2.0 client
// credentials). It serves POST <path>/token, GET <path>/jwks and GET /.well-known/oauth-authorization-server.
type TokenEndpoint struct {
	Issuer   string   `json:"issuer"`             // the address callers reach the gateway by, such as https://api.example.com
	Path     string   `json:"path,omitempty"`     // default /oauth
	Hosts    []string `json:"hosts,omitempty"`    // where it is served; default: any host
	Audience []string `json:"audience,omitempty"` // aud of the tokens; default: the issuer
	Lifetime Duration `json:"lifetime,omitempty"` // of a token; default 10m, at most 24h
}

// Identity names the fields by which an upstream learns who calls, such as {application: X-Application-Id}. Fields of these
// names that a caller sends are removed, in every spelling that servers may take for them. Values that are not visible ASCII
// are percent-encoded; lists are joined with spaces.
type Identity struct {
	Application string            `json:"application,omitempty"` // its id
	Tenant      string            `json:"tenant,omitempty"`      // its id
	User        string            `json:"user,omitempty"`        // whom a token is about
	Credential  string            `json:"credential,omitempty"`  // its public id
	Method      string            `json:"method,omitempty"`      // how the caller was proven, such as api_key or jwt
	Issuer      string            `json:"issuer,omitempty"`      // of a token
	Scopes      string            `json:"scopes,omitempty"`
	Roles       string            `json:"roles,omitempty"`
	Attributes  map[string]string `json:"attributes,omitempty"` // attribute of the caller, to the field that carries it
}

// Fields lists the names of the fields, sorted by what they carry.
func (i *Identity) Fields() (names []string) {
	if i == nil {
		return nil
	}
	for _, n := range []string{i.Application, i.Tenant, i.User, i.Credential, i.Method, i.Issuer, i.Scopes, i.Roles} {
		if n != "" {
			names = append(names, n)
		}
	}
	for _, a := range SortedNames(i.Attributes) {
		names = append(names, i.Attributes[a])
	}
	return names
}

// SortedNames returns the keys of a map in order.
func SortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// Failures turns away callers whose credentials were refused too often: from one address (of IPv6: one /64), or beginning alike.
type Failures struct {
	Most int      `json:"most"`          // refused credentials after which further attempts are answered 429
	Per  Duration `json:"per,omitempty"` // how long failures are counted, and how long the answer lasts; default 1m
}
