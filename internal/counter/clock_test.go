package counter_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"postern/internal/counter"
	"postern/internal/gate"
)

func TestQuotaStartsAnewWithItsPeriod(t *testing.T) {
	c := counter.New(counter.Options{})
	l := quota("q", 3, gate.Day, nil)
	if n := drain(t, c, noon, l, "a"); n != 3 {
		t.Fatalf("%d, want 3", n)
	}
	takes := one(l, "a")
	take(t, c, noon, takes...)
	if r := takes[0].Reading; r.Reset != 12*time.Hour || r.Retry != 12*time.Hour || r.Remaining != 0 {
		t.Errorf("reading %+v", r)
	}
	midnight := noon.Add(12 * time.Hour)
	if n := drain(t, c, midnight.Add(-1), l, "a"); n != 0 {
		t.Errorf("%d in the last nanosecond of the day", n)
	}
	if n := drain(t, c, midnight, l, "a"); n != 3 {
		t.Errorf("%d on the next day", n)
	}
}

func TestAClockThatStepsBackOverMidnightHandsNothingOutAgain(t *testing.T) {
	c := counter.New(counter.Options{})
	l := quota("q", 10, gate.Day, nil)
	midnight := noon.Add(12 * time.Hour)
	drain(t, c, midnight.Add(-time.Second), l, "a")
	total := 0
	// The clock swings around midnight, as a bad time server makes it.
	for i := range 100 {
		at := midnight.Add(time.Second)
		if i%2 == 1 {
			at = midnight.Add(-time.Second)
		}
		if take(t, c, at, one(l, "a")...) < 0 {
			total++
		}
	}
	if total != 10 {
		t.Errorf("%d of the new day's 10 were handed out", total)
	}
}

func TestAClockFarAheadBlocksNobodyBeyondThePresentPeriod(t *testing.T) {
	c := counter.New(counter.Options{})
	l := quota("q", 10, gate.Day, nil)
	for range 4 {
		take(t, c, noon, one(l, "a")...)
	}
	drain(t, c, noon.AddDate(1, 0, 0), l, "a") // for a moment, the clock was a year ahead
	takes := one(l, "a")
	if take(t, c, noon, takes...) != 0 || takes[0].Reading.Retry != 12*time.Hour {
		t.Errorf("back in the present: %+v, want what was used to count until midnight", takes[0].Reading)
	}
	if n := drain(t, c, noon.Add(12*time.Hour), l, "a"); n != 10 {
		t.Errorf("%d on the next day, want 10", n)
	}
}

func TestAClockSetBackBlocksARateForOneUnitAtMost(t *testing.T) {
	c := counter.New(counter.Options{})
	l := rate("r", 60, time.Minute, 5)
	drain(t, c, noon, l, "a")
	back := noon.Add(-6 * time.Hour)
	takes := one(l, "a")
	if take(t, c, back, takes...) != 0 || takes[0].Reading.Retry != time.Second {
		t.Errorf("set back by hours: %+v, want one second to wait", takes[0].Reading)
	}
	if take(t, c, back.Add(time.Second), one(l, "a")...) != -1 {
		t.Error("after waiting as told: refused")
	}
}

func TestATightenedRateBlocksForOneUnitAtMost(t *testing.T) {
	c := counter.New(counter.Options{})
	loose, tight := rate("r", 10, time.Second, 1000), rate("r", 10, time.Second, 2)
	drain(t, c, noon, loose, "a")
	takes := one(tight, "a")
	if take(t, c, noon, takes...) != 0 || takes[0].Reading.Retry != 100*time.Millisecond {
		t.Errorf("%+v", takes[0].Reading)
	}
	if take(t, c, noon.Add(100*time.Millisecond), one(tight, "a")...) != -1 {
		t.Error("after waiting as told: refused")
	}
}

func TestALimitThatCountsDifferentlyBeginsAnew(t *testing.T) {
	c := counter.New(counter.Options{})
	drain(t, c, noon, quota("x", 5, gate.Day, nil), "a")
	if n := drain(t, c, noon, quota("x", 5, gate.Month, nil), "a"); n != 5 {
		t.Errorf("per month instead of per day: %d", n)
	}
	if n := drain(t, c, noon, rate("x", 5, time.Second, 5), "a"); n != 5 {
		t.Errorf("a rate instead of a quota: %d", n)
	}
	if n := drain(t, c, noon, quota("x", 7, gate.Day, nil), "a"); n != 2 {
		t.Errorf("two more per day than before: %d", n)
	}
}

// TestAQuotaNeverGivesMoreThanItHasForAnyClock walks a clock at random, by seconds and by weeks, and compares with a model:
// within one excursion of the clock no period gives more than Max.
func TestAQuotaNeverGivesMoreThanItHasWhileTheClockSwings(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	for range 50 {
		c := counter.New(counter.Options{})
		l := quota("q", 20, gate.Hour, nil)
		given, latest := 0, noon
		periods := map[int64]bool{}
		for range 400 {
			// Forward by up to ten minutes, or back by up to half an hour from the latest time.
			var at time.Time
			if rng.IntN(3) == 0 {
				at = latest.Add(-time.Duration(rng.IntN(1800)) * time.Second)
			} else {
				at = latest.Add(time.Duration(rng.IntN(600)) * time.Second)
				latest = at
			}
			periods[at.Truncate(time.Hour).Unix()] = true
			if take(t, c, at, one(l, "a")...) < 0 {
				given++
			}
		}
		if given > 20*len(periods) {
			t.Fatalf("%d given in %d hours of 20", given, len(periods))
		}
	}
}
