package forward

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"postern/internal/http1"
)

// body2 is a request body in the hands of net/http's transport, which reads it from its own goroutine and may go on doing so
// after the call: release ends that.
type body2 struct {
	from    bodySource
	clock   *phaseClock
	trailer http.Header // to be filled at the end; nil: none was announced
	sent    atomic.Int64

	mu       sync.Mutex // held while reading
	whole    *bytes.Reader
	begun    atomic.Bool // the caller's body was read from
	finished atomic.Bool
	released atomic.Bool
	failure  atomic.Pointer[error] // of the caller
}

func (c *call) newBody2(clock *phaseClock) *body2 {
	b := &body2{from: c.x.Body, clock: clock}
	if c.whole {
		b.whole = bytes.NewReader(bytes.Clone(c.body)) // the transport may still write it when the exchange is over
	}
	return b
}

// Read implements io.Reader for the transport.
func (b *body2) Read(p []byte) (n int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.begun.Store(b.whole == nil) // before asking whether it was released: release looks in the opposite order
	if b.released.Load() {
		return 0, context.Canceled
	}
	if b.whole != nil {
		n, err = b.whole.Read(p)
	} else {
		n, err = b.from.Read(p)
	}
	b.sent.Add(int64(n))
	switch {
	case err == io.EOF:
		if b.trailer != nil {
			for _, f := range b.from.Trailer() {
				if key := http.CanonicalHeaderKey(f.Name); !http1.ForbiddenTrailer(key) {
					b.trailer[strings.Clone(key)] = append(b.trailer[key], strings.Clone(f.Value))
				}
			}
		}
		b.finish(nil)
		b.clock.sent()
	case err != nil && !b.released.Load():
		b.finish(err)
	}
	return n, err
}

// again starts the body anew for a transport that repeats a request the server refused to take.
func (b *body2) again() (io.ReadCloser, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.whole.Seek(0, io.SeekStart) //nolint:errcheck // never fails
	return b, nil
}

func (b *body2) finish(err error) {
	if err != nil {
		b.failure.Store(&err)
	}
	b.finished.Store(true)
}

func (b *body2) over() bool { return b.finished.Load() }

func (b *body2) callersFault() error {
	if p := b.failure.Load(); p != nil {
		return *p
	}
	return nil
}

// Close implements io.Closer for the transport, which calls it when it needs no more.
func (b *body2) Close() error { return nil }

// release takes the request body back: it waits for a read that is under way, and lets no other begin.
func (b *body2) release() {
	if b.released.Swap(true) || b.whole != nil {
		return
	}
	if i, ok := b.from.(Interrupter); ok && b.begun.Load() && !b.finished.Load() {
		i.Interrupt()
	}
	b.mu.Lock() // waits for the read
	b.from = nil
	b.mu.Unlock()
}
