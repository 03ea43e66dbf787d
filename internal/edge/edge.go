// Package edge is the data plane's face to callers: it listens, turns what arrives into a gate.Exchange, has it judged and
// forwarded, words refusals, and accounts for every request exactly once.
//
// Two engines feed one lifecycle (call.go). The fast engine speaks HTTP/1.x with internal/http1, one goroutine and a few
// pooled buffers a connection, without handing a request to another goroutine; docs and benchmarks say why it is ours.
// The standard engine is net/http and serves HTTP/2 (by ALPN, or h2c with prior knowledge), and HTTP/1.x on listeners
// that ask for it; HTTP/1.x bytes pass internal/http1 there too (guard.go), so that no laxness of another parser matters.
//
// # Promises
//
//   - Doubtful framing is answered 400 with a reason, the connection is closed, and nothing reaches an upstream.
//   - A request ends in one verdict, one record and one count in the metrics, also when it could not be read, when a gate
//     panicked, or when the caller left.
//   - An answer that broke off is never ended as if it were whole.
//   - Reload and Shutdown never drop a request that was accepted: listeners that stay keep their sockets, the others
//     finish what they began.
//
// # Known gap
//
// HTTP/2 frames are read by net/http, and what it finds malformed itself never becomes a request: pseudo-header fields that
// are missing, unknown or repeated, field names and values with forbidden characters, connection-specific fields, header
// blocks over its limit, and everything that ends the connection (RFC 9113 sections 5.4 and 8.1.1). It resets the stream or
// closes the connection, and nothing reaches a gate or an upstream; but no trace, record or metric tells of it either. What
// net/http lets through and RFC 9113 forbids is refused here, with a record (malformedHTTP2).
package edge

import (
	"context"
	"log/slog"
	"time"

	"postern/internal/decision"
	"postern/internal/forward"
	"postern/internal/gate"
)

// Judge decides about a request: it finds the client address, the path, the operation, and runs the operation's chain.
// internal/snapshot implements it.
type Judge interface {
	Judge(ctx context.Context, x *gate.Exchange, m gate.Mode) decision.Verdict
}

// Current is the configuration that a request is judged by.
type Current struct {
	Judge      Judge
	Generation uint64
	PortalURL  string // without a slash at the end; turns reason types into pages. Empty: urn:postern:reason:<code>
}

// Forwarder passes a judged request to its upstream and the answer to w. It returns a pass when the upstream's answer was
// passed on, and a refusal otherwise; if the answer had begun by then (w.Committed), the engine breaks the connection off.
// It has let go of x, x.Body and w when it returns. internal/forward implements it.
type Forwarder interface {
	Forward(ctx context.Context, x *gate.Exchange, w forward.Sink) decision.Verdict
}

// Recorder is told of every finished call. It must not block, and copies what it keeps: x is reused at once.
type Recorder interface {
	Record(x *gate.Exchange, generation uint64)
}

// Options is what a Server works with. Current, Forwarder and Env are required.
type Options struct {
	Current   func() Current // the running configuration; called once a request, so it must be cheap
	Forwarder Forwarder
	Env       *gate.Env
	Recorder  Recorder     // nil: calls are not recorded
	Logger    *slog.Logger // nil: slog.Default
	// ACMEDir is the folder where certificates from ACME are kept; required when a listener uses ACME.
	ACMEDir string
}

// Defaults of policy.MessageLimits and policy.ClientTimeouts.
const (
	defaultHeaderBytes = 32 << 10
	defaultHeaderCount = 100
	defaultBodyBytes   = 64 << 20
	defaultConnections = 100_000
	defaultH2Streams   = 250

	defaultHeaderTimeout = 10 * time.Second
	defaultBodyTimeout   = 30 * time.Second
	defaultWriteTimeout  = 30 * time.Second
	defaultIdleTimeout   = 75 * time.Second
	defaultDrainTimeout  = 30 * time.Second
)
