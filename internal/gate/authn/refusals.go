package authn

import (
	"context"
	"strconv"
	"strings"
	"time"

	"postern/internal/decision"
	"postern/internal/directory"
	"postern/internal/gate"
)

// missing answers a request without a credential in an accepted place. Only now, on the way to a refusal, is the rest of
// the request searched for one that was put somewhere else.
func (g *apiKey) missing(ctx context.Context, x *gate.Exchange, f found) decision.Verdict {
	if place := g.elsewhere(ctx, x); place != "" {
		return g.misplaced(x, place)
	}
	x.Challenge = g.challenge
	facts := []decision.Fact{
		{Name: "accepts", Want: g.accepts, Public: decision.ToAnyone},
		decision.SecretFact("credential", false),
	}
	if where := f.empty; where != "" {
		facts = append(facts, decision.Fact{Name: "where", Want: ": " + where, Public: decision.ToAnyone})
	} else if scheme := otherScheme(x.Header); scheme != "" {
		facts = append(facts, decision.Fact{Name: "where", Want: " of a kind it accepts: Authorization has the scheme " + scheme, Public: decision.ToAnyone})
	}
	return decision.Refuse(decision.CredentialMissing, g.rule, facts...)
}

func (g *apiKey) misplaced(x *gate.Exchange, place string) decision.Verdict {
	x.Challenge = g.invalidRequest
	return decision.Refuse(decision.CredentialMisplaced, g.rule,
		decision.Fact{Name: "place", Want: g.place, Got: place, Public: decision.ToAnyone},
		decision.SecretFact("credential", true))
}

// redacted answers a recorded request that is judged again: the record does not hold the key.
func (g *apiKey) redacted(x *gate.Exchange, f found) decision.Verdict {
	x.Challenge = g.invalidToken
	return decision.Abstain(decision.CredentialRejected, g.rule,
		decision.Fact{Name: "header " + f.field, Want: "the API key itself: records keep credentials out", Got: decision.Redacted, Public: decision.ToAnyone},
		decision.Fact{Name: "check", Want: "unknown: the request carries the placeholder of a redacted credential"})
}

// rejected forgets what was found: a key that is not accepted proves nobody. The dangling words say which row is missing
// when the key itself was known.
func (g *apiKey) rejected(x *gate.Exchange, text, dangling string) decision.Verdict {
	check := "look-up: " + dangling
	switch {
	case dangling != "":
	case !directory.HasKeyForm(text):
		check = "form: " + strconv.Itoa(len(text)) + " bytes that are not " + directory.KeyPrefix + " and 38 letters and digits, and no key with this hash exists"
	case !directory.LooksLikeKey(text):
		check = "checksum: at least one character is wrong or missing"
	default:
		check = "look-up: well formed, but it was never issued here, or was deleted"
	}
	x.Principal = gate.Principal{}
	x.Challenge = g.invalidToken
	return decision.Refuse(decision.CredentialRejected, g.rule,
		decision.Fact{Name: "check", Want: check},
		decision.SecretFact("credential", true))
}

func (g *apiKey) unavailable(x *gate.Exchange, fault string) decision.Verdict {
	x.Principal = gate.Principal{}
	x.RetryAfter = retryAfter
	return decision.Refuse(decision.AuthnUnavailable, g.rule,
		decision.Fact{Name: "dependency", Want: "the directory", Got: fault})
}

func (g *apiKey) expired(x *gate.Exchange, now time.Time) decision.Verdict {
	x.Challenge = g.invalidToken
	k := &x.Principal.Key
	return decision.Refuse(decision.KeyExpired, g.rule,
		keyFact(k),
		decision.Fact{Name: "expires", Want: stamp(k.Expires), Got: stamp(now), Public: decision.ToProven})
}

func (g *apiKey) revoked(x *gate.Exchange) decision.Verdict {
	x.Challenge = g.invalidToken
	k := &x.Principal.Key
	how := " at " + stamp(k.Revoked)
	if k.ReplacedBy != "" {
		how += " and replaced by key " + k.ReplacedBy
	}
	return decision.Refuse(decision.KeyRevoked, g.rule,
		keyFact(k),
		decision.Fact{Name: "revoked", Want: how, Public: decision.ToProven})
}

// keyFact names a key by its public id.
func keyFact(k *directory.Key) decision.Fact {
	return decision.Fact{Name: "key", Want: strings.Clone(k.ID), Got: strings.Clone(k.Name), Public: decision.ToProven}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
