package admin

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"postern/internal/store"
)

// SimulateBody is a request to be judged, as people have it.
type SimulateBody struct {
	Request string `json:"request" minLength:"1" maxLength:"900000" doc:"A curl command, a raw HTTP message, an .http file or a HAR entry."`
	Hint    string `json:"hint,omitempty" enum:"curl,raw,http,har" doc:"Which of them; missing: found out."`
	Client  string `json:"client,omitempty" maxLength:"64" doc:"Address it would come from; missing: loopback."`
	Config  string `json:"config,omitempty" maxLength:"16777216" doc:"A candidate document; missing: the running one."`
	Suppose
}

// Suppose is what a question supposes.
type Suppose struct {
	Application string    `json:"as_application,omitempty" maxLength:"63" doc:"Suppose that this application calls, whatever credential the request carries."`
	User        string    `json:"as_user,omitempty" maxLength:"200" doc:"The user that the application acts for."`
	Key         string    `json:"as_key,omitempty" maxLength:"128" doc:"Suppose that the request carries the key with this id. Its text is not needed."`
	At          time.Time `json:"at,omitzero" required:"false" doc:"Suppose that it is this time."`
	Without     []string  `json:"without,omitempty" maxItems:"20" doc:"Gates to leave out. Nothing is sent, so that this is safe."`
}

// MatrixBody asks who may call what.
type MatrixBody struct {
	Client string `json:"client,omitempty" maxLength:"64" doc:"Address that everybody would call from; missing: not known."`
	Config string `json:"config,omitempty" maxLength:"16777216" doc:"A candidate document; missing: the running one."`
}

type matrixInput struct{ Body MatrixBody }

type simulateInput struct{ Body SimulateBody }

// anyBody is an answer whose shape belongs to the lab.
type anyBody struct{ Body any }

func (s *Server) registerLab() {
	const tag = "explanations"
	register(s, route{id: "explain-record", method: "GET", path: "/explain/{trace}", tag: tag, summary: "Explain why a call was decided as it was",
		about: "Every gate, also those after the refusal, with rule, facts and remedies, cut to what the caller may be told."}, s.explain)
	register(s, route{id: "simulate", method: "POST", path: "/simulate", tag: tag, summary: "Judge a request without sending it", status: 200, body: maxDocument + maxBody,
		about: "The very gates that live requests pass. Nothing is sent, spent or written."}, s.simulate)
	register(s, route{id: "simulate-matrix", method: "POST", path: "/simulate/matrix", tag: tag, summary: "Say who may call what", status: 200, body: maxDocument + maxBody,
		about: "Every operation that is served, for every application, asked of the gates themselves. Nothing is sent, spent or written."}, s.simulateMatrix)
}

// fault says what cannot be supposed.
func (s Suppose) fault() *Problem {
	switch {
	case s.Application != "" && s.Key != "":
		return invalid("/as_key", "A key belongs to an application; both cannot be supposed.", "Give one of as_application and as_key.")
	case s.User != "" && s.Application == "":
		return invalid("/as_user", "A user calls through an application.", "Give as_application too.")
	}
	return nil
}

func (s *Server) simulateMatrix(ctx context.Context, _ *caller, in *matrixInput) (*anyBody, error) {
	matrixer, ok := s.Lab.(Matrixer)
	if !ok {
		return nil, noLab()
	}
	if in.Body.Client != "" {
		if _, err := netip.ParseAddr(in.Body.Client); err != nil {
			return nil, invalid("/client", "That is no IP address.", "Write it without a port, such as 203.0.113.7.")
		}
	}
	answer, err := matrixer.Matrix(ctx, SimulateRequest{Client: in.Body.Client, Config: []byte(in.Body.Config)})
	if err != nil {
		return nil, err
	}
	return &anyBody{answer}, nil
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
	if p := b.fault(); p != nil {
		return nil, p
	}
	answer, err := s.Lab.Simulate(ctx, SimulateRequest{Request: b.Request, Hint: b.Hint, Client: b.Client, Config: []byte(b.Config),
		Application: b.Application, User: b.User, Key: b.Key, At: b.At, Without: b.Without})
	if err != nil {
		return nil, err
	}
	return &anyBody{answer}, nil
}
