package http1

import "sync"

// Two sizes cover everything: a small buffer holds an ordinary head with its body and is all that an idle connection
// keeps; a large one takes big heads and streamed bodies.
const (
	smallSize = 4 << 10
	largeSize = 32 << 10
)

var (
	smallPool = sync.Pool{New: func() any { return new([smallSize]byte) }}
	largePool = sync.Pool{New: func() any { return new([largeSize]byte) }}
)

// take returns a buffer of at least n bytes.
func take(n int) []byte {
	switch {
	case n <= smallSize:
		return smallPool.Get().(*[smallSize]byte)[:]
	case n <= largeSize:
		return largePool.Get().(*[largeSize]byte)[:]
	}
	return make([]byte, n)
}

// give returns a buffer to its pool; one of an odd size is left to the garbage collector.
func give(b []byte) {
	if poison {
		for i := range b {
			b[i] = '!'
		}
	}
	switch len(b) {
	case smallSize:
		smallPool.Put((*[smallSize]byte)(b))
	case largeSize:
		largePool.Put((*[largeSize]byte)(b))
	}
}

// Buffer is a pooled byte slice to build an outgoing message in, with the Append functions.
type Buffer struct{ B []byte }

var bufferPool = sync.Pool{New: func() any { return &Buffer{B: make([]byte, 0, smallSize)} }}

// GetBuffer returns an empty buffer.
func GetBuffer() *Buffer {
	b := bufferPool.Get().(*Buffer)
	b.B = b.B[:0]
	return b
}

// Release gives the buffer back; b.B may not be used afterwards. One that has grown beyond 64 KiB is not kept.
func (b *Buffer) Release() {
	if poison {
		clear(b.B)
	}
	if cap(b.B) <= 2*largeSize {
		bufferPool.Put(b)
	}
}
