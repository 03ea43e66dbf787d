package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"postern/internal/decision"
	"postern/internal/record"
)

// blockSpan is how far apart in time the records of a block are at most, so that whoever looks for a moment knows which
// blocks may have it. It is long enough for the calls of one batch; those that took much longer go into rows.
const blockSpan = 2 * time.Second

// fewest is how many ordinary records of one span are worth a block.
const fewest = 8

const (
	insertRecord = `INSERT INTO records (id, tenant, api, operation, application, key_id, reason, gate, outcome, origin, model, status, path, detail)
	VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`
	insertBlock  = `INSERT INTO blocks (last, number, ids, words, rows) VALUES (?, ?, ?, ?, ?)`
	selectBlocks = `SELECT number, ids FROM blocks WHERE last >= ? AND last < ?`
	selectRows   = `SELECT id FROM records WHERE id BETWEEN ? AND ? ORDER BY id`
)

// appending is the statements of appending, prepared.
type appending struct{ insert, pack, blocks, rows *sql.Stmt }

func prepareAppending(ctx context.Context, db *sql.DB) (a appending, err error) {
	for _, s := range []struct {
		to   **sql.Stmt
		text string
	}{{&a.insert, insertRecord}, {&a.pack, insertBlock}, {&a.blocks, selectBlocks}, {&a.rows, selectRows}} {
		if *s.to, err = db.PrepareContext(ctx, s.text); err != nil {
			a.close()
			return appending{}, err
		}
	}
	return a, nil
}

// in returns the statements as part of a transaction.
func (a *appending) in(ctx context.Context, t *sql.Tx) appending {
	return appending{t.StmtContext(ctx, a.insert), t.StmtContext(ctx, a.pack), t.StmtContext(ctx, a.blocks), t.StmtContext(ctx, a.rows)}
}

func (a *appending) close() error {
	var errs []error
	for _, s := range []*sql.Stmt{a.insert, a.pack, a.blocks, a.rows} {
		if s != nil {
			errs = append(errs, s.Close())
		}
	}
	return errors.Join(errs...)
}

// ordinary reports whether a record may lie in a block: one that nobody looks for by its reason, outcome or gate, and that has
// nothing a block has no place for.
func ordinary(x *record.Record) bool {
	return x.Outcome == "passed" && x.Reason == "" && x.Gate == "" && x.Status < 400 && len(x.Steps) == 0 && len(x.Attempts) == 0
}

// asksOrdinary reports whether a query can select an ordinary record.
func asksOrdinary(q *record.Query) bool {
	return (q.Outcome == "" || q.Outcome == "passed") && q.Reason == "" && q.Gate == "" && q.Status < 400 && q.Status != 4 && q.Status != 5
}

// beyond is an id after the last of every block that can hold a record up to an id.
func beyond(id decision.TraceID) decision.TraceID {
	return firstID(id.Time().Add(blockSpan + time.Millisecond))
}

// blockRange returns between which ids, the second excluded, the last of a block lies that can have what a query selects.
func blockRange(q *record.Query) (from, until decision.TraceID) {
	until = lastID
	if !q.Since.IsZero() {
		from = firstID(q.Since)
	}
	if !q.Until.IsZero() {
		until = beyond(firstID(q.Until))
	}
	if q.Before != (decision.TraceID{}) {
		if b := beyond(q.Before); string(b[:]) < string(until[:]) {
			until = b
		}
	}
	return from, until
}

// batch is the memory of appending, kept from one time to the next.
type batch struct {
	order   []place
	cluster []*record.Record
	packed  []*record.Record
	writer  record.BlockWriter
	ids     []byte
	detail  []byte
}

// place says where in the batch a record is. Sorting these is much cheaper than sorting records.
type place struct {
	hi, lo uint64 // of the id
	at     int32
}

