// Package origin is the gate between browsers and the API: which pages may call it and read its answers (CORS), and whether a
// request that a browser sends with its cookies was meant by the site's own pages (CSRF).
//
// Both rest on what pages cannot forge: Sec-Fetch-Site, Origin and Referer, compared with the scheme and host that the
// caller used. Requests without these fields are no browser's affair to CORS; CSRF, which protects callers known by a cookie,
// does not let them pass unproven.
//
// RATIONALE: CORS as browsers define it (https://fetch.spec.whatwg.org/#http-cors-protocol) only hides answers: the POST of
// a hostile page is carried out all the same. So by default this gate also refuses requests of other pages that may change
// something (policy.CORS.Enforce).
package origin

import (
	"context"

	"postern/internal/decision"
	"postern/internal/gate"
)

// Config is what an operation asks of browsers. At least one part is set.
type Config struct {
	CORS *CORS // nil: preflights and CORS fields are the upstream's affair
	CSRF *CSRF // nil: callers are not known by a cookie
}

// Gate judges browsers' requests, and marks answers for them. Its zero value refuses.
type Gate struct {
	cors *CORS
	csrf *CSRF
}

// New makes the gate. It answers preflights that the router led to it (x.Preflight), refuses with origin.cors_denied,
// origin.preflight_denied, origin.cross_site, origin.wrong_origin, origin.csrf_missing, origin.csrf_invalid and
// origin.csrf_expired, and does not know (origin.unproven) when a request says nothing of where it comes from.
func New(c Config) *Gate { return &Gate{cors: c.CORS, csrf: c.CSRF} }

// Check implements gate.Gate.
func (g *Gate) Check(ctx context.Context, x *gate.Exchange) decision.Verdict {
	var rule *decision.Rule
	switch {
	case g.cors == nil && g.csrf == nil:
		return decision.Verdict{}
	case x.Preflight != "":
		if g.cors == nil {
			return decision.Verdict{}
		}
		return g.cors.preflight(x)
	}
	if c := g.cors; c != nil {
		if v := c.actual(x); !v.Passed() {
			return v
		}
		rule = c.rule
	}
	if c := g.csrf; c != nil {
		if v := c.check(ctx, x); !v.Passed() {
			return v
		}
		rule = c.rule
	}
	return decision.Pass(rule)
}

// Mark implements gate.BrowserRules.
func (g *Gate) Mark(x *gate.Exchange) {
	if g.cors != nil {
		g.cors.mark(x)
	}
}

// writes reports whether a request may change something: its method is not safe (RFC 9110 section 9.2.1), or it opens a
// WebSocket, which browsers let any page do.
func writes(x *gate.Exchange) bool {
	switch x.Method {
	case "GET", "HEAD", "OPTIONS", "TRACE":
		return x.Upgrade != ""
	}
	return true
}
