package directory

import (
	"hash/maphash"
	"sync"
)

const subscriptionShards = 64

// subscriptionRow is a subscription; its id and comment lie in the table's text.
type subscriptionRow struct {
	created, expires                    int64
	text                                uint32
	application, api, version, plan, st uint32 // words
	id, comment                         uint16 // lengths
}

func (r *subscriptionRow) length() int { return int(r.id) + int(r.comment) }

type subscriptionShard struct {
	mu sync.RWMutex
	table[subscriptionRow]
}

func (s *subscriptionShard) size() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.table.size()
}

// targetRow says by which hash the subscription with an id is found, so that it can be removed by its id alone.
type targetRow struct{ id, target uint64 }

type targetShard struct {
	mu sync.Mutex
	table[targetRow]
}

func (g *generation) target(application, api, version string) uint64 {
	var h maphash.Hash
	h.SetSeed(g.seed)
	h.WriteString(application)
	h.WriteByte(0)
	h.WriteString(api)
	h.WriteByte(0)
	h.WriteString(version)
	return h.Sum64()
}

// Of a hash, the upper half is the tag and the lowest bits choose the shard.
func tagOf(h uint64) uint32 { return uint32(h >> 32) }

func (g *generation) subscription(application, api, version string, into *Subscription) bool {
	h := g.target(application, api, version)
	s := &g.subscriptions[h%subscriptionShards]
	s.mu.RLock()
	i := s.find(h, func(r *subscriptionRow) bool {
		return g.words.text(r.application) == application && g.words.text(r.api) == api && g.words.text(r.version) == version
	})
	if i < 0 {
		s.mu.RUnlock()
		return false
	}
	r := s.rows[s.slots[i].row-1]
	text := s.read(r.text, r.length())
	s.mu.RUnlock()
	into.ID = text[:r.id]
	into.Application = g.words.text(r.application)
	into.API = g.words.text(r.api)
	into.Version = g.words.text(r.version)
	into.Plan = g.words.text(r.plan)
	into.State = SubscriptionState(g.words.text(r.st))
	into.Comment = text[r.id:]
	into.Created = fromMillis(r.created)
	into.Expires = fromMillis(r.expires)
	return true
}

// find returns the slot of the row that has the hash and is the one, or -1.
func (t *table[R]) find(h uint64, is func(*R) bool) int {
	if len(t.slots) == 0 {
		return -1
	}
	tag := tagOf(h)
	for i := t.first(tag); t.slots[i].row != 0; i = t.after(i) {
		if t.slots[i].tag == tag && is(&t.rows[t.slots[i].row-1]) {
			return i
		}
	}
	return -1
}

func (g *generation) putSubscription(sub *Subscription) {
	id := short(sub.ID)
	idHash, h := maphash.String(g.seed, id), g.target(sub.Application, sub.API, sub.Version)
	t := &g.targets[idHash%subscriptionShards]
	t.mu.Lock() // held to the end: writes of one subscription come one after another
	defer t.mu.Unlock()
	if i := t.find(idHash, func(r *targetRow) bool { return r.id == idHash }); i >= 0 {
		r := &t.rows[t.slots[i].row-1]
		if r.target != h {
			g.removeSubscription(id, r.target)
		}
		r.target = h
	} else {
		*t.insert(tagOf(idHash)) = targetRow{idHash, h}
	}

	row := subscriptionRow{
		created: toMillis(sub.Created), expires: toMillis(sub.Expires),
		application: g.words.number(sub.Application), api: g.words.number(sub.API), version: g.words.number(sub.Version),
		plan: g.words.number(sub.Plan), st: g.words.number(string(sub.State)),
	}
	comment := short(sub.Comment)
	row.id, row.comment = uint16(len(id)), uint16(len(comment))
	s := &g.subscriptions[h%subscriptionShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	var r *subscriptionRow
	i := s.find(h, func(r *subscriptionRow) bool {
		return r.application == row.application && r.api == row.api && r.version == row.version
	})
	if i >= 0 {
		r = &s.rows[s.slots[i].row-1]
		s.waste += r.length()
	} else {
		r = s.insert(tagOf(h))
	}
	row.text = s.write(id, comment)
	*r = row
	s.tidy()
}

func (g *generation) deleteSubscription(id string) {
	id = short(id)
	idHash := maphash.String(g.seed, id)
	t := &g.targets[idHash%subscriptionShards]
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := t.find(idHash, func(r *targetRow) bool { return r.id == idHash }); i >= 0 {
		g.removeSubscription(id, t.rows[t.slots[i].row-1].target)
		t.remove(i)
	}
}

// removeSubscription removes what lies at a target, if it still is the subscription with that id.
func (g *generation) removeSubscription(id string, target uint64) {
	s := &g.subscriptions[target%subscriptionShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.find(target, func(r *subscriptionRow) bool { return s.read(r.text, int(r.id)) == id })
	if i < 0 {
		return
	}
	s.waste += s.rows[s.slots[i].row-1].length()
	s.remove(i)
	s.tidy()
}

func (s *subscriptionShard) tidy() {
	if s.crowded() {
		s.rewrite(func(r *subscriptionRow, carry func(uint32, int) uint32) { r.text = carry(r.text, r.length()) })
	}
}
