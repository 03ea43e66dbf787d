package http1

import (
	"io"

	"postern/internal/header"
)

// BodyKind says how the end of a body is found.
type BodyKind uint8

// The kinds of bodies.
const (
	NoBody      BodyKind = iota // no framing field, or a response that has no body by its status or request method
	FixedLength                 // Content-Length, also 0
	Chunked                     // Transfer-Encoding: chunked
	UntilClose                  // responses without framing: up to the end of the connection
	Tunnel                      // after 101 or a successful CONNECT: raw bytes both ways, use Read of the Reader
)

// Body reads the body of the current message of a Reader. Malformed chunks are a *[ParseError]; a connection that ends too
// early is one with code [Truncated], for which errors.Is(err, io.ErrUnexpectedEOF) holds; io.EOF is the clean end and
// nothing else. Errors repeat.
//
// It never reads from the connection beyond what it must to return something, and never waits with data in hand.
type Body struct {
	r    *Reader
	kind BodyKind
	done bool

	left    int64 // bytes still to come of the body (FixedLength) or of the current chunk
	inside  bool  // chunked: the CRLF of a chunk is still to be read
	extra   int64 // chunked: bytes of extensions so far
	count   int64 // bytes handed out
	trailer header.List
}

func (b *Body) start(kind BodyKind, length int64) *Body {
	b.kind, b.left, b.inside, b.extra, b.count = kind, 0, false, 0, 0
	b.trailer = b.trailer[:0]
	if kind == FixedLength {
		b.left = length
	}
	b.done = kind == NoBody || kind == Tunnel || kind == FixedLength && length == 0
	return b
}

// Kind returns how the end of the body is found.
func (b *Body) Kind() BodyKind { return b.kind }

// Done reports whether the body has been consumed to its end. It may become true as soon as the last data was returned,
// before io.EOF is: the writer can then add the end of the message to the same write.
func (b *Body) Done() bool { return b.done }

// Remaining returns how many bytes of the body are still to be returned, or -1 if that is not known.
func (b *Body) Remaining() int64 {
	switch {
	case b.done:
		return 0
	case b.kind == FixedLength:
		return b.left
	}
	return -1
}

// BytesRead returns how many bytes of content were returned or discarded so far.
func (b *Body) BytesRead() int64 { return b.count }

// Trailer returns the trailer fields of a chunked body, complete once Done is true. Fields that may not be trailers are
// left out (see [ForbiddenTrailer]).
func (b *Body) Trailer() header.List { return b.trailer }

// Buffered returns how many bytes the next call of Next returns without reading from the connection, if any.
func (b *Body) Buffered() int {
	if b.done {
		return 0
	}
	n := b.r.w - b.r.r
	if b.kind != UntilClose && int64(n) > b.left {
		n = int(b.left)
	}
	return n
}

// Whole returns the rest of the body without consuming it, if all of it is already in the buffer in one piece: the normal
// case for a small body of known length. The slice stays valid and unchanged until the message's views end.
func (b *Body) Whole() ([]byte, bool) {
	switch {
	case b.done:
		return nil, true
	case b.kind == FixedLength && int64(b.r.w-b.r.r) >= b.left:
		end := b.r.r + int(b.left)
		return b.r.buf[b.r.r:end:end], true
	}
	return nil, false
}

// Next returns the next piece of the body, at least one byte, without copying: what is buffered, or else what one read
// brings. At the end it returns io.EOF. The slice is valid until the next call on the body; if it completes the body
// (Done is true) it is valid as long as the head.
func (b *Body) Next() ([]byte, error) {
	if err := b.ready(); err != nil {
		return nil, err
	}
	r := b.r
	if r.r == r.w {
		if err := b.refill(b.left); err != nil {
			return nil, err
		}
	}
	n := r.w - r.r
	if b.kind != UntilClose && int64(n) > b.left {
		n = int(b.left)
	}
	data := r.buf[r.r : r.r+n : r.r+n]
	r.r += n
	b.consumed(n)
	return data, nil
}

