package gate

import "postern/internal/decision"

// BodyError is a fault in a request body that has a verdict: too large, badly framed, too slow. Bodies return it from
// Read and Peek, so that whoever reads (a gate, forward) refuses with the reason of the one who knows it. Errors of any
// other type mean that the caller is gone.
type BodyError struct {
	Reason *decision.Reason
	Facts  []decision.Fact
	Err    error // what lies behind it; may be nil
}

// Error implements error. The text is for the operator.
func (e *BodyError) Error() string {
	if e.Err == nil {
		return "request body: " + e.Reason.Title
	}
	return "request body: " + e.Reason.Title + ": " + e.Err.Error()
}

// Unwrap returns what lies behind the error.
func (e *BodyError) Unwrap() error { return e.Err }

// Verdict is the refusal that fits.
func (e *BodyError) Verdict() decision.Verdict { return decision.Refuse(e.Reason, nil, e.Facts...) }
