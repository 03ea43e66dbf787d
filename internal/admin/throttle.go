package admin

import (
	"net/netip"
	"sync"
	"time"
)

// throttle slows attempts down for each subject: so many at once, then one in every interval. It is a GCRA: what is kept
// for a subject is the time at which all its attempts are paid for, and a subject whose time has passed need not be kept.
type throttle struct {
	burst int64
	every time.Duration
	most  int

	mu    sync.Mutex
	paid  map[string]time.Time
	swept time.Time // when those that are paid for were last cleared away
}

func newThrottle(burst int64, every time.Duration, most int) *throttle {
	return &throttle{burst: burst, every: every, most: most, paid: map[string]time.Time{}}
}

// crowd is the subject that all newcomers share while the map is full of busy ones. An attacker with very many
// addresses slows newcomers down, but neither fills the memory nor shuts everybody out.
const crowd = "\x00crowd"

// take counts an attempt and returns zero, or returns how long to wait and counts nothing.
func (t *throttle) take(now time.Time, subject string) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	at, known := t.paid[subject]
	if !known && len(t.paid) >= t.most {
		t.sweep(now)
		if len(t.paid) >= t.most {
			subject = crowd
			at = t.paid[crowd]
		}
	}
	if at.Before(now) {
		at = now
	}
	// A clock that jumped back must not lock anybody out for longer than a full bucket.
	if limit := now.Add(time.Duration(t.burst) * t.every); at.After(limit) {
		at = limit
	}
	next := at.Add(t.every)
	if wait := next.Sub(now) - time.Duration(t.burst)*t.every; wait > 0 {
		return wait
	}
	t.paid[subject] = next
	return 0
}

// sweep clears away who is paid for, at most once in an interval: a flood must not buy a walk over the map with every attempt.
func (t *throttle) sweep(now time.Time) {
	if since := now.Sub(t.swept); since >= 0 && since < t.every {
		return
	}
	t.swept = now
	for k, v := range t.paid {
		if !v.After(now) {
			delete(t.paid, k)
		}
	}
}

// forgive forgets the attempts of a subject that has proven itself.
func (t *throttle) forgive(subject string) {
	t.mu.Lock()
	delete(t.paid, subject)
	t.mu.Unlock()
}

// throttleKey groups addresses as they are handed out: IPv6 by /64, which one household or machine has whole.
func throttleKey(a netip.Addr) string {
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.String()
		}
	}
	return a.String()
}
