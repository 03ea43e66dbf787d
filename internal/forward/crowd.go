package forward

import (
	"runtime"
	"sync/atomic"
)

// StandAside is called right before a system call that may wake a peer. It lets requests that are ready at the same time
// go in step: each computes up to its system call and stands aside, and then all make their calls, one right after the other.
//
// RATIONALE: the first byte written to a peer that sleeps wakes it, which costs more than the write itself. While the peer
// is awake, further writes wake nobody. Left alone, a gateway that computes between its writes lets the peer fall asleep
// again each time; and each turn from computing to the kernel and back finds the caches full of the other. In step, 64
// busy connections cost an eighth to a quarter less CPU time a request, and less latency too (docs/adr/0010).
//
// When nobody else is ready there is nothing to wait for, and on several processors standing aside wakes an idle one for
// nothing. So it is done as long as it pays: if too few others moved on meanwhile, it is tried less and less often, and
// each time again once it pays. Who is ready is a matter of the whole process, hence one crowd for all.
func StandAside() { everybody.standAside(runtime.Gosched) }

var everybody = newCrowd(runtime.GOMAXPROCS(0))

// crowd remembers whether standing aside pays.
type crowd struct {
	moves  atomic.Uint32 // requests that came here, or went on after they had stood aside
	period atomic.Uint32 // one in so many stands aside; a power of two
	enough uint32        // so many moves of others are more than chance
}

// rarest is how seldom it is tried whether standing aside pays.
const rarest = 256

// newCrowd makes a crowd for so many processors: while one request stands aside, each may move one or two others anyway.
func newCrowd(processors int) *crowd {
	c := &crowd{enough: uint32(2 * processors)}
	c.period.Store(1)
	return c
}

func (c *crowd) standAside(yield func()) {
	n, period := c.moves.Add(1), c.period.Load()
	if n%period != 0 {
		return
	}
	yield()
	others := c.moves.Add(1) - n - 1
	switch {
	case others >= c.enough && period > 1:
		c.period.Store(1)
	case others < c.enough && period < rarest:
		c.period.Store(2 * period)
	}
}
