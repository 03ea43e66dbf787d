package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern/internal/record"
	"postern/internal/store"
)

// Ordinary calls are nearly all there are, and an adapter may keep them in another form than refusals and failures. What is
// asked here is that nobody can tell.

// traffic is calls as a gateway has them: mostly ordinary, some notable, a few that began long before they ended.
func traffic(n int, from time.Time) []record.Record {
	all := sample(n)
	for i := range all {
		r := &all[i]
		when := from.Add(time.Duration(i) * 700 * time.Microsecond).Truncate(time.Millisecond)
		if i%97 == 3 {
			when = when.Add(-time.Duration(i) * time.Second / 10)
		}
		r.ID, r.Time = id(when, i), when
		if i%7 == 0 {
			continue // as sample made it
		}
		r.Outcome, r.Reason, r.Gate, r.Origin, r.Status = "passed", "", "", "upstream", 200+i%3
		r.Application, r.Peer, r.Took = fmt.Sprint("app-", i%11), fmt.Sprint("192.0.2.1:", 40000+i%64), time.Duration(i*i)
		if i%5 == 0 {
			r.Fields = []record.Name{{Name: "Accept", Value: fmt.Sprint("*/*;n=", i)}, {Name: "X-Empty"}}
		}
	}
	return all
}

func newestFirst(records []record.Record) []record.Record {
	all := slices.Clone(records)
	slices.SortFunc(all, func(a, b record.Record) int { return slices.Compare(b.ID[:], a.ID[:]) })
	return all
}

func testOrdinaryWhole(t *testing.T, s store.Records) {
	var all []record.Record
	for i := range 40 {
		r := Whole(at.Add(time.Duration(i) * time.Millisecond))
		r.ID = id(r.Time, i)
		if i%4 != 0 {
			r.Outcome, r.Reason, r.Gate, r.Status, r.Steps, r.Attempts = "passed", "", "", 200, nil, nil
		}
		all = append(all, r)
	}
	appendAll(t, s, all...)
	for _, r := range all {
		has(t, r)(s.Record(t.Context(), r.ID))
	}
	has(t, newestFirst(all))(s.FindRecords(t.Context(), record.Query{Limit: 1000}))
	missing[record.Record](t, "a record between others")(s.Record(t.Context(), id(at, 999)))
}

func testOrdinaryFilters(t *testing.T, s store.Records) {
	all := traffic(900, at)
	order := rand.New(rand.NewPCG(1, 2)).Perm(len(all)) // calls end in another order than they began
	for _, n := range [][]int{order[:300], order[300:310], order[310:]} {
		var batch []record.Record
		for _, i := range n {
			batch = append(batch, all[i])
		}
		appendAll(t, s, batch...)
	}
	mid := all[450]
	for name, q := range map[string]record.Query{
		"all": {}, "ordinary": {Outcome: "passed"}, "notable": {Outcome: "refused"}, "tenant": {Tenant: "beta"}, "application": {Application: "app-7"},
		"sample's application": {Application: "shop"}, "operation": {Operation: "list"}, "key": {Key: "k2"}, "model": {Model: "small"}, "path": {Path: "/orders"},
		"status": {Status: 201}, "4xx": {Status: 4}, "403": {Status: 403}, "origin": {Origin: "upstream"}, "reason": {Reason: "limit.rate"}, "gate": {Gate: "authz"},
		"since": {Since: mid.Time}, "until": {Until: mid.Time}, "one millisecond": {Since: mid.Time, Until: mid.Time}, "before": {Before: mid.ID},
		"before all": {Before: newestFirst(all)[len(all)-1].ID}, "several": {Application: "app-7", Status: 202, Since: all[100].Time, Until: all[800].Time},
		"nothing fits": {Application: "app-7", Path: "/none"},
	} {
		var want []record.Record
		for _, r := range newestFirst(all) {
			if q.Match(&r) {
				want = append(want, r)
			}
		}
		for _, limit := range []int{1000, 10, 1} {
			q.Limit = limit
			got, err := s.FindRecords(t.Context(), q)
			if err != nil {
				t.Errorf("%s: %v", name, err)
			} else if d := cmp.Diff(want[:min(len(want), limit)], got, emptyIsNil); d != "" {
				t.Errorf("%s, at most %d: got %d records of %d (-want +got):\n%s", name, limit, len(got), len(want), d)
			}
		}
	}
}

var emptyIsNil = cmp.Transformer("emptyIsNil", func(r []record.Record) []record.Record {
	if len(r) == 0 {
		return nil
	}
	return r
})

