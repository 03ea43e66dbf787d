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
	// ready returns how many bytes, at least, can be read without waiting.
	ready() int
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

	mu       sync.Mutex // never held while waiting for the client
	idle     sync.Cond  // signalled when fetching ends
	fetching bool       // somebody reads from src
	peeked   []byte     // the body from its start
	off      int        // how much of peeked was read
	complete bool       // all of it was taken from src
	reading  bool       // Read was called: no Peek any more
	replaced bool
	taken    int64    // bytes taken from src
	old      [][]byte // pooled buffers behind peeked and earlier results of Peek
	fault    error    // sticky

	hurry  atomic.Bool // hold has waited long enough
	closed atomic.Bool
}

func (b *body) reset(src bodySource, x *gate.Exchange, length, most int64, wait time.Duration) {
	b.src, b.x, b.length, b.most, b.wait = src, x, length, most, wait
	b.idle.L = &b.mu
	b.peeked, b.off, b.complete, b.reading, b.replaced, b.taken, b.fault = nil, 0, false, false, false, 0, nil
	b.closed.Store(false)
	b.hurry.Store(false)
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
//
// It is called before anybody else reads, or with mu held.
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
	for {
		switch {
		case b.off < len(b.peeked):
			n := copy(p, b.peeked[b.off:])
			b.off += n
			return n, nil
		case b.complete:
			return 0, io.EOF
		case len(p) == 0:
			return 0, nil
		case !b.fetching:
			return b.fetch(p)
		}
		b.idle.Wait() // hold still reads; what it gets is the next piece
	}
}

// fetch takes bytes from the source, under the limit. mu is held, but not while it waits.
func (b *body) fetch(p []byte) (int, error) {
	if err := b.check(); err != nil {
		return 0, err
	}
	if b.closed.Load() {
		return 0, errBodyClosed
	}
	b.fetching = true
	b.mu.Unlock()
	n, err := b.src.read(p)
	b.mu.Lock()
	b.fetching = false
	b.idle.Broadcast()
	b.taken += int64(n)
	if n > 0 {
		if b.fault = b.tooLarge(b.taken); b.fault != nil {
			return 0, b.fault
		}
	}
	if err == io.EOF || b.length >= 0 && err == nil && b.taken == b.length {
		b.complete = true
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

// Peek implements gate.Body. A body that arrived whole with its head is returned without copying. When ctx ends before the
// body has come, the body is given up, and with it the connection or stream for further use.
func (b *body) Peek(ctx context.Context, most int) ([]byte, bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.reading {
		return nil, false, errPeekAfterRead
	}
	if b.peeked == nil && !b.complete && !b.fetching && b.check() == nil {
		if all, ok := b.src.whole(); ok {
			b.peeked, b.complete, b.taken = all, true, int64(len(all))
		}
	}
	if _, limited := ctx.Deadline(); limited && !b.complete { // the engines' own contexts end when reading fails, so they are not watched
		defer context.AfterFunc(ctx, b.Interrupt)()
	}
	for !b.complete && len(b.peeked) < most {
		if b.fetching {
			b.idle.Wait()
			continue
		}
		if err := b.extend(most); err != nil {
			if errors.Is(err, errBodyClosed) && ctx.Err() != nil {
				err = ctx.Err()
			}
			return nil, false, err
		}
	}
	if len(b.peeked) > most {
		return b.peeked[:most:most], false, nil
	}
	return b.peeked, b.complete, nil
}

// Arrived implements gate.Arrived. Of a body in the hands of net/http it knows only what was peeked before.
func (b *body) Arrived() ([]byte, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.reading || b.fetching || b.fault != nil || !b.replaced && b.tooLarge(b.length) != nil { // looking is no reason to refuse
		return nil, false
	}
	for !b.complete && b.src.ready() > 0 {
		if b.extend(len(b.peeked)+b.src.ready()) != nil {
			break
		}
	}
	return b.peeked[:len(b.peeked):len(b.peeked)], b.complete
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
	if b.complete {
		return nil
	}
	return err
}

// Length implements gate.Body.
func (b *body) Length() int64 { return b.length }

// Replace implements gate.Body.
func (b *body) Replace(p []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.complete || b.reading {
		panic("edge: a body is replaced that was not peeked whole, or was already read")
	}
	b.peeked, b.off, b.replaced, b.length = p, 0, true, int64(len(p))
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

const (
	// holdBytes and holdWait bound what is collected of a chunked HTTP/1.x body before anything is sent upstream.
	holdBytes = 32 << 10
	holdWait  = 100 * time.Millisecond
)

// hold waits for a chunked body to arrive, if it is small and does not take long. So a body that turns out to be malformed is
// refused before the upstream has seen anything of the request, and a sound one is forwarded with its length, in one
// write. A body that is larger, or that its sender produces bit by bit (perhaps in answer to what the upstream says),
// streams: what was collected goes first, and the one read that still waits delivers to whoever reads next.
func (b *body) hold() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.mu.Lock()
		defer b.mu.Unlock()
		for !b.complete && len(b.peeked) < holdBytes && !b.hurry.Load() {
			if b.extend(holdBytes) != nil {
				return
			}
		}
	}()
	patience := time.NewTimer(holdWait)
	defer patience.Stop()
	select {
	case <-done:
		if b.complete && b.fault == nil && len(b.src.trailer()) == 0 {
			b.length = int64(len(b.peeked))
		}
	case <-patience.C:
		b.hurry.Store(true)
	}
}

// quiesce makes sure that nobody reads any more: the exchange is over.
func (b *body) quiesce() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.fetching {
		b.Interrupt()
		b.idle.Wait()
	}
}

// outstanding reports whether the connection cannot be kept unless the rest of the body is read: more than most bytes
// are left, or the body went wrong. While somebody reads nobody knows.
func (b *body) outstanding(remaining func() int64, most int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.fetching && (b.fault != nil || remaining() > most)
}

// leftOver reports the same for net/http: it reads a modest rest itself, unless the answer may overtake the request
// (duplex), when nothing may be left.
func (b *body) leftOver(duplex bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.fault != nil || duplex && !b.complete
}

// unread reports whether something of the body is still to come, or may be.
func (b *body) unread() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.complete
}

// refusal is the verdict of a body that went wrong while somebody read it, if it did.
func (b *body) refusal() (decision.Verdict, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fault == nil {
		return decision.Verdict{}, false
	}
	var known *gate.BodyError // escapes: not before the line above
	if !errors.As(b.fault, &known) {
		return decision.Verdict{}, false
	}
	return known.Verdict(), true
}
