package upstream

import (
	"context"
	"strings"
	"testing"
	"time"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/gatetest"
)

var rule = &decision.Rule{ID: "orders/v1/create-order#upstream", Pointer: "/apis/0/versions/0/upstream"}

func is(s gate.UpstreamState) func(*gate.Exchange) {
	return func(x *gate.Exchange) { x.Op.Upstream = &gatetest.Upstream{Label: "orders", Is: s} }
}

func TestUpstream(t *testing.T) {
	gatetest.Run(t, gatetest.Suite{
		Name: "upstream",
		New:  func() gate.Gate { return New(rule) },
		Pass: is(gate.UpstreamState{Targets: 2, Healthy: 1}),
		Refusals: []gatetest.Case{
			{Name: "every target is out", Setup: is(gate.UpstreamState{Targets: 2}), Reason: decision.UpstreamNoneHealthy},
			{Name: "circuit open", Reason: decision.UpstreamCircuitOpen,
				Setup: is(gate.UpstreamState{Targets: 2, Healthy: 2, CircuitOpen: true, Until: gatetest.Now.Add(90 * time.Second)}),
				Check: func(t *testing.T, x *gate.Exchange, v decision.Verdict) {
					if x.RetryAfter != 90*time.Second {
						t.Errorf("retry after %s, want 1m30s", x.RetryAfter)
					}
					if said := v.Render(decision.ToAnyone); !strings.Contains(said.Detail, "2026-03-04T12:01:30Z") || strings.Contains(said.Detail, "orders") {
						t.Errorf("a stranger is told %q", said.Detail)
					}
				}},
			{Name: "credential missing", Setup: is(gate.UpstreamState{Targets: 1, Healthy: 1, CredentialError: "the environment variable TOKEN"}), Reason: decision.UpstreamCredential,
				Check: func(t *testing.T, x *gate.Exchange, v decision.Verdict) {
					if said := v.Render(decision.ToProven); strings.Contains(said.Detail+strings.Join(said.Remedies, ""), "TOKEN") {
						t.Errorf("a caller is told where the secret is: %+v", said)
					}
				}},
		},
		Unknown: []gatetest.Case{
			{Name: "model not known", Setup: func(x *gate.Exchange) { x.Op.Upstream = nil }, Reason: decision.UpstreamNoneHealthy},
		},
	})
}

func TestModelLeadsElsewhere(t *testing.T) {
	x := gatetest.Exchange(is(gate.UpstreamState{Targets: 1, Healthy: 1}))
	x.Model = &gate.Model{Upstream: &gatetest.Upstream{Label: "openai", Is: gate.UpstreamState{Targets: 3}}}
	v := New(rule).Check(context.Background(), x)
	if v.Reason() != decision.UpstreamNoneHealthy || !strings.Contains(v.Render(decision.ToOperator).Detail, "openai") {
		t.Errorf("%v: %s", v.Outcome(), v.Render(decision.ToOperator).Detail)
	}
}

// A circuit whose time is up lets a trial through any moment: there is nothing to wait for.
func TestCircuitWhoseTimeIsUp(t *testing.T) {
	x := gatetest.Exchange(is(gate.UpstreamState{Targets: 1, Healthy: 1, CircuitOpen: true, Until: gatetest.Now.Add(-time.Second)}))
	v := New(rule).Check(context.Background(), x)
	if v.Reason() != decision.UpstreamCircuitOpen || x.RetryAfter != 0 {
		t.Errorf("%v, retry after %s", v.Reason(), x.RetryAfter)
	}
}

// With the guardrail in shadow, a request without a usable model is refused here, for the guardrail's reason.
func TestShadowedGuardrailWithoutAModel(t *testing.T) {
	x := gatetest.Exchange(func(x *gate.Exchange) { x.Op.Upstream = nil })
	fault := decision.Fact{Name: "fault", Want: "it is empty", Public: decision.ToAnyone}
	x.Trace.Add("guardrail", decision.Refuse(decision.PromptUnreadable, nil, fault).AsShadow())
	v := New(rule).Check(context.Background(), x)
	if v.Outcome() != decision.OutcomeRefuse || v.Reason() != decision.PromptUnreadable || v.Facts()[0] != fault {
		t.Errorf("%v %v %v", v.Outcome(), v.Reason(), v.Facts())
	}
	gatetest.Dry(x)
	if v := New(rule).Check(context.Background(), x); v.Outcome() != decision.OutcomeAbstain {
		t.Errorf("without the body of a simulated request: %v", v.Outcome())
	}
}
