package limit

import (
	"strconv"
	"strings"
	"time"

	"postern/internal/decision"
	"postern/internal/gate"
)

// refusal words the limit that had no room. Everybody is told when to come back (Retry-After says it anyway); how much
// is allowed, only a caller who has proven who it is; who was counted, only the operator.
func refusal(t *gate.Take, now time.Time) decision.Verdict {
	l := t.Limit
	rule := &decision.Rule{ID: l.ID, Pointer: l.Pointer}
	facts := []decision.Fact{
		{Name: "limit", Want: strconv.FormatInt(l.Max, 10), Public: decision.ToProven},
		{Name: "period", Want: period(l), Public: decision.ToProven},
		{Name: "per", Want: " per " + period(l), Public: decision.ToProven},
		{Name: "name", Want: l.Name, Public: decision.ToProven},
		{Name: "retry", Want: wait(t.Reading.Retry), Public: decision.ToAnyone},
		{Name: "subject", Want: "counted by " + by(l), Got: subject(t)},
	}
	if l.Kind == gate.LimitQuota {
		zone := l.Zone
		if zone == nil {
			zone = time.UTC
		}
		// Rounded up, so that nobody comes back a moment too early.
		resets := now.Add(t.Reading.Reset + time.Second - 1).Truncate(time.Second).In(zone)
		facts[0].Want += " requests"
		facts = append(facts, decision.Fact{Name: "resets", Want: resets.Format(time.RFC3339), Public: decision.ToProven})
		return decision.Refuse(decision.LimitQuota, rule, facts...)
	}
	if l.Burst != l.Max {
		facts = append(facts, decision.Fact{Name: "burst", Want: strconv.FormatInt(l.Burst, 10), Public: decision.ToProven})
	}
	return decision.Refuse(decision.LimitRate, rule, facts...)
}

// unavailable answers when counters did not: one limit that must be counted is enough to refuse. The takes are dropped,
// as nothing was taken.
func (g *limits) unavailable(x *gate.Exchange, first int, fault string) decision.Verdict {
	takes := x.Takes[first:]
	x.Takes = x.Takes[:first]
	for i := range takes {
		if l := takes[i].Limit; !l.Shadow && !l.PassUnavailable {
			x.RetryAfter = retryAfter
			return decision.Refuse(decision.LimitUnavailable, &decision.Rule{ID: l.ID, Pointer: l.Pointer},
				decision.Fact{Name: "name", Want: l.Name},
				decision.Fact{Name: "dependency", Want: "the counters", Got: fault})
		}
	}
	// The operator chose that requests pass uncounted; the trace shows it.
	return decision.Pass(&decision.Rule{ID: takes[0].Limit.ID + "#uncounted", Pointer: takes[0].Limit.Pointer})
}

func subject(t *gate.Take) string {
	switch {
	case t.Subject.Name != "":
		return strings.Clone(t.Subject.Name)
	case t.Subject.Addr.Is6():
		return "addresses " + t.Subject.Addr.String() + "/64"
	case t.Subject.Addr.IsValid():
		return "address " + t.Subject.Addr.String()
	}
	return "everyone"
}

func by(l *gate.Limit) string {
	return [...]string{"application", "key", "tenant", "address", "everyone"}[min(l.By, gate.ByEveryone)]
}

// period words the time a limit counts over: "minute", "90 seconds", "day".
func period(l *gate.Limit) string {
	if l.Kind == gate.LimitQuota {
		return [...]string{"second", "minute", "hour", "day", "week", "month"}[min(l.Unit, gate.Month)]
	}
	for _, u := range [...]struct {
		d    time.Duration
		name string
	}{{24 * time.Hour, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}, {time.Second, "second"}, {time.Millisecond, "millisecond"}} {
		switch {
		case l.Period == u.d:
			return u.name
		case l.Period > u.d && l.Period%u.d == 0:
			return strconv.FormatInt(int64(l.Period/u.d), 10) + " " + u.name + "s"
		}
	}
	return l.Period.String()
}

// wait words a time to wait in whole seconds, rounded up as Retry-After is.
func wait(d time.Duration) string {
	s := int64((d + time.Second - 1) / time.Second)
	switch {
	case s <= 1:
		return "1 second"
	case s < 120:
		return strconv.FormatInt(s, 10) + " seconds"
	}
	return (time.Duration(s) * time.Second).String()
}
