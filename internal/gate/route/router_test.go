package route

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/header"
	"postern/internal/policy"
)

// on makes an entry from "METHOD host/path", where the host may be missing.
func on(spec string, change ...func(*Entry)) Entry {
	methodName, target, _ := strings.Cut(spec, " ")
	host, path, _ := strings.Cut(target, "/")
	e := Entry{Op: &gate.Operation{API: "api", Version: "v1", Name: spec, Method: methodName, Template: "/" + path, Pointer: "/" + spec}}
	if host != "" {
		e.Hosts = []string{host}
	}
	for _, f := range change {
		f(&e)
	}
	return e
}

func when(name, value string) func(*Entry) {
	return func(e *Entry) { e.Header = &policy.HeaderMatch{Name: name, Value: value} }
}

func state(s State) func(*Entry) { return func(e *Entry) { e.State = s } }
func open(e *Entry)              { e.Open = true }
func keep(e *Entry)              { e.Slashes = KeepEncodedSlash }

func compiled(t testing.TB, entries ...Entry) *Router {
	t.Helper()
	r, problems := Compile(entries)
	if problems != nil {
		t.Fatalf("compile: %v", problems)
	}
	return r
}

// ask sends "METHOD host/path" and header fields "Name: value".
func ask(r *Router, spec string, fields ...string) (*gate.Exchange, decision.Verdict) {
	x := new(gate.Exchange)
	x.Reset()
	var target string
	x.Method, target, _ = strings.Cut(spec, " ")
	x.Host, x.RawPath, _ = strings.Cut(target, "/")
	x.RawPath = "/" + x.RawPath
	x.Target = x.RawPath
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		x.Header.Add(name, value)
	}
	return x, r.Check(context.Background(), x)
}

func TestRouterFinds(t *testing.T) {
	r := compiled(t,
		on("GET /"),
		on("GET /orders"),
		on("POST /orders"),
		on("GET /orders/{id}"),
		on("DELETE /orders/{id}"),
		on("GET /orders/export"),
		on("POST /orders/import"),
		on("GET /orders/{id}/items/{item}"),
		on("GET /orders/export/latest"),
		on("* /files/{rest...}"),
		on("GET /files/readme"),
		on("GET /files/{name}/meta"),
		on("HEAD /probe"),
		on("GET /probe"),
		on("GET /shop/$all"),
		on("GET /shop/{id}"),
		on("GET a.example/orders"),
		on("GET *.example/orders"),
		on("GET *.example/wild"),
		on("GET /versioned", when("X-Version", "v1")),
		on("GET /versioned"),
		on("GET /versioned", when("x-version", "v2")),
		on("GET /strict", when("X-Version", "v1")),
		on("GET /strict", when("X-Version", "v2")),
		on("GET /groups/{path}", keep),
		on("TRACE /trace"),
	)
	for _, c := range []struct {
		request, want, params string
		fields                []string
	}{
		{request: "GET /", want: "GET /"},
		{request: "GET /orders", want: "GET /orders"},
		{request: "HEAD /orders", want: "GET /orders"},
		{request: "POST /orders", want: "POST /orders"},
		{request: "GET /orders/7", want: "GET /orders/{id}", params: "id=7"},
		{request: "GET /orders/a%20b", want: "GET /orders/{id}", params: "id=a b"},
		{request: "GET /orders/caf%c3%a9", want: "GET /orders/{id}", params: "id=café"},
		{request: "GET /orders/export", want: "GET /orders/export"},
		{request: "GET /orders/%65xport", want: "GET /orders/export"},
		// The literal has no GET, so the parameter takes it.
		{request: "GET /orders/import", want: "GET /orders/{id}", params: "id=import"},
		// The literal "export" leads no further, so the parameter is tried.
		{request: "GET /orders/export/items/2", want: "GET /orders/{id}/items/{item}", params: "id=export item=2"},
		{request: "GET /files/", want: "* /files/{rest...}", params: "rest="},
		{request: "PATCH /files/a/b/", want: "* /files/{rest...}", params: "rest=a/b/"},
		{request: "GET /files/readme", want: "GET /files/readme"},
		{request: "PUT /files/readme", want: "* /files/{rest...}", params: "rest=readme"},
		{request: "GET /files/x/meta", want: "GET /files/{name}/meta", params: "name=x"},
		{request: "GET /files/x/meta/y", want: "* /files/{rest...}", params: "rest=x/meta/y"},
		{request: "HEAD /probe", want: "HEAD /probe"},
		{request: "TRACE /trace", want: "TRACE /trace"},
		{request: "GET /shop/$all", want: "GET /shop/$all"},
		{request: "GET /shop/%24all", want: "GET /shop/$all"},
		{request: "GET /shop/a;v=1", want: "GET /shop/{id}", params: "id=a;v=1"},
		{request: "GET /shop/report.pdf", want: "GET /shop/{id}", params: "id=report.pdf"},
		{request: "GET /shop/Inc.", want: "GET /shop/{id}", params: "id=Inc."},
		{request: "GET a.example/orders", want: "GET a.example/orders"},
		{request: "GET A.Example.:8080/orders", want: "GET a.example/orders"},
		{request: "GET b.example/orders", want: "GET *.example/orders"},
		{request: "GET a.example/wild", want: "GET *.example/wild"},
		{request: "GET a.b.example/orders", want: "GET /orders"},
		{request: "GET example/orders", want: "GET /orders"},
		{request: "POST a.example/orders", want: "POST /orders"},
		{request: "GET /versioned", want: "GET /versioned"},
		{request: "GET /versioned", fields: []string{"X-VERSION: v2"}, want: "GET /versioned v2"},
		{request: "GET /versioned", fields: []string{"X-Version: v1"}, want: "GET /versioned v1"},
		{request: "GET /versioned", fields: []string{"X-Version: v9"}, want: "GET /versioned"},
		{request: "GET /strict", fields: []string{"X-Version: v2"}, want: "GET /strict v2"},
		{request: "GET /groups/a%2fb", want: "GET /groups/{path}", params: "path=a/b"},
	} {
		x, v := ask(r, c.request, c.fields...)
		if !v.Passed() {
			t.Errorf("%s is refused: %s %+v", c.request, v.Reason().Code, v.Facts())
			continue
		}
		got := x.Op.Name
		if e := found(r, x.Op); e.Header != nil {
			got += " " + e.Header.Value
		}
		var params []string
		for _, p := range x.Params[:x.NParams] {
			params = append(params, p.Name+"="+p.Value)
		}
		if got != c.want || strings.Join(params, " ") != c.params {
			t.Errorf("%s %v is routed to %q with %v, want %q with %q", c.request, c.fields, got, params, c.want, c.params)
		}
	}
}

