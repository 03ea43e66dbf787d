package snapshot

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"postern/internal/gate"
	"postern/internal/gate/authn"
	"postern/internal/gate/authz"
	"postern/internal/gate/ip"
	"postern/internal/gate/limit"
	"postern/internal/gate/route"
	"postern/internal/pdp"
	"postern/internal/policy"
)

// Deps is what a snapshot is connected to.
type Deps struct {
	// Upstream returns the pool of an upstream of the document. When it is nil, every upstream is taken to be healthy: that
	// is enough to check a document and to simulate.
	Upstream func(name string) (gate.Upstream, bool)
	// Secret follows the references of a secret (policy.Resolve). When it is nil, secrets are not looked at, and what needs
	// them is unknown: that is enough to check a document.
	Secret func(value string) (string, error)
}

// Compile checks a document and builds the snapshot of it. It has no side effect, so a document that does not compile leaves
// what is in force as it is.
//
// The error is a policy.Problems with every mistake there is, each with its RFC 6901 pointer, what is wrong and what to do,
// and with file and line when the document was parsed from text.
func Compile(doc *policy.Document, generation uint64, d Deps) (*Snapshot, error) {
	b := &builder{doc: doc, deps: d}
	b.checkDocument()
	b.compileShared()
	b.compileRules()
	b.compileDecisionSets()
	b.compileAPIs()
	b.compileTokenEndpoint()
	router, problems := route.Compile(b.entries)
	b.problems = append(b.problems, problems...)
	if len(b.problems) > 0 {
		doc.LocateAll(b.problems)
		b.problems.Sort()
		return nil, b.problems
	}
	return &Snapshot{
		Generation: generation, Document: doc,
		resolver: b.resolver, router: router, plans: b.plans, models: b.models, listed: b.listed, decides: b.decides, deps: d,
	}, nil
}

// builder compiles one document.
type builder struct {
	doc      *policy.Document
	deps     Deps
	problems policy.Problems

	resolver  *ip.Resolver
	roles     *authz.Roles
	rules     *rulebook // nil without attribute rules
	decides   map[string]*pdp.Service
	plans     map[string]*gate.Plan
	models    map[string]*gate.Model
	upstreams map[string]gate.Upstream
	issuers   map[string]*authn.Issuer // by their configuration
	flood     gate.Gate                // nil without a flood guard
	entries   []route.Entry
	listed    []Operation
}

func (b *builder) problem(pointer, remedy, message string, args ...any) {
	b.problems = append(b.problems, policy.Problem{Pointer: pointer, Message: fmt.Sprintf(message, args...), Remedy: remedy})
}

// problemsOf takes over the problems of a part that another package compiled.
func (b *builder) problemsOf(pointer string, err error) bool {
	if err == nil {
		return false
	}
	if ps, ok := errors.AsType[policy.Problems](err); ok {
		b.problems = append(b.problems, ps...)
	} else {
		b.problem(pointer, "correct it", "%v", err)
	}
	return true
}

// compileShared compiles what operations refer to.
func (b *builder) compileShared() {
	field := ip.XForwardedFor
	if b.oneOf("/forwarded_by", b.doc.ForwardedBy, "x-forwarded-for", "forwarded") == "forwarded" {
		field = ip.Forwarded
	}
	b.resolver = ip.NewResolver(b.prefixes("/trusted_proxies", b.doc.TrustedProxies), field)

	roles, err := authz.CompileRoles(b.doc.Roles)
	if b.problemsOf("/roles", err) {
		roles, _ = authz.CompileRoles(nil) // operations are still checked
	}
	b.roles = roles

	b.upstreams = make(map[string]gate.Upstream, len(b.doc.Upstreams))
	for name := range b.doc.Upstreams {
		b.upstreams[name] = b.upstream(name)
	}
	b.plans = make(map[string]*gate.Plan, len(b.doc.Plans))
	for name, p := range b.doc.Plans {
		b.plans[name] = &gate.Plan{Name: name, Limits: b.limits("plans/"+name, "/plans/"+policy.EscapePointer(name)+"/limits", p.Limits)}
	}
	b.compileFloodGuard()
	b.models = make(map[string]*gate.Model, len(b.doc.Models))
	for name, m := range b.doc.Models {
		b.models[name] = b.model(name, m)
	}
}

