package origin

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// Recorder is a server that answers every request it can read with 200 and remembers every byte.
type Recorder struct {
	Address string

	mu    sync.Mutex
	conns []*connection
	seq   int
	all   []Message
}

// connection is one connection from the gateway.
type connection struct {
	nc      net.Conn
	pending []byte // received, not yet part of a whole message
	fresh   int    // bytes received since the last Take
	whole   []Message
	fault   error
	closed  bool
}

// Seen is what arrived since the last Take.
type Seen struct {
	Bytes      int       // all bytes, also of heads that were refused
	Messages   []Message // whole requests, in the order they were completed
	Unfinished []string  // what arrived of requests that never were completed
	Open       int       // how many of the unfinished ones are on connections that are still open
	Faults     []error   // requests that cannot be read without doubt
}

// NewRecorder starts a recorder on loopback, for the length of the test.
func NewRecorder(t testing.TB) *Recorder {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &Recorder{Address: l.Addr().String()}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			c := &connection{nc: nc}
			r.mu.Lock()
			r.conns = append(r.conns, c)
			r.mu.Unlock()
			running.Go(func() { r.serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		r.mu.Lock()
		for _, c := range r.conns {
			_ = c.nc.Close()
		}
		r.mu.Unlock()
		running.Wait()
	})
	return r
}

// Take returns what arrived since it was called last.
func (r *Recorder) Take() Seen {
	r.mu.Lock()
	defer r.mu.Unlock()
	var s Seen
	kept := r.conns[:0]
	for _, c := range r.conns {
		if c.fresh > 0 && len(c.pending) > 0 {
			s.Unfinished = append(s.Unfinished, string(c.pending))
			if !c.closed {
				s.Open++
			}
		}
		s.Bytes += c.fresh
		s.Messages = append(s.Messages, c.whole...)
		if c.fault != nil {
			s.Faults = append(s.Faults, c.fault)
		}
		c.fresh, c.whole, c.fault = 0, nil, nil
		if !c.closed {
			kept = append(kept, c)
		}
	}
	r.conns = kept
	return s
}

// All is every whole request ever received.
func (r *Recorder) All() []Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Message(nil), r.all...)
}

func (r *Recorder) serve(c *connection) {
	defer func() {
		_ = c.nc.Close()
		r.mu.Lock()
		c.closed = true
		r.mu.Unlock()
	}()
	buf := make([]byte, 64<<10)
	continued := false
	for {
		n, err := c.nc.Read(buf)
		r.mu.Lock()
		c.pending = append(c.pending, buf[:n]...)
		c.fresh += n
		r.mu.Unlock()
		for len(c.pending) > 0 {
			m, used, err := parse(c.pending)
			if errors.Is(err, errMore) {
				if h, err := parseHead(c.pending); err == nil && h.expect && !continued {
					continued = true
					if _, err := c.nc.Write([]byte("HTTP/1.1 100 Continue\r\n\r\n")); err != nil {
						return
					}
				}
				break
			}
			if err != nil {
				r.mu.Lock()
				c.fault = fmt.Errorf("%w in %.300q", err, c.pending)
				r.mu.Unlock()
				_, _ = c.nc.Write([]byte("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"))
				return
			}
			continued = false
			if _, err := c.nc.Write(r.take(c, m, used)); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// take files a whole message and words the answer, which says what was received.
func (r *Recorder) take(c *connection, m Message, used int) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	c.pending = c.pending[used:]
	c.whole = append(c.whole, m)
	r.all = append(r.all, m)
	r.seq++
	body, err := json.Marshal(map[string]string{"method": m.Method, "target": m.Target, "body": m.Body})
	if err != nil {
		body = []byte("{}")
	}
	var b strings.Builder
	fmt.Fprintf(&b, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\nX-Origin-Sequence: %d\r\n\r\n", len(body), r.seq)
	if m.Method != "HEAD" {
		b.Write(body)
	}
	return []byte(b.String())
}

// Settled takes what arrived, once nothing has arrived for a moment and every unfinished request has been given up, or two
// seconds have passed. It waits by time because what must not come at all is no event to wait for.
func (r *Recorder) Settled(quiet time.Duration) Seen {
	deadline := time.Now().Add(2 * time.Second)
	for last := r.state(); ; {
		time.Sleep(quiet)
		now := r.state()
		if now == last && (now.open == 0 || time.Now().After(deadline)) {
			return r.Take()
		}
		last = now
	}
}

// state is how much was received since the last Take, and how many requests are begun on open connections.
type state struct{ received, open int }

func (r *Recorder) state() (s state) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.conns {
		s.received += c.fresh
		if c.fresh > 0 && len(c.pending) > 0 && !c.closed {
			s.open++
		}
	}
	return s
}
