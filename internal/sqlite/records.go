package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"sync"
	"time"

	"postern/internal/decision"
	"postern/internal/record"
	"postern/internal/store"
)

// Records keeps call records in a file of their own. It implements store.Records.
type Records struct {
	reader
	write    *sql.DB
	read     *sql.DB
	readOnly bool

	mu     sync.Mutex // held while appending or trimming
	insert *sql.Stmt
	count  int64 // rows in the table; -1 until they were counted
	buf    []byte
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
		if r.insert, err = r.write.PrepareContext(ctx, insertRecord); err != nil {
			return nil, explain(file, "prepare", err)
		}
	}
	return r, nil
}

func (r *Records) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var errs []error
	if r.insert != nil {
		errs = append(errs, r.insert.Close())
	}
	for _, db := range []*sql.DB{r.read, r.write} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

const insertRecord = `INSERT INTO records (id, tenant, api, operation, application, key_id, reason, gate, outcome, origin, model, status, path, detail)
	VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`

// AppendRecords implements store.Records.
func (r *Records) AppendRecords(ctx context.Context, batch []record.Record) error {
	switch {
	case r.readOnly:
		return ErrReadOnly
	case len(batch) == 0:
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	t, err := r.write.BeginTx(ctx, nil)
	if err != nil {
		return explain(r.file, "append records", err)
	}
	defer t.Rollback()
	s := t.StmtContext(ctx, r.insert)
	defer s.Close()
	added := int64(0)
	for i := range batch {
		x := &batch[i]
		r.buf = appendDetail(r.buf[:0], x)
		// A batch is short: it ends with the transaction, which ctx ends, and is spared the driver's watch over every statement.
		res, err := s.ExecContext(context.WithoutCancel(ctx), x.ID[:], x.Tenant, x.API, x.Operation, x.Application, x.Key, x.Reason, x.Gate,
			x.Outcome, x.Origin, x.Model, x.Status, x.Path, string(r.buf))
		if err != nil {
			return r.fault("append records", err)
		}
		added += affected(res)
	}
	if err := t.Commit(); err != nil {
		return explain(r.file, "append records", err)
	}
	if r.count >= 0 {
		r.count += added
	}
	return nil
}

const recordColumns = `id, tenant, api, operation, application, key_id, reason, gate, outcome, origin, model, status, path, detail`

func scanRecord(r row) (x record.Record, err error) {
	var id, detail sql.RawBytes
	rows, many := r.(*sql.Rows)
	if !many { // a lone row cannot lend its bytes
		var i, d []byte
		if err = r.Scan(&i, &x.Tenant, &x.API, &x.Operation, &x.Application, &x.Key, &x.Reason, &x.Gate, &x.Outcome, &x.Origin, &x.Model, &x.Status, &x.Path, &d); err == nil {
			copy(x.ID[:], i)
			err = readDetail(d, &x)
		}
		return x, err
	}
	if err = rows.Scan(&id, &x.Tenant, &x.API, &x.Operation, &x.Application, &x.Key, &x.Reason, &x.Gate, &x.Outcome, &x.Origin, &x.Model, &x.Status, &x.Path, &detail); err != nil {
		return x, err
	}
	copy(x.ID[:], id)
	return x, readDetail(detail, &x)
}

// Record implements store.Records.
func (r *Records) Record(ctx context.Context, id decision.TraceID) (record.Record, error) {
	return one(ctx, &r.reader, "record "+id.String(), scanRecord, `SELECT `+recordColumns+` FROM records WHERE id = ?`, id[:])
}

// FindRecords implements store.Records.
func (r *Records) FindRecords(ctx context.Context, q record.Query) ([]record.Record, error) {
	where, args := selection(q)
	return list(ctx, &r.reader, "find records", scanRecord,
		`SELECT `+recordColumns+` FROM records`+where+` ORDER BY id DESC LIMIT ?`, append(args, limit(q.Limit, 50))...)
}

// selection words a query as a WHERE clause.
func selection(q record.Query) (string, []any) {
	var terms []string
	var args []any
	add := func(term string, values ...any) { terms, args = append(terms, term), append(args, values...) }
	for _, f := range []struct{ column, want string }{
		{"tenant", q.Tenant}, {"api", q.API}, {"application", q.Application}, {"operation", q.Operation}, {"key_id", q.Key},
		{"reason", q.Reason}, {"gate", q.Gate}, {"outcome", q.Outcome}, {"origin", q.Origin}, {"model", q.Model},
	} {
		if f.want != "" {
			add(f.column+" = ?", f.want)
		}
	}
	// True anyway; in these words they let SQLite use the partial indexes.
	if q.Reason != "" {
		add("reason <> ''")
	}
	if q.Outcome != "" && q.Outcome != "passed" {
		add("outcome <> 'passed'")
	}
	if q.Path != "" {
		add("substr(path, 1, length(?)) = ?", q.Path, q.Path)
	}
	switch {
	case q.Status == 4 || q.Status == 5:
		add("status BETWEEN ? AND ?", q.Status*100, q.Status*100+99)
	case q.Status != 0:
		add("status = ?", q.Status)
	}
	if !q.Since.IsZero() {
		at := firstID(q.Since)
		add("id >= ?", at[:])
	}
	if !q.Until.IsZero() {
		at := firstID(q.Until.Add(time.Millisecond))
		add("id < ?", at[:])
	}
	if q.Before != (decision.TraceID{}) {
		add("id < ?", q.Before[:])
	}
	if len(terms) == 0 {
		return "", nil
	}
	return " WHERE " + strings.Join(terms, " AND "), args
}

// firstID is the smallest trace id of a millisecond.
func firstID(t time.Time) (id decision.TraceID) {
	ms := min(max(t.UnixMilli(), 0), 1<<48-1)
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	return id
}

// trimBatch rows go in one transaction, between which appending goes on.
const trimBatch = 2000

// TrimRecords implements store.Records.
func (r *Records) TrimRecords(ctx context.Context, olderThan time.Time, most int64) (gone int64, err error) {
	if r.readOnly {
		return 0, ErrReadOnly
	}
	if !olderThan.IsZero() {
		at := firstID(olderThan)
		if gone, err = r.trim(ctx, `DELETE FROM records WHERE id IN (SELECT id FROM records WHERE id < ? ORDER BY id LIMIT ?)`,
			func(int64) (int64, []any) { return trimBatch, []any{at[:], trimBatch} }); err != nil {
			return gone, err
		}
	}
	if most > 0 {
		n, err := r.trim(ctx, `DELETE FROM records WHERE id IN (SELECT id FROM records ORDER BY id LIMIT ?)`,
			func(have int64) (int64, []any) {
				want := min(have-most, trimBatch)
				return want, []any{want}
			})
		return gone + n, err
	}
	return gone, nil
}

// trim deletes in batches, until one comes out smaller than it was asked for.
func (r *Records) trim(ctx context.Context, statement string, next func(have int64) (want int64, args []any)) (gone int64, err error) {
	for {
		n, want, err := r.trimOnce(ctx, statement, next)
		gone += n
		if err != nil || n < want || want < trimBatch {
			return gone, err
		}
	}
}

func (r *Records) trimOnce(ctx context.Context, statement string, next func(int64) (int64, []any)) (n, want int64, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.count < 0 {
		// Once a run: from here on the number is kept.
		if err := r.write.QueryRowContext(ctx, `SELECT count(*) FROM records`).Scan(&r.count); err != nil {
			return 0, 0, r.fault("count records", err)
		}
	}
	want, args := next(r.count)
	if want <= 0 {
		return 0, 0, nil
	}
	res, err := r.write.ExecContext(ctx, statement, args...)
	if err != nil {
		return 0, want, r.fault("trim records", err)
	}
	n = affected(res)
	r.count -= n
	return n, want, nil
}
