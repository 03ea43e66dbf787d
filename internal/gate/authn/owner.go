package authn

import (
	"strings"

	"postern/internal/decision"
	"postern/internal/directory"
	"postern/internal/gate"
)

// findCredential looks a credential up. An outage is a verdict; a credential of another kind is not found.
func findCredential(x *gate.Exchange, rule *decision.Rule, id string, into *directory.Credential, kinds ...directory.CredentialKind) (found bool, outage decision.Verdict) {
	if x.Env == nil || x.Env.Credentials == nil {
		return false, verdictUnavailable(x, rule, "the directory", "no directory of credentials is attached")
	}
	found, err := x.Env.Credentials.Credential(id, into)
	if err != nil {
		return false, verdictUnavailable(x, rule, "the directory", err.Error())
	}
	if found {
		for _, k := range kinds {
			if into.Kind == k {
				return true, decision.Pass(nil)
			}
		}
		*into = directory.Credential{}
	}
	return false, decision.Pass(nil)
}

// own makes the owner of a credential that verified the principal, unless the credential has ended. From here on the caller
// is proven.
func own(x *gate.Exchange, rule *decision.Rule, method, field, challenge string, c *directory.Credential) decision.Verdict {
	p, now := &x.Principal, x.Env.Now()
	p.Proven, p.Method, p.Field, p.Scopes = true, method, field, c.Scopes
	// Records and limits know a credential by the id of a key.
	p.Key = directory.Key{ID: c.ID, Application: c.Application, Name: c.Name, Scopes: c.Scopes, Created: c.Created, Expires: c.Expires, Revoked: c.Revoked}
	v, ok := settle(x, rule, c.Application)
	identity := decision.Fact{Name: "identity", Want: strings.Clone(c.ID), Got: strings.Clone(c.Name), Public: decision.ToProven}
	switch {
	case !ok:
		return v
	case !c.Revoked.IsZero() && !c.Revoked.After(now):
		x.Challenge = challenge
		return decision.Refuse(decision.CredentialRevoked, rule, identity,
			decision.Fact{Name: "revoked", Want: " at " + stamp(c.Revoked), Public: decision.ToProven})
	case !c.Expires.IsZero() && !c.Expires.After(now):
		x.Challenge = challenge
		return decision.Refuse(decision.CredentialExpired, rule, identity,
			decision.Fact{Name: "expires", Want: stamp(c.Expires), Got: stamp(now), Public: decision.ToProven})
	}
	return decision.Pass(rule)
}
