package admin

import (
	"context"
	"errors"
	"slices"
	"time"

	"postern/internal/decision"
	"postern/internal/record"
	"postern/internal/store"
)

type recordsInput struct {
	PageInput
	Tenant      string    `query:"tenant" maxLength:"63" doc:"Tenant that publishes the API."`
	API         string    `query:"api" maxLength:"63"`
	Application string    `query:"application" maxLength:"63"`
	Operation   string    `query:"operation" maxLength:"200"`
	Key         string    `query:"key" maxLength:"128" doc:"Id of an API key."`
	Reason      string    `query:"reason" maxLength:"100" doc:"Code of the catalogue."`
	Gate        string    `query:"gate" maxLength:"100"`
	Outcome     string    `query:"outcome" enum:"passed,refused,answered,failed"`
	Origin      string    `query:"origin" enum:"gateway,upstream,unreachable"`
	Model       string    `query:"model" maxLength:"200"`
	Path        string    `query:"path" maxLength:"2048" doc:"Beginning of the path."`
	Status      int       `query:"status" minimum:"4" maximum:"599" doc:"A status, or 4 or 5 for a class."`
	Since       time.Time `query:"since"`
	Until       time.Time `query:"until"`
}

type traceInput struct {
	Trace string `path:"trace" maxLength:"64"`
}

func (s *Server) registerRecords() {
	const tag = "records"
	register(s, route{id: "list-records", method: "GET", path: "/records", tag: tag, summary: "Find call records, newest first",
		about: "Viewers are told what the owner of the calling application may know. Users of a tenant see calls to its APIs, and with application those of its applications to any API. Looks by a security administrator are audited."}, s.listRecords)
	register(s, route{id: "get-record", method: "GET", path: "/records/{trace}", tag: tag, summary: "Get the record of a call"}, s.getRecord)
}

func (s *Server) listRecords(ctx context.Context, c *caller, in *recordsInput) (*listed[record.Record], error) {
	if s.Records == nil {
		return nil, noRecords()
	}
	if c.confined() {
		if in.Tenant != "" && !c.sees(in.Tenant) {
			return nil, notFound("tenant", in.Tenant)
		}
		// The owner of an application may follow its calls to the APIs of others, told as an owner is.
		if own, err := s.ownApplication(ctx, c, in.Application); err != nil {
			return nil, err
		} else if !own {
			in.Tenant = c.user.Tenant
		}
	}
	if in.Status > 5 && in.Status < 100 {
		return nil, problem(422, "invalid", "status is neither a status nor a class.", "Write a status from 100 to 599, or 4 or 5 for a class.")
	}
	key, err := decodeCursor("records", in.After)
	if err != nil {
		return nil, err
	}
	q := record.Query{Tenant: in.Tenant, API: in.API, Application: in.Application, Operation: in.Operation, Key: in.Key, Reason: in.Reason, Gate: in.Gate,
		Outcome: in.Outcome, Origin: in.Origin, Model: in.Model, Path: in.Path, Status: in.Status, Since: in.Since, Until: in.Until}
	want := in.Limit
	if want <= 0 {
		want = 100
	}
	q.Limit = min(want+1, 1000)
	if key != "" {
		if q.Before, err = decision.ParseTraceID(key); err != nil {
			return nil, problem(400, "cursor_malformed", "after is not a cursor of this list.", "Send the next of the page before, or leave after out to begin anew.")
		}
	}
	if err := s.auditLook(ctx, c, "record.find", "records", in.Tenant, in.filter()); err != nil {
		return nil, err
	}
	rows, err := s.Records.FindRecords(ctx, q)
	if err != nil {
		return nil, err
	}
	more := len(rows) > want || len(rows) == 1000
	rows = rows[:min(len(rows), want)]
	out := &listed[record.Record]{Body: page[record.Record]{Items: make([]record.Record, 0, len(rows))}}
	for _, r := range rows {
		standing, ok := c.standingFor(r)
		if !ok {
			continue
		}
		r = cut(r, standing)
		// A filter on what may not be told would tell it.
		if matches(q.Reason, r.Reason) && matches(q.Gate, r.Gate) {
			out.Body.Items = append(out.Body.Items, r)
		}
	}
	if more {
		out.Body.Next = encodeCursor("records", rows[len(rows)-1].ID.String())
	}
	return out, nil
}

