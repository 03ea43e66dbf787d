package sqlite

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"postern/internal/decision"
	"postern/internal/record"
)

func ordinaryCalls(n int, from time.Time) []record.Record {
	all := make([]record.Record, n)
	for i := range all {
		at := from.Add(time.Duration(i) * time.Millisecond)
		all[i] = record.Record{ID: decision.NewTraceID(at), Time: at, Outcome: "passed", Status: 200, Path: "/orders", Peer: fmt.Sprint("192.0.2.1:", 40000+i%64)}
	}
	return all
}

func counts(t *testing.T, r *Records) (rows, blocks, packed int) {
	t.Helper()
	err := r.read.QueryRow(`SELECT (SELECT count(*) FROM records), (SELECT count(*) FROM blocks), (SELECT coalesce(sum(number), 0) FROM blocks)`).Scan(&rows, &blocks, &packed)
	if err != nil {
		t.Fatal(err)
	}
	return rows, blocks, packed
}

func TestOrdinaryCallsShareBlocksAndNotableOnesHaveRows(t *testing.T) {
	at := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	notable := map[string]func(*record.Record){
		"refused": func(r *record.Record) { r.Outcome = "refused" }, "answered": func(r *record.Record) { r.Outcome = "answered" },
		"with a reason": func(r *record.Record) { r.Reason = "upstream.refused" }, "404 of the upstream": func(r *record.Record) { r.Status = 404 },
		"shadowed": func(r *record.Record) { r.Steps = []record.Step{{Gate: "ip"}} }, "tried twice": func(r *record.Record) { r.Attempts = []record.Attempt{{}} },
	}
	for _, c := range []struct {
		name                 string
		calls                []record.Record
		rows, blocks, packed int
	}{
		{"few are rows", ordinaryCalls(fewest-1, at), fewest - 1, 0, 0},
		{"enough are a block", ordinaryCalls(fewest, at), 0, 1, fewest},
		{"a block is full", ordinaryCalls(record.BlockRecords+fewest, at), 0, 2, record.BlockRecords + fewest},
		{"those of another time are apart", append(ordinaryCalls(20, at), ordinaryCalls(30, at.Add(time.Hour))...), 0, 2, 50},
		{"one that took long is a row", append(ordinaryCalls(20, at), ordinaryCalls(1, at.Add(-time.Hour))...), 1, 1, 20},
	} {
		r := open(t, t.TempDir(), Options{}).Records()
		if err := r.AppendRecords(t.Context(), c.calls); err != nil {
			t.Fatal(err)
		}
		if rows, blocks, packed := counts(t, r); rows != c.rows || blocks != c.blocks || packed != c.packed {
			t.Errorf("%s: %d rows, %d blocks with %d; want %d, %d, %d", c.name, rows, blocks, packed, c.rows, c.blocks, c.packed)
		}
	}
	for name, change := range notable {
		r := open(t, t.TempDir(), Options{}).Records()
		calls := ordinaryCalls(30, at)
		change(&calls[7])
		if err := r.AppendRecords(t.Context(), calls); err != nil {
			t.Fatal(err)
		}
		if rows, blocks, packed := counts(t, r); rows != 1 || blocks != 1 || packed != 29 {
			t.Errorf("%s: %d rows, %d blocks with %d", name, rows, blocks, packed)
		}
	}
}

// TestBlocksStayWithinTheirSpan is what looking for a moment relies on.
func TestBlocksStayWithinTheirSpan(t *testing.T) {
	r := open(t, t.TempDir(), Options{}).Records()
	at := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	var calls []record.Record
	for i := range 900 {
		calls = append(calls, ordinaryCalls(1, at.Add(time.Duration(i*i%9000)*time.Millisecond))...)
	}
	if err := r.AppendRecords(t.Context(), calls); err != nil {
		t.Fatal(err)
	}
	rows, err := r.read.Query(`SELECT last, ids FROM blocks`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	n := 0
	for ; rows.Next(); n++ {
		var last []byte
		var b record.Block
		if err := rows.Scan(&last, &b.IDs); err != nil {
			t.Fatal(err)
		}
		first, newest := b.ID(0), b.ID(b.Len()-1)
		if string(newest[:]) != string(last) || newest.Time().Sub(first.Time()) > blockSpan {
			t.Errorf("a block from %v to %v, last %x", first.Time(), newest.Time(), last)
		}
	}
	if n < 4 || rows.Err() != nil {
		t.Errorf("%d blocks, error %v", n, rows.Err())
	}
	for _, c := range calls {
		if _, err := r.Record(t.Context(), c.ID); err != nil {
			t.Error(err)
		}
	}
}

func TestDamagedBlockIsReportedAndLeavesTheRestReadable(t *testing.T) {
	r := open(t, t.TempDir(), Options{}).Records()
	at := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	old, fresh := ordinaryCalls(50, at), ordinaryCalls(50, at.Add(time.Hour))
	if err := r.AppendRecords(t.Context(), append(old, fresh...)); err != nil {
		t.Fatal(err)
	}
	for _, damage := range []string{`UPDATE blocks SET words = x'02' WHERE rowid = 1`, `UPDATE blocks SET rows = x'' WHERE rowid = 1`, `UPDATE blocks SET number = 51 WHERE rowid = 1`} {
		if _, err := r.write.Exec(damage); err != nil {
			t.Fatal(err)
		}
		for what, look := range map[string]func() error{
			"record": func() error { _, err := r.Record(t.Context(), old[3].ID); return err },
			"find":   func() error { _, err := r.FindRecords(t.Context(), record.Query{Limit: 1000}); return err },
		} {
			if err := look(); !errors.Is(err, record.ErrBlock) || !strings.Contains(err.Error(), RecordsFile) {
				t.Errorf("%s after %s: %v", what, damage, err)
			}
		}
		if found, err := r.FindRecords(t.Context(), record.Query{Since: at.Add(time.Minute), Limit: 1000}); len(found) != 50 || err != nil {
			t.Errorf("newer records after %s: %d, %v", damage, len(found), err)
		}
	}
}
