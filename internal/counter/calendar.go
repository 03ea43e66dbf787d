package counter

import (
	"time"

	"postern/internal/gate"
)

// period returns the calendar period that contains now, as nanoseconds since 1970: from start up to, not including, end.
//
// Seconds, minutes and hours are those of the wall clock in zone; the hour that is repeated when clocks go back is two
// periods. Days, weeks (from Monday) and months begin at the first instant of their date there, which is not always
// midnight, and last as long as they last: 23 or 25 hours when clocks change.
func period(unit gate.CalendarUnit, zone *time.Location, now time.Time) (start, end int64) {
	if zone == nil {
		zone = time.UTC
	}
	t := now.In(zone)
	var length int64
	switch unit {
	case gate.Second:
		length = 1
	case gate.Minute:
		length = 60
	case gate.Hour:
		length = 3600
	default:
		return dates(unit, t)
	}
	_, offset := t.Zone()
	s := t.Unix()
	into := (s + int64(offset)) % length
	if into < 0 {
		into += length
	}
	start = (s - into) * int64(time.Second)
	return start, start + length*int64(time.Second)
}

func dates(unit gate.CalendarUnit, t time.Time) (start, end int64) {
	y, m, d := t.Date()
	var next time.Time
	switch unit {
	case gate.Week:
		d -= (int(t.Weekday()) + 6) % 7
		next = first(y, m, d+7, t.Location())
	case gate.Month:
		d = 1
		next = first(y, m+1, 1, t.Location())
	default:
		next = first(y, m, d+1, t.Location())
	}
	return first(y, m, d, t.Location()).UnixNano(), next.UnixNano()
}

// first returns the first instant of a date in a zone. time.Date alone would not do: at a midnight that a change of the
// clocks skips or repeats, it may answer an instant of the day before, or the second midnight of two.
func first(y int, m time.Month, d int, zone *time.Location) time.Time {
	utc := time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
	y, m, d = utc.Date()
	// Where midnight comes twice, the one by the offset before the change is the first.
	_, before := utc.Add(-36 * time.Hour).In(zone).Zone()
	_, after := utc.Add(36 * time.Hour).In(zone).Zone()
	for _, offset := range [...]int{before, after} {
		t := utc.Add(-time.Duration(offset) * time.Second).In(zone)
		ty, tm, td := t.Date()
		if ty == y && tm == m && td == d && t.Hour() == 0 && t.Minute() == 0 && t.Second() == 0 {
			return t
		}
	}
	// The date has no midnight: it begins when the clocks were changed.
	t := utc.Add(-time.Duration(before) * time.Second).In(zone)
	change, _ := t.ZoneBounds()
	return change
}
