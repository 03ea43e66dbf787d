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

// phaseClock bounds the phases of a call that net/http makes.
type phaseClock struct {
	mu     sync.Mutex
	limits *limits
	cancel context.CancelCauseFunc
	timer  *time.Timer
	whole  *time.Timer
	phase  string
	round  int
}

func newPhaseClock(cancel context.CancelCauseFunc, total int64, l *limits) *phaseClock {
	k := &phaseClock{limits: l, cancel: cancel}
	if total != 0 {
		k.whole = time.AfterFunc(time.Duration(total-ticks()), func() { cancel(&phaseTimeout{phaseTotal, l.total}) })
	}
	return k
}

// begin starts the limit of a phase, in place of any other.
func (k *phaseClock) begin(phase string) {
	limit := k.limits.read
	if phase == phaseFirstByte {
		limit = k.limits.firstByte
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.round++
	round := k.round
	if k.timer != nil {
		k.timer.Stop()
	}
	k.timer = time.AfterFunc(limit, func() {
		k.mu.Lock()
		mine := k.round == round
		k.mu.Unlock()
		if mine {
			k.cancel(&phaseTimeout{phase, limit})
		}
	})
}

// stop ends the limit of the phase.
func (k *phaseClock) stop() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.round++
	if k.timer != nil {
		k.timer.Stop()
	}
}
