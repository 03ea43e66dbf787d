package counter

import (
	"strings"
	"time"

	"postern/internal/gate"
)

// entry is one counter with its key.
type entry struct {
	key   key
	state state
	hash  uint64
	next  *entry // another key of the same hash
	at    int    // place in the ring
	dirty bool   // changed since it was saved
}

// table is a bounded set of entries. A hand goes around the ring and drops entries that say nothing any more, a few steps
// with each new entry, so that no request pays for many.
type table struct {
	index map[uint64]*entry
	ring  []*entry
	hand  int
	most  int
}

const (
	few        = 64 // entries that nobody minds
	steps      = 4  // of the hand for each new entry
	stepsFull  = 64 // when there is no room
	quotaGrace = int64(5 * time.Minute)
)

func newTable(most int) table { return table{index: map[uint64]*entry{}, most: most} }

func (t *table) find(hash uint64, k *key) *entry {
	e := t.index[hash]
	for e != nil && e.key != *k {
		e = e.next
	}
	return e
}

// add makes an entry, or returns nil when there is no room and none can be made: only entries that say nothing any more
// give way, so that nobody gets a count forgotten by making up others.
func (t *table) add(hash uint64, k *key, now time.Time) *entry {
	ns := now.UnixNano()
	if len(t.ring) >= few { // a counter that is dropped too soon is only made anew, again and again
		t.sweep(steps, ns, quotaGrace)
	}
	if len(t.ring) >= t.most {
		t.sweep(stepsFull, ns, 0)
	}
	if len(t.ring) >= t.most {
		return nil
	}
	// The strings may be views into a request.
	e := &entry{key: *k, hash: hash, next: t.index[hash], at: len(t.ring)}
	e.key.limit, e.key.name = strings.Clone(k.limit), strings.Clone(k.name)
	t.index[hash] = e
	t.ring = append(t.ring, e)
	return e
}

// idle reports whether an entry says nothing any more. A quota's stays for a grace after its period, so that a clock that
// steps back a little still finds it.
func (e *entry) idle(ns, grace int64) bool {
	if e.key.kind == gate.LimitQuota {
		ns -= grace
	}
	return e.state.whole(e.key.kind, ns)
}

// sweep moves the hand n steps and drops what is idle.
func (t *table) sweep(n int, ns, grace int64) {
	for range min(n, len(t.ring)) {
		if t.hand >= len(t.ring) {
			t.hand = 0
		}
		if e := t.ring[t.hand]; e.idle(ns, grace) {
			t.drop(e)
		} else {
			t.hand++
		}
	}
}

func (t *table) drop(e *entry) {
	if first := t.index[e.hash]; first == e {
		if e.next == nil {
			delete(t.index, e.hash)
		} else {
			t.index[e.hash] = e.next
		}
	} else {
		for first.next != e {
			first = first.next
		}
		first.next = e.next
	}
	last := len(t.ring) - 1
	t.ring[e.at] = t.ring[last]
	t.ring[e.at].at = e.at
	t.ring[last] = nil
	t.ring = t.ring[:last]
}
