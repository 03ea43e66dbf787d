// Package diagnose finds out why a server, any server, refused a request. It reads what people have (a request, an answer,
// logs), checks what can be checked without sending anything, recognises who answered, and may ask the server a few
// careful questions of its own. Everything it learns is evidence for or against a cause; the causes are ranked by it, and
// when the evidence does not suffice the answer is what else is needed.
//
// It changes nothing: probes use safe methods unless the caller allows more, go to the named host only, and are counted,
// spaced out and planned beforehand. Secrets of the input are masked in everything that comes out.
package diagnose

import (
	"context"
	"slices"
	"time"

	"postern/internal/fingerprint"
	"postern/internal/reqtext"
)

// Input is what is known of the case; each part may be missing, but not all.
type Input struct {
	Request *reqtext.Request
	Answer  *reqtext.Answer
	Logs    []Log
	// Compare is a request that works: the differences to it are evidence.
	Compare *reqtext.Request
	// Env are the variables of the process that curl and others take proxies from; nil: none.
	Env func(string) string
	// Now is the present; tokens are judged by it.
	Now time.Time
	// Observe is told of every step as it is done; nil: nobody.
	Observe func(Step)
}

// Step is one rung of the ladder: what was looked at and what came of it.
type Step struct {
	Name    string `json:"name"`
	Outcome string `json:"outcome"` // one of the Outcome constants
	Text    string `json:"text,omitempty"`
}

// Outcomes of a step or check.
const (
	OK      = "ok"
	Problem = "problem"
	Warning = "warning"
	Info    = "info"
	Skipped = "skipped"
)

// Verdicts of a report.
const (
	Refused    = "refused"     // and the likeliest cause is worth acting on
	Allowed    = "allowed"     // nothing is refused
	CannotTell = "cannot tell" // Needs says what would help
)

// Report is the answer.
type Report struct {
	Verdict    string   `json:"verdict"`
	Status     int      `json:"status,omitempty"` // of the answer that is judged
	Method     string   `json:"method,omitempty"`
	URL        string   `json:"url,omitempty"`
	AnsweredBy *Server  `json:"answered_by,omitempty"`
	Causes     []Cause  `json:"causes"` // likeliest first
	TellApart  []string `json:"tell_apart,omitempty"`
	Needs      []string `json:"needs,omitempty"`
	Checks     []Check  `json:"checks,omitempty"`
	Probes     *Probing `json:"probes,omitempty"`
	LogLines   []Quote  `json:"log_lines,omitempty"`
	Difference []string `json:"difference,omitempty"`
	Notes      []string `json:"notes,omitempty"`
}

// Server is who wrote the answer.
type Server struct {
	System string `json:"system"`
	Layer  string `json:"layer"`
	// Sure is from 0 to 1.
	Sure float64 `json:"sure"`
}

// Cause is one explanation of the refusal.
type Cause struct {
	ID         string     `json:"cause"`
	Layer      string     `json:"layer"`
	Title      string     `json:"title"`
	Confidence float64    `json:"confidence"` // the share of cases like this one in which it is the cause
	For        []Evidence `json:"for,omitempty"`
	Against    []Evidence `json:"against,omitempty"`
	Count      int        `json:"count,omitempty"` // lines of logs, when only logs were given
	Caller     string     `json:"caller"`          // what the caller can do
	Operator   string     `json:"operator"`        // what the operator can do
}

// Evidence is one fact and where it comes from: answer, request, log, probe or comparison.
type Evidence struct {
	From   string  `json:"from"`
	Text   string  `json:"text"`
	Weight float64 `json:"weight"` // log-likelihood ratio
}

// Check is one thing that was looked at without sending anything.
type Check struct {
	ID      string `json:"id"`
	Outcome string `json:"outcome"`
	Text    string `json:"text"`
}

// Quote is a line of a log that says something about the case.
type Quote struct {
	Log   string `json:"log"`
	Line  int    `json:"line"`
	Text  string `json:"text"`
	Cause string `json:"cause,omitempty"`
	// Settles says that this line alone decides the case.
	Settles bool `json:"settles,omitempty"`
}

// enough is the confidence from which on a cause is worth acting on.
const enough = 0.3

// Diagnose judges the case. With a prober it also asks the server; prober may be nil. An error is a fault of reading the
// logs or of the context, not a verdict.
func Diagnose(ctx context.Context, in Input, prober *Prober) (*Report, error) {
	c := newCase(in)
	c.static()
	if in.Answer != nil {
		c.answer(in.Answer)
	}
	if len(in.Logs) > 0 {
		if err := c.logs(ctx); err != nil {
			return nil, err
		}
	}
	if prober != nil && in.Request != nil {
		if err := c.probe(ctx, prober); err != nil {
			return nil, err
		}
	}
	c.traits()
	c.compare()
	c.conclude()
	c.mask.report(c.report)
	return c.report, nil
}

// theCase is a case while it is worked on.
type theCase struct {
	in       Input
	report   *Report
	board    board
	mask     *masker
	shared   bool // the answer is a page or word that many causes share
	words    bool // the answer says something of its own
	family   string
	counted  bool // only logs were given: causes are counted, not weighed
	refusals int  // lines of logs that refuse
	ownPage  bool // the body is the page of a known server
	behind   bool // the answer was written behind the server that signed it
	status   int
	credText string // "a bearer token", for sentences; "" when no credential is sent
	foreign  map[string]string
}

func newCase(in Input) *theCase {
	c := &theCase{in: in, report: &Report{}, board: board{}, mask: newMasker(in), foreign: map[string]string{}}
	if r := in.Request; r != nil {
		c.report.Method, c.report.URL = r.Method, r.URL
		c.report.Notes = slices.Clone(r.Notes)
	}
	return c
}

func (c *theCase) step(name, outcome, text string) {
	if c.in.Observe != nil {
		c.in.Observe(Step{name, outcome, c.mask.text(text)})
	}
}

func (c *theCase) check(id, outcome, text string) {
	c.report.Checks = append(c.report.Checks, Check{id, outcome, text})
	if outcome != OK {
		c.step(id, outcome, text)
	}
}

// title words a cause.
func title(id string) string {
	k, _ := fingerprint.CauseOf(id)
	return k.Title
}
