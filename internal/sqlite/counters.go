package sqlite

import (
	"context"

	"postern/internal/store"
)

// Counters keeps limit counters over a restart.
type Counters struct{ d *DB }

var _ store.CounterState = (*Counters)(nil)

// Counters returns the kept limit counters.
func (d *DB) Counters() *Counters { return &Counters{d} }

// counterBatch rows are one transaction: a flush of many counters must not keep a management write waiting for long.
const counterBatch = 2000

// SaveCounters implements store.CounterState. Rows that have expired are removed on the way.
func (c *Counters) SaveCounters(ctx context.Context, rows []store.CounterRow) error {
	if c.d.opts.ReadOnly {
		return ErrReadOnly
	}
	for first := true; first || len(rows) > 0; first = false {
		n := min(len(rows), counterBatch)
		if err := c.save(ctx, rows[:n], first); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

func (c *Counters) save(ctx context.Context, rows []store.CounterRow, sweep bool) error {
	r := &c.d.reader
	t, err := c.d.write.BeginTx(ctx, nil)
	if err != nil {
		return explain(r.file, "save counters", err)
	}
	defer t.Rollback()
	if sweep {
		if _, err := t.ExecContext(ctx, `DELETE FROM counters WHERE expires <= ?`, c.d.opts.Now().UnixMilli()); err != nil {
			return r.fault("remove expired counters", err)
		}
	}
	if len(rows) > 0 {
		s, err := t.PrepareContext(ctx, `INSERT INTO counters (limit_id, subject, a, b, expires) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (limit_id, subject) DO UPDATE SET a = excluded.a, b = excluded.b, expires = excluded.expires`)
		if err != nil {
			return r.fault("save counters", err)
		}
		defer s.Close()
		for i := range rows {
			row := &rows[i]
			if _, err := s.ExecContext(ctx, row.Limit, row.Subject, row.A, row.B, millis(row.Expires)); err != nil {
				return r.fault("save counters", err)
			}
		}
	}
	if err := t.Commit(); err != nil {
		return explain(r.file, "save counters", err)
	}
	return nil
}

func scanCounter(r row) (c store.CounterRow, err error) {
	err = r.Scan(&c.Limit, &c.Subject, &c.A, &c.B, instant{&c.Expires})
	return c, err
}

// EachCounter implements store.CounterState. Expired rows are left out.
func (c *Counters) EachCounter(ctx context.Context, fn func(store.CounterRow) error) error {
	return each(ctx, &c.d.reader, "counters", scanCounter, fn,
		`SELECT limit_id, subject, a, b, expires FROM counters WHERE expires IS NULL OR expires > ?`, c.d.opts.Now().UnixMilli())
}
