package counter_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postern/internal/counter"
	"postern/internal/gate"
)

var ctx = context.Background()

// noon is a Wednesday.
var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

func rate(id string, n int64, per time.Duration, burst int64) *gate.Limit {
	return &gate.Limit{ID: id, Name: id, Kind: gate.LimitRate, Max: n, Period: per, Burst: burst}
}

func quota(id string, n int64, unit gate.CalendarUnit, zone *time.Location) *gate.Limit {
	return &gate.Limit{ID: id, Name: id, Kind: gate.LimitQuota, Max: n, Unit: unit, Zone: zone}
}

func one(l *gate.Limit, who string) []gate.Take {
	return []gate.Take{{Limit: l, Subject: gate.Subject{Name: who}}}
}

func take(t testing.TB, c gate.Counters, now time.Time, takes ...gate.Take) (refused int) {
	t.Helper()
	refused, err := c.Take(ctx, now, takes)
	if err != nil {
		t.Fatal(err)
	}
	return refused
}

// drain takes until nothing is left and returns how many there were.
func drain(t testing.TB, c gate.Counters, now time.Time, l *gate.Limit, who string) (n int) {
	t.Helper()
	for take(t, c, now, one(l, who)...) < 0 {
		if n++; n > 1_000_000 {
			t.Fatal("the limit does not bind")
		}
	}
	return n
}

func TestRateLetsABurstThroughAndThenOneAtATime(t *testing.T) {
	c := counter.New(counter.Options{})
	l := rate("r", 10, time.Second, 3)
	if n := drain(t, c, noon, l, "a"); n != 3 {
		t.Fatalf("a burst of %d, want 3", n)
	}
	takes := one(l, "a")
	if c.Take(ctx, noon, takes); takes[0].Reading.Retry != 100*time.Millisecond || takes[0].Reading.Remaining != 0 || takes[0].Reading.Reset != 300*time.Millisecond {
		t.Errorf("reading %+v", takes[0].Reading)
	}
	if take(t, c, noon.Add(100*time.Millisecond-1), one(l, "a")...) != 0 {
		t.Error("let through a nanosecond too early")
	}
	if take(t, c, noon.Add(100*time.Millisecond), one(l, "a")...) != -1 {
		t.Error("refused although Retry has passed")
	}
	if n := drain(t, c, noon.Add(100*time.Millisecond), l, "b"); n != 3 {
		t.Errorf("another caller got %d, want a burst of its own", n)
	}
	if n := drain(t, c, noon.Add(time.Hour), l, "a"); n != 3 {
		t.Errorf("after an hour %d, want the whole burst and no more", n)
	}
}

func TestRateDoesNotDriftWhenThePeriodIsNotDivisible(t *testing.T) {
	// 7 in a second: 142,857,142 and 6/7 nanoseconds each. Rounded either way, an hour of it would be off.
	c := counter.New(counter.Options{})
	l := rate("r", 7, time.Second, 1)
	at, end, n := noon, noon.Add(time.Hour), int64(0)
	for at.Before(end) {
		takes := one(l, "a")
		refused, err := c.Take(ctx, at, takes)
		if err != nil || refused >= 0 {
			t.Fatalf("refused at %v, %v", at, err)
		}
		n++
		c.Take(ctx, at, takes)
		at = at.Add(takes[0].Reading.Retry)
	}
	if n != 7*3600 {
		t.Errorf("%d requests in an hour, want exactly %d", n, 7*3600)
	}
}

func TestRateOfExtremes(t *testing.T) {
	for _, l := range []*gate.Limit{
		rate("a million a day at once", 1_000_000, 24*time.Hour, 1_000_000),
		rate("faster than the clock", 1<<50, time.Nanosecond, 5),
		rate("one a year", 1, 366*24*time.Hour, 1),
		rate("largest", 1<<50, 366*24*time.Hour, 1<<50),
	} {
		c := counter.New(counter.Options{})
		takes := one(l, "a")
		for i := range min(l.Burst, 1000) {
			if take(t, c, noon, takes...) >= 0 {
				t.Fatalf("%s: refused take %d of %d", l.Name, i, l.Burst)
			}
		}
		if refused, err := c.Take(ctx, noon, takes); err != nil || refused < 0 != (l.Burst > 1000) {
			t.Errorf("%s: refused %d, %v", l.Name, refused, err)
		}
		r := takes[0].Reading
		if r.Remaining < 0 || r.Remaining > l.Burst || r.Reset < 0 || r.Reset > 367*24*time.Hour || r.Retry < 0 || r.Retry > 367*24*time.Hour {
			t.Errorf("%s: reading %+v", l.Name, r)
		}
	}
}

