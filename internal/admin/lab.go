package admin

import (
	"context"
	"errors"
	"net/netip"

	"postern/internal/store"
)

// SimulateBody is a request to be judged, as people have it.
type SimulateBody struct {
	Request string `json:"request" minLength:"1" maxLength:"900000" doc:"A curl command, a raw HTTP message, an .http file or a HAR entry."`
	Hint    string `json:"hint,omitempty" enum:"curl,raw,http,har" doc:"Which of them; missing: found out."`
	Client  string `json:"client,omitempty" maxLength:"64" doc:"Address it would come from; missing: loopback."`
	Config  string `json:"config,omitempty" maxLength:"16777216" doc:"A candidate document; missing: the running one."`
}

type simulateInput struct{ Body SimulateBody }

// anyBody is an answer whose shape belongs to the lab.
type anyBody struct{ Body any }

func (s *Server) registerLab() {
	const tag = "explanations"
	register(s, route{id: "explain-record", method: "GET", path: "/explain/{trace}", tag: tag, summary: "Explain why a call was decided as it was",
		about: "Every gate, also those after the refusal, with rule, facts and remedies, cut to what the caller may be told."}, s.explain)
	register(s, route{id: "simulate", method: "POST", path: "/simulate", tag: tag, summary: "Judge a request without sending it", status: 200, body: maxDocument + maxBody,
		about: "The very gates that live requests pass. Nothing is sent, spent or written."}, s.simulate)
}

func noLab() *Problem {
	return problem(503, "no_lab", "This node does not explain.", "Ask a node that serves the gateway.")
}

func (s *Server) explain(ctx context.Context, c *caller, in *traceInput) (*anyBody, error) {
	if s.Lab == nil {
		return nil, noLab()
	}
	r, standing, err := s.visibleRecord(ctx, c, in.Trace)
	if err != nil {
		return nil, err
	}
	if err := s.auditLook(ctx, c, "record.explain", "record/"+r.ID.String(), r.Tenant, nil); err != nil {
		return nil, err
	}
	answer, err := s.Lab.Explain(ctx, r.ID, standing)
	if errors.Is(err, store.ErrNotFound) {
		return nil, problem(404, "not_found", "There is no record of this trace any more.", "Records are kept for a limited time.")
	}
	if err != nil {
		return nil, err
	}
	return &anyBody{answer}, nil
}

func (s *Server) simulate(ctx context.Context, _ *caller, in *simulateInput) (*anyBody, error) {
	if s.Lab == nil {
		return nil, noLab()
	}
	b := in.Body
	if b.Client != "" {
		if _, err := netip.ParseAddr(b.Client); err != nil {
			return nil, invalid("/client", "That is no IP address.", "Write it without a port, such as 203.0.113.7.")
		}
	}
	answer, err := s.Lab.Simulate(ctx, SimulateRequest{Request: b.Request, Hint: b.Hint, Client: b.Client, Config: []byte(b.Config)})
	if err != nil {
		return nil, err
	}
	return &anyBody{answer}, nil
}
