package forward

import (
	"sync"
	"sync/atomic"
	"time"

	"postern/internal/policy"
)

// circuit suspends calls to an upstream when too many fail.
//
// Closed, it counts attempts and failures in a window of ten slots. When at least so many attempts were counted and the share
// of failures is reached, it opens: nothing is sent. After a while it lets a few trials through (half open). If all of
// them succeed it closes and starts counting anew; the first that fails opens it again.
type circuit struct {
	window  time.Duration
	atLeast int64
	rate    float64
	open    time.Duration
	trials  int

	until atomic.Int64 // Unix nanoseconds; not zero: open, or half open once that moment has come

	mu        sync.Mutex
	slots     [circuitSlots]struct{ slot, calls, failures int64 }
	running   int // trials on their way
	succeeded int // trials that came back well
	round     int // of half-open periods, so that a late trial does not count in the next one
}

const circuitSlots = 10

// permit is a call's leave to pass the circuit; it is given back with done or cancelled.
type permit struct {
	trial bool
	round int
}

func newCircuit(p *policy.CircuitBreaker) *circuit {
	if p == nil {
		return nil
	}
	c := &circuit{window: p.Window.Or(10 * time.Second), atLeast: int64(p.MinRequests), rate: p.FailureRate, open: p.Open.Or(5 * time.Second), trials: p.Trials}
	if c.atLeast <= 0 {
		c.atLeast = 20
	}
	if c.rate <= 0 {
		c.rate = 0.5
	}
	if c.trials <= 0 {
		c.trials = 3
	}
	return c
}

// isOpen reports whether calls are suspended and until when. It changes nothing.
func (c *circuit) isOpen(now time.Time) (until time.Time, open bool) {
	if c == nil {
		return time.Time{}, false
	}
	u := c.until.Load()
	if u == 0 {
		return time.Time{}, false
	}
	if c.suspended(u, now) {
		return time.Unix(0, u), true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.until.Load() != 0 && c.running+c.succeeded >= c.trials {
		return now.Add(time.Second), true // the trials are on their way
	}
	return time.Time{}, false
}

// suspended reports whether an opening until u still holds. A clock that jumped back must not suspend an upstream for hours,
// so an opening that would last longer than configured is over.
func (c *circuit) suspended(u int64, now time.Time) bool {
	left := u - now.UnixNano()
	return left > 0 && left <= int64(c.open)
}

// enter asks for leave to send.
func (c *circuit) enter(now time.Time) (p permit, until time.Time, ok bool) {
	if c == nil || c.until.Load() == 0 {
		return permit{}, time.Time{}, true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	u := c.until.Load()
	switch {
	case u == 0:
		return permit{}, time.Time{}, true
	case c.suspended(u, now):
		return permit{}, time.Unix(0, u), false
	case c.running+c.succeeded >= c.trials:
		return permit{}, now.Add(time.Second), false
	}
	c.running++
	return permit{trial: true, round: c.round}, time.Time{}, true
}

// done reports the outcome of an attempt.
func (c *circuit) done(p permit, now time.Time, failed bool) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if p.trial {
		if p.round != c.round {
			return
		}
		c.running--
		if failed {
			c.trip(now)
		} else if c.succeeded++; c.succeeded >= c.trials {
			c.until.Store(0)
			c.round++
			c.running, c.succeeded = 0, 0
			clear(c.slots[:])
		}
		return
	}
	if c.until.Load() != 0 {
		return // sent before it opened
	}
	slot := now.UnixNano() / max(int64(c.window)/circuitSlots, 1)
	s := &c.slots[((slot%circuitSlots)+circuitSlots)%circuitSlots]
	if s.slot != slot {
		s.slot, s.calls, s.failures = slot, 0, 0
	}
	s.calls++
	if !failed {
		return
	}
	s.failures++
	var calls, failures int64
	for i := range c.slots {
		if age := slot - c.slots[i].slot; age >= 0 && age < circuitSlots {
			calls += c.slots[i].calls
			failures += c.slots[i].failures
		}
	}
	if calls >= c.atLeast && float64(failures) >= c.rate*float64(calls) {
		c.trip(now)
	}
}

// cancelled gives a permit back without an outcome: the caller left, or no target was found.
func (c *circuit) cancelled(p permit) {
	if c == nil || !p.trial {
		return
	}
	c.mu.Lock()
	if p.round == c.round {
		c.running--
	}
	c.mu.Unlock()
}

func (c *circuit) trip(now time.Time) {
	c.until.Store(now.Add(c.open).UnixNano())
	c.round++
	c.running, c.succeeded = 0, 0
}

// inherit takes over the state of an older circuit.
func (c *circuit) inherit(old *circuit) {
	if c == nil || old == nil {
		return
	}
	c.until.Store(old.until.Load())
}

// state returns closed, open or half_open at that moment, and "off" without a circuit breaker.
func (c *circuit) state(now time.Time) string {
	if c == nil {
		return "off"
	}
	switch u := c.until.Load(); {
	case u == 0:
		return "closed"
	case c.suspended(u, now):
		return "open"
	}
	return "half_open"
}
