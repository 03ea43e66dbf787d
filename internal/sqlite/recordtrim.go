package sqlite

import (
	"context"
	"database/sql"
	"slices"
	"strings"
	"time"

	"postern/internal/decision"
	"postern/internal/record"
)

// trimBatch records go in one transaction, between which appending goes on.
const trimBatch = 4000

// TrimRecords implements store.Records.
func (r *Records) TrimRecords(ctx context.Context, olderThan time.Time, most int64) (gone int64, err error) {
	if r.readOnly {
		return 0, ErrReadOnly
	}
	if !olderThan.IsZero() {
		if gone, err = r.trim(ctx, firstID(olderThan), 0); err != nil {
			return gone, err
		}
	}
	if most > 0 {
		n, err := r.trim(ctx, lastID, most)
		return gone + n, err
	}
	return gone, nil
}

// lastID is beyond all ids but one, which no clock will ever make.
var lastID = decision.TraceID{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// trim deletes records before an id, the oldest first, as long as there are more than most.
func (r *Records) trim(ctx context.Context, before decision.TraceID, most int64) (gone int64, err error) {
	for {
		n, more, err := r.trimOnce(ctx, before, most)
		gone += n
		if err != nil || !more {
			return gone, err
		}
	}
}

func (r *Records) trimOnce(ctx context.Context, before decision.TraceID, most int64) (n int64, more bool, err error) {
	const what = "trim records"
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.count < 0 {
		// Once a run: from here on the number is kept.
		if err := r.write.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM records) + (SELECT coalesce(sum(number), 0) FROM blocks)`).Scan(&r.count); err != nil {
			return 0, false, r.fault("count records", err)
		}
	}
	want := int(min(r.count-most, trimBatch))
	if want <= 0 {
		return 0, false, nil
	}
	t, err := r.write.BeginTx(ctx, nil)
	if err != nil {
		return 0, false, explain(r.file, what, err)
	}
	defer t.Rollback()
	ids, err := oldestRows(ctx, t, before, want)
	if err != nil {
		return 0, false, r.fault(what, err)
	}
	packed, blocks, err := oldestBlocks(ctx, t, before, want)
	if err != nil {
		return 0, false, r.fault(what, err)
	}
	ids = append(ids, packed...)
	if len(ids) == 0 {
		return 0, false, nil
	}
	slices.SortFunc(ids, func(a, b decision.TraceID) int { return strings.Compare(string(a[:]), string(b[:])) })
	ids = ids[:min(len(ids), want)]
	upTo := ids[len(ids)-1]
	if _, err := t.ExecContext(ctx, `DELETE FROM records WHERE id <= ?`, upTo[:]); err != nil {
		return 0, false, r.fault(what, err)
	}
	for _, b := range blocks {
		if err := b.cut(ctx, t, upTo); err != nil {
			return 0, false, r.fault(what, err)
		}
	}
	if err := t.Commit(); err != nil {
		return 0, false, explain(r.file, what, err)
	}
	r.count -= int64(len(ids))
	return int64(len(ids)), len(ids) == want, nil
}

// oldestRows returns the ids of at most so many of the oldest records in rows before an id.
func oldestRows(ctx context.Context, t *sql.Tx, before decision.TraceID, most int) (ids []decision.TraceID, err error) {
	rows, err := t.QueryContext(ctx, `SELECT id FROM records WHERE id < ? ORDER BY id LIMIT ?`, before[:], most)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var raw sql.RawBytes
		if err := rows.Scan(&raw); err != nil {
			return nil, err
		}
		var id decision.TraceID
		copy(id[:], raw)
		ids = append(ids, id)
	}
	return ids, rows.Err()
}

// oldBlock is a block of which records may go.
type oldBlock struct {
	rowid int64
	gone  int
	ids   record.Block
}

// oldestBlocks returns the ids of records in blocks before an id, and the blocks: at least so many of the oldest, or all. Blocks
// overlap in time, so that it reads on until no older record can follow.
func oldestBlocks(ctx context.Context, t *sql.Tx, before decision.TraceID, enough int) (ids []decision.TraceID, blocks []oldBlock, err error) {
	until := beyond(before)
	rows, err := t.QueryContext(ctx, `SELECT rowid, number, ids FROM blocks WHERE last < ? ORDER BY last`, until[:])
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	var newest decision.TraceID // of the first so many
	for rows.Next() {
		b, number := oldBlock{}, 0
		if err := rows.Scan(&b.rowid, &number, &b.ids.IDs); err != nil {
			return nil, nil, err
		}
		if number < 1 || number > b.ids.Len() {
			return nil, nil, record.ErrBlock
		}
		b.gone = b.ids.Len() - number
		last := b.ids.ID(b.ids.Len() - 1)
		if earliest := firstID(last.Time().Add(-blockSpan)); len(ids) >= enough && string(earliest[:]) > string(newest[:]) {
			break
		}
		for i := b.gone; i < b.ids.Len(); i++ {
			if id := b.ids.ID(i); string(id[:]) < string(before[:]) {
				ids = append(ids, id)
				if len(ids) <= enough && string(id[:]) > string(newest[:]) {
					newest = id
				}
			}
		}
		blocks = append(blocks, b)
	}
	return ids, blocks, rows.Err()
}

// cut takes away the records of a block up to an id.
func (b *oldBlock) cut(ctx context.Context, t *sql.Tx, upTo decision.TraceID) (err error) {
	n, found := b.ids.Has(upTo)
	if found {
		n++
	}
	switch {
	case n == b.ids.Len():
		_, err = t.ExecContext(ctx, `DELETE FROM blocks WHERE rowid = ?`, b.rowid)
	case n > b.gone:
		_, err = t.ExecContext(ctx, `UPDATE blocks SET number = ? WHERE rowid = ?`, b.ids.Len()-n, b.rowid)
	}
	return err
}
