package snapshot

import (
	"context"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/gate/authz"
	"postern/internal/policy"
)

// JudgeWhatIf is Judge in gate.Exhaust with the chain of the operation changed first, for questions such as "what if the
// caller were that application" and "what if this gate were not there". edit returns the chain to run and must not change
// the one it is given. Live requests never come here.
func (s *Snapshot) JudgeWhatIf(ctx context.Context, x *gate.Exchange, edit func(gate.Chain) gate.Chain) decision.Verdict {
	if s.router == nil {
		x.Verdict = decision.Verdict{}
		return x.Verdict
	}
	v := s.resolver.Resolve(x)
	if !v.Passed() {
		x.Trace.Add("ip", v)
	} else if v = s.router.Check(ctx, x); true {
		x.Trace.Add("route", v)
		if v.Passed() {
			v = edit(x.Op.Chain).Run(ctx, x, gate.Exhaust)
		}
	}
	x.Verdict = v
	return v
}

// RolesWith returns the roles that grant a permission, inheritance and stars worked out, narrowest first.
func (s *Snapshot) RolesWith(permission string) []string {
	if s.Document == nil || permission == "" {
		return nil
	}
	roles, err := authz.CompileRoles(s.Document.Roles)
	if err != nil { // what was compiled compiles
		return nil
	}
	return roles.Holders(permission)
}

// Variant compiles another document with what this snapshot is connected to, except for upstreams.
func (s *Snapshot) Variant(doc *policy.Document, upstream func(name string) (gate.Upstream, bool)) (*Snapshot, error) {
	d := s.deps
	d.Upstream = upstream
	return Compile(doc, s.Generation, d)
}
