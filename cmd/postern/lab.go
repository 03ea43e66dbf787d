package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"postern/internal/admin"
	"postern/internal/change"
	"postern/internal/decision"
	"postern/internal/directory"
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
	opts, err := supposed(ctx, l.node.db, r, judge)
	if err != nil {
		return nil, err
	}
	if len(requests) <= mostProved {
		opts = append(opts, lab.Proven(l.prover()))
	}
	var out simulation
	for _, request := range requests {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if !request.Client.IsValid() {
			request.Client = from
		}
		out.Results = append(out.Results, lab.Simulate(ctx, judge, l.env, request, opts...))
	}
	return out, nil
}

// mostProved is how many requests of one source are told what would let them pass; of more, the verdicts are the point.
const mostProved = 20

// supposed turns what a question supposes into options.
func supposed(ctx context.Context, db store.Reader, r admin.SimulateRequest, judge *snapshot.Snapshot) ([]lab.SimulateOption, error) {
	var opts []lab.SimulateOption
	switch {
	case r.Key != "":
		key, err := db.Key(ctx, r.Key)
		if errors.Is(err, store.ErrNotFound) {
			return nil, &admin.InputError{Message: "There is no key " + r.Key + ".", Remedy: "`postern keys list` shows the ids of keys."}
		}
		if err != nil {
			return nil, err
		}
		opts = append(opts, lab.AsKey(key))
	case r.Application != "":
		opts = append(opts, lab.AsApplication(r.Application, r.User))
	}
	if !r.At.IsZero() {
		opts = append(opts, lab.At(r.At))
	}
	return withoutGates(opts, r.Without, judge)
}

// withoutGates leaves gates out that there are.
func withoutGates(opts []lab.SimulateOption, names []string, judge *snapshot.Snapshot) ([]lab.SimulateOption, error) {
	for _, name := range names {
		if name == "route" || !slices.Contains(judge.Order(), name) {
			return nil, &admin.InputError{Message: "There is no gate " + name + " that could be left out.", Remedy: "Name one of " + strings.Join(judge.Order()[1:], ", ") + "."}
		}
		opts = append(opts, lab.Without(name))
	}
	return opts, nil
}

// prover finds remedies with what the store knows.
func (l *labAdapter) prover() *lab.Prover {
	return &lab.Prover{Key: l.node.db.Key, Holders: func(ctx context.Context, role string) (n int, err error) {
		err = l.node.db.EachApplication(ctx, func(a directory.Application) error {
			if slices.Contains(a.Roles, role) {
				n++
			}
			return nil
		})
		return n, err
	}}
}

// Matrix implements admin.Matrixer.
func (l *labAdapter) Matrix(ctx context.Context, r admin.SimulateRequest) (any, error) {
	judge, err := l.node.holder.Load(), error(nil)
	if len(r.Config) > 0 {
		if judge, err = compileCandidate("candidate", r.Config); err != nil {
			return nil, err
		}
	}
	var from netip.Addr
	if r.Client != "" {
		if from, err = netip.ParseAddr(r.Client); err != nil {
			return nil, &admin.InputError{Message: "The client address is no IP address."}
		}
	}
	return matrixOf(ctx, l.node.db, judge, l.env, from)
}

// matrixOf asks about every application of the store.
func matrixOf(ctx context.Context, db store.Store, judge *snapshot.Snapshot, env *gate.Env, from netip.Addr) (lab.Matrix, error) {
	var applications []directory.Application
	if err := db.EachApplication(ctx, func(a directory.Application) error {
		applications = append(applications, a)
		return nil
	}); err != nil {
		return lab.Matrix{}, err
	}
	slices.SortFunc(applications, func(a, b directory.Application) int { return strings.Compare(a.ID, b.ID) })
	if n := len(applications) * len(judge.Operations()); n > lab.MostCells {
		return lab.Matrix{}, &admin.InputError{Message: fmt.Sprintf("The matrix would have %d cells, and %d are the most.", n, lab.MostCells),
			Remedy: "Ask about single requests with --as."}
	}
	return lab.WhoMayCallWhat(ctx, judge, env, applications, from)
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
	return lab.Explain(ctx, record, judge, l.env, asker, lab.WithKeys(l.node.db.Key), lab.WithProof(l.prover(), l.node.holder.Load())), nil
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
