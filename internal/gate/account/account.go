// Package account refuses callers whose tenant or application is suspended. Keys and subscriptions of a suspended account
// stay as they are, so that resuming it is one change.
package account

import (
	"context"
	"fmt"
	"strings"
	"time"

	"postern/internal/decision"
	"postern/internal/directory"
	"postern/internal/gate"
)

// retryAfter is what callers are told to wait while the directory does not answer.
const retryAfter = 5 * time.Second

// rule has no pointer: standing is directory data, not configuration.
var rule = &decision.Rule{ID: "directory#standing"}

// New returns the gate. It needs no configuration: standing applies to every operation. Requests without a principal
// (public operations) pass.
func New() gate.Gate { return standing{} }

type standing struct{}

// Check implements gate.Gate.
func (standing) Check(_ context.Context, x *gate.Exchange) decision.Verdict {
	p := &x.Principal
	if p.Application.ID == "" {
		if unproven(x) {
			return decision.Abstain(decision.AccountUnavailable, rule,
				decision.Fact{Name: "principal", Want: "who calls, which authn could not prove", Public: decision.ToAnyone},
				decision.Fact{Name: "dependency", Want: "a credential that authn accepts"})
		}
		return decision.Pass(nil)
	}
	if p.Tenant.ID == "" {
		// Credentials that name an application only: its tenant is looked up here.
		known, err := false, error(nil)
		if x.Env != nil && x.Env.Directory != nil {
			known, err = x.Env.Directory.Tenant(p.Application.Tenant, &p.Tenant)
		} else {
			err = fmt.Errorf("no directory is attached")
		}
		if err != nil {
			return unavailable(x, "the directory", err.Error())
		}
		if !known {
			return unavailable(x, "the directory row of tenant '"+p.Application.Tenant+"'", "application '"+p.Application.ID+"' names it, and it does not exist")
		}
	}
	// The tenant first: resuming only the application would not help.
	if v, ok := judge(x, "tenant", p.Tenant.ID, p.Tenant.Standing, decision.TenantSuspended); ok {
		return v
	}
	if v, ok := judge(x, "application", p.Application.ID, p.Application.Standing, decision.ApplicationSuspended); ok {
		return v
	}
	return decision.Pass(rule)
}

func judge(x *gate.Exchange, what, id string, s directory.Standing, reason *decision.Reason) (decision.Verdict, bool) {
	switch s {
	case directory.Active:
		return decision.Verdict{}, false
	case directory.Suspended:
		p := &x.Principal
		return decision.Refuse(reason, rule,
			decision.Fact{Name: "tenant", Want: strings.Clone(p.Tenant.ID), Got: string(p.Tenant.Standing), Public: decision.ToProven},
			decision.Fact{Name: "application", Want: strings.Clone(p.Application.ID), Got: string(p.Application.Standing), Public: decision.ToProven}), true
	}
	// A standing nobody defined is a damaged row: fail closed, and say that it is no denial.
	return unavailable(x, "the directory row of "+what+" '"+id+"'", fmt.Sprintf("its standing is %q", s)), true
}

// unproven reports whether this is a question (Exhaust mode) about a request whose credential was not accepted. A public
// operation has no such step, and a shadowed authn means that the operator lets unproven callers on.
func unproven(x *gate.Exchange) bool {
	steps := x.Trace.Steps()
	for i := range steps {
		if steps[i].Gate == "authn" {
			return !steps[i].Verdict.Passed()
		}
	}
	return false
}

func unavailable(x *gate.Exchange, what, fault string) decision.Verdict {
	x.RetryAfter = retryAfter
	return decision.Refuse(decision.AccountUnavailable, rule, decision.Fact{Name: "dependency", Want: what, Got: fault})
}
