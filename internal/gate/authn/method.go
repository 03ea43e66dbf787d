package authn

import (
	"context"
	"slices"
	"strings"

	"postern/internal/decision"
	"postern/internal/gate"
)

// Method is one way to prove who calls. The gates of this package implement it; Several tries some in order.
type Method interface {
	gate.Gate
	// offered reports whether the request has something that this method would read. It is cheap and decides nothing.
	offered(x *gate.Exchange) bool
	// what the method reads, for sentences: "a token of https://id.example.com as Authorization: Bearer".
	what() string
	// called is the method's name in traces and in the configuration.
	called() string
	// invites is its part of WWW-Authenticate for a request without a credential; empty: none exists.
	invites() string
}

// Several compiles a gate that tries methods in their order and passes with the first that accepts. When none does, the
// most helpful refusal is told, and the trace keeps what each method said: a dependency that failed goes before a denial
// (the credential may be good), what a proven caller may know before what nobody may, and a credential before none.
func Several(rule *decision.Rule, methods ...Method) gate.Gate {
	g := &several{rule: rule, methods: methods}
	tokens := slices.ContainsFunc(methods, func(m Method) bool { _, ok := m.(*tokens); return ok })
	var accepts, invites []string
	for _, m := range methods {
		if k, ok := m.(*apiKey); ok {
			k.tokensElsewhere = tokens
			g.keys = k
		}
		accepts = append(accepts, m.what())
		if c := m.invites(); c != "" && !slices.Contains(invites, c) {
			invites = append(invites, c)
		}
	}
	g.invites = invites
	g.accepts, g.challenge = strings.Join(accepts, ", or "), strings.Join(invites, ", ")
	return g
}

type several struct {
	rule               *decision.Rule
	methods            []Method
	keys               *apiKey // the method for API keys; nil: none
	invites            []string
	accepts, challenge string
}

// tried is what one method said.
type tried struct {
	method     Method
	verdict    decision.Verdict
	principal  gate.Principal
	challenge  string
	retryAfter int64
}

// Check implements gate.Gate.
func (g *several) Check(ctx context.Context, x *gate.Exchange) decision.Verdict {
	x.Principal = gate.Principal{}
	var failed []tried
	for _, m := range g.methods {
		if !m.offered(x) {
			continue
		}
		x.Challenge, x.RetryAfter = "", 0
		v := m.Check(ctx, x)
		if v.Passed() {
			x.Challenge, x.RetryAfter = "", 0
			return v
		}
		if failed == nil {
			failed = make([]tried, 0, len(g.methods))
		}
		failed = append(failed, tried{m, v, x.Principal, x.Challenge, int64(x.RetryAfter)})
	}
	if failed == nil {
		return g.missing(ctx, x)
	}
	best := 0
	for i := range failed {
		if failed[i].rank() > failed[best].rank() {
			best = i
		}
	}
	return g.tell(x, failed, best)
}

// rank orders refusals by how much they help.
func (t *tried) rank() int {
	r := t.verdict.Reason()
	switch {
	case t.verdict.Outcome() == decision.OutcomeAbstain:
		return 6
	case r.Status >= 500:
		return 5
	case r == decision.TooManyFailures:
		return 4
	case t.principal.Proven:
		return 3
	case r == decision.CredentialMissing, r == decision.CredentialMisplaced:
		return 0
	case r == decision.CredentialRejected:
		return 1
	}
	return 2
}

// tell refuses with the words of the best and notes what the others said.
func (g *several) tell(x *gate.Exchange, failed []tried, best int) decision.Verdict {
	b := &failed[best]
	x.Principal = b.principal
	x.RetryAfter = asDuration(b.retryAfter)
	x.Challenge = b.challenge
	if b.challenge != "" {
		own := b.method.invites()
		for _, c := range g.invites {
			if c != own {
				x.Challenge += ", " + c
			}
		}
	}
	if len(failed) == 1 {
		return b.verdict
	}
	facts := slices.Clone(b.verdict.Facts())
	for i := range failed {
		f := &failed[i]
		said := f.verdict.Render(decision.ToOperator)
		facts = append(facts, decision.Fact{Name: "method " + f.method.called(), Want: f.verdict.Reason().Code, Got: said.Detail})
	}
	if b.verdict.Outcome() == decision.OutcomeAbstain {
		return decision.Abstain(b.verdict.Reason(), b.verdict.Rule(), facts...)
	}
	return decision.Refuse(b.verdict.Reason(), b.verdict.Rule(), facts...)
}

// missing answers a request in which no method found anything to read.
func (g *several) missing(ctx context.Context, x *gate.Exchange) decision.Verdict {
	x.Challenge = g.challenge
	if place := g.elsewhere(ctx, x); place != "" {
		return decision.Refuse(decision.CredentialMisplaced, g.rule,
			decision.Fact{Name: "place", Want: g.accepts, Got: place, Public: decision.ToAnyone},
			decision.SecretFact("credential", true))
	}
	facts := []decision.Fact{
		{Name: "accepts", Want: g.accepts, Public: decision.ToAnyone},
		decision.SecretFact("credential", false),
	}
	if where := g.hint(x); where != "" {
		facts = append(facts, decision.Fact{Name: "where", Want: where, Public: decision.ToAnyone})
	}
	return decision.Refuse(decision.CredentialMissing, g.rule, facts...)
}

// elsewhere looks for a credential of an accepted kind in a place where it is not read.
func (g *several) elsewhere(ctx context.Context, x *gate.Exchange) string {
	for _, m := range g.methods {
		if _, ok := m.(*tokens); ok {
			if place := tokenElsewhere(x); place != "" {
				return place
			}
			break
		}
	}
	if g.keys != nil {
		return g.keys.elsewhere(ctx, x)
	}
	return ""
}

// hint says what is there instead of a credential.
func (g *several) hint(x *gate.Exchange) string {
	if t, n := bearer(x.Header); n > 0 && t == "" {
		return ": Authorization says Bearer and nothing follows"
	}
	if scheme := otherScheme(x.Header); scheme != "" {
		return " of a kind it accepts: Authorization has the scheme " + scheme
	}
	return ""
}
