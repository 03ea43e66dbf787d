package route

import (
	"fmt"
	"maps"
	"reflect"
	"slices"

	"postern/internal/policy"
)

// Compile builds the router of all operations. Mistakes are returned all at once, each at the operation it is in. Whoever
// calls has checked methods, hosts (ParseHostPattern) and base paths (ParseTemplate), whose mistakes belong elsewhere.
//
// Two operations that the same request would match equally well are a mistake: within one version always, between
// versions when both are live.
func Compile(entries []Entry) (*Router, policy.Problems) {
	r := new(Router)
	var problems policy.Problems
	for i := range entries {
		e := &entries[i]
		t, fault := ParseTemplate(e.Op.Template, e.Slashes)
		if fault != nil {
			problems = append(problems, fault.problem(e.Op.Pointer+"/path"))
			continue
		}
		into := &r.live
		switch e.State {
		case Draft:
			into = &r.draft
		case Retired:
			into = &r.retired
		}
		for _, root := range into.roots(e.Hosts) {
			other, p := add(root.insert(t), &route{Entry: *e, params: t.params})
			if other != nil && (e.State == Live || other.Op.API == e.Op.API && other.Op.Version == e.Op.Version) {
				problems = append(problems, p)
				break // the same clash on every host is one mistake
			}
		}
	}
	for _, h := range []*hosts{&r.live, &r.draft, &r.retired} {
		h.each((*node).sort)
	}
	r.live.names = slices.Sorted(maps.Keys(r.live.exact))
	return r, problems
}

// roots returns the trees of the hosts, made where there is none. Hosts were checked by ParseHostPattern; others are left out.
func (h *hosts) roots(patterns []string) (roots []*node) {
	if len(patterns) == 0 {
		if h.any == nil {
			h.any = new(node)
		}
		return []*node{h.any}
	}
	for _, p := range patterns {
		name, fault := ParseHostPattern(p)
		if fault != nil {
			continue
		}
		in := &h.exact
		if len(name) > 2 && name[:2] == "*." {
			in, name = &h.wild, name[2:]
		}
		if *in == nil {
			*in = make(map[string]*node)
		}
		if (*in)[name] == nil {
			(*in)[name] = new(node)
		}
		if n := (*in)[name]; !slices.Contains(roots, n) {
			roots = append(roots, n)
		}
	}
	return roots
}

// each calls f for every tree.
func (h *hosts) each(f func(*node)) {
	for _, n := range h.exact {
		f(n)
	}
	for _, n := range h.wild {
		f(n)
	}
	if h.any != nil {
		f(h.any)
	}
}

// sort brings the names of a tree into an order, so that hints are the same every time.
func (n *node) sort() {
	slices.Sort(n.names)
	for _, c := range n.literals {
		c.sort()
	}
	if n.param != nil {
		n.param.sort()
	}
}

// add puts a route on a leaf, behind those with a header condition if it has none, or returns the one it clashes with.
func add(l *leaf, r *route) (*route, policy.Problem) {
	if l.template == "" {
		l.template = r.Op.Template
	}
	i := slices.IndexFunc(l.methods, func(m method) bool { return m.name == r.Op.Method })
	if i < 0 {
		l.methods = append(l.methods, method{name: r.Op.Method, routes: []*route{r}})
		return nil, policy.Problem{}
	}
	m := &l.methods[i]
	for _, other := range m.routes {
		if p, bad := clash(r, other); bad {
			return other, p
		}
	}
	at := len(m.routes)
	if r.Header != nil && at > 0 && m.routes[at-1].Header == nil {
		at--
	}
	m.routes = slices.Insert(m.routes, at, r)
	return nil, policy.Problem{}
}

// clash says whether one request could match both routes.
func clash(r, other *route) (policy.Problem, bool) {
	what := fmt.Sprintf("%s %s", r.Op.Method, r.Op.Template)
	switch {
	case r.Header == nil && other.Header == nil:
		return policy.Problem{
			Pointer: r.Op.Pointer,
			Message: fmt.Sprintf("%s is already the operation at %s", what, other.Op.Pointer),
			Remedy:  "change the host, base path, path or method of one of them, or tell the versions apart with by_header",
		}, true
	case r.Header == nil || other.Header == nil:
		return policy.Problem{}, false
	}
	field, value := sameHeader(r.Header, other.Header)
	switch {
	case value:
		return policy.Problem{
			Pointer: r.Op.Pointer,
			Message: fmt.Sprintf("%s with %s: %s is already the operation at %s", what, r.Header.Name, r.Header.Value, other.Op.Pointer),
			Remedy:  "give each version its own value in by_header",
		}, true
	case !field:
		return policy.Problem{
			Pointer: r.Op.Pointer,
			Message: fmt.Sprintf("%s is selected by the field %s, and the operation at %s by %s: a request with both would match both",
				what, r.Header.Name, other.Op.Pointer, other.Header.Name),
			Remedy: "use the same field name in by_header of all versions on one path",
		}, true
	case !reflect.DeepEqual(r.CORS, other.CORS):
		return policy.Problem{
			Pointer: r.Op.Pointer,
			Message: fmt.Sprintf("%s is selected by the value of %s, like the operation at %s, and their cors differs: a preflight does not bring the value, so it cannot tell them apart",
				what, r.Header.Name, other.Op.Pointer),
			Remedy: "give both the same cors",
		}, true
	}
	return policy.Problem{}, false
}
