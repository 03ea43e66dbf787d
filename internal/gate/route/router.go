package route

import (
	"context"
	"slices"
	"strings"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/header"
	"postern/internal/policy"
)

// State is where a version of an API is in its life.
type State uint8

const (
	Live    State = iota // published or deprecated: requests are routed to it
	Draft                // nobody is routed to it; operators are told that it would match
	Retired              // requests that nothing live matches are told that it is gone
)

// Entry is one operation to route to.
type Entry struct {
	Op      *gate.Operation
	Hosts   []string            // as in the document; empty: any host
	Header  *policy.HeaderMatch // nil: no condition
	State   State
	Slashes Slashes
	// Open says that anybody may call the operation, and so anybody may be told of it in a hint.
	Open bool
	// CORS is what the operation's preflights are answered by; nil when the gateway does not answer them.
	CORS *policy.CORS
	// For the refusal of a retired version.
	RetiredOn, Successor string
}

// Router finds operations. It is compiled once per snapshot and never changes; its zero value finds nothing.
type Router struct{ live, draft, retired hosts }

// hosts is a tree for each host.
type hosts struct {
	exact map[string]*node
	wild  map[string]*node // by what follows "*."
	any   *node
	names []string // of exact, sorted; for hints
}

// Check routes x: it sets x.Hostname, x.Path, x.Op and the path parameters, or refuses with route.not_found,
// route.method_not_allowed (and x.Allow), api.retired or request.malformed. It allocates nothing when it passes, unless
// the path was not normal or a parameter is percent-encoded.
func (r *Router) Check(_ context.Context, x *gate.Exchange) decision.Verdict {
	var fault *Fault
	if x.Hostname, _, fault = NormaliseHost(x.Host); fault != nil {
		return malformed(fault)
	}
	if x.RawPath == "*" && x.Method == "OPTIONS" || x.Method == "CONNECT" {
		return r.notFound(x) // these targets have no path, so they belong to no API
	}
	if x.Path, fault = Normalise(x.RawPath, KeepEncodedSlash); fault != nil {
		return malformed(fault)
	}
	s := search{method: x.Method, header: x.Header, params: &x.Params}
	found := r.preflight(x)
	if found == nil {
		found = r.live.find(&s, x.Hostname, x.Path)
	}
	encoded := strings.IndexByte(x.Path, '%') >= 0
	switch {
	case s.twice != "":
		return malformed(&Fault{"the field " + s.twice + ", which selects the version of the API, occurs more than once", "send it once"})
	case encoded && (found == nil || found.Slashes != KeepEncodedSlash) && strings.Contains(x.Path, "%2F"):
		return malformed(encodedSlash)
	case found == nil:
		return r.unrouted(x, &s)
	}
	if encoded || strings.IndexByte(x.Path, ';') >= 0 || strings.IndexByte(x.Path, '.') >= 0 {
		if fault := r.readOtherwise(x, found); fault != nil {
			return malformed(fault)
		}
	}
	x.Op, x.NParams = found.Op, len(found.params)
	if p := found.Op.StripPrefix; p != "" && !strings.HasPrefix(x.Path, p) {
		x.Path = respell(x.Path, p)
	}
	for i, name := range found.params {
		x.Params[i] = gate.Param{Name: name, Value: decoded(x.Params[i].Value)}
	}
	return decision.Pass(nil)
}

// find looks in the trees of the host, the most special first.
func (h *hosts) find(s *search, host, path string) *route {
	for i := range 3 {
		if n := h.tree(i, host); n != nil {
			s.n = 0
			if r := n.find(s, path[1:]); r != nil || s.twice != "" {
				return r
			}
		}
	}
	return nil
}

// tree returns the tree of the host's own name (0), of its wildcard (1) and of any host (2), or nil.
func (h *hosts) tree(i int, host string) *node {
	switch i {
	case 0:
		return h.exact[host]
	case 1:
		if len(h.wild) > 0 {
			if _, parent, ok := strings.Cut(host, "."); ok {
				return h.wild[parent]
			}
		}
		return nil
	}
	return h.any
}

// preflight finds the operation that a CORS preflight asks about (https://fetch.spec.whatwg.org/#cors-preflight-request), by
// the method it names, and sets x.Preflight. It returns nil when the request is none, and when the gateway does not answer
// for CORS there: then OPTIONS is a method like any other.
func (r *Router) preflight(x *gate.Exchange) *route {
	if x.Method != "OPTIONS" {
		return nil
	}
	method := x.Header.Get("Access-Control-Request-Method")
	if method == "" || !x.Header.Has("Origin") {
		return nil
	}
	s := search{method: method, header: x.Header, params: &x.Params, preflight: true}
	found := r.live.find(&s, x.Hostname, x.Path)
	if found == nil || found.CORS == nil {
		return nil
	}
	x.Preflight = method
	return found
}

