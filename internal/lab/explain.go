package lab

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"postern/internal/decision"
	"postern/internal/directory"
	"postern/internal/gate"
	"postern/internal/header"
	"postern/internal/record"
	"postern/internal/snapshot"
)

// Explanation says why a recorded call was decided as it was. Its JSON is stable.
type Explanation struct {
	Trace      string    `json:"trace"`
	Time       time.Time `json:"time"`
	Method     string    `json:"method"`
	URL        string    `json:"url"`
	Generation uint64    `json:"generation"` // of the configuration that judged it
	Operation  string    `json:"operation,omitempty"`

	Outcome        string `json:"outcome"` // passed, refused, answered or failed
	Origin         string `json:"origin"`  // who spoke the final word: gateway, upstream or unreachable
	Status         int    `json:"status"`
	ReceivedStatus int    `json:"received_status,omitempty"` // the upstream's
	Reason         string `json:"reason,omitempty"`
	Gate           string `json:"gate,omitempty"`
	Title          string `json:"title,omitempty"`
	Sentence       string `json:"sentence"` // the whole in a sentence or two

	Remedies []Remedy `json:"remedies,omitempty"`
	// Now is what becomes of the same request at the time of asking, when it was refused: allowed, refused, answered or unknown.
	Now    string   `json:"now,omitempty"`
	Fixes  []Fix    `json:"fixes,omitempty"`      // what would let it pass now, smallest first; see Prover
	WhyNot string   `json:"why_no_fix,omitempty"` // why there is none
	Gates  []Row    `json:"gates"`                // an operator sees all of them, others those that concern them
	Notes  []string `json:"notes,omitempty"`

	// For operators only.
	Client      string           `json:"client,omitempty"`
	Tenant      string           `json:"tenant,omitempty"`
	Application string           `json:"application,omitempty"`
	Key         string           `json:"key,omitempty"`
	Rule        string           `json:"rule,omitempty"`
	Pointer     string           `json:"pointer,omitempty"`
	Target      string           `json:"target,omitempty"`
	Fault       string           `json:"fault,omitempty"`
	Attempts    []record.Attempt `json:"attempts,omitempty"`
}

// ExitCode is 0 when the call passed or was answered, 1 when it was refused or failed.
func (e Explanation) ExitCode() int {
	switch e.Outcome {
	case "passed", "answered":
		return 0
	case "refused", "failed":
		return 1
	}
	return 3
}

// ExplainOption changes how Explain works.
type ExplainOption func(*explainer)

// WithKeys lets Explain look a key up by its id, as store.Reader does. The record has no credential, so the gates behind a
// refusal can be asked about the caller only when the key that the record names is still there.
func WithKeys(key func(ctx context.Context, id string) (directory.Key, error)) ExplainOption {
	return func(e *explainer) { e.key = key }
}

// WithProof adds to the explanation of a refusal what would let the request pass now, under the running configuration; nil
// stands for the one that the call is explained by.
func WithProof(p *Prover, running *snapshot.Snapshot) ExplainOption {
	return func(e *explainer) { e.prove, e.running = p, running }
}

type explainer struct {
	key     func(ctx context.Context, id string) (directory.Key, error)
	prove   *Prover
	running *snapshot.Snapshot
	notes   []string
}

// Explain says why a recorded call was decided as it was, cut to what the asker may see. snap is the configuration of the
// record's generation, or the nearest there is.
//
// What the gates that ran said is taken from the record. The gates behind the refusal, which did not run, are asked now
// with a dry Env, so that everything is told at once; their rows say so. Calls that passed keep no steps: that every gate of
// the operation passed is what passing means.
func Explain(ctx context.Context, rec record.Record, snap *snapshot.Snapshot, env *gate.Env, asker decision.Disclosure, opts ...ExplainOption) Explanation {
	e := &explainer{}
	for _, o := range opts {
		o(e)
	}
	out := Explanation{
		Trace: rec.ID.String(), Time: rec.Time, Method: rec.Method, URL: recordedURL(rec), Generation: rec.Generation,
		Outcome: rec.Outcome, Origin: rec.Origin, Status: rec.Status, ReceivedStatus: rec.ReceivedStatus,
	}
	if rec.API != "" {
		out.Operation = rec.API + "/" + rec.Version + " " + rec.Operation
	}
	if snap.Generation != rec.Generation {
		e.notes = append(e.notes, fmt.Sprintf("generation %d, which judged the call, is not at hand; gates that did not run then are asked under generation %d", rec.Generation, snap.Generation))
	}
	w, a := e.rerun(ctx, rec, snap, env)
	var now []Row
	if a != nil {
		now = a.rows()
	}
	out.Gates = e.combine(rec, snap, now)
	verdict := e.recorded(rec, out.Gates, now)
	out.tell(rec, verdict, asker)
	if e.prove != nil && a != nil && rec.Outcome == "refused" {
		if e.running != nil && e.running != w.snap {
			w.snap = e.running
			if again, err := w.run(ctx, nil); err == nil {
				a = again
			}
		}
		e.proveRecorded(ctx, rec, &out, w, a, asker)
	}
	if asker == decision.ToOperator {
		out.Client, out.Tenant, out.Application, out.Key = rec.Client, rec.Tenant, rec.Application, rec.Key
		out.Rule, out.Pointer, out.Target, out.Fault, out.Attempts = rec.Rule, rec.Pointer, rec.Target, rec.Fault, rec.Attempts
	} else {
		out.cut(asker)
		out.Fixes = cutFixes(out.Fixes, asker)
	}
	out.Notes = e.notes
	return out
}

