package authz

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go/types"

	"postern/internal/gate"
	"postern/internal/pdp"
	"postern/internal/policy"
)

// The entity types that policies speak of. docs/authorization.md describes them.
const (
	typeApplication types.EntityType = "Application"
	typeUser        types.EntityType = "User"
	typeAnonymous   types.EntityType = "Anonymous"
	typeRole        types.EntityType = "Role"
	typeTenant      types.EntityType = "Tenant"
	typeAPI         types.EntityType = "API"
	typeVersion     types.EntityType = "Version"
	typeOperation   types.EntityType = "Operation"
	typeAction      types.EntityType = "Action"
)

// Subject is an operation as policies see it.
type Subject struct {
	Tenant, API, Version, Name string
	Permission                 string
	Method, Template           string
	Params                     []string                    // of the path
	Body                       map[string]policy.BodyField // that policies may read
	Pointer                    string                      // of the operation in the document
}

// ID is the name of the operation in policies: "orders/v1/create-order".
func (s *Subject) ID() string { return s.API + "/" + s.Version + "/" + s.Name }

// action is what callers do: the permission, so that policies and roles speak of the same thing; an operation that asks for
// none is an action of its own.
func (s *Subject) action() types.EntityUID {
	if s.Permission != "" {
		return types.NewEntityUID(typeAction, types.String(s.Permission))
	}
	return types.NewEntityUID(typeAction, types.String(s.ID()))
}

// Model is the entities of a document: what policies can name, and what it is in. It never changes.
type Model struct {
	attributes []string // of principals, by their credentials; sorted
	actions    map[types.EntityUID]*action
	entities   types.EntityMap
	above      map[string][]types.EntityUID // of each role: itself and what it inherits from
}

type action struct {
	object   pdp.Object
	subjects []*Subject
	context  string // its type, as the schema writes it without query and headers
}

// NewModel compiles the model. attributes are the names of what credentials vouch for. The error is a policy.Problems.
func NewModel(roles map[string]policy.Role, attributes []string, subjects []Subject) (*Model, error) {
	m := &Model{actions: map[types.EntityUID]*action{}, entities: types.EntityMap{}, above: map[string][]types.EntityUID{}}
	m.attributes = slices.Clone(attributes)
	slices.Sort(m.attributes)
	m.attributes = slices.Compact(m.attributes)
	m.addRoles(roles)
	var problems policy.Problems
	for i := range subjects {
		m.addSubject(&subjects[i])
	}
	for _, id := range slices.SortedFunc(maps.Keys(m.actions), compareUIDs) {
		problems = append(problems, m.actions[id].describe()...)
	}
	return m, problems.Err()
}

func compareUIDs(a, b types.EntityUID) int { return strings.Compare(string(a.ID), string(b.ID)) }

func role(name string) types.EntityUID { return types.NewEntityUID(typeRole, types.String(name)) }

func (m *Model) addRoles(roles map[string]policy.Role) {
	for name, r := range roles {
		parents := make([]types.EntityUID, len(r.Inherits))
		for i, p := range r.Inherits {
			parents[i] = role(p)
		}
		m.entities[role(name)] = types.Entity{UID: role(name), Parents: types.NewEntityUIDSet(parents...)}
	}
	for name := range roles {
		seen := map[string]bool{}
		todo := []string{name}
		for len(todo) > 0 {
			next := todo[len(todo)-1]
			todo = todo[:len(todo)-1]
			if seen[next] {
				continue
			}
			seen[next] = true
			todo = append(todo, roles[next].Inherits...)
		}
		for _, n := range slices.Sorted(maps.Keys(seen)) {
			m.above[name] = append(m.above[name], role(n))
		}
	}
}

func (m *Model) addSubject(s *Subject) {
	api := types.NewEntityUID(typeAPI, types.String(s.API))
	version := types.NewEntityUID(typeVersion, types.String(s.API+"/"+s.Version))
	operation := types.NewEntityUID(typeOperation, types.String(s.ID()))
	var owners []types.EntityUID
	if s.Tenant != "" {
		owners = []types.EntityUID{types.NewEntityUID(typeTenant, types.String(s.Tenant))}
	}
	m.entities[api] = types.Entity{UID: api, Parents: types.NewEntityUIDSet(owners...)}
	m.entities[version] = types.Entity{UID: version, Parents: types.NewEntityUIDSet(api)}
	m.entities[operation] = types.Entity{UID: operation, Parents: types.NewEntityUIDSet(version), Attributes: types.NewRecord(types.RecordMap{
		"api": types.String(s.API), "version": types.String(s.Version), "name": types.String(s.Name), "tenant": types.String(s.Tenant),
		"template": types.String(s.Template)})}
	id := s.action()
	a := m.actions[id]
	if a == nil {
		a = &action{object: pdp.Object{UID: id, In: groupsOf(s.Permission)}}
		m.actions[id] = a
		m.entities[id] = types.Entity{UID: id, Parents: types.NewEntityUIDSet(a.object.In...)}
	}
	a.subjects = append(a.subjects, s)
}

