package authz

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go/types"

	"postern/internal/header"
	"postern/internal/pdp"
	"postern/internal/policy"
)

// Check says what is wrong with policies that apply to some operations: names that do not exist, attributes that are not
// there, types that do not fit. Every problem has the position of its policy.
func (m *Model) Check(set *pdp.Set, subjects []Subject) (problems policy.Problems) {
	c := checker{m: m, schemas: map[string]*pdp.Schema{}}
	for _, p := range set.Policies() {
		c.reads.Add(p.Mentions())
	}
	seen := map[*action]bool{}
	for i := range subjects {
		if a := m.actions[subjects[i].action()]; a != nil && !seen[a] {
			seen[a] = true
			c.actions = append(c.actions, a)
		}
	}
	slices.SortFunc(c.actions, func(a, b *action) int { return compareUIDs(a.object.UID, b.object.UID) })
	for _, p := range set.Policies() {
		for _, fault := range c.check(p) {
			problems = append(problems, policy.Problem{Pointer: p.Text.Pointer,
				Message: fmt.Sprintf("the policy %s at %s: %s", p.ID, p.At(), fault.message), Remedy: fault.remedy})
		}
	}
	return problems
}

type checker struct {
	m       *Model
	actions []*action // of the operations the set applies to
	reads   pdp.Mentions
	schemas map[string]*pdp.Schema
}

type fault struct{ message, remedy string }

func (c *checker) check(p *pdp.Policy) []fault {
	if faults := c.names(p); faults != nil {
		return faults
	}
	if faults := c.inputs(p); faults != nil {
		return faults
	}
	for _, name := range p.Mentions().Below("context.headers") {
		if secretField(name) {
			return []fault{{"the field " + name + " carries credentials", "compare what they prove: attributes of principal"}}
		}
	}
	schema, err := c.schema(p)
	if err != nil {
		return []fault{{err.Error(), "report this: the schema is made by Postern"}}
	}
	var faults []fault
	for _, line := range schema.Check(p) {
		faults = append(faults, fault{line, "docs/authorization.md lists what policies can read"})
	}
	return faults
}

// contextNames are the parts of the context.
var contextNames = []string{"now", "time", "address", "method", "path", "host", "scheme", "params", "query", "headers", "body"}

// inputs looks for parts of the context that are nowhere: to Cedar, has of something that cannot be there is plainly false, and what
// depends on it never applies.
func (c *checker) inputs(p *pdp.Policy) (faults []fault) {
	look := func(at string, names []string, remedy string) {
		for _, name := range p.Mentions().Below(at) {
			if slices.Contains(names, name) {
				continue
			}
			f := fault{"there is no " + at + "." + name, remedy}
			if near := policy.Suggest(name, names); near != "" {
				f.remedy = "did you mean " + near + "?"
			}
			faults = append(faults, f)
		}
	}
	look("context", contextNames, "docs/authorization.md lists what policies can read")
	var params, body []string
	if len(p.Mentions().Below("context.params")) > 0 || len(p.Mentions().Below("context.body")) > 0 {
		for _, a := range c.actions {
			if !p.AdmitsAction(a.object) {
				continue
			}
			for _, s := range a.subjects {
				params = append(params, s.Params...)
				body = slices.AppendSeq(body, maps.Keys(s.Body))
			}
		}
	}
	look("context.params", params, "name a parameter of the path of an operation that the policy is about")
	look("context.body", body, "declare it under authz/body, such as {pointer: /amount, type: long}")
	return faults
}

// secretField reports whether a header field is one that callers send secrets in.
func secretField(name string) bool {
	for _, s := range []string{"Authorization", "Proxy-Authorization", "Cookie", "X-API-Key"} {
		if header.EqualFold(name, s) {
			return true
		}
	}
	return false
}

// names looks for entities that cannot exist: Cedar takes any name for one.
func (c *checker) names(p *pdp.Policy) (faults []fault) {
	known := func(e types.EntityUID) bool { _, ok := c.m.entities[e]; return ok }
	for _, e := range p.Names() {
		switch e.Type {
		case typeAction:
			if known(e) || c.group(e) {
				continue
			}
		case typeRole, typeAPI, typeVersion, typeOperation:
			if known(e) {
				continue
			}
		default:
			continue // of the directory, or not a type at all, which the schema says
		}
		var names []string
		for o := range c.m.entities {
			if o.Type == e.Type {
				names = append(names, string(o.ID))
			}
		}
		slices.Sort(names)
		remedy := "write one that the document has"
		if near := policy.Suggest(string(e.ID), names); near != "" {
			remedy = "did you mean " + near + "?"
		}
		faults = append(faults, fault{"there is no " + e.String(), remedy})
	}
	return faults
}

