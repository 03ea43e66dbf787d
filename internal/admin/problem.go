package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"postern/internal/policy"
	"postern/internal/store"
)

// Problem is a refusal or fault of the management API as problem details (RFC 9457).
type Problem struct {
	Type     string    `json:"type" doc:"URN of the kind of problem: urn:postern:problem:<code>."`
	Title    string    `json:"title" doc:"A few words, the same for every occurrence."`
	Status   int       `json:"status" doc:"HTTP status."`
	Detail   string    `json:"detail,omitempty" doc:"What happened this time."`
	Code     string    `json:"code" doc:"For programs: stable, never reused."`
	Remedies []string  `json:"remedies,omitempty" doc:"What to do about it."`
	Errors   []Finding `json:"errors,omitempty" doc:"Every single mistake, where there are several."`

	header http.Header
}

// Finding is one mistake in what was sent.
type Finding struct {
	In      string `json:"in,omitempty" doc:"Where: body, query, path or header."`
	Pointer string `json:"pointer,omitempty" doc:"JSON pointer (RFC 6901) into the body, or the parameter's name."`
	Message string `json:"message" doc:"What is wrong."`
	Remedy  string `json:"remedy,omitempty" doc:"What to do."`
	File    string `json:"file,omitempty" doc:"File of a configuration document."`
	Line    int    `json:"line,omitempty" doc:"From 1."`
	Column  int    `json:"column,omitempty" doc:"From 1."`
}

// Error implements error.
func (p *Problem) Error() string { return p.Code + ": " + p.Detail }

// GetStatus implements huma.StatusError.
func (p *Problem) GetStatus() int { return p.Status }

// GetHeaders implements huma.HeadersError.
func (p *Problem) GetHeaders() http.Header { return p.header }

// ContentType implements huma.ContentTypeFilter.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// problem words a refusal.
func problem(status int, code, detail string, remedies ...string) *Problem {
	return &Problem{
		Type: "urn:postern:problem:" + code, Title: title(status, code), Status: status, Code: code,
		Detail: detail, Remedies: remedies,
	}
}

// with adds a header field to the answer.
func (p *Problem) with(name, value string) *Problem {
	if p.header == nil {
		p.header = http.Header{}
	}
	p.header.Set(name, value)
	return p
}

// retryAfter adds the field of that name, rounded up to whole seconds.
func (p *Problem) retryAfter(d time.Duration) *Problem {
	return p.with("Retry-After", strconv.FormatInt(max(1, int64((d+time.Second-1)/time.Second)), 10))
}

// title makes a title from a code, such as "Precondition failed".
func title(status int, code string) string {
	if code == "" {
		return http.StatusText(status)
	}
	t := strings.ReplaceAll(code, "_", " ")
	return strings.ToUpper(t[:1]) + t[1:]
}

// notFound is the one answer for rows that are not there and rows of other tenants.
func notFound(kind, id string) *Problem {
	return problem(404, "not_found", fmt.Sprintf("There is no %s %q.", kind, id),
		"Check the id, and that you are signed in to the tenant it belongs to.")
}

// invalid refuses one field of a body.
func invalid(pointer, message, remedy string) *Problem {
	p := problem(422, "invalid", message)
	if remedy != "" {
		p.Remedies = []string{remedy}
	}
	p.Errors = []Finding{{In: "body", Pointer: pointer, Message: message, Remedy: remedy}}
	return p
}

// problemsFound refuses a document with everything that is wrong in it.
func problemsFound(found policy.Problems) *Problem {
	n := "1 problem"
	if len(found) != 1 {
		n = fmt.Sprintf("%d problems", len(found))
	}
	p := problem(422, "document_invalid", "The document has "+n+"; the configuration was not changed.",
		"Correct what errors lists, then send it again; `postern validate FILE` checks without a gateway.")
	p.Errors = findings(found)
	return p
}

func findings(found policy.Problems) []Finding {
	out := make([]Finding, len(found))
	for i, f := range found {
		out[i] = Finding{In: "body", File: f.File, Pointer: f.Pointer, Message: f.Message, Remedy: f.Remedy, Line: f.Line, Column: f.Column}
	}
	return out
}