// found returns the entry of an operation.
func found(r *Router, op *gate.Operation) (e Entry) {
	var walk func(n *node)
	walk = func(n *node) {
		for _, l := range []*leaf{n.leaf, n.rest} {
			if l != nil {
				for _, m := range l.methods {
					for _, rt := range m.routes {
						if rt.Op == op {
							e = rt.Entry
						}
					}
				}
			}
		}
		for _, c := range n.literals {
			walk(c)
		}
		if n.param != nil {
			walk(n.param)
		}
	}
	r.live.each(walk)
	return e
}

func TestRouterRefuses(t *testing.T) {
	r := compiled(t,
		on("GET /orders", open),
		on("POST /orders"),
		on("GET /orders/{id}"),
		on("GET /orders/admin"),
		on("GET /secret/reports"),
		on("GET /public/Report", open),
		on("GET /public/folder/", open),
		on("GET /strict", when("X-Version", "v1"), open),
		on("GET /strict", when("X-Version", "v2"), open),
		on("* /any/{rest...}"),
		on("PUT /strict/a", when("X-Other", "1"), open),
		on("GET /strict/{id}", when("X-Version", "v3"), open),
		on("GET /old/orders", state(Retired), func(e *Entry) { e.RetiredOn, e.Successor = " on 1 May 2026", "v2" }),
		on("GET /new/orders", state(Draft)),
		on("GET /orders", state(Draft)),
		on("GET /orders", state(Retired)),
		on("GET other.example/elsewhere"),
	)
	for _, c := range []struct {
		request, code, anyone, operator, allow string
		fields                                 []string
	}{
		{request: "GET /order", code: "route.not_found", anyone: "Did you mean /orders?"},
		{request: "GET /orders/", code: "route.not_found", anyone: "Did you mean /orders?"},
		{request: "GET /oredrs", code: "route.not_found", anyone: "Did you mean /orders?"},
		{request: "GET /ORDERS", code: "route.not_found", anyone: "Did you mean /orders?"},
		{request: "GET /public/report", code: "route.not_found", anyone: "Did you mean /public/Report?"},
		{request: "GET /public/folder", code: "route.not_found", anyone: "Did you mean /public/folder/?"},
		{request: "GET /secret/report", code: "route.not_found", anyone: "on host shop.example.", operator: "Did you mean /secret/reports?"},
		{request: "GET /orders/7/", code: "route.not_found", anyone: "GET /orders/7/", operator: "Did you mean /orders/{id}?"},
		{request: "GET /orders/7/x", code: "route.not_found", anyone: "/orders/7/x"},
		{request: "GET /nowhere", code: "route.not_found", anyone: "GET /nowhere on host shop.example."},
		{request: "GET /new/orders", code: "route.not_found", anyone: "on host shop.example.", operator: "The draft version v1 of api has it"},
		{request: "GET /elsewhere", code: "route.not_found", anyone: "on host shop.example.", operator: "The host other.example has it."},
		{request: "GET /strict", code: "route.not_found", anyone: "The field X-Version selects the version here: v1, v2."},
		{request: "GET /strict/a", code: "route.not_found", anyone: "The field X-Version selects the version here: v3."},
		{request: "GET /strict", fields: []string{"X-Version: v1", "X-Version: v2"}, code: "request.malformed", anyone: "X-Version"},
		{request: "GET /old/orders", code: "api.retired", anyone: "Version v1 of this API was retired on 1 May 2026."},
		{request: "PUT /orders", code: "route.method_not_allowed", anyone: "GET, HEAD, POST", allow: "GET, HEAD, POST"},
		{request: "DELETE /orders/admin", code: "route.method_not_allowed", anyone: "GET, HEAD", allow: "GET, HEAD"},
		{request: "OPTIONS /orders", code: "route.method_not_allowed", anyone: "GET, HEAD, POST", allow: "GET, HEAD, POST"},
		{request: "get /orders", code: "route.method_not_allowed", anyone: "get", allow: "GET, HEAD, POST"},
		{request: "TRACE /any/x", code: "route.method_not_allowed", allow: "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"},
		{request: "CONNECT /any/x", code: "route.not_found"},
		{request: "GET /orders/a%2fb", code: "request.malformed", anyone: "encoded slash"},
		{request: "GET /nowhere/a%2fb", code: "request.malformed", anyone: "encoded slash"},
		{request: "GET /orders/../admin", code: "request.malformed", anyone: "dot segment"},
		// A forgiving server would read these as /orders/admin.
		{request: "GET /orders/admin;x", code: "request.malformed", anyone: "parameters (;)"},
		{request: "GET /orders/admin;", code: "request.malformed", anyone: "parameters (;)"},
		{request: "GET /orders/admin.", code: "request.malformed", anyone: "dots or spaces"},
		{request: "GET /orders/admin%20", code: "request.malformed", anyone: "dots or spaces"},
		{request: "GET /orders/admin%3bx", code: "request.malformed", anyone: "parameters (;)"},
		{request: "GET a..b/orders", code: "request.malformed", anyone: "empty label"},
	} {
		c.request = strings.Replace(c.request, " /", " shop.example/", 1)
		x, v := ask(r, c.request, c.fields...)
		if v.Passed() || v.Reason().Code != c.code {
			t.Errorf("%s: %v %+v, want %s", c.request, v.Outcome(), v.Reason(), c.code)
			continue
		}
		anyone, operator := v.Render(decision.ToAnyone), v.Render(decision.ToOperator)
		if text := anyone.Detail + strings.Join(anyone.Remedies, " "); !strings.Contains(text, c.anyone) {
			t.Errorf("%s: anyone is told %q, want %q in it", c.request, text, c.anyone)
		}
		if text := operator.Detail; !strings.Contains(text, c.operator) {
			t.Errorf("%s: the operator is told %q, want %q in it", c.request, text, c.operator)
		}
		if c.operator != "" && strings.Contains(anyone.Detail, c.operator) {
			t.Errorf("%s: anyone is told %q", c.request, anyone.Detail)
		}
		if x.Allow != c.allow {
			t.Errorf("%s: Allow is %q, want %q", c.request, x.Allow, c.allow)
		}
	}
}

