package snapshot

import (
	"slices"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/gate/origin"
	"postern/internal/policy"
)

// originRules are the rules for browsers of an operation.
type originRules struct {
	cors         *policy.CORS
	csrf         *policy.CSRF
	corsAt       string
	csrfAt       string
	corsID, csID string
}

// mountOrigin gives the operation's own rules for browsers, or else those of its version. In shadow the gateway does not
// answer for CORS: preflights go where they went before, answers stay as the upstream made them, and the gate only reports.
func (b *builder) mountOrigin(o *operation) gate.Gate {
	v := o.v
	r := originRules{v.CORS, v.CSRF, v.pointer + "/cors", v.pointer + "/csrf", v.id + "#cors", v.id + "#csrf"}
	own := o.own != nil && (o.own.CORS != nil || o.own.CSRF != nil || o.own.Authn != nil)
	if o.own != nil && o.own.CORS != nil {
		r.cors, r.corsAt, r.corsID = o.own.CORS, o.pointer+"/cors", o.id+"#cors"
	}
	if o.own != nil && o.own.CSRF != nil {
		r.csrf, r.csrfAt, r.csID = o.own.CSRF, o.pointer+"/csrf", o.id+"#csrf"
	}
	if b.noCORS(r) {
		r.cors = nil
	}
	if b.noCSRF(r) {
		r.csrf = nil
	}
	if r.cors == nil && r.csrf == nil {
		return nil
	}
	g := v.origin
	if own || g == nil {
		g = b.originGate(o, r)
		if !own {
			v.origin = g
		}
	}
	shadow := slices.Contains(v.Shadow, "origin") || o.own != nil && slices.Contains(o.own.Shadow, "origin")
	if r.cors != nil && !shadow {
		o.op.Browser, o.cors = g, r.cors
	}
	return g
}

func (b *builder) originGate(o *operation, r originRules) *origin.Gate {
	var c origin.Config
	var problems policy.Problems
	if r.cors != nil {
		ask := []string{"X-API-Key"}
		if o.authn != nil && o.authn.APIKey != nil && o.authn.APIKey.Header != "" {
			ask[0] = o.authn.APIKey.Header
		}
		if h := origin.TokenHeader(r.csrf); h != "" {
			ask = append(ask, h)
		}
		c.CORS, problems = origin.CompileCORS(r.cors, &decision.Rule{ID: r.corsID, Pointer: r.corsAt}, ask...)
		b.problemsOnce(problems)
	}
	if r.csrf != nil {
		c.CSRF, problems = origin.CompileCSRF(r.csrf, &decision.Rule{ID: r.csID, Pointer: r.csrfAt}, b.deps.Secret)
		b.problemsOnce(problems)
	}
	return origin.New(c)
}

// problemsOnce takes over problems of rules that several operations are compiled with.
func (b *builder) problemsOnce(list policy.Problems) {
	for _, p := range list {
		if !slices.Contains(b.problems, p) {
			b.problems = append(b.problems, p)
		}
	}
}

// noCORS reports whether CORS is off, by silence or by a none that stands alone.
func (b *builder) noCORS(r originRules) bool {
	if r.cors == nil || !r.cors.None {
		return r.cors == nil
	}
	if c := r.cors; len(c.Origins)+len(c.OriginPatterns)+len(c.Methods)+len(c.Headers)+len(c.Expose) > 0 || c.Credentials {
		b.problem(r.corsAt, "remove none, or all the rest", "none turns CORS off, so nothing can be allowed beside it")
	}
	return true
}

func (b *builder) noCSRF(r originRules) bool {
	if r.csrf == nil || !r.csrf.None {
		return r.csrf == nil
	}
	if c := r.csrf; len(c.TrustedOrigins) > 0 || c.Token != nil || c.Unproven != "" {
		b.problem(r.csrfAt, "remove none, or all the rest", "none turns the protection off, so nothing can be asked for beside it")
	}
	return true
}
