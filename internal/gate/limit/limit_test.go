package limit_test

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/gate/limit"
	"postern/internal/gatetest"
	"postern/internal/llm"
)

var (
	ctx = context.Background()

	burst   = &gate.Limit{ID: "orders/v1#burst", Name: "burst", Kind: gate.LimitRate, Max: 10, Period: time.Minute, Burst: 2, Pointer: "/apis/0/versions/0/limits/0"}
	daily   = &gate.Limit{ID: "plan/gold#daily", Name: "daily", Kind: gate.LimitQuota, Max: 3, Unit: gate.Day, Zone: time.UTC, Pointer: "/plans/gold/limits/0"}
	trial   = &gate.Limit{ID: "plan/gold#trial", Name: "trial", Kind: gate.LimitQuota, Max: 1, Unit: gate.Hour, Shadow: true, Pointer: "/plans/gold/limits/1"}
	address = &gate.Limit{ID: "flood", Name: "flood", Kind: gate.LimitRate, Max: 1 << 40, Period: time.Second, Burst: 1 << 40, By: gate.ByAddress, Pointer: "/flood_guard/0"}
	lenient = &gate.Limit{ID: "lenient", Name: "lenient", Kind: gate.LimitRate, Max: 5, Period: time.Second, Burst: 5, PassUnavailable: true}

	shop = gate.Subject{Name: "shop-web"}
)

func newGate() gate.Gate {
	return limit.New(limit.Config{Limits: []*gate.Limit{burst}, UsePlan: true})
}

// gold makes shop-web the caller, on the plan gold.
func gold(x *gate.Exchange) {
	gatetest.Proven(x)
	x.Principal.Plan = &gate.Plan{Name: "gold", Limits: []*gate.Limit{trial, daily}}
}

// after makes x the caller's next exchange after n that passed, with the limits given.
func after(n int, limits ...*gate.Limit) func(*gate.Exchange) {
	return func(x *gate.Exchange) {
		gold(x)
		for range n {
			y := gatetest.Exchange(gold)
			y.Env.Counters = x.Env.Counters
			if v := limit.New(limit.Config{Limits: limits, UsePlan: true}).Check(ctx, y); !v.Passed() {
				panic("the set-up was refused: " + v.Render(decision.ToOperator).Detail)
			}
		}
	}
}

func says(proven, anyone string, retry time.Duration) func(*testing.T, *gate.Exchange, decision.Verdict) {
	return func(t *testing.T, x *gate.Exchange, v decision.Verdict) {
		t.Helper()
		if got := v.Render(decision.ToProven).Detail; got != proven {
			t.Errorf("the caller is told %q, want %q", got, proven)
		}
		if got := v.Render(decision.ToAnyone).Detail; got != anyone {
			t.Errorf("anyone is told %q, want %q", got, anyone)
		}
		if x.RetryAfter != retry {
			t.Errorf("Retry-After is %v, want %v", x.RetryAfter, retry)
		}
		if len(x.Readings) != 2 || x.Readings[0].Limit != burst || x.Readings[1].Limit != daily {
			t.Errorf("readings %+v, want those of both limits that bind", x.Readings)
		}
		if len(x.Takes) != 0 {
			t.Error("refused, and yet something is to be returned")
		}
	}
}

func TestLimit(t *testing.T) {
	outage := func(x *gate.Exchange) { gold(x); gatetest.Outage(x) }
	gatetest.Run(t, gatetest.Suite{
		Name: "limit",
		New:  func() gate.Gate { return limit.New(limit.Config{Limits: []*gate.Limit{address}, UsePlan: true}) },
		Pass: func(x *gate.Exchange) {
			gatetest.Proven(x)
			// The suite runs one passing exchange hundreds of times.
			wide, long, shadow := *burst, *daily, *trial
			wide.Burst, long.Max, shadow.Max = 1<<40, 1<<40, 1<<40
			x.Principal.Plan = &gate.Plan{Limits: []*gate.Limit{&wide, &long, &shadow}}
		},
		Refusals: []gatetest.Case{
			{Name: "rate", New: newGate, Setup: after(2, burst), Reason: decision.LimitRate, Check: says(
				"More than 10 requests per minute: the next is allowed in 90 seconds.",
				"More than the allowed number of requests: the next is allowed in 90 seconds.", 90*time.Second)},
			{Name: "quota of the plan", New: newGate, Setup: after(3), Reason: decision.LimitQuota, Check: says(
				"The quota of 3 requests per day is used up; it starts anew at 2026-03-04T13:00:00Z.",
				"The quota of requests is used up; it starts anew at the end of its period.", 90*time.Second)},
		},
		Outages: []gatetest.Case{
			{Name: "counters", New: newGate, Setup: outage, Reason: decision.LimitUnavailable},
			{Name: "one of two may not pass uncounted", Setup: outage, Reason: decision.LimitUnavailable,
				New: func() gate.Gate { return limit.New(limit.Config{Limits: []*gate.Limit{lenient, burst}}) }},
		},
	})
}

