package authz

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"postern/internal/policy"
)

// Roles is the roles of a document with inheritance worked out. It may be used by several goroutines.
type Roles struct {
	granted map[string][]string // role → every permission it has, its own and inherited, sorted, each once

	mu      sync.Mutex
	holders map[string]*holders // by permission, made when a gate asks for it: operations share permissions
}

// holders is who holds one permission: a check is one look-up for each role of the caller.
type holders struct {
	roles map[string]struct{}
	hint  string // for refusals: " (order-writer has it)", or ""
}

// hinted is how many roles a refusal names.
const hinted = 3

// CompileRoles works out what every role grants. The error is a policy.Problems with a pointer for each mistake: a
// permission that is none, a role that inherits from one that does not exist, a cycle of inheritance.
//
// A permission is words joined by colons, such as orders:create. In a role, a last word * stands for every permission
// below what precedes it (orders:* grants orders:create and orders:items:read, not orders), and * alone for all. A star
// stands nowhere else.
func CompileRoles(roles map[string]policy.Role) (*Roles, error) {
	var problems policy.Problems
	r := &Roles{granted: make(map[string][]string, len(roles)), holders: map[string]*holders{}}
	names := slices.Sorted(maps.Keys(roles))
	for _, name := range names {
		at := "/roles/" + policy.EscapePointer(name)
		if name == "" {
			problems = append(problems, policy.Problem{Pointer: at, Message: "a role has no name", Remedy: "name it, such as order-writer"})
		}
		for i, p := range roles[name].Permissions {
			if fault := grantFault(p); fault != "" {
				problems = append(problems, policy.Problem{
					Pointer: at + "/permissions/" + strconv.Itoa(i), Message: "permission " + strconv.Quote(p) + " " + fault,
					Remedy: "write words joined by colons, such as orders:create, or end it with a star, as in orders:*"})
			}
		}
		for i, parent := range roles[name].Inherits {
			if _, ok := roles[parent]; !ok {
				problems = append(problems, policy.Problem{
					Pointer: at + "/inherits/" + strconv.Itoa(i), Message: "role " + strconv.Quote(parent) + " does not exist",
					Remedy: "inherit from a role under /roles, or add one of that name"})
			}
		}
	}
	c := collector{roles: roles, state: map[string]visit{}, granted: r.granted, depth: map[string]int{}}
	for _, name := range names {
		c.collect(name, nil)
	}
	problems = append(problems, c.problems...)
	if err := problems.Err(); err != nil {
		return nil, err
	}
	return r, nil
}

type visit uint8

const (
	open visit = iota + 1
	closed
)

// maxDepth bounds inheritance, so that a document cannot make the lists of granted permissions grow with its square.
const maxDepth = 50

// collector walks inheritance depth first. Each role is finished once, so that a diamond of a thousand roles costs what a
// list of them does.
type collector struct {
	roles    map[string]policy.Role
	state    map[string]visit
	granted  map[string][]string
	depth    map[string]int
	problems policy.Problems
}

func (c *collector) collect(name string, path []string) {
	path = append(path, name)
	c.state[name] = open
	role := c.roles[name]
	all := slices.Clone(role.Permissions)
	for i, parent := range role.Inherits {
		if _, ok := c.roles[parent]; !ok {
			continue
		}
		if c.state[parent] == open {
			cycle := append(slices.Clone(path[slices.Index(path, parent):]), parent)
			c.problems = append(c.problems, policy.Problem{
				Pointer: "/roles/" + policy.EscapePointer(name) + "/inherits/" + strconv.Itoa(i),
				Message: "roles inherit in a circle: " + chainOf(cycle), Remedy: "remove one of these inherits"})
			continue
		}
		if c.state[parent] == 0 {
			c.collect(parent, path)
		}
		if c.depth[name] = max(c.depth[name], c.depth[parent]+1); c.depth[name] == maxDepth {
			c.problems = append(c.problems, policy.Problem{
				Pointer: "/roles/" + policy.EscapePointer(name) + "/inherits/" + strconv.Itoa(i),
				Message: "roles inherit through more than " + strconv.Itoa(maxDepth) + " levels", Remedy: "inherit from fewer roles in a row"})
		}
		if c.depth[name] >= maxDepth {
			continue
		}
		all = append(all, c.granted[parent]...)
	}
	slices.Sort(all)
	c.granted[name] = slices.Compact(all)
	c.state[name] = closed
}

