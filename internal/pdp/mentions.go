package pdp

import (
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go/x/exp/ast"
)

// Mentions is what conditions read of a request, so that a request is asked for nothing else.
type Mentions struct {
	// Paths are the attributes read, such as "context.query.status" and "principal.roles", sorted, each once; also those that are
	// only asked for with has.
	Paths []string
	// Whole names variables that are used as a whole, or whose attributes could not be followed: all of them counts as read.
	Whole []string
}

// Reads reports whether a path, something below it, or all of it is read.
func (m *Mentions) Reads(path string) bool {
	for _, p := range m.Paths {
		if p == path || strings.HasPrefix(p, path) && p[len(path)] == '.' {
			return true
		}
	}
	root, _, _ := strings.Cut(path, ".")
	return slices.Contains(m.Whole, root)
}

// Below returns the names directly below a path that are read.
func (m *Mentions) Below(path string) (names []string) {
	for _, p := range m.Paths {
		if rest, ok := strings.CutPrefix(p, path+"."); ok {
			name, _, _ := strings.Cut(rest, ".")
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// Add takes over what another reads.
func (m *Mentions) Add(other *Mentions) {
	m.Paths = merged(m.Paths, other.Paths)
	m.Whole = merged(m.Whole, other.Whole)
}

func merged(a, b []string) []string {
	a = slices.Concat(a, b)
	slices.Sort(a)
	return slices.Compact(a)
}

func (m *Mentions) read(p *ast.Policy) {
	for _, c := range p.Conditions {
		m.walk(c.Body)
	}
	slices.Sort(m.Paths)
	m.Paths = slices.Compact(m.Paths)
	slices.Sort(m.Whole)
	m.Whole = slices.Compact(m.Whole)
}

// walk notes what an expression reads. A variable inside of an attribute chain is that attribute; elsewhere context counts as
// a whole, and the others as themselves: comparing a principal reads none of its attributes.
func (m *Mentions) walk(n ast.IsNode) {
	ast.Inspect(ast.NewNode(n), func(n ast.IsNode) bool {
		if path, ok := pathOf(n); ok {
			if strings.Contains(path, ".") {
				m.Paths = append(m.Paths, path)
			} else if path == "context" {
				m.Whole = append(m.Whole, path)
			}
			return false
		}
		switch n.(type) {
		case ast.NodeTypeAccess, ast.NodeTypeHas, ast.NodeTypeGetTag, ast.NodeTypeHasTag:
			// an attribute of something that is not a plain variable: it may be any of them
			m.Whole = append(m.Whole, "principal", "resource", "context")
		}
		return true
	})
}

// pathOf returns the attribute chain that a node is, such as context.query.status.
//
// A name with a dot in it would look like two names, so that such a chain counts as unknown.
func pathOf(n ast.IsNode) (string, bool) {
	switch n := n.(type) {
	case ast.NodeTypeVariable:
		return string(n.Name), true
	case ast.NodeTypeAccess:
		return below(n.StrOpNode)
	case ast.NodeTypeHas:
		return below(n.StrOpNode)
	}
	return "", false
}

func below(n ast.StrOpNode) (string, bool) {
	if _, has := n.Arg.(ast.NodeTypeHas); has {
		return "", false
	}
	base, ok := pathOf(n.Arg)
	if !ok || strings.Contains(string(n.Value), ".") {
		return "", false
	}
	return base + "." + string(n.Value), true
}

// Names lists the entities that a policy names, in its scope and its conditions, each once.
func (p *Policy) Names() (all []uid) {
	add := func(e uid) {
		if !slices.Contains(all, e) {
			all = append(all, e)
		}
	}
	scope := func(s ast.IsScopeNode) {
		switch s := s.(type) {
		case ast.ScopeTypeEq:
			add(s.Entity)
		case ast.ScopeTypeIn:
			add(s.Entity)
		case ast.ScopeTypeIsIn:
			add(s.Entity)
		case ast.ScopeTypeInSet:
			for _, e := range s.Entities {
				add(e)
			}
		}
	}
	scope(p.tree.Principal)
	scope(p.tree.Action)
	scope(p.tree.Resource)
	for _, c := range p.tree.Conditions {
		ast.Inspect(ast.NewNode(c.Body), func(n ast.IsNode) bool {
			if v, ok := n.(ast.NodeValue); ok {
				if e, ok := v.Value.(uid); ok {
					add(e)
				}
			}
			return true
		})
	}
	return all
}

// AnyAction reports whether the scope of a policy admits every action.
func (p *Policy) AnyAction() bool {
	_, any := p.tree.Action.(ast.ScopeTypeAll)
	return any
}

// AdmitsAction reports whether the scope of a policy admits an action.
func (p *Policy) AdmitsAction(o Object) bool { return admitsAction(p.tree.Action, &o) }
