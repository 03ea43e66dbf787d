package calllog

import (
	"net/netip"
	"strings"
	"unicode/utf8"
	"unsafe"
)

// chunkBytes is how much text is allocated at once.
const chunkBytes = 32 << 10

// arena copies strings into large chunks, so that a call costs a part of one allocation instead of twenty. Bytes once
// written never change and a chunk is never used again, so that records may keep their strings for as long as they like;
// a chunk is freed when the last record that points into it is.
type arena struct{ chunk []byte }

// room makes sure that n bytes fit into the chunk, and returns where they will begin.
func (a *arena) room(n int) int {
	if len(a.chunk)+n > cap(a.chunk) {
		a.chunk = make([]byte, 0, max(chunkBytes, n))
	}
	return len(a.chunk)
}

// since returns what was written from a place on.
func (a *arena) since(at int) string {
	if at == len(a.chunk) {
		return ""
	}
	return unsafe.String(&a.chunk[at], len(a.chunk)-at)
}

// keep copies s.
func (a *arena) keep(s string) string {
	if s == "" {
		return ""
	}
	at := a.room(len(s))
	a.chunk = append(a.chunk, s...)
	return a.since(at)
}

// bounded copies text from outside: at most n bytes, cut with an ellipsis, with U+FFFD for what is no UTF-8 and for NUL,
// which not every database keeps.
func (a *arena) bounded(s string, n int) string {
	n = max(n, 0)
	if plain(s) && len(s) <= n {
		return a.keep(s)
	}
	if len(s) > n {
		s = s[:n]
		for i := 0; i < utf8.UTFMax && s != "" && !utf8.ValidString(s[max(0, len(s)-utf8.UTFMax):]); i++ {
			s = s[:len(s)-1] // do not cut through a character
		}
		s += "…"
	}
	return a.keep(strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD"))
}

func plain(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c == 0 || c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func (a *arena) addr(p netip.Addr) string {
	if !p.IsValid() {
		return ""
	}
	at := a.room(64)
	a.chunk = p.AppendTo(a.chunk)
	return a.since(at)
}

func (a *arena) addrPort(p netip.AddrPort) string {
	if !p.IsValid() {
		return ""
	}
	at := a.room(72)
	a.chunk = p.AppendTo(a.chunk)
	return a.since(at)
}

// slab hands out slices from large ones, as arena does with text.
type slab[T any] struct{ chunk []T }

func (s *slab[T]) take(n int) []T {
	if n == 0 {
		return nil
	}
	if len(s.chunk)+n > cap(s.chunk) {
		s.chunk = make([]T, 0, max(64, n))
	}
	at := len(s.chunk)
	s.chunk = s.chunk[:at+n]
	return s.chunk[at : at+n : at+n]
}

// usual remembers texts of a field that needed no change, since most calls have one of a few: they are neither looked
// through for secrets nor copied again.
type usual struct{ kept [8]string }

// text returns what a record keeps of s: redacted, bounded, and a string of its own.
func (u *usual) text(a *arena, s string, most int) string {
	k := &u.kept[len(s)%len(u.kept)]
	if s == *k {
		return *k
	}
	kept := a.bounded(redactText(s), most)
	if kept == s {
		*k = kept
	}
	return kept
}
