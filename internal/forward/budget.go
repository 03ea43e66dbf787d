package forward

import "sync/atomic"

// budget bounds retries to a share of calls, so that a failing upstream is not buried under repetitions. It is a purse: each
// call puts its share in, each retry takes one out. A full purse holds the reserve, which serves upstreams with little traffic.
type budget struct {
	share int64 // thousandths of a retry that one call earns
	purse atomic.Int64
}

const retryReserve = 10 * 1000

func (b *budget) init(share float64) {
	b.share = int64(share * 1000)
	b.purse.Store(retryReserve)
}

// earn notes a call.
func (b *budget) earn() {
	if b.purse.Load() < retryReserve { // may overshoot by a few calls, which does no harm
		b.purse.Add(b.share)
	}
}

// spend takes one retry out, if there is one.
func (b *budget) spend() bool {
	for {
		p := b.purse.Load()
		if p < 1000 {
			return false
		}
		if b.purse.CompareAndSwap(p, p-1000) {
			return true
		}
	}
}