// refusal turns any error of a handler into what the caller is told. Faults are logged whole and told without detail:
// error texts are an attack surface.
func (s *Server) refusal(ctx context.Context, route string, err error) *Problem {
	var p *Problem
	var found policy.Problems
	var input *InputError
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &found):
		return problemsFound(found)
	case errors.As(err, &input):
		p = problem(422, "invalid", input.Message)
		if input.Remedy != "" {
			p.Remedies = []string{input.Remedy}
		}
		return p
	case errors.Is(err, store.ErrNotFound):
		return problem(404, "not_found", "There is no such thing.", "Check the id.")
	case errors.Is(err, store.ErrConflict):
		return problem(409, "conflict", "Something else holds this place, or changed at the same moment.", "Read the current state and try again.")
	case errors.Is(err, store.ErrReference):
		return problem(409, "reference", "Something this needs is not there, or something still needs this.", "Create what is missing first, or delete what depends on it.")
	case errors.Is(err, context.Canceled):
		return problem(503, "cancelled", "The request was cancelled before it was carried out.", "Send it again.")
	case errors.Is(err, context.DeadlineExceeded):
		s.Logger.Error("management API too slow", "route", route, "err", err)
		return problem(503, "too_slow", "The request took too long and was given up.", "Try again in a moment.").retryAfter(time.Second)
	}
	s.Logger.Error("management API fault", "route", route, "err", err)
	return problem(500, "fault", "The gateway could not carry this out, by a fault of its own. Nothing was changed.",
		"Try again; if it happens again, look in the gateway's log for \"management API fault\".")
}

// writeProblem answers outside huma.
func writeProblem(w http.ResponseWriter, p *Problem) {
	h := w.Header()
	for k, v := range p.header {
		h[k] = v
	}
	h.Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the client is gone: nobody is left to tell
}

// Huma asks package variables how errors are made and whether names are compared exactly. This package is its only user.
func init() {
	huma.ValidateStrictCasing = true
	huma.NewError = func(status int, msg string, errs ...error) huma.StatusError { return fromHuma(status, msg, errs) }
	huma.NewErrorWithContext = func(_ huma.Context, status int, msg string, errs ...error) huma.StatusError {
		return fromHuma(status, msg, errs)
	}
}

// fromHuma rewords what huma found wrong with a request. Values sent are not repeated: they may be passwords.
func fromHuma(status int, msg string, errs []error) *Problem {
	code, remedy := "invalid", "Correct what errors lists; /api/openapi.json describes every route."
	switch status {
	case 400:
		code = "malformed"
	case 408:
		code, remedy = "body_timeout", "Send the body without long pauses."
	case 413:
		code, remedy = "body_too_large", "Send less."
	case 415:
		code, remedy = "media_type", "Send the body as application/json."
	case 500:
		status, code, remedy = 400, "body_unreadable", "Send the body whole: it broke off."
		msg, errs = "the request body could not be read", nil
	}
	p := problem(status, code, strings.ToUpper(msg[:min(1, len(msg))])+msg[min(1, len(msg)):]+".", remedy)
	for _, e := range errs {
		f := Finding{Message: e.Error()}
		var d huma.ErrorDetailer
		if errors.As(e, &d) {
			detail := d.ErrorDetail()
			f.Message = detail.Message
			f.In, f.Pointer = pointerOf(detail.Location)
		}
		p.Errors = append(p.Errors, f)
	}
	return p
}

// pointerOf turns huma's "body.items[3].name" into ("body", "/items/3/name").
func pointerOf(location string) (in, pointer string) {
	in, rest, _ := strings.Cut(location, ".")
	if in != "body" {
		return in, rest
	}
	rest = strings.NewReplacer("[", ".", "]", "").Replace(rest)
	for part := range strings.SplitSeq(rest, ".") {
		if part != "" {
			pointer += "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(part)
		}
	}
	return in, pointer
}
