package record

import (
	"strings"
	"time"

	"postern/internal/decision"
)

// Match reports whether a record is one that the query selects, leaving Limit aside. It means the same as a store's
// FindRecords, so that following live traffic and looking back show the same calls.
func (q *Query) Match(r *Record) bool {
	for _, f := range [...]struct{ want, got string }{
		{q.Tenant, r.Tenant}, {q.API, r.API}, {q.Application, r.Application}, {q.Operation, r.Operation}, {q.Key, r.Key},
		{q.Reason, r.Reason}, {q.Gate, r.Gate}, {q.Outcome, r.Outcome}, {q.Origin, r.Origin}, {q.Model, r.Model},
	} {
		if f.want != "" && f.want != f.got {
			return false
		}
	}
	switch {
	case !strings.HasPrefix(r.Path, q.Path):
		return false
	case (q.Status == 4 || q.Status == 5) && r.Status/100 != q.Status:
		return false
	case q.Status != 0 && q.Status != 4 && q.Status != 5 && r.Status != q.Status:
		return false
	}
	at := r.ID.Time()
	switch {
	case !q.Since.IsZero() && at.Before(q.Since.Truncate(time.Millisecond)):
		return false
	case !q.Until.IsZero() && at.After(q.Until):
		return false
	}
	return q.Before == (decision.TraceID{}) || string(r.ID[:]) < string(q.Before[:])
}
