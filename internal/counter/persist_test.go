package counter_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"sync"
	"testing"
	"time"

	"postern/internal/counter"
	"postern/internal/gate"
	"postern/internal/store"
)

// shelf is a store.CounterState in memory.
type shelf struct {
	mu    sync.Mutex
	rows  map[[2]string]store.CounterRow
	saves int
	err   error
}

func (s *shelf) SaveCounters(_ context.Context, rows []store.CounterRow) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	if s.rows == nil {
		s.rows = map[[2]string]store.CounterRow{}
	}
	s.saves += len(rows)
	for _, r := range rows {
		// As stores do: to the millisecond.
		r.Expires = time.UnixMilli(r.Expires.UnixMilli())
		s.rows[[2]string{r.Limit, r.Subject}] = r
	}
	return nil
}

func (s *shelf) EachCounter(_ context.Context, fn func(store.CounterRow) error) error {
	if s.err != nil {
		return s.err
	}
	for r := range maps.Values(s.rows) {
		if err := fn(r); err != nil {
			return err
		}
	}
	return nil
}

func TestCountsSurviveARestart(t *testing.T) {
	c, s := counter.New(counter.Options{}), &shelf{}
	v6 := gate.Subject{Addr: netip.MustParseAddr("2001:db8:1:2::")}
	var limits []*gate.Limit
	for u := gate.Second; u <= gate.Month; u++ {
		limits = append(limits, quota(fmt.Sprint("quota", u), 10, u, nil))
	}
	limits = append(limits, rate("rate", 7, time.Hour, 10))
	subjects := []gate.Subject{{}, {Name: "shop-web"}, {Name: "=@*"}, v6, {Addr: netip.MustParseAddr("192.0.2.1")}}
	for _, l := range limits {
		for _, who := range subjects {
			for range 4 {
				take(t, c, noon, gate.Take{Limit: l, Subject: who})
			}
		}
	}
	if err := c.Save(ctx, noon, s); err != nil {
		t.Fatal(err)
	}
	after := counter.New(counter.Options{})
	restored, lost, err := after.Restore(ctx, noon, s)
	if err != nil || lost != 0 || restored != len(limits)*len(subjects) {
		t.Fatalf("restored %d, lost %d, %v", restored, lost, err)
	}
	for _, l := range limits {
		for _, who := range subjects {
			a, b := []gate.Take{{Limit: l, Subject: who}}, []gate.Take{{Limit: l, Subject: who}}
			take(t, c.Dry(), noon, a...)
			take(t, after.Dry(), noon, b...)
			if a[0].Reading != b[0].Reading || b[0].Reading.Remaining != 6 {
				t.Errorf("%s of %+v: %+v before, %+v after", l.ID, who, a[0].Reading, b[0].Reading)
			}
		}
	}
	tomorrow := noon.Add(24 * time.Hour)
	late := counter.New(counter.Options{})
	restored, lost, err = late.Restore(ctx, tomorrow, s)
	if want := 2 * len(subjects); err != nil || lost != 0 || restored != want { // week and month go on
		t.Errorf("a day later: restored %d, lost %d, %v; want %d", restored, lost, err, want)
	}
}

func TestSaveWritesOnlyWhatChanged(t *testing.T) {
	c, s := counter.New(counter.Options{}), &shelf{}
	l := quota("q", 10, gate.Day, nil)
	for i := range 10_000 {
		take(t, c, noon, one(l, fmt.Sprint("app", i))...)
	}
	for _, step := range []struct {
		name string
		do   func()
		want int
	}{
		{"everything is new", func() {}, 10_000},
		{"nothing changed", func() {}, 0},
		{"one was taken", func() { take(t, c, noon, one(l, "app5")...) }, 1},
		{"one was returned", func() { takes := one(l, "app6"); take(t, c, noon, takes...); c.Return(ctx, noon, takes) }, 1},
		{"one was only asked", func() { take(t, c.Dry(), noon, one(l, "app7")...) }, 0},
	} {
		step.do()
		s.saves = 0
		if err := c.Save(ctx, noon, s); err != nil || s.saves != step.want {
			t.Errorf("%s: %d rows, %v; want %d", step.name, s.saves, err, step.want)
		}
	}
}

