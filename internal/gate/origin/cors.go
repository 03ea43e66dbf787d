package origin

import (
	"strconv"
	"strings"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/header"
)

// CORS is compiled CORS rules. They are shared by all requests and never change.
type CORS struct {
	origins     list
	methods     []string // empty: all
	headers     []string
	anyHeader   bool
	expose      string
	credentials bool
	maxAge      string
	private     bool
	refuse      enforcement
	rule        *decision.Rule
	setting     string // what the rule is called in sentences for operators
}

// enforcement says which requests of other pages are refused.
type enforcement uint8

const (
	refuseWrites enforcement = iota
	refuseAll
	refuseNone
)

// mark says what the answer tells the browser.
//
// RATIONALE: Vary also stands on answers to requests without Origin: a cache that kept one of them must not serve it to a
// page. Only where every page is told the same can it be left out.
func (c *CORS) mark(x *gate.Exchange) {
	b := &x.Browser
	b.InCharge, b.Vary = true, !(c.origins.any && c.origins.null)
	origin, n := x.Header.Lookup("Origin")
	if n > 1 || n == 1 && !c.origins.match(origin) || n == 0 && b.Vary {
		return
	}
	b.AllowOrigin, b.Credentials, b.Expose = c.allowOrigin(origin), c.credentials, c.expose
}

// allowOrigin is the answer to an origin that is accepted.
func (c *CORS) allowOrigin(origin string) string {
	if c.origins.any && (origin != "null" || c.origins.null) {
		return "*"
	}
	return origin
}

// actual judges a request that is no preflight.
func (c *CORS) actual(x *gate.Exchange) decision.Verdict {
	origin, n := x.Header.Lookup("Origin")
	switch {
	case n == 0:
		return decision.Pass(c.rule)
	case n > 1:
		return c.several(x, "Origin", n)
	case c.origins.match(origin), c.refuse == refuseNone, c.refuse == refuseWrites && !writes(x):
		return decision.Pass(c.rule)
	}
	if t, ok := split(origin); ok && t.same(of(x)) {
		return decision.Pass(c.rule)
	}
	return c.denied(x, origin)
}

// preflight answers for the request that a browser announces.
func (c *CORS) preflight(x *gate.Exchange) decision.Verdict {
	x.Final = true // it is nobody else's affair
	origin, n := x.Header.Lookup("Origin")
	if n != 1 {
		return c.several(x, "Origin", n)
	}
	if _, n := x.Header.Lookup("Access-Control-Request-Method"); n != 1 {
		return c.several(x, "Access-Control-Request-Method", n)
	}
	if !c.origins.match(origin) {
		if t, ok := split(origin); !ok || !t.same(of(x)) {
			return c.denied(x, origin)
		}
	}
	if len(c.methods) > 0 && !contains(c.methods, x.Preflight) {
		return c.not(origin, "the method "+x.Preflight, c.setting+".methods", strings.Join(c.methods, ", "))
	}
	var asked []string
	for i := range x.Header {
		if !header.EqualFold(x.Header[i].Name, "Access-Control-Request-Headers") {
			continue
		}
		for name := range strings.SplitSeq(x.Header[i].Value, ",") {
			name = strings.Trim(name, " \t")
			switch {
			case name == "":
			case !isToken(name):
				return c.not(origin, "a header field whose name is none", c.setting+".headers", "names of header fields")
			case !c.anyHeader && !safelisted(name) && !fold(c.headers, name):
				return c.not(origin, "the header field "+name, c.setting+".headers", strings.Join(c.headers, ", "))
			default:
				asked = append(asked, name)
			}
		}
	}
	x.Reply = c.reply(x, origin, asked)
	x.Browser = gate.Browser{InCharge: true} // the reply says everything
	return decision.Answered(c.rule)
}

// reply is the answer to a preflight (https://fetch.spec.whatwg.org/#cors-preflight-fetch). Only what was asked for is
// allowed, so that the answer is the same with and without a wildcard in the rules.
func (c *CORS) reply(x *gate.Exchange, origin string, asked []string) *gate.Reply {
	h := make(header.List, 0, 7)
	vary := "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
	if c.private {
		vary += ", Access-Control-Request-Private-Network"
	}
	h.Add("Vary", vary)
	h.Add("Access-Control-Allow-Origin", c.allowOrigin(origin))
	h.Add("Access-Control-Allow-Methods", x.Preflight)
	if len(asked) > 0 {
		h.Add("Access-Control-Allow-Headers", strings.Join(asked, ", "))
	}
	if c.credentials {
		h.Add("Access-Control-Allow-Credentials", "true")
	}
	// https://wicg.github.io/private-network-access/: without the field the browser refuses by itself.
	if c.private && x.Header.Get("Access-Control-Request-Private-Network") == "true" {
		h.Add("Access-Control-Allow-Private-Network", "true")
	}
	h.Add("Access-Control-Max-Age", c.maxAge)
	return &gate.Reply{Status: 204, Header: h}
}

// denied refuses an origin.
func (c *CORS) denied(x *gate.Exchange, origin string) decision.Verdict {
	facts := []decision.Fact{
		{Name: "origin", Got: origin, Public: decision.ToAnyone},
		{Name: "allowed", Want: c.origins.text},
		{Name: "own", Want: of(x).String()},
	}
	t, ok := split(origin)
	switch {
	case origin == "null":
		facts = append(facts, decision.Fact{Name: "why", Want: "the page has none of its own, as a sandboxed frame or a file", Public: decision.ToAnyone})
	case !ok:
		facts = append(facts, decision.Fact{Name: "why", Want: "it is not written as browsers write origins", Public: decision.ToAnyone})
	case t.sameHost(of(x)):
		facts = append(facts, schemeFacts(x, t)...)
	}
	return decision.Refuse(decision.CORSDenied, c.rule, append(facts, decision.Fact{Name: "setting", Want: c.setting + ".origins"})...)
}

// several refuses a field that must come once.
func (c *CORS) several(x *gate.Exchange, field string, n int) decision.Verdict {
	return decision.Refuse(decision.CORSDenied, c.rule,
		decision.Fact{Name: "origin", Got: x.Header.Get("Origin"), Public: decision.ToAnyone},
		decision.Fact{Name: "why", Want: "the field " + field + " came " + strconv.Itoa(n) + " times", Public: decision.ToAnyone},
		decision.Fact{Name: "fix", Want: "Find out who adds the second field: browsers send one"})
}

// not refuses a preflight of an accepted origin.
func (c *CORS) not(origin, asked, setting, want string) decision.Verdict {
	return decision.Refuse(decision.PreflightDenied, c.rule,
		decision.Fact{Name: "origin", Got: origin, Public: decision.ToAnyone},
		decision.Fact{Name: "asked", Got: asked, Public: decision.ToAnyone},
		decision.Fact{Name: "setting", Want: setting},
		decision.Fact{Name: "allowed", Want: want})
}

// safelisted are fields that pages may send anyway (https://fetch.spec.whatwg.org/#cors-safelisted-request-header);
// browsers ask for them when the value is unusual.
func safelisted(name string) bool {
	return header.EqualFold(name, "Accept") || header.EqualFold(name, "Accept-Language") || header.EqualFold(name, "Content-Language") ||
		header.EqualFold(name, "Range")
}

func isToken(s string) bool {
	const tchar = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~"
	return s != "" && strings.Trim(s, tchar) == ""
}

func contains(list []string, s string) bool {
	for _, e := range list {
		if e == s {
			return true
		}
	}
	return false
}

func fold(list []string, s string) bool {
	for _, e := range list {
		if header.EqualFold(e, s) {
			return true
		}
	}
	return false
}
