// Package policy is the configuration document: one versioned whole that says which APIs exist, where they lead, and what
// is asked of a request. It is plain data without behaviour at run time; internal/snapshot compiles it.
//
// The document is written in YAML (Parse gives positions and suggestions for mistakes) or edited as JSON through the
// management API. Zero values mean the documented default, so that an exported document stays as short as it was written.
// Who calls (tenants, applications, keys, subscriptions) is directory data and not here.
package policy

// Document is the whole configuration.
type Document struct {
	Format         int                 `json:"postern"`                   // format of the document; 1
	Listeners      []Listener          `json:"listeners,omitempty"`       // default: one plain listener on :8080
	TrustedProxies []string            `json:"trusted_proxies,omitempty"` // CIDRs whose forwarding fields are believed; default none
	ForwardedBy    string              `json:"forwarded_by,omitempty"`    // the one field believed: x-forwarded-for (default) or forwarded
	PortalURL      string              `json:"portal_url,omitempty"`      // turns reason types into <portal>/reasons/<code>
	Roles          map[string]Role     `json:"roles,omitempty"`
	Plans          map[string]Plan     `json:"plans,omitempty"`
	Upstreams      map[string]Upstream `json:"upstreams,omitempty"`
	Models         map[string]Model    `json:"models,omitempty"` // what callers may name as "model"
	APIs           []API               `json:"apis,omitempty"`
	FloodGuard     []Limit             `json:"flood_guard,omitempty"` // limits mounted before authn, by address
	// TokenEndpoint issues tokens to applications; default: there is none.
	TokenEndpoint *TokenEndpoint `json:"token_endpoint,omitempty"`
	Policies      []Policies     `json:"policies,omitempty"` // Cedar policies about every API
	DecisionSets  []DecisionSet  `json:"decision_sets,omitempty"`

	origin *origin // where Parse read it; nil for a document made otherwise
}

// Role grants permissions.
type Role struct {
	Title       string   `json:"title,omitempty"`
	Permissions []string `json:"permissions,omitempty"` // "orders:create"; "orders:*" grants all of orders
	Inherits    []string `json:"inherits,omitempty"`    // roles whose permissions this one has too; no cycles
}

// Plan is what a subscription grants.
type Plan struct {
	Title  string  `json:"title,omitempty"`
	Limits []Limit `json:"limits,omitempty"` // counted for each subscription's application
}

// Limit bounds requests. Exactly one of Rate and Quota is set.
type Limit struct {
	Name  string `json:"name"`            // unique in its list
	Rate  *Rate  `json:"rate,omitempty"`  // smooth: GCRA with a burst
	Quota *Quota `json:"quota,omitempty"` // so many per calendar period
	// By says whose requests are counted together: application (default), key, tenant, address or everyone.
	By     string `json:"by,omitempty"`
	Shadow bool   `json:"shadow,omitempty"` // report, do not refuse
	// OnUnavailable says what happens when counters cannot be reached: refuse (default) or pass.
	OnUnavailable string `json:"on_unavailable,omitempty"`
}

// Rate is Requests per Per, evenly spaced, of which Burst may come at once.
type Rate struct {
	Requests int64    `json:"requests"`
	Per      Duration `json:"per"`
	Burst    int64    `json:"burst,omitempty"` // default: Requests
}

// Quota is Requests per calendar period.
type Quota struct {
	Requests int64  `json:"requests"`
	Per      string `json:"per"`                 // second, minute, hour, day, week (from Monday) or month
	TimeZone string `json:"time_zone,omitempty"` // IANA name; default UTC
}

// Listener is one address that callers connect to.
type Listener struct {
	Name          string         `json:"name"`
	Address       string         `json:"address"`          // host:port
	Engine        string         `json:"engine,omitempty"` // fast (default) or standard (net/http)
	TLS           *ListenerTLS   `json:"tls,omitempty"`
	H2C           bool           `json:"h2c,omitempty"`            // HTTP/2 with prior knowledge on a plain listener
	ProxyProtocol []string       `json:"proxy_protocol,omitempty"` // CIDRs that must send a PROXY header (v1 or v2); others must not
	StrictSNI     *bool          `json:"strict_sni,omitempty"`     // default true: Host must agree with the TLS server name
	Limits        MessageLimits  `json:"limits,omitzero"`
	Timeouts      ClientTimeouts `json:"timeouts,omitzero"`
}

