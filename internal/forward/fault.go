package forward

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/http1"
)

// fault is why an attempt failed. A nil *fault is success. It implements error so that it can travel through net/http.
type fault struct {
	reason  *decision.Reason
	phase   string        // of a timeout
	limit   time.Duration // of a timeout
	err     error
	unsent  bool              // no byte of the request can have been handled by the target
	stale   bool              // a kept connection turned out to be closed before anything of an answer came
	ours    bool              // not the target's doing: the caller, or Postern itself
	repeat  bool              // an answer whose status is worth another attempt; its place in the budget is taken
	verdict *decision.Verdict // of a fault of the request body, which knows better than reason
}

func (f *fault) Error() string {
	if f.phase != "" {
		return fmt.Sprintf("no progress within %s in the phase %s", f.limit, f.phase)
	}
	return f.err.Error()
}

func (f *fault) Unwrap() error { return f.err }

// Phases of a call, as they are named in timeouts.
const (
	phaseConnect   = "connect"
	phaseTLS       = "tls"
	phaseWrite     = "write"
	phaseFirstByte = "first byte"
	phaseRead      = "read"
	phaseTotal     = "total"
)

func timeoutFault(phase string, limit time.Duration, err error) *fault {
	return &fault{reason: decision.UpstreamTimeout, phase: phase, limit: limit, err: err}
}

func goneFault() *fault {
	return &fault{reason: decision.ClientGone, err: errors.New("the client went away"), ours: true}
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) || errors.As(err, &n) && n.Timeout()
}

// dialFault classifies an error of connecting. Whatever it was, nothing has been sent.
func dialFault(err error, limit time.Duration) *fault {
	f := &fault{reason: decision.UpstreamUnreachable, err: err, unsent: true}
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns):
		f.reason = decision.UpstreamDNS
	case isTimeout(err):
		f.reason, f.phase, f.limit = decision.UpstreamTimeout, phaseConnect, limit
	}
	return f
}

// handshakeFault classifies an error of a TLS handshake.
func handshakeFault(err error, limit time.Duration) *fault {
	if isTimeout(err) {
		f := timeoutFault(phaseTLS, limit, err)
		f.unsent = true
		return f
	}
	if errors.Is(err, io.EOF) {
		err = errors.New("the server closed the connection during the TLS handshake")
	}
	return &fault{reason: decision.UpstreamTLS, err: err, unsent: true}
}

// brokeFault classifies an error of an established connection: what was read or not says the rest.
func brokeFault(err error) *fault {
	var parse *http1.ParseError
	var alert tls.AlertError
	var record tls.RecordHeaderError
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(err, &parse):
		if parse.Code == http1.Truncated {
			return &fault{reason: decision.UpstreamUnreachable, err: errors.New("the target broke off: " + parse.Detail)}
		}
		return &fault{reason: decision.UpstreamBadAnswer, err: err}
	case errors.As(err, &alert), errors.As(err, &record), errors.As(err, &unknown):
		return &fault{reason: decision.UpstreamTLS, err: err}
	case errors.Is(err, io.EOF):
		err = errors.New("the target closed the connection before its answer was complete")
	case errors.Is(err, io.ErrUnexpectedEOF):
		err = errors.New("the target broke off in the middle of its answer")
	}
	return &fault{reason: decision.UpstreamUnreachable, err: err}
}

// bodyFault classifies an error of the request body, which is never the target's doing.
func bodyFault(err error) *fault {
	f := &fault{reason: decision.ClientGone, err: fmt.Errorf("read the request body: %w", err), ours: true}
	if known, ok := errors.AsType[*gate.BodyError](err); ok {
		v := known.Verdict()
		f.reason, f.verdict = v.Reason(), &v
	}
	return f
}

// kernelTookNothing reports whether a failed write shows that the connection had been closed before: then not a byte of
// it left this machine.
func kernelTookNothing(n int, err error) bool {
	return n == 0 && (errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, net.ErrClosed))
}

// word words a fault for the trace.
func (f *fault) word(upstream, target string) decision.Verdict {
	if f.verdict != nil {
		return *f.verdict
	}
	facts := []decision.Fact{
		{Name: "upstream", Want: upstream, Public: decision.ToProven},
		{Name: "target", Want: target},
		{Name: "fault", Want: f.Error()},
	}
	if f.phase != "" {
		facts = append(facts,
			decision.Fact{Name: "limit", Want: f.limit.String(), Public: decision.ToProven},
			decision.Fact{Name: "phase", Want: f.phase, Public: decision.ToProven})
	}
	return decision.Refuse(f.reason, nil, facts...)
}