func testOrdinaryPages(t *testing.T, s store.Records) {
	all := traffic(2500, at)
	for from := 0; from < len(all); from += 500 { // batches interleave, as those of several queues do
		var batch []record.Record
		for i := range 500 {
			batch = append(batch, all[(from/500+5*i)%len(all)])
		}
		appendAll(t, s, batch...)
	}
	for _, q := range []record.Query{{Limit: 170}, {Limit: 1000}, {Limit: 33, Application: "app-4"}} {
		var want, got []record.Record
		for _, r := range newestFirst(all) {
			if q.Match(&r) {
				want = append(want, r)
			}
		}
		for len(got) < len(want) {
			page, err := s.FindRecords(t.Context(), q)
			if err != nil || len(page) == 0 || len(page) > q.Limit {
				t.Fatalf("a page of %d after %d of %d, error %v", len(page), len(got), len(want), err)
			}
			got = append(got, page...)
			q.Before = got[len(got)-1].ID
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("pages of %d (-want +got):\n%s", q.Limit, d)
		}
		if rest, err := s.FindRecords(t.Context(), q); len(rest) != 0 || err != nil {
			t.Errorf("%d records after the last, error %v", len(rest), err)
		}
	}
}

func testOrdinaryTwice(t *testing.T, s store.Records) {
	all := traffic(400, at)
	changed := slices.Clone(all)
	for i := range changed {
		changed[i].Agent = "again"
		switch i % 3 {
		case 0: // was ordinary or not, and now is
			changed[i].Outcome, changed[i].Reason, changed[i].Gate, changed[i].Status = "passed", "", "", 200
		case 1:
			changed[i].Outcome, changed[i].Status = "failed", 502
		}
	}
	appendAll(t, s, all[:200]...)
	appendAll(t, s, all[:200]...)                               // the batch is tried again
	appendAll(t, s, changed[100:300]...)                        // some are there, some are not
	appendAll(t, s, append(slices.Clone(all[250:]), all...)...) // and within one batch
	want := append(slices.Clone(all[:200]), append(slices.Clone(changed[200:300]), all[300:]...)...)
	has(t, newestFirst(want))(s.FindRecords(t.Context(), record.Query{Limit: 1000}))
	if n, err := s.TrimRecords(t.Context(), time.Time{}, 1); n != int64(len(want))-1 || err != nil {
		t.Errorf("trimmed %d, error %v; want all but one of %d", n, err, len(want))
	}
}

func testOrdinaryTrim(t *testing.T, s store.Records) {
	const n = 6000
	all := traffic(n, at)
	for part := range 3 { // three queues
		var batch []record.Record
		for i := part; i < n; i += 3 {
			batch = append(batch, all[i])
		}
		for i := 0; i < len(batch); i += 1000 {
			appendAll(t, s, batch[i:min(i+1000, len(batch))]...)
		}
	}
	left := newestFirst(all)
	trim := func(olderThan time.Time, most int64, want int) {
		t.Helper()
		gone, err := s.TrimRecords(t.Context(), olderThan, most)
		if gone != int64(want) || err != nil {
			t.Fatalf("trim older than %v, at most %d: %d went, error %v; want %d", olderThan, most, gone, err, want)
		}
		dropped := left[len(left)-want:]
		left = left[:len(left)-want]
		for _, r := range dropped[:min(len(dropped), 10)] {
			missing[record.Record](t, "a trimmed record")(s.Record(t.Context(), r.ID))
		}
		oldest := left[len(left)-1]
		has(t, oldest)(s.Record(t.Context(), oldest.ID))
		got, err := s.FindRecords(t.Context(), record.Query{Until: left[len(left)-min(len(left), 200)].Time, Limit: 1000})
		if err != nil || len(got) < min(len(left), 200) || !cmp.Equal(left[len(left)-len(got):], got) {
			t.Fatalf("the oldest are not what they should be: %d records, error %v", len(got), err)
		}
	}
	older := func(at time.Time) (n int) {
		for i := range left {
			if left[i].ID.Time().Before(at) {
				n++
			}
		}
		return n
	}
	trim(time.Time{}, n, 0)
	trim(time.Time{}, n-1, 1)
	trim(time.Time{}, n-123, 122)
	moment := at.Add(400 * time.Millisecond)
	trim(moment, 0, older(moment))
	back := all[500] // what was trimmed may come again
	appendAll(t, s, back)
	left = newestFirst(append(left, back))
	trim(time.Time{}, int64(len(left)-2), 2)
	trim(time.Time{}, 5, len(left)-5)
	if gone, err := s.TrimRecords(t.Context(), at.Add(time.Hour), 0); gone != 5 || err != nil {
		t.Errorf("trimming the rest: %d went, error %v", gone, err)
	}
	has(t, []record.Record(nil))(s.FindRecords(t.Context(), record.Query{}))
}
