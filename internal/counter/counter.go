// Package counter counts requests against limits in this process: smooth rates by GCRA and quotas by calendar period, many
// limits at once or none.
//
// Counting is exact. Rates are computed in whole numbers (nanoseconds and fractions of one), several limits are taken
// under the locks of their shards, and of ten thousand requests for the last unit one gets it. Memory is bounded: a counter
// is dropped once it says nothing any more, and never before, as dropping it would hand its units out again. When there is
// no room for a new one the take fails with ErrFull, and the limit says what that means.
//
// Clocks jump. A rate never blocks for longer than one unit takes to come back because of it; a quota keeps counting in
// the latest period it has seen, so that setting the clock back does not hand it out twice (see state.roll).
package counter

import (
	"context"
	"errors"
	"hash/maphash"
	"math/bits"
	"net/netip"
	"sync"
	"time"

	"postern/internal/gate"
)

// ErrFull says that there is no room to count one more caller: every counter is in use.
var ErrFull = errors.New("no room for another counter: all are in use; allow more counters, or count by application instead of by address")

// Options bounds memory. Zero means the default.
type Options struct {
	// MaxEntries is how many counters there may be, over all limits: default 1,048,576, at least 4,096. One takes some 200
	// bytes. They are divided evenly among shards, so that the last few percent may not be reached.
	MaxEntries int
	// MaxAddresses is how many of them may count addresses, which anybody can make up: default half. The others are for
	// applications, keys and tenants, whose number the directory bounds: a flood of addresses cannot take their place.
	MaxAddresses int
}

const (
	shards         = 64 // the bits of a word, so that a set of shards is one
	defaultEntries = 1 << 20
	leastEntries   = 64 * shards
)

// Counters counts in this process. It implements gate.Counters and may be used by several goroutines.
type Counters struct {
	seed   maphash.Seed
	shards [shards]shard
}

// shard is a part of the counters under one lock.
type shard struct {
	mu               sync.Mutex
	named, addresses table
	_                [64]byte // keeps the locks of neighbours on different cache lines
}

// New returns empty counters.
func New(o Options) *Counters {
	if o.MaxEntries <= 0 {
		o.MaxEntries = defaultEntries
	}
	o.MaxEntries = max(o.MaxEntries, leastEntries)
	if o.MaxAddresses <= 0 || o.MaxAddresses > o.MaxEntries {
		o.MaxAddresses = o.MaxEntries / 2
	}
	c := &Counters{seed: maphash.MakeSeed()}
	for i := range c.shards {
		c.shards[i].addresses = newTable(max(o.MaxAddresses/shards, 1))
		c.shards[i].named = newTable(max((o.MaxEntries-o.MaxAddresses)/shards, 1))
	}
	return c
}

// Len returns how many counters there are, for callers with a name and for addresses.
func (c *Counters) Len() (named, addresses int) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		named += len(s.named.ring)
		addresses += len(s.addresses.ring)
		s.mu.Unlock()
	}
	return named, addresses
}

// key is what one counter counts. The kind and unit belong to it: a limit that is changed to count differently begins anew.
type key struct {
	limit, name string
	addr        netip.Addr
	kind        gate.LimitKind
	unit        gate.CalendarUnit
}

func keyOf(t *gate.Take) key {
	k := key{limit: t.Limit.ID, name: t.Subject.Name, addr: t.Subject.Addr, kind: t.Limit.Kind}
	if k.kind == gate.LimitQuota {
		k.unit = t.Limit.Unit
	}
	return k
}

// hash is seeded anew in every process, so that nobody can choose addresses that meet in one shard.
func (c *Counters) hash(k *key) uint64 {
	h := maphash.String(c.seed, k.limit) + uint64(k.kind)<<8 + uint64(k.unit)
	if k.name != "" {
		h = bits.RotateLeft64(h, 21) ^ maphash.String(c.seed, k.name)
	}
	if k.addr.IsValid() {
		b := k.addr.As16()
		h = bits.RotateLeft64(h, 42) ^ maphash.Bytes(c.seed, b[:])
	}
	return h
}

func (c *Counters) shardOf(hash uint64) *shard { return &c.shards[hash>>(64-6)] }

func (s *shard) tableOf(k *key) *table {
	if k.addr.IsValid() {
		return &s.addresses
	}
	return &s.named
}

// place is one take of several: where it counts, and what it would leave there.
type place struct {
	key   key
	hash  uint64
	entry *entry // nil: there is none yet
	state state
	// What was there, to be put back when another counter finds no room.
	old      state
	wasDirty bool
}

// usual is how many limits are asked at once without an allocation.
const usual = 8

// Take implements gate.Counters. The error is ErrFull, or nil.
func (c *Counters) Take(_ context.Context, now time.Time, takes []gate.Take) (int, error) {
	return c.take(now, takes, false)
}