// filter is what was asked for, as the audit trail keeps it.
func (in *recordsInput) filter() map[string]any {
	out := map[string]any{}
	for name, v := range map[string]string{"tenant": in.Tenant, "api": in.API, "application": in.Application, "operation": in.Operation, "key": in.Key,
		"reason": in.Reason, "gate": in.Gate, "outcome": in.Outcome, "origin": in.Origin, "model": in.Model, "path": in.Path} {
		if v != "" {
			out[name] = v
		}
	}
	if in.Status != 0 {
		out["status"] = in.Status
	}
	if !in.Since.IsZero() {
		out["since"] = in.Since
	}
	if !in.Until.IsZero() {
		out["until"] = in.Until
	}
	return out
}

func (s *Server) getRecord(ctx context.Context, c *caller, in *traceInput) (*struct{ Body record.Record }, error) {
	r, standing, err := s.visibleRecord(ctx, c, in.Trace)
	if err != nil {
		return nil, err
	}
	if err := s.auditLook(ctx, c, "record.read", "record/"+r.ID.String(), r.Tenant, nil); err != nil {
		return nil, err
	}
	return &struct{ Body record.Record }{cut(r, standing)}, nil
}

// standingFor says how much of a record the caller may be told: as operator of the tenant that publishes the API, as owner
// when the caller's tenant is the one that called, and false when neither is so.
func (c *caller) standingFor(r record.Record) (decision.Disclosure, bool) {
	switch {
	case c.sees(r.Tenant):
		return c.standing(), true
	case c.sees(r.CallerTenant):
		return max(c.standing(), decision.ToOwner), true
	}
	return decision.ToOwner, false
}

// ownApplication reports whether an application, named in a filter, belongs to the caller's tenant.
func (s *Server) ownApplication(ctx context.Context, c *caller, id string) (bool, error) {
	if id == "" {
		return false, nil
	}
	_, err := s.application(ctx, s.Store, c, id)
	var p *Problem
	if errors.As(err, &p) {
		return false, nil
	}
	return err == nil, err
}

// visibleRecord reads a record that the caller may see, and says how much of it.
func (s *Server) visibleRecord(ctx context.Context, c *caller, trace string) (record.Record, decision.Disclosure, error) {
	if s.Records == nil {
		return record.Record{}, 0, noRecords()
	}
	id, err := decision.ParseTraceID(trace)
	if err != nil {
		return record.Record{}, 0, problem(422, "trace_malformed", "That is no trace id: "+err.Error()+".", "Copy the whole value of the Postern-Trace field.")
	}
	r, err := s.Records.Record(ctx, id)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return record.Record{}, 0, err
	}
	if err == nil {
		if standing, ok := c.standingFor(r); ok {
			return r, standing, nil
		}
	}
	return record.Record{}, 0, problem(404, "not_found", "There is no record of this trace.",
		"Records are written within a second and kept for a limited time; check the id, and that the call belongs to your tenant.")
}

func noRecords() *Problem {
	return problem(503, "no_records", "This node keeps no call records.", "Ask a node that does, or turn records on.")
}

// auditLook writes an entry when a security administrator looks at calls: that role sees across tenants, and so is seen.
func (s *Server) auditLook(ctx context.Context, c *caller, action, target, tenant string, detail any) error {
	if !slices.Contains(c.roles, "security") {
		return nil
	}
	return s.Store.Update(ctx, s.entry(c, action, target, tenant, detail), func(store.Tx) error { return nil })
}

// cut leaves of a record what an asker of that standing may be told.
func cut(r record.Record, asker decision.Disclosure) record.Record {
	if asker == decision.ToOperator {
		return r
	}
	r.Rule, r.Pointer, r.Fault, r.Peer = "", "", "", ""
	r.Fields, r.Attempts = nil, nil
	r.Upstream, r.Target = "", ""
	r.Reason, r.Gate = toldAs(r.Reason, r.Gate, asker)
	steps := make([]record.Step, 0, len(r.Steps))
	for _, st := range r.Steps {
		told, gate := toldAs(st.Reason, st.Gate, asker)
		if st.Reason != told && st.Outcome == decision.OutcomeShadow.String() {
			continue // a shadow changed nothing for the caller
		}
		step := record.Step{Gate: gate, Outcome: st.Outcome, Reason: told}
		if told == st.Reason {
			for _, f := range st.Facts {
				if f.Public.VisibleTo(asker) {
					step.Facts = append(step.Facts, f)
				}
			}
		}
		steps = append(steps, step)
	}
	r.Steps = steps
	return r
}

// toldAs is a reason's code and gate as an asker is told them. A code that this version does not know is not told.
func toldAs(code, gate string, asker decision.Disclosure) (string, string) {
	if code == "" {
		return "", gate
	}
	reason := decision.ByCode(code)
	if reason == nil {
		reason = decision.PolicyRefused
	}
	told := reason.Told(asker)
	if told == reason && reason.Code == code {
		return code, gate
	}
	return told.Code, told.Gate
}
