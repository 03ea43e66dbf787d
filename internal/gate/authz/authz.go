// Package authz decides whether a proven caller may do what it asks: the scopes its credential is limited to, then the
// permission that the roles of its application grant (RBAC).
//
// Everything is worked out when a snapshot is compiled: inheritance, stars, and which roles hold the permission of each
// operation. A check is one look-up for each role of the caller and allocates nothing.
package authz

import (
	"context"
	"slices"
	"strings"

	"postern/internal/decision"
	"postern/internal/gate"
)

// Config says what an operation asks for. Without permission and scopes the gate passes everybody.
type Config struct {
	Roles      *Roles
	Permission string   // such as orders:create; empty: none is asked for
	Scopes     []string // all of them are needed
	Title      string   // what the caller does, such as "create orders", for sentences
	Rule       *decision.Rule
}

// New compiles the gate.
//
// A scope limits one credential; it grants nothing by itself. An API key on which no scopes are listed is not limited. Of
// every other kind of credential (tokens carry scopes by design) missing scopes are missing.
func New(c Config) gate.Gate {
	g := &rbac{permission: c.Permission, scopes: slices.Clone(c.Scopes), title: c.Title, rule: c.Rule, roles: c.Roles}
	if c.Permission != "" {
		g.held = c.Roles.holdersOf(c.Permission)
	}
	g.challenge = `Bearer realm="postern", error="insufficient_scope"`
	if list := strings.Join(g.scopes, " "); quotable(list) {
		g.challenge += `, scope="` + list + `"`
	}
	return g
}

type rbac struct {
	roles      *Roles
	permission string
	held       *holders
	scopes     []string
	title      string
	challenge  string // RFC 6750 section 3: what a credential would need
	rule       *decision.Rule
}

// Check implements gate.Gate. Scopes come first: they are what the caller can change alone.
func (g *rbac) Check(_ context.Context, x *gate.Exchange) decision.Verdict {
	if g.permission == "" && len(g.scopes) == 0 {
		return decision.Pass(g.rule)
	}
	if x.Principal.Application.ID == "" {
		return g.unknown(x)
	}
	if !g.scoped(x) {
		x.Challenge = g.challenge
		return decision.Refuse(decision.ScopeInsufficient, g.rule, g.facts(x)...)
	}
	if !g.permitted(x) {
		return decision.Refuse(decision.PermissionMissing, g.rule, g.facts(x)...)
	}
	return decision.Pass(g.rule)
}

func (g *rbac) scoped(x *gate.Exchange) bool {
	if unlimited(&x.Principal) {
		return true
	}
	for _, s := range g.scopes {
		if !slices.Contains(x.Principal.Scopes, s) {
			return false
		}
	}
	return true
}

func unlimited(p *gate.Principal) bool { return len(p.Scopes) == 0 && p.Method == "api_key" }

func (g *rbac) permitted(x *gate.Exchange) bool {
	if g.permission == "" {
		return true
	}
	for _, role := range x.Principal.Application.Roles {
		if _, ok := g.held.roles[role]; ok {
			return true
		}
	}
	for _, role := range x.Principal.Roles {
		if _, ok := g.held.roles[role]; ok {
			return true
		}
	}
	return false
}

func (g *rbac) unknown(x *gate.Exchange) decision.Verdict {
	facts := g.facts(x)
	facts = append(facts, decision.Fact{Name: "principal", Want: "who calls: the application of a credential that authn accepts", Public: decision.ToAnyone})
	if g.permission != "" {
		return decision.Abstain(decision.PermissionMissing, g.rule, facts...)
	}
	return decision.Abstain(decision.ScopeInsufficient, g.rule, facts...)
}

// facts holds everything the operation asks for that the caller lacks, scope and permission alike, so that both are put
// right at once. Role names of the caller's own application and of the holders are told to the caller, as the remedy
// needs them; names that lead nowhere are the operator's.
func (g *rbac) facts(x *gate.Exchange) []decision.Fact {
	p := &x.Principal
	facts := []decision.Fact{
		{Name: "application", Want: strings.Clone(p.Application.ID), Public: decision.ToProven},
		{Name: "tenant", Want: strings.Clone(p.Application.Tenant), Public: decision.ToProven},
		{Name: "action", Want: g.title, Public: decision.ToProven},
		{Name: "key", Want: strings.Clone(p.Key.ID), Public: decision.ToProven},
	}
	if !g.scoped(x) {
		var lacks []string
		for _, s := range g.scopes {
			if !slices.Contains(p.Scopes, s) {
				lacks = append(lacks, s)
			}
		}
		has := strings.Join(p.Scopes, " ")
		if has == "" {
			has = "none"
		}
		facts = append(facts, decision.Fact{Name: "scope", Want: strings.Join(lacks, " "), Got: has, Public: decision.ToProven})
	}
	if !g.permitted(x) {
		facts = append(facts,
			decision.Fact{Name: "permission", Want: g.permission, Public: decision.ToProven},
			decision.Fact{Name: "roles", Want: "one that grants " + g.permission, Got: strings.Join(slices.Concat(p.Application.Roles, p.Roles), ", "), Public: decision.ToProven},
			decision.Fact{Name: "holders", Want: g.held.hint, Public: decision.ToProven})
		var lost []string
		for _, role := range p.Application.Roles {
			if !g.roles.has(role) {
				lost = append(lost, role)
			}
		}
		if lost != nil {
			facts = append(facts, decision.Fact{Name: "unknown_roles", Want: "roles of the document", Got: strings.Join(lost, ", ")})
		}
	}
	return facts
}

// quotable reports whether a list of scopes may stand in a challenge: scope-tokens of RFC 6749 section 3.3 and spaces.
func quotable(list string) bool {
	for i := range len(list) {
		if c := list[i]; c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
			return false
		}
	}
	return list != ""
}
