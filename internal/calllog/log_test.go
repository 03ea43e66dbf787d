package calllog

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"go.uber.org/goleak"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/header"
	"postern/internal/record"
	"postern/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var moment = time.Date(2026, 11, 22, 19, 40, 1, 234_000_000, time.UTC)

// exchange is an allowed call, its strings views into one buffer, as on a connection.
func exchange(path string) *gate.Exchange {
	x := &gate.Exchange{
		ID: decision.NewTraceID(moment), Started: moment, Method: "POST", Scheme: "https", Proto: "HTTP/1.1", Host: "api.example.com", Path: path, RawPath: path,
		Peer: netip.MustParseAddrPort("192.0.2.7:4711"), Client: netip.MustParseAddr("198.51.100.9"), Body: gate.NoBody,
		Header:  header.List{{Name: "User-Agent", Value: "shop/1.4"}, {Name: "Accept", Value: "*/*"}},
		Verdict: decision.Pass(nil),
		Result:  gate.Result{Origin: gate.FromUpstream, Status: 200, ReceivedStatus: 200, Upstream: "orders", Target: "http://127.0.0.1:9001", BytesIn: 5, BytesOut: 6, Decided: 1, FirstByte: 2, Done: 3},
	}
	x.Trace.Add("authn", decision.Pass(nil))
	return x
}

func refusal(path string) *gate.Exchange {
	x := exchange(path)
	x.Verdict = decision.Refuse(decision.PermissionMissing, &decision.Rule{ID: "orders#permission", Pointer: "/apis/0"},
		decision.Fact{Name: "permission", Want: "orders:create", Public: decision.ToProven})
	x.Trace.Add("authz", x.Verdict)
	x.Result = gate.Result{Origin: gate.FromGateway, Status: 403}
	return x
}

func newLog(t *testing.T, o Options) *Log {
	t.Helper()
	if o.FlushEvery == 0 {
		o.FlushEvery = time.Hour // tests flush by hand
	}
	l := New(o)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = l.Close(ctx)
	})
	return l
}

