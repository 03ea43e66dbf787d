package decision

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"time"
)

// TraceID names one request: 48 bits of Unix milliseconds, then 80 random bits (the ULID layout). It sorts by time, its
// tail cannot be guessed from another's, and it is no credential: looking one up authorizes again.
type TraceID [16]byte

// NewTraceID makes an id for a request that arrived at t. The randomness is the runtime's ChaCha8 generator, which is
// seeded by the operating system and costs a few nanoseconds.
func NewTraceID(t time.Time) (id TraceID) {
	binary.BigEndian.PutUint64(id[:8], uint64(t.UnixMilli())<<16|rand.Uint64()&0xffff)
	binary.BigEndian.PutUint64(id[8:], rand.Uint64())
	return id
}

const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// TraceIDLen is the length of the text form.
const TraceIDLen = 26

// AppendText appends the 26 characters of Crockford's base 32, without allocating when dst has room.
func (id TraceID) AppendText(dst []byte) ([]byte, error) {
	hi, lo := binary.BigEndian.Uint64(id[:8]), binary.BigEndian.Uint64(id[8:])
	var out [TraceIDLen]byte
	for i := TraceIDLen - 1; i >= 0; i-- {
		out[i] = crockford[lo&31]
		lo = lo>>5 | hi<<59
		hi >>= 5
	}
	return append(dst, out[:]...), nil
}

// String returns the text form.
func (id TraceID) String() string {
	b, _ := id.AppendText(make([]byte, 0, TraceIDLen))
	return string(b)
}

// MarshalText implements encoding.TextMarshaler.
func (id TraceID) MarshalText() ([]byte, error) { return id.AppendText(nil) }

// Time returns when the request arrived, to the millisecond.
func (id TraceID) Time() time.Time {
	return time.UnixMilli(int64(binary.BigEndian.Uint64(id[:8]) >> 16))
}

// ErrTraceID is returned for text that is not a trace id.
var ErrTraceID = errors.New("a trace id is 26 characters of 0-9 and A-Z without I, L, O and U, and starts with 0 to 7")

// ParseTraceID reads the text form. Letters may be in either case; I and L read as 1, O as 0, as Crockford has it.
func ParseTraceID(s string) (id TraceID, err error) {
	if len(s) != TraceIDLen {
		return id, ErrTraceID
	}
	var hi, lo uint64
	for i := range len(s) {
		v := uncrockford(s[i])
		if v > 31 || i == 0 && v > 7 {
			return id, ErrTraceID
		}
		hi = hi<<5 | lo>>59
		lo = lo<<5 | uint64(v)
	}
	binary.BigEndian.PutUint64(id[:8], hi)
	binary.BigEndian.PutUint64(id[8:], lo)
	return id, nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (id *TraceID) UnmarshalText(b []byte) (err error) {
	*id, err = ParseTraceID(string(b))
	return err
}

func uncrockford(c byte) byte {
	switch c {
	case 'i', 'I', 'l', 'L':
		return 1
	case 'o', 'O':
		return 0
	}
	if 'a' <= c && c <= 'z' {
		c -= 'a' - 'A'
	}
	for i := range len(crockford) {
		if crockford[i] == c {
			return byte(i)
		}
	}
	return 0xff
}
