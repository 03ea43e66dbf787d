package gate

import (
	"context"
	"crypto/tls"
	"io"
	"net/netip"
	"time"

	"postern/internal/decision"
	"postern/internal/directory"
	"postern/internal/header"
	"postern/internal/llm"
)

// Exchange is Postern's view of one request and what became of it. It is pooled: everything in it, strings included, may
// be a view into a connection's buffer and is valid until the exchange ends. Whoever keeps a string longer clones it.
//
// It does not depend on net/http, so that the fast HTTP/1.1 engine and net/http (HTTP/2) feed the same gates.
type Exchange struct {
	ID      decision.TraceID
	Started time.Time // by Env.Now
	Env     *Env

	// The request as received. Edge fills these before routing.
	Method   string
	Target   string // request-target as received, for records; never used to decide
	RawPath  string // path as received, without the query
	RawQuery string // without the question mark
	Host     string // as received, with port
	Scheme   string // http or https, as the caller sees it (behind trusted proxies: what they forwarded)
	Proto    string // HTTP/1.0, HTTP/1.1, HTTP/2.0
	Header   header.List
	Body     Body // never nil; NoBody when there is none
	Peer     netip.AddrPort
	TLS      *tls.ConnectionState // nil on plain connections
	Upgrade  string               // protocol asked for by Upgrade, such as websocket; empty otherwise

	// Found on the way.
	Path       string     // normalised path, by which everything is decided and which is forwarded (gate/route)
	Hostname   string     // lower case, without port and trailing dot
	Client     netip.Addr // caller's address behind trusted proxies; invalid when a proxy hides it, or it is not known
	Op         *Operation // nil until routed
	Preflight  string     // of a CORS preflight: the method it asks for, by which its operation was found; else empty
	Browser    Browser    // what the answer tells the browser
	Final      bool       // set by a gate behind which no other is asked, whatever it says
	Params     [MaxParams]Param
	NParams    int
	Principal  Principal
	Challenge  string         // WWW-Authenticate value that fits the refusal
	Allow      string         // Allow value of a 405
	Readings   []LimitReading // of every limit that was asked, for RateLimit fields; reused between exchanges
	Takes      []Take         // what gate/limit took and has not returned; reused between exchanges
	RetryAfter time.Duration  // of a 429 or 503; zero: none
	Reply      *Reply         // set by the gate whose verdict is an answer
	Trace      decision.Trace
	Verdict    decision.Verdict

	// LLM calls.
	Model     *Model // nil unless an LLM operation found its model
	HideUsage bool   // the gateway asked for the usage of a stream, the caller did not
	Stream    bool   // the caller asked for a stream
	Usage     llm.Usage
	Cost      llm.Money

	Result Result

	ran int
}

// MaxParams is how many path parameters a template may have.
const MaxParams = 12

// Param is one path parameter of the matched template, decoded.
type Param struct{ Name, Value string }

// Param returns a path parameter, or "".
func (x *Exchange) Param(name string) string {
	for i := range x.NParams {
		if x.Params[i].Name == name {
			return x.Params[i].Value
		}
	}
	return ""
}

// Reset readies x for the next request. Slices keep their capacity.
func (x *Exchange) Reset() {
	x.Trace.Reset()
	*x = Exchange{Header: x.Header[:0], Readings: x.Readings[:0], Takes: x.Takes[:0], Result: Result{Attempts: x.Result.Attempts[:0]}, Body: NoBody}
}

// Principal is who calls, as far as it was proven.
type Principal struct {
	// Proven says that the credential verified, even if it is expired or revoked: the caller may be told exact reasons.
	Proven      bool
	Method      string // how: api_key, jwt, introspection, basic, hmac, signature or certificate
	Key         directory.Key
	Application directory.Application
	Tenant      directory.Tenant
	Scopes      []string // what the credential is limited to
	Plan        *Plan    // of the approved subscription; nil without one
	// Issuer, Subject, Roles and Attributes come from what a token or certificate says, as far as the configuration maps it.
	// They are shared and never change.
	Issuer     string
	Subject    string   // the user, when the caller acts for one
	Roles      []string // besides those of the application
	Attributes []Attribute
	// Field is the header field the credential was read from, which forward removes, like copies of it in other fields and
	// in the query.
	Field string
	// Subscription is the application's subscription to the API version, once gate/subscription looked it up.
	Subscription directory.Subscription
	// Digest is the SHA-256 of the credential presented. It has its place here so that a look-up allocates nothing.
	Digest [32]byte
}

// Attribute is a named value that the caller's credential vouches for.
type Attribute struct{ Name, Value string }

// Asker returns the standing by which the caller of this very request is told things.
func (x *Exchange) Asker() decision.Disclosure {
	if x.Principal.Proven {
		return decision.ToProven
	}
	return decision.ToAnyone
}

