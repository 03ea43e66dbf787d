package directory

import (
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"
)

// table is a hash table of rows without pointers: open addressing with linear probing over slots that hold part of the hash
// and the row's number. Rows and their text lie in two slices, which the garbage collector does not look into. The owner of
// a table locks it.
type table[R any] struct {
	slots []slot
	rows  []R
	free  []uint32
	text  []byte // of all rows, one after another; bytes once written never change, so that strings may point at them
	waste int    // bytes of text that no row uses any more
}

type slot struct {
	tag uint32 // decides where the slot is
	row uint32 // number of the row plus one; 0: the slot is empty
}

func (t *table[R]) size() int { return len(t.rows) - len(t.free) }

// first is where rows with that tag begin; after is the slot behind.
func (t *table[R]) first(tag uint32) int { return int(tag) & (len(t.slots) - 1) }
func (t *table[R]) after(i int) int      { return (i + 1) & (len(t.slots) - 1) }

// insert makes room for a row with that tag and returns it. The row may hold old values: the caller sets all of it.
func (t *table[R]) insert(tag uint32) *R {
	if (t.size()+1)*8 > len(t.slots)*7 {
		t.grow()
	}
	var n uint32
	if last := len(t.free) - 1; last >= 0 {
		n, t.free = t.free[last], t.free[:last]
	} else {
		if len(t.rows) == cap(t.rows) { // an eighth more at a time: doubling would leave up to half of a million rows unused
			t.rows = slices.Grow(t.rows, max(4, len(t.rows)/8))
		}
		var zero R
		n, t.rows = uint32(len(t.rows)), append(t.rows, zero)
	}
	t.place(slot{tag, n + 1})
	return &t.rows[n]
}

func (t *table[R]) place(s slot) {
	i := t.first(s.tag)
	for t.slots[i].row != 0 {
		i = t.after(i)
	}
	t.slots[i] = s
}

func (t *table[R]) grow() {
	old := t.slots
	t.slots = make([]slot, max(8, 2*len(old)))
	for _, s := range old {
		if s.row != 0 {
			t.place(s)
		}
	}
}

// remove empties slot i and moves up those behind that would no longer be found.
func (t *table[R]) remove(i int) {
	t.free = append(t.free, t.slots[i].row-1)
	for j := t.after(i); t.slots[j].row != 0; j = t.after(j) {
		home := t.first(t.slots[j].tag)
		// The slot may move to i unless its home lies between i (exclusive) and j, going round.
		if (j-home)&(len(t.slots)-1) >= (j-i)&(len(t.slots)-1) {
			t.slots[i] = t.slots[j]
			i = j
		}
	}
	t.slots[i] = slot{}
}

// write appends text and returns where it begins.
func (t *table[R]) write(parts ...string) uint32 {
	at := len(t.text)
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	if at+n > cap(t.text) {
		t.text = slices.Grow(t.text, n+len(t.text)/8)
	}
	for _, p := range parts {
		t.text = append(t.text, p...)
	}
	return uint32(at)
}

// read returns the text from at on as a string without copying it. See write: these bytes never change.
func (t *table[R]) read(at uint32, n int) string {
	if n == 0 {
		return ""
	}
	return unsafe.String(&t.text[at], n)
}

// crowded reports whether so much text is unused that the owner should write it anew (see rewrite).
func (t *table[R]) crowded() bool { return t.waste > 4096 && t.waste > len(t.text)/2 }

// rewrite copies the text of every row into a new slice. Strings handed out keep the old one alive as long as they need it.
// move is given each row and a function that carries over n bytes beginning at a place and returns the new place.
func (t *table[R]) rewrite(move func(row *R, carry func(at uint32, n int) uint32)) {
	old := t.text
	t.text, t.waste = make([]byte, 0, len(old)-t.waste), 0
	carry := func(at uint32, n int) uint32 {
		to := len(t.text)
		t.text = append(t.text, old[at:int(at)+n]...)
		return uint32(to)
	}
	for _, s := range t.slots {
		if s.row != 0 {
			move(&t.rows[s.row-1], carry)
		}
	}
}

// words numbers strings that occur many times. Reading needs no lock. Words stay until the next load.
type words struct {
	mu      sync.Mutex
	numbers map[string]uint32
	list    atomic.Pointer[[]string]
}

func (w *words) init() {
	w.numbers = map[string]uint32{"": 0}
	w.list.Store(&[]string{""})
}

func (w *words) number(s string) uint32 {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n, ok := w.numbers[s]; ok {
		return n
	}
	list := *w.list.Load()
	n := uint32(len(list))
	s = strings.Clone(s)
	list = append(list, s) // readers of the old slice do not see what lies behind its end
	w.list.Store(&list)
	w.numbers[s] = n
	return n
}

func (w *words) text(n uint32) string { return (*w.list.Load())[n] }

// sets numbers lists of names in the same way: keys have few different scopes.
type sets struct {
	mu      sync.Mutex
	numbers map[string]uint32
	list    atomic.Pointer[[][]string]
}

// No list and an empty list are two things: not limited, and limited to nothing.
func (s *sets) init() {
	s.numbers = map[string]uint32{}
	s.list.Store(&[][]string{nil, {}})
}

func (s *sets) number(names []string) uint32 {
	switch {
	case names == nil:
		return 0
	case len(names) == 0:
		return 1
	}
	var key []byte
	for _, n := range names {
		key = append(key, byte(len(n)>>16), byte(len(n)>>8), byte(len(n))) // lengths in front: no two lists have one key
		key = append(key, n...)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n, ok := s.numbers[string(key)]; ok {
		return n
	}
	mine := make([]string, len(names))
	for i := range names {
		mine[i] = strings.Clone(names[i])
	}
	list := *s.list.Load()
	n := uint32(len(list))
	list = append(list, mine)
	s.list.Store(&list)
	s.numbers[string(key)] = n
	return n
}

func (s *sets) set(n uint32) []string { return (*s.list.Load())[n] }

// Times are milliseconds since 1970; the zero time, which means "never" or "not", has a number of its own.
const noTime = math.MinInt64

func toMillis(t time.Time) int64 {
	if t.IsZero() {
		return noTime
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == noTime {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