func TestNonsenseLimitsRefuseAndDoNotPanic(t *testing.T) {
	c := counter.New(counter.Options{})
	for i, l := range []*gate.Limit{
		{}, {Kind: gate.LimitQuota}, {Max: -1, Burst: -1, Period: -1}, {Kind: gate.LimitQuota, Max: -5},
	} {
		l.ID = fmt.Sprint(i)
		takes := one(l, "a")
		if refused, err := c.Take(ctx, noon, takes); refused != 0 || err != nil {
			t.Errorf("%d: got %d, %v", i, refused, err)
		}
		c.Return(ctx, noon, takes)
	}
	odd := &gate.Limit{ID: "odd", Max: 1 << 62, Burst: 1 << 62, Period: 1 << 62, Unit: 200}
	c.Take(ctx, noon, one(odd, "a"))
	odd = &gate.Limit{ID: "odd", Kind: gate.LimitQuota, Max: 1 << 62, Unit: 200}
	c.Take(ctx, noon, one(odd, "a"))
}

func TestOfTenThousandForTheLastUnitOneWins(t *testing.T) {
	for _, l := range []*gate.Limit{rate("r", 1, time.Hour, 5), quota("q", 5, gate.Day, nil)} {
		c := counter.New(counter.Options{})
		for range 4 {
			take(t, c, noon, one(l, "a")...)
		}
		var wins atomic.Int64
		var wg sync.WaitGroup
		start := make(chan struct{})
		for range 10_000 {
			wg.Go(func() {
				<-start
				if refused, err := c.Take(ctx, noon, one(l, "a")); err == nil && refused < 0 {
					wins.Add(1)
				}
			})
		}
		close(start)
		wg.Wait()
		if wins.Load() != 1 {
			t.Errorf("%s: %d got the last unit", l.Name, wins.Load())
		}
	}
}

func TestSeveralLimitsGiveTogetherOrNotAtAll(t *testing.T) {
	c := counter.New(counter.Options{})
	wide, narrow := quota("wide", 100, gate.Day, nil), rate("narrow", 1, time.Minute, 2)
	all := func() []gate.Take {
		return []gate.Take{
			{Limit: wide, Subject: gate.Subject{Name: "a"}},
			{Limit: narrow, Subject: gate.Subject{Name: "a"}},
			{Limit: quota("everyone", 1000, gate.Hour, nil)},
		}
	}
	for i, want := range []int{-1, -1, 1, 1} {
		takes := all()
		if got := take(t, c, noon, takes...); got != want {
			t.Fatalf("take %d: refused %d, want %d", i, got, want)
		}
		used := int64(min(i+1, 2))
		if takes[0].Reading.Remaining != 100-used || takes[2].Reading.Remaining != 1000-used {
			t.Errorf("take %d: remaining %d and %d after %d used", i, takes[0].Reading.Remaining, takes[2].Reading.Remaining, used)
		}
		for _, x := range takes {
			if x.Reading.Limit != x.Limit {
				t.Errorf("take %d: a reading without its limit", i)
			}
		}
	}
}

func TestTheSameLimitTwiceInOneTakeCountsTwice(t *testing.T) {
	c := counter.New(counter.Options{})
	l := quota("q", 3, gate.Day, nil)
	twice := append(one(l, "a"), one(l, "a")...)
	if got := take(t, c, noon, twice...); got != -1 {
		t.Fatal("refused with three left")
	}
	if got := take(t, c, noon, twice...); got != 1 {
		t.Fatalf("refused %d, want the second of two for one unit", got)
	}
	if twice[0].Reading.Remaining != 1 || take(t, c, noon, one(l, "a")...) != -1 {
		t.Error("a refused pair took something")
	}
}

func TestManyLimitsAtOnce(t *testing.T) {
	c := counter.New(counter.Options{})
	var takes []gate.Take
	for i := range 200 {
		takes = append(takes, one(quota(fmt.Sprint("q", i), int64(3+i%2), gate.Day, nil), "a")...)
	}
	for range 3 {
		if got := take(t, c, noon, takes...); got != -1 {
			t.Fatal("refused too early")
		}
	}
	if got := take(t, c, noon, takes...); got != 0 {
		t.Fatalf("refused %d, want the first", got)
	}
}