// groupsOf returns the groups of a permission, as roles write them: orders:items:read is in orders:items:*, orders:* and *.
func groupsOf(permission string) []types.EntityUID {
	groups := []types.EntityUID{types.NewEntityUID(typeAction, "*")}
	for i := range len(permission) {
		if permission[i] == ':' {
			groups = append(groups, types.NewEntityUID(typeAction, types.String(permission[:i]+":*")))
		}
	}
	return groups
}

// resource returns an operation and what it is in.
func (m *Model) resource(s *Subject) pdp.Object {
	o := pdp.Object{UID: types.NewEntityUID(typeOperation, types.String(s.ID())), In: []types.EntityUID{
		types.NewEntityUID(typeVersion, types.String(s.API+"/"+s.Version)), types.NewEntityUID(typeAPI, types.String(s.API))}}
	if s.Tenant != "" {
		o.In = append(o.In, types.NewEntityUID(typeTenant, types.String(s.Tenant)))
	}
	return o
}

// describe writes the type of the parts of the context that differ between operations. What only some operations of an action
// have is optional, so that policies must ask for it with has.
func (a *action) describe() (problems policy.Problems) {
	params := map[string]int{}
	body := map[string]string{}
	for _, s := range a.subjects {
		for _, p := range s.Params {
			params[p]++
		}
		for _, name := range slices.Sorted(maps.Keys(s.Body)) {
			typ, ok := bodyTypes[s.Body[name].Type]
			if !ok {
				continue // reported where it is written
			}
			if was := body[name]; was != "" && was != typ {
				problems = append(problems, policy.Problem{Pointer: s.Pointer, Remedy: "give it one type, or another name",
					Message: fmt.Sprintf("context.body.%s has two types in operations that ask for %s", name, s.Permission)})
			}
			body[name] = typ
		}
	}
	var b strings.Builder
	b.WriteString("params: {")
	for _, name := range slices.Sorted(maps.Keys(params)) {
		optional := ""
		if params[name] < len(a.subjects) {
			optional = "?"
		}
		fmt.Fprintf(&b, "%s%s: String, ", quote(name), optional)
	}
	b.WriteString("}, body: {")
	for _, name := range slices.Sorted(maps.Keys(body)) {
		fmt.Fprintf(&b, "%s?: %s, ", quote(name), body[name])
	}
	b.WriteString("}")
	a.context = strings.ReplaceAll(b.String(), ", }", "}")
	return problems
}

var bodyTypes = map[string]string{"": "String", "string": "String", "long": "Long", "bool": "Bool", "strings": "Set<String>"}

func quote(s string) string { return string(types.String(s).MarshalCedar()) }

// within appends what a caller is in: its roles with what they inherit, its application and its tenant, each once.
func (m *Model) within(p *gate.Principal, into []types.EntityUID) []types.EntityUID {
	add := func(e types.EntityUID) {
		if !slices.Contains(into, e) {
			into = append(into, e)
		}
	}
	for _, list := range [2][]string{p.Application.Roles, p.Roles} {
		for _, name := range list {
			for _, e := range m.above[name] {
				add(e)
			}
		}
	}
	if p.Application.ID != "" {
		add(types.NewEntityUID(typeApplication, types.String(p.Application.ID)))
	}
	if p.Application.Tenant != "" {
		add(types.NewEntityUID(typeTenant, types.String(p.Application.Tenant)))
	}
	return into
}

// principal returns who calls. A user's id begins with its issuer, as equal names at two issuers are two people.
func principal(p *gate.Principal) types.EntityUID {
	switch {
	case p.Application.ID == "":
		return types.NewEntityUID(typeAnonymous, "anyone")
	case p.Subject == "":
		return types.NewEntityUID(typeApplication, types.String(p.Application.ID))
	case p.Issuer == "":
		return types.NewEntityUID(typeUser, types.String(p.Subject))
	}
	return types.NewEntityUID(typeUser, types.String(p.Issuer+"#"+p.Subject))
}
