package origin

import (
	"context"
	"strconv"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/header"
)

// CSRF is compiled CSRF rules. They are shared by all requests and never change.
type CSRF struct {
	trusted list
	lenient bool   // programs without cookies pass unproven
	token   *token // nil: none is asked for
	rule    *decision.Rule
}

// check judges a request: first where it comes from, then the token. Requests that change nothing pass, and get a token.
func (c *CSRF) check(ctx context.Context, x *gate.Exchange) decision.Verdict {
	if !writes(x) {
		if c.token != nil {
			c.token.issue(x)
		}
		return decision.Pass(c.rule)
	}
	proven, v := c.source(x)
	if !v.Passed() {
		return v
	}
	if !proven && c.lenient && !x.Header.Has("Cookie") {
		return v // a program: it has no cookie that another site could make it send
	}
	if c.token != nil {
		return c.token.check(ctx, x, c.rule)
	}
	if !proven {
		return decision.Abstain(decision.OriginUnproven, c.rule,
			decision.Fact{Name: "origin", Want: "a Sec-Fetch-Site, Origin or Referer field, as browsers send", Public: decision.ToAnyone})
	}
	return v
}

// source finds out where a request comes from, by the first of three fields that it has. proven says that there was one.
//
// RATIONALE: Sec-Fetch-Site comes first. Pages cannot set it (https://w3c.github.io/webappsec-fetch-metadata/), it is the
// browser's own comparison, and it does not depend on what proxies did to scheme and host.
func (c *CSRF) source(x *gate.Exchange) (proven bool, v decision.Verdict) {
	origin, origins := x.Header.Lookup("Origin")
	if origins > 1 {
		return true, c.wrong(x, "Origin", origin, "it came "+strconv.Itoa(origins)+" times")
	}
	site, sites := x.Header.Lookup("Sec-Fetch-Site")
	switch {
	case sites == 1 && (header.EqualFold(site, "same-origin") || header.EqualFold(site, "none")):
		return true, decision.Pass(c.rule)
	case origins == 1 && c.trusted.match(origin):
		return true, decision.Pass(c.rule)
	case sites > 0:
		if sites > 1 {
			site = "sent " + strconv.Itoa(sites) + " times"
		}
		return true, decision.Refuse(decision.CrossSite, c.rule,
			decision.Fact{Name: "site", Want: "same-origin", Got: site, Public: decision.ToAnyone},
			decision.Fact{Name: "origin", Want: of(x).String(), Got: origin, Public: decision.ToAnyone},
			decision.Fact{Name: "trusted", Want: c.trusted.text})
	case origins == 1:
		return true, c.compare(x, "Origin", origin)
	}
	referer, n := x.Header.Lookup("Referer")
	switch {
	case n == 0 || n == 1 && referer == "":
		return false, decision.Pass(c.rule)
	case n > 1:
		return true, c.wrong(x, "Referer", ofReferer(referer), "it came "+strconv.Itoa(n)+" times")
	case c.trusted.match(ofReferer(referer)):
		return true, decision.Pass(c.rule)
	}
	return true, c.compare(x, "Referer", ofReferer(referer))
}

// compare passes what comes from the API's own origin.
func (c *CSRF) compare(x *gate.Exchange, field, origin string) decision.Verdict {
	if t, ok := split(origin); ok && t.same(of(x)) {
		return decision.Pass(c.rule)
	}
	return c.wrong(x, field, origin, "")
}

// wrong refuses an origin that is neither the API's own nor trusted.
func (c *CSRF) wrong(x *gate.Exchange, field, origin, why string) decision.Verdict {
	own := of(x)
	facts := []decision.Fact{
		{Name: "source", Want: field, Public: decision.ToAnyone},
		{Name: "origin", Want: own.String(), Got: origin, Public: decision.ToAnyone},
		{Name: "trusted", Want: c.trusted.text},
	}
	if t, ok := split(origin); ok && t.sameHost(own) && t.scheme != own.scheme {
		facts = append(facts, schemeFacts(x, t)...)
	}
	if why != "" {
		facts = append(facts, decision.Fact{Name: "why", Want: why, Public: decision.ToAnyone},
			decision.Fact{Name: "fix", Want: "Find out who adds the second field: browsers send one"})
	}
	return decision.Refuse(decision.WrongOrigin, c.rule, facts...)
}