func TestReturnGivesBackWhatWasTaken(t *testing.T) {
	for _, l := range []*gate.Limit{rate("r", 1, time.Hour, 3), quota("q", 3, gate.Day, nil)} {
		c := counter.New(counter.Options{})
		takes := one(l, "a")
		take(t, c, noon, takes...)
		c.Return(ctx, noon, takes)
		if n := drain(t, c, noon, l, "a"); n != 3 {
			t.Errorf("%s: %d left, want all 3", l.Name, n)
		}
		c.Return(ctx, noon, takes)
		c.Return(ctx, noon, one(l, "never seen"))
		if n := drain(t, c, noon, l, "a"); n != 1 {
			t.Errorf("%s: %d left after one was returned", l.Name, n)
		}
		for range 10 {
			c.Return(ctx, noon, takes)
		}
		if n := drain(t, c, noon, l, "a"); n != 3 {
			t.Errorf("%s: returning more than was taken gives %d", l.Name, n)
		}
	}
}

func TestReturnDoesNotReachIntoTheNextPeriod(t *testing.T) {
	c := counter.New(counter.Options{})
	l := quota("q", 2, gate.Day, nil)
	old := one(l, "a")
	take(t, c, noon, old...)
	tomorrow := noon.Add(24 * time.Hour)
	drain(t, c, tomorrow, l, "a")
	c.Return(ctx, tomorrow, old)
	if n := drain(t, c, tomorrow, l, "a"); n != 0 {
		t.Errorf("yesterday's unit was given back to today: %d", n)
	}
}

func TestDrySeesButNeverTakes(t *testing.T) {
	c := counter.New(counter.Options{})
	l := quota("q", 2, gate.Day, nil)
	d := c.Dry()
	for range 10 {
		takes := one(l, "a")
		if got := take(t, d, noon, takes...); got != -1 || takes[0].Reading.Remaining != 2 {
			t.Fatalf("dry take: refused %d, %+v", got, takes[0].Reading)
		}
		d.Return(ctx, noon, takes)
	}
	if named, addresses := c.Len(); named+addresses != 0 {
		t.Error("a dry take made a counter")
	}
	drain(t, c, noon, l, "a")
	takes := one(l, "a")
	if got := take(t, d, noon, takes...); got != 0 || takes[0].Reading.Retry != 12*time.Hour {
		t.Errorf("dry take of an empty limit: %d, %+v", got, takes[0].Reading)
	}
	d.Return(ctx, noon, takes)
	if n := drain(t, c, noon, l, "a"); n != 0 {
		t.Error("a dry return gave something back")
	}
	twice := append(one(l, "b"), append(one(l, "b"), one(l, "b")...)...)
	if got := take(t, d, noon, twice...); got != 2 {
		t.Errorf("three for two units, dry: refused %d", got)
	}
}

