package http1

import (
	"bytes"
	"io"
)

// Reader reads one message after the other from a connection. It is not safe for concurrent use; views into a message's
// head may be read by other goroutines while one goroutine reads the body.
//
// Its buffer never moves under a message: when room runs out, the unread rest goes to a new buffer and the old one is
// pinned until the message is over, so views stay good at no cost.
type Reader struct {
	src    io.Reader
	limits Limits

	buf      []byte   // current buffer, nil while nothing is held
	lo, r, w int      // buf[:lo] holds views of the current message, buf[r:w] is unread
	pinned   [][]byte // earlier buffers of the current message

	body     Body
	fresh    bool  // between two messages: nothing of the next one has been parsed
	response bool  // reading a response: errors are the upstream's
	brimful  bool  // the last read filled all the room there was: more is probably waiting
	pending  error // an error that came together with data
	bad      error // what went wrong; repeated for ever
}

// NewReader returns a Reader over src. Zero fields of limits mean defaults.
func NewReader(src io.Reader, limits Limits) *Reader {
	r := &Reader{src: src, limits: limits.withDefaults(), fresh: true}
	r.body.r, r.body.done = r, true
	return r
}

// Reset makes the Reader read from src, forgetting everything else but its limits and its buffer.
func (r *Reader) Reset(src io.Reader) {
	r.unpin()
	trailer := r.body.trailer[:0]
	*r = Reader{src: src, limits: r.limits, buf: r.buf, pinned: r.pinned[:0], fresh: true}
	r.body = Body{r: r, done: true, trailer: trailer}
	r.shrink()
}

// Release gives all buffers back to their pools. Unread bytes and all views are lost. The Reader may be used again
// after Reset, and without one if nothing was buffered: the next read takes a buffer.
func (r *Reader) Release() {
	r.unpin()
	if r.buf != nil {
		give(r.buf)
	}
	r.buf, r.lo, r.r, r.w = nil, 0, 0, 0
	r.fresh = r.body.done
}

// Buffered returns the number of bytes received but not yet consumed. On a connection to an upstream that is about to be
// reused it must be 0: anything else is an unsolicited response.
func (r *Reader) Buffered() int { return r.w - r.r }

// Started reports whether anything of the current message has been received. After an error of the connection to an
// upstream it tells a request that may have been worked on from one that was never answered at all.
func (r *Reader) Started() bool { return !r.fresh || r.r < r.w }

// Wait blocks until the first byte of the next message is there, without consuming it. It returns io.EOF when the peer
// closed the connection between messages. An error of the connection, such as a deadline, is returned as it is and does
// not spoil the Reader: Wait may be called again. It ends the life of all views of the previous message.
func (r *Reader) Wait() error {
	if err := r.begin(); err != nil {
		return err
	}
	if r.w > r.r {
		return nil
	}
	return r.more()
}

// Read returns raw bytes, buffered ones first: for what follows a switch of protocols (101, CONNECT, the HTTP/2 preface).
// In the middle of an HTTP body use the Body instead.
func (r *Reader) Read(p []byte) (int, error) {
	if r.r < r.w {
		n := copy(p, r.buf[r.r:r.w])
		r.r += n
		return n, nil
	}
	if err := r.pending; err != nil {
		return 0, err
	}
	return r.src.Read(p)
}

// begin ends the previous message and makes room for the next one.
func (r *Reader) begin() error {
	if r.bad != nil {
		return r.bad
	}
	if !r.body.done {
		return ErrBodyUnread
	}
	if r.fresh {
		return nil
	}
	r.fresh = true
	r.unpin()
	r.lo = 0
	r.shrink()
	return nil
}

// shrink moves unread bytes to the front, into a small buffer if they fit comfortably.
func (r *Reader) shrink() {
	n := r.w - r.r
	switch {
	case r.buf == nil:
	case len(r.buf) > smallSize && n <= smallSize/2:
		small := take(smallSize)
		copy(small, r.buf[r.r:r.w])
		give(r.buf)
		r.buf, r.r, r.w = small, 0, n
	case n == 0:
		r.r, r.w = 0, 0
	case len(r.buf)-r.r < smallSize/2: // pipelined messages are parsed where they lie, until the end of the buffer is near
		copy(r.buf, r.buf[r.r:r.w])
		r.r, r.w = 0, n
	}
}

func (r *Reader) unpin() {
	for i, b := range r.pinned {
		give(b)
		r.pinned[i] = nil
	}
	r.pinned = r.pinned[:0]
}

// more reads at least one byte behind w and leaves everything before it in place.
func (r *Reader) more() error {
	if r.pending != nil {
		return r.pending
	}
	if r.w == len(r.buf) {
		r.turn()
	}
	return r.fill()
}

// turn continues in a fresh buffer; the old one is pinned.
func (r *Reader) turn() {
	if r.buf == nil {
		r.buf, r.lo, r.r, r.w = take(smallSize), 0, 0, 0
		return
	}
	n := r.w - r.r
	next := take(max(largeSize, 2*n))
	copy(next, r.buf[r.r:r.w])
	r.pinned = append(r.pinned, r.buf)
	r.buf, r.lo, r.r, r.w = next, 0, 0, n
}

// fill reads once into buf[w:], which must not be empty.
func (r *Reader) fill() error {
	room := r.buf[r.w:]
	for range 100 {
		n, err := r.src.Read(room)
		if n > 0 {
			r.w += n
			r.brimful = n == len(room)
			r.pending = err
			return nil
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// line returns the next line without its CRLF, at most limit bytes long, as a view that stays in place. over is the error
// to give for a longer one.
func (r *Reader) line(limit int, over func(*Reader) error) ([]byte, error) {
	for scanned := 0; ; {
		if i := bytes.IndexByte(r.buf[r.r+scanned:r.w], '\n'); i >= 0 {
			end := r.r + scanned + i
			if end-r.r > limit+1 {
				return nil, over(r)
			}
			if end == r.r || r.buf[end-1] != '\r' {
				return nil, r.fail(BadLineEnding, 400, "a line ends with a bare LF instead of CRLF")
			}
			line := r.buf[r.r : end-1 : end-1]
			r.r = end + 1
			return line, nil
		}
		if scanned = r.w - r.r; scanned > limit+1 {
			return nil, over(r)
		}
		if err := r.more(); err != nil {
			return nil, r.broke(err)
		}
	}
}