// Operation is a compiled operation: what a request was routed to. It is shared and never changes.
type Operation struct {
	Tenant, API, Version, Name string
	Title                      string // "create orders", for sentences
	Method, Template           string // as configured, with the base path in front
	Pointer                    string // RFC 6901 pointer into the document
	Chain                      Chain
	Upstream                   Upstream // where it leads; nil for an LLM operation before its model is known
	StripPrefix                string   // removed from the front of the path when forwarding
	KeepCredential             bool
	BodyBytes                  int64    // limit; 0: the listener's, -1: none
	Dialect                    string   // error dialect: "" (problem+json) or openai
	LLM                        string   // "", chat, models or model
	Models                     []*Model // an LLM operation: what may be used, sorted by name
	Deprecation, Sunset, Link  string   // answer fields of a deprecated version, formatted
	// Browser is set when the gateway answers for CORS: it marks answers, and preflights are routed here by the method they
	// ask for.
	Browser BrowserRules
}

// Model is a compiled model.
type Model struct {
	Name         string // the caller's name for it
	Owner        string
	UpstreamName string // the name sent on
	Path         string // prefix of the API at the upstream, such as /v1
	Upstream     Upstream
	Prices       []TimedPrice // oldest first
	Allowed      map[string]bool
}

// TimedPrice is a price and when it begins.
type TimedPrice struct {
	From  time.Time
	Price llm.Price
}

// PriceAt returns the price that applies at t, or nil when the model has none then.
func (m *Model) PriceAt(t time.Time) *llm.Price {
	for i := len(m.Prices) - 1; i >= 0; i-- {
		if !m.Prices[i].From.After(t) {
			return &m.Prices[i].Price
		}
	}
	return nil
}

// Plan is a compiled plan.
type Plan struct {
	Name   string
	Limits []*Limit
}

// Upstream is the pool of targets an operation leads to, as gates see it. forward implements it.
type Upstream interface {
	Name() string
	// State says whether a call could be sent now. It has no side effect.
	State(now time.Time) UpstreamState
}

// UpstreamState is the health of a pool at one moment.
type UpstreamState struct {
	Targets, Healthy int
	CircuitOpen      bool
	Until            time.Time // when an open circuit lets the next trial through
	CredentialError  string    // why the credential for the upstream is not usable; empty: it is, or none is needed
}

// Reply is a complete answer made by a gate.
type Reply struct {
	Status int
	Header header.List
	Body   []byte
}

// Body is a request body. It is read once; what Peek has buffered is read again.
type Body interface {
	io.Reader // what was peeked first, then the rest; io.EOF at the end, io.ErrUnexpectedEOF when the sender broke off
	// Peek returns the body from its start, up to max bytes, without consuming it. whole says that this is all of it.
	// The bytes are valid until the exchange ends and must not be changed. Peek after Read is an error.
	Peek(ctx context.Context, max int) (b []byte, whole bool, err error)
	// Length is the declared number of bytes: 0 for none, -1 when it is not known before the end.
	Length() int64
	// Replace makes the body these bytes (an LLM request whose model was rewritten). The old rest must have been peeked whole.
	Replace(b []byte)
	// Trailer returns the trailer section once Read has returned io.EOF.
	Trailer() header.List
}

// Arrived is what a Body implements that can tell what of it is here already, for gates that look and must not wait.
type Arrived interface {
	// Arrived returns the body from its start as far as it has come, without waiting or consuming; whole says that this is all
	// of it. The bytes are valid until the exchange ends and must not be changed.
	Arrived() (b []byte, whole bool)
}

// Origin says who spoke the final word of an exchange.
type Origin string

const (
	FromGateway     Origin = "gateway"     // Postern refused or answered itself
	FromUpstream    Origin = "upstream"    // the upstream answered
	FromUnreachable Origin = "unreachable" // the upstream could not be reached or broke off
)

// Result is what became of an exchange. forward and edge fill it; calllog remembers it.
type Result struct {
	Origin   Origin
	Status   int // sent to the caller; 0: nothing was
	Upstream string
	Target   string
	Protocol string // spoken to the upstream
	Attempts []Attempt
	// ReceivedStatus is the upstream's status; 0 when none came.
	ReceivedStatus int
	BytesIn        int64 // request body
	BytesOut       int64 // answer body
	// Times since Started.
	Decided, FirstByte, Done time.Duration
	Connect                  time.Duration // of the attempt that answered; 0 when a kept connection was used
	Truncated                bool          // the answer ended before its end
	Fault                    string        // one line for the operator; never for callers
}

// Attempt is one try to reach a target, and why it was left.
type Attempt struct {
	Target string
	Reason *decision.Reason // nil: it answered
	Fault  string
	Took   time.Duration
}
