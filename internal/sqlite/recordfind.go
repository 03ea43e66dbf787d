package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"time"

	"postern/internal/decision"
	"postern/internal/record"
)

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
	what := "record " + id.String()
	x, err := scanRecord(r.read.QueryRowContext(ctx, `SELECT `+recordColumns+` FROM records WHERE id = ?`, id[:]))
	if !errors.Is(err, sql.ErrNoRows) {
		return x, r.fault(what, err)
	}
	until := beyond(id)
	rows, err := r.read.QueryContext(ctx, `SELECT `+blockColumns+` FROM blocks WHERE last >= ? AND last < ?`, id[:], until[:])
	if err != nil {
		return x, r.fault(what, err)
	}
	defer rows.Close()
	for rows.Next() {
		b, gone, err := scanBlock(rows)
		if err != nil {
			return x, r.fault(what, err)
		}
		if n, found := b.Has(id); found && n >= gone {
			x, err := b.Record(n)
			return x, r.blockFault(what, err)
		}
	}
	if err := rows.Err(); err != nil {
		return x, r.fault(what, err)
	}
	return record.Record{}, r.fault(what, sql.ErrNoRows)
}

// FindRecords implements store.Records.
func (r *Records) FindRecords(ctx context.Context, q record.Query) ([]record.Record, error) {
	const what = "find records"
	most := limit(q.Limit, 50)
	t, err := r.read.BeginTx(ctx, nil) // rows and blocks of one moment
	if err != nil {
		return nil, explain(r.file, what, err)
	}
	defer t.Rollback()
	where, args := selection(q)
	found, err := list(ctx, &reader{q: t, file: r.file}, what, scanRecord,
		`SELECT `+recordColumns+` FROM records`+where+` ORDER BY id DESC LIMIT ?`, append(args, most)...)
	if err != nil || !asksOrdinary(&q) {
		return found, err
	}
	return r.findInBlocks(ctx, t, &q, most, found)
}

// findInBlocks adds what is in blocks to what was found in rows, both newest first, and keeps the newest. Blocks are read from
// the newest on, until what was found is newer than all that can follow.
func (r *Records) findInBlocks(ctx context.Context, t *sql.Tx, q *record.Query, most int, found []record.Record) ([]record.Record, error) {
	const what = "find records"
	from, until := blockRange(q)
	rows, err := t.QueryContext(ctx, `SELECT `+blockColumns+` FROM blocks WHERE last >= ? AND last < ? ORDER BY last DESC`, from[:], until[:])
	if err != nil {
		return nil, r.fault(what, err)
	}
	defer rows.Close()
	newest := make([]*record.Record, len(found))
	for i := range found {
		newest[i] = &found[i]
	}
	blocks := 0
	for rows.Next() {
		b, gone, err := scanBlock(rows)
		if err != nil {
			return nil, r.fault(what, err)
		}
		last := b.ID(b.Len() - 1)
		if len(newest) == most && string(newest[most-1].ID[:]) > string(last[:]) {
			break
		}
		may, err := b.May(q)
		if err != nil {
			return nil, r.blockFault(what, err)
		}
		if !may {
			continue
		}
		if err := b.Read(gone, q, func(x *record.Record) bool { newest = append(newest, x); return true }); err != nil {
			return nil, r.blockFault(what, err)
		}
		slices.SortFunc(newest, func(a, b *record.Record) int { return strings.Compare(string(b.ID[:]), string(a.ID[:])) })
		newest = newest[:min(len(newest), most)]
		blocks++
	}
	if err := rows.Err(); err != nil {
		return nil, r.fault(what, err)
	}
	if blocks == 0 {
		return found, nil
	}
	all := make([]record.Record, len(newest))
	for i, x := range newest {
		all[i] = *x
	}
	if len(all) == 0 {
		return nil, nil
	}
	return all, nil
}

const blockColumns = `number, ids, words, rows`

// scanBlock reads a block, which is good until the next row, and how many of its oldest records are gone.
func scanBlock(rows *sql.Rows) (b record.Block, gone int, err error) {
	number := 0
	if err := rows.Scan(&number, (*sql.RawBytes)(&b.IDs), (*sql.RawBytes)(&b.Words), (*sql.RawBytes)(&b.Rows)); err != nil {
		return b, 0, err
	}
	if number < 1 || number > b.Len() {
		return b, 0, record.ErrBlock
	}
	return b, b.Len() - number, nil
}

// blockFault says where a damaged block is.
func (r *Records) blockFault(what string, err error) error {
	if errors.Is(err, record.ErrBlock) {
		return explain(r.file, what, err)
	}
	return err
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
