package forward

import (
	"net"
	"time"

	"postern/internal/header"
)

// Sink is where the answer goes: one exchange with a caller, as an engine sees it. Forward calls it from one goroutine; while it
// does, another goroutine may be reading the request body (full duplex).
//
// The engine buffers what it likes until Flush or End. If Forward returns a refusal and Committed is false, the engine
// drops what it buffered and renders the refusal; if Committed is true and End was not called, it must break the connection
// (or reset the stream) so that the caller cannot take the answer for complete.
type Sink interface {
	// Interim passes an interim response (1xx, but never 100 or 101) on at once.
	Interim(status int, h header.List) error
	// Head starts the final answer. h has the upstream's end-to-end fields without Content-Length; its strings are valid until
	// End returns. length is the Content-Length to declare, -1 for none: to a HEAD request and with status 304 that is
	// what the upstream declared for a body that does not follow.
	Head(status int, h header.List, length int64) error
	// Write takes bytes of the body. p is not kept.
	Write(p []byte) (int, error)
	// Flush sends everything written so far. Forward calls it before it waits for more from the upstream.
	Flush() error
	// End completes the answer and sends it. Trailers may be empty.
	End(trailer header.List) error
	// Upgrade answers 101 and returns the caller's connection as raw bytes, beginning with those that were read ahead. h has
	// the upstream's end-to-end fields and Upgrade; the engine adds "Connection: Upgrade". Forward closes the connection.
	Upgrade(status int, h header.List) (net.Conn, error)
	// Committed reports whether a byte of the final answer may be on the wire.
	Committed() bool
	// Watch names what is being waited for. When the caller goes away, the engine calls c.SetDeadline with a time in the past,
	// from any goroutine; what Forward is blocked in then returns, and Gone is true. Watch(nil) ends that: after it has
	// returned, the engine does not touch the former c again.
	Watch(c Deadliner)
	// Gone reports whether the caller has gone away.
	Gone() bool
}

// Deadliner is something that blocks, and stops blocking when its deadline passes.
type Deadliner interface{ SetDeadline(time.Time) error }

// Interrupter is a request body whose Read can be ended from another goroutine: a Read that waits for the caller returns an
// error at once, and so do all later ones. Forward uses it when an upstream has answered without waiting for the whole
// body, so that the exchange can end while the caller is silent. Without it, Forward waits for that Read: until the
// caller sends, leaves, or the engine's own time limit passes.
type Interrupter interface{ Interrupt() }
