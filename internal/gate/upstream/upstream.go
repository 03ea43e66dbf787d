// Package upstream is the last gate: it asks whether the request could be sent now, so that a caller learns at once, and
// before anything is spent, that the backend is down, suspended, or lacks its credential.
//
// It only reads the state of the pool. forward decides again when it picks a target, because the state may change between.
package upstream

import (
	"context"
	"strconv"
	"time"

	"postern/internal/decision"
	"postern/internal/gate"
)

// New makes the gate. The upstream is that of the request's model, or of its operation. It refuses with upstream.credential,
// upstream.circuit_open (with x.RetryAfter) or upstream.none_healthy, and does not know when a model call's model is not known.
func New(rule *decision.Rule) gate.Gate { return &state{rule: rule, made: true} }

// state is the gate. Its zero value refuses.
type state struct {
	rule *decision.Rule
	made bool
}

// Check implements gate.Gate.
func (g *state) Check(_ context.Context, x *gate.Exchange) decision.Verdict {
	if !g.made || x.Op == nil {
		return decision.Verdict{}
	}
	u := x.Op.Upstream
	if x.Model != nil {
		u = x.Model.Upstream
	}
	if u == nil {
		if v, ok := g.whyNoModel(x); ok {
			return v
		}
		return decision.Abstain(decision.UpstreamNoneHealthy, g.rule,
			decision.Fact{Name: "model", Want: "the model named in the body, which says where the request is sent", Public: decision.ToProven})
	}
	now := x.Env.Now()
	s := u.State(now)
	if s.CredentialError == "" && !s.CircuitOpen && s.Healthy > 0 {
		return decision.Pass(g.rule)
	}
	name := decision.Fact{Name: "upstream", Want: u.Name(), Public: decision.ToProven}
	switch {
	case s.CredentialError != "":
		return decision.Refuse(decision.UpstreamCredential, g.rule, name, decision.Fact{Name: "reference", Want: s.CredentialError})
	case s.CircuitOpen:
		facts := []decision.Fact{name}
		if wait := s.Until.Sub(now); wait > 0 {
			x.RetryAfter = wait
			facts = append(facts, decision.Fact{Name: "until", Want: s.Until.UTC().Format(time.RFC3339), Public: decision.ToAnyone})
		}
		return decision.Refuse(decision.UpstreamCircuitOpen, g.rule, facts...)
	}
	return decision.Refuse(decision.UpstreamNoneHealthy, g.rule, name,
		decision.Fact{Name: "targets", Want: strconv.Itoa(s.Targets) + " of " + strconv.Itoa(s.Targets) + " are out", Got: strconv.Itoa(s.Healthy)})
}

// whyNoModel repeats the refusal of a guardrail that was set to report only: a request for a model that nobody can name
// has nowhere to go, and its reason is that one, not the health of an upstream.
func (g *state) whyNoModel(x *gate.Exchange) (decision.Verdict, bool) {
	if x.Env.Dry && x.Body.Length() == 0 {
		return decision.Verdict{}, false // the body was not given, so nothing is known about it
	}
	for _, s := range x.Trace.Steps() {
		if s.Gate == "guardrail" && s.Verdict.Outcome() == decision.OutcomeShadow {
			return decision.Refuse(s.Verdict.Reason(), s.Verdict.Rule(), s.Verdict.Facts()...), true
		}
	}
	return decision.Verdict{}, false
}