// ListenerTLS is where certificates come from: files, or ACME.
type ListenerTLS struct {
	Certificates []CertificateFiles `json:"certificates,omitempty"`
	ACME         *ACME              `json:"acme,omitempty"`
	MinVersion   string             `json:"min_version,omitempty"` // "1.2" (default) or "1.3"
	HTTP1Only    bool               `json:"http1_only,omitempty"`  // do not offer h2 by ALPN
	// ClientCertificates is none (default), request, or require. A certificate is judged by the gate authn, which can say what
	// is wrong with it; the handshake only asks for one.
	ClientCertificates string `json:"client_certificates,omitempty"`
}

// CertificateFiles is a PEM chain and its key. Files are read again when they change.
type CertificateFiles struct {
	Cert string `json:"cert"`
	Key  string `json:"key"`
}

// ACME gets certificates from a certificate authority (RFC 8555).
type ACME struct {
	Domains   []string `json:"domains"`
	Email     string   `json:"email,omitempty"`
	Directory string   `json:"directory,omitempty"` // default: Let's Encrypt
	CAFile    string   `json:"ca_file,omitempty"`   // trust for a private ACME server
}

// MessageLimits bounds what one request may bring. Zero means the default.
type MessageLimits struct {
	HeaderBytes int   `json:"header_bytes,omitempty"` // request line and header fields; default 32 KiB
	HeaderCount int   `json:"header_count,omitempty"` // default 100
	BodyBytes   int64 `json:"body_bytes,omitempty"`   // default 64 MiB; -1 for no limit
	Connections int   `json:"connections,omitempty"`  // at once; default 100,000
	H2Streams   int   `json:"h2_streams,omitempty"`   // at once on a connection; default 250
}

// ClientTimeouts bounds how slow a client may be. Zero means the default.
type ClientTimeouts struct {
	Header Duration `json:"header,omitempty"` // from the first byte to the end of the header; default 10s
	Body   Duration `json:"body,omitempty"`   // between two reads of a body; default 30s
	Write  Duration `json:"write,omitempty"`  // between two writes of an answer; default 30s
	Idle   Duration `json:"idle,omitempty"`   // between two requests; default 75s
	Drain  Duration `json:"drain,omitempty"`  // how long a stopping listener waits for requests; default 30s
}

// Upstream is a service that requests are sent to.
type Upstream struct {
	Targets  []Target         `json:"targets"`
	Protocol string           `json:"protocol,omitempty"` // auto (default: h2 by ALPN on https, else http1), http1, h2 or h2c
	Balance  string           `json:"balance,omitempty"`  // round_robin (default), least_request or consistent_hash
	HashOn   string           `json:"hash_on,omitempty"`  // address (default), application, path, header:<name> or cookie:<name>
	Host     string           `json:"host,omitempty"`     // Host sent: target (default), pass, or a literal name
	TLS      *UpstreamTLS     `json:"tls,omitempty"`
	Health   *HealthCheck     `json:"health,omitempty"` // active checks; default none
	Passive  *PassiveHealth   `json:"passive,omitempty"`
	Circuit  *CircuitBreaker  `json:"circuit,omitempty"`
	Retry    *Retry           `json:"retry,omitempty"`
	Timeouts UpstreamTimeouts `json:"timeouts,omitzero"`
	// Credential is presented to the upstream in place of the caller's, such as {header: Authorization, value: "Bearer ${env:TOKEN}"}.
	Credential *UpstreamCredential `json:"credential,omitempty"`
	// KeepCredential passes the caller's credential on to the upstream. By default it is removed.
	KeepCredential bool `json:"keep_credential,omitempty"`
	// Identity tells the upstream who calls; default: nothing does.
	Identity *Identity `json:"identity,omitempty"`
	// Connections bounds idle connections kept to each target; default 256.
	Connections int `json:"connections,omitempty"`
}

// Target is one address of an upstream.
type Target struct {
	URL    string `json:"url"`              // http://host:port or https://host:port, optionally with a path prefix
	Weight int    `json:"weight,omitempty"` // default 1
}

// UpstreamTLS is how an https target is verified.
type UpstreamTLS struct {
	CAFile     string `json:"ca_file,omitempty"` // default: the system's roots
	ServerName string `json:"server_name,omitempty"`
	CertFile   string `json:"cert_file,omitempty"` // client certificate
	KeyFile    string `json:"key_file,omitempty"`
	Insecure   bool   `json:"insecure,omitempty"` // do not verify; audit reports it
}

// HealthCheck asks each target regularly.
type HealthCheck struct {
	Path      string   `json:"path"`
	Interval  Duration `json:"interval,omitempty"`  // default 10s
	Timeout   Duration `json:"timeout,omitempty"`   // default 2s
	Healthy   int      `json:"healthy,omitempty"`   // successes in a row that bring a target back; default 2
	Unhealthy int      `json:"unhealthy,omitempty"` // failures in a row that take it out; default 3
	Status    []int    `json:"status,omitempty"`    // accepted; default 200 to 399
}