func TestTakingAllocatesNothing(t *testing.T) {
	c := counter.New(counter.Options{})
	takes := []gate.Take{
		{Limit: rate("r", 1<<40, time.Second, 1<<40), Subject: gate.Subject{Name: "a"}},
		{Limit: quota("q", 1<<40, gate.Month, nil), Subject: gate.Subject{Name: "a"}},
		{Limit: quota("addr", 1<<40, gate.Day, nil), Subject: gate.Subject{Addr: netip.MustParseAddr("2001:db8::")}},
		{Limit: rate("all", 1<<40, time.Second, 1<<40)},
	}
	take(t, c, noon, takes...)
	if n := testing.AllocsPerRun(200, func() {
		if r, err := c.Take(ctx, noon, takes); r >= 0 || err != nil {
			t.Error("refused")
		}
		c.Return(ctx, noon, takes)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestAFloodOfAddressesIsBoundedAndForgetsNobody(t *testing.T) {
	c := counter.New(counter.Options{MaxEntries: 8192, MaxAddresses: 4096})
	l := quota("q", 1, gate.Day, nil)
	byAddress := func(a netip.Addr) []gate.Take { return []gate.Take{{Limit: l, Subject: gate.Subject{Addr: a}}} }
	attacker := netip.MustParseAddr("192.0.2.1")
	if take(t, c, noon, byAddress(attacker)...) != -1 {
		t.Fatal("the first request was refused")
	}
	full := 0
	for i := range 100_000 {
		a := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		if _, err := c.Take(ctx, noon, byAddress(a)); errors.Is(err, counter.ErrFull) {
			full++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	_, addresses := c.Len()
	if addresses > 4096 || addresses < 3500 {
		t.Errorf("%d addresses are kept, want nearly 4096", addresses)
	}
	if full != 100_000-addresses+1 {
		t.Errorf("%d of the flood were told that there is no room", full)
	}
	if take(t, c, noon, byAddress(attacker)...) != 0 {
		t.Error("the flood made the counters forget the attacker")
	}
	if take(t, c, noon, one(l, "shop-web")...) != -1 {
		t.Error("the flood took the place of an application")
	}
	// Tomorrow all of it says nothing any more and gives way.
	tomorrow := noon.Add(24 * time.Hour)
	for i := range 1500 { // few enough that no shard has too many of them by chance
		a := netip.AddrFrom4([4]byte{11, 0, byte(i >> 8), byte(i)})
		if _, err := c.Take(ctx, tomorrow, byAddress(a)); err != nil {
			t.Fatalf("no room for address %d although everything expired: %v", i, err)
		}
	}
}

func TestNoRoomTakesFromNoOtherLimit(t *testing.T) {
	c := counter.New(counter.Options{MaxEntries: 4096, MaxAddresses: 64})
	day := quota("day", 1000, gate.Day, nil)
	all := quota("all", 1_000_000, gate.Day, nil)
	counted := int64(0)
	for i := range 2000 {
		a := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
		takes := []gate.Take{{Limit: all, Subject: gate.Subject{Name: "x"}}, {Limit: day, Subject: gate.Subject{Addr: a}}}
		if _, err := c.Take(ctx, noon, takes); err == nil {
			counted++
		} else if !errors.Is(err, counter.ErrFull) {
			t.Fatal(err)
		}
	}
	takes := one(all, "x")
	take(t, c.Dry(), noon, takes...)
	if counted == 2000 || takes[0].Reading.Remaining != 1_000_000-counted {
		t.Errorf("%d were counted, remaining says %d", counted, takes[0].Reading.Remaining)
	}
}

// TestConcurrentTakesNeverOvershoot mixes takes, returns, dry takes and several limits in changing order.
func TestConcurrentTakesNeverOvershoot(t *testing.T) {
	c := counter.New(counter.Options{})
	limits := []*gate.Limit{quota("a", 500, gate.Day, nil), rate("b", 1, time.Hour, 700), quota("c", 900, gate.Week, nil)}
	var kept [3]atomic.Int64
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(w)))
			for range 1000 {
				order := rng.Perm(3)[:1+rng.IntN(3)]
				var takes []gate.Take
				for _, i := range order {
					takes = append(takes, one(limits[i], "x")...)
				}
				view := gate.Counters(c)
				if rng.IntN(4) == 0 {
					view = c.Dry()
				}
				refused, err := view.Take(ctx, noon, takes)
				if err != nil {
					t.Error(err)
				}
				if view != c || refused >= 0 {
					continue
				}
				if rng.IntN(3) == 0 {
					c.Return(ctx, noon, takes)
					continue
				}
				for _, i := range order {
					kept[i].Add(1)
				}
			}
		})
	}
	wg.Wait()
	for i, l := range limits {
		takes := one(l, "x")
		take(t, c.Dry(), noon, takes...)
		most := max(l.Burst, l.Max)
		if l.Kind == gate.LimitRate {
			most = l.Burst
		}
		if got := kept[i].Load(); got > most || takes[0].Reading.Remaining != most-got {
			t.Errorf("%s: %d kept of %d, remaining %d", l.Name, got, most, takes[0].Reading.Remaining)
		}
	}
}

func BenchmarkTake(b *testing.B) {
	c := counter.New(counter.Options{})
	takes := []gate.Take{
		{Limit: rate("r", 1<<40, time.Second, 1<<40), Subject: gate.Subject{Name: "shop-web"}},
		{Limit: quota("q", 1<<40, gate.Month, nil), Subject: gate.Subject{Name: "shop-web"}},
	}
	b.ReportAllocs()
	for b.Loop() {
		c.Take(ctx, noon, takes)
	}
}