// chainOf words a cycle, its middle left out when it is long.
func chainOf(names []string) string {
	const most = 8
	if len(names) > most {
		names = append(append(slices.Clone(names[:most/2]), "…"), names[len(names)-most/2:]...)
	}
	return strings.Join(names, " → ")
}

// grantFault says what is wrong with a permission in a role, or "".
func grantFault(p string) string {
	if p == "*" {
		return ""
	}
	return PermissionFault(strings.TrimSuffix(p, ":*"))
}

// PermissionFault says what is wrong with a permission that an operation asks for, as the end of a sentence about it, or
// "" when nothing is.
func PermissionFault(p string) string {
	const most = 200
	switch {
	case p == "":
		return "is empty"
	case len(p) > most:
		return "is longer than 200 characters"
	case strings.Contains(p, "*"):
		return "has a star in a place where none can stand"
	case p[0] == ':' || p[len(p)-1] == ':' || strings.Contains(p, "::"):
		return "has an empty word between colons"
	}
	for i := range len(p) {
		if c := p[i]; c <= ' ' || c >= 0x7f || c == '"' || c == '\\' {
			return "has a character that is not allowed"
		}
	}
	return ""
}

// grants reports whether a granted permission covers the one asked for. grantFault saw to it that a star stands alone or
// behind a colon, so that orders:* does not reach ordersx.
func grants(granted, asked string) bool {
	below, star := strings.CutSuffix(granted, "*")
	return granted == asked || star && strings.HasPrefix(asked, below)
}

// has reports whether the document has a role of that name.
func (r *Roles) has(name string) bool {
	if r == nil {
		return false
	}
	_, ok := r.granted[name]
	return ok
}

// Granted returns every permission a role has, its own and inherited, sorted; nil for a role that does not exist.
func (r *Roles) Granted(role string) []string {
	if r == nil {
		return nil
	}
	return slices.Clone(r.granted[role])
}

// Holders returns the roles that grant a permission, narrowest first: those that grant least besides it.
func (r *Roles) Holders(permission string) []string {
	if r == nil {
		return nil
	}
	var names []string
	for name, all := range r.granted {
		if slices.ContainsFunc(all, func(g string) bool { return grants(g, permission) }) {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(breadth(r.granted[a]), breadth(r.granted[b])), cmp.Compare(a, b))
	})
	return names
}

// breadth is how much a role grants: stars weigh more than any number of named permissions.
func breadth(granted []string) int {
	n := 0
	for _, g := range granted {
		switch {
		case g == "*":
			n += 1 << 40
		case strings.HasSuffix(g, ":*"):
			n += 1 << 20
		default:
			n++
		}
	}
	return n
}

// holdersOf returns the shared set of holders of a permission.
func (r *Roles) holdersOf(permission string) *holders {
	if r == nil {
		return &holders{}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if h := r.holders[permission]; h != nil {
		return h
	}
	names := r.Holders(permission)
	h := &holders{roles: make(map[string]struct{}, len(names)), hint: hint(names)}
	for _, n := range names {
		h.roles[n] = struct{}{}
	}
	r.holders[permission] = h
	return h
}

// hint words the holders for the end of a sentence.
func hint(names []string) string {
	switch n := len(names); {
	case n == 0:
		return ""
	case n == 1:
		return " (" + names[0] + " has it)"
	case n <= hinted:
		return " (" + strings.Join(names[:n-1], ", ") + " and " + names[n-1] + " have it)"
	default:
		return " (" + strings.Join(names[:hinted], ", ") + " and " + strconv.Itoa(n-hinted) + " more have it)"
	}
}