func TestRefusedByOneTakesFromNone(t *testing.T) {
	x := gatetest.Exchange(after(2, burst))
	newGate().Check(ctx, x)
	c := gatetest.CountersOf(x)
	if c.Used(daily.ID, shop) != 2 || c.Used(burst.ID, shop) != 2 {
		t.Errorf("used %d and %d, want 2 and 2", c.Used(daily.ID, shop), c.Used(burst.ID, shop))
	}
}

func TestAShadowLimitCountsAndDoesNotRefuse(t *testing.T) {
	counters := gatetest.NewCounters()
	for i, want := range []decision.Outcome{decision.OutcomePass, decision.OutcomeShadow, decision.OutcomeRefuse} {
		x := gatetest.Exchange(gold)
		x.Env.Counters = counters
		v := newGate().Check(ctx, x)
		if v.Outcome() != want {
			t.Fatalf("request %d: got %v, want %v", i+1, v.Outcome(), want)
		}
		if want == decision.OutcomeShadow {
			if v.Reason() != decision.LimitQuota || v.Rule().ID != trial.ID || x.RetryAfter != 0 {
				t.Errorf("the shadow says %s of %s, Retry-After %v", v.Reason().Code, v.Rule().ID, x.RetryAfter)
			}
			if len(x.Readings) != 2 {
				t.Errorf("readings %+v: a limit that does not bind is none of the caller's business", x.Readings)
			}
		}
	}
	if counters.Used(trial.ID, shop) != 1 || counters.Used(daily.ID, shop) != 2 || counters.Used(burst.ID, shop) != 2 {
		t.Errorf("used trial %d, daily %d, burst %d", counters.Used(trial.ID, shop), counters.Used(daily.ID, shop), counters.Used(burst.ID, shop))
	}
}

func TestWhoIsCounted(t *testing.T) {
	by := func(b gate.LimitBy) *gate.Limit { return &gate.Limit{ID: "x", By: b, Kind: gate.LimitRate, Burst: 9} }
	v4, v6 := netip.MustParseAddr("192.0.2.9"), netip.MustParseAddr("2001:db8:1:2:3:4:5:6")
	for _, c := range []struct {
		name  string
		limit *gate.Limit
		setup func(*gate.Exchange)
		want  gate.Subject
	}{
		{"application", by(gate.ByApplication), gatetest.Proven, shop},
		{"key", by(gate.ByKey), gatetest.Proven, gate.Subject{Name: "k_live"}},
		{"tenant", by(gate.ByTenant), gatetest.Proven, gate.Subject{Name: "acme"}},
		{"everyone", by(gate.ByEveryone), gatetest.Proven, gate.Subject{}},
		{"address", by(gate.ByAddress), func(x *gate.Exchange) { gatetest.Proven(x); x.Client = v4 }, gate.Subject{Addr: v4}},
		{"address, IPv6", by(gate.ByAddress), func(x *gate.Exchange) { x.Client = v6 }, gate.Subject{Addr: netip.MustParseAddr("2001:db8:1:2::")}},
		{"address, IPv4 in IPv6", by(gate.ByAddress), func(x *gate.Exchange) { x.Client = netip.AddrFrom16(v4.As16()) }, gate.Subject{Addr: v4}},
		{"address with a zone", by(gate.ByAddress), func(x *gate.Exchange) { x.Client = netip.MustParseAddr("fe80::1%eth0") }, gate.Subject{Addr: netip.MustParseAddr("fe80::")}},
		{"address not known: the peer", by(gate.ByAddress), func(x *gate.Exchange) { x.Client = netip.Addr{} }, gate.Subject{Addr: netip.MustParseAddr("198.51.100.7")}},
		{"no address at all", by(gate.ByAddress), func(x *gate.Exchange) { x.Client, x.Peer = netip.Addr{}, netip.AddrPort{} }, gate.Subject{}},
		{"nobody proven: the address", by(gate.ByApplication), func(x *gate.Exchange) { x.Client = v4 }, gate.Subject{Addr: v4}},
		{"no key: the application", by(gate.ByKey), func(x *gate.Exchange) { gatetest.Proven(x); x.Principal.Key.ID = "" }, shop},
	} {
		x := gatetest.Exchange(c.setup)
		limit.New(limit.Config{Limits: []*gate.Limit{c.limit}}).Check(ctx, x)
		if len(x.Takes) != 1 || x.Takes[0].Subject != c.want {
			t.Errorf("%s: took %+v, want from %+v", c.name, x.Takes, c.want)
		}
	}
}