// PassiveHealth takes a target out after failures seen in traffic.
type PassiveHealth struct {
	Failures int      `json:"failures,omitempty"` // in a row; default 5
	For      Duration `json:"for,omitempty"`      // how long; default 10s
	Status   []int    `json:"status,omitempty"`   // answers that count as failures besides broken connections; default 502, 503, 504
}

// CircuitBreaker suspends calls to an upstream when too many fail.
type CircuitBreaker struct {
	Window      Duration `json:"window,omitempty"`       // default 10s
	MinRequests int      `json:"min_requests,omitempty"` // default 20
	FailureRate float64  `json:"failure_rate,omitempty"` // 0 to 1; default 0.5
	Open        Duration `json:"open,omitempty"`         // default 5s
	Trials      int      `json:"trials,omitempty"`       // calls let through when half open; default 3
}

// Retry repeats a call on another target, only where it is safe: the method is idempotent (RFC 9110 section 9.2.2), or
// nothing was sent; and never once a byte of the answer has been passed on.
type Retry struct {
	Attempts int     `json:"attempts,omitempty"` // in total; default 2, 1 turns retries off
	Status   []int   `json:"status,omitempty"`   // answers worth another try; default none
	Budget   float64 `json:"budget,omitempty"`   // retries as a share of calls; default 0.2
}

// UpstreamTimeouts bounds each phase of a call. Zero means the default.
type UpstreamTimeouts struct {
	Connect   Duration `json:"connect,omitempty"`    // TCP and TLS; default 5s
	Write     Duration `json:"write,omitempty"`      // between two writes of the request; default 30s
	FirstByte Duration `json:"first_byte,omitempty"` // from the request sent to the answer's header; default 60s
	Read      Duration `json:"read,omitempty"`       // between two reads of the answer; default 60s
	Idle      Duration `json:"idle,omitempty"`       // of a kept connection; default 60s
	Total     Duration `json:"total,omitempty"`      // of the whole call; default none
}

// UpstreamCredential is a header field the gateway adds.
type UpstreamCredential struct {
	Header string `json:"header"`
	Value  string `json:"value"` // with ${env:NAME} or ${file:PATH}; literals are reported by audit
}

// API is a product: a named thing with versions.
type API struct {
	Name        string    `json:"name"` // 1 to 63 of a-z 0-9 and '-'
	Title       string    `json:"title,omitempty"`
	Description string    `json:"description,omitempty"`
	Tenant      string    `json:"tenant,omitempty"` // the tenant that publishes it
	Kind        string    `json:"kind,omitempty"`   // http (default) or llm
	Versions    []Version `json:"versions"`
}

// Version is one version of an API: where it is reached, and what is asked there. Settings here apply to all operations,
// which may tighten or replace them.
type Version struct {
	Version   string   `json:"version"`
	State     string   `json:"state,omitempty"`     // draft, published (default), deprecated or retired
	Sunset    string   `json:"sunset,omitempty"`    // RFC 3339; when a deprecated version will be retired
	Since     string   `json:"since,omitempty"`     // RFC 3339; when it was deprecated
	Successor string   `json:"successor,omitempty"` // version that replaces it
	Hosts     []string `json:"hosts,omitempty"`     // "api.example.com" or "*.example.com"; empty: any host
	BasePath  string   `json:"base_path,omitempty"` // literal prefix of all paths, such as /orders/v1
	// ByHeader selects this version among those on the same host and path, such as {name: X-Version, value: v2}.
	ByHeader *HeaderMatch `json:"by_header,omitempty"`
	Upstream string       `json:"upstream,omitempty"`
	// StripBasePath sends the path without BasePath; the target's own path prefix is put in front.
	StripBasePath  bool        `json:"strip_base_path,omitempty"`
	EncodedSlashes string      `json:"encoded_slashes,omitempty"` // refuse (default) or keep: %2F within a segment stays as it is
	Authn          *Authn      `json:"authn,omitempty"`           // default: an API key is required
	Subscription   string      `json:"subscription,omitempty"`    // required (default) or none
	IP             *IPRules    `json:"ip,omitempty"`
	CORS           *CORS       `json:"cors,omitempty"` // default: preflights and their answers are the upstream's affair
	CSRF           *CSRF       `json:"csrf,omitempty"` // default: off; for callers known by a cookie
	Limits         []Limit     `json:"limits,omitempty"`
	WAF            *WAF        `json:"waf,omitempty"`        // default: off
	Authz          *Authz      `json:"authz,omitempty"`      // policies and ownership
	Operations     []Operation `json:"operations,omitempty"` // an llm API has its own
	LLM            *LLM        `json:"llm,omitempty"`        // for kind llm
	Shadow         []string    `json:"shadow,omitempty"`     // gates that only report
}

