package admin

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// route describes an operation of the API; its access stands in the table.
type route struct {
	id      string // operation id, in the table
	method  string
	path    string // below /api/v1
	tag     string
	summary string
	status  int // of success; 0: 200, or 204 without a body
	body    int64
	about   string
}

// register mounts a route behind its line of the permission table. It panics when the table has none: a route without
// permissions must not come into being.
func register[I, O any](s *Server, rt route, h func(context.Context, *caller, *I) (*O, error)) {
	a, ok := table[rt.id]
	if !ok {
		panic("admin: route " + rt.id + " does not stand in the permission table (permissions.go)")
	}
	if rt.body == 0 {
		rt.body = maxBody
	}
	op := huma.Operation{
		OperationID: rt.id, Method: rt.method, Path: "/api/v1" + rt.path, Summary: rt.summary, Description: rt.about,
		Tags: []string{rt.tag}, DefaultStatus: rt.status, MaxBodyBytes: rt.body + 1, BodyReadTimeout: 20 * time.Second,
		Middlewares: huma.Middlewares{s.admit(a)},
	}
	op.Responses = map[string]*huma.Response{}
	if a.reach != anyone {
		op.Security = []map[string][]string{{"bearer": {}}, {"session": {}}}
	}
	huma.Register(s.api, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := h(ctx, callerFrom(ctx), in)
		if err != nil {
			return nil, s.refusal(ctx, rt.id, err)
		}
		return out, nil
	})
}

// admit lets a request in that has what the route asks for, before its body is read.
func (s *Server) admit(a access) func(huma.Context, func(huma.Context)) {
	return func(hc huma.Context, next func(huma.Context)) {
		r, w := humago.Unwrap(hc)
		c, p := s.admitted(r, a)
		if p != nil {
			writeProblem(w, p)
			return
		}
		next(huma.WithValue(hc, callerKey{}, c))
	}
}

// admitted proves the caller and compares with what is asked.
func (s *Server) admitted(r *http.Request, a access) (*caller, *Problem) {
	if a.reach == anyone {
		return &caller{addr: clientAddress(r), secure: r.TLS != nil, path: r.URL.Path}, nil
	}
	c, err := s.identify(r.Context(), r)
	switch {
	case err != nil:
		return nil, s.refusal(r.Context(), r.URL.Path, err)
	case c == nil:
		return nil, unauthenticated()
	case !c.may(a.need):
		return nil, problem(403, "role_missing", "None of your roles allows this; you have: "+listOr(c.roles, "none")+".",
			"Ask an administrator for one of the roles: "+strings.Join(missing(a.need), ", ")+".")
	case a.reach == platform && c.confined():
		return nil, problem(403, "platform_only", fmt.Sprintf("This concerns the whole gateway, and you belong to tenant %q.", c.user.Tenant),
			"Ask a user of the platform.")
	}
	return c, nil
}

func listOr(names []string, none string) string {
	if len(names) == 0 {
		return none
	}
	return strings.Join(names, ", ")
}
