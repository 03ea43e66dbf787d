package forward

import (
	"net"
	"sync"
	"syscall"
	"time"

	"postern/internal/http1"
)

// conn is one HTTP/1.1 connection to a target. It belongs to one call at a time, or lies in the target's idle stack.
type conn struct {
	nc     net.Conn
	target *target
	rd     *http1.Reader
	resp   http1.Response
	socket syscall.RawConn    // the TCP socket below; nil when there is none to ask
	probe  func(fd uintptr)   // probeSocket as a value made once, because making one allocates
	dead   bool               // what probe found
	step   func(uintptr) bool // stepSocket likewise
	raw    rawExchange
	plain  bool          // no TLS: a write error of the kernel says what was sent
	reused bool          // has served a call before
	dialed time.Duration // how long connecting took; zero once reused

	idleFrom int64         // since when it is idle, in ticks
	idleMost time.Duration // what the server promised in Keep-Alive, shortened; zero: nothing

	out       []byte // a request that goes out with the next read; belongs to the call
	unwritten bool   // it could not be written

	rolling time.Duration // limit between two reads of a body; zero: the deadline is set elsewhere
	sink    *call         // whose answer is being passed on: flushed before the connection waits

	mu      sync.Mutex // guards what follows: the engine's watcher and a request's sender touch deadlines too
	cut     bool       // SetDeadline was called: no deadline is moved any more, and the connection is not used again
	total   int64      // deadline of the whole call in ticks; zero: none
	readBy  int64      // deadlines now set, in ticks; zero: none
	writeBy int64

	mute     bool // cutWrite was called
	awaiting bool // a sender is at work and the answer has not begun
}

func newConn(t *target, nc net.Conn, raw net.Conn, plain bool) *conn {
	c := &conn{nc: nc, target: t, plain: plain}
	if sc, ok := raw.(syscall.Conn); ok {
		if rc, err := sc.SyscallConn(); err == nil {
			c.socket = rc
			c.probe, c.step = c.probeSocket, c.stepSocket
		}
	}
	c.rd = http1.NewReader(c, http1.Limits{HeaderBytes: 256 << 10, FieldBytes: 64 << 10, HeaderCount: 512})
	return c
}

// Read reads from the connection, renewing the limit between two reads. The reader of messages comes here only when it has
// nothing left, so this is the moment to send the caller all that was passed on.
func (c *conn) Read(p []byte) (int, error) {
	if c.out != nil {
		return c.exchange(p)
	}
	if c.sink != nil {
		if err := c.sink.flush(); err != nil {
			return 0, err
		}
	}
	if c.rolling != 0 {
		c.readWithin(c.rolling)
	}
	return c.nc.Read(p)
}

// write writes everything within the limit between two writes.
func (c *conn) write(p []byte, within time.Duration) (n int, err error) {
	const most = 256 << 10 // so that the limit is about progress and not about the size of a body
	for {
		c.writeWithin(within)
		m, err := c.nc.Write(p[:min(len(p), most)])
		n += m
		if p = p[m:]; err != nil || len(p) == 0 {
			return n, err
		}
	}
}

func (c *conn) readWithin(d time.Duration) {
	c.mu.Lock()
	if by, move := c.due(c.readBy, d); move {
		c.readBy = by
		c.nc.SetReadDeadline(atTick(by)) //nolint:errcheck // a closed connection says so at the next read
	}
	c.mu.Unlock()
}

func (c *conn) writeWithin(d time.Duration) {
	c.mu.Lock()
	if by, move := c.due(c.writeBy, d); move && !c.mute {
		c.writeBy = by
		c.nc.SetWriteDeadline(atTick(by)) //nolint:errcheck // a closed connection says so at the next write
	}
	c.mu.Unlock()
}

// due returns the deadline for a limit that starts now, and whether the one that is set has to be moved.
func (c *conn) due(set int64, d time.Duration) (by int64, move bool) {
	if c.cut {
		return 0, false
	}
	want := ticks() + int64(d)
	by = want + int64(slack(d))
	if c.total != 0 && by > c.total {
		return c.total, set != c.total
	}
	return by, set < want || set > by
}

// readAnyTime lifts the read limit, up to that of the whole call: while a request is being sent, an answer is not due.
func (c *conn) readAnyTime() {
	c.mu.Lock()
	if !c.cut {
		c.readBy = c.total
		var t time.Time
		if c.total != 0 {
			t = atTick(c.total)
		}
		c.nc.SetReadDeadline(t) //nolint:errcheck // as above
	}
	c.mu.Unlock()
}

// begin readies the connection for a call that may last so long in total; zero: without limit.
func (c *conn) begin(total int64) {
	c.mu.Lock()
	c.total, c.awaiting, c.mute = total, false, false
	c.mu.Unlock()
	c.rolling, c.out, c.unwritten = 0, nil, false
}

// SetDeadline ends whatever the connection is blocked in. It implements Deadliner for the engine's watcher and is also how a
// call gives the connection up; afterwards it can only be closed.
func (c *conn) SetDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = true
	return c.nc.SetDeadline(t)
}

// cutWrite ends a blocked write and leaves reading alone.
func (c *conn) cutWrite() {
	c.mu.Lock()
	c.mute, c.writeBy = true, 1
	c.nc.SetWriteDeadline(epoch) //nolint:errcheck // as above
	c.mu.Unlock()
}

// intact reports whether nobody has given the connection up.
func (c *conn) intact() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.cut
}

func (c *conn) close() {
	c.nc.Close() //nolint:errcheck // nothing is left to lose
	c.rd.Release()
}

// alive asks the socket whether the server has closed it or sent something nobody asked for. Either way it is of no more use.
func (c *conn) alive() bool {
	if c.socket == nil {
		return true
	}
	c.dead = false
	if err := c.socket.Control(c.probe); err != nil {
		return false
	}
	return !c.dead
}
