package calllog

import (
	"context"
	"errors"
	"time"

	"postern/internal/record"
)

// write is the goroutine that empties the queue. It sleeps while there is nothing to write.
func (l *Log) write(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		var some <-chan struct{} = l.some
		if l.queued.Load() > 0 {
			some = nil // there is something already: wait for more, but not for long
			timer.Reset(l.opts.FlushEvery)
		} else {
			timer.Stop()
		}
		select {
		case <-some:
			continue
		case <-timer.C:
			l.empty(ctx)
		case <-l.full:
			l.empty(ctx)
		case done := <-l.flush:
			l.empty(ctx)
			close(done)
		case <-l.ending:
			l.empty(ctx)
			l.stop()
			return
		}
	}
}

// empty writes everything that is in the queue now.
func (l *Log) empty(ctx context.Context) {
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		filled, now := s.filled, s.now
		s.filled, s.now = nil, nil
		s.mu.Unlock()
		for _, b := range filled {
			l.store(ctx, b)
		}
		if now != nil {
			l.store(ctx, now)
		}
	}
}

// store shows a batch to everybody who follows, writes it, and gives it back.
func (l *Log) store(ctx context.Context, b *batch) {
	l.tails.send(b.records, &l.stats)
	if l.access != nil {
		l.access.add(b.records)
	}
	n := int64(len(b.records))
	if err := l.try(ctx, b.records); err != nil {
		l.stats.lost.Add(n)
	} else {
		l.stats.written.Add(n)
	}
	l.queued.Add(-n)
	l.bytes.Add(-b.bytes)
	clear(b.records) // what they point to may go
	b.records, b.bytes = b.records[:0], 0
	l.spare.Put(b)
}

// try appends a batch, again and again while the store fails. Meanwhile the queue fills, and drops by its rules.
func (l *Log) try(ctx context.Context, records []record.Record) error {
	const slowest = 30 * time.Second // of one attempt
	wait, deadline := 50*time.Millisecond, time.Now().Add(l.opts.RetryFor)
	for {
		attempt, cancel := context.WithTimeout(ctx, slowest)
		err := l.opts.Records.AppendRecords(attempt, records)
		cancel()
		l.stats.report(err, l.opts.Now(), l.opts.Logger)
		if err == nil || ctx.Err() != nil || time.Now().Add(wait).After(deadline) {
			return err
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return err
		}
		wait = min(2*wait, 2*time.Second)
	}
}

// retain is the goroutine that deletes old records.
func (l *Log) retain(ctx context.Context) {
	if l.opts.KeepFor < 0 && l.opts.KeepRecords < 0 {
		return
	}
	tick := time.NewTicker(l.opts.TrimEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		var olderThan time.Time
		if l.opts.KeepFor > 0 {
			olderThan = l.opts.Now().Add(-l.opts.KeepFor)
		}
		n, err := l.opts.Records.TrimRecords(ctx, olderThan, l.opts.KeepRecords)
		l.stats.trimmed.Add(n)
		if err != nil && !errors.Is(err, context.Canceled) {
			l.opts.Logger.Error("old call records cannot be deleted", "error", err)
		}
	}
}
