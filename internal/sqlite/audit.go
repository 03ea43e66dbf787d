package sqlite

import (
	"context"

	"postern/internal/store"
)

func scanAudit(r row) (e store.AuditEntry, err error) {
	err = r.Scan(&e.Number, instant{&e.Time}, &e.Actor, &e.From, &e.Action, &e.Target, &e.Tenant, &e.Detail)
	return e, err
}

// AuditTrail implements store.Reader.
func (r *reader) AuditTrail(ctx context.Context, before uint64, n int) ([]store.AuditEntry, error) {
	return list(ctx, r, "audit trail", scanAudit,
		`SELECT number, time, actor, source, action, target, tenant, detail FROM audit_trail WHERE number < ? ORDER BY number DESC LIMIT ?`,
		newestBelow(before), limit(n, 100))
}

// audit writes the entry of this transaction. It has no way to fail alone: without its entry a write is not kept.
func (x *tx) audit(ctx context.Context, e store.AuditEntry) error {
	if e.Time.IsZero() {
		e.Time = x.now
	}
	_, err := x.exec(ctx, "write the audit trail",
		`INSERT INTO audit_trail (time, actor, source, action, target, tenant, detail) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		millis(e.Time), e.Actor, e.From, e.Action, e.Target, e.Tenant, e.Detail)
	return err
}
