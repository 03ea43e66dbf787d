package record

import (
	"encoding/binary"
	"time"
)

// cursor reads a block's parts. After a fault it is at the end and stays there.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) fail() { c.b, c.bad = nil, true }

func (c *cursor) take(n uint64) []byte {
	if n > uint64(len(c.b)) {
		c.fail()
		return nil
	}
	p := c.b[:n]
	c.b = c.b[n:]
	return p
}

func (c *cursor) uvarint() uint64 {
	v, n := binary.Uvarint(c.b)
	if n <= 0 {
		c.fail()
		return 0
	}
	c.b = c.b[n:]
	return v
}

func (c *cursor) varint() int64 {
	v, n := binary.Varint(c.b)
	if n <= 0 {
		c.fail()
		return 0
	}
	c.b = c.b[n:]
	return v
}

func (c *cursor) byte() byte {
	if p := c.take(1); p != nil {
		return p[0]
	}
	return 0
}

// words reads the head of Words.
func (b Block) words() cursor {
	c := cursor{b: b.Words}
	if c.byte() != blockVersion {
		c.fail()
	}
	return c
}

// May reports whether the block can hold a record that the query selects, by its words alone; times and ids aside. What it
// rules out is certain; what it lets through has still to be read.
func (b Block) May(q *Query) (bool, error) {
	c := b.words()
	for _, want := range q.wanted() {
		if !c.find(func(s []byte) bool { return want == "" || string(s) == want }) {
			return false, c.err()
		}
	}
	if !c.find(func(s []byte) bool { return len(s) >= len(q.Path) && string(s[:len(q.Path)]) == q.Path }) {
		return false, c.err()
	}
	return true, c.err()
}

// find reads one column of words and reports whether one fits.
func (c *cursor) find(fits func([]byte) bool) (found bool) {
	for n := c.uvarint(); n > 0 && !c.bad; n-- {
		s := c.take(c.uvarint())
		found = found || !c.bad && fits(s)
	}
	return found
}

func (c *cursor) err() error {
	if c.bad {
		return ErrBlock
	}
	return nil
}

// Read calls fn with the records of the block from the n-th on that the query selects, oldest first, until fn returns
// false. The record is fn's to keep. Its texts share memory with those of other records of the block.
func (b Block) Read(from int, q *Query, fn func(*Record) bool) error {
	t, err := b.table()
	if err != nil {
		return err
	}
	r := new(Record)
	for i := range t.n {
		*r = Record{ID: b.ID(i)}
		if err := t.next(i, r); err != nil {
			return err
		}
		if i < from || !q.Match(r) {
			continue
		}
		if !fn(r) {
			break
		}
		r = new(Record)
	}
	return nil
}

// Record returns the n-th record.
func (b Block) Record(n int) (r Record, err error) {
	t, err := b.table()
	if err != nil {
		return r, err
	}
	for i := range n + 1 {
		r = Record{ID: b.ID(i)}
		if err := t.next(i, &r); err != nil {
			return r, err
		}
	}
	return r, nil
}

// table is a block opened for reading from its first record to its last.
type table struct {
	n       int
	words   [blockTexts][]string
	places  [blockTexts][]byte // nil: all have the first word
	wide    [blockTexts]bool
	shared  [blockNumbers]int64
	numbers [blockNumbers]*cursor // nil: all share one
	fields  cursor
}

func (b Block) table() (*table, error) {
	t := &table{n: b.Len()}
	if t.n == 0 || t.n > BlockRecords || len(b.IDs)%16 != 0 {
		return nil, ErrBlock
	}
	w, rows := b.words(), cursor{b: b.Rows}
	text := string(w.b) // all words are parts of one string
	for i := range t.words {
		count := w.uvarint()
		if count == 0 || count > uint64(t.n) {
			return nil, ErrBlock
		}
		t.words[i] = make([]string, count)
		for j := range t.words[i] {
			n := w.uvarint()
			at := len(text) - len(w.b)
			w.take(n)
			if w.bad {
				return nil, ErrBlock
			}
			t.words[i][j] = text[at : at+int(n)]
		}
		switch {
		case count < 2:
		case count <= 256:
			t.places[i] = rows.take(uint64(t.n))
		default:
			t.wide[i] = true
			t.places[i] = rows.take(2 * uint64(t.n))
		}
	}
	for i := range t.numbers {
		switch rows.byte() {
		case 0:
			t.shared[i] = rows.varint()
		case 1:
			start := rows.b
			for range t.n {
				rows.varint()
			}
			t.numbers[i] = &cursor{b: start[:len(start)-len(rows.b)]}
		default:
			rows.fail()
		}
		if rows.bad {
			return nil, ErrBlock
		}
	}
	t.fields = rows
	return t, rows.err()
}

// next fills in the i-th record, after all before it.
func (t *table) next(i int, r *Record) error {
	for j, s := range r.texts() {
		place := 0
		switch p := t.places[j]; {
		case p == nil:
		case t.wide[j]:
			place = int(binary.LittleEndian.Uint16(p[2*i:]))
		default:
			place = int(p[i])
		}
		if place >= len(t.words[j]) {
			return ErrBlock
		}
		*s = t.words[j][place]
	}
	n := t.shared
	for j, c := range t.numbers {
		if c != nil {
			n[j] = c.varint()
		}
	}
	r.setNumbers(&n)
	if count := t.fields.uvarint(); count > 0 {
		if count > uint64(len(t.fields.b)) {
			return ErrBlock
		}
		r.Fields = make([]Name, count)
		for j := range r.Fields {
			r.Fields[j] = Name{string(t.fields.take(t.fields.uvarint())), string(t.fields.take(t.fields.uvarint()))}
		}
	}
	return t.fields.err()
}

// setNumbers is the inverse of numbers. r has its id already.
func (r *Record) setNumbers(n *[blockNumbers]int64) {
	r.Time = time.UnixMilli(r.ID.Time().UnixMilli() + n[0]).UTC()
	r.Generation, r.BytesIn, r.BytesOut, r.Status, r.ReceivedStatus = uint64(n[1]), n[2], n[3], int(n[4]), int(n[5])
	r.Decided, r.FirstByte, r.Took = time.Duration(n[6]), time.Duration(n[7]), time.Duration(n[8])
	for i, set := range [...]*bool{&r.Proven, &r.Truncated, &r.Stream, &r.Estimated, &r.Unpriced} {
		*set = n[9]>>i&1 != 0
	}
	r.Input, r.CachedInput, r.Output, r.Reasoning, r.Cost = n[10], n[11], n[12], n[13], n[14]
}
