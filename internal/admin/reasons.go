package admin

import (
	"context"
	"net/http"

	"postern/internal/decision"
)

// Reason is an entry of the catalogue.
type Reason struct {
	Code   string         `json:"code"`
	Gate   string         `json:"gate" doc:"The layer that refuses."`
	Status int            `json:"status" doc:"HTTP status; 0: the upstream's own."`
	Title  string         `json:"title"`
	Means  string         `json:"means" doc:"What happened, and why Postern refuses."`
	Told   string         `json:"told" enum:"operator,owner,proven,anyone" doc:"Who may be told this code; others are told told_others."`
	Others string         `json:"told_others,omitempty" doc:"Code that others are told instead."`
	Advice []ReasonAdvice `json:"advice" nullable:"false" doc:"Who can do what."`
	Page   string         `json:"page" doc:"Path of the page for people."`
}

// ReasonAdvice is one remedy. Braces hold the name of a fact, and after the bar the words that stand in for it.
type ReasonAdvice struct {
	Who  string `json:"who" enum:"caller,owner,operator"`
	Text string `json:"text"`
}

type reasonInput struct {
	Code string `path:"code" maxLength:"100"`
}

func (s *Server) registerReasons() {
	const tag = "explanations"
	register(s, route{id: "list-reasons", method: "GET", path: "/reasons", tag: tag, summary: "The catalogue of reasons"},
		func(context.Context, *caller, *struct{}) (*listed[Reason], error) {
			out := &listed[Reason]{}
			for _, r := range decision.Catalogue() {
				out.Body.Items = append(out.Body.Items, reasonView(r))
			}
			return out, nil
		})
	register(s, route{id: "get-reason", method: "GET", path: "/reasons/{code}", tag: tag, summary: "One reason"},
		func(_ context.Context, _ *caller, in *reasonInput) (*struct{ Body Reason }, error) {
			r := decision.ByCode(in.Code)
			if r == nil {
				return nil, problem(404, "not_found", "There is no reason with this code.", "GET /api/v1/reasons lists them.")
			}
			return &struct{ Body Reason }{reasonView(r)}, nil
		})
	s.mux.HandleFunc("GET /reasons/{$}", s.reasonIndex)
	s.mux.HandleFunc("GET /reasons", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/reasons/", http.StatusMovedPermanently)
	})
	s.mux.HandleFunc("GET /reasons/{code}", s.reasonPage)
}

func reasonView(r *decision.Reason) Reason {
	v := Reason{Code: r.Code, Gate: r.Gate, Status: r.Status, Title: r.Title, Means: r.Means, Told: r.Public.String(), Page: "/reasons/" + r.Code, Advice: []ReasonAdvice{}}
	if told := r.Told(decision.ToAnyone); told != r {
		v.Others = told.Code
	}
	for _, a := range r.Advice {
		v.Advice = append(v.Advice, ReasonAdvice{a.Who.String(), a.Text})
	}
	return v
}
