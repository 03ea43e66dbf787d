// Package calllog remembers every call: it copies what is worth keeping out of a finished exchange, leaves the secrets out,
// and writes in batches behind the traffic, so that the path of a request never waits for a disk.
//
// The queue in between is bounded. When the store cannot keep up, allowed calls are dropped first: a quarter of the queue is
// kept free for refusals and failures. Every drop and every loss is counted and shown by Stats; nothing vanishes silently.
package calllog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/record"
	"postern/internal/store"
)

// Options are the settings of a Log. Records is required; the zero value of the rest is right for production.
type Options struct {
	// Records is where records go.
	Records store.Records
	// QueueRecords and QueueBytes bound what waits to be written; default 20,000 records and 64 MiB. At the bound of three
	// quarters allowed calls are dropped, at the whole bound refusals too.
	QueueRecords int
	QueueBytes   int64
	// FlushEvery is how long a record waits for others to be written with; default 200 ms.
	FlushEvery time.Duration
	// RetryFor is how long a batch is tried again while the store fails, before it is counted as lost; default 10 s.
	RetryFor time.Duration
	// KeepFor and KeepRecords bound what the store keeps; default 30 days and 2,000,000. Negative: no bound.
	KeepFor     time.Duration
	KeepRecords int64
	// TrimEvery is how often that is enforced; default a minute.
	TrimEvery time.Duration
	// AllowedFields is the share of allowed calls, 0 to 1, whose header fields are kept; default 0. Refused and failed calls
	// always keep theirs.
	AllowedFields float64
	// AccessLog, when set, gets every record as a line of JSON. It is written by a goroutine of its own; while it is stuck,
	// lines are dropped and counted, and nothing else waits.
	AccessLog io.Writer
	// Now is the clock of retention and Stats; default time.Now.
	Now func() time.Time
	// Logger hears when the store fails and when it works again; default: none.
	Logger *slog.Logger
}

// batchRecords is how many records are one transaction.
const batchRecords = 1000

// recordBytes is what a queued record takes, apart from its text.
const recordBytes = int64(unsafe.Sizeof(record.Record{}))

// Log is the call log. All methods are safe for concurrent use.
type Log struct {
	opts        Options
	allowedMost int64 // queued records at which allowed calls are dropped
	allowedFull int64 // the same in bytes

	shards []shard
	queued atomic.Int64 // records taken in and not yet written or lost
	bytes  atomic.Int64
	spare  sync.Pool // of *batch

	some   chan struct{} // the queue is no longer empty
	full   chan struct{} // a batch is full
	flush  chan chan struct{}
	ending chan struct{} // closed by Close
	ended  chan struct{} // closed when the goroutines are gone
	stop   context.CancelFunc
	once   sync.Once

	tails  tails
	access *accessLog
	stats  counters
}

// shard is one of several queues, so that goroutines on different processors seldom wait for each other.
type shard struct {
	mu     sync.Mutex
	memory memory
	filled []*batch // full, oldest first
	now    *batch
	closed bool
	_      [64]byte
}

// batch is records that are written together.
type batch struct {
	records []record.Record
	bytes   int64
}