// upstream connects to a pool.
func (b *builder) upstream(name string) gate.Upstream {
	if b.deps.Upstream == nil {
		return healthy(name)
	}
	u, ok := b.deps.Upstream(name)
	if !ok || u == nil {
		b.problem("/upstreams/"+policy.EscapePointer(name), "see the other problems of this upstream, or the gateway's log",
			"no connection pool could be made for the upstream %q", name)
	}
	return u
}

// healthy is an upstream of which nothing is known but that it is in the document.
type healthy string

func (h healthy) Name() string { return string(h) }

func (h healthy) State(time.Time) gate.UpstreamState {
	return gate.UpstreamState{Targets: 1, Healthy: 1}
}

// limits compiles a list of limits. Their ids are owner#name.
func (b *builder) limits(owner, pointer string, list []policy.Limit) (compiled []*gate.Limit) {
	names := make(map[string]int, len(list))
	for i, l := range list {
		at := pointer + "/" + strconv.Itoa(i)
		if first, ok := names[l.Name]; ok && l.Name != "" {
			b.problem(at+"/name", "give each limit of the list a name of its own", "the limit %q is also item %d of this list", l.Name, first)
			continue
		}
		names[l.Name] = i
		c, err := limit.Compile(l, owner+"#"+l.Name, at)
		if !b.problemsOf(at, err) {
			compiled = append(compiled, c)
		}
	}
	return compiled
}

func (b *builder) compileFloodGuard() {
	list := make([]policy.Limit, len(b.doc.FloodGuard))
	for i, l := range b.doc.FloodGuard {
		switch l.By {
		case "":
			l.By = "address"
		case "address", "everyone":
		case "application", "key", "tenant":
			b.problem(fmt.Sprintf("/flood_guard/%d/by", i), "count by address or everyone, or move the limit to a version or plan",
				"the flood guard runs before it is known who calls, so it cannot count by %s", l.By)
			l.By = "address"
		}
		list[i] = l
	}
	if compiled := b.limits("flood_guard", "/flood_guard", list); len(compiled) > 0 {
		b.flood = limit.New(limit.Config{Limits: compiled})
	}
}

// prefixes compiles a list of address ranges.
func (b *builder) prefixes(pointer string, list []string) (out []netip.Prefix) {
	for i, s := range list {
		p, err := ip.ParsePrefix(s)
		if err != nil {
			b.problem(pointer+"/"+strconv.Itoa(i), "correct the range, or remove it", "%v", err)
			continue
		}
		out = append(out, p)
	}
	return out
}

// oneOf checks a word against the allowed ones, of which the first is the default, and returns the word that applies.
func (b *builder) oneOf(pointer, word string, allowed ...string) string {
	if word == "" {
		return allowed[0]
	}
	for _, a := range allowed {
		if word == a {
			return a
		}
	}
	b.unknownWord(pointer, word, allowed)
	return allowed[0]
}

func (b *builder) unknownWord(pointer, word string, allowed []string) {
	remedy := "write " + orList(allowed)
	if near := policy.Suggest(word, allowed); near != "" {
		remedy = "did you mean " + near + "? Possible are " + orList(allowed)
	}
	b.problem(pointer, remedy, "%q is not possible here", word)
}

// orList words a choice: "a, b or c".
func orList(words []string) string {
	switch n := len(words); n {
	case 0:
		return "nothing"
	case 1:
		return words[0]
	default:
		out := words[0]
		for _, w := range words[1 : n-1] {
			out += ", " + w
		}
		return out + " or " + words[n-1]
	}
}
