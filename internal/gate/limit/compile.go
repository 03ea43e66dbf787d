package limit

import (
	"fmt"
	"math/bits"
	"strconv"
	"sync"
	"time"
	_ "time/tzdata" // a document that compiles on one node compiles on every other, also in an image without zone files

	"postern/internal/gate"
	"postern/internal/policy"
)

const (
	// maxRequests keeps every count far from the end of an int64.
	maxRequests = 1 << 50
	// maxPeriod and maxSpan bound how far a rate reaches ahead, for the same reason.
	maxPeriod = 366 * 24 * time.Hour
	maxSpan   = 366 * 24 * time.Hour
)

// Compile turns a limit of the document into the one that is counted. The id must be unique in the snapshot and the same
// in later generations, since counts are kept under it; pointer is where the limit stands in the document. The error is
// a policy.Problems with every mistake of this limit.
func Compile(l policy.Limit, id, pointer string) (*gate.Limit, error) {
	var problems policy.Problems
	problem := func(below, message, remedy string) {
		problems = append(problems, policy.Problem{Pointer: pointer + below, Message: message, Remedy: remedy})
	}
	out := &gate.Limit{ID: id, Name: l.Name, Shadow: l.Shadow, Pointer: pointer}
	if l.Name == "" {
		problem("/name", "the limit has no name", "name it, such as per-minute: refusals and counts are kept under it")
	}
	switch l.By {
	case "", "application":
		out.By = gate.ByApplication
	case "key":
		out.By = gate.ByKey
	case "tenant":
		out.By = gate.ByTenant
	case "address":
		out.By = gate.ByAddress
	case "everyone":
		out.By = gate.ByEveryone
	default:
		problem("/by", strconv.Quote(l.By)+" is nobody whose requests can be counted", "write application, key, tenant, address or everyone")
	}
	switch l.OnUnavailable {
	case "", "refuse":
	case "pass":
		out.PassUnavailable = true
	default:
		problem("/on_unavailable", strconv.Quote(l.OnUnavailable)+" is no choice", "write refuse or pass")
	}
	switch {
	case l.Rate != nil && l.Quota != nil:
		problem("", "the limit has both a rate and a quota", "make two limits of it: both are then asked")
	case l.Rate != nil:
		compileRate(out, l.Rate, problem)
	case l.Quota != nil:
		compileQuota(out, l.Quota, problem)
	default:
		problem("", "the limit has neither a rate nor a quota", "add one, such as rate: {requests: 10, per: 1s}")
	}
	if err := problems.Err(); err != nil {
		return nil, err
	}
	return out, nil
}

func compileRate(out *gate.Limit, r *policy.Rate, problem func(below, message, remedy string)) {
	out.Kind, out.Max, out.Period, out.Burst = gate.LimitRate, r.Requests, time.Duration(r.Per), r.Burst
	if out.Burst == 0 {
		out.Burst = r.Requests
	}
	good := true
	if r.Requests < 1 || r.Requests > maxRequests {
		problem("/rate/requests", fmt.Sprintf("%d requests are no rate", r.Requests), "write 1 or more; to refuse everybody, retire the operation")
		good = false
	}
	if out.Burst < 1 || out.Burst > maxRequests {
		problem("/rate/burst", fmt.Sprintf("a burst of %d lets no request through", r.Burst), "write 1 or more, or leave it out for as many as requests")
		good = false
	}
	if out.Period <= 0 || out.Period > maxPeriod {
		problem("/rate/per", fmt.Sprintf("a rate cannot be counted per %s", out.Period), "write a duration up to 8784h, such as 1s or 1m; use a quota for calendar periods")
		good = false
	}
	if !good {
		return
	}
	// The whole burst must come back within maxSpan: times then stay within an int64 of nanoseconds.
	if hi, lo := bits.Mul64(uint64(out.Burst), uint64(out.Period)); hi >= uint64(out.Max) {
		problem("/rate/burst", "the burst would take more than a year to come back", "lower it")
	} else if span, _ := bits.Div64(hi, lo, uint64(out.Max)); span > uint64(maxSpan) {
		problem("/rate/burst", "the burst would take more than a year to come back", "lower it")
	}
}

func compileQuota(out *gate.Limit, q *policy.Quota, problem func(below, message, remedy string)) {
	out.Kind, out.Max = gate.LimitQuota, q.Requests
	if q.Requests < 1 || q.Requests > maxRequests {
		problem("/quota/requests", fmt.Sprintf("%d requests are no quota", q.Requests), "write 1 or more; to refuse everybody, retire the operation")
	}
	switch q.Per {
	case "second":
		out.Unit = gate.Second
	case "minute":
		out.Unit = gate.Minute
	case "hour":
		out.Unit = gate.Hour
	case "day":
		out.Unit = gate.Day
	case "week":
		out.Unit = gate.Week
	case "month":
		out.Unit = gate.Month
	default:
		problem("/quota/per", strconv.Quote(q.Per)+" is no calendar period", "write second, minute, hour, day, week or month; use a rate for other durations")
	}
	zone, err := loadZone(q.TimeZone)
	if err != nil {
		problem("/quota/time_zone", strconv.Quote(q.TimeZone)+" is no time zone that is known here", "write an IANA name, such as Europe/Berlin, or leave it out for UTC")
	}
	out.Zone = zone
}

var zones sync.Map // name → *time.Location: thousands of limits share a few zones, and loading one reads a file

func loadZone(name string) (*time.Location, error) {
	if name == "" {
		return time.UTC, nil
	}
	if name == "Local" {
		// Its meaning would depend on the machine, and two nodes would count differently.
		return nil, fmt.Errorf("time zone Local differs from machine to machine")
	}
	if z, ok := zones.Load(name); ok {
		return z.(*time.Location), nil
	}
	z, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("loading time zone %q: %w", name, err)
	}
	zones.Store(name, z)
	return z, nil
}
