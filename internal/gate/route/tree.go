package route

import (
	"strings"

	"postern/internal/gate"
	"postern/internal/header"
)

// node is a place in the tree of templates: what has been matched is a run of whole segments, and its children are the
// segments that may follow. A literal beats a parameter beats the rest; where the better one leads nowhere, the next is
// tried. As the tree is as deep as its templates, a look-up visits each node at most once, and a map makes the width of
// a node irrelevant.
type node struct {
	literals map[string]*node // by decoded segment; "" is the trailing slash
	param    *node
	rest     *leaf // a template that ends in {name...} here
	leaf     *leaf // a template that ends here
	names    []string
}

// leaf is the operations on one template of one host.
type leaf struct {
	template string
	methods  []method
}

// method is the operations of one method: at most one without a header condition, and it is last.
type method struct {
	name   string // "*": any but CONNECT and TRACE
	routes []*route
}

// route is one operation and what selects it.
type route struct {
	Entry
	params []string
}

// insert finds or makes the leaf of a template.
func (n *node) insert(t Template) *leaf {
	for _, s := range t.segments {
		switch s.kind {
		case remainder:
			if n.rest == nil {
				n.rest = new(leaf)
			}
			return n.rest
		case parameter:
			if n.param == nil {
				n.param = new(node)
			}
			n = n.param
		default:
			next := n.literals[s.text]
			if next == nil {
				next = new(node)
				if n.literals == nil {
					n.literals = make(map[string]*node)
				}
				n.literals[s.text] = next
				n.names = append(n.names, s.text)
			}
			n = next
		}
	}
	if n.leaf == nil {
		n.leaf = new(leaf)
	}
	return n.leaf
}

// search is the state of one look-up.
type search struct {
	method string
	header header.List
	params *[gate.MaxParams]gate.Param // values are filled by position; names come from the route that was found
	n      int
	// Leaves on the path that had no operation for the request, for the refusal. Further ones are not remembered.
	missed  [6]*leaf
	nmissed int
	twice   string // a header that selects a version occurred more than once
	// preflight says that the request only announces another one: which fields that will have, not what is in them.
	preflight bool
}

// find matches rest, the part of the path behind the slash that follows n's segments.
func (n *node) find(s *search, rest string) *route {
	segment, next, more := strings.Cut(rest, "/")
	if child := n.literal(segment); child != nil {
		if r := child.follow(s, next, more); r != nil {
			return r
		}
	}
	if n.param != nil && segment != "" {
		at := s.push(segment)
		if r := n.param.follow(s, next, more); r != nil {
			return r
		}
		s.n = at
	}
	if n.rest != nil {
		at := s.push(rest)
		if r := n.rest.pick(s); r != nil {
			return r
		}
		s.n = at
	}
	return nil
}

func (n *node) follow(s *search, next string, more bool) *route {
	if more {
		return n.find(s, next)
	}
	if n.leaf != nil {
		return n.leaf.pick(s)
	}
	return nil
}

// literal returns the child of a segment, which is compared decoded: "%24all" and "$all" name the same resource for most
// servers, so a rule about one holds for the other.
func (n *node) literal(segment string) *node {
	if n.literals == nil {
		return nil
	}
	if strings.IndexByte(segment, '%') < 0 {
		return n.literals[segment]
	}
	var buf [128]byte
	return n.literals[string(appendDecoded(buf[:0], segment))]
}

func (s *search) push(value string) (before int) {
	before = s.n
	s.params[s.n].Value = value
	s.n++
	return before
}

// pick returns the operation for the method, GET's for HEAD where HEAD has none, or nil.
func (l *leaf) pick(s *search) *route {
	r := l.byMethod(s, s.method)
	if r == nil && s.method == "HEAD" {
		r = l.byMethod(s, "GET")
	}
	if r == nil && anyMethod(s.method) {
		r = l.byMethod(s, "*")
	}
	if r == nil && s.nmissed < len(s.missed) {
		s.missed[s.nmissed] = l
		s.nmissed++
	}
	return r
}

// anyMethod reports whether "*" stands for a method. CONNECT opens tunnels and TRACE echoes credentials.
func anyMethod(name string) bool { return name != "CONNECT" && name != "TRACE" }

// serves reports whether m's operations take requests of a method.
func (m *method) serves(name string) bool {
	return m.name == name || m.name == "*" && anyMethod(name) || m.name == "GET" && name == "HEAD"
}

func (l *leaf) byMethod(s *search, name string) *route {
	for i := range l.methods {
		if l.methods[i].name != name {
			continue
		}
		for _, r := range l.methods[i].routes {
			if r.Header == nil || s.preflight && s.header.HasToken("Access-Control-Request-Headers", r.Header.Name) {
				return r // versions told apart by a field's value answer preflights alike: see clash
			}
			if s.preflight {
				continue
			}
			v, n := s.header.Lookup(r.Header.Name)
			if n > 1 {
				s.twice = r.Header.Name
				return nil
			}
			if n == 1 && v == r.Header.Value {
				return r
			}
		}
	}
	return nil
}
