package edge

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/header"
	"postern/internal/http1"
)

// bodySource is where an engine's body bytes come from.
type bodySource interface {
	// read returns some bytes of the body, io.EOF at its end.
	read(p []byte) (int, error)
	// whole returns the rest of the body without consuming it, if it is already here in one piece and stays so.
	whole() ([]byte, bool)
	trailer() header.List
	// interrupt makes a read that waits return, and spoils the connection or stream for further requests.
	interrupt()
}

// errBodyClosed is what a body returns after Interrupt, or after its exchange ended.
var errBodyClosed = errors.New("the body was given up before its end")

// body is the gate.Body of both engines. It keeps what was peeked, enforces the body limit, and turns what goes wrong into
// a gate.BodyError whose reason the caller is told.
type body struct {
	src    bodySource
	x      *gate.Exchange
	length int64 // declared, -1 unknown
	most   int64 // the listener's limit; -1: none
	wait   time.Duration

	mu       sync.Mutex // held while reading, so that the exchange is not reused under a reader
	peeked   []byte     // the body from its start
	off      int        // how much of peeked was read
	complete bool       // peeked is the whole body
	reading  bool       // Read was called: no Peek any more
	replaced bool
	taken    int64    // bytes taken from src
	old      [][]byte // pooled buffers behind peeked and earlier results of Peek
	fault    error    // sticky

	closed atomic.Bool
}

func (b *body) reset(src bodySource, x *gate.Exchange, length, most int64, wait time.Duration) {
	b.src, b.x, b.length, b.most, b.wait = src, x, length, most, wait
	b.peeked, b.off, b.complete, b.reading, b.replaced, b.taken, b.fault = nil, 0, false, false, false, 0, nil
	b.closed.Store(false)
}

// release gives the memory back once the exchange has ended. It reports whether the body may be reused: not when some
// reader still holds it.
func (b *body) release() bool {
	if b.closed.Load() {
		return false
	}
	for i := range b.old {
		giveMemory(b.old[i])
		b.old[i] = nil
	}
	b.old = b.old[:0]
	b.peeked, b.src, b.x = nil, nil, nil
	return true
}

// limit is the number of bytes allowed: the operation's setting, or the listener's.
func (b *body) limit() int64 {
	if b.x.Op != nil && b.x.Op.BodyBytes != 0 {
		return b.x.Op.BodyBytes
	}
	return b.most
}

// tooLarge is the refusal of a body over the limit, or nil.
func (b *body) tooLarge(size int64) error {
	if most := b.limit(); most >= 0 && size > most {
		return &gate.BodyError{Reason: decision.RequestTooLarge, Facts: []decision.Fact{{
			Name: "limit", Want: strconv.FormatInt(most, 10), Got: strconv.FormatInt(size, 10), Public: decision.ToAnyone,
		}}}
	}
	return nil
}

// check refuses a body whose declared length is over the limit before anything of it is read.
func (b *body) check() error {
	if b.fault == nil && !b.replaced {
		b.fault = b.tooLarge(b.length)
	}
	return b.fault
}

// Read implements gate.Body.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reading = true
	if b.off < len(b.peeked) {
		n := copy(p, b.peeked[b.off:])
		b.off += n
		return n, nil
	}
	if b.complete {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	return b.fetch(p)
}

// fetch takes bytes from the source, under the limit.
func (b *body) fetch(p []byte) (int, error) {
	if err := b.check(); err != nil {
		return 0, err
	}
	if b.closed.Load() {
		return 0, errBodyClosed
	}
	n, err := b.src.read(p)
	b.taken += int64(n)
	if n > 0 {
		if b.fault = b.tooLarge(b.taken); b.fault != nil {
			return 0, b.fault
		}
	}
	if err != nil && err != io.EOF {
		if b.closed.Load() {
			err = errBodyClosed
		}
		b.fault = bodyFault(err, b.wait)
		err = b.fault
	}
	return n, err
}

// bodyFault words an error of the source.
func bodyFault(err error, wait time.Duration) error {
	var malformed *http1.ParseError
	var known *gate.BodyError
	var network net.Error
	switch {
	case errors.As(err, &known), errors.Is(err, errBodyClosed):
		return err
	case errors.As(err, &malformed):
		return &gate.BodyError{Reason: decision.RequestMalformed, Err: err, Facts: []decision.Fact{{
			Name: "fault", Want: malformed.Detail, Public: decision.ToAnyone,
		}}}
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return &gate.BodyError{Reason: decision.RequestTimeout, Err: err, Facts: []decision.Fact{{
			Name: "limit", Want: wait.String() + " between two parts of its body", Public: decision.ToAnyone,
		}}}
	}
	return err
}

var errPeekAfterRead = errors.New("a body cannot be peeked after it was read")

// Peek implements gate.Body. A body that arrived whole with its head is returned without copying.
func (b *body) Peek(_ context.Context, most int) ([]byte, bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.reading {
		return nil, false, errPeekAfterRead
	}
	if b.peeked == nil && !b.complete && b.check() == nil {
		if all, ok := b.src.whole(); ok {
			b.peeked, b.complete = all, true
		}
	}
	for !b.complete && len(b.peeked) < most {
		if err := b.extend(most); err != nil {
			return nil, false, err
		}
	}
	if len(b.peeked) > most {
		return b.peeked[:most:most], false, nil
	}
	return b.peeked, b.complete, nil
}

// extend reads once behind what was peeked. The buffer grows with what arrives, not with what was announced, so that an
// announcement costs no memory; earlier results of Peek stay valid because their buffers are kept until the end.
func (b *body) extend(most int) error {
	if len(b.peeked) == cap(b.peeked) {
		n := 4 << 10
		if b.length > 0 {
			n = int(min(b.length, 64<<10))
		}
		if cap(b.peeked) > 0 {
			n = 4 * cap(b.peeked)
		}
		if n > 1<<20 { // beyond the pooled sizes: double, no more than can be needed
			n = max(2*cap(b.peeked), 1<<20)
		}
		if b.length > 0 {
			n = int(min(int64(n), b.length))
		}
		grown := append(takeMemory(max(n, len(b.peeked)+1)), b.peeked...)
		b.old = append(b.old, grown)
		b.peeked = grown
	}
	room := b.peeked[len(b.peeked):min(cap(b.peeked), most)]
	n, err := b.fetch(room)
	b.peeked = b.peeked[:len(b.peeked)+n]
	if b.length >= 0 && int64(len(b.peeked)) == b.length || err == io.EOF {
		b.complete = true
		return nil
	}
	return err
}

// Length implements gate.Body.
func (b *body) Length() int64 {
	if b.replaced {
		return int64(len(b.peeked))
	}
	return b.length
}

// Replace implements gate.Body.
func (b *body) Replace(p []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.complete || b.reading {
		panic("edge: a body is replaced that was not peeked whole, or was already read")
	}
	b.peeked, b.off, b.replaced = p, 0, true
}

// Trailer implements gate.Body.
func (b *body) Trailer() header.List {
	if b.src == nil {
		return nil
	}
	return b.src.trailer()
}

// Interrupt implements gate.Interrupter.
func (b *body) Interrupt() {
	if b.closed.CompareAndSwap(false, true) && b.src != nil {
		b.src.interrupt()
	}
}

// refusal is the verdict of a body that went wrong while somebody read it, if it did.
func (b *body) refusal() (decision.Verdict, bool) {
	var known *gate.BodyError
	if errors.As(b.fault, &known) {
		return known.Verdict(), true
	}
	return decision.Verdict{}, false
}
