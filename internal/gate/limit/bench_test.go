package limit_test

import (
	"testing"
	"time"

	"postern/internal/counter"
	"postern/internal/gate"
	"postern/internal/gate/limit"
	"postern/internal/gatetest"
	"postern/internal/llm"
)

// BenchmarkLimit is one request under a rate, a plan's quota and a flood guard, with the counters of the product.
func BenchmarkLimit(b *testing.B) {
	wide, long := *burst, *daily
	wide.Burst, long.Max = 1<<40, 1<<40
	g := limit.New(limit.Config{Limits: []*gate.Limit{&wide, address}, UsePlan: true})
	x := gatetest.Exchange(gatetest.Proven)
	x.Principal.Plan = &gate.Plan{Limits: []*gate.Limit{&long}}
	x.Env.Counters = counter.New(counter.Options{})
	x.Env.Now = time.Now
	b.ReportAllocs()
	for b.Loop() {
		x.Takes, x.Readings = x.Takes[:0], x.Readings[:0]
		if v := g.Check(ctx, x); !v.Passed() {
			b.Fatal("refused")
		}
		g.(gate.Settler).Settle(ctx, x, llm.Usage{})
	}
}
