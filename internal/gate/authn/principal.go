package authn

import (
	"strings"
	"time"

	"postern/internal/decision"
	"postern/internal/directory"
	"postern/internal/gate"
	"postern/internal/header"
)

func asDuration(n int64) time.Duration { return time.Duration(n) }

// verdictUnavailable is an outage: never a denial.
func verdictUnavailable(x *gate.Exchange, rule *decision.Rule, dependency, fault string) decision.Verdict {
	x.Principal = gate.Principal{}
	x.RetryAfter = retryAfter
	return decision.Refuse(decision.AuthnUnavailable, rule,
		decision.Fact{Name: "dependency", Want: dependency, Got: fault})
}

// rejected is the one answer to credentials that prove nobody. check is for the operator.
func verdictRejected(x *gate.Exchange, rule *decision.Rule, challenge, check string) decision.Verdict {
	x.Principal = gate.Principal{}
	x.Challenge = challenge
	return decision.Refuse(decision.CredentialRejected, rule,
		decision.Fact{Name: "check", Want: check}, decision.SecretFact("credential", true))
}

// settle puts the application and its tenant on the principal. ok is false when the verdict says why it could not.
func settle(x *gate.Exchange, rule *decision.Rule, application string) (v decision.Verdict, ok bool) {
	env, p := x.Env, &x.Principal
	if env == nil || env.Directory == nil {
		return verdictUnavailable(x, rule, "the directory", "no directory is attached"), false
	}
	known, err := env.Directory.Application(application, &p.Application)
	if err == nil && known {
		known, err = env.Directory.Tenant(p.Application.Tenant, &p.Tenant)
	}
	switch {
	case err != nil:
		return verdictUnavailable(x, rule, "the directory", err.Error()), false
	case !known:
		p.Application, p.Tenant = directory.Application{}, directory.Tenant{}
		return decision.Refuse(decision.ApplicationUnknown, rule,
			decision.Fact{Name: "application", Want: "one of the directory", Got: clip(application), Public: decision.ToProven}), false
	}
	return decision.Verdict{}, true
}

// clip copies what a caller wrote, bounded, out of the connection's buffer.
func clip(s string) string {
	const most = 200
	if len(s) > most {
		return strings.Clone(s[:most]) + "…"
	}
	return strings.Clone(s)
}

// bearer returns what follows the scheme Bearer in Authorization, and how many such fields there are.
func bearer(l header.List) (token string, n int) {
	for i := range l {
		if len(l[i].Name) != len(authorization) || !header.EqualFold(l[i].Name, authorization) {
			continue
		}
		if t, ok := bearerToken(l[i].Value); ok {
			if n == 0 {
				token = t
			}
			n++
		} else if l[i].Value == decision.Redacted {
			token, n = l[i].Value, n+1 // a record hides the scheme with the rest
		}
	}
	return token, n
}
