package lab

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"postern/internal/decision"
	"postern/internal/directory"
	"postern/internal/gate"
	"postern/internal/header"
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
	Told       *Told      `json:"told,omitempty"` // the words this caller would get
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
func Simulate(ctx context.Context, snap *snapshot.Snapshot, env *gate.Env, req Request) Result {
	x, err := Exchange(req)
	if err != nil { // ParseRequest has checked it; a request made by hand may come here
		return Result{Name: req.Name, Method: req.Method, URL: req.URL, Generation: snap.Generation, Verdict: Unknown, Notes: []string{err.Error()}}
	}
	return judge(ctx, snap, env, x, req)
}

func judge(ctx context.Context, snap *snapshot.Snapshot, env *gate.Env, x *gate.Exchange, req Request) Result {
	dry, blind := dryEnv(env)
	x.Env, x.Started = dry, dry.Now()
	x.ID = decision.NewTraceID(x.Started)
	snap.Judge(ctx, x, gate.Exhaust)
	r := Result{Name: req.Name, Method: req.Method, URL: redactURL(req.URL), Generation: snap.Generation, Notes: slices.Clone(req.Notes)}
	if op := x.Op; op != nil {
		r.Operation = &Operation{op.API, op.Version, op.Name, op.Title, op.Method, op.Template, op.Pointer}
	}
	r.Gates = rows(snap, x.Trace.Steps(), blind)
	r.conclude(x)
	return r
}

// rows lays the steps of a trace beside the order of the gates.
func rows(snap *snapshot.Snapshot, steps []decision.Step, blind map[string]string) []Row {
	order := snap.Order()
	routed := slices.ContainsFunc(steps, func(s decision.Step) bool { return s.Gate == "route" && s.Verdict.Passed() })
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
		case next >= len(steps) && !routed, name == "route" && next < len(steps):
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
		r.Facts = []Fact{{Name: missing, Want: "its answer: the simulation has none"}}
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

// dryEnv copies an environment so that nothing can be spent or written through it. blind names, by reason, what the copy
// cannot ask: a gate that fails for want of it is unknown, not unavailable.
func dryEnv(env *gate.Env) (dry *gate.Env, blind map[string]string) {
	blind = map[string]string{}
	dry = &gate.Env{Dry: true}
	if env != nil {
		dry.Now, dry.Directory = env.Now, env.Directory
	}
	if dry.Now == nil {
		dry.Now = time.Now
	}
	if dry.Directory == nil {
		dry.Directory = noDirectory{}
		for _, r := range []*decision.Reason{decision.AuthnUnavailable, decision.AccountUnavailable, decision.SubscriptionUnavailable} {
			blind[r.Code] = "directory"
		}
	}
	switch c := counters(env).(type) {
	case interface{ Dry() gate.Counters }:
		dry.Counters = c.Dry()
	default:
		if env != nil && env.Dry && c != nil {
			dry.Counters = c // the caller vouches that these only peek
			break
		}
		dry.Counters = noCounters{}
		blind[decision.LimitUnavailable.Code] = "counters"
	}
	return dry, blind
}

func counters(env *gate.Env) gate.Counters {
	if env == nil {
		return nil
	}
	return env.Counters
}

var errAbsent = errors.New("not part of this simulation")

type noDirectory struct{}

func (noDirectory) Key(*[32]byte, *directory.Key) (bool, error)              { return false, errAbsent }
func (noDirectory) Application(string, *directory.Application) (bool, error) { return false, errAbsent }
func (noDirectory) Tenant(string, *directory.Tenant) (bool, error)           { return false, errAbsent }
func (noDirectory) Subscription(_, _, _ string, _ *directory.Subscription) (bool, error) {
	return false, errAbsent
}

type noCounters struct{}

func (noCounters) Take(context.Context, time.Time, []gate.Take) (int, error) { return -1, errAbsent }
func (noCounters) Return(context.Context, time.Time, []gate.Take)            {}

// Exchange builds what an engine would have built of the request, without Env. An unknown body is no body, and an unknown
// client address no address.
func Exchange(req Request) (*gate.Exchange, error) { return exchange(req, netip.AddrPort{}) }

// exchange is Exchange for a known peer.
func exchange(req Request, peer netip.AddrPort) (*gate.Exchange, error) {
	l, err := splitURL(req.URL)
	if err != nil {
		return nil, err
	}
	x := new(gate.Exchange)
	x.Reset()
	x.Method, x.RawPath, x.RawQuery, x.Scheme, x.Proto = req.Method, l.path, l.query, l.scheme, "HTTP/1.1"
	x.Target = l.path
	if l.query != "" {
		x.Target += "?" + l.query
	}
	x.Host = l.authority
	x.Header = slices.Clone(req.Header)
	if host := x.Header.Get("Host"); host != "" {
		x.Host = host
	} else {
		x.Header = append(header.List{{Name: "Host", Value: l.authority}}, x.Header...)
	}
	if x.Header.HasToken("Connection", "upgrade") {
		x.Upgrade = strings.ToLower(x.Header.Get("Upgrade"))
	}
	x.Peer = peer
	if !peer.IsValid() && req.Client.IsValid() {
		x.Peer = netip.AddrPortFrom(req.Client, 0)
	}
	if !req.BodyUnknown && len(req.Body) > 0 {
		x.Body = &body{whole: req.Body, rest: req.Body}
	}
	return x, nil
}

// body is a request body that is already here.
type body struct {
	whole, rest []byte
	read        bool
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	b.read = true
	if len(b.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

// Peek implements gate.Body.
func (b *body) Peek(_ context.Context, most int) ([]byte, bool, error) {
	if b.read {
		return nil, false, errors.New("lab: a body is peeked at before it is read")
	}
	if most < len(b.whole) {
		return b.whole[:most:most], false, nil
	}
	return b.whole, true, nil
}

// Length implements gate.Body.
func (b *body) Length() int64 { return int64(len(b.whole)) }

// Replace implements gate.Body.
func (b *body) Replace(to []byte) { b.whole, b.rest = bytes.Clone(to), bytes.Clone(to) }

// Trailer implements gate.Body.
func (b *body) Trailer() header.List { return nil }
