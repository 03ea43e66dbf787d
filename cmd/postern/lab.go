package main

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"postern/internal/admin"
	"postern/internal/change"
	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/lab"
	"postern/internal/policy"
	"postern/internal/reqtext"
	"postern/internal/snapshot"
	"postern/internal/store"
)

// labAdapter answers the management API's questions with the running node's snapshot, directory and records.
type labAdapter struct {
	node *node
	env  *gate.Env
}

// simulation is what POST /api/v1/simulate answers.
type simulation struct {
	Results []lab.Result `json:"results"`
}

// Simulate implements admin.Lab.
func (l *labAdapter) Simulate(ctx context.Context, r admin.SimulateRequest) (any, error) {
	requests, err := reqtext.Parse([]byte(r.Request), r.Hint)
	if err != nil {
		return nil, &admin.InputError{Message: err.Error(), Remedy: "Give a curl command, a raw HTTP message, an .http file or a HAR entry."}
	}
	from := netip.MustParseAddr("127.0.0.1")
	if r.Client != "" {
		if from, err = netip.ParseAddr(r.Client); err != nil {
			return nil, &admin.InputError{Message: "The client address is no IP address.", Remedy: "Write it without a port, such as 203.0.113.7."}
		}
	}
	judge := l.node.holder.Load()
	if len(r.Config) > 0 {
		if judge, err = compileCandidate("candidate", r.Config); err != nil {
			return nil, err
		}
	}
	var out simulation
	for _, request := range requests {
		if !request.Client.IsValid() {
			request.Client = from
		}
		out.Results = append(out.Results, lab.Simulate(ctx, judge, l.env, request))
	}
	return out, nil
}

// Explain implements admin.Lab.
func (l *labAdapter) Explain(ctx context.Context, trace decision.TraceID, asker decision.Disclosure) (any, error) {
	record, err := l.node.records.Get(ctx, trace)
	if err != nil {
		return nil, err
	}
	judge := l.node.holder.Load()
	if record.Generation != judge.Generation {
		if then := l.generation(ctx, record.Generation); then != nil {
			judge = then
		}
	}
	return lab.Explain(ctx, record, judge, l.env, asker, lab.WithKeys(l.node.db.Key)), nil
}

// generation compiles an earlier configuration, or returns nil when it is not at hand or no longer compiles: the call is
// then explained by its record and the running configuration, and the explanation says so.
func (l *labAdapter) generation(ctx context.Context, number uint64) *snapshot.Snapshot {
	g, err := l.node.db.Generation(ctx, number)
	if err != nil {
		if !errors.Is(err, store.ErrNotFound) {
			l.node.log.Error("an earlier generation cannot be read", "generation", number, "error", err)
		}
		return nil
	}
	s, err := compileCandidate("generation", g.Document)
	if err != nil {
		l.node.log.Warn("an earlier generation does not compile any more", "generation", number, "error", err)
		return nil
	}
	s.Generation = number
	return s
}

// compileCandidate compiles a document that is only asked questions: its upstreams are idle and taken for healthy.
func compileCandidate(name string, source []byte) (*snapshot.Snapshot, error) {
	doc, err := policy.Parse(name, source)
	if err != nil {
		return nil, err
	}
	s, err := snapshot.Compile(doc, 0, snapshot.Deps{Upstream: func(upstream string) (gate.Upstream, bool) {
		_, known := doc.Upstreams[upstream]
		return idleUpstream(upstream), known
	}})
	if err != nil {
		return nil, change.Located(doc, err)
	}
	return s, nil
}

// idleUpstream stands for an upstream that nothing is known about.
type idleUpstream string

func (u idleUpstream) Name() string { return string(u) }

// State implements gate.Upstream. RATIONALE: a candidate's upstreams are not connected to, so their health is not known;
// saying that they are down would hide what the other gates decide.
func (u idleUpstream) State(time.Time) gate.UpstreamState {
	return gate.UpstreamState{Targets: 1, Healthy: 1}
}