func recordedURL(rec record.Record) string {
	scheme := rec.Scheme
	if scheme == "" {
		scheme = "http"
	}
	u := scheme + "://" + rec.Host + rec.Path
	if rec.Query != "" {
		u += "?" + rec.Query
	}
	return u
}

// rerun asks every gate again. The result is nil when the record does not hold enough to build a request.
func (e *explainer) rerun(ctx context.Context, rec record.Record, snap *snapshot.Snapshot, env *gate.Env) (*world, *asked) {
	req := Request{Method: rec.Method, URL: recordedURL(rec), BodyUnknown: rec.BytesIn > 0}
	for _, f := range rec.Fields {
		req.Header = append(req.Header, header.Field{Name: f.Name, Value: f.Value})
	}
	peer, err := netip.ParseAddrPort(rec.Peer)
	if err != nil {
		if a, err := netip.ParseAddr(rec.Peer); err == nil {
			peer = netip.AddrPortFrom(a, 0)
		}
	}
	dry, blind := dryEnv(env)
	w := newWorld(still(situation{snap: snap, env: dry, blind: blind, req: req, peer: peer, id: rec.ID}))
	e.asRecorded(ctx, rec, w, env != nil && env.Directory != nil)
	a, err := w.run(ctx, nil)
	if err != nil {
		e.notes = append(e.notes, "the record does not hold enough of the request to ask the other gates")
		return nil, nil
	}
	return w, a
}

// asRecorded lets authn find the caller that the record names. Records keep credentials out, so a stand-in takes the place
// of the redacted one, and the directory knows the stand-in. Nothing else of the key is assumed: its scopes, expiry and
// revocation are those of today.
func (e *explainer) asRecorded(ctx context.Context, rec record.Record, w *world, directed bool) {
	if rec.Key == "" {
		return
	}
	if e.key == nil || !directed {
		e.notes = append(e.notes, "who called is in the record, but the key cannot be looked up here; what depends on it is unknown")
		return
	}
	key, err := e.key(ctx, rec.Key)
	if err != nil {
		e.notes = append(e.notes, fmt.Sprintf("the key %s is no longer there; what depends on it is unknown", rec.Key))
		return
	}
	text := standIn(key.ID)
	replaced := false
	for i := range w.req.Header {
		f := &w.req.Header[i]
		switch {
		case f.Value != decision.Redacted || header.EqualFold(f.Name, "Cookie") || header.EqualFold(f.Name, "Proxy-Authorization"):
		case header.EqualFold(f.Name, "Authorization"):
			f.Value, replaced = "Bearer "+text, true
		default:
			f.Value, replaced = text, true
		}
	}
	if !replaced {
		e.notes = append(e.notes, "the record does not say in which field the credential stood; what depends on it is unknown")
	}
	key.Hash = directory.HashKey(text)
	w.people.putKey(key)
}

// combine takes the row of each gate that ran from the record, and those of the others from asking now.
func (e *explainer) combine(rec record.Record, snap *snapshot.Snapshot, now []Row) []Row {
	var steps []decision.Step
	for _, s := range rec.Steps {
		steps = append(steps, decision.Step{Gate: s.Gate, Verdict: verdictOf(s)})
	}
	if len(steps) == 0 { // a call that passed
		for i := range now {
			if now[i].Outcome != None && now[i].Outcome != NotReached && (rec.Outcome == "passed" || rec.Outcome == "failed") {
				now[i] = Row{Gate: now[i].Gate, Note: now[i].Note, Outcome: decision.OutcomePass.String(), Rule: now[i].Rule, Pointer: now[i].Pointer}
			}
		}
		return slices.Concat([]Row{}, now)
	}
	then := rows(snap, steps, nil)
	asked := false
	for i := range then {
		if then[i].Outcome != None && then[i].Outcome != NotReached || i >= len(now) || now[i].Gate != then[i].Gate {
			continue
		}
		then[i] = now[i]
		if then[i].Outcome != None && then[i].Outcome != NotReached {
			then[i].Note = strings.TrimPrefix(then[i].Note+", asked now", ", ")
			asked = true
		}
	}
	if asked && rec.BytesIn > 0 {
		e.notes = append(e.notes, "the record does not hold the body; gates that read it are unknown")
	}
	return then
}

