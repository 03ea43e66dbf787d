package account_test

import (
	"context"
	"testing"

	"postern/internal/decision"
	"postern/internal/directory"
	"postern/internal/gate"
	"postern/internal/gate/account"
	"postern/internal/gatetest"
)

// proven makes shop-web the caller, with these standings.
func proven(tenant, application directory.Standing) func(*gate.Exchange) {
	return func(x *gate.Exchange) {
		gatetest.Proven(x)
		x.Principal.Tenant.Standing, x.Principal.Application.Standing = tenant, application
	}
}

func says(sentence string) func(*testing.T, *gate.Exchange, decision.Verdict) {
	return func(t *testing.T, x *gate.Exchange, v decision.Verdict) {
		t.Helper()
		if got := v.Render(x.Asker()).Detail; got != sentence {
			t.Errorf("the caller is told %q, want %q", got, sentence)
		}
		if got := v.Render(decision.ToAnyone).Reason; got != decision.PolicyRefused && got.Status != 503 {
			t.Errorf("anyone is told %s", got.Code)
		}
	}
}

func TestAccount(t *testing.T) {
	lookUp := func(x *gate.Exchange) {
		gatetest.Proven(x)
		x.Principal.Tenant = directory.Tenant{}
	}
	gatetest.Run(t, gatetest.Suite{
		Name: "account",
		New:  account.New,
		Pass: gatetest.Proven,
		Refusals: []gatetest.Case{
			{Name: "tenant suspended", Setup: proven(directory.Suspended, directory.Active),
				Reason: decision.TenantSuspended, Check: says("The tenant 'acme' is suspended.")},
			{Name: "application suspended", Setup: proven(directory.Active, directory.Suspended),
				Reason: decision.ApplicationSuspended, Check: says("The application 'shop-web' is suspended.")},
			{Name: "both: the tenant is named", Setup: proven(directory.Suspended, directory.Suspended),
				Reason: decision.TenantSuspended, Check: says("The tenant 'acme' is suspended.")},
			{Name: "tenant looked up", Setup: func(x *gate.Exchange) {
				lookUp(x)
				gatetest.DirectoryOf(x).Tenants["acme"] = directory.Tenant{ID: "acme", Standing: directory.Suspended}
			}, Reason: decision.TenantSuspended, Check: says("The tenant 'acme' is suspended.")},
		},
		Unknown: []gatetest.Case{
			{Name: "authn refused, asked on", Setup: func(x *gate.Exchange) {}, Reason: decision.AccountUnavailable, New: func() gate.Gate { return afterAuthn{account.New()} }},
		},
		Outages: []gatetest.Case{
			{Name: "directory", Setup: func(x *gate.Exchange) { lookUp(x); gatetest.Outage(x) }, Reason: decision.AccountUnavailable},
			{Name: "no directory", Setup: func(x *gate.Exchange) { lookUp(x); x.Env.Directory = nil }, Reason: decision.AccountUnavailable},
			{Name: "no such tenant", Setup: func(x *gate.Exchange) { lookUp(x); clear(gatetest.DirectoryOf(x).Tenants) }, Reason: decision.AccountUnavailable},
			{Name: "damaged standing of the application", Setup: proven(directory.Active, "actve"), Reason: decision.AccountUnavailable},
			{Name: "standing of the tenant lost", Setup: proven("", directory.Active), Reason: decision.AccountUnavailable},
		},
	})
}

// afterAuthn runs the gate as if authn had refused before it, without leaving a second step in the trace.
type afterAuthn struct{ gate.Gate }

func (g afterAuthn) Check(ctx context.Context, x *gate.Exchange) decision.Verdict {
	x.Trace.Add("authn", decision.Refuse(decision.CredentialMissing, nil))
	v := g.Gate.Check(ctx, x)
	x.Trace.Reset()
	return v
}

func TestPublicOperationsHaveNoAccount(t *testing.T) {
	if v := account.New().Check(t.Context(), gatetest.Exchange()); v.Outcome() != decision.OutcomePass {
		t.Errorf("got %v", v.Outcome())
	}
	x := gatetest.Exchange()
	x.Trace.Add("authn", decision.Refuse(decision.CredentialMissing, nil).AsShadow())
	if v := account.New().Check(t.Context(), x); v.Outcome() != decision.OutcomePass {
		t.Errorf("authn only reports, and account refuses who it let on: %v", v.Outcome())
	}
}
