package http1

import (
	"encoding/binary"
	"unsafe"
)

// Classes of bytes, one bit each.
const (
	tokenByte = 1 << iota // tchar, RFC 9110 section 5.6.2
	pathByte              // pchar and "/" (RFC 3986 section 3.3), plus "|", "[" and "]", which browsers leave unescaped
	queryByte             // visible ASCII but "#"
	hostByte              // unreserved (RFC 3986 section 2.3)
	valueByte             // field-content: SP, HTAB, VCHAR, obs-text (RFC 9110 section 5.5)
	digitByte
	hexByte
)

var class = func() (t [256]uint8) {
	set := func(bit uint8, s string) {
		for i := 0; i < len(s); i++ {
			t[s[i]] |= bit
		}
	}
	const alnum = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	set(tokenByte, alnum+"!#$%&'*+-.^_`|~")
	set(pathByte, alnum+"-._~!$&'()*+,;=:@/%|[]")
	set(hostByte, alnum+"-._~")
	set(digitByte, "0123456789")
	set(hexByte, "0123456789abcdefABCDEF")
	for c := 0; c < 256; c++ {
		if c > 0x20 && c < 0x7f && c != '#' {
			t[c] |= queryByte
		}
		if c == '\t' || c >= 0x20 && c != 0x7f {
			t[c] |= valueByte
		}
	}
	return t
}()

// view makes a string of b without copying: it changes when b does.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// all reports whether every byte of s is of a class.
func all(s string, bit uint8) bool {
	for i := 0; i < len(s); i++ {
		if class[s[i]]&bit == 0 {
			return false
		}
	}
	return true
}

// ValidToken reports whether s is a token (RFC 9110 section 5.6.2): not empty, no separators.
func ValidToken(s string) bool { return s != "" && all(s, tokenByte) }

// ValidFieldName reports whether s may stand before the colon of a field line.
func ValidFieldName(s string) bool { return ValidToken(s) }

// ValidFieldValue reports whether s may be written as a field value: no control characters except the tab, so neither CR,
// LF nor NUL, and no white space at either end.
func ValidFieldValue(s string) bool {
	if s == "" {
		return true
	}
	if first, last := s[0], s[len(s)-1]; first == ' ' || first == '\t' || last == ' ' || last == '\t' {
		return false
	}
	return cleanValue(unsafe.Slice(unsafe.StringData(s), len(s))) < 0
}

// cleanValue returns the index of the first byte that may not stand in a field value, or -1.
func cleanValue(b []byte) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; i+8 <= len(b); i += 8 {
		x := binary.LittleEndian.Uint64(b[i:])
		// A byte below 0x20 borrows into its own top bit; a DEL becomes zero, which borrows likewise. Bytes above 0x7f are
		// masked out by &^x. A borrow out of a lower byte can only follow a hit in that byte, so no hit is missed and
		// a false one (a tab, for instance) only costs the loop below.
		del := x ^ 0x7f*ones
		if ((x-0x20*ones)&^x|(del-ones)&^del)&tops != 0 {
			break
		}
	}
	for ; i < len(b); i++ {
		if class[b[i]]&valueByte == 0 {
			return i
		}
	}
	return -1
}
