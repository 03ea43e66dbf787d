package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"postern/internal/pdp"
)

// maxEvaluations bounds how many questions one request may ask.
const maxEvaluations = 1000

// registerAuthZEN mounts the answers to OpenID AuthZEN (Authorization API 1.0): a set of the document decides for other
// programs. They sign in like any program does, with a token whose role allows to simulate.
func (s *Server) registerAuthZEN() {
	for _, base := range []string{"", "/decisions/{set}"} {
		s.mux.HandleFunc("POST "+base+"/access/v1/evaluation", s.evaluation(false))
		s.mux.HandleFunc("POST "+base+"/access/v1/evaluations", s.evaluation(true))
	}
}

// evaluations is the body of both endpoints: the members outside of the list are the defaults of those in it.
type evaluations struct {
	pdp.Evaluation
	Evaluations []json.RawMessage `json:"evaluations"`
	Options     struct {
		Semantic string `json:"evaluations_semantic"`
	} `json:"options"`
}

// decided is one answer.
type decided struct {
	Decision bool           `json:"decision"`
	Context  map[string]any `json:"context,omitempty"`
}

func (s *Server) evaluation(several bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if id := r.Header.Get("X-Request-ID"); id != "" && len(id) <= 200 {
			w.Header().Set("X-Request-ID", id) // section 10.1.3: the same in the answer
		}
		if _, p := s.admitted(r, access{simulate, platform}); p != nil {
			writeProblem(w, p)
			return
		}
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(20 * time.Second)) // without one, the server's own applies
		answer, p := s.evaluate(r, several)
		if p != nil {
			writeProblem(w, p)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_ = writeJSON(w, answer) // the client is gone: nobody is left to tell
	}
}

func (s *Server) evaluate(r *http.Request, several bool) (any, *Problem) {
	name := r.PathValue("set")
	if name == "" {
		name = "default"
	}
	var set *pdp.Service
	if s.Decisions != nil {
		set = s.Decisions(name)
	}
	if set == nil {
		return nil, problem(404, "not_found", fmt.Sprintf("There is no decision set %q.", name), "Add it under decision_sets in the configuration.")
	}
	data, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	switch {
	case err != nil:
		return nil, problem(400, "malformed", "The body broke off.", "Send it whole.")
	case len(data) > maxBody:
		return nil, problem(413, "too_large", fmt.Sprintf("The body is larger than %d bytes.", maxBody), "Ask in several requests.")
	}
	var in evaluations
	if err := readEvaluation(data, &in); err != nil {
		return nil, problem(400, "malformed", "The body is not an evaluation: "+err.Error()+".", "Send JSON with subject, action and resource.")
	}
	if !several || len(in.Evaluations) == 0 {
		d, err := decide(set, &in.Evaluation)
		if err != nil {
			return nil, problem(400, "malformed", "The question is not complete: "+err.Error()+".", "Send subject, action and resource.")
		}
		return d, nil
	}
	if len(in.Evaluations) > maxEvaluations {
		return nil, problem(413, "too_large", fmt.Sprintf("There are more than %d evaluations.", maxEvaluations), "Ask in several requests.")
	}
	return evaluateAll(set, &in)
}

// evaluateAll answers in the order of the questions, as far as the semantic asked for goes.
func evaluateAll(set *pdp.Service, in *evaluations) (any, *Problem) {
	var stop func(bool) bool
	switch in.Options.Semantic {
	case "", "execute_all":
		stop = func(bool) bool { return false }
	case "deny_on_first_deny":
		stop = func(d bool) bool { return !d }
	case "permit_on_first_permit":
		stop = func(d bool) bool { return d }
	default:
		return nil, problem(400, "malformed", "The semantic is not known.", "Write execute_all, deny_on_first_deny or permit_on_first_permit.")
	}
	all := []decided{}
	for _, raw := range in.Evaluations {
		own := struct {
			Subject  *pdp.Party
			Resource *pdp.Party
			Action   *json.RawMessage
			Context  map[string]any
		}{}
		e := in.Evaluation
		err := readEvaluation(raw, &own)
		if err == nil && own.Action != nil {
			e.Action.Name, e.Action.Properties = "", nil
			err = readEvaluation(*own.Action, &e.Action)
		}
		if own.Subject != nil {
			e.Subject = *own.Subject
		}
		if own.Resource != nil {
			e.Resource = *own.Resource
		}
		if own.Context != nil {
			e.Context = own.Context
		}
		var d decided
		if err == nil {
			d, err = decide(set, &e)
		}
		if err != nil { // one question that cannot be read leaves the others be
			d = decided{Context: map[string]any{"error": map[string]any{"status": 400, "message": err.Error()}}}
		}
		if all = append(all, d); stop(d.Decision) {
			break
		}
	}
	return map[string]any{"evaluations": all}, nil
}

func decide(set *pdp.Service, e *pdp.Evaluation) (decided, error) {
	allowed, a, err := set.Evaluate(e)
	if err != nil {
		return decided{}, err
	}
	d := decided{Decision: allowed}
	var why []string
	for _, p := range append(a.Forbids, a.Permits...) {
		why = append(why, p.ID)
	}
	if len(why) > 0 {
		d.Context = map[string]any{"reason_admin": map[string]any{"en": "decided by " + strings.Join(why, ", ")}}
	}
	for _, f := range a.Faults {
		if d.Context == nil {
			d.Context = map[string]any{}
		}
		d.Context["policy_error"] = f.Policy.ID + " does not apply: " + f.Message
	}
	return d, nil
}

// readEvaluation reads JSON in which no name stands twice. Unknown members are left alone, as the standard says.
func readEvaluation(data []byte, into any) error {
	if err := checkNames(data); err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(into); err != nil {
		if t, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return fmt.Errorf("a %s does not fit %s", t.Value, t.Field)
		}
		return errors.New("it is not JSON")
	}
	return nil
}