func TestWhatCouldNotBeSavedIsSavedNextTime(t *testing.T) {
	c, s := counter.New(counter.Options{}), &shelf{err: errors.New("disk full")}
	l := quota("q", 10, gate.Day, nil)
	for i := range 5000 {
		take(t, c, noon, one(l, fmt.Sprint("app", i))...)
	}
	if err := c.Save(ctx, noon, s); !errors.Is(err, s.err) {
		t.Fatalf("got %v", err)
	}
	if _, _, err := c.Restore(ctx, noon, s); !errors.Is(err, s.err) {
		t.Errorf("restore: got %v", err)
	}
	s.err = nil
	if err := c.Save(ctx, noon, s); err != nil || len(s.rows) != 5000 {
		t.Errorf("%d rows saved, %v", len(s.rows), err)
	}
}

func TestSaveDropsWhatSaysNothingAnyMore(t *testing.T) {
	c, s := counter.New(counter.Options{}), &shelf{}
	l, slow := rate("r", 1, time.Second, 1), quota("q", 1, gate.Hour, nil)
	for i := range 3000 {
		take(t, c, noon, one(l, fmt.Sprint("app", i))...)
		take(t, c, noon, one(slow, fmt.Sprint("app", i))...)
	}
	count := func() int { named, _ := c.Len(); return named }
	if err := c.Save(ctx, noon.Add(time.Minute), s); err != nil || count() != 3000 {
		t.Errorf("%d left when the rates are whole, %v", count(), err)
	}
	if err := c.Save(ctx, noon.Add(time.Hour+time.Minute), s); err != nil || count() != 3000 {
		t.Errorf("%d left a minute after the hour, %v; quotas stay a while in case the clock steps back", count(), err)
	}
	if err := c.Save(ctx, noon.Add(time.Hour+10*time.Minute), s); err != nil || count() != 0 {
		t.Errorf("%d left at the end, %v", count(), err)
	}
}

func TestRestoreTakesNothingFromAnyoneAndNothingOnTrust(t *testing.T) {
	c, s := counter.New(counter.Options{}), &shelf{}
	l := quota("q", 10, gate.Day, nil)
	day := time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC)
	rows := []store.CounterRow{
		{Limit: "q", Subject: "d=few", A: day.UnixNano(), B: 2, Expires: day.AddDate(0, 0, 1)},
		{Limit: "q", Subject: "d=many", A: day.UnixNano(), B: 9, Expires: day.AddDate(0, 0, 1)},
		{Limit: "q", Subject: "d=negative", A: day.UnixNano(), B: -5, Expires: day.AddDate(0, 0, 1)},
		{Limit: "q", Subject: "d=huge", A: day.UnixNano(), B: 1 << 62, Expires: day.AddDate(0, 0, 1)},
		{Limit: "r", Subject: "r=far", A: 1<<63 - 1, B: 1<<63 - 1},
	}
	bad := []store.CounterRow{
		{}, {Limit: "q"}, {Limit: "q", Subject: "d"}, {Limit: "q", Subject: "d="}, {Limit: "q", Subject: "x=a"}, {Limit: "q", Subject: "d@nowhere"},
		{Limit: "q", Subject: "d*x"}, {Limit: "q", Subject: "d?x"}, {Subject: "d=a"}, {Limit: "q", Subject: "d=backwards", A: noon.UnixNano(), Expires: day},
	}
	s.SaveCounters(ctx, append(rows, bad...))
	for range 5 {
		for _, who := range []string{"few", "many"} {
			take(t, c, noon, one(l, who)...)
		}
	}
	restored, lost, err := c.Restore(ctx, noon, s)
	if err != nil || restored != len(rows) || lost != len(s.rows)-len(rows) {
		t.Errorf("restored %d, lost %d of %d, %v", restored, lost, len(s.rows), err)
	}
	for who, want := range map[string]int{"few": 5, "many": 1, "negative": 10, "huge": 0} {
		if n := drain(t, c, noon, l, who); n != want {
			t.Errorf("%s: %d left, want %d", who, n, want)
		}
	}
	takes := one(rate("r", 10, time.Second, 5), "far")
	if take(t, c, noon, takes...) != 0 || takes[0].Reading.Retry != 100*time.Millisecond {
		t.Errorf("a row from the far future: %+v", takes[0].Reading)
	}
}

func TestSavingWhileCounting(t *testing.T) {
	c, s := counter.New(counter.Options{}), &shelf{}
	l := quota("q", 1<<40, gate.Day, nil)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 3000 {
				if _, err := c.Take(ctx, noon, one(l, fmt.Sprint("app", (i*7+w)%500))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(func() {
		for range 20 {
			if err := c.Save(ctx, noon, s); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	if err := c.Save(ctx, noon, s); err != nil {
		t.Fatal(err)
	}
	sum := int64(0)
	for _, r := range s.rows {
		sum += r.B
	}
	if sum != 12_000 {
		t.Errorf("%d saved of 12000 taken", sum)
	}
}