func flush(t *testing.T, l *Log) {
	t.Helper()
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestRecordsKeepNothingOfTheExchange(t *testing.T) {
	m := &memoryRecords{}
	l := newLog(t, Options{Records: m, AllowedFields: 1})
	buf := []byte("/orders/first shop-agent X-Thing thing-value k_first shop-web acme")
	for i := range 3 {
		x := refusal("")
		s := unsafe.String(&buf[0], len(buf)) // as http1 makes its views
		x.Path, x.Header = s[0:13], header.List{{Name: "User-Agent", Value: s[14:24]}, {Name: s[25:32], Value: s[33:44]}}
		x.Principal.Key.ID, x.Principal.Application.ID, x.Principal.Tenant.ID = s[45:52], s[53:61], s[62:66]
		x.Verdict = decision.Refuse(decision.PermissionMissing, nil, decision.Fact{Name: "permission", Want: s[0:13], Got: s[45:52]})
		x.Trace.Reset()
		x.Trace.Add("authz", x.Verdict)
		l.Record(x, uint64(i))
		for j := range buf { // the connection reads its next request
			buf[j] = 'Z'
		}
		flush(t, l)
		got := m.all[i]
		if i == 0 {
			want := record.Record{Path: "/orders/first", Agent: "shop-agent", Key: "k_first", Application: "shop-web", CallerTenant: "acme"}
			if got.Path != want.Path || got.Agent != want.Agent || got.Key != want.Key || got.Application != want.Application || got.CallerTenant != want.CallerTenant ||
				got.Fields[1] != (record.Name{Name: "X-Thing", Value: "thing-value"}) || got.Steps[0].Facts[0].Want != "/orders/first" || got.Steps[0].Facts[0].Got != "k_first" {
				t.Errorf("the record changed with the buffer: %+v", got)
			}
		}
	}
	if m.all[0].Path != "/orders/first" || m.all[0].Steps[0].Facts[0].Got != "k_first" {
		t.Errorf("a record that was kept changed later: %+v", m.all[0])
	}
}

func TestAllowedCallsAreDroppedBeforeRefusals(t *testing.T) {
	m := &memoryRecords{gate: make(chan struct{})}
	l := newLog(t, Options{Records: m, QueueRecords: 8})
	for i := range 10 {
		l.Record(exchange(fmt.Sprint("/allowed/", i)), 1)
	}
	for i := range 5 {
		l.Record(refusal(fmt.Sprint("/refused/", i)), 1)
	}
	if st := l.Stats(); st.Queued != 8 || st.DroppedAllowed != 4 || st.DroppedRefused != 3 {
		t.Errorf("%+v; want 8 queued (6 allowed, 2 refused), 4 and 3 dropped", st)
	}
	close(m.gate)
	flush(t, l)
	if got := m.paths(); len(got) != 8 || !slices.Contains(got, "/refused/1") || !slices.Contains(got, "/allowed/5") {
		t.Errorf("written: %v", got)
	}
	l.Record(exchange("/again"), 1) // there is room again
	flush(t, l)
	if st := l.Stats(); st.Written != 9 || st.Queued != 0 || st.QueuedBytes != 0 {
		t.Errorf("%+v; want 9 written and nothing queued", st)
	}
}

func TestTheQueueIsBoundedInBytes(t *testing.T) {
	m := &memoryRecords{gate: make(chan struct{})}
	l := newLog(t, Options{Records: m, QueueBytes: 100_000})
	for range 1000 {
		l.Record(refusal("/"+strings.Repeat("x", 1900)), 1)
	}
	if st := l.Stats(); st.QueuedBytes > 110_000 || st.Queued > 50 || st.DroppedRefused != 1000-st.Queued {
		t.Errorf("%+v; want about 100 kB queued and the rest counted", st)
	}
	close(m.gate)
}

func TestEveryCallIsCountedOnce(t *testing.T) {
	m := &memoryRecords{}
	l := newLog(t, Options{Records: m, QueueRecords: 300, FlushEvery: time.Millisecond})
	var wg sync.WaitGroup
	const callers, each = 8, 2000
	for c := range callers {
		wg.Go(func() {
			for i := range each {
				if (c+i)%5 == 0 {
					l.Record(refusal("/r"), 1)
				} else {
					l.Record(exchange("/a"), 1)
				}
			}
		})
	}
	wg.Wait()
	flush(t, l)
	st := l.Stats()
	if sum := st.Written + st.DroppedAllowed + st.DroppedRefused + st.Lost; sum != callers*each || st.Written != int64(len(m.all)) || st.Queued != 0 || st.QueuedBytes != 0 {
		t.Errorf("%+v: %d calls are accounted for, %d stored; want %d", st, sum, len(m.all), callers*each)
	}
	if most := slices.Max(m.batches); most > batchRecords {
		t.Errorf("a batch of %d", most)
	}
}

func TestAFullBatchIsWrittenWithoutWaiting(t *testing.T) {
	m := &memoryRecords{}
	l := newLog(t, Options{Records: m})
	tail := l.Tail(t.Context(), record.Query{})
	id := decision.NewTraceID(moment)
	for range batchRecords {
		x := exchange("/a")
		x.ID = id // one shard
		l.Record(x, 1)
	}
	select {
	case <-tail:
	case <-time.After(20 * time.Second):
		t.Fatal("a full batch waited for the timer")
	}
}

func TestASingleRecordIsWrittenSoon(t *testing.T) {
	m := &memoryRecords{}
	l := newLog(t, Options{Records: m, FlushEvery: time.Millisecond})
	tail := l.Tail(t.Context(), record.Query{})
	for i := range 20 { // the writer falls asleep in between
		l.Record(exchange(fmt.Sprint("/", i)), 1)
		select {
		case r := <-tail:
			if r.Path != fmt.Sprint("/", i) {
				t.Fatalf("record %q", r.Path)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("record %d was never written", i)
		}
	}
}

func TestTheStoreIsTriedAgain(t *testing.T) {
	m := &memoryRecords{fail: errors.New("disk full")}
	l := newLog(t, Options{Records: m, RetryFor: time.Minute})
	l.Record(refusal("/r"), 1)
	done := make(chan error, 1)
	go func() { done <- l.Flush(context.Background()) }()
	for l.Stats().Fault == "" {
		time.Sleep(time.Millisecond)
	}
	m.set(func() { m.fail = nil })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if st := l.Stats(); st.Written != 1 || st.Lost != 0 || st.Fault != "" {
		t.Errorf("%+v; want it written in the end", st)
	}
}

func TestWhatCannotBeStoredIsCountedAsLost(t *testing.T) {
	m := &memoryRecords{fail: errors.New("disk full")}
	l := newLog(t, Options{Records: m, RetryFor: time.Millisecond})
	l.Record(refusal("/r"), 1)
	flush(t, l)
	if st := l.Stats(); st.Lost != 1 || st.Queued != 0 || st.Fault != "disk full" || st.Since.IsZero() {
		t.Errorf("%+v; want one lost and why", st)
	}
	m.set(func() { m.fail = nil })
	l.Record(refusal("/r"), 1)
	flush(t, l)
	if st := l.Stats(); st.Lost != 1 || st.Written != 1 || st.Fault != "" {
		t.Errorf("%+v; want the next one written", st)
	}
}

func TestCloseWritesWhatWaits(t *testing.T) {
	m := &memoryRecords{}
	l := newLog(t, Options{Records: m})
	for range 100 {
		l.Record(exchange("/a"), 1)
	}
	tail := l.Tail(t.Context(), record.Query{Path: "/none"})
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(t.Context()); err != nil {
		t.Errorf("closed twice: %v", err)
	}
	if _, open := <-tail; open {
		t.Error("a tail was not ended")
	}
	if _, open := <-l.Tail(t.Context(), record.Query{}); open {
		t.Error("a tail of a closed log is open")
	}
	l.Record(exchange("/late"), 1)
	if st := l.Stats(); len(m.all) != 100 || st.Written != 100 || st.DroppedAllowed != 1 || st.Queued != 0 {
		t.Errorf("%d stored, %+v; want 100 and the late one dropped", len(m.all), st)
	}
	if err := l.Flush(t.Context()); err != nil {
		t.Errorf("flush of a closed log: %v", err)
	}
}

func TestCloseKeepsItsDeadline(t *testing.T) {
	for name, m := range map[string]*memoryRecords{
		"the store is stuck": {gate: make(chan struct{})},
		"the store fails":    {fail: errors.New("disk full")},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLog(t, Options{Records: m, RetryFor: time.Hour})
			for range 3 {
				l.Record(exchange("/a"), 1)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			defer cancel()
			if err := l.Close(ctx); err == nil || !strings.Contains(err.Error(), "3 records") {
				t.Errorf("error %v, want that three records are lost", err)
			}
			if st := l.Stats(); st.Lost != 3 || st.Queued != 0 {
				t.Errorf("%+v", st)
			}
		})
	}
}

func TestARecordOfAMomentAgoIsFound(t *testing.T) {
	m := &memoryRecords{}
	l := newLog(t, Options{Records: m})
	x := refusal("/r")
	l.Record(x, 1)
	if r, err := l.Get(t.Context(), x.ID); err != nil || r.Path != "/r" {
		t.Errorf("%+v, %v", r, err)
	}
	l.Record(refusal("/s"), 1)
	if all, err := l.Find(t.Context(), record.Query{Reason: "authz.permission_missing"}); err != nil || len(all) != 2 {
		t.Errorf("%d found, %v", len(all), err)
	}
	if _, err := l.Get(t.Context(), decision.NewTraceID(moment)); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("an unknown id: %v", err)
	}
}