// HeaderMatch is a header field with an exact value.
type HeaderMatch struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Operation is a method and a path template.
type Operation struct {
	Name       string   `json:"name"`            // unique in its version
	Title      string   `json:"title,omitempty"` // what a caller does, such as "create orders"; used in refusals
	Method     string   `json:"method"`          // a method, or "*" for any
	Path       string   `json:"path"`            // below BasePath; {name} matches one segment, {name...} at the end the rest
	Permission string   `json:"permission,omitempty"`
	Scopes     []string `json:"scopes,omitempty"` // all of them are needed
	Authn      *Authn   `json:"authn,omitempty"`
	IP         *IPRules `json:"ip,omitempty"`
	CORS       *CORS    `json:"cors,omitempty"`   // in place of the version's
	CSRF       *CSRF    `json:"csrf,omitempty"`   // in place of the version's
	Limits     []Limit  `json:"limits,omitempty"` // besides those of the version
	WAF        *WAF     `json:"waf,omitempty"`    // changes what the version says
	Authz      *Authz   `json:"authz,omitempty"`  // adds to what the version says
	Upstream   string   `json:"upstream,omitempty"`
	BodyBytes  int64    `json:"body_bytes,omitempty"` // tighter or wider than the listener's
	Shadow     []string `json:"shadow,omitempty"`
}

// Authn says how callers prove who they are. When several ways are listed, each is tried in the order of this list and the
// first that succeeds counts.
type Authn struct {
	None          bool               `json:"none,omitempty"`          // open to anyone
	Certificate   *ClientCertificate `json:"certificate,omitempty"`   // client certificates (mutual TLS)
	APIKey        *APIKey            `json:"api_key,omitempty"`       // header X-API-Key, or Authorization: Bearer; the default when no way is listed
	JWT           []JWT              `json:"jwt,omitempty"`           // signed tokens of identity providers
	OwnTokens     bool               `json:"own_tokens,omitempty"`    // tokens of this gateway's own token_endpoint
	Introspection *Introspection     `json:"introspection,omitempty"` // tokens that an authorization server is asked about
	Basic         bool               `json:"basic,omitempty"`         // id and secret of a client as Authorization: Basic
	HMAC          *HMAC              `json:"hmac,omitempty"`          // requests signed the AWS way
	Signature     *MessageSignature  `json:"signature,omitempty"`     // HTTP message signatures
	Failures      *Failures          `json:"failures,omitempty"`      // turns guessing away; default: nothing does
}

// APIKey is where a key is read from.
type APIKey struct {
	Header string `json:"header,omitempty"` // default X-API-Key
	Bearer *bool  `json:"bearer,omitempty"` // also read Authorization: Bearer; default true
}

// IPRules lists client addresses. Deny wins over allow; the longest prefix does not matter.
type IPRules struct {
	Allow []string `json:"allow,omitempty"` // CIDRs or addresses; empty: any
	Deny  []string `json:"deny,omitempty"`
}

// LLM makes an API version answer a dialect for language models.
type LLM struct {
	Dialect  string   `json:"dialect"`            // openai
	Models   []string `json:"models,omitempty"`   // names from models that may be used; empty: all
	Unpriced string   `json:"unpriced,omitempty"` // refuse (default) or flag
	// Permission and Scopes are asked of every model operation.
	Permission string   `json:"permission,omitempty"`
	Scopes     []string `json:"scopes,omitempty"`
}

// Model is a name that callers use, and where it leads.
type Model struct {
	Upstream string       `json:"upstream"`       // an OpenAI-compatible server
	Name     string       `json:"name,omitempty"` // the name there; default: the caller's
	Path     string       `json:"path,omitempty"` // prefix of the API there; default /v1
	Owner    string       `json:"owner,omitempty"`
	Prices   []ModelPrice `json:"prices,omitempty"` // the newest that has begun applies
}

// ModelPrice is a price list entry. Amounts are decimals per million tokens, such as "0.15".
type ModelPrice struct {
	Version     string `json:"version"`
	From        string `json:"from,omitempty"`     // RFC 3339; default: always
	Currency    string `json:"currency,omitempty"` // default USD
	Input       string `json:"input"`
	CachedInput string `json:"cached_input,omitempty"` // default: as input
	Output      string `json:"output"`
	Reasoning   string `json:"reasoning,omitempty"` // default: as output
}
