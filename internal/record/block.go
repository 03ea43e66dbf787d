package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sort"

	"postern/internal/decision"
)

// Block is many records of a short time, as a store keeps them together: a few bytes and a fraction of a microsecond each,
// where a row of its own costs half a kilobyte and ten.
//
// The form is column by column, since the calls of one moment are alike: each text field has the list of its distinct
// texts in Words, by which a query can often pass a block over without reading Rows, and Rows has the places in those
// lists. A column whose records all agree takes no room in Rows. Integers are varints as in encoding/binary.
//
//	IDs    16 bytes a record, ascending
//	Words  version, then a column for each field of texts: number of texts, and each text as its length and its bytes
//	Rows   for each field of texts with two or more of them, a place a record: one byte each with up to 256 texts, else two;
//	       for each field of numbers 0 and the number all records share, or 1 and a zigzag varint a record;
//	       at last, for each record, the header fields: their number, and each name and value as its length and its bytes
//
// Steps and attempts have no place in it: records that have any are those people ask about, and a store gives them rows of
// their own. Times are kept to the millisecond.
type Block struct{ IDs, Words, Rows []byte }

// BlockRecords is how many records a block holds at most.
const BlockRecords = 1000

const blockVersion = 1

// Fields of a record that are texts and numbers, in the order in which a block has its columns. A new field goes to the end,
// with a new version.
const (
	blockTexts   = 28
	blockNumbers = 15
)

// texts points at the fields of r that are texts. The first are those that a Query can name: see wanted.
func (r *Record) texts() [blockTexts]*string {
	return [...]*string{
		&r.Tenant, &r.API, &r.Application, &r.Operation, &r.Key, &r.Reason, &r.Gate, &r.Outcome, &r.Origin, &r.Model,
		&r.Path, &r.Method, &r.Scheme, &r.Host, &r.Query, &r.Proto, &r.Client, &r.Peer, &r.Agent, &r.Version, &r.CallerTenant,
		&r.Rule, &r.Pointer, &r.Upstream, &r.Target, &r.Fault, &r.Currency, &r.PriceVersion,
	}
}

// wanted is what a query asks of the first columns of texts; "" asks nothing.
func (q *Query) wanted() [10]string {
	return [...]string{q.Tenant, q.API, q.Application, q.Operation, q.Key, q.Reason, q.Gate, q.Outcome, q.Origin, q.Model}
}

// numbers returns the fields of r that are numbers. Its time is told by how far it is from that in the id, which is nearly
// always nothing.
func (r *Record) numbers() [blockNumbers]int64 {
	flags := int64(0)
	for i, set := range [...]bool{r.Proven, r.Truncated, r.Stream, r.Estimated, r.Unpriced} {
		if set {
			flags |= 1 << i
		}
	}
	return [...]int64{
		r.Time.UnixMilli() - r.ID.Time().UnixMilli(), int64(r.Generation), r.BytesIn, r.BytesOut, int64(r.Status), int64(r.ReceivedStatus),
		int64(r.Decided), int64(r.FirstByte), int64(r.Took), flags, r.Input, r.CachedInput, r.Output, r.Reasoning, r.Cost,
	}
}

// BlockWriter makes blocks. It keeps its memory from one to the next, and is for one goroutine at a time.
type BlockWriter struct {
	words   [blockTexts]words
	numbers [blockNumbers][]int64
	b       Block
}

// words is a column of texts at work.
type words struct {
	last   string
	at     uint16 // place of last
	list   []string
	places map[string]uint16
	column []uint16
}

func (w *words) reset() {
	w.last, w.at = "", 0
	clear(w.list)
	w.list, w.column = w.list[:0], w.column[:0]
	if len(w.places) > 0 {
		clear(w.places)
	}
}

// add appends a text to the column. Most are that of the record before.
func (w *words) add(s string) {
	if s != w.last || len(w.list) == 0 {
		at, known := w.places[s]
		if !known {
			if w.places == nil {
				w.places = make(map[string]uint16)
			}
			at = uint16(len(w.list))
			w.list, w.places[s] = append(w.list, s), at
		}
		w.last, w.at = s, at
	}
	w.column = append(w.column, w.at)
}

// Write makes a block of at most BlockRecords records, which ascend by their ids. The block is a view, good until the next Write.
func (w *BlockWriter) Write(records []*Record) (Block, error) {
	if len(records) == 0 || len(records) > BlockRecords {
		return Block{}, fmt.Errorf("a block holds 1 to %d records, not %d", BlockRecords, len(records))
	}
	for i := range w.numbers {
		w.numbers[i] = w.numbers[i][:0]
	}
	w.b.IDs = w.b.IDs[:0]
	for _, r := range records {
		w.b.IDs = append(w.b.IDs, r.ID[:]...)
		for i, s := range r.texts() {
			w.words[i].add(*s)
		}
		for i, n := range r.numbers() {
			w.numbers[i] = append(w.numbers[i], n)
		}
	}
	w.b.Words = append(w.b.Words[:0], blockVersion)
	w.b.Rows = w.b.Rows[:0]
	for i := range w.words {
		c := &w.words[i]
		w.b.Words = binary.AppendUvarint(w.b.Words, uint64(len(c.list)))
		for _, s := range c.list {
			w.b.Words = appendText(w.b.Words, s)
		}
		w.b.Rows = appendPlaces(w.b.Rows, c)
		c.reset() // the texts are not kept
	}
	for i := range w.numbers {
		w.b.Rows = appendNumbers(w.b.Rows, w.numbers[i])
	}
	for _, r := range records {
		w.b.Rows = binary.AppendUvarint(w.b.Rows, uint64(len(r.Fields)))
		for i := range r.Fields {
			w.b.Rows = appendText(appendText(w.b.Rows, r.Fields[i].Name), r.Fields[i].Value)
		}
	}
	return w.b, nil
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendPlaces(b []byte, c *words) []byte {
	switch {
	case len(c.list) < 2:
	case len(c.list) <= 256:
		for _, at := range c.column {
			b = append(b, byte(at))
		}
	default:
		for _, at := range c.column {
			b = binary.LittleEndian.AppendUint16(b, at)
		}
	}
	return b
}

func appendNumbers(b []byte, column []int64) []byte {
	same := true
	for _, n := range column {
		same = same && n == column[0]
	}
	if same {
		return binary.AppendVarint(append(b, 0), column[0])
	}
	b = append(b, 1)
	for _, n := range column {
		b = binary.AppendVarint(b, n)
	}
	return b
}

// Len is the number of records.
func (b Block) Len() int { return len(b.IDs) / len(decision.TraceID{}) }

// ID is the id of the n-th record, from 0.
func (b Block) ID(n int) decision.TraceID { return decision.TraceID(b.IDs[16*n:]) }

// Before is how many records of the block come before an id.
func (b Block) Before(id decision.TraceID) int {
	return sort.Search(b.Len(), func(i int) bool { return string(b.IDs[16*i:16*i+16]) >= string(id[:]) })
}

// Has reports whether a record is in the block, and which it is.
func (b Block) Has(id decision.TraceID) (n int, found bool) {
	n = b.Before(id)
	return n, n < b.Len() && b.ID(n) == id
}

// ErrBlock is returned for a block that is damaged, or was written by a version that is not known here.
var ErrBlock = errors.New("a block of call records is damaged or was written by a newer Postern")