// forward strips the base path by its text, so the path has to begin with that text.
func TestBasePathInAnotherSpelling(t *testing.T) {
	strip := func(e *Entry) { e.Op.StripPrefix = "/a:b/$c" }
	r := compiled(t, on("GET /a:b/$c/{id}", strip), on("GET /a:b/$c", strip))
	for path, want := range map[string]string{
		"/a:b/$c/7":         "/a:b/$c/7",
		"/a%3Ab/%24c/%24":   "/a:b/$c/%24",
		"/a:b/%24c":         "/a:b/$c",
		"/a%3ab/$c/x%2520y": "",
	} {
		if x, v := ask(r, "GET a.example"+path); v.Passed() != (want != "") || v.Passed() && x.Path != want {
			t.Errorf("%s becomes %q, want %q", path, x.Path, want)
		}
	}
}

func TestTargetsWithoutAPath(t *testing.T) {
	r := compiled(t, on("* /{rest...}"))
	for _, x := range []*gate.Exchange{
		{Method: "OPTIONS", RawPath: "*", Target: "*", Host: "a"},
		{Method: "CONNECT", RawPath: "", Target: "a:443", Host: "a:443"},
	} {
		if v := r.Check(context.Background(), x); v.Reason() != decision.RouteNotFound {
			t.Errorf("%s %s: %v", x.Method, x.Target, v.Reason())
		}
	}
}