// append writes records, in the order of their ids, and returns how many of them were not there before.
func (b *batch) append(ctx context.Context, does *appending, records []record.Record) (added int64, err error) {
	defer func() { clear(b.cluster[:cap(b.cluster)]); clear(b.packed[:cap(b.packed)]) }() // the batch is not ours to keep
	b.order = b.order[:0]
	for i := range records {
		id := &records[i].ID
		b.order = append(b.order, place{binary.BigEndian.Uint64(id[:8]), binary.BigEndian.Uint64(id[8:]), int32(i)})
	}
	slices.SortFunc(b.order, func(x, y place) int {
		return cmp.Or(cmp.Compare(x.hi, y.hi), cmp.Compare(x.lo, y.lo), cmp.Compare(x.at, y.at))
	})
	for start := 0; start < len(b.order); {
		from := b.order[start].hi >> 16 // milliseconds
		b.cluster = b.cluster[:0]
		end := start
		for ; end < len(b.order) && b.order[end].hi>>16-from <= uint64(blockSpan.Milliseconds()) && len(b.cluster) < record.BlockRecords; end++ {
			if p := b.order[end]; end > 0 && p.hi == b.order[end-1].hi && p.lo == b.order[end-1].lo {
				continue // the first of the same id stays
			}
			b.cluster = append(b.cluster, &records[b.order[end].at])
		}
		n, err := b.appendCluster(ctx, does)
		added += n
		if err != nil {
			return added, err
		}
		start = end
	}
	return added, nil
}

// appendCluster writes records that are close in time: ordinary ones as a block if they are enough, all others as rows.
func (b *batch) appendCluster(ctx context.Context, does *appending) (added int64, err error) {
	if len(b.cluster) == 0 {
		return 0, nil
	}
	if err := b.forgetBlocks(ctx, does); err != nil {
		return 0, err
	}
	many := 0
	for _, x := range b.cluster {
		if ordinary(x) {
			many++
		}
	}
	if many >= fewest {
		if err := b.forgetRows(ctx, does); err != nil {
			return 0, err
		}
	}
	b.packed = b.packed[:0]
	for _, x := range b.cluster {
		if many >= fewest && ordinary(x) {
			b.packed = append(b.packed, x)
			continue
		}
		b.detail = appendDetail(b.detail[:0], x)
		res, err := does.insert.ExecContext(ctx, x.ID[:], x.Tenant, x.API, x.Operation, x.Application, x.Key, x.Reason, x.Gate,
			x.Outcome, x.Origin, x.Model, x.Status, x.Path, string(b.detail))
		if err != nil {
			return added, err
		}
		added += affected(res)
	}
	if len(b.packed) == 0 {
		return added, nil
	}
	block, err := b.writer.Write(b.packed)
	if err != nil {
		return added, err
	}
	last := block.ID(block.Len() - 1)
	if _, err := does.pack.ExecContext(ctx, last[:], block.Len(), block.IDs, block.Words, block.Rows); err != nil {
		return added, err
	}
	return added + int64(len(b.packed)), nil
}

// forgetBlocks drops from the cluster what is in a block already.
func (b *batch) forgetBlocks(ctx context.Context, does *appending) error {
	first, until := b.cluster[0].ID, beyond(b.cluster[len(b.cluster)-1].ID)
	rows, err := does.blocks.QueryContext(ctx, first[:], until[:])
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() && len(b.cluster) > 0 {
		var number int
		var ids sql.RawBytes
		if err := rows.Scan(&number, &ids); err != nil {
			return err
		}
		if number < 1 || number > len(ids)/16 {
			return record.ErrBlock
		}
		b.forget(ids[len(ids)-16*number:])
	}
	return rows.Err()
}

// forgetRows drops from the cluster what is in a row already.
func (b *batch) forgetRows(ctx context.Context, does *appending) error {
	if len(b.cluster) == 0 {
		return nil
	}
	first, last := b.cluster[0].ID, b.cluster[len(b.cluster)-1].ID
	rows, err := does.rows.QueryContext(ctx, first[:], last[:])
	if err != nil {
		return err
	}
	defer rows.Close()
	b.ids = b.ids[:0]
	for rows.Next() {
		var id sql.RawBytes
		if err := rows.Scan(&id); err != nil {
			return err
		}
		b.ids = append(b.ids, id...)
	}
	b.forget(b.ids)
	return rows.Err()
}

// forget drops from the cluster the records with these ids, which ascend.
func (b *batch) forget(ids []byte) {
	if len(b.cluster) == 0 {
		return
	}
	there := record.Block{IDs: ids}
	n := there.Before(b.cluster[0].ID)
	kept := b.cluster[:0]
	for _, x := range b.cluster {
		for n < there.Len() && string(ids[16*n:16*n+16]) < string(x.ID[:]) {
			n++
		}
		if n < there.Len() && there.ID(n) == x.ID {
			continue
		}
		kept = append(kept, x)
	}
	b.cluster = kept
}
