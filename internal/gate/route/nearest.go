package route

import (
	"fmt"
	"strings"

	"postern/internal/decision"
	"postern/internal/gate"
)

// Bounds of the search for a hint: it runs for requests that match nothing, which a hostile caller can send at will.
const (
	maxVisits = 512 // segments compared
	maxWide   = 64  // a node with more literals is only looked up, not compared one by one
	maxHosts  = 64  // hosts whose trees are looked into
)

// hints returns what may help whoever reads the refusal: the field that selects a version, the template that the path nearly
// matches, the host or the draft that has it. Each is told as widely as what it reveals: anybody is told of operations that
// are open to anybody; of others the operator is.
func (r *Router) hints(x *gate.Exchange, s *search) (facts []decision.Fact) {
	for _, l := range s.missed[:s.nmissed] {
		if f, ok := selectorHint(l, x.Method); ok {
			return append(facts, f)
		}
	}
	for _, open := range []bool{true, false} {
		if t := r.nearest(x, open); t != "" {
			facts = append(facts, hint(" Did you mean "+t+"?", open))
			break
		}
	}
	if host := r.elsewhere(x); host != "" && len(facts) == 0 {
		facts = append(facts, hint(" The host "+host+" has it.", false))
	}
	var params [gate.MaxParams]gate.Param
	d := search{method: x.Method, header: x.Header, params: &params}
	if draft := r.draft.find(&d, x.Hostname, x.Path); draft != nil {
		facts = append(facts, hint(fmt.Sprintf(" The draft version %s of %s has it; publish that version to route to it.", draft.Op.Version, draft.Op.API), false))
	}
	return facts
}

func hint(text string, open bool) decision.Fact {
	f := decision.Fact{Name: "nearest", Want: text}
	if open {
		f.Public = decision.ToAnyone
	}
	return f
}

// selectorHint says which field selects a version on a leaf that has the method, but only for other field values.
func selectorHint(l *leaf, asked string) (decision.Fact, bool) {
	var values []string
	name, open := "", true
	for _, m := range l.methods {
		if !m.serves(asked) {
			continue
		}
		for _, r := range m.routes {
			if r.Header == nil {
				continue
			}
			name, open = r.Header.Name, open && r.Open
			if len(values) < 5 && !strings.Contains(strings.Join(values, ", ")+",", r.Header.Value+",") {
				values = append(values, r.Header.Value)
			}
		}
	}
	if name == "" {
		return decision.Fact{}, false
	}
	return hint(fmt.Sprintf(" The field %s selects the version here: %s.", name, strings.Join(values, ", ")), open), true
}

// elsewhere returns another host that has an operation for the request.
func (r *Router) elsewhere(x *gate.Exchange) string {
	for _, host := range r.live.names[:min(maxHosts, len(r.live.names))] {
		var params [gate.MaxParams]gate.Param
		s := search{method: x.Method, header: x.Header, params: &params}
		if r.live.exact[host].find(&s, x.Path[1:]) != nil {
			return host
		}
	}
	return ""
}

// nearest returns the template of an operation whose path differs from that of the request by a trailing slash, by the case
// of a segment, or by one edit in one segment.
func (r *Router) nearest(x *gate.Exchange, open bool) string {
	for i := range 3 {
		if root := r.live.tree(i, x.Hostname); root != nil {
			n := near{open: open, visits: maxVisits}
			if l := n.search(root, x.Path[1:], false); l != nil {
				return l.template
			}
		}
	}
	return ""
}

// near is a search that forgives one mistake.
type near struct {
	open   bool
	visits int
}

func (n *near) accepts(l *leaf) bool {
	if l == nil {
		return false
	}
	for _, m := range l.methods {
		for _, r := range m.routes {
			if r.Open || !n.open {
				return true
			}
		}
	}
	return false
}

func (n *near) search(at *node, rest string, used bool) *leaf {
	segment, next, more := strings.Cut(rest, "/")
	if n.visits--; n.visits < 0 {
		return nil
	}
	if child := at.literal(segment); child != nil {
		if l := n.follow(child, next, more, used); l != nil {
			return l
		}
	}
	if at.param != nil && segment != "" {
		if l := n.follow(at.param, next, more, used); l != nil {
			return l
		}
	}
	if used || segment == "" {
		return nil
	}
	if len(at.names) > maxWide {
		if child := at.literals[strings.ToLower(segment)]; child != nil {
			return n.follow(child, next, more, true)
		}
		return nil
	}
	for _, name := range at.names {
		if n.visits--; n.visits < 0 {
			return nil
		}
		if nearWord(name, segment) {
			if l := n.follow(at.literals[name], next, more, true); l != nil {
				return l
			}
		}
	}
	return nil
}

// follow goes on behind a segment that matched, and forgives a trailing slash too many or too few.
func (n *near) follow(at *node, next string, more, used bool) *leaf {
	if more && next != "" {
		return n.search(at, next, used)
	}
	slash := at.literals[""]
	switch {
	case more && slash != nil && n.accepts(slash.leaf):
		return slash.leaf
	case n.accepts(at.leaf) && (!more || !used):
		return at.leaf
	case !more && !used && slash != nil && n.accepts(slash.leaf):
		return slash.leaf
	}
	return nil
}

// nearWord reports whether two segments differ in case only, or, when they are long enough to mean something, by one
// letter too many, too few, changed, or swapped with its neighbour.
func nearWord(a, b string) bool {
	if strings.EqualFold(a, b) {
		return true
	}
	if len(a) > len(b) {
		a, b = b, a
	}
	if len(a) < 4 || len(b)-len(a) > 1 || len(b) > 200 {
		return false
	}
	i := 0
	for i < len(a) && a[i] == b[i] {
		i++
	}
	if len(a) < len(b) {
		return a[i:] == b[i+1:]
	}
	return a[i+1:] == b[i+1:] || i+1 < len(a) && a[i] == b[i+1] && a[i+1] == b[i] && a[i+2:] == b[i+2:]
}