func TestZeroRouterRefuses(t *testing.T) {
	if _, v := ask(new(Router), "GET a/b"); v.Reason() != decision.RouteNotFound {
		t.Errorf("the zero router says %v", v)
	}
}

func TestCompileFindsClashes(t *testing.T) {
	for _, c := range []struct {
		name    string
		entries []Entry
		want    string // in the only problem; empty: none
	}{
		{"same path", []Entry{on("GET /a"), on("GET /a")}, "GET /a is already the operation at /GET /a"},
		{"parameters of other names", []Entry{on("GET /a/{x}"), on("GET /a/{y}")}, "already"},
		{"rest of other names", []Entry{on("GET /a/{x...}"), on("GET /a/{y...}")}, "already"},
		{"same literal, other spelling", []Entry{on("GET /a%24"), on("GET /a$")}, "already"},
		{"same host, other spelling", []Entry{on("GET a.example/a"), on("GET A.example./a")}, "already"},
		{"same condition", []Entry{on("GET /a", when("V", "1")), on("GET /a", when("v", "1"))}, "with v: 1 is already"},
		{"conditions on two fields", []Entry{on("GET /a", when("V", "1")), on("GET /a", when("W", "1"))}, "a request with both"},
		{"other method", []Entry{on("GET /a"), on("POST /a"), on("* /a")}, ""},
		{"other host", []Entry{on("GET /a"), on("GET h/a"), on("GET *.h/a")}, ""},
		{"trailing slash", []Entry{on("GET /a"), on("GET /a/")}, ""},
		{"with and without a condition", []Entry{on("GET /a"), on("GET /a", when("V", "1"))}, ""},
		{"a draft beside a live one", []Entry{on("GET /a"), on("GET /a", state(Draft)), on("GET /a", state(Retired))}, ""},
		{"twice in one draft", []Entry{on("GET /a", state(Draft)), on("GET /a", state(Draft))}, "already"},
		{"in two drafts", []Entry{on("GET /a", state(Draft)), on("GET /a", state(Draft), func(e *Entry) { e.Op.Version = "v2" })}, ""},
		{"text around a parameter", []Entry{on("GET /a-{x}")}, "mixes text"},
		{"a parameter twice", []Entry{on("GET /{x}/{x}")}, "twice"},
		{"rest in the middle", []Entry{on("GET /{x...}/a")}, "not at the end"},
		{"no name", []Entry{on("GET /{}")}, "no name"},
		{"nested braces", []Entry{on("GET /{{x}}")}, "mixes"},
		{"empty segment", []Entry{on("GET /a//b")}, "empty segment"},
		{"dot segment", []Entry{on("GET /a/../b")}, "dot segment"},
		{"too many parameters", []Entry{on("GET /" + manyParams(13))}, "more than 12"},
	} {
		_, problems := Compile(c.entries)
		switch {
		case c.want == "" && len(problems) > 0:
			t.Errorf("%s: %v", c.name, problems)
		case c.want != "" && (len(problems) != 1 || !strings.Contains(problems[0].Message, c.want) || problems[0].Remedy == ""):
			t.Errorf("%s: %v, want one problem with %q", c.name, problems, c.want)
		}
	}
}

func manyParams(n int) string {
	var parts []string
	for i := range n {
		parts = append(parts, fmt.Sprintf("{p%d}", i))
	}
	return strings.Join(parts, "/")
}

func TestRoutingAllocatesNothing(t *testing.T) {
	r := compiled(t, on("GET *.example/v1/orders/{id}/items/{item}"), on("GET /v1/x", when("V", "1")))
	x := &gate.Exchange{Method: "GET", Host: "api.example:8080", RawPath: "/v1/orders/17/items/4", Header: header.List{{Name: "V", Value: "1"}}}
	if n := testing.AllocsPerRun(100, func() {
		if !r.Check(context.Background(), x).Passed() {
			t.Fatal("refused")
		}
	}); n != 0 {
		t.Errorf("routing allocates %v times", n)
	}
}

// A request that matches nothing must not cost more the more routes there are, however near it comes.
func TestHintsAreBounded(t *testing.T) {
	r, _ := Compile(services(20000))
	n := near{visits: maxVisits}
	n.search(r.live.any, "service-7x/orders/4/things", false)
	if n.visits < -1 {
		t.Errorf("the search went on for %d visits beyond its bound", -n.visits)
	}
	if _, v := ask(r, "GET a/SERVICE-19999/orders/4"); !strings.Contains(v.Render(decision.ToOperator).Detail, "Did you mean /service-19999/orders/{id}?") {
		t.Errorf("no hint in a wide tree: %s", v.Render(decision.ToOperator).Detail)
	}
}