// Read implements io.Reader. Large reads bypass the buffer.
func (b *Body) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := b.ready(); err != nil {
		return 0, err
	}
	r := b.r
	if b.kind != UntilClose && int64(len(p)) > b.left {
		p = p[:b.left]
	}
	if r.r == r.w {
		if len(p) >= smallSize && r.pending == nil {
			n, err := r.src.Read(p)
			if n > 0 {
				r.pending = err
				b.consumed(n)
				return n, nil
			}
			if err != nil {
				return 0, b.broke(err)
			}
		}
		if err := b.refill(b.left); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.buf[r.r:r.w])
	r.r += n
	b.consumed(n)
	return n, nil
}

// WriteTo implements io.WriterTo: one write for each piece.
func (b *Body) WriteTo(w io.Writer) (n int64, err error) {
	for {
		p, err := b.Next()
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		m, err := w.Write(p)
		n += int64(m)
		if err != nil {
			return n, err
		}
	}
}

// AppendAll appends the rest of the body to dst. A body with more than most bytes left is [ErrBodyTooLarge]: what was read
// until then has been appended, and a body of known length has not been touched.
func (b *Body) AppendAll(dst []byte, most int64) ([]byte, error) {
	if b.Remaining() > most {
		return dst, ErrBodyTooLarge
	}
	for {
		p, err := b.Next()
		if err == io.EOF {
			return dst, nil
		}
		if err != nil {
			return dst, err
		}
		dst = append(dst, p...)
		if most -= int64(len(p)); most < 0 {
			return dst, ErrBodyTooLarge
		}
	}
}

// Discard reads and drops the rest of the body, so that the connection can be used again. It gives up with
// [ErrBodyTooLarge] when more than most bytes are left, at once if the length is known; close the connection then.
func (b *Body) Discard(most int64) error {
	if b.Remaining() > most {
		return ErrBodyTooLarge
	}
	for {
		p, err := b.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if most -= int64(len(p)); most < 0 {
			return ErrBodyTooLarge
		}
	}
}

// ready makes sure that there is data to come: io.EOF at the end, and in a chunked body the head of the next chunk read.
func (b *Body) ready() error {
	switch {
	case b.r.bad != nil:
		return b.r.bad
	case b.done:
		return io.EOF
	case b.kind == Chunked && b.left == 0:
		if err := b.nextChunk(); err != nil {
			return err
		}
		if b.done {
			return io.EOF
		}
	}
	return nil
}

// consumed counts n bytes as handed out and notices the end of the body when it is already in the buffer.
func (b *Body) consumed(n int) {
	b.count += int64(n)
	if b.kind == UntilClose {
		return
	}
	b.left -= int64(n)
	if b.left > 0 {
		return
	}
	if b.kind == FixedLength {
		b.done = true
		return
	}
	b.inside = true
	const end = "\r\n0\r\n\r\n"
	if r := b.r; r.w-r.r >= len(end) && string(r.buf[r.r:r.r+len(end)]) == end {
		r.r += len(end)
		b.inside, b.done = false, true
	}
}

// refill reads once into the room above the head, or into a large buffer when want bytes or what seems to be waiting
// would not fit there. Bytes that were consumed are overwritten, unread ones move.
func (b *Body) refill(want int64) error {
	r := b.r
	if r.pending != nil {
		return b.broke(r.pending)
	}
	if r.r == r.w {
		r.r, r.w = r.lo, r.lo
	}
	if r.buf == nil {
		r.turn()
	}
	const least = 512
	room := len(r.buf) - r.lo - (r.w - r.r)
	small := len(r.buf) < largeSize && (want > int64(room) || r.brimful)
	switch {
	case small || room < least:
		r.turn()
	case len(r.buf)-r.w < least:
		copy(r.buf[r.lo:], r.buf[r.r:r.w])
		r.r, r.w = r.lo, r.lo+(r.w-r.r)
	}
	if err := r.fill(); err != nil {
		return b.broke(err)
	}
	return nil
}

// broke handles an error of the connection: the end of it is the end of an UntilClose body and a fault in any other.
func (b *Body) broke(err error) error {
	switch {
	case err != io.EOF:
	case b.kind == UntilClose:
		b.done = true
		return io.EOF
	case b.r.response:
		err = errTruncatedReply
	default:
		err = errTruncatedBody
	}
	b.r.bad = err
	return err
}
