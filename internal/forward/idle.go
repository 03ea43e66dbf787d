package forward

import (
	"sync"
	"time"
)

// idleStack holds the idle connections of one target, the last used on top: the warmest is used first, and those that
// are not needed at the present load grow old at the bottom.
type idleStack struct {
	mu     sync.Mutex
	conns  []*conn
	closed bool
}

// askAfter is how long a connection must have been idle to be asked whether it still stands before it is taken from the
// stack. All are asked once more directly before a request is written (conn.exchange); this only spares a new connection
// when several old ones have been closed meanwhile.
const askAfter = time.Second

// pop returns the most recently used connection that may still stand, or nil.
func (s *idleStack) pop(most time.Duration) *conn {
	for {
		s.mu.Lock()
		n := len(s.conns) - 1
		if n < 0 {
			s.mu.Unlock()
			return nil
		}
		c := s.conns[n]
		s.conns[n] = nil
		s.conns = s.conns[:n]
		s.mu.Unlock()
		idle := time.Duration(ticks() - c.idleFrom)
		if c.stale(idle, most) || idle > askAfter && !c.alive() {
			c.close()
			continue
		}
		return c
	}
}

func (c *conn) stale(idle, most time.Duration) bool {
	return idle > most || c.idleMost != 0 && idle > c.idleMost
}

// push keeps a connection, unless there are enough or the pool has retired.
func (s *idleStack) push(c *conn, most int) {
	c.idleFrom, c.reused, c.dialed = ticks(), true, 0
	s.mu.Lock()
	if s.closed || len(s.conns) >= most {
		s.mu.Unlock()
		c.close()
		return
	}
	s.conns = append(s.conns, c)
	s.mu.Unlock()
}

// sweep closes connections that have been idle too long or were closed by the server.
func (s *idleStack) sweep(most time.Duration) {
	s.mu.Lock()
	all := s.conns
	s.conns = nil
	s.mu.Unlock()
	if len(all) == 0 {
		return
	}
	now, kept := ticks(), all[:0]
	for _, c := range all {
		if idle := time.Duration(now - c.idleFrom); c.stale(idle, most) || !c.alive() {
			c.close()
			continue
		}
		c.rd.Release() // nothing is buffered; idle connections should not hold memory
		kept = append(kept, c)
	}
	clear(all[len(kept):])
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		for _, c := range kept {
			c.close()
		}
		return
	}
	s.conns = append(kept, s.conns...) // those that came back meanwhile are warmer
}

// close closes all and keeps none from now on.
func (s *idleStack) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.drop()
}

// drop closes all that are idle now.
func (s *idleStack) drop() {
	s.mu.Lock()
	all := s.conns
	s.conns = nil
	s.mu.Unlock()
	for _, c := range all {
		c.close()
	}
}

// open lets the stack keep connections again.
func (s *idleStack) open() {
	s.mu.Lock()
	s.closed = false
	s.mu.Unlock()
}

func (s *idleStack) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}
