package limit

import (
	"errors"
	"slices"
	"testing"
	"time"

	"postern/internal/gate"
	"postern/internal/policy"
)

func rate(n int64, per time.Duration, burst int64) policy.Limit {
	return policy.Limit{Name: "r", Rate: &policy.Rate{Requests: n, Per: policy.Duration(per), Burst: burst}}
}

func quota(n int64, per, zone string) policy.Limit {
	return policy.Limit{Name: "q", Quota: &policy.Quota{Requests: n, Per: per, TimeZone: zone}}
}

func TestCompile(t *testing.T) {
	l, err := Compile(policy.Limit{Name: "r", By: "tenant", Shadow: true, OnUnavailable: "pass", Rate: &policy.Rate{Requests: 10, Per: policy.Duration(time.Minute)}}, "orders/v1#r", "/apis/0/limits/0")
	if err != nil {
		t.Fatal(err)
	}
	if *l != (gate.Limit{ID: "orders/v1#r", Name: "r", Kind: gate.LimitRate, Max: 10, Period: time.Minute, Burst: 10, By: gate.ByTenant, Shadow: true, PassUnavailable: true, Pointer: "/apis/0/limits/0"}) {
		t.Errorf("got %+v", l)
	}
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	a, err := Compile(quota(5, "week", "Europe/Berlin"), "a", "/a")
	if err != nil {
		t.Fatal(err)
	}
	b, _ := Compile(quota(5, "month", "Europe/Berlin"), "b", "/b")
	if a.Kind != gate.LimitQuota || a.Unit != gate.Week || a.By != gate.ByApplication || a.Zone.String() != berlin.String() || a.Zone != b.Zone {
		t.Errorf("got %+v and %+v", a, b)
	}
	utc, err := Compile(quota(5, "day", ""), "c", "/c")
	if err != nil || utc.Zone != time.UTC {
		t.Errorf("got %+v, %v", utc, err)
	}
	for per, unit := range map[string]gate.CalendarUnit{"second": gate.Second, "minute": gate.Minute, "hour": gate.Hour, "day": gate.Day, "week": gate.Week, "month": gate.Month} {
		if l, err := Compile(quota(1, per, ""), "c", "/c"); err != nil || l.Unit != unit {
			t.Errorf("%s: %+v, %v", per, l, err)
		}
	}
	for by, want := range map[string]gate.LimitBy{"": gate.ByApplication, "application": gate.ByApplication, "key": gate.ByKey, "tenant": gate.ByTenant, "address": gate.ByAddress, "everyone": gate.ByEveryone} {
		doc := rate(1, time.Second, 0)
		doc.By = by
		if l, err := Compile(doc, "c", "/c"); err != nil || l.By != want {
			t.Errorf("%s: %+v, %v", by, l, err)
		}
	}
}

func TestMistakesInLimits(t *testing.T) {
	both := rate(1, time.Second, 1)
	both.Quota = quota(1, "day", "").Quota
	odd := policy.Limit{By: "User", OnUnavailable: "open"}
	for _, c := range []struct {
		name string
		doc  policy.Limit
		want []string
	}{
		{"neither", policy.Limit{Name: "x"}, []string{""}},
		{"both", both, []string{""}},
		{"nothing right", odd, []string{"", "/by", "/name", "/on_unavailable"}},
		{"rate of nothing", rate(0, 0, -1), []string{"/rate/burst", "/rate/per", "/rate/requests"}},
		{"negative rate", rate(-1, time.Second, 1), []string{"/rate/requests"}},
		{"burst left out of a negative rate", rate(-1, time.Second, 0), []string{"/rate/burst", "/rate/requests"}},
		{"rate beyond counting", rate(1<<62, time.Second, 1), []string{"/rate/requests"}},
		{"period beyond counting", rate(1, 9000*time.Hour, 1), []string{"/rate/per"}},
		{"burst beyond counting", rate(1, time.Hour, 10_000), []string{"/rate/burst"}},
		{"burst far beyond counting", rate(1, 8784*time.Hour, 1<<50), []string{"/rate/burst"}},
		{"quota of nothing", quota(0, "", ""), []string{"/quota/per", "/quota/requests"}},
		{"no such period", quota(1, "Day", ""), []string{"/quota/per"}},
		{"no such zone", quota(1, "day", "Europe/Atlantis"), []string{"/quota/time_zone"}},
		{"a zone that is a path", quota(1, "day", "../../etc/passwd"), []string{"/quota/time_zone"}},
		{"the zone of the machine", quota(1, "day", "Local"), []string{"/quota/time_zone"}},
	} {
		l, err := Compile(c.doc, "id", "/limits/3")
		var problems policy.Problems
		if l != nil || !errors.As(err, &problems) {
			t.Errorf("%s: got %+v, %v", c.name, l, err)
			continue
		}
		var got []string
		for _, p := range problems {
			got = append(got, p.Pointer)
			if p.Message == "" || p.Remedy == "" {
				t.Errorf("%s: %+v", c.name, p)
			}
		}
		slices.Sort(got)
		for i := range c.want {
			c.want[i] = "/limits/3" + c.want[i]
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

func TestWords(t *testing.T) {
	for d, want := range map[time.Duration]string{
		time.Second: "second", time.Minute: "minute", time.Hour: "hour", 24 * time.Hour: "day", 48 * time.Hour: "2 days",
		90 * time.Second: "90 seconds", 90 * time.Minute: "90 minutes", 250 * time.Millisecond: "250 milliseconds",
		time.Millisecond: "millisecond", 1500 * time.Microsecond: "1.5ms",
	} {
		if got := period(&gate.Limit{Period: d}); got != want {
			t.Errorf("%v: got %q, want %q", d, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		0: "1 second", 1: "1 second", time.Second: "1 second", time.Second + 1: "2 seconds", 119 * time.Second: "119 seconds", 119*time.Second + 1: "2m0s", 3 * time.Hour: "3h0m0s",
	} {
		if got := wait(d); got != want {
			t.Errorf("%v: got %q, want %q", d, got, want)
		}
	}
}

func FuzzCompileRate(f *testing.F) {
	f.Add(int64(1), int64(1), int64(0))
	f.Add(int64(1<<50), int64(8784*time.Hour), int64(1<<50))
	f.Fuzz(func(t *testing.T, n, per, burst int64) {
		l, err := Compile(rate(n, time.Duration(per), burst), "id", "/p")
		if (err == nil) == (l == nil) {
			t.Fatal("a limit and an error, or neither")
		}
		if l != nil && (l.Max < 1 || l.Burst < 1 || l.Period < 1 || float64(l.Burst)*float64(l.Period)/float64(l.Max) > 1.001*float64(maxSpan)) {
			t.Fatalf("compiled %+v", l)
		}
	})
}