func TestTail(t *testing.T) {
	l := newLog(t, Options{Records: &memoryRecords{fail: errors.New("down")}, RetryFor: time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	refused := l.Tail(ctx, record.Query{Outcome: "refused", Limit: 1, Before: decision.TraceID{1}})
	all := l.Tail(t.Context(), record.Query{})
	l.Record(exchange("/a"), 1)
	l.Record(refusal("/r"), 1)
	flush(t, l) // also what the store does not take is shown
	if r := <-refused; r.Path != "/r" {
		t.Errorf("got %q", r.Path)
	}
	if len(all) != 2 {
		t.Errorf("%d records in the tail of all, want 2", len(all))
	}
	cancel()
	if _, open := <-refused; open {
		t.Error("more than what was asked for")
	}
	for range tailRecords + 10 { // nobody reads
		l.Record(exchange("/a"), 1)
	}
	flush(t, l)
	if st := l.Stats(); st.TailDropped != 12 || len(all) != tailRecords {
		t.Errorf("%d dropped, %d waiting; want 12 and %d", st.TailDropped, len(all), tailRecords)
	}
}

// stuck is a pipe whose reader sleeps until it is let go.
type stuck struct {
	begun, let chan struct{}
	bytes.Buffer
}

func (s *stuck) Write(p []byte) (int, error) {
	select {
	case s.begun <- struct{}{}:
	default:
	}
	<-s.let
	return s.Buffer.Write(p)
}

func TestAccessLog(t *testing.T) {
	m, out := &memoryRecords{}, &stuck{begun: make(chan struct{}, 1), let: make(chan struct{})}
	l := newLog(t, Options{Records: m, AccessLog: out})
	for i := range accessQueue + 4 { // one is being written, some wait, the rest is dropped; the store gets all
		l.Record(refusal(fmt.Sprint("/", i)), 1)
		flush(t, l)
		if i == 0 {
			<-out.begun
		}
	}
	if st := l.Stats(); st.AccessDropped != 3 || st.Written != accessQueue+4 {
		t.Errorf("%+v; want 3 lines dropped and everything stored", st)
	}
	close(out.let)
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(&out.Buffer)
	for i := range accessQueue + 1 {
		var r record.Record
		if err := dec.Decode(&r); err != nil || r.Path != fmt.Sprint("/", i) || r.Reason != "authz.permission_missing" {
			t.Errorf("line %d: %+v, %v", i, r, err)
		}
	}
	if dec.More() {
		t.Error("more lines than records")
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestABrokenAccessLogIsCounted(t *testing.T) {
	l := newLog(t, Options{Records: &memoryRecords{}, AccessLog: brokenPipe{}})
	l.Record(exchange("/a"), 1)
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if st := l.Stats(); st.AccessDropped != 1 || st.Written != 1 {
		t.Errorf("%+v", st)
	}
}

func TestRetention(t *testing.T) {
	m := &memoryRecords{trims: make(chan [2]int64)}
	l := newLog(t, Options{Records: m, TrimEvery: time.Millisecond, KeepFor: time.Hour, KeepRecords: 9, Now: func() time.Time { return moment }})
	if got := <-m.trims; got != [2]int64{moment.Add(-time.Hour).Unix(), 9} {
		t.Errorf("trimmed by %v", got)
	}
	<-m.trims
	if st := l.Stats(); st.Trimmed < 3 {
		t.Errorf("%d trimmed", st.Trimmed)
	}
	go func() {
		for range m.trims { // until the log is closed
		}
	}()
	if err := l.Close(t.Context()); err != nil {
		t.Error(err)
	}
	close(m.trims)
}
