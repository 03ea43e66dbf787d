package authn

import (
	"sync"
	"time"
)

const (
	cacheShards = 32
	cacheRows   = 2048 // a shard; 65,536 tokens of one issuer
)

// cache remembers verified tokens by their SHA-256, so that a repeated token costs a look-up. Only tokens whose signature
// and claims are good come in: nobody can fill it who could not sign. What has expired is dropped when room is needed, and
// then any row is.
type cache struct {
	shards [cacheShards]struct {
		mu   sync.RWMutex
		rows map[[32]byte]*verified
	}
}

func (c *cache) get(digest *[32]byte) *verified {
	s := &c.shards[digest[0]%cacheShards]
	s.mu.RLock()
	v := s.rows[*digest]
	s.mu.RUnlock()
	return v
}

func (c *cache) drop(digest *[32]byte) {
	s := &c.shards[digest[0]%cacheShards]
	s.mu.Lock()
	delete(s.rows, *digest)
	s.mu.Unlock()
}

func (c *cache) put(digest [32]byte, v *verified, now time.Time) {
	s := &c.shards[digest[0]%cacheShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rows == nil {
		s.rows = map[[32]byte]*verified{}
	}
	if len(s.rows) >= cacheRows {
		looked := 0
		for d, old := range s.rows { // in random order
			if looked++; !old.expires.After(now) || looked > 16 {
				delete(s.rows, d)
			}
			if looked > 16 {
				break
			}
		}
	}
	s.rows[digest] = v
}