// group reports whether an action is a group that some action is in.
func (c *checker) group(e types.EntityUID) bool {
	for _, a := range c.m.actions {
		if slices.Contains(a.object.In, e) {
			return true
		}
	}
	return false
}

// schema makes the schema for a policy: of the actions that its scope admits, one for each form of the context. Checking a
// policy against ten thousand operations that look the same would say the same ten thousand times.
func (c *checker) schema(p *pdp.Policy) (*pdp.Schema, error) {
	var chosen []*action
	seen := map[string]bool{}
	for _, a := range c.actions {
		if !p.AdmitsAction(a.object) || seen[a.context] {
			continue
		}
		seen[a.context] = true
		chosen = append(chosen, a)
	}
	var key strings.Builder
	declared := map[types.EntityUID]bool{}
	for _, a := range chosen {
		key.WriteString(a.object.UID.String() + ";")
	}
	var others []types.EntityUID // named, and nothing but a name here
	for _, e := range p.Names() {
		if e.Type == typeAction {
			others = append(others, e)
		}
	}
	for _, e := range others {
		key.WriteString(e.String() + ",")
	}
	if s := c.schemas[key.String()]; s != nil {
		return s, nil
	}
	var b strings.Builder
	b.WriteString(c.entityTypes())
	queried, fields := c.reads.Below("context.query"), c.reads.Below("context.headers")
	for _, a := range chosen {
		declared[a.object.UID] = true
		fmt.Fprintf(&b, "action %s in [", quote(string(a.object.UID.ID)))
		for i, g := range a.object.In {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(quote(string(g.ID)))
			others = append(others, g)
		}
		fmt.Fprintf(&b, "] appliesTo {principal: [Application, User, Anonymous], resource: [Operation], context: {%s, %s, query: %s, headers: %s}};\n",
			contextType, a.context, setsOf(queried), setsOf(fields))
	}
	for _, e := range others {
		if !declared[e] {
			declared[e] = true
			// It applies to something, as a policy about it alone would otherwise be called one without an action.
			fmt.Fprintf(&b, "action %s;\n", quote(string(e.ID)))
		}
	}
	s, err := pdp.ParseSchema(b.String())
	if err != nil {
		return nil, err
	}
	c.schemas[key.String()] = s
	return s, nil
}

const contextType = `now: datetime, time: {hour: Long, minute: Long, weekday: String, date: String}, address: ipaddr,
	method: String, path: String, host: String, scheme: String`

func (c *checker) entityTypes() string {
	attributes := fmt.Sprintf(`{application: String, tenant: String, user: String, issuer: String, method: String,
	roles: Set<String>, scopes: Set<String>, attributes: %s}`, setsOf(c.m.attributes))
	return fmt.Sprintf(`entity Tenant;
entity Role in [Role];
entity Application in [Role, Tenant] %[1]s;
entity User in [Role, Tenant, Application] %[1]s;
entity Anonymous in [Role, Tenant, Application] %[1]s;
entity API in [Tenant];
entity Version in [API, Tenant];
entity Operation in [Version, API, Tenant] {api: String, version: String, name: String, tenant: String, template: String};
`, attributes)
}

// setsOf is the type of a record of sets of strings: what a request may bring several times, or not at all.
func setsOf(names []string) string {
	var fields []string
	for _, n := range slices.Sorted(slices.Values(names)) {
		fields = append(fields, quote(n)+": Set<String>")
	}
	return "{" + strings.Join(fields, ", ") + "}"
}

// BodyFault says what is wrong with the fields of a body that policies may read, by the name of the field.
func BodyFault(fields map[string]policy.BodyField) (name, fault string) {
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		f := fields[name]
		switch {
		case name == "" || strings.ContainsAny(name, ".\"\\"):
			return name, "is no name: use letters, digits and _"
		case bodyTypes[f.Type] == "":
			return name, fmt.Sprintf("has the type %q; possible are string, long, bool and strings", f.Type)
		case pointerFault(f.Pointer) != "":
			return name, "has the pointer " + pointerFault(f.Pointer)
		}
	}
	return "", ""
}
