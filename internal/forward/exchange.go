package forward

import (
	"errors"
	"io"
)

// errDead says that a kept connection was closed, or had bytes on it that no request had asked for, before it was used.
var errDead = errors.New("the kept connection was closed by the target, or held an answer that nobody had asked for")

// rawExchange is the state of a request and answer over a plain socket.
type rawExchange struct {
	state rawState
	p     []byte // where the answer goes
	n     int    // bytes of the answer read
	sent  int    // bytes of the request written
	err   error
}

type rawState uint8

const (
	rawIdle    rawState = iota // nothing has been done
	rawDead                    // something was there before the request
	rawBlocked                 // not all of the request could be written, or err says why
	rawWaiting                 // the request is written
	rawDone                    // n and err are the result of reading
)

// exchange writes the request that is due and reads the beginning of the answer into p.
//
// RATIONALE: over a plain socket this is one visit to the runtime's poller: read (there must be nothing), write, wait,
// read. That is as many system calls as write and a blocking read need, since the latter begins with a read that fails,
// and every connection is checked at the last moment. A server that closed it, or that sent an answer too many (which
// would be taken for the answer to this request, perhaps of another caller), is noticed before a byte is sent, and a POST can
// safely take a new connection.
func (c *conn) exchange(p []byte) (int, error) {
	out, limits := c.out, &c.target.pool.limits
	c.out = nil
	c.readWithin(limits.firstByte)
	StandAside()
	sent := 0
	if c.plain && c.socket != nil {
		c.raw = rawExchange{p: p}
		c.out = out
		err := c.socket.Read(c.step)
		c.out = nil
		r := c.raw
		c.raw = rawExchange{}
		switch {
		case r.state == rawDead:
			return 0, errDead
		case r.state == rawDone:
			return r.n, r.err
		case err != nil: // a deadline, before or after the request was written
			c.unwritten = r.state == rawIdle
			return 0, err
		case r.err != nil && kernelTookNothing(r.sent, r.err):
			c.unwritten = true
			return 0, r.err
		}
		sent = r.sent
	} else if c.reused && !c.alive() {
		return 0, errDead
	}
	n, err := c.write(out[sent:], limits.write)
	if err != nil && (isTimeout(err) || c.plain && kernelTookNothing(sent+n, err)) {
		c.unwritten = true
		return 0, err
	}
	// After any other error the answer may be there all the same: a server that refuses early answers and closes.
	c.readWithin(limits.firstByte)
	return c.nc.Read(p)
}

// result translates the outcome of a read system call.
func (r *rawExchange) result(n int, err error) bool {
	r.state, r.n, r.err = rawDone, max(n, 0), err
	if n == 0 && err == nil {
		r.err = io.EOF
	}
	return true
}
