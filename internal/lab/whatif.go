package lab

import (
	"cmp"
	"context"
	"slices"

	"postern/internal/decision"
	"postern/internal/directory"
	"postern/internal/gate"
)

// whatIf is what a question supposes about the chain.
type whatIf struct {
	caller  *caller
	without []string
}

// caller is who is supposed to call.
type caller struct {
	application string
	subject     string // the user it acts for
	scopes      []string
	roles       []string // that the credential brings, besides those of the application
	method      string   // how it proves it; empty: api_key
}

func (w whatIf) none() bool { return w.caller == nil && len(w.without) == 0 }

// chain leaves gates out and lets authn find the supposed caller.
func (w whatIf) chain(c gate.Chain) gate.Chain {
	out := make(gate.Chain, 0, len(c))
	for _, link := range c {
		switch {
		case slices.Contains(w.without, link.Name):
			continue
		case w.caller != nil && link.Name == "authn":
			link.Gate = w.caller
		}
		out = append(out, link)
	}
	return out
}

var supposed = &decision.Rule{ID: "simulate#as"}

// Check implements gate.Gate: it stands in the place of authn and proves whom the question names, without a credential.
func (c *caller) Check(_ context.Context, x *gate.Exchange) decision.Verdict {
	x.Principal = gate.Principal{}
	p := &x.Principal
	dir := x.Env.Directory
	known, err := dir.Application(c.application, &p.Application)
	if err == nil && known {
		var tenant directory.Tenant
		if known, err = dir.Tenant(p.Application.Tenant, &tenant); known {
			p.Tenant = tenant
		}
	}
	switch {
	case err != nil:
		*p = gate.Principal{}
		return decision.Refuse(decision.AuthnUnavailable, supposed, decision.Fact{Name: "dependency", Want: "the directory", Got: err.Error()})
	case !known:
		*p = gate.Principal{}
		return decision.Refuse(decision.ApplicationUnknown, supposed, decision.Fact{Name: "application", Got: c.application, Public: decision.ToProven})
	}
	p.Proven, p.Method, p.Subject, p.Scopes, p.Roles = true, cmp.Or(c.method, "api_key"), c.subject, c.scopes, c.roles
	return decision.Pass(supposed)
}
