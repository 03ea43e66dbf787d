package lab

import (
	"context"
	"slices"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/snapshot"
)

// Verdicts of a Result.
const (
	Allowed  = "allowed"  // every gate passed: the request would be sent on
	Refused  = "refused"  // at least one gate refuses
	Answered = "answered" // the gateway would answer by itself
	Unknown  = "unknown"  // no gate refuses, and at least one cannot tell
)

// Outcomes of a Row besides those of decision.Outcome.
const (
	None       = "none"        // no rule of this gate applies to the operation
	NotReached = "not reached" // no operation was found, so it is not known which gates apply
)

// Result is what would become of a request. Its JSON is stable.
type Result struct {
	Name       string     `json:"name,omitempty"` // of the request, in a source with several
	Method     string     `json:"method"`
	URL        string     `json:"url"` // values of credential-like parameters replaced
	Generation uint64     `json:"generation"`
	Operation  *Operation `json:"operation,omitempty"` // nil: none was found
	Verdict    string     `json:"verdict"`
	Status     int        `json:"status,omitempty"` // what the caller would be answered; 0 when the request would be sent on
	Reason     string     `json:"reason,omitempty"` // of the first refusal, else of the first unknown
	Gate       string     `json:"gate,omitempty"`
	Gates      []Row      `json:"gates"`
	Told       *Told      `json:"told,omitempty"`       // the words this caller would get
	Fixes      []Fix      `json:"fixes,omitempty"`      // what would let it pass, smallest first; see Proven
	WhyNot     string     `json:"why_no_fix,omitempty"` // why there is none
	Notes      []string   `json:"notes,omitempty"`
}

// Operation is what a request was routed to.
type Operation struct {
	API      string `json:"api"`
	Version  string `json:"version"`
	Name     string `json:"name"`
	Title    string `json:"title,omitempty"`
	Method   string `json:"method"`
	Template string `json:"template"`
	Pointer  string `json:"pointer"`
}

// Row is what one gate says.
type Row struct {
	Gate     string   `json:"gate"`
	Note     string   `json:"note,omitempty"` // tells two rows of one gate apart
	Outcome  string   `json:"outcome"`        // pass, refuse, shadow, unknown, answer, none or not reached
	Reason   string   `json:"reason,omitempty"`
	Status   int      `json:"status,omitempty"`
	Title    string   `json:"title,omitempty"`
	Detail   string   `json:"detail,omitempty"`
	Rule     string   `json:"rule,omitempty"`
	Pointer  string   `json:"pointer,omitempty"`
	At       string   `json:"at,omitempty"` // file:line:column of the rule, when the document was read from files
	Facts    []Fact   `json:"facts,omitempty"`
	Remedies []Remedy `json:"remedies,omitempty"`

	verdict decision.Verdict
}

// Fact is one comparison.
type Fact struct {
	Name   string `json:"name"`
	Want   string `json:"want,omitempty"`
	Got    string `json:"got,omitempty"`
	Secret bool   `json:"secret,omitempty"`
}

// Remedy is what somebody can do.
type Remedy struct {
	Who  string `json:"who"` // caller, owner or operator
	Text string `json:"text"`
}

// Told is a refusal as the caller is worded.
type Told struct {
	Status   int      `json:"status"`
	Reason   string   `json:"reason"`
	Gate     string   `json:"gate"`
	Title    string   `json:"title"`
	Detail   string   `json:"detail"`
	Remedies []string `json:"remedies"`
}

// ExitCode is 0 when the request would pass, 1 when it would be refused, 3 when that is not known.
func (r Result) ExitCode() int {
	switch r.Verdict {
	case Allowed, Answered:
		return 0
	case Refused:
		return 1
	}
	return 3
}

// Simulate judges a request without sending it. It runs every gate of the operation with a dry copy of env: limits are
// asked and not counted, and nothing is written. Without a Directory in env who calls is unknown; without Counters that can
// be asked without counting (a method Dry() gate.Counters), limits are unknown.
func Simulate(ctx context.Context, snap *snapshot.Snapshot, env *gate.Env, req Request, opts ...SimulateOption) Result {
	var o simulation
	for _, opt := range opts {
		opt(&o)
	}
	dry, blind := dryEnv(env)
	s := still(situation{snap: snap, env: dry, blind: blind, req: req, ifs: o.ifs})
	s.id = decision.NewTraceID(s.env.Now())
	w := newWorld(s)
	o.suppose(w)
	a, err := w.run(ctx, nil)
	if err != nil { // ParseRequest has checked it; a request made by hand may come here
		return Result{Name: req.Name, Method: req.Method, URL: req.URL, Generation: snap.Generation, Verdict: Unknown, Gates: []Row{}, Notes: []string{err.Error()}}
	}
	if o.key != nil && a.x.Op != nil {
		// In which field the operation reads keys is known only now that it is found.
		w = newWorld(w.situation)
		o.suppose(w)
		w.holdKey(credentialField(snap.Document, a.x.Op), *o.key)
		if a, err = w.run(ctx, nil); err != nil {
			return Result{Name: req.Name, Method: req.Method, URL: req.URL, Generation: snap.Generation, Verdict: Unknown, Gates: []Row{}, Notes: []string{err.Error()}}
		}
	}
	x := a.x
	r := Result{Name: req.Name, Method: req.Method, URL: redactURL(req.URL), Generation: snap.Generation, Notes: slices.Concat(req.Notes, o.notes())}
	if op := x.Op; op != nil {
		r.Operation = &Operation{op.API, op.Version, op.Name, op.Title, op.Method, op.Template, op.Pointer}
	}
	r.Gates = a.rows()
	r.conclude(x)
	if o.prove != nil && r.Verdict == Refused {
		r.Fixes, r.WhyNot = o.prove.fixes(ctx, w, a)
	}
	return r
}

