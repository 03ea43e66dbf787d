package waf

import (
	"context"
	"regexp"
	"time"

	"github.com/corazawaf/coraza/v3/types/variables"

	"postern/internal/gate"
)

// engine inspects requests by a compiled set of rules. It is all that this package asks of Coraza, so that something faster
// can stand in front of it one day.
type engine interface {
	// inspect judges one request. An error means that it could not be judged: nothing may be concluded from the finding. It
	// returns once the deadline of the question has passed, at the next point between two rules, with finding.unfinished.
	inspect(ctx context.Context, q *question) (finding, error)
	// has reports whether there is a rule with that id.
	has(id int) bool
	// tagged returns the ids of the rules that carry the tag, ascending.
	tagged(tag string) []int
}

// question is one request as an engine is asked about it. Its strings and bytes are views of the exchange's: an engine keeps
// none of them.
type question struct {
	x          *gate.Exchange
	body       []byte     // whole, of the type that the request declares; nil when there is none to inspect
	arguments  []argument // of a body that is inspected in part only
	paranoia   string     // "1" to "4"
	threshold  string     // score at which the request is refused
	exclusions []exclusion
	without    []int  // rules that have no say about this request
	mediaType  string // allowed besides those of the rule set; empty: none
	deadline   time.Time
}

// argument is a name and a value found in a body.
type argument struct{ name, value string }

// exclusion takes a part of the request away from rules, or the rules away altogether.
type exclusion struct {
	rules    []int
	whole    bool
	variable variables.RuleVariable
	key      string         // lower case; empty: every key, unless there is a pattern
	pattern  *regexp.Regexp // of keys
}

// finding is what an engine says about a request.
type finding struct {
	score      int
	refused    bool // by the threshold, or by a rule that refuses on its own
	by         int  // the rule that refused
	hits       []hit
	unfinished bool // the deadline passed before every rule was asked
	truncated  bool // there were more arguments than the engine looks at
}

// hit is a rule that matched and counts. Its strings are its own.
type hit struct {
	rule    int
	message string
	matched []string // variables, such as ARGS:q; at most maxMatched
	exclude []string // variables to exclude, so that it does not match again; empty: the rule as a whole
	masked  string   // what matched in the first of them, masked
}

// maxMatched bounds how many variables of one hit are remembered, maxHits how many hits: a request with a thousand bad
// arguments must not become a trace of a megabyte.
const (
	maxMatched = 4
	maxHits    = 64
)
