package lab

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"postern/internal/decision"
	"postern/internal/directory"
	"postern/internal/policy"
)

// permissionProposals are candidates for the gate authz.
var permissionProposals = map[string]proposal{
	decision.PermissionMissing.Code: {find: (*question).grantPermission},
	decision.ScopeInsufficient.Code: {find: (*question).addScope, whyNot: "what a token is limited to is set by its issuer"},
	decision.NotOwner.Code:          {whyNot: "who owns a resource is known to the source of that attribute only"},
	decision.Forbidden.Code:         {whyNot: "a rule forbids it on purpose, and which part of it is meant is known to whoever wrote it"},
}

// Bounds of how many roles are proposed.
const (
	mostRoles = 3
	mostWiden = 3
)

// grantPermission proposes to grant a role that has the permission, narrowest first, and to widen roles that the
// application has.
func (q *question) grantPermission() (out []Change) {
	permission, app := q.want("permission"), q.principal().Application
	if permission == "" || app.ID == "" {
		return nil
	}
	doc := q.w.document()
	holders := q.a.snap.RolesWith(permission)
	for i, role := range holders[:min(mostRoles, len(holders))] {
		out = append(out, Change{
			Kind: "grant_role", Who: byOperator, Target: "application " + app.ID, To: role, Risk: RiskOne, size: 1 + i,
			Text: fmt.Sprintf("Grant the application %s the role %s.", app.ID, role),
			apply: func(w *world) error {
				return w.people.editApplication(app.ID, func(a *directory.Application) { a.Roles = append(slices.Clip(a.Roles), role) })
			},
		})
	}
	for i, role := range app.Roles[:min(mostWiden, len(app.Roles))] {
		if _, known := doc.Roles[role]; known && !slices.Contains(app.Roles[:i], role) {
			out = append(out, q.widen(role, permission))
		}
	}
	if len(holders) == 0 {
		out = append(out, newRole(app.ID, permission, doc.Roles))
	}
	return out
}

// widen adds a permission to a role, for everybody who has it or inherits from it.
func (q *question) widen(role, permission string) Change {
	n := q.holders(role)
	who := "every application that has it"
	switch {
	case n == 1:
		who = "1 application, which has it"
	case n > 1:
		who = fmt.Sprintf("the %d applications that have it", n)
	}
	c := Change{
		Kind: "widen_role", Who: byOperator, Target: "/roles/" + policy.EscapePointer(role) + "/permissions", To: permission,
		Risk: RiskSeveral, Reach: n, Text: fmt.Sprintf("Add the permission %s to the role %s, for %s.", permission, role, who),
	}
	if n == 1 {
		c.size = 2 // a role that only this application has; still more than a grant
		c.Risk = RiskOne
	}
	c.apply = func(w *world) error {
		return edit(w, c.id(), "/roles/"+policy.EscapePointer(role), func(r *policy.Role) error {
			r.Permissions = append(slices.Clip(r.Permissions), permission)
			return nil
		})
	}
	return c
}

// newRole makes a role for a permission that no role has.
func newRole(app, permission string, roles map[string]policy.Role) Change {
	name := strings.NewReplacer(":", "-").Replace(permission)
	for roles[name].Permissions != nil {
		name += "-only"
	}
	who := "the application " + app
	if app == newcomer {
		who = "that application"
	}
	c := Change{
		Kind: "create_role", Who: byOperator, Target: "application " + app, To: name + ": " + permission, Risk: RiskOne, size: 2,
		Text: fmt.Sprintf("No role grants %s: add a role such as %s that does, and grant it to %s.", permission, name, who),
	}
	c.apply = func(w *world) error {
		if err := edit(w, c.id(), "", func(d *policy.Document) error {
			d.Roles = maps.Clone(d.Roles)
			if d.Roles == nil {
				d.Roles = map[string]policy.Role{}
			}
			d.Roles[name] = policy.Role{Permissions: []string{permission}}
			return nil
		}); err != nil {
			return err
		}
		return w.people.editApplication(app, func(a *directory.Application) { a.Roles = append(slices.Clip(a.Roles), name) })
	}
	return c
}

// addScope proposes to widen the key, or another key that has the scopes.
func (q *question) addScope() []Change {
	k := q.principal().Key
	missing := strings.Fields(q.want("scope"))
	if len(missing) == 0 || q.principal().Application.ID == "" {
		return nil
	}
	if k.ID == "" { // a token or the like, which another has to make
		app, scopes := q.principal().Application.ID, slices.Concat(q.principal().Scopes, missing)
		return []Change{{
			Kind: "send_credential", slot: "credential", Who: byCaller, Target: "credential", To: "one of " + app + " with the scope " + strings.Join(missing, " "), Risk: RiskOne,
			public: decision.ToProven, Text: fmt.Sprintf("Ask the issuer for a credential of %s with the scope %s, and send that.", app, words(missing)),
			apply: func(w *world) error {
				w.ifs.caller = &caller{application: app, scopes: scopes, roles: q.principal().Roles, subject: q.principal().Subject, method: q.principal().Method}
				return nil
			},
		}}
	}
	return []Change{
		{
			Kind: "add_scope", Who: byOperator, Target: "key " + k.ID, From: strings.Join(k.Scopes, " "), To: strings.Join(missing, " "), Risk: RiskOne, size: len(missing),
			Text: fmt.Sprintf("Add the scope %s to the key %s.", words(missing), k.ID),
			apply: func(w *world) error {
				return w.people.editKey(q.principal().Key.Hash, func(k *directory.Key) { k.Scopes = slices.Concat(k.Scopes, missing) })
			},
		},
		q.keyWith(missing),
	}
}

// keyWith makes another key for the application, with more scopes than the one that was sent.
func (q *question) keyWith(missing []string) Change {
	k, field := q.principal().Key, q.field()
	fresh := directory.Key{ID: "k_new", Application: k.Application, Name: k.Name, Scopes: slices.Concat(k.Scopes, missing)}
	return Change{
		Kind: "create_key", slot: "credential", Who: byOwner, Target: "application " + k.Application, To: "a key with the scope " + strings.Join(missing, " "),
		Risk: RiskOne, size: 1 + len(missing), public: decision.ToProven,
		Text:  fmt.Sprintf("Make a new key for %s with the scopes of %s and %s, and send that.", k.Application, k.ID, words(missing)),
		apply: func(w *world) error { w.holdKey(field, fresh); return nil },
	}
}
