package counter

import (
	"testing"
	"time"
	_ "time/tzdata" // the table of zones must not depend on the machine that tests

	"postern/internal/gate"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func TestPeriod(t *testing.T) {
	for _, c := range []struct {
		name, zone       string
		unit             gate.CalendarUnit
		now, start, stop string
	}{
		{"second", "UTC", gate.Second, "2026-03-04T12:00:00.5Z", "2026-03-04T12:00:00Z", "2026-03-04T12:00:01Z"},
		{"minute", "UTC", gate.Minute, "2026-03-04T12:00:59Z", "2026-03-04T12:00:00Z", "2026-03-04T12:01:00Z"},
		{"hour where clocks are 45 minutes off", "Asia/Kathmandu", gate.Hour, "2026-03-04T12:00:00Z", "2026-03-04T11:15:00Z", "2026-03-04T12:15:00Z"},
		{"day", "UTC", gate.Day, "2026-03-04T00:00:00Z", "2026-03-04T00:00:00Z", "2026-03-05T00:00:00Z"},
		{"week from Monday", "UTC", gate.Week, "2026-03-08T23:59:59Z", "2026-03-02T00:00:00Z", "2026-03-09T00:00:00Z"},
		{"week over a year's end", "UTC", gate.Week, "2027-01-01T00:00:00Z", "2026-12-28T00:00:00Z", "2027-01-04T00:00:00Z"},
		{"month", "UTC", gate.Month, "2028-02-29T12:00:00Z", "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z"},
		{"December", "UTC", gate.Month, "2026-12-31T23:59:59Z", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"},
		{"a day of 23 hours", "Europe/Berlin", gate.Day, "2026-03-29T12:00:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"},
		{"a day of 25 hours", "Europe/Berlin", gate.Day, "2026-10-25T12:00:00Z", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"},
		{"the first of two equal hours", "Europe/Berlin", gate.Hour, "2026-10-25T00:30:00Z", "2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z"},
		{"the second of two equal hours", "Europe/Berlin", gate.Hour, "2026-10-25T01:30:00Z", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"},
		{"a midnight that is skipped", "America/Sao_Paulo", gate.Day, "2018-11-04T12:00:00Z", "2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z"},
		{"the day before it", "America/Sao_Paulo", gate.Day, "2018-11-04T02:59:59Z", "2018-11-03T03:00:00Z", "2018-11-04T03:00:00Z"},
		{"a midnight that comes twice", "America/Havana", gate.Day, "2026-11-01T12:00:00Z", "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z"},
		{"between the two midnights", "America/Havana", gate.Day, "2026-11-01T04:30:00Z", "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z"},
		{"a day that was left out", "Pacific/Apia", gate.Day, "2011-12-30T09:59:59Z", "2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z"},
		{"the day after it", "Pacific/Apia", gate.Day, "2011-12-30T10:00:00Z", "2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z"},
	} {
		now, err := time.Parse(time.RFC3339, c.now)
		if err != nil {
			t.Fatal(err)
		}
		start, end := period(c.unit, zone(t, c.zone), now)
		got := time.Unix(0, start).UTC().Format(time.RFC3339) + " " + time.Unix(0, end).UTC().Format(time.RFC3339)
		if got != c.start+" "+c.stop {
			t.Errorf("%s: got %s, want %s %s", c.name, got, c.start, c.stop)
		}
	}
	if a, b := period(gate.Day, nil, time.Unix(0, 0)); a != 0 || b != int64(24*time.Hour) {
		t.Error("without a zone it is not UTC")
	}
}

// FuzzPeriod checks periods against what they are: they contain now, they meet, and those of dates begin exactly where
// the date changes.
func FuzzPeriod(f *testing.F) {
	names := []string{"UTC", "Europe/Berlin", "America/New_York", "America/Havana", "America/Sao_Paulo", "Asia/Beirut", "Africa/Cairo", "Pacific/Apia",
		"Australia/Lord_Howe", "Asia/Kathmandu", "America/St_Johns", "Antarctica/Troll", "Africa/Monrovia", "Europe/Dublin", "Asia/Tehran", "America/Asuncion", "Asia/Gaza", "Africa/Casablanca"}
	for i := range names {
		for _, at := range []int64{1772625600, 1541300400, 1793505600, 1325239199, 0, -1e9, 4e9, 1143331200} {
			f.Add(at, uint8(i), uint8(i))
		}
	}
	f.Fuzz(func(t *testing.T, at int64, unit, z uint8) {
		at %= 9e9
		loc := zone(t, names[int(z)%len(names)])
		u := gate.CalendarUnit(unit % 6)
		now := time.Unix(at, 0)
		start, end := period(u, loc, now)
		if start > now.UnixNano() || now.UnixNano() >= end {
			t.Fatalf("%v in %v: period %d of %v..%v", now.UTC(), loc, u, time.Unix(0, start).UTC(), time.Unix(0, end).UTC())
		}
		if u < gate.Day {
			return
		}
		if again, _ := period(u, loc, time.Unix(0, end)); again != end {
			t.Fatalf("%v in %v: the next period begins %v, this one ends %v", now.UTC(), loc, time.Unix(0, again).UTC(), time.Unix(0, end).UTC())
		}
		if again, stop := period(u, loc, time.Unix(0, start)); again != start || stop != end {
			t.Fatalf("%v in %v: the first instant is in another period", now.UTC(), loc)
		}
		first, before := time.Unix(0, start).In(loc), time.Unix(0, start-1).In(loc)
		if first.Format(time.DateOnly) <= before.Format(time.DateOnly) {
			t.Fatalf("%v in %v: begins at %v, when the date does not change", now.UTC(), loc, first)
		}
	})
}
