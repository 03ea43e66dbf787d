package decision

import (
	"strings"
	"testing"
)

func TestTheZeroVerdictRefuses(t *testing.T) {
	var v Verdict
	if v.Outcome() != OutcomeRefuse || v.Passed() || v.Reason() != Unexplained {
		t.Errorf("%s %v", v.Outcome(), v.Reason())
	}
	if said := v.Render(ToAnyone); said.Reason.Status != 500 || len(said.Remedies) == 0 {
		t.Errorf("%+v", said)
	}
	if v := Refuse(nil, nil); v.Reason() != Unexplained {
		t.Error("a refusal without a reason explains itself")
	}
}

func TestOutcomes(t *testing.T) {
	rule := &Rule{ID: "orders/v1#permission", Pointer: "/apis/0"}
	for _, c := range []struct {
		v      Verdict
		word   string
		passed bool
		reason *Reason
	}{
		{Pass(rule), "pass", true, nil},
		{Refuse(LimitRate, rule), "refuse", false, LimitRate},
		{Abstain(PermissionMissing, rule), "unknown", false, PermissionMissing},
		{Answered(rule), "answer", false, nil},
		{Refuse(LimitRate, rule).AsShadow(), "shadow", true, LimitRate},
		{Abstain(LimitRate, rule).AsShadow(), "shadow", true, LimitRate},
		{Verdict{}.AsShadow(), "shadow", true, Unexplained},
	} {
		if c.v.Outcome().String() != c.word || c.v.Passed() != c.passed || c.v.Reason() != c.reason {
			t.Errorf("%s: passed %t, reason %v; want %s, %t, %v", c.v.Outcome(), c.v.Passed(), c.v.Reason(), c.word, c.passed, c.reason)
		}
	}
	if v := Pass(rule).AsShadow(); v.Outcome() != OutcomePass || v.Rule() != rule {
		t.Error("a pass in shadow is a pass")
	}
	if v := Answered(rule).AsShadow(); v.Outcome() != OutcomeAnswer {
		t.Error("an answer in shadow is an answer")
	}
	if Outcome(200).String() != "refuse" {
		t.Error("an unknown outcome must read as a refusal")
	}
	if said := Pass(nil).Render(ToAnyone); said.Reason != nil || said.Detail != "" || said.Remedies != nil {
		t.Errorf("a pass has something to say: %+v", said)
	}
}

func TestTold(t *testing.T) {
	for _, c := range []struct {
		reason *Reason
		asker  Disclosure
		want   *Reason
	}{
		{PermissionMissing, ToAnyone, PolicyRefused},
		{PermissionMissing, ToProven, PermissionMissing},
		{PermissionMissing, ToOwner, PermissionMissing},
		{PermissionMissing, ToOperator, PermissionMissing},
		{IPDenied, ToAnyone, PolicyRefused},
		{IPDenied, ToProven, PolicyRefused},
		{IPDenied, ToOwner, PolicyRefused},
		{IPDenied, ToOperator, IPDenied},
		{WAFBlocked, ToProven, PolicyRefused},
		{KeyExpired, ToAnyone, CredentialRejected},
		{KeyRevoked, ToAnyone, CredentialRejected},
		{KeyExpired, ToProven, KeyExpired},
		{TokenIssuer, ToProven, CredentialRejected},
		{CredentialMissing, ToAnyone, CredentialMissing},
		{CredentialRejected, ToAnyone, CredentialRejected},
		{AuthnUnavailable, ToAnyone, AuthnUnavailable},
		{RouteNotFound, ToAnyone, RouteNotFound},
		{LimitRate, ToAnyone, LimitRate},
	} {
		if got := c.reason.Told(c.asker); got != c.want {
			t.Errorf("%s told to %s is %s, want %s", c.reason.Code, c.asker, got.Code, c.want.Code)
		}
	}
	for _, r := range Catalogue() {
		for _, asker := range askers {
			told := r.Told(asker)
			if !told.Public.VisibleTo(asker) {
				t.Errorf("%s told to %s gives %s, which may not be told", r.Code, asker, told.Code)
			}
		}
		if r.Told(ToOperator) != r {
			t.Errorf("%s is kept from the operator", r.Code)
		}
	}
}

// A stand-in must not give away by its text what it stands for.
func TestStandInsAreTheSameForAll(t *testing.T) {
	texts := map[string]string{}
	for _, r := range Catalogue() {
		said := Refuse(r, &Rule{ID: "secret-rule"}, factsFor(r, ToAnyone)...).Render(ToAnyone)
		if said.Reason == r {
			continue
		}
		text := said.Detail + strings.Join(said.Remedies, "")
		if before, ok := texts[said.Reason.Code]; ok && before != text {
			t.Errorf("%s stands in with other words for %s", said.Reason.Code, r.Code)
		}
		texts[said.Reason.Code] = text
	}
	if len(texts) != 2 {
		t.Errorf("stand-ins: %v", texts)
	}
}

func TestDisclosureWords(t *testing.T) {
	for d, want := range map[Disclosure]string{ToOperator: "operator", ToOwner: "owner", ToProven: "proven", ToAnyone: "anyone", 77: "anyone"} {
		if d.String() != want {
			t.Errorf("%d is %s, want %s", d, d, want)
		}
	}
	for p, want := range map[Party]string{ByCaller: "caller", ByOwner: "owner", ByOperator: "operator", 77: "operator"} {
		if p.String() != want {
			t.Errorf("%d is %s, want %s", p, p, want)
		}
	}
	if !ToAnyone.VisibleTo(ToProven) || ToOperator.VisibleTo(ToOwner) || ToProven.VisibleTo(ToAnyone) {
		t.Error("disclosure goes the wrong way")
	}
}

func TestTrace(t *testing.T) {
	var tr Trace
	tr.Add("authn", Pass(nil))
	tr.Add("authz", Refuse(PermissionMissing, nil))
	tr.Add("limit", Refuse(LimitRate, nil).AsShadow())
	if s, ok := tr.First(OutcomeRefuse); !ok || s.Gate != "authz" || len(tr.Steps()) != 3 {
		t.Errorf("%v %t", s, ok)
	}
	if _, ok := tr.First(OutcomeAbstain); ok {
		t.Error("found an unknown that is not there")
	}
	tr.Reset()
	if len(tr.Steps()) != 0 || tr.steps[1].Verdict.reason != nil {
		t.Error("a reset trace remembers")
	}
	for range MaxSteps + 5 {
		tr.Add("limit", Pass(nil))
	}
	if len(tr.Steps()) != MaxSteps {
		t.Errorf("%d steps", len(tr.Steps()))
	}
}

func TestAnAllowedRequestAllocatesNothing(t *testing.T) {
	var tr Trace
	rule := &Rule{ID: "orders/v1#permission"}
	if n := testing.AllocsPerRun(1000, func() {
		tr.Reset()
		for range MaxSteps {
			tr.Add("authz", Pass(rule))
		}
		if _, ok := tr.First(OutcomeRefuse); ok {
			t.Fatal("refused")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