// New starts a log.
func New(opts Options) *Log {
	setDefault(&opts.QueueRecords, 20_000)
	setDefault(&opts.QueueBytes, 64<<20)
	setDefault(&opts.FlushEvery, 200*time.Millisecond)
	setDefault(&opts.RetryFor, 10*time.Second)
	setDefault(&opts.TrimEvery, time.Minute)
	if opts.KeepFor == 0 {
		opts.KeepFor = 30 * 24 * time.Hour
	}
	if opts.KeepRecords == 0 {
		opts.KeepRecords = 2_000_000
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	ctx, stop := context.WithCancel(context.Background())
	l := &Log{
		opts:        opts,
		allowedMost: int64(opts.QueueRecords) - int64(opts.QueueRecords)/4,
		allowedFull: opts.QueueBytes - opts.QueueBytes/4,
		shards:      make([]shard, min(8, runtime.GOMAXPROCS(0))),
		some:        make(chan struct{}, 1),
		full:        make(chan struct{}, 1),
		flush:       make(chan chan struct{}),
		ending:      make(chan struct{}),
		ended:       make(chan struct{}),
		stop:        stop,
	}
	if opts.AccessLog != nil {
		l.access = newAccessLog(opts.AccessLog, &l.stats, opts.Logger)
	}
	var workers sync.WaitGroup
	workers.Go(func() { l.write(ctx) })
	workers.Go(func() { l.retain(ctx) })
	go func() {
		workers.Wait()
		close(l.ended)
	}()
	return l
}

func setDefault[T int | int64 | time.Duration](v *T, otherwise T) {
	if *v <= 0 {
		*v = otherwise
	}
}

// Record takes in a finished exchange. It copies what it keeps, does not block, and may be called with an exchange that is
// reused at once. It prices calls to models, and sets x.Cost when it was zero.
func (l *Log) Record(x *gate.Exchange, generation uint64) {
	important := notable(x)
	most, full := l.allowedMost, l.allowedFull
	if important {
		most, full = int64(l.opts.QueueRecords), l.opts.QueueBytes
	}
	// A place is taken before there is anything to put into it: two callers cannot both take the last one.
	n := l.queued.Add(1)
	fields := important || l.opts.AllowedFields > 0 && (l.opts.AllowedFields >= 1 || rand.Float64() < l.opts.AllowedFields)
	if n > most || l.bytes.Load() >= full || !l.put(x, generation, fields) {
		l.queued.Add(-1)
		l.drop(important)
	}
	if n == 1 { // also after a drop: who came in between saw a queue that was not empty, and did not signal
		signal(l.some)
	}
}

// put fills the next record of a shard; false when the log is closed.
func (l *Log) put(x *gate.Exchange, generation uint64, fields bool) bool {
	s := &l.shards[int(x.ID[15])%len(l.shards)]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	if s.now == nil {
		s.now, _ = l.spare.Get().(*batch)
		if s.now == nil {
			s.now = &batch{}
		}
	}
	b := s.now
	if n := len(b.records); n < cap(b.records) {
		b.records = b.records[:n+1] // what lies there is empty: see Log.store
	} else {
		b.records = append(b.records, record.Record{})
	}
	r := &b.records[len(b.records)-1]
	fill(r, x, generation, fields, &s.memory)
	size := recordBytes + textBytes(r)
	b.bytes += size
	l.bytes.Add(size)
	if len(b.records) == batchRecords {
		s.filled, s.now = append(s.filled, b), nil
		signal(l.full)
	}
	return true
}

// textBytes estimates the text of a record.
func textBytes(r *record.Record) int64 {
	n := len(r.Host) + len(r.Path) + len(r.Query) + len(r.Agent) + len(r.Client) + len(r.Peer) + len(r.Fault) + len(r.Target) + 64
	for i := range r.Fields {
		n += len(r.Fields[i].Name) + len(r.Fields[i].Value) + 32
	}
	for i := range r.Steps {
		n += 128
		for _, f := range r.Steps[i].Facts {
			n += len(f.Name) + len(f.Want) + len(f.Got) + 64
		}
	}
	return int64(n + 96*len(r.Attempts))
}

func (l *Log) drop(important bool) {
	if important {
		l.stats.droppedRefused.Add(1)
	} else {
		l.stats.droppedAllowed.Add(1)
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Flush returns when everything that was recorded before has been written, or counted as lost.
func (l *Log) Flush(ctx context.Context) error {
	done := make(chan struct{})
	select {
	case l.flush <- done:
	case <-l.ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-done:
	case <-l.ended:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// Find returns records that a query selects, newest first, those of a moment ago included.
func (l *Log) Find(ctx context.Context, q record.Query) ([]record.Record, error) {
	if err := l.Flush(ctx); err != nil {
		return nil, err
	}
	return l.opts.Records.FindRecords(ctx, q)
}

// Get returns one record, or store.ErrNotFound. Somebody who was refused a moment ago finds out why.
func (l *Log) Get(ctx context.Context, id decision.TraceID) (record.Record, error) {
	r, err := l.opts.Records.Record(ctx, id)
	if !errors.Is(err, store.ErrNotFound) {
		return r, err
	}
	if err := l.Flush(ctx); err != nil {
		return r, err
	}
	return l.opts.Records.Record(ctx, id)
}

// Close takes in nothing more, writes what waits, and ends. When ctx ends first, what is left is counted as lost and the
// error says how much. A second Close waits for the first.
func (l *Log) Close(ctx context.Context) error {
	before := l.stats.lost.Load()
	l.once.Do(func() {
		for i := range l.shards {
			s := &l.shards[i]
			s.mu.Lock()
			s.closed = true
			s.mu.Unlock()
		}
		context.AfterFunc(ctx, l.stop) // ends a write that is waiting for a store that fails
		close(l.ending)
	})
	select {
	case <-l.ended:
	case <-ctx.Done():
		// The writer has been told just now; give it a moment to count what it loses.
		t := time.NewTimer(time.Second)
		defer t.Stop()
		select {
		case <-l.ended:
		case <-t.C:
			return fmt.Errorf("call log: the store did not let go of a write; %d records are lost", l.queued.Load())
		}
	}
	l.tails.close()
	if l.access != nil {
		l.access.close(ctx)
	}
	if n := l.stats.lost.Load() - before; n > 0 {
		return fmt.Errorf("call log: %d records were lost while closing: %s", n, l.Stats().Fault)
	}
	return nil
}
