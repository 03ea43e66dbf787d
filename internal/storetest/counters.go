package storetest

import (
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern/internal/store"
)

// RunCounters runs the suite of store.CounterState. open returns an empty one and closes it with t.Cleanup.
func RunCounters(t *testing.T, open func(t *testing.T) store.CounterState) {
	later := time.Now().Add(time.Hour).UTC().Truncate(time.Millisecond)
	type name struct{ limit, subject string }
	read := func(t *testing.T, s store.CounterState) map[name]store.CounterRow {
		t.Helper()
		all := map[name]store.CounterRow{}
		err := s.EachCounter(t.Context(), func(r store.CounterRow) error {
			if _, twice := all[name{r.Limit, r.Subject}]; twice {
				t.Errorf("counter %s of %s came twice", r.Limit, r.Subject)
			}
			all[name{r.Limit, r.Subject}] = r
			return nil
		})
		if err != nil {
			t.Errorf("EachCounter: %v", err)
		}
		return all
	}
	save := func(t *testing.T, s store.CounterState, rows ...store.CounterRow) {
		t.Helper()
		if err := s.SaveCounters(t.Context(), rows); err != nil {
			t.Fatalf("SaveCounters: %v", err)
		}
	}
	t.Run("counters are kept and replaced", func(t *testing.T) {
		s := open(t)
		save(t, s)
		rows := []store.CounterRow{
			{Limit: "orders/v1#burst", Subject: "shop", A: math.MaxInt64, B: math.MinInt64, Expires: later},
			{Limit: "orders/v1#burst", Subject: "2001:db8::/64", A: -1, Expires: later},
			{Limit: "other", Subject: "shop", B: 7, Expires: later},
			{Limit: "everyone", A: 3}, // never expires
		}
		save(t, s, rows...)
		rows[0].A, rows[0].B = 5, 6
		save(t, s, rows[0])
		want := map[name]store.CounterRow{}
		for _, r := range rows {
			want[name{r.Limit, r.Subject}] = r
		}
		if d := cmp.Diff(want, read(t, s), cmp.AllowUnexported(name{})); d != "" {
			t.Errorf("counters differ (-want +got):\n%s", d)
		}
	})
	t.Run("expired counters are gone", func(t *testing.T) {
		s := open(t)
		save(t, s, store.CounterRow{Limit: "l", Subject: "old", Expires: time.Now().Add(-time.Minute)}, store.CounterRow{Limit: "l", Subject: "new", Expires: later})
		if got := read(t, s); len(got) != 1 || got[name{"l", "new"}].Limit == "" {
			t.Errorf("got %v, want the new one alone", got)
		}
	})
	t.Run("many counters", func(t *testing.T) {
		s := open(t)
		rows := make([]store.CounterRow, 5001)
		for i := range rows {
			rows[i] = store.CounterRow{Limit: "l", Subject: fmt.Sprint(i), A: int64(i), Expires: later}
		}
		save(t, s, rows...)
		got := read(t, s)
		if len(got) != len(rows) || got[name{"l", "5000"}].A != 5000 {
			t.Errorf("%d counters came back, want %d", len(got), len(rows))
		}
		stop := errors.New("enough")
		if err := s.EachCounter(t.Context(), func(store.CounterRow) error { return stop }); !errors.Is(err, stop) {
			t.Errorf("the error of the callback was lost: %v", err)
		}
	})
}
