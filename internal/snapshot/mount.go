package snapshot

import (
	"errors"
	"slices"
	"strconv"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/gate/account"
	"postern/internal/gate/authz"
	"postern/internal/gate/guardrail"
	"postern/internal/gate/ip"
	"postern/internal/gate/limit"
	"postern/internal/gate/subscription"
	"postern/internal/gate/upstream"
	"postern/internal/gate/waf"
	"postern/internal/policy"
)

// The functions here make the gate of each row for one operation. Operations of a version share what they do not change.

// mountIP gives the lists of the version and those of the operation: both must let the address pass, so that an operation
// can tighten what its version says, not loosen it.
func (b *builder) mountIP(o *operation) gate.Gate {
	v := o.v
	if o.own == nil || o.own.IP == nil {
		if v.ip == nil && len(v.rules) > 0 {
			v.ip = ip.New(v.rules...)
		}
		return v.ip
	}
	return ip.New(append(slices.Clone(v.rules), b.ipRules(o.id, o.pointer, o.own.IP))...)
}

func (b *builder) ipRules(id, pointer string, r *policy.IPRules) ip.Rules {
	return ip.Rules{
		Allow: b.prefixes(pointer+"/ip/allow", r.Allow),
		Deny:  b.prefixes(pointer+"/ip/deny", r.Deny),
		Rule:  &decision.Rule{ID: id + "#ip", Pointer: pointer + "/ip"},
	}
}

func (b *builder) mountFloodGuard(*operation) gate.Gate { return b.flood }

func (b *builder) mountAuthn(o *operation) gate.Gate {
	if o.open {
		return nil
	}
	own := o.own != nil && o.own.Authn != nil
	if !own && o.v.authn != nil {
		return o.v.authn
	}
	rule := &decision.Rule{ID: o.v.id + "#authn", Pointer: o.authnPointer}
	if own {
		rule.ID = o.id + "#authn"
	} else if o.authn == nil {
		rule.Pointer = o.v.pointer // nothing is written: the default applies
	}
	g := b.compileAuthn(o.authn, rule)
	if !own {
		o.v.authn = g
	}
	return g
}

func (b *builder) mountAccount(o *operation) gate.Gate {
	if o.open {
		return nil
	}
	return account.New()
}

func (b *builder) mountSubscription(o *operation) gate.Gate {
	v := o.v
	if o.open || v.Subscription == "none" {
		return nil
	}
	if v.subscribe == nil {
		rule := &decision.Rule{ID: v.id + "#subscription", Pointer: v.pointer}
		if v.Subscription != "" {
			rule.Pointer += "/subscription"
		}
		v.subscribe = subscription.New(subscription.Config{API: v.api.Name, Version: v.Version.Version, Plans: b.plans, Rule: rule})
	}
	return v.subscribe
}

func (b *builder) mountAuthz(o *operation) gate.Gate {
	at := o.pointer
	if o.own == nil {
		at += "/llm"
	}
	if o.permission != "" {
		if fault := authz.PermissionFault(o.permission); fault != "" {
			b.problem(at+"/permission", "write words joined by colons, such as orders:create", "the permission %q %s", o.permission, fault)
			return nil
		}
	}
	for i, s := range o.scopes {
		if !scopeToken(s) {
			b.problem(at+"/scopes/"+strconv.Itoa(i), `use visible characters other than " and \`, "%q is no scope (RFC 6749 section 3.3)", s)
		}
	}
	if b.rules == nil && (o.open || o.permission == "" && len(o.scopes) == 0) {
		return nil
	}
	rule := &decision.Rule{ID: o.id + "#permission", Pointer: at + "/permission"}
	if o.permission == "" {
		rule = &decision.Rule{ID: o.id + "#scopes", Pointer: at + "/scopes"}
	}
	if o.permission == "" && len(o.scopes) == 0 {
		rule = &decision.Rule{ID: o.id + "#authz", Pointer: o.pointer}
	}
	c := authz.Config{Roles: b.roles, Permission: o.permission, Scopes: o.scopes, Title: o.op.Title, Rule: rule}
	if b.rules != nil {
		return b.ruled(o, c)
	}
	return authz.New(c)
}

func scopeToken(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= 0x20 || c >= 0x7f || c == '"' || c == '\\' {
			return false
		}
	}
	return s != ""
}

func (b *builder) mountLimit(o *operation) gate.Gate {
	plan := !o.open && o.v.Subscription != "none" && len(b.plans) > 0
	if len(o.limits) == 0 && !plan {
		return nil
	}
	return limit.New(limit.Config{Limits: o.limits, UsePlan: plan})
}

// mountWAF shares the version's firewall between the operations that change nothing of it.
func (b *builder) mountWAF(o *operation) gate.Gate {
	v := o.v
	own := o.own != nil && o.own.WAF != nil
	if v.WAF == nil && !own {
		return nil
	}
	if !own && v.walled {
		return v.waf
	}
	var sources []waf.Source
	if v.WAF != nil {
		sources = append(sources, waf.Source{ID: v.id, Pointer: v.pointer + "/waf", WAF: v.WAF})
	}
	if own {
		sources = append(sources, waf.Source{ID: o.id, Pointer: o.pointer + "/waf", WAF: o.own.WAF})
	}
	g, err := waf.Compile(v.api.Kind == "llm", sources...)
	if problems, ok := errors.AsType[policy.Problems](err); ok {
		for _, p := range problems {
			if !slices.Contains(b.problems, p) { // what the version says wrongly, it says to all its operations
				b.problems = append(b.problems, p)
			}
		}
	}
	if !own {
		v.waf, v.walled = g, true
	}
	return g
}

func (b *builder) mountGuardrail(o *operation) gate.Gate {
	rule := &decision.Rule{ID: o.id + "#models", Pointer: o.v.pointer + "/llm"}
	switch o.op.LLM {
	case "chat":
		return guardrail.New(guardrail.Config{
			Models: b.models, Allowed: o.op.Models, RefuseUnpriced: o.v.LLM.Unpriced != "flag", Rule: rule})
	case "models":
		return guardrail.NewModels(o.op.Models, rule)
	case "model":
		return guardrail.NewModel(guardrail.Config{Models: b.models, Allowed: o.op.Models, Rule: rule})
	}
	return nil
}

func (b *builder) mountUpstream(o *operation) gate.Gate {
	if o.op.LLM == "models" || o.op.LLM == "model" {
		return nil // answered by the gateway
	}
	rule := &decision.Rule{ID: o.id + "#upstream", Pointer: o.pointer}
	switch {
	case o.own == nil:
		rule.Pointer = o.v.pointer + "/llm"
	case o.own.Upstream != "":
		rule.Pointer = o.pointer + "/upstream"
	default:
		rule.Pointer = o.v.pointer + "/upstream"
	}
	return upstream.New(rule)
}
