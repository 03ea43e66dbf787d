package directory

import (
	"encoding/binary"
	"math"
	"sync"
)

const keyShards = 256

// keyRow is a key in 80 bytes, apart from its id, name and successor, which lie in the table's text one after another.
type keyRow struct {
	hash                      [32]byte
	created, expires, revoked int64
	text                      uint32
	application, scopes       uint32
	id, name, successor       uint16 // lengths
}

func (r *keyRow) length() int { return int(r.id) + int(r.name) + int(r.successor) }

type keyShard struct {
	mu sync.RWMutex
	table[keyRow]
}

func (s *keyShard) size() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.table.size()
}

// The hash is a SHA-256, so that its own bits are as good as any hash of it: one byte chooses the shard, four the slot.
func keyTag(hash *[32]byte) uint32 { return binary.LittleEndian.Uint32(hash[4:]) }

// find returns the slot of a hash, or -1.
func (s *keyShard) find(hash *[32]byte) int {
	if len(s.slots) == 0 {
		return -1
	}
	tag := keyTag(hash)
	for i := s.first(tag); s.slots[i].row != 0; i = s.after(i) {
		if s.slots[i].tag == tag && s.rows[s.slots[i].row-1].hash == *hash {
			return i
		}
	}
	return -1
}

func (g *generation) key(hash *[32]byte, into *Key) bool {
	s := &g.keys[hash[0]]
	s.mu.RLock()
	i := s.find(hash)
	if i < 0 {
		s.mu.RUnlock()
		return false
	}
	r := s.rows[s.slots[i].row-1]
	text := s.read(r.text, r.length())
	s.mu.RUnlock()
	into.ID = text[:r.id]
	into.Application = g.words.text(r.application)
	into.Name = text[r.id : int(r.id)+int(r.name)]
	into.Hash = r.hash
	into.Scopes = g.scopes.set(r.scopes)
	into.Created = fromMillis(r.created)
	into.Expires = fromMillis(r.expires)
	into.Revoked = fromMillis(r.revoked)
	into.ReplacedBy = text[int(r.id)+int(r.name):]
	return true
}

func (g *generation) putKey(k *Key) {
	application, scopes := g.words.number(k.Application), g.scopes.number(k.Scopes)
	s := &g.keys[k.Hash[0]]
	s.mu.Lock()
	defer s.mu.Unlock()
	var r *keyRow
	if i := s.find(&k.Hash); i >= 0 {
		r = &s.rows[s.slots[i].row-1]
		s.waste += r.length()
	} else {
		r = s.insert(keyTag(&k.Hash))
	}
	id, name, successor := short(k.ID), short(k.Name), short(k.ReplacedBy)
	*r = keyRow{
		hash: k.Hash, created: toMillis(k.Created), expires: toMillis(k.Expires), revoked: toMillis(k.Revoked),
		text: s.write(id, name, successor), application: application, scopes: scopes,
		id: uint16(len(id)), name: uint16(len(name)), successor: uint16(len(successor)),
	}
	s.tidy()
}

func (g *generation) deleteKey(id string, hash *[32]byte) {
	s := &g.keys[hash[0]]
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.find(hash)
	if i < 0 {
		return
	}
	r := &s.rows[s.slots[i].row-1]
	if s.read(r.text, int(r.id)) != id {
		return // the hash belongs to another key by now
	}
	s.waste += r.length()
	s.remove(i)
	s.tidy()
}

func (s *keyShard) tidy() {
	if s.crowded() {
		s.rewrite(func(r *keyRow, carry func(uint32, int) uint32) { r.text = carry(r.text, r.length()) })
	}
}

// short keeps text within what a row can tell of its length. The management API allows nothing near it.
func short(s string) string { return s[:min(len(s), math.MaxUint16)] }
