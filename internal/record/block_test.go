package record_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern/internal/decision"
	"postern/internal/record"
	"postern/internal/storetest"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// packed writes a block and returns a copy of it.
func packed(t testing.TB, records ...record.Record) record.Block {
	t.Helper()
	var w record.BlockWriter
	var list []*record.Record
	for i := range records {
		list = append(list, &records[i])
	}
	b, err := w.Write(list)
	if err != nil {
		t.Fatal(err)
	}
	return record.Block{IDs: bytes.Clone(b.IDs), Words: bytes.Clone(b.Words), Rows: bytes.Clone(b.Rows)}
}

func readAll(t testing.TB, b record.Block, from int, q record.Query) (all []record.Record) {
	t.Helper()
	if err := b.Read(from, &q, func(r *record.Record) bool { all = append(all, *r); return true }); err != nil {
		t.Fatal(err)
	}
	return all
}

func ordered(records []record.Record) []record.Record {
	slices.SortFunc(records, func(a, b record.Record) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	return records
}

func TestBlockKeepsEveryField(t *testing.T) {
	whole := storetest.Whole(noon)
	whole.Steps, whole.Attempts = nil, nil
	odd := record.Record{ID: decision.NewTraceID(noon), Time: noon.Add(-time.Hour), Generation: math.MaxUint64, BytesIn: -1, BytesOut: math.MaxInt64,
		Status: -7, Took: math.MinInt64, Path: "\x00\xff株", Fields: []record.Name{{}, {Name: "A", Value: ""}}}
	empty := record.Record{ID: decision.NewTraceID(noon.Add(time.Second)), Time: noon.Add(time.Second)}
	never := record.Record{ID: decision.NewTraceID(noon.Add(2 * time.Second))} // the zero time
	all := ordered([]record.Record{whole, odd, empty, never})
	b := packed(t, all...)
	if d := cmp.Diff(all, readAll(t, b, 0, record.Query{})); d != "" {
		t.Errorf("(-written +read):\n%s", d)
	}
	for i, want := range all {
		got, err := b.Record(i)
		if err != nil || !cmp.Equal(want, got) {
			t.Errorf("record %d: %v %s", i, err, cmp.Diff(want, got))
		}
		if n, found := b.Has(want.ID); n != i || !found {
			t.Errorf("record %d is found at %d, %v", i, n, found)
		}
	}
	if d := cmp.Diff(all[2:], readAll(t, b, 2, record.Query{})); d != "" {
		t.Errorf("from the third on:\n%s", d)
	}
}

// traffic is records as a busy gateway makes them, with as many distinct paths as told.
func traffic(n, paths int) []record.Record {
	all := make([]record.Record, n)
	for i := range all {
		at := noon.Add(time.Duration(i) * 50 * time.Microsecond)
		all[i] = record.Record{ID: decision.NewTraceID(at), Time: at.Truncate(time.Millisecond), Generation: 7, Method: "POST", Scheme: "https", Host: "api.example.com",
			Path: fmt.Sprint("/orders/", i%paths), Proto: "HTTP/1.1", Client: "192.0.2.17", Peer: fmt.Sprint("192.0.2.17:", 40000+i%64), Agent: "shop/1.4",
			BytesIn: 512, BytesOut: int64(rand.IntN(1000)), Tenant: "acme", API: "orders", Version: "v1", Operation: []string{"create", "get"}[i%2],
			Application: fmt.Sprint("app-", i%7), Key: fmt.Sprint("k_", i%7), Proven: true, CallerTenant: "acme", Outcome: "passed", Origin: "upstream",
			Status: 200 + i%2, Upstream: "orders", Target: "http://10.0.0.1:9001", ReceivedStatus: 200, Decided: time.Duration(rand.IntN(30000)),
			FirstByte: time.Duration(rand.IntN(1e6)), Took: time.Duration(rand.IntN(2e6))}
	}
	return ordered(all)
}

func TestBlockOfTrafficIsSmallAndEqual(t *testing.T) {
	for _, paths := range []int{1, 2, 255, 256, 257, 1000} {
		all := traffic(1000, paths)
		b := packed(t, all...)
		if d := cmp.Diff(all, readAll(t, b, 0, record.Query{})); d != "" {
			t.Errorf("%d paths (-written +read):\n%s", paths, d)
		}
		if size := len(b.IDs) + len(b.Words) + len(b.Rows); size > 60*len(all) {
			t.Errorf("%d paths: %d bytes a record", paths, size/len(all))
		}
	}
}

func TestBlockMayIsNeverWrongAboutNo(t *testing.T) {
	all := traffic(300, 40)
	b := packed(t, all...)
	for name, c := range map[string]struct {
		q    record.Query
		want bool
	}{
		"all":                       {record.Query{}, true},
		"a tenant of it":            {record.Query{Tenant: "acme"}, true},
		"another tenant":            {record.Query{Tenant: "acm"}, false},
		"an application":            {record.Query{Application: "app-3"}, true},
		"no such application":       {record.Query{Application: "app-7"}, false},
		"a path":                    {record.Query{Path: "/orders/39"}, true},
		"the beginning of a path":   {record.Query{Path: "/or"}, true},
		"more than a path":          {record.Query{Path: "/orders/390"}, false},
		"a reason":                  {record.Query{Reason: "limit.rate"}, false},
		"each alone but not as one": {record.Query{Application: "app-3", Operation: "create", Path: "/orders/1", Status: 200}, true},
	} {
		may, err := b.May(&c.q)
		if err != nil || may != c.want {
			t.Errorf("%s: %v, %v", name, may, err)
		}
		var want []record.Record
		for i := range all {
			if c.q.Match(&all[i]) {
				want = append(want, all[i])
			}
		}
		if got := readAll(t, b, 0, c.q); !cmp.Equal(want, got) {
			t.Errorf("%s: read %d records, want %d", name, len(got), len(want))
		} else if len(got) > 0 && !may {
			t.Errorf("%s: ruled out %d records", name, len(got))
		}
	}
}

func TestBlockWriterKeepsNothingOfTheLastBlock(t *testing.T) {
	var w record.BlockWriter
	for _, all := range [][]record.Record{traffic(1000, 300), traffic(3, 1), traffic(500, 500)} {
		var list []*record.Record
		for i := range all {
			list = append(list, &all[i])
		}
		b, err := w.Write(list)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(all, readAll(t, b, 0, record.Query{})); d != "" {
			t.Errorf("(-written +read):\n%s", d)
		}
	}
	for _, n := range []int{0, record.BlockRecords + 1} {
		if _, err := w.Write(make([]*record.Record, n)); err == nil {
			t.Errorf("a block of %d records was written", n)
		}
	}
}

func TestBlockOfAnotherVersionIsRefused(t *testing.T) {
	b := packed(t, traffic(10, 2)...)
	b.Words[0]++
	if _, err := b.Record(0); !errors.Is(err, record.ErrBlock) {
		t.Errorf("read: %v", err)
	}
	if _, err := b.May(&record.Query{}); !errors.Is(err, record.ErrBlock) {
		t.Errorf("asked: %v", err)
	}
}

func FuzzBlock(f *testing.F) {
	for _, all := range [][]record.Record{traffic(1, 1), traffic(3, 3), traffic(300, 300)} {
		all[0].Fields = []record.Name{{Name: "A", Value: "b"}}
		b := packed(f, all...)
		f.Add(b.IDs, b.Words, b.Rows)
	}
	f.Fuzz(func(t *testing.T, ids, words, rows []byte) {
		b := record.Block{IDs: ids, Words: words, Rows: rows}
		q := record.Query{Path: "/o"}
		may, mayErr := b.May(&q)
		n := 0
		err := b.Read(0, &q, func(*record.Record) bool { n++; return true })
		if err == nil && mayErr == nil && n > 0 && !may {
			t.Errorf("%d records of a block that was ruled out", n)
		}
		if err != nil && !errors.Is(err, record.ErrBlock) {
			t.Errorf("error %v", err)
		}
	})
}

func BenchmarkBlockWrite(b *testing.B) {
	all := traffic(1000, 20)
	var list []*record.Record
	for i := range all {
		list = append(list, &all[i])
	}
	var w record.BlockWriter
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.Write(list); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/record")
}

func BenchmarkBlockRead(b *testing.B) {
	block := packed(b, traffic(1000, 20)...)
	q := record.Query{Status: 404}
	b.ReportAllocs()
	for b.Loop() {
		if err := block.Read(0, &q, func(*record.Record) bool { return true }); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/record")
}
