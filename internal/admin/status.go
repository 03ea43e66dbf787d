package admin

import (
	"context"
	"time"

	"postern/internal/snapshot"
)

// Status is how the node is.
type Status struct {
	Version    string    `json:"version"`
	Started    time.Time `json:"started"`
	Uptime     string    `json:"uptime" doc:"Such as 3h12m5s."`
	Generation uint64    `json:"generation" doc:"Of the configuration that runs here."`
	Ready      bool      `json:"ready"`
	Reasons    []string  `json:"not_ready,omitempty" doc:"Why it is not ready."`
	Node       any       `json:"node,omitempty" doc:"Listeners, upstream pools, records and their drops."`
}

// Operation is one operation of the running configuration.
type Operation struct {
	API        string   `json:"api"`
	Version    string   `json:"version"`
	State      string   `json:"state" enum:"draft,published,deprecated,retired"`
	Name       string   `json:"name"`
	Title      string   `json:"title,omitempty"`
	Tenant     string   `json:"tenant,omitempty"`
	Hosts      []string `json:"hosts,omitempty" doc:"Missing: any."`
	Method     string   `json:"method"`
	Path       string   `json:"path"`
	Upstream   string   `json:"upstream,omitempty" doc:"Missing for operations on models."`
	Dialect    string   `json:"dialect,omitempty"`
	Open       bool     `json:"open,omitempty" doc:"Anybody may call it."`
	Permission string   `json:"permission,omitempty"`
	Scopes     []string `json:"scopes,omitempty"`
	Gates      []string `json:"gates" nullable:"false" doc:"In the order they judge."`
	Shadow     []string `json:"shadow,omitempty" doc:"Gates that only report."`
	Pointer    string   `json:"pointer" doc:"JSON pointer into the document."`
}

type operationsInput struct {
	API string `query:"api" maxLength:"63"`
}

func (s *Server) registerStatus() {
	register(s, route{id: "get-status", method: "GET", path: "/status", tag: "status", summary: "How this node is"}, s.status)
	register(s, route{id: "list-operations", method: "GET", path: "/operations", tag: "status", summary: "Operations of the running configuration",
		about: "Users of a tenant see those of its APIs."}, s.operations)
}

func (s *Server) status(context.Context, *caller, *struct{}) (*struct{ Body Status }, error) {
	_, _, generation := s.Config.Current()
	why := s.notReady()
	st := Status{Version: s.Version, Started: s.started, Uptime: s.Now().Sub(s.started).Truncate(time.Second).String(), Generation: generation,
		Ready: len(why) == 0, Reasons: why}
	if s.Options.Status != nil {
		st.Node = s.Options.Status()
	}
	return &struct{ Body Status }{st}, nil
}

func (s *Server) notReady() []string {
	var why []string
	if s.Ready != nil {
		why = s.Ready()
	}
	return why
}

func (s *Server) operations(_ context.Context, c *caller, in *operationsInput) (*listed[Operation], error) {
	out := &listed[Operation]{Body: page[Operation]{Items: []Operation{}}}
	if s.Operations == nil {
		return out, nil
	}
	for _, op := range s.Operations() {
		if c.sees(op.Tenant) && matches(in.API, op.API) {
			out.Body.Items = append(out.Body.Items, operationView(op))
		}
	}
	return out, nil
}

func operationView(op snapshot.Operation) Operation {
	v := Operation{API: op.API, Version: op.Version, State: op.State, Name: op.Name, Title: op.Title, Tenant: op.Tenant, Hosts: op.Hosts,
		Method: op.Method, Path: op.Template, Upstream: op.Upstream, Dialect: op.Dialect, Open: op.Open, Permission: op.Permission,
		Scopes: op.Scopes, Gates: emptyList(op.Gates), Pointer: op.Pointer}
	for _, l := range op.Chain {
		if l.Shadow {
			v.Shadow = append(v.Shadow, l.Name)
		}
	}
	return v
}