func TestUnitsComeBackOnlyWhenNothingWasSent(t *testing.T) {
	refused := func(r *decision.Reason) decision.Verdict { return decision.Refuse(r, nil) }
	tried := func(o gate.Origin, reasons ...*decision.Reason) gate.Result {
		r := gate.Result{Origin: o, Target: "http://127.0.0.1:1"}
		for _, reason := range reasons {
			r.Attempts = append(r.Attempts, gate.Attempt{Target: r.Target, Reason: reason})
		}
		return r
	}
	for _, c := range []struct {
		name    string
		verdict decision.Verdict
		result  gate.Result
		used    llm.Usage
		back    bool
	}{
		{"a later gate refused", refused(decision.SchemaBody), gate.Result{Origin: gate.FromGateway}, llm.Usage{}, true},
		{"a later gate refused, result not yet set", refused(decision.ModelUnknown), gate.Result{}, llm.Usage{}, true},
		{"a later gate did not know", decision.Abstain(decision.PromptUnreadable, nil), gate.Result{Origin: gate.FromGateway}, llm.Usage{}, true},
		{"unknown without a reason", decision.Abstain(nil, nil), gate.Result{Origin: gate.FromGateway}, llm.Usage{}, false},
		{"no healthy target", refused(decision.UpstreamNoneHealthy), gate.Result{Origin: gate.FromUnreachable}, llm.Usage{}, true},
		{"circuit open", refused(decision.UpstreamCircuitOpen), gate.Result{Origin: gate.FromUnreachable}, llm.Usage{}, true},
		{"the body was too large", refused(decision.RequestTooLarge), gate.Result{Origin: gate.FromGateway}, llm.Usage{}, true},
		{"the client left before an attempt", refused(decision.ClientGone), gate.Result{Origin: gate.FromGateway}, llm.Usage{}, true},
		{"name not found", refused(decision.UpstreamDNS), tried(gate.FromUnreachable, decision.UpstreamDNS), llm.Usage{}, true},
		{"names not found", refused(decision.UpstreamDNS), tried(gate.FromUnreachable, decision.UpstreamDNS, decision.UpstreamDNS), llm.Usage{}, true},
		{"name not found after a broken connection", refused(decision.UpstreamDNS), tried(gate.FromUnreachable, decision.UpstreamUnreachable, decision.UpstreamDNS), llm.Usage{}, false},
		{"circuit opened after an attempt", refused(decision.UpstreamCircuitOpen), tried(gate.FromUnreachable, decision.UpstreamTimeout), llm.Usage{}, false},
		{"passed", decision.Pass(nil), gate.Result{Origin: gate.FromUpstream, ReceivedStatus: 200}, llm.Usage{}, false},
		{"upstream refused", refused(decision.UpstreamRefused), gate.Result{Origin: gate.FromUpstream, ReceivedStatus: 403}, llm.Usage{}, false},
		{"the body turned malformed half way to the upstream", refused(decision.RequestMalformed), tried(gate.FromGateway, decision.RequestMalformed), llm.Usage{}, false},
		{"connection broke", refused(decision.UpstreamUnreachable), tried(gate.FromUnreachable, decision.UpstreamUnreachable), llm.Usage{}, false},
		{"client gone", refused(decision.ClientGone), tried(gate.FromGateway, decision.ClientGone), llm.Usage{}, false},
		{"an attempt that was never noted", refused(decision.ClientGone), gate.Result{Target: "http://127.0.0.1:1"}, llm.Usage{}, false},
		{"fault of the gateway", refused(decision.GatewayFault), gate.Result{Origin: gate.FromGateway}, llm.Usage{}, false},
		{"nothing decided", decision.Verdict{}, gate.Result{Origin: gate.FromGateway}, llm.Usage{}, false},
		{"answered here", decision.Answered(nil), gate.Result{Origin: gate.FromGateway}, llm.Usage{}, false},
		{"the firewall's engine failed", refused(decision.WAFUnavailable), gate.Result{Origin: gate.FromGateway}, llm.Usage{}, true},
		{"an attack cost an inspection", refused(decision.WAFBlocked), gate.Result{Origin: gate.FromGateway}, llm.Usage{}, false},
		{"tokens were used", refused(decision.SchemaBody), gate.Result{Origin: gate.FromGateway}, llm.Usage{Input: 1}, false},
	} {
		x := gatetest.Exchange(gold)
		chain := gate.Chain{
			{Name: "limit", Gate: limit.New(limit.Config{Limits: []*gate.Limit{address}})}, // the flood guard
			{Name: "limit", Gate: newGate()},
		}
		if v := chain.Run(ctx, x, gate.StopAtFirst); !v.Passed() {
			t.Fatal("refused")
		}
		x.Verdict, x.Result = c.verdict, c.result
		chain.Settle(ctx, x, c.used)
		left := int64(1)
		if c.back {
			left = 0
		}
		counters := gatetest.CountersOf(x)
		for _, l := range []*gate.Limit{burst, daily, trial} {
			if got := counters.Used(l.ID, shop); got != left {
				t.Errorf("%s: %d of %s used, want %d", c.name, got, l.Name, left)
			}
		}
		if got := counters.Used(address.ID, gate.Subject{Addr: x.Client}); got != 1 {
			t.Errorf("%s: the flood guard gave its unit back", c.name)
		}
		writes := counters.Writes()
		chain.Settle(ctx, x, c.used)
		newGate().(gate.Settler).Settle(ctx, x, c.used)
		if counters.Writes() != writes {
			t.Errorf("%s: settled twice", c.name)
		}
	}
}

