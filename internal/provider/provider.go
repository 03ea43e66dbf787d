// Package provider is the contract between the data plane and one dialect of model servers: how a judged request is
// turned into what the server takes, and how its answer is read for usage on the way to the caller.
package provider

import (
	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/llm"
)

// Translator serves one pair of caller dialect and server dialect.
type Translator interface {
	// Prepare changes x so that it can be sent: it returns the path at the upstream and replaces the body. x.Model is set.
	Prepare(x *gate.Exchange) (path string, err error)
	// Answer starts reading an answer with that status and content type.
	Answer(x *gate.Exchange, status int, contentType string) Answer
}

// Answer follows one answer on its way to the caller.
type Answer interface {
	// Next is given body bytes as they arrive and returns what goes to the caller now, normally the same bytes. Both slices
	// are valid until the next call. It never waits for more than the end of an event that it must not pass on.
	Next(p []byte) []byte
	// End returns what was held back when the upstream finished cleanly.
	End() []byte
	// Abort returns a well-formed last event for a stream that broke off, or nil when the dialect has none.
	Abort(said decision.Said, trace decision.TraceID) []byte
	// Usage is what the server reported; false when it reported none.
	Usage() (llm.Usage, bool)
	// SameLength says that Next returns exactly what it is given, so a declared length stays true.
	SameLength() bool
}
