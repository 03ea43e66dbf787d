package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"sync"

	"postern/internal/record"
	"postern/internal/store"
)

// Records keeps call records in a file of their own. It implements store.Records.
//
// Ordinary calls, which are many, alike and seldom asked for one by one, lie in blocks of several hundred; calls that
// people look for (refused, failed, answered with 400 or more) have rows of their own with indexes. See docs/adr/0008.
type Records struct {
	reader
	write    *sql.DB
	read     *sql.DB
	readOnly bool

	mu    sync.Mutex // held while appending or trimming
	does  appending
	count int64 // records kept; -1 until they were counted
	batch batch
}

var _ store.Records = (*Records)(nil)

func openRecords(ctx context.Context, file string, opts Options) (_ *Records, err error) {
	r := &Records{readOnly: opts.ReadOnly, count: -1}
	defer func() {
		if err != nil {
			r.close()
		}
	}()
	if r.write, err = connect(file, "NORMAL", 1, opts.ReadOnly); err != nil {
		return nil, explain(file, "open", err)
	}
	if err := migrate(ctx, r.write, file, "migrations/records", opts.ReadOnly); err != nil {
		return nil, err
	}
	if r.read, err = connect(file, "NORMAL", 3, true); err != nil {
		return nil, explain(file, "open", err)
	}
	r.reader = reader{q: r.read, file: file}
	if !opts.ReadOnly {
		if r.does, err = prepareAppending(ctx, r.write); err != nil {
			return nil, explain(file, "prepare", err)
		}
	}
	return r, nil
}

func (r *Records) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var errs []error
	errs = append(errs, r.does.close())
	for _, db := range []*sql.DB{r.read, r.write} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

// AppendRecords implements store.Records.
func (r *Records) AppendRecords(ctx context.Context, records []record.Record) error {
	switch {
	case r.readOnly:
		return ErrReadOnly
	case len(records) == 0:
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	t, err := r.write.BeginTx(ctx, nil)
	if err != nil {
		return explain(r.file, "append records", err)
	}
	defer t.Rollback()
	// A batch is short: it ends with the transaction, which ctx ends, and is spared the driver's watch over every statement.
	does := r.does.in(ctx, t)
	defer does.close()
	added, err := r.batch.append(context.WithoutCancel(ctx), &does, records)
	if err != nil {
		return r.fault("append records", err)
	}
	if err := t.Commit(); err != nil {
		return explain(r.file, "append records", err)
	}
	if r.count >= 0 {
		r.count += added
	}
	return nil
}
