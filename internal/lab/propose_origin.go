package lab

import (
	"fmt"
	"slices"

	"postern/internal/decision"
	"postern/internal/policy"
)

// originProposals are candidates for the gate origin.
var originProposals = map[string]proposal{
	decision.CORSDenied.Code: {find: func(q *question) []Change {
		_, origin := q.fact("origin")
		at := q.pointer()
		if origin == "" || origin == "null" || at == "" {
			return nil
		}
		c := Change{Kind: "allow_origin", Who: byOperator, Target: at + "/origins", To: origin, Risk: RiskSeveral,
			Text: fmt.Sprintf("Add %s to `cors.origins`: every page of it may call then.", origin)}
		c.apply = func(w *world) error {
			return edit(w, c.id(), at, func(r *policy.CORS) error { r.Origins = append(slices.Clip(r.Origins), origin); return nil })
		}
		return []Change{c}
	}, whyNot: browserWhyNot},
	decision.CrossSite.Code:   {find: (*question).trustOrigin, whyNot: browserWhyNot},
	decision.WrongOrigin.Code: {find: (*question).trustOrigin, whyNot: browserWhyNot},
	decision.OriginUnproven.Code: {find: func(q *question) []Change {
		x := q.a.x
		own, at := x.Scheme+"://"+x.Host, q.pointer()
		c := Change{Kind: "pass_unproven", Who: byOperator, Target: at + "/unproven", From: "refuse", To: "pass", Risk: RiskSeveral,
			Text: "If programs call this route, set `csrf.unproven: pass`: requests without a cookie that say nothing of where they come from pass then."}
		c.apply = func(w *world) error {
			return edit(w, c.id(), at, func(r *policy.CSRF) error { r.Unproven = "pass"; return nil })
		}
		return []Change{{
			Kind: "set_header", Who: byCaller, Target: "header Origin", To: own, Risk: RiskNone, public: decision.ToAnyone,
			Text:  "If your program is the site's own, send the field Origin: " + own + ", as a browser would.",
			apply: func(w *world) error { w.setHeader("Origin", own); return nil },
		}, c}
	}},
	decision.CSRFMissing.Code:     {whyNot: csrfWhyNot},
	decision.CSRFInvalid.Code:     {whyNot: csrfWhyNot},
	decision.CSRFExpired.Code:     {whyNot: csrfWhyNot},
	decision.PreflightDenied.Code: {whyNot: "what pages may send is listed on purpose; the facts name the list and what it lacks"},
}

const (
	browserWhyNot = "a browser sets these fields for a page, so that changing them here would prove nothing about the page"
	csrfWhyNot    = "the token belongs to a session, and a good one is known to its page only"
)

// trustOrigin proposes to trust the origin that a request says it comes from.
func (q *question) trustOrigin() []Change {
	_, origin := q.fact("origin")
	at := q.pointer()
	if origin == "" || origin == "null" || at == "" {
		return nil
	}
	c := Change{Kind: "trust_origin", Who: byOperator, Target: at + "/trusted_origins", To: origin, Risk: RiskSeveral,
		Text: fmt.Sprintf("If %s is yours, add it to `csrf.trusted_origins`: its pages may act for the signed-in user then.", origin)}
	c.apply = func(w *world) error {
		return edit(w, c.id(), at, func(r *policy.CSRF) error {
			r.TrustedOrigins = append(slices.Clip(r.TrustedOrigins), origin)
			return nil
		})
	}
	return []Change{c}
}