// verdictOf builds the verdict that a record remembers.
func verdictOf(s record.Step) decision.Verdict {
	var rule *decision.Rule
	if s.Rule != "" || s.Pointer != "" {
		rule = &decision.Rule{ID: s.Rule, Pointer: s.Pointer}
	}
	reason := decision.ByCode(s.Reason)
	switch s.Outcome {
	case decision.OutcomePass.String():
		return decision.Pass(rule)
	case decision.OutcomeAnswer.String():
		return decision.Answered(rule)
	case decision.OutcomeAbstain.String():
		return decision.Abstain(reason, rule, s.Facts...)
	case decision.OutcomeShadow.String():
		return decision.Refuse(reason, rule, s.Facts...).AsShadow()
	}
	return decision.Refuse(reason, rule, s.Facts...)
}

// recorded returns the verdict that ended the call. How widely a fact may be told is not stored with it; where the same gate
// gives the same reason now, its facts say, and other facts stay with the operator.
func (e *explainer) recorded(rec record.Record, gates, now []Row) decision.Verdict {
	reason := decision.ByCode(rec.Reason)
	if reason == nil {
		return decision.Pass(nil)
	}
	for i := range gates {
		g := &gates[i]
		if g.Reason != rec.Reason || g.verdict.Reason() == nil {
			continue
		}
		facts := slices.Clone(g.verdict.Facts())
		for _, row := range now {
			if row.Gate != g.Gate || row.Reason != g.Reason {
				continue
			}
			for j := range facts {
				k := slices.IndexFunc(row.verdict.Facts(), func(f decision.Fact) bool { return f.Name == facts[j].Name })
				if k >= 0 {
					facts[j].Public = max(facts[j].Public, row.verdict.Facts()[k].Public)
				}
			}
		}
		g.verdict = decision.Refuse(reason, g.verdict.Rule(), facts...)
		return g.verdict
	}
	return decision.Refuse(reason, &decision.Rule{ID: rec.Rule, Pointer: rec.Pointer})
}

// tell words the recorded verdict.
func (out *Explanation) tell(rec record.Record, v decision.Verdict, asker decision.Disclosure) {
	request := rec.Method + " " + rec.Path
	reason := v.Reason()
	if reason == nil {
		switch rec.Outcome {
		case "answered":
			out.Sentence = fmt.Sprintf("Postern answered %s itself, with %d.", request, rec.Status)
		case "passed":
			out.Sentence = fmt.Sprintf("Every gate let %s pass, and the backend answered %d.", request, rec.ReceivedStatus)
		default:
			out.Sentence = fmt.Sprintf("%s ended with %d.", request, rec.Status)
		}
		return
	}
	said := v.Render(asker)
	out.Reason, out.Gate, out.Title = said.Reason.Code, said.Reason.Gate, said.Reason.Title
	switch {
	case reason == decision.UpstreamRefused:
		out.Sentence = fmt.Sprintf("Every gate let %s pass; the backend itself answered %d.", request, rec.ReceivedStatus)
	case rec.Outcome == "failed":
		out.Sentence = fmt.Sprintf("The gates let %s pass, but it failed with %d: %s", request, rec.Status, said.Detail)
	default:
		out.Sentence = fmt.Sprintf("%s was refused with %d by the gate %s: %s", request, rec.Status, said.Reason.Gate, said.Detail)
	}
	out.Remedies = remediesFor(v, asker)
}

// remediesFor says who can do what, as far as the asker is told.
func remediesFor(v decision.Verdict, asker decision.Disclosure) (out []Remedy) {
	said := v.Render(asker)
	i := 0
	for _, a := range said.Reason.Advice {
		if a.Who == decision.ByOperator && asker != decision.ToOperator {
			continue
		}
		if i < len(said.Remedies) {
			out = append(out, Remedy{a.Who.String(), said.Remedies[i]})
		}
		i++
	}
	return out
}

// cut leaves of the table what the asker may see: the refusals that may be told, without rules and places; those that may
// not are one row without a name.
func (out *Explanation) cut(asker decision.Disclosure) {
	kept := []Row{}
	hidden := false
	for _, row := range out.Gates {
		reason := row.verdict.Reason()
		if row.Outcome != decision.OutcomeRefuse.String() || reason == nil {
			continue
		}
		said := row.verdict.Render(asker)
		if said.Reason != reason {
			if hidden {
				continue
			}
			hidden = true
		}
		shown := Row{Gate: said.Reason.Gate, Note: row.Note, Outcome: row.Outcome, Reason: said.Reason.Code, Status: reason.Status,
			Title: said.Reason.Title, Detail: said.Detail, Remedies: remediesFor(row.verdict, asker)}
		if said.Reason != reason {
			shown.Note = ""
		} else {
			for _, f := range row.verdict.Facts() {
				if f.Public.VisibleTo(asker) {
					shown.Facts = append(shown.Facts, Fact{f.Name, f.Want, f.Got, f.Secret})
				}
			}
		}
		kept = append(kept, shown)
	}
	out.Gates = kept
}
