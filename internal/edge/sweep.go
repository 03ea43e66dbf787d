package edge

import (
	"time"
)

// The sweeper notices callers that leave while their request waits for an upstream. A goroutine that reads in the
// background of every request would notice at once, but it costs two hand-offs a request (net/http pays that); one goroutine
// a listener that asks the kernel about requests older than a tick costs nothing when upstreams are fast.
//
// RATIONALE: a FIN may mean that the client is gone, or that it only finished sending and still reads (half-closed, which
// TCP and RFC 9112 section 9.6 allow). The two look the same until something is sent. A reset is "gone" at once. After a FIN
// the request goes on for finGrace, in which nearly every answer arrives; a client that closed for good costs the upstream
// that much longer, and one that half-closed and waits longer is cut off.
const (
	sweepTick  = 100 * time.Millisecond
	finGrace   = time.Second
	sweepQuiet = 20    // ticks without a request in progress after which the sweeper stops
	sweepMany  = 20000 // connections that are looked at in one tick; with more the tick is longer
)

// startSweeper makes sure that the sweeper runs. It costs one atomic read when it does.
func (l *listener) startSweeper() {
	if l.sweeping.Load() || !l.sweeping.CompareAndSwap(false, true) {
		return
	}
	l.background.Go(l.sweep)
}

func (l *listener) sweep() {
	quiet := 0
	for quiet < sweepQuiet {
		tick := sweepTick * time.Duration(1+l.count()/sweepMany)
		select {
		case <-l.done:
			return
		case <-time.After(tick):
		}
		if l.sweepOnce() {
			quiet = 0
		} else {
			quiet++
		}
	}
	l.sweeping.Store(false)
	if l.sweepOnce() { // a request began between the last look and the line above
		l.startSweeper()
	}
}

// sweepOnce looks at every connection and reports whether one has a request in progress.
func (l *listener) sweepOnce() (busy bool) {
	now := mono()
	l.connsMu.Lock()
	defer l.connsMu.Unlock()
	for _, c := range l.conns {
		turn := c.turn.Load()
		if turn&1 == 0 || c.upgraded.Load() {
			c.finAt = 0
			c.seen = turn
			continue
		}
		busy = true
		if turn != c.seen { // younger than a tick
			c.seen, c.finAt = turn, 0
			continue
		}
		if c.gone.Load() || c.tcp == nil {
			continue
		}
		switch presence(c.tcp) {
		case peerGone:
			c.leave()
			c.cancel()
		case peerFinished:
			if c.finAt == 0 {
				c.finAt = now
			} else if now-c.finAt >= finGrace {
				c.leave()
				c.cancel()
			}
		}
	}
	return busy
}

// peerState is what the kernel knows of the other side.
type peerState uint8

const (
	peerThere peerState = iota
	peerFinished
	peerGone
)
