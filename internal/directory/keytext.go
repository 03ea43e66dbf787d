package directory

import (
	"crypto/sha256"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"unsafe"
)

// An API key is text of one fixed form, 46 characters:
//
//	postern_ + 32 random characters + 6 characters of checksum
//
// All but the prefix are base62 (0-9 A-Z a-z), so that a double click selects the whole key and no place needs to escape
// it. 32 random characters hold 190 bits. The checksum is the CRC-32 (IEEE) of everything before it, most significant
// digit first: it tells a mistyped key from an unknown one without asking the directory, and lets secret scanners drop
// false finds. Scanners find keys by
//
//	\bpostern_[0-9A-Za-z]{38}\b
//
// The checksum is no secret and proves nothing: only the SHA-256 of the whole text, looked up in the directory, does.
const (
	KeyPrefix    = "postern_"
	keyRandom    = 32
	keySum       = 6 // 62⁶ > 2³²
	keyTextBytes = len(KeyPrefix) + keyRandom + keySum
)

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// NewKeyText makes the text of a new key from a source of randomness, which is crypto/rand.Reader outside tests. The
// text is shown to its owner once and never kept. An error is the source's.
func NewKeyText(rand io.Reader) (string, error) {
	text := make([]byte, 0, keyTextBytes)
	text = append(text, KeyPrefix...)
	var pool [keyRandom + 16]byte
	for len(text) < keyTextBytes-keySum {
		if _, err := io.ReadFull(rand, pool[:]); err != nil {
			return "", fmt.Errorf("making a key: reading randomness: %w", err)
		}
		for _, b := range pool {
			// 248 is the largest multiple of 62 that fits: taking bytes above it would make the first digits likelier.
			if b < 248 && len(text) < keyTextBytes-keySum {
				text = append(text, base62[b%62])
			}
		}
	}
	sum := keyChecksum(string(text))
	return string(append(text, sum[:]...)), nil
}

func keyChecksum(s string) (digits [keySum]byte) {
	crc := crc32.ChecksumIEEE(bytesOf(s))
	for i := keySum - 1; i >= 0; i-- {
		digits[i] = base62[crc%62]
		crc /= 62
	}
	return digits
}

// HashKey returns what a key is remembered and looked up by: the SHA-256 of its whole text. Keys are random and long, so
// that a slow password hash would add cost and no safety. It allocates nothing.
func HashKey(text string) [32]byte { return sha256.Sum256(bytesOf(text)) }

// bytesOf is s as bytes without the copy that a conversion makes, for functions that only read them.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// HasKeyForm reports whether text has the prefix, length and alphabet of a key. The checksum is not looked at.
func HasKeyForm(text string) bool {
	if len(text) != keyTextBytes || !strings.HasPrefix(text, KeyPrefix) {
		return false
	}
	for i := len(KeyPrefix); i < len(text); i++ {
		if !isBase62(text[i]) {
			return false
		}
	}
	return true
}

// LooksLikeKey reports whether text has the form of a key and its checksum is right, as of every key ever issued.
func LooksLikeKey(text string) bool {
	if !HasKeyForm(text) {
		return false
	}
	sum := keyChecksum(text[:keyTextBytes-keySum])
	return text[keyTextBytes-keySum:] == string(sum[:])
}

// FindKey returns where text of the form of a key begins within s, or -1. A longer run of the same alphabet is no key.
func FindKey(s string) int {
	for at := 0; ; {
		i := strings.Index(s[at:], KeyPrefix)
		if i < 0 {
			return -1
		}
		at += i
		end := at + keyTextBytes
		if end <= len(s) && HasKeyForm(s[at:end]) &&
			(end == len(s) || !isBase62(s[end])) && (at == 0 || !isBase62(s[at-1])) {
			return at
		}
		at += len(KeyPrefix)
	}
}

// MaskKey returns what may be shown of a key so that its owner recognises it: prefix and four characters. Of text that is
// no key it shows nothing.
func MaskKey(text string) string {
	if !HasKeyForm(text) {
		return "…"
	}
	return strings.Clone(text[:len(KeyPrefix)+4]) + "…"
}

func isBase62(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}
