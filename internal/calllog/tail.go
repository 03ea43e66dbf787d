package calllog

import (
	"context"
	"sync"
	"sync/atomic"

	"postern/internal/decision"
	"postern/internal/record"
)

// tailRecords is how many records wait for one who follows.
const tailRecords = 256

// tails is everybody who follows live.
type tails struct {
	n      atomic.Int32 // spares the writer the lock while nobody follows
	mu     sync.Mutex
	closed bool
	all    map[*tail]struct{}
}

type tail struct {
	query record.Query
	out   chan record.Record
}

// Tail follows live: it sends every record that the query selects, from now on, until ctx ends or the log is closed, and
// then closes the channel. Whoever reads too slowly misses records; Stats counts them. Limit and Before mean nothing here.
func (l *Log) Tail(ctx context.Context, q record.Query) <-chan record.Record {
	q.Before, q.Limit = decision.TraceID{}, 0
	t := &tail{query: q, out: make(chan record.Record, tailRecords)}
	l.tails.mu.Lock()
	defer l.tails.mu.Unlock()
	if l.tails.closed {
		close(t.out)
		return t.out
	}
	if l.tails.all == nil {
		l.tails.all = map[*tail]struct{}{}
	}
	l.tails.all[t] = struct{}{}
	l.tails.n.Add(1)
	context.AfterFunc(ctx, func() {
		l.tails.mu.Lock()
		defer l.tails.mu.Unlock()
		l.tails.end(t)
	})
	return t.out
}

// end closes one channel; the caller holds the lock.
func (ts *tails) end(t *tail) {
	if _, ok := ts.all[t]; ok {
		delete(ts.all, t)
		ts.n.Add(-1)
		close(t.out)
	}
}

func (ts *tails) close() {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	ts.closed = true
	for t := range ts.all {
		ts.end(t)
	}
}

func (ts *tails) send(records []record.Record, c *counters) {
	if ts.n.Load() == 0 {
		return
	}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for t := range ts.all {
		for i := range records {
			if !t.query.Match(&records[i]) {
				continue
			}
			select {
			case t.out <- records[i]:
			default:
				c.tailDropped.Add(1)
			}
		}
	}
}