func TestAFloodGuardCountsRequestsThatAreRefusedLater(t *testing.T) {
	x := gatetest.Exchange()
	five := *address
	five.Burst = 5
	chain := gate.Chain{{Name: "limit", Gate: limit.New(limit.Config{Limits: []*gate.Limit{&five}})}}
	for range 5 {
		y := gatetest.Exchange()
		y.Env = x.Env
		y.Verdict = decision.Refuse(decision.CredentialRejected, nil)
		chain.Run(ctx, y, gate.StopAtFirst)
		chain.Settle(ctx, y, llm.Usage{})
	}
	if v := chain.Run(ctx, x, gate.StopAtFirst); v.Reason() != decision.LimitRate {
		t.Errorf("five rejected keys from one address, and the sixth request is judged %v", v.Outcome())
	}
}

func TestWithoutCountersNothingPasses(t *testing.T) {
	x := gatetest.Exchange(gold)
	x.Env.Counters = nil
	if v := newGate().Check(ctx, x); v.Reason() != decision.LimitUnavailable || x.RetryAfter == 0 {
		t.Errorf("got %v", v.Outcome())
	}
}

func TestPassUnavailable(t *testing.T) {
	x := gatetest.Exchange(gatetest.Proven, gatetest.Outage)
	v := limit.New(limit.Config{Limits: []*gate.Limit{lenient, trial}}).Check(ctx, x)
	if v.Outcome() != decision.OutcomePass || v.Rule() == nil || v.Rule().ID != "lenient#uncounted" {
		t.Errorf("got %v by %+v", v.Outcome(), v.Rule())
	}
	if len(x.Takes)+len(x.Readings) != 0 || x.RetryAfter != 0 {
		t.Error("nothing was counted, and yet there are takes or readings")
	}
}

func TestWithoutLimitsCountersAreNotAsked(t *testing.T) {
	x := gatetest.Exchange(gatetest.Proven, gatetest.Outage)
	if v := limit.New(limit.Config{UsePlan: true}).Check(ctx, x); v.Outcome() != decision.OutcomePass {
		t.Errorf("got %v", v.Outcome())
	}
	x = gatetest.Exchange(gold)
	if limit.New(limit.Config{}).Check(ctx, x); len(x.Takes) != 0 {
		t.Error("the plan was counted although it is not asked for")
	}
}

func TestOnlyTheOperatorReadsWhoWasCounted(t *testing.T) {
	x := gatetest.Exchange(after(2, burst))
	v := newGate().Check(ctx, x)
	for _, f := range v.Facts() {
		if f.Name == "subject" && (f.Public != decision.ToOperator || !strings.Contains(f.Got, "shop-web")) {
			t.Errorf("subject %+v", f)
		}
	}
	flood := *address
	flood.Burst = 0
	x = gatetest.Exchange(func(x *gate.Exchange) { x.Client = netip.MustParseAddr("2001:db8::1") })
	v = limit.New(limit.Config{Limits: []*gate.Limit{&flood}}).Check(ctx, x)
	for _, f := range v.Facts() {
		if f.Public != decision.ToOperator && strings.Contains(f.Want+f.Got, "2001:db8") {
			t.Errorf("the address is told in %+v", f)
		}
	}
}