// rows lays the steps of a trace beside the order of the gates.
func rows(snap *snapshot.Snapshot, steps []decision.Step, blind map[string]string) []Row {
	order := snap.Order()
	routed := slices.ContainsFunc(steps, func(s decision.Step) bool { return s.Gate == "route" && s.Verdict.Passed() })
	ended := len(steps) > 0 && steps[len(steps)-1].Gate != "upstream" // by an answer, or by a refusal that was the last word
	guarded := snap.Document != nil && len(snap.Document.FloodGuard) > 0
	var out []Row
	next := 0
	for i, name := range order {
		row := Row{Gate: name, Outcome: None}
		guard := slices.Contains(order[i+1:], name) // the first of two places of limit is the flood guard
		if guard {
			row.Note = "flood guard"
		}
		switch {
		case next < len(steps) && steps[next].Gate == name && (guarded || !guard):
			row.fill(steps[next].Verdict, snap, blind)
			next++
		case next >= len(steps) && (ended || !routed), name == "route" && next < len(steps):
			row.Outcome = NotReached
		}
		out = append(out, row)
	}
	for ; next < len(steps); next++ { // a gate outside the order would be a defect; it must not vanish from the table
		row := Row{Gate: steps[next].Gate}
		row.fill(steps[next].Verdict, snap, blind)
		out = append(out, row)
	}
	return out
}

// fill words a verdict for the operator.
func (r *Row) fill(v decision.Verdict, snap *snapshot.Snapshot, blind map[string]string) {
	r.verdict = v
	r.Outcome = v.Outcome().String()
	if rule := v.Rule(); rule != nil {
		r.Rule, r.Pointer = rule.ID, rule.Pointer
	}
	for _, f := range v.Facts() {
		r.Facts = append(r.Facts, Fact{f.Name, f.Want, f.Got, f.Secret})
	}
	reason := v.Reason()
	if reason == nil {
		return
	}
	if r.Pointer != "" && snap.Document != nil {
		r.At = at(snap.Document, r.Pointer)
	}
	if missing := blind[reason.Code]; missing != "" && v.Outcome() == decision.OutcomeRefuse {
		r.Outcome = decision.OutcomeAbstain.String()
		r.Facts = []Fact{{Name: missing, Want: absent[missing]}}
		r.Reason, r.Title = reason.Code, reason.Title
		return
	}
	r.Reason, r.Status, r.Title = reason.Code, reason.Status, reason.Title
	if v.Outcome() == decision.OutcomeAbstain {
		return // what is missing is in the facts; the reason's sentence would claim what is not known
	}
	said := v.Render(decision.ToOperator)
	r.Detail = said.Detail
	for i, a := range reason.Advice {
		r.Remedies = append(r.Remedies, Remedy{a.Who.String(), said.Remedies[i]})
	}
}

// absent says what a simulation without it does not know.
var absent = map[string]string{
	"directory": "who holds the credential, and what it may do: this simulation has no directory",
	"counters":  "how much is left of the limits: this simulation has no counters",
}

// conclude finds the verdict of the whole from the rows: the first refusal, else the first unknown, else an answer.
func (r *Result) conclude(x *gate.Exchange) {
	r.Verdict = Allowed
	for _, want := range []string{decision.OutcomeRefuse.String(), decision.OutcomeAbstain.String(), decision.OutcomeAnswer.String()} {
		i := slices.IndexFunc(r.Gates, func(row Row) bool { return row.Outcome == want })
		if i < 0 {
			continue
		}
		row := r.Gates[i]
		r.Gate, r.Reason = row.Gate, row.Reason
		switch want {
		case decision.OutcomeRefuse.String():
			r.Verdict = Refused
			r.Told = told(row.verdict, r.askerAt(i, x))
			r.Status = r.Told.Status
		case decision.OutcomeAbstain.String():
			r.Verdict = Unknown
		default:
			r.Verdict = Answered
			if x.Reply != nil {
				r.Status = x.Reply.Status
			}
		}
		return
	}
}

// askerAt is the standing of the caller at the moment a gate refuses: who was not yet asked for a credential is anonymous,
// even if the credential that a later gate finds is good.
func (r *Result) askerAt(i int, x *gate.Exchange) decision.Disclosure {
	authn := slices.IndexFunc(r.Gates, func(row Row) bool { return row.Gate == "authn" })
	if authn >= 0 && i < authn {
		return decision.ToAnyone
	}
	return x.Asker()
}

func told(v decision.Verdict, asker decision.Disclosure) *Told {
	said := v.Render(asker)
	t := &Told{Status: said.Reason.Status, Reason: said.Reason.Code, Gate: said.Reason.Gate, Title: said.Reason.Title, Detail: said.Detail, Remedies: said.Remedies}
	if reason := v.Reason(); reason.Status != 0 { // a stand-in hides the reason, never the status
		t.Status = reason.Status
	}
	return t
}

// Refusals returns the rows that refuse, in order.
func (r Result) Refusals() (out []Row) {
	for _, row := range r.Gates {
		if row.Outcome == decision.OutcomeRefuse.String() {
			out = append(out, row)
		}
	}
	return out
}
