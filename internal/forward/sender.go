package forward

import (
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"postern/internal/header"
	"postern/internal/http1"
)

// sender writes a request whose body is not at hand as a whole, or is large, from a goroutine of its own, so that an answer
// that comes before the end of the request is seen, and so that both sides can stream at once.
type sender struct {
	cn      *conn
	body    bodySource
	whole   []byte // the body, when it is at hand
	length  int64  // declared; -1: chunked
	out     *http1.Buffer
	timeout time.Duration
	first   time.Duration

	stop     atomic.Bool
	last     atomic.Bool // all of the body has been read from the caller
	finished chan struct{}

	// Read these after finished is closed.
	sent     int64 // bytes of the body
	wrote    int64 // bytes on the connection
	touched  bool  // the body was read from
	complete bool
	halted   bool  // it was told to stop before it was done: errors are no news then
	bodyErr  error // of the caller
	err      error // of the connection
}

type bodySource interface {
	io.Reader
	Trailer() header.List
}

// send starts the sender. It owns out.
func (c *call) send(cn *conn, out *http1.Buffer) *sender {
	l := &cn.target.pool.limits
	s := &sender{cn: cn, body: c.x.Body, whole: c.body, length: c.x.Body.Length(), out: out, timeout: l.write, first: l.firstByte, finished: make(chan struct{})}
	if c.whole {
		s.length = int64(len(c.body))
	}
	cn.awaitAnswer()
	go s.run(c.whole)
	return s
}

func (s *sender) run(whole bool) {
	defer close(s.finished)
	defer s.out.Release()
	defer func() {
		if p := recover(); p != nil {
			s.bodyErr = fmt.Errorf("the request body panicked: %v", p)
			s.cn.SetDeadline(epoch) //nolint:errcheck // the connection is given up
		}
	}()
	switch {
	case !s.write(s.out.B):
	case whole:
		s.last.Store(true)
		if s.write(s.whole) {
			s.sent, s.complete = int64(len(s.whole)), true
		}
	case s.length >= 0:
		s.touched = true
		s.complete = s.copyFixed()
	default:
		s.touched = true
		s.complete = s.copyChunked()
	}
	s.halted = s.stop.Load() // before the deadline below wakes the reader of the answer, which halts this
	switch {
	case s.bodyErr != nil && !s.halted:
		// The rest will never come. Ending the connection is what tells the target that the request is incomplete.
		s.cn.SetDeadline(epoch) //nolint:errcheck // the connection is given up
	case isTimeout(s.err) && !s.halted:
		s.cn.SetDeadline(epoch) //nolint:errcheck // as above
	default:
		s.cn.answerDue(s.first)
	}
}

// write sends p and reports whether to go on.
func (s *sender) write(p []byte) bool {
	if s.stop.Load() {
		return false
	}
	if len(p) == 0 {
		return true
	}
	n, err := s.cn.write(p, s.timeout)
	s.wrote, s.err = s.wrote+int64(n), err
	return err == nil
}

func (s *sender) copyFixed() bool {
	buf := bodyBuffers.Get().(*[bodyBuffer]byte)
	defer bodyBuffers.Put(buf)
	for s.sent < s.length {
		n, err := s.body.Read(buf[:min(int64(len(buf)), s.length-s.sent)])
		if s.sent+int64(n) == s.length {
			s.last.Store(true)
		}
		if n > 0 && !s.write(buf[:n]) {
			return false
		}
		s.sent += int64(n)
		if err != nil && s.sent < s.length {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			s.bodyErr = err
			return false
		}
		if s.stop.Load() {
			return false
		}
	}
	return true
}

// chunkRoom is what stands around the data of a chunk: its size in hexadecimal and two line ends.
const chunkRoom = 16

func (s *sender) copyChunked() bool {
	buf := bodyBuffers.Get().(*[bodyBuffer]byte)
	defer bodyBuffers.Put(buf)
	for {
		n, err := s.body.Read(buf[chunkRoom : len(buf)-2])
		if n > 0 {
			var size [chunkRoom]byte
			head := http1.AppendChunkHeader(size[:0], n)
			start := chunkRoom - len(head)
			copy(buf[start:], head)
			copy(buf[chunkRoom+n:], "\r\n")
			if !s.write(buf[start : chunkRoom+n+2]) {
				return false
			}
			s.sent += int64(n)
		}
		if err == io.EOF {
			s.last.Store(true)
			s.out.B = http1.AppendLastChunk(s.out.B[:0], s.body.Trailer())
			return s.write(s.out.B)
		}
		if err != nil {
			s.bodyErr = err
			return false
		}
		if s.stop.Load() {
			return false
		}
	}
}

// cancel tells the sender to stop, if it is not done. A body that has been read to its end is not interrupted: that would cost
// the caller its connection.
func (s *sender) cancel() {
	select {
	case <-s.finished:
		return
	default:
	}
	s.stop.Store(true)
	s.cn.cutWrite()
	if i, ok := s.body.(Interrupter); ok && !s.last.Load() {
		i.Interrupt()
	}
}

// grace is how long a sender may go on after the answer is complete. Usually the end of the request is on its way. Tests that
// are about it lengthen it.
var grace = 50 * time.Millisecond

// halt waits for the sender, at first politely if there is time, until it has let go of the request body and the connection.
func (s *sender) halt(polite bool) {
	if polite && !s.stop.Load() {
		select {
		case <-s.finished:
			return
		default:
		}
		t := time.NewTimer(grace)
		defer t.Stop()
		select {
		case <-s.finished:
			return
		case <-t.C:
		}
	}
	s.cancel()
	<-s.finished
}

// cause returns the fault behind a failed exchange: if the request could not be sent, that is why there is no answer.
func (s *sender) cause(c *call, f *fault) *fault {
	switch {
	case c.w.Gone():
		return goneFault()
	case s.bodyErr != nil && !s.halted:
		return bodyFault(s.bodyErr)
	case s.err != nil && isTimeout(s.err) && !s.halted:
		return c.timedOut(s.cn, phaseWrite, s.err)
	case s.err != nil && s.wrote == 0 && s.cn.plain && kernelTookNothing(0, s.err) && !c.handed:
		f.unsent, f.stale = true, s.cn.reused
	}
	return f
}

// awaitAnswer lifts the read limit while the request is being sent.
func (c *conn) awaitAnswer() {
	c.mu.Lock()
	c.awaiting = true
	c.mu.Unlock()
	c.readAnyTime()
}

// answerDue sets the limit for the first byte, unless the answer has begun already.
func (c *conn) answerDue(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.awaiting || c.cut {
		return
	}
	by, _ := c.due(0, d)
	c.readBy = by
	c.nc.SetReadDeadline(atTick(by)) //nolint:errcheck // a closed connection says so at the next read
}

// answered notes that the head of the answer is there.
func (c *conn) answered() {
	c.mu.Lock()
	c.awaiting = false
	c.mu.Unlock()
}
