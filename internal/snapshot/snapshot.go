// Package snapshot compiles a configuration document to what requests are judged by, and judges them.
//
// A snapshot never changes: a new configuration is a new snapshot, swapped in whole (Holder). Live traffic, simulate,
// explain and replay call the same Judge; they differ in the Env on the exchange and in the mode. order.go has the gates
// in their order on one screen.
package snapshot

import (
	"context"
	"sync/atomic"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/gate/ip"
	"postern/internal/gate/route"
	"postern/internal/pdp"
	"postern/internal/policy"
)

// Snapshot is a compiled configuration.
type Snapshot struct {
	Generation uint64
	Document   *policy.Document // as compiled; not changed afterwards

	resolver *ip.Resolver
	router   *route.Router
	plans    map[string]*gate.Plan
	models   map[string]*gate.Model
	listed   []Operation
	decides  map[string]*pdp.Service
	deps     Deps
}

// Judge decides about x: it finds the client's address, routes the request, and runs the gates of its operation. The
// verdict is also in x.Verdict, and every step in x.Trace.
//
// An exchange that cannot be routed ends there in every mode, because which gates would follow is not known. A snapshot
// that was not compiled refuses everything.
func (s *Snapshot) Judge(ctx context.Context, x *gate.Exchange, m gate.Mode) decision.Verdict {
	x.Verdict = s.judge(ctx, x, m)
	return x.Verdict
}

func (s *Snapshot) judge(ctx context.Context, x *gate.Exchange, m gate.Mode) decision.Verdict {
	if s.router == nil {
		return decision.Verdict{}
	}
	if v := s.resolver.Resolve(x); !v.Passed() {
		x.Trace.Add("ip", v)
		return v
	}
	v := s.router.Check(ctx, x)
	x.Trace.Add("route", v)
	if x.Op != nil && x.Op.Browser != nil { // also of a retired one: a page can read that it is gone
		x.Op.Browser.Mark(x)
	}
	if !v.Passed() {
		return v
	}
	return x.Op.Chain.Run(ctx, x, m)
}

// Settle tells the gates that reserved something what was used. It is called once for each judged exchange, whatever
// became of it; a second call does nothing.
func (s *Snapshot) Settle(ctx context.Context, x *gate.Exchange) {
	if x.Op != nil {
		x.Op.Chain.Settle(ctx, x, x.Usage)
	}
}

// Order returns the names of the gates in the order in which a request meets them.
func (s *Snapshot) Order() []string { return Order() }

// Operation is an operation as lists show it.
type Operation struct {
	*gate.Operation
	State      string   // draft, published, deprecated or retired
	Hosts      []string // empty: any
	Upstream   string   // name; empty for operations on models
	Open       bool     // anybody may call it
	Permission string
	Scopes     []string
	Gates      []string // of its chain, in order
}

// Operations returns every operation, drafts and retired ones included, in the order of the document. The list is shared.
func (s *Snapshot) Operations() []Operation { return s.listed }

// Plan returns a compiled plan, or nil.
func (s *Snapshot) Plan(name string) *gate.Plan { return s.plans[name] }

// Model returns a compiled model, or nil.
func (s *Snapshot) Model(name string) *gate.Model { return s.models[name] }

// Decisions returns the decision set of that name, or nil.
func (s *Snapshot) Decisions(name string) *pdp.Service { return s.decides[name] }

// Holder has the snapshot that is in force. The zero Holder has none.
type Holder struct{ current atomic.Pointer[Snapshot] }

// Load returns the snapshot in force, or nil before the first Swap. A request uses one snapshot from its start to its end.
func (h *Holder) Load() *Snapshot { return h.current.Load() }

// Swap puts s in force and returns its predecessor, or nil. Requests that have begun finish under the one they began with.
func (h *Holder) Swap(s *Snapshot) *Snapshot { return h.current.Swap(s) }
