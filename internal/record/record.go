// Package record is one call as Postern remembers it: who called what, what was decided and why, what became of it, and
// what it cost. Records own their strings; secrets were left out when they were made.
package record

import (
	"time"

	"postern/internal/decision"
)

// Record is one finished call.
type Record struct {
	ID         decision.TraceID `json:"trace"`
	Time       time.Time        `json:"time"`
	Generation uint64           `json:"generation"` // of the configuration that judged it

	Method   string `json:"method"`
	Scheme   string `json:"scheme,omitempty"`
	Host     string `json:"host"`
	Path     string `json:"path"`            // normalised; as received when the request could not be normalised
	Query    string `json:"query,omitempty"` // values of credential-like parameters replaced
	Proto    string `json:"proto"`
	Client   string `json:"client"` // address behind trusted proxies
	Peer     string `json:"peer"`   // address that connected
	Agent    string `json:"agent,omitempty"`
	Fields   []Name `json:"fields,omitempty"` // request header fields, secrets redacted, so that explain can run it again
	BytesIn  int64  `json:"bytes_in"`
	BytesOut int64  `json:"bytes_out"`

	Tenant       string `json:"tenant,omitempty"`
	API          string `json:"api,omitempty"`
	Version      string `json:"version,omitempty"`
	Operation    string `json:"operation,omitempty"`
	Application  string `json:"application,omitempty"`
	Key          string `json:"key,omitempty"` // id of the API key
	Proven       bool   `json:"proven,omitempty"`
	CallerTenant string `json:"caller_tenant,omitempty"`

	Outcome string `json:"outcome"` // passed, refused, answered, failed
	Origin  string `json:"origin"`  // gateway, upstream, unreachable
	Status  int    `json:"status"`
	Reason  string `json:"reason,omitempty"` // code
	Gate    string `json:"gate,omitempty"`
	Rule    string `json:"rule,omitempty"`
	Pointer string `json:"pointer,omitempty"`
	Steps   []Step `json:"steps,omitempty"` // every gate that ran; kept for refusals, shadows and failures

	Upstream       string        `json:"upstream,omitempty"`
	Target         string        `json:"target,omitempty"`
	ReceivedStatus int           `json:"received_status,omitempty"`
	Attempts       []Attempt     `json:"attempts,omitempty"` // kept when there was more than one, or the last failed
	Decided        time.Duration `json:"decided_ns"`         // from the start to the verdict of the gates
	FirstByte      time.Duration `json:"first_byte_ns,omitempty"`
	Took           time.Duration `json:"took_ns"`
	Truncated      bool          `json:"truncated,omitempty"`
	Fault          string        `json:"fault,omitempty"`

	Model        string `json:"model,omitempty"`
	Stream       bool   `json:"stream,omitempty"`
	Input        int64  `json:"input_tokens,omitempty"`
	CachedInput  int64  `json:"cached_input_tokens,omitempty"`
	Output       int64  `json:"output_tokens,omitempty"`
	Reasoning    int64  `json:"reasoning_tokens,omitempty"`
	Estimated    bool   `json:"usage_estimated,omitempty"`
	Cost         int64  `json:"cost_pico,omitempty"` // 10⁻¹² of the currency unit
	Currency     string `json:"currency,omitempty"`
	PriceVersion string `json:"price_version,omitempty"`
	Unpriced     bool   `json:"unpriced,omitempty"`
}

// Name is a header field.
type Name struct {
	Name  string `json:"n"`
	Value string `json:"v"`
}

// Step is what one gate said.
type Step struct {
	Gate    string          `json:"gate"`
	Outcome string          `json:"outcome"`
	Reason  string          `json:"reason,omitempty"`
	Rule    string          `json:"rule,omitempty"`
	Pointer string          `json:"pointer,omitempty"`
	Facts   []decision.Fact `json:"facts,omitempty"`
}

// Attempt is one try to reach a target.
type Attempt struct {
	Target string        `json:"target"`
	Reason string        `json:"reason,omitempty"`
	Fault  string        `json:"fault,omitempty"`
	Took   time.Duration `json:"took_ns"`
}

// Query selects records, newest first.
type Query struct {
	Tenant, API, Application, Operation, Key, Reason, Gate, Outcome, Origin, Model string           // empty: any
	Path                                                                           string           // prefix
	Status                                                                         int              // 0: any; 4 and 5 stand for 400-499 and 500-599
	Since                                                                          time.Time        // zero: from the oldest
	Until                                                                          time.Time        // zero: to the newest
	Before                                                                         decision.TraceID // page: records older than this one; zero: from the newest
	Limit                                                                          int              // default 50, at most 1000
}
