package admin

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"hash/crc32"
	"strings"
)

// Prefixes of the secrets of the management API. They tell kinds apart, and let secret scanners find them by
// postern_(pat|ses|boot)_[0-9A-Za-z]{38}.
const (
	tokenPrefix     = "postern_pat_"
	sessionPrefix   = "postern_ses_"
	bootstrapPrefix = "postern_boot_"
)

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// newSecret returns prefix, 32 random characters (190 bits) and 6 of a CRC-32 over what precedes, with the hash to keep.
func newSecret(prefix string) (text string, hash [32]byte) {
	var b strings.Builder
	b.WriteString(prefix)
	var buf [64]byte
	for n := 0; n < 32; {
		_, _ = rand.Read(buf[:]) // never fails (Go 1.24)
		for _, c := range buf {
			// 248 is the largest multiple of 62 in a byte: what is above would favour some characters.
			if c < 248 && n < 32 {
				b.WriteByte(base62[c%62])
				n++
			}
		}
	}
	sum := crc32.ChecksumIEEE([]byte(b.String()))
	var check [6]byte
	for i := len(check) - 1; i >= 0; i-- {
		check[i] = base62[sum%62]
		sum /= 62
	}
	text = b.String() + string(check[:])
	return text, sha256.Sum256([]byte(text))
}

// newID returns a kind's letter and 60 random bits: public, unique and of no meaning.
func newID(kind string) string {
	var b [8]byte
	_, _ = rand.Read(b[:])
	return kind + "_" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:]))[:12]
}