// readOtherwise refuses a path that a forgiving server takes for another one, with rules of its own here: Java servers
// drop path parameters, and Windows drops dots and spaces at the end of names, so that either reads "/orders/admin;x" or
// "/orders/admin." as "/orders/admin".
func (r *Router) readOtherwise(x *gate.Exchange, found *route) *Fault {
	path, differs := forgiving(x.Path)
	if !differs {
		return nil
	}
	var params [gate.MaxParams]gate.Param
	s := search{method: x.Method, header: x.Header, params: &params}
	if x.Preflight != "" {
		s.method, s.preflight = x.Preflight, true
	}
	if other := r.live.find(&s, x.Hostname, path); other == nil || other == found {
		return nil
	}
	return &Fault{
		"a segment of the path has parameters (;), or dots or spaces at its end, and names another operation without them",
		"send the path without them",
	}
}

// respell puts a prefix of whole segments in front of a path that has it in another spelling ("/%24shop" for "/$shop"), so
// that forward finds what it is to strip.
func respell(path, prefix string) string {
	end := 0
	for range strings.Count(prefix, "/") {
		next := strings.IndexByte(path[end+1:], '/')
		if next < 0 {
			return prefix
		}
		end += 1 + next
	}
	return prefix + path[end:]
}

// forgiving returns a normalised path as the most forgiving server reads it, and whether that is another path.
func forgiving(path string) (string, bool) {
	var b []byte // nil as long as nothing differs
	for i := 0; i < len(path); {
		start := i + 1
		end := strings.IndexByte(path[start:], '/') + start
		if end < start {
			end = len(path)
		}
		if name := segmentName(path[start:end]); len(name) != end-start {
			if b == nil {
				b = append(make([]byte, 0, len(path)), path[:start]...)
			} else {
				b = append(b, '/')
			}
			b = append(b, name...)
		} else if b != nil {
			b = append(b, path[i:end]...)
		}
		i = end
	}
	if b == nil {
		return path, false
	}
	return string(b), true
}

func malformed(f *Fault) decision.Verdict {
	return decision.Refuse(decision.RequestMalformed, nil,
		decision.Fact{Name: "fault", Want: f.Text, Public: decision.ToAnyone},
		decision.Fact{Name: "remedy", Want: f.Remedy, Public: decision.ToAnyone})
}

// unrouted words the refusal of a request that no live operation takes.
func (r *Router) unrouted(x *gate.Exchange, s *search) decision.Verdict {
	if v, ok := r.gone(x); ok {
		return v
	}
	allow := allowed(s.missed[:s.nmissed], x.Method)
	if allow == "" {
		return r.notFound(x, r.hints(x, s)...)
	}
	x.Allow = allow
	return decision.Refuse(decision.MethodNotAllowed, nil,
		decision.Fact{Name: "path", Want: x.Path, Public: decision.ToAnyone},
		decision.Fact{Name: "method", Want: x.Method, Public: decision.ToAnyone},
		decision.Fact{Name: "allow", Want: allow, Public: decision.ToAnyone})
}

// gone says that a retired version had what is asked for.
func (r *Router) gone(x *gate.Exchange) (decision.Verdict, bool) {
	s := search{method: x.Method, header: x.Header, params: &x.Params}
	old := r.retired.find(&s, x.Hostname, x.Path)
	if old == nil {
		return decision.Verdict{}, false
	}
	x.Op = old.Op // its answer fields name the successor, and its dialect is the caller's
	facts := []decision.Fact{{Name: "version", Want: old.Op.Version, Public: decision.ToAnyone}}
	if old.RetiredOn != "" {
		facts = append(facts, decision.Fact{Name: "on", Want: old.RetiredOn, Public: decision.ToAnyone})
	}
	if old.Successor != "" {
		facts = append(facts, decision.Fact{Name: "successor", Want: old.Successor, Public: decision.ToAnyone})
	}
	return decision.Refuse(decision.APIRetired, &decision.Rule{ID: old.Op.API + "/" + old.Op.Version, Pointer: old.Op.Pointer}, facts...), true
}

func (r *Router) notFound(x *gate.Exchange, hints ...decision.Fact) decision.Verdict {
	path := x.Path
	if path == "" {
		path = x.Target
	}
	facts := []decision.Fact{
		{Name: "path", Want: path, Public: decision.ToAnyone},
		{Name: "host", Want: x.Hostname, Public: decision.ToAnyone},
		{Name: "method", Want: x.Method, Public: decision.ToAnyone},
	}
	return decision.Refuse(decision.RouteNotFound, nil, append(facts, hints...)...)
}

// allowed returns the methods that the leaves take, for the Allow field (RFC 9110 section 10.2.1), or "" when it is not the
// method that is wrong.
func allowed(missed []*leaf, method string) string {
	var methods []string
	add := func(m string) {
		if !slices.Contains(methods, m) {
			methods = append(methods, m)
		}
	}
	for _, l := range missed {
		for _, m := range l.methods {
			if m.serves(method) {
				return "" // there is an operation, only for other header fields
			}
			switch m.name {
			case "*": // it serves more, but Allow cannot say "any"
				for _, usual := range []string{"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"} {
					add(usual)
				}
			case "GET":
				add("GET")
				add("HEAD")
			default:
				add(m.name)
			}
		}
	}
	slices.Sort(methods)
	return strings.Join(methods, ", ")
}

// sameHeader reports whether two conditions test the same field, and whether they are the same condition.
func sameHeader(a, b *policy.HeaderMatch) (field, value bool) {
	field = header.EqualFold(a.Name, b.Name)
	return field, field && a.Value == b.Value
}
