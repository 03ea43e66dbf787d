package storetest

import (
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern/internal/decision"
	"postern/internal/record"
	"postern/internal/store"
)

// RunRecords runs the suite of store.Records. open returns an empty one and closes it with t.Cleanup.
func RunRecords(t *testing.T, open func(t *testing.T) store.Records) {
	for _, c := range []struct {
		name string
		test func(*testing.T, store.Records)
	}{
		{"every field of a record is kept", testWholeRecord},
		{"what is missing is not found", testRecordMissing},
		{"text of every kind is kept", testRecordText},
		{"a record that is there already stays as it was", testRecordTwice},
		{"every filter selects what it says", testFilters},
		{"pages run from the newest to the oldest", testRecordPages},
		{"the oldest are trimmed", testTrim},
		{"appending, reading and trimming at once", testRecordsConcurrent},
		{"every field of an ordinary record is kept", testOrdinaryWhole},
		{"filters select among ordinary and notable records alike", testOrdinaryFilters},
		{"pages run through ordinary and notable records", testOrdinaryPages},
		{"an ordinary record that is there already stays as it was", testOrdinaryTwice},
		{"the oldest are trimmed one by one, ordinary or not", testOrdinaryTrim},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

// id is a trace id of a moment, the n-th of its millisecond.
func id(at time.Time, n int) decision.TraceID {
	t := decision.NewTraceID(at)
	copy(t[6:], make([]byte, 10))
	t[14], t[15] = byte(n>>8), byte(n)
	return t
}

// Whole returns a record in which no field is empty, so that one forgotten by an adapter shows.
func Whole(at time.Time) record.Record {
	r := record.Record{}
	fill(reflect.ValueOf(&r).Elem(), "r", new(int64))
	r.ID, r.Time = id(at, 1), at
	return r
}

func fill(v reflect.Value, name string, n *int64) {
	*n++
	switch v.Kind() {
	case reflect.String:
		v.SetString(fmt.Sprintf("%s %d", name, *n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(1_000_000_007 + *n) // more than 32 bits would hold unsigned halves of
	case reflect.Uint8:
		v.SetUint(uint64(1 + *n%3))
	case reflect.Uint64:
		v.SetUint(uint64(*n))
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			fill(v.Index(i), name, n)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return
		}
		for i := range v.NumField() {
			fill(v.Field(i), v.Type().Field(i).Name, n)
		}
	}
}

func appendAll(t *testing.T, s store.Records, batch ...record.Record) {
	t.Helper()
	if err := s.AppendRecords(t.Context(), batch); err != nil {
		t.Fatalf("append %d records: %v", len(batch), err)
	}
}

func testWholeRecord(t *testing.T, s store.Records) {
	r := Whole(at)
	small := record.Record{ID: id(at, 2), Time: at}
	appendAll(t, s, r, small)
	has(t, r)(s.Record(t.Context(), r.ID))
	has(t, small)(s.Record(t.Context(), small.ID))
	has(t, []record.Record{small, r})(s.FindRecords(t.Context(), record.Query{}))
}

func testRecordMissing(t *testing.T, s store.Records) {
	missing[record.Record](t, "record")(s.Record(t.Context(), id(at, 1)))
	missing[record.Record](t, "the zero record")(s.Record(t.Context(), decision.TraceID{}))
	has(t, []record.Record(nil))(s.FindRecords(t.Context(), record.Query{Tenant: "acme"}))
	appendAll(t, s) // an empty batch is nothing
	if n, err := s.TrimRecords(t.Context(), at, 1); n != 0 || err != nil {
		t.Errorf("trimming nothing: %d, %v", n, err)
	}
}

func testRecordText(t *testing.T, s store.Records) {
	for i, text := range []string{"Zoë 株式会社 👩‍👩‍👧‍👦", `"\/` + "\b\f\n\r\t\x01\x1f\x7f", "\u2028\u2029", "</script>&", `%s'; DROP TABLE records; --`, "%", "_"} {
		r := record.Record{ID: id(at, i), Time: at, Method: text, Path: "/" + text, Query: text, Agent: text, Fault: text, Tenant: text, Reason: text,
			Fields: []record.Name{{Name: text, Value: text}},
			Steps:  []record.Step{{Gate: text, Facts: []decision.Fact{{Name: text, Want: text, Got: text}}}}}
		appendAll(t, s, r)
		has(t, r)(s.Record(t.Context(), r.ID))
		has(t, []record.Record{r})(s.FindRecords(t.Context(), record.Query{Path: "/" + text, Tenant: text, Reason: text}))
	}
}

func testRecordTwice(t *testing.T, s store.Records) {
	first := record.Record{ID: id(at, 1), Time: at, Status: 200}
	again := first
	again.Status = 500
	other := record.Record{ID: id(at, 2), Time: at}
	appendAll(t, s, first)
	appendAll(t, s, again, other, other) // a batch that is tried again
	has(t, []record.Record{other, first})(s.FindRecords(t.Context(), record.Query{}))
}

// sample is records that differ in everything a query can select by.
func sample(n int) []record.Record {
	pick := func(i int, words ...string) string { return words[i%len(words)] }
	all := make([]record.Record, n)
	for i := range all {
		when := at.Add(time.Duration(i/3) * time.Millisecond) // several in each millisecond
		all[i] = record.Record{
			ID: id(when, i), Time: when, Tenant: pick(i, "acme", "beta"), API: pick(i/2, "orders", "chat", ""), Operation: pick(i, "create", "list", "get"),
			Application: pick(i/3, "shop", "app", ""), Key: pick(i/5, "k1", "k2"), Model: pick(i/7, "", "small", "large"),
			Path:   pick(i, "/orders", "/orders/1", "/Orders", "/o", "/%"),
			Status: []int{200, 201, 400, 403, 404, 499, 500, 502, 599, 0}[i%10],
			Reason: pick(i, "", "", "authz.permission_missing", "limit.rate", "upstream.refused"), Gate: pick(i, "", "", "authz", "limit", ""),
			Outcome: pick(i, "passed", "answered", "refused", "refused", "failed"), Origin: pick(i/2, "gateway", "upstream", "unreachable"),
		}
	}
	return all
}

func testFilters(t *testing.T, s store.Records) {
	all := sample(120)
	appendAll(t, s, all...)
	mid := all[60]
	for name, q := range map[string]record.Query{
		"all": {}, "tenant": {Tenant: "beta"}, "api": {API: "chat"}, "application": {Application: "shop"}, "operation": {Operation: "list"},
		"key": {Key: "k2"}, "reason": {Reason: "limit.rate"}, "gate": {Gate: "authz"}, "passed": {Outcome: "passed"}, "refused": {Outcome: "refused"},
		"failed": {Outcome: "failed"}, "origin": {Origin: "unreachable"}, "model": {Model: "small"}, "path": {Path: "/orders/1"}, "path prefix": {Path: "/orders"},
		"path with a wildcard": {Path: "/%"}, "no such path": {Path: "/orders/12"}, "status": {Status: 403}, "4xx": {Status: 4}, "5xx": {Status: 5}, "no such status": {Status: 418},
		"since": {Since: mid.Time}, "since between": {Since: mid.Time.Add(400 * time.Microsecond)}, "until": {Until: mid.Time}, "until between": {Until: mid.Time.Add(900 * time.Microsecond)},
		"one millisecond": {Since: mid.Time, Until: mid.Time}, "before all time": {Until: time.Unix(-5, 0)}, "after all time": {Since: at.AddDate(9000, 0, 0)},
		"before": {Before: mid.ID}, "before and since": {Before: mid.ID, Since: all[50].Time},
		"several": {Tenant: "acme", Outcome: "refused", Status: 4, Path: "/Ord"}, "nothing fits": {Tenant: "acme", Application: "nobody"},
		"reason and application": {Reason: "authz.permission_missing", Application: "shop"}, "quotes": {Tenant: "acme' OR '1'='1"},
	} {
		var want []record.Record
		for _, r := range slices.Backward(all) {
			if q.Match(&r) {
				want = append(want, r)
			}
		}
		q.Limit = 1000
		got, err := s.FindRecords(t.Context(), q)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: got %d records, want %d (-want +got):\n%s", name, len(got), len(want), d)
		}
	}
}

func testRecordPages(t *testing.T, s store.Records) {
	all := sample(130)
	appendAll(t, s, all...)
	slices.Reverse(all)
	for _, limit := range []int{0, 1, 7, 1000, 1 << 30} {
		var got []record.Record
		q := record.Query{Limit: limit}
		for len(got) < len(all) {
			page, err := s.FindRecords(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			if len(page) == 0 || limit == 0 && len(page) > 50 || limit > 0 && len(page) > limit {
				t.Fatalf("limit %d: a page of %d after %d", limit, len(page), len(got))
			}
			got = append(got, page...)
			q.Before = got[len(got)-1].ID
		}
		if d := cmp.Diff(all, got); d != "" {
			t.Errorf("pages of %d (-want +got):\n%s", limit, d)
		}
	}
}

func testTrim(t *testing.T, s store.Records) {
	const n = 4500 // more than an adapter would delete at once
	all := make([]record.Record, n)
	for i := range all {
		when := at.Add(time.Duration(i) * time.Millisecond)
		all[i] = record.Record{ID: id(when, 0), Time: when}
	}
	appendAll(t, s, all...)
	trim := func(olderThan time.Time, most, gone int64, oldest int) {
		t.Helper()
		got, err := s.TrimRecords(t.Context(), olderThan, most)
		if got != gone || err != nil {
			t.Errorf("trim older than %v, at most %d: %d went, error %v; want %d", olderThan, most, got, err, gone)
		}
		if oldest > 0 {
			missing[record.Record](t, "a trimmed record")(s.Record(t.Context(), all[oldest-1].ID))
		}
		has(t, all[oldest])(s.Record(t.Context(), all[oldest].ID))
	}
	trim(time.Time{}, 0, 0, 0)
	trim(at, n, 0, 0)
	trim(all[10].Time, 0, 10, 10)
	trim(time.Time{}, n-12, 2, 12)
	trim(all[20].Time, 100, n-112, n-100)
	appendAll(t, s, all[:50]...)
	trim(time.Time{}, 120, 30, 30)
	has(t, all[n-1])(s.Record(t.Context(), all[n-1].ID))
}

func testRecordsConcurrent(t *testing.T, s store.Records) {
	const writers, batches, size = 3, 10, 40
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for b := range batches {
				var batch []record.Record
				for i := range size {
					when := at.Add(time.Duration(b*size+i) * time.Millisecond)
					batch = append(batch, record.Record{ID: id(when, w), Time: when, Tenant: fmt.Sprint(w), Outcome: []string{"passed", "failed"}[i/30]})
				}
				if err := s.AppendRecords(t.Context(), batch); err != nil {
					t.Errorf("append: %v", err)
				}
				if got, err := s.FindRecords(t.Context(), record.Query{Tenant: fmt.Sprint(w), Limit: 1000}); err != nil || len(got) != (b+1)*size {
					t.Errorf("writer %d found %d of its %d records, error %v", w, len(got), (b+1)*size, err)
				}
				if _, err := s.TrimRecords(t.Context(), at, 1<<40); err != nil {
					t.Errorf("trim: %v", err)
				}
			}
		})
	}
	wg.Wait()
	if n, err := s.TrimRecords(t.Context(), time.Time{}, 1); n != writers*batches*size-1 || err != nil {
		t.Errorf("trimmed %d records, error %v; want all but one of %d", n, err, writers*batches*size)
	}
}
