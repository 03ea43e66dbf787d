package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"postern/internal/store"
)

// tx is one transaction that writes. It reads its own writes.
type tx struct {
	reader
	now     time.Time
	changed bool // rows were added to changes
}

var _ store.Tx = (*tx)(nil)

// Update implements store.Store. Transactions run one after another: fn must not call Update again, and should not wait for
// anything but the transaction it was given.
func (d *DB) Update(ctx context.Context, entry store.AuditEntry, fn func(store.Tx) error) error {
	if d.opts.ReadOnly {
		return ErrReadOnly
	}
	t, err := d.write.BeginTx(ctx, nil)
	if err != nil {
		return explain(d.file, "begin a write", err)
	}
	defer t.Rollback() // does nothing after Commit; undoes everything when fn fails or panics
	x := &tx{reader: reader{q: t, file: d.file, vault: d.vault}, now: d.opts.Now()}
	if err := fn(x); err != nil {
		return err
	}
	if entry.Action != "" {
		if err := x.audit(ctx, entry); err != nil {
			return err
		}
	}
	if x.changed {
		if err := x.forgetChanges(ctx, d.opts.KeepChanges); err != nil {
			return err
		}
	}
	if err := t.Commit(); err != nil {
		return explain(d.file, "commit", err)
	}
	d.announce()
	return nil
}

// put runs a statement that inserts or replaces one row; id names the row in errors.
func (x *tx) put(ctx context.Context, what, id, query string, args ...any) error {
	if id == "" {
		return fmt.Errorf("%s: a row needs an id", what)
	}
	_, err := x.q.ExecContext(ctx, query, args...)
	return x.fault(what, err)
}

// exec runs a statement and says how many rows it touched.
func (x *tx) exec(ctx context.Context, what, query string, args ...any) (int64, error) {
	r, err := x.q.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, x.fault(what, err)
	}
	return affected(r), nil
}

// remove runs statements that delete what hangs on a row and then the row, and fails with ErrNotFound when the last one
// found nothing.
func (x *tx) remove(ctx context.Context, what, id string, statements ...string) error {
	var n int64
	for _, s := range statements {
		var err error
		if n, err = x.exec(ctx, what, s, id); err != nil {
			return err
		}
	}
	if n == 0 {
		return fmt.Errorf("%s: %w", what, store.ErrNotFound)
	}
	return nil
}

func affected(r sql.Result) int64 {
	n, _ := r.RowsAffected() // SQLite always knows
	return n
}