func (c *Counters) take(now time.Time, takes []gate.Take, dry bool) (int, error) {
	var room [usual]place
	places := room[:0]
	if len(takes) > usual {
		places = make([]place, 0, len(takes))
	}
	var locks uint64
	for i := range takes {
		k := keyOf(&takes[i])
		h := c.hash(&k)
		places = append(places, place{key: k, hash: h})
		locks |= 1 << (h >> (64 - 6))
	}
	c.lock(locks)
	defer c.unlock(locks)
	for i := range places {
		p := &places[i]
		p.entry = c.shardOf(p.hash).tableOf(&p.key).find(p.hash, &p.key)
	}
	refused := -1
	for i := range places {
		p, t := &places[i], &takes[i]
		p.load(places[:i])
		p.state.roll(t.Limit, now)
		t.Mark = p.state.a
		if !p.state.take(t.Limit, now) {
			refused = i
			break
		}
		t.Reading = p.state.reading(t.Limit, now)
	}
	if refused >= 0 || dry {
		for i := range places {
			takes[i].Reading = places[i].untouched(takes[i].Limit, now, dry)
		}
		return refused, nil
	}
	if !c.commit(places, now) {
		return -1, ErrFull
	}
	return -1, nil
}

// commit writes what was decided, all of it or, when there is no room for a new counter, nothing. Counters that exist are
// written first: then none of them is whole, and making room cannot drop it.
func (c *Counters) commit(places []place, now time.Time) bool {
	for i := range places {
		if p := &places[i]; p.entry != nil {
			p.old, p.entry.state = p.entry.state, p.state
			p.wasDirty, p.entry.dirty = p.entry.dirty, true
		}
	}
	for i := range places {
		p := &places[i]
		if p.entry != nil {
			continue
		}
		t := c.shardOf(p.hash).tableOf(&p.key)
		// An equal take before this one may have made the entry.
		if p.entry = t.find(p.hash, &p.key); p.entry == nil {
			p.entry = t.add(p.hash, &p.key, now)
		} else {
			p.old, p.wasDirty = p.entry.state, p.entry.dirty
		}
		if p.entry == nil {
			for j := len(places) - 1; j >= 0; j-- {
				// What was new is whole again and gives way to others.
				if e := places[j].entry; e != nil {
					e.state, e.dirty = places[j].old, places[j].wasDirty
				}
			}
			return false
		}
		p.entry.state, p.entry.dirty = p.state, true
	}
	return true
}

// load takes the state from the counter, or from an earlier take of the same one.
func (p *place) load(earlier []place) {
	for i := len(earlier) - 1; i >= 0; i-- {
		if e := &earlier[i]; e.hash == p.hash && e.key == p.key {
			p.state = e.state
			return
		}
	}
	if p.entry != nil {
		p.state = p.entry.state
	}
}

// untouched reads the counter as it is, when nothing is taken. Unless dry, it stays rolled to now: a counter that a wrong
// clock left far ahead has then come back for good.
func (p *place) untouched(l *gate.Limit, now time.Time, dry bool) gate.LimitReading {
	var s state
	if p.entry != nil {
		s = p.entry.state
	}
	s.roll(l, now)
	if p.entry != nil && !dry && s != p.entry.state {
		p.entry.state, p.entry.dirty = s, true
	}
	return s.reading(l, now)
}

// Return implements gate.Counters.
func (c *Counters) Return(_ context.Context, now time.Time, takes []gate.Take) {
	for i := range takes {
		k := keyOf(&takes[i])
		h := c.hash(&k)
		s := c.shardOf(h)
		s.mu.Lock()
		if e := s.tableOf(&k).find(h, &k); e != nil && e.state.giveBack(takes[i].Limit, now, takes[i].Mark) {
			e.dirty = true
		}
		s.mu.Unlock()
	}
}

// lock locks a set of shards, always in the same order, so that two takes never wait for each other.
func (c *Counters) lock(set uint64) {
	for ; set != 0; set &= set - 1 {
		c.shards[bits.TrailingZeros64(set)].mu.Lock()
	}
}

func (c *Counters) unlock(set uint64) {
	for ; set != 0; set &= set - 1 {
		c.shards[bits.TrailingZeros64(set)].mu.Unlock()
	}
}

// Dry returns a view that answers what a take would, and never takes: for simulate, explain and replay. It sees what the
// live counters see at that moment.
func (c *Counters) Dry() gate.Counters { return dry{c} }

type dry struct{ c *Counters }

func (d dry) Take(_ context.Context, now time.Time, takes []gate.Take) (int, error) {
	return d.c.take(now, takes, true)
}

func (dry) Return(context.Context, time.Time, []gate.Take) {}
