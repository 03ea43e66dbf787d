package forward

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// phaseTimeout is the cause with which a phaseClock ends a call.
type phaseTimeout struct {
	phase string
	limit time.Duration
}

func (p *phaseTimeout) Error() string {
	return fmt.Sprintf("no progress within %s (%s)", p.limit, p.phase)
}

// phaseClock bounds the phases of a call that net/http makes. One timer serves all of them.
type phaseClock struct {
	limits *limits
	cancel context.CancelCauseFunc
	whole  *time.Timer // of the whole call

	mu    sync.Mutex
	timer *time.Timer
	phase string
	limit time.Duration
	by    int64 // in ticks; zero: no phase is running
	late  bool  // the answer has begun: its first byte is not waited for any more
}

func newPhaseClock(cancel context.CancelCauseFunc, total int64, l *limits) *phaseClock {
	k := &phaseClock{limits: l, cancel: cancel}
	if total != 0 {
		k.whole = time.AfterFunc(time.Duration(total-ticks()), func() { cancel(&phaseTimeout{phaseTotal, l.total}) })
	}
	return k
}

// sent starts the wait for the first byte: the request is on its way. With both sides streaming the answer may have begun.
func (k *phaseClock) sent() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.late {
		k.start(phaseFirstByte)
	}
}

// answered ends the wait for the first byte.
func (k *phaseClock) answered() {
	k.mu.Lock()
	k.by, k.late = 0, true
	k.mu.Unlock()
}

// begin starts the limit of a phase, in place of any other.
func (k *phaseClock) begin(phase string) {
	k.mu.Lock()
	k.start(phase)
	k.mu.Unlock()
}

func (k *phaseClock) start(phase string) {
	k.phase, k.limit = phase, k.limits.read
	if phase == phaseFirstByte {
		k.limit = k.limits.firstByte
	}
	k.by = ticks() + int64(k.limit)
	if k.timer == nil {
		k.timer = time.AfterFunc(k.limit, k.strike)
		return
	}
	k.timer.Reset(k.limit)
}

// strike ends the call, unless the phase it was set for is over.
func (k *phaseClock) strike() {
	k.mu.Lock()
	due := k.by != 0 && ticks() >= k.by
	cause := &phaseTimeout{k.phase, k.limit}
	k.mu.Unlock()
	if due {
		k.cancel(cause)
	}
}

// stop ends the limit of the phase.
func (k *phaseClock) stop() {
	k.mu.Lock()
	k.by = 0
	k.mu.Unlock()
}

// close ends all limits.
func (k *phaseClock) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.by = 0
	if k.timer != nil {
		k.timer.Stop()
	}
	if k.whole != nil {
		k.whole.Stop()
	}
}
