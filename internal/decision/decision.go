// Package decision holds the words of an answer: the outcome of one gate, the catalogue of reasons, the rule and facts
// behind it, who may be told what, and the trace of a whole request.
//
// A refusal cannot be built without a reason, and the zero Verdict refuses: code that forgets to decide denies. An
// allowed request allocates nothing here; text is formatted only when somebody reads it (see Render).
package decision

// Outcome is what one gate decided. The zero value refuses.
type Outcome uint8

const (
	OutcomeRefuse  Outcome = iota // the request stops here
	OutcomePass                   // this gate has no objection
	OutcomeAbstain                // an input is missing: unknown, never guessed
	OutcomeAnswer                 // the gate answers the request itself, such as a CORS preflight
	OutcomeShadow                 // would refuse, but the gate runs in detect-only mode
)

// String returns the outcome as it is written in traces and tables.
func (o Outcome) String() string {
	switch o {
	case OutcomePass:
		return "pass"
	case OutcomeAbstain:
		return "unknown"
	case OutcomeAnswer:
		return "answer"
	case OutcomeShadow:
		return "shadow"
	default:
		return "refuse"
	}
}

// Rule names the piece of configuration that decided. Rules are made when a snapshot is compiled and shared by every
// request, so that pointing at one costs nothing.
type Rule struct {
	ID      string `json:"id"`                // stable within a generation, such as "orders/v1/create-order#permission"
	Pointer string `json:"pointer,omitempty"` // RFC 6901 pointer into the configuration document; empty for directory data
}

// Fact is one comparison a refusal rests on, or a note on a pass. Facts are built only when a gate has something to tell.
type Fact struct {
	Name string `json:"name"`           // what was compared: "permission", "scope", "expires"
	Want string `json:"want,omitempty"` // what the rule asks for
	Got  string `json:"got,omitempty"`  // what the request brought
	// Public says how widely this fact may be told. The zero value keeps it with the operator.
	Public Disclosure `json:"-"`
	// Secret marks a fact whose value was replaced when the fact was built: the value itself is not here.
	Secret bool `json:"secret,omitempty"`
}

// Redacted stands in the place of a secret value.
const Redacted = "[redacted]"

// SecretFact builds a fact about a secret. The value never enters the trace: only whether there was one.
func SecretFact(name string, present bool) Fact {
	f := Fact{Name: name, Secret: true}
	if present {
		f.Got = Redacted
	}
	return f
}

// Verdict is the decision of one gate. Its fields are set by Pass, Refuse, Abstain, Answered and AsShadow only; the
// zero value is a refusal with the reason Unexplained.
type Verdict struct {
	outcome Outcome
	reason  *Reason
	rule    *Rule
	facts   []Fact
}

// Pass says that the gate has no objection. The rule that permitted may be nil.
func Pass(rule *Rule) Verdict { return Verdict{outcome: OutcomePass, rule: rule} }

// PassNoting is a pass with something to remember about it, such as a part of the request that the gate did not look at.
func PassNoting(rule *Rule, notes ...Fact) Verdict {
	return Verdict{outcome: OutcomePass, rule: rule, facts: notes}
}

// Refuse says no. A nil reason is a defect of the gate and becomes Unexplained, which refuses all the same.
func Refuse(reason *Reason, rule *Rule, facts ...Fact) Verdict {
	return Verdict{outcome: OutcomeRefuse, reason: reason, rule: rule, facts: facts}
}

// Abstain says that the gate cannot tell, because an input is missing; each fact names one in Name and says in Want
// where it would come from. Live requests treat an abstaining gate as refusing (see gate.Chain); simulate shows it.
func Abstain(reason *Reason, rule *Rule, missing ...Fact) Verdict {
	return Verdict{outcome: OutcomeAbstain, reason: reason, rule: rule, facts: missing}
}

// Answered says that the gate has put a complete answer on the exchange and the request goes no further.
func Answered(rule *Rule) Verdict { return Verdict{outcome: OutcomeAnswer, rule: rule} }

// AsShadow turns a refusal into a report of what would have been refused. Other verdicts are returned unchanged.
func (v Verdict) AsShadow() Verdict {
	if v.outcome == OutcomeRefuse || v.outcome == OutcomeAbstain {
		v.reason = v.Reason()
		v.outcome = OutcomeShadow
	}
	return v
}

// Outcome returns what was decided.
func (v Verdict) Outcome() Outcome { return v.outcome }

// Rule returns the rule that decided, or nil.
func (v Verdict) Rule() *Rule { return v.rule }

// Facts returns what was compared. The slice is shared: do not change it.
func (v Verdict) Facts() []Fact { return v.facts }

// Reason returns the catalogue entry of a refusal, a shadowed refusal or an unknown, and nil for the others.
// A refusal built without a reason answers Unexplained.
func (v Verdict) Reason() *Reason {
	if v.reason == nil && v.outcome == OutcomeRefuse {
		return Unexplained
	}
	return v.reason
}

// Passed reports whether the request may go on to the next gate.
func (v Verdict) Passed() bool { return v.outcome == OutcomePass || v.outcome == OutcomeShadow }

// MaxSteps is how many gates one trace holds: the gates of DESIGN section 7, limit mounted twice, and room to spare.
const MaxSteps = 16

// Step is what one gate said.
type Step struct {
	Gate    string
	Verdict Verdict
}

// Trace is the verdicts of one request in the order they fell. It is a fixed array inside the pooled exchange, so that
// an allowed request allocates nothing for it.
type Trace struct {
	n     uint8
	steps [MaxSteps]Step
}

// Add appends a step. A chain longer than MaxSteps is refused when it is compiled; a step beyond it is dropped here.
func (t *Trace) Add(gate string, v Verdict) {
	if int(t.n) < MaxSteps {
		t.steps[t.n] = Step{gate, v}
		t.n++
	}
}

// Steps returns the steps so far, as a view.
func (t *Trace) Steps() []Step { return t.steps[:t.n] }

// First returns the first step with that outcome.
func (t *Trace) First(o Outcome) (Step, bool) {
	for i := range t.steps[:t.n] {
		if t.steps[i].Verdict.outcome == o {
			return t.steps[i], true
		}
	}
	return Step{}, false
}

// Reset empties the trace for the next request and drops what the old steps pointed at.
func (t *Trace) Reset() {
	clear(t.steps[:t.n])
	t.n = 0
}
