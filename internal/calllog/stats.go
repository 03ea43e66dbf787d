package calllog

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Stats is what became of the calls so far. Every call that was recorded is in exactly one of Queued, Written,
// DroppedAllowed, DroppedRefused and Lost.
type Stats struct {
	Queued         int64     `json:"queued"`       // waiting to be written
	QueuedBytes    int64     `json:"queued_bytes"` // what they take
	Written        int64     `json:"written"`
	DroppedAllowed int64     `json:"dropped_allowed"` // the queue was full
	DroppedRefused int64     `json:"dropped_refused"` // the queue was full, its reserve too
	Lost           int64     `json:"lost"`            // the store failed for too long
	Trimmed        int64     `json:"trimmed"`         // deleted for their age or number
	TailDropped    int64     `json:"tail_dropped"`    // not shown to somebody who follows too slowly
	AccessDropped  int64     `json:"access_dropped"`  // lines that the access log did not take
	Fault          string    `json:"fault,omitempty"` // why the store failed last; empty: it works
	Since          time.Time `json:"since,omitzero"`  // of the fault
}

type counters struct {
	written, droppedAllowed, droppedRefused, lost, trimmed, tailDropped, accessDropped atomic.Int64

	mu    sync.Mutex
	fault string
	since time.Time
}

// report keeps how the store is, and logs when that changes.
func (c *counters) report(err error, now time.Time, logger *slog.Logger) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err == nil && c.fault != "":
		logger.Info("call records are written again", "after", now.Sub(c.since), "lost", c.lost.Load(),
			"dropped_allowed", c.droppedAllowed.Load(), "dropped_refused", c.droppedRefused.Load())
		c.fault, c.since = "", time.Time{}
	case err != nil:
		if c.fault == "" {
			c.since = now
			logger.Error("call records cannot be written; trying again", "error", err)
		}
		c.fault = err.Error()
	}
}

// Stats returns the counts.
func (l *Log) Stats() Stats {
	c := &l.stats
	c.mu.Lock()
	defer c.mu.Unlock()
	return Stats{
		Queued: l.queued.Load(), QueuedBytes: l.bytes.Load(), Written: c.written.Load(),
		DroppedAllowed: c.droppedAllowed.Load(), DroppedRefused: c.droppedRefused.Load(), Lost: c.lost.Load(), Trimmed: c.trimmed.Load(),
		TailDropped: c.tailDropped.Load(), AccessDropped: c.accessDropped.Load(), Fault: c.fault, Since: c.since,
	}
}
