package snapshot_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"postern/internal/counter"
	"postern/internal/gate"
	"postern/internal/gatetest"
	"postern/internal/snapshot"
)

// allowed is a request with key, role and rate limit that passes, and what has to be put back before it is judged again.
func allowed(t testing.TB) (s *snapshot.Snapshot, x *gate.Exchange, again func()) {
	s = compile(t, strings.NewReplacer("requests: 5, per: 1m", "requests: 1000000, per: 1s", "requests: 1000, per: day", "requests: 1000000000, per: day").Replace(shop))
	x = request("GET /orders/v1/orders", withKey, func(x *gate.Exchange) {
		x.Env.Counters = counter.New(counter.Options{})
		now := gatetest.Now
		x.Env.Now = func() time.Time { now = now.Add(time.Second); return now }
	})
	fresh := *x
	return s, x, func() {
		readings, takes := x.Readings[:0], x.Takes[:0]
		x.Trace.Reset()
		*x = fresh
		x.Readings, x.Takes = readings, takes
	}
}

func TestAnAllowedRequestAllocatesNothing(t *testing.T) {
	s, x, again := allowed(t)
	ctx := context.Background()
	judge := func() {
		again()
		if !s.Judge(ctx, x, gate.StopAtFirst).Passed() {
			t.Fatalf("refused: %s", trace(x))
		}
		x.Result.Origin = gate.FromUpstream
		s.Settle(ctx, x)
	}
	judge()
	if n := testing.AllocsPerRun(500, judge); n != 0 {
		t.Errorf("an allowed request costs %v allocations", n)
	}
}

func BenchmarkJudge(b *testing.B) {
	s, x, again := allowed(b)
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		again()
		if !s.Judge(ctx, x, gate.StopAtFirst).Passed() {
			b.Fatalf("refused: %s", trace(x))
		}
		s.Settle(ctx, x)
	}
}
