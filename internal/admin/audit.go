package admin

import (
	"context"

	"postern/internal/store"
)

type auditInput struct {
	NumberedInput
	Actor  string `query:"actor" maxLength:"200"`
	Action string `query:"action" maxLength:"100" doc:"Such as key.create."`
	Target string `query:"target" maxLength:"200" doc:"Such as key/k_1a2b."`
	Tenant string `query:"tenant" maxLength:"63"`
}

func (s *Server) registerAudit() {
	register(s, route{id: "list-audit", method: "GET", path: "/audit", tag: "audit", summary: "Read the audit trail, newest first",
		about: "Every write of the management API, and every look at records by a security administrator. Users of a tenant see its entries."}, s.listAudit)
}

func (s *Server) listAudit(ctx context.Context, c *caller, in *auditInput) (*listed[store.AuditEntry], error) {
	var keep func(store.AuditEntry) bool
	if c.confined() || in.Actor+in.Action+in.Target+in.Tenant != "" {
		keep = func(e store.AuditEntry) bool {
			return c.sees(e.Tenant) && matches(in.Actor, e.Actor) && matches(in.Action, e.Action) && matches(in.Target, e.Target) && matches(in.Tenant, e.Tenant)
		}
	}
	return collectNumbered(ctx, "audit", in.NumberedInput, s.Store.AuditTrail, func(e store.AuditEntry) uint64 { return e.Number }, keep)
}

func matches(want, got string) bool { return want == "" || want == got }
