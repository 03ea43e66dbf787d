package counter

import (
	"math/bits"
	"time"

	"postern/internal/gate"
)

// state is one counter.
//
//	        rate                                         quota
//	a       theoretical arrival time, ns since 1970      start of the period, ns since 1970
//	b       and its fraction, in 1/Max of a nanosecond   units used in the period
//	end     unused                                       end of the period, ns since 1970
//
// A rate is GCRA (ITU-T I.371) without rounding: a counter owes Period/Max for each request it let through, and pays off one
// nanosecond per nanosecond. The debt is kept exactly, as a time in the future; a request is let through while its own
// share still fits under Burst shares.
type state struct{ a, b, end int64 }

// roll brings the state to now. It is idempotent.
//
// A rate owes at most Burst shares. It can only owe more when the clock was set back or the limit was tightened; then it
// owes that from now on, and a request fits again once one share is paid off.
//
// A quota whose period has ended starts anew. When the clock was set back to before the period, there are two cases. If
// the state is in the very next period (a small step over its boundary), it stays there: counting goes on in the later
// period, and nothing is handed out twice. If it is further ahead (the clock had been far in the future), the state comes
// back to the present with all that was used, so that a wrong clock blocks nobody for longer than the present period.
func (s *state) roll(l *gate.Limit, now time.Time) {
	ns := now.UnixNano()
	if l.Kind != gate.LimitQuota {
		if r := rateOf(l); r.most.less(r.debt(s, ns)) {
			r.set(s, ns, r.most)
		}
		return
	}
	if s.a <= ns && ns < s.end {
		return
	}
	start, end := period(l.Unit, l.Zone, now)
	switch {
	case s.end == 0 || ns >= s.end && start > s.a:
		*s = state{a: start, end: end}
	case ns < s.a && s.a <= end:
		// one step back: stay
	default:
		s.a, s.end = start, end
	}
}

// take takes one unit if there is one. The state must have been rolled.
func (s *state) take(l *gate.Limit, now time.Time) bool {
	if l.Max < 1 {
		return false
	}
	if l.Kind == gate.LimitQuota {
		if s.b >= l.Max {
			return false
		}
		s.b++
		return true
	}
	r := rateOf(l)
	ns := now.UnixNano()
	debt := r.debt(s, ns).plus(wide{0, r.share})
	if r.most.less(debt) {
		return false
	}
	r.set(s, ns, debt)
	return true
}

// giveBack returns one unit and reports whether that changed anything. A quota gives back only to the period that the
// unit came from.
func (s *state) giveBack(l *gate.Limit, now time.Time, mark int64) bool {
	if l.Max < 1 {
		return false
	}
	if l.Kind == gate.LimitQuota {
		if s.a != mark || s.b < 1 {
			return false
		}
		s.b--
		return true
	}
	r := rateOf(l)
	ns := now.UnixNano()
	s.roll(l, now)
	debt := r.debt(s, ns)
	if debt == (wide{}) {
		return false
	}
	r.set(s, ns, debt.minus(wide{0, r.share}))
	return true
}

// reading says what is left. The state must have been rolled.
func (s *state) reading(l *gate.Limit, now time.Time) gate.LimitReading {
	ns := now.UnixNano()
	out := gate.LimitReading{Limit: l}
	if l.Kind == gate.LimitQuota {
		out.Remaining = max(l.Max-s.b, 0)
		out.Reset = time.Duration(s.end - ns)
		if out.Remaining == 0 {
			out.Retry = out.Reset
		}
		return out
	}
	r := rateOf(l)
	debt := r.debt(s, ns)
	left := r.most.minus(debt)
	units, _ := left.div(r.share)
	out.Remaining = int64(units)
	out.Reset = debt.divUp(r.max)
	if l.Max < 1 {
		out.Remaining, out.Retry = 0, l.Period
	} else if units == 0 {
		out.Retry = wide{0, r.share}.minus(left).divUp(r.max)
	}
	return out
}

// whole reports whether the state says nothing any more at ns: a counter that began now would answer the same.
func (s *state) whole(kind gate.LimitKind, ns int64) bool {
	if kind == gate.LimitQuota {
		return s.end <= ns
	}
	return s.a < ns
}

// rate is a limit in the unit of debts: 1/Max of a nanosecond. A request costs Period of these, exactly.
type rate struct {
	max   uint64
	share uint64 // what one request costs
	most  wide   // the debt at which no further request fits: Burst shares
}

func rateOf(l *gate.Limit) rate {
	r := rate{max: uint64(max(l.Max, 1)), share: uint64(max(l.Period, 1))}
	hi, lo := bits.Mul64(uint64(max(l.Burst, 1)), r.share)
	r.most = wide{hi, lo}
	return r
}

// debt returns what s owes at ns.
func (r *rate) debt(s *state, ns int64) wide {
	if s.a < ns {
		return wide{}
	}
	hi, lo := bits.Mul64(uint64(s.a)-uint64(ns), r.max)
	return wide{hi, lo}.plus(wide{0, min(uint64(max(s.b, 0)), r.max-1)})
}

func (r *rate) set(s *state, ns int64, debt wide) {
	q, rest := debt.div(r.max)
	s.a, s.b = ns+int64(min(q, farthest)), int64(rest)
}

// farthest bounds how far ahead an arrival time may lie: 73 years. Compile allows one.
const farthest = 1 << 61

// wide is an unsigned integer of 128 bits: a count times nanoseconds does not fit into 64.
type wide struct{ hi, lo uint64 }

func (w wide) less(o wide) bool { return w.hi < o.hi || w.hi == o.hi && w.lo < o.lo }

func (w wide) plus(o wide) wide {
	lo, carry := bits.Add64(w.lo, o.lo, 0)
	hi, over := bits.Add64(w.hi, o.hi, carry)
	if over != 0 {
		return wide{^uint64(0), ^uint64(0)}
	}
	return wide{hi, lo}
}

// minus returns w-o, or zero when o is larger.
func (w wide) minus(o wide) wide {
	if w.less(o) {
		return wide{}
	}
	lo, borrow := bits.Sub64(w.lo, o.lo, 0)
	hi, _ := bits.Sub64(w.hi, o.hi, borrow)
	return wide{hi, lo}
}

// div returns quotient and remainder. A quotient beyond 64 bits becomes the largest.
func (w wide) div(d uint64) (q, rest uint64) {
	if w.hi >= d {
		return ^uint64(0), 0
	}
	return bits.Div64(w.hi, w.lo, d)
}

// divUp returns the quotient as a duration, rounded up.
func (w wide) divUp(d uint64) time.Duration {
	q, rest := w.div(d)
	if q = min(q, farthest); rest != 0 {
		q++
	}
	return time.Duration(q)
}
