package calllog

import (
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unsafe"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/header"
	"postern/internal/llm"
	"postern/internal/record"
)

func capture(x *gate.Exchange) (r record.Record) {
	fill(&r, x, 7, notable(x), &memory{})
	return r
}

func TestOutcomes(t *testing.T) {
	forwardFailed := func(reason *decision.Reason, o gate.Origin) func(*gate.Exchange) {
		return func(x *gate.Exchange) {
			x.Verdict = decision.Refuse(reason, nil)
			x.Result = gate.Result{Origin: o, Status: reason.Status}
		}
	}
	for name, c := range map[string]struct {
		change                        func(*gate.Exchange)
		outcome, origin, reason, gate string
		steps                         int
		fields                        bool
	}{
		"passed":            {func(*gate.Exchange) {}, "passed", "upstream", "", "", 0, false},
		"refused by a gate": {func(x *gate.Exchange) { *x = *refusal("/") }, "refused", "gateway", "authz.permission_missing", "authz", 2, true},
		"refused before gates": {func(x *gate.Exchange) {
			x.Trace.Reset()
			x.Verdict = decision.Refuse(decision.RouteNotFound, nil)
			x.Result = gate.Result{Status: 404}
		}, "refused", "gateway", "route.not_found", "route", 0, true},
		"the zero verdict": {func(x *gate.Exchange) { x.Verdict = decision.Verdict{}; x.Result = gate.Result{} }, "refused", "gateway", decision.Unexplained.Code, decision.Unexplained.Gate, 1, true},
		"unknown": {func(x *gate.Exchange) {
			x.Verdict = decision.Abstain(decision.AuthnUnavailable, nil)
			x.Trace.Add("authn", x.Verdict)
			x.Result = gate.Result{Status: 503}
		}, "refused", "gateway", "authn.unavailable", "authn", 2, true},
		"answered": {func(x *gate.Exchange) {
			x.Verdict = decision.Answered(nil)
			x.Result = gate.Result{Origin: gate.FromGateway, Status: 204}
		}, "answered", "gateway", "", "", 0, false},
		"shadow":           {func(x *gate.Exchange) { x.Trace.Add("waf", decision.Refuse(decision.WAFBlocked, nil).AsShadow()) }, "passed", "upstream", "", "", 2, false},
		"refused upstream": {func(x *gate.Exchange) { x.Result.Status, x.Result.ReceivedStatus = 403, 403 }, "passed", "upstream", "upstream.refused", "upstream", 0, true},
		"no target by a gate": {func(x *gate.Exchange) {
			x.Verdict = decision.Refuse(decision.UpstreamNoneHealthy, nil)
			x.Trace.Add("upstream", x.Verdict)
			x.Result = gate.Result{Origin: gate.FromGateway, Status: 503}
		}, "refused", "gateway", "upstream.none_healthy", "upstream", 2, true},
		"unreachable":     {forwardFailed(decision.UpstreamUnreachable, gate.FromUnreachable), "failed", "unreachable", "upstream.unreachable", "upstream", 1, true},
		"the client left": {forwardFailed(decision.ClientGone, gate.FromGateway), "failed", "gateway", decision.ClientGone.Code, "upstream", 1, true},
		"a fault of ours": {forwardFailed(decision.GatewayFault, gate.FromGateway), "failed", "gateway", decision.GatewayFault.Code, decision.GatewayFault.Gate, 1, true},
		"half an answer":  {func(x *gate.Exchange) { x.Result.Truncated = true }, "failed", "upstream", "", "", 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			x := exchange("/")
			c.change(x)
			r := capture(x)
			if r.Outcome != c.outcome || r.Origin != c.origin || r.Reason != c.reason || r.Gate != c.gate || len(r.Steps) != c.steps || (len(r.Fields) > 0) != c.fields {
				t.Errorf("got outcome %s, origin %s, reason %q of %q, %d steps, %d fields; want %+v", r.Outcome, r.Origin, r.Reason, r.Gate, len(r.Steps), len(r.Fields), c)
			}
		})
	}
}

func TestARefusalIsRememberedWhole(t *testing.T) {
	x := refusal("/orders")
	x.Op = &gate.Operation{Tenant: "acme", API: "orders", Version: "v1", Name: "create-order"}
	x.Principal.Proven, x.Principal.Key.ID, x.Principal.Key.Application = true, "k_1", "shop-web"
	x.Principal.Application.Tenant = "acme"
	x.Client = netip.Addr{}
	x.Result.Attempts = []gate.Attempt{{Target: "a", Reason: decision.UpstreamUnreachable, Fault: "refused", Took: 5}, {Target: "b", Took: 6}}
	r := capture(x)
	if r.Generation != 7 || r.Time != moment || r.Operation != "create-order" || r.Version != "v1" || r.Tenant != "acme" || r.API != "orders" {
		t.Errorf("what was called: %+v", r)
	}
	if r.Key != "k_1" || r.Application != "shop-web" || r.CallerTenant != "acme" || !r.Proven || r.Client != "192.0.2.7" || r.Peer != "192.0.2.7:4711" {
		t.Errorf("who called: %+v", r)
	}
	if r.Rule != "orders#permission" || r.Pointer != "/apis/0" || r.Steps[1].Rule != r.Rule || r.Steps[1].Outcome != "refuse" ||
		r.Steps[1].Facts[0] != (decision.Fact{Name: "permission", Want: "orders:create", Public: decision.ToProven}) {
		t.Errorf("why: %+v", r)
	}
	if len(r.Attempts) != 2 || r.Attempts[0] != (record.Attempt{Target: "a", Reason: "upstream.unreachable", Fault: "refused", Took: 5}) {
		t.Errorf("attempts: %+v", r.Attempts)
	}
}

func TestCost(t *testing.T) {
	day := 24 * time.Hour
	model := &gate.Model{Name: "small", Prices: []gate.TimedPrice{
		{From: moment.Add(-2 * day), Price: llm.Price{Version: "old", Currency: "USD", Input: 1, Output: 1}},
		{From: moment.Add(-day), Price: llm.Price{Version: "now", Currency: "EUR", Input: 150_000, CachedInput: 75_000, Output: 600_000, Reasoning: 600_000}},
		{From: moment.Add(day), Price: llm.Price{Version: "next", Currency: "EUR"}},
	}}
	usage := llm.Usage{Input: 100, CachedInput: 10, Output: 20, Reasoning: 5}
	for name, c := range map[string]struct {
		change   func(*gate.Exchange)
		cost     int64
		version  string
		unpriced bool
	}{
		"by the price of its time": {func(*gate.Exchange) {}, 100*150_000 + 10*75_000 + 25*600_000, "now", false},
		"charged already":          {func(x *gate.Exchange) { x.Cost = 42 }, 42, "now", false},
		"without a price":          {func(x *gate.Exchange) { x.Model = &gate.Model{Name: "free?"} }, 0, "", true},
		"before any price":         {func(x *gate.Exchange) { x.Started = moment.Add(-9 * day) }, 0, "", true},
		"nothing used":             {func(x *gate.Exchange) { x.Usage = llm.Usage{} }, 0, "now", false},
		"beyond all money":         {func(x *gate.Exchange) { x.Usage.Input = 1 << 62 }, 0, "", true},
		"negative":                 {func(x *gate.Exchange) { x.Usage.Output = -1 }, 0, "", true},
		"refused":                  {func(x *gate.Exchange) { x.Verdict = decision.Refuse(decision.Unpriced, nil); x.Usage = llm.Usage{} }, 0, "", false},
		"broken off":               {func(x *gate.Exchange) { x.Result.Truncated = true }, 100*150_000 + 10*75_000 + 25*600_000, "now", false},
	} {
		t.Run(name, func(t *testing.T) {
			x := exchange("/")
			x.Model, x.Usage, x.Stream = model, usage, true
			c.change(x)
			r := capture(x)
			if r.Cost != c.cost || r.PriceVersion != c.version || r.Unpriced != c.unpriced || !r.Stream {
				t.Errorf("cost %d by %q, unpriced %v; want %d by %q, %v", r.Cost, r.PriceVersion, r.Unpriced, c.cost, c.version, c.unpriced)
			}
			if int64(x.Cost) != r.Cost {
				t.Errorf("the exchange says %d, the record %d", x.Cost, r.Cost)
			}
			if x.Usage.Output > 0 && (r.Input != x.Usage.Input || r.CachedInput != 10 || r.Output != 20 || r.Reasoning != 5) {
				t.Errorf("usage: %+v", r)
			}
		})
	}
}

// A secret put into every place a caller can reach is in no place of the record.
func TestNoSecretIsRecorded(t *testing.T) {
	key := keyText(t)
	x := refusal("/orders/" + key)
	x.RawPath, x.Host, x.Method = "/"+key, key+".example.com", key
	x.RawQuery = "key=hunter2secret&x=" + key + "&" + key
	x.Principal.Field = "X-Partner"
	x.Header = header.List{
		{Name: "Authorization", Value: "Bearer hunter2secret"}, {Name: "proxy-authorization", Value: "Basic hunter2secret"}, {Name: "COOKIE", Value: "sid=hunter2secret"},
		{Name: "x-api-key", Value: "hunter2secret"}, {Name: "x-partner", Value: "hunter2secret"}, {Name: "X-Auth-Token", Value: "hunter2secret"},
		{Name: "User-Agent", Value: "agent " + key}, {Name: "Referer", Value: "https://x.example/?a=1&access_token=hunter2secret"}, {Name: "X-Other", Value: "a " + key + " b"},
		{Name: "Set-Cookie", Value: "a=hunter2secret"}, {Name: "Accept", Value: "text/html"},
	}
	x.Result.Fault = "dial http://ada:hunter2secret@10.0.0.1: " + key
	x.Result.Attempts = []gate.Attempt{{Target: "t", Reason: decision.UpstreamUnreachable, Fault: key}}
	x.Trace.Add("authn", decision.Refuse(decision.CredentialMisplaced, nil, decision.Fact{Name: "place", Want: key, Got: "in " + key}))
	r := capture(x)
	j, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{key, key[8:], "hunter2secret"} {
		if strings.Contains(string(j), secret) {
			t.Errorf("%q is in the record: %s", secret, j)
		}
	}
	if len(r.Fields) != len(x.Header) || r.Fields[10].Value != "text/html" || r.Fields[7].Value != "https://x.example/?a=1&access_token=[redacted]" {
		t.Errorf("what is harmless was not kept: %+v", r.Fields)
	}
}

func TestHostileSizesAreBounded(t *testing.T) {
	long := strings.Repeat("é\x00\xff", 50_000)
	x := refusal(long)
	x.RawQuery, x.Host, x.Method, x.Result.Fault = "q="+long, long, long, errors.New(long).Error()
	x.Header = nil
	for range 500 {
		x.Header.Add(long[:300], long)
	}
	x.Header[0] = header.Field{Name: "User-Agent", Value: long}
	r := capture(x)
	j := r.AppendJSON(nil)
	if len(j) > 64<<10 || len(r.Fields) > maxFields || !json.Valid(j) || strings.Contains(string(j), `\u0000`) {
		t.Errorf("a record of %d bytes with %d fields", len(j), len(r.Fields))
	}
	if !strings.HasSuffix(r.Path, "…") || len(r.Path) > 3*maxPath+8 {
		t.Errorf("path of %d bytes", len(r.Path))
	}
	small := exchange("/")
	small.Header = nil
	for i := range 100 {
		small.Header.Add("X-"+string(rune('A'+i%26)), "v")
	}
	small.Result.Status = 500
	if r := capture(small); len(r.Fields) != maxFields {
		t.Errorf("%d fields, want %d", len(r.Fields), maxFields)
	}
}

func TestUsualTextsAreKeptOnceAndSecretsNever(t *testing.T) {
	var u usual
	var a arena
	secret := "agent/1 sk-" + strings.Repeat("a1", 12)
	for range 3 {
		for _, s := range []string{"curl/8", "wget/1", "", "curl/8", secret, strings.Repeat("x", 40)} {
			want := new(arena).bounded(redactText(s), 32)
			if got := u.text(&a, strings.Clone(s), 32); got != want {
				t.Errorf("%q became %q, want %q", s, got, want)
			}
		}
	}
	view := []byte("curl/9")
	kept := u.text(&a, unsafe.String(&view[0], len(view)), 32)
	again := u.text(&a, unsafe.String(&view[0], len(view)), 32)
	copy(view, "XXXXXX")
	if kept != "curl/9" || again != "curl/9" || unsafe.StringData(kept) != unsafe.StringData(again) {
		t.Errorf("%q and %q", kept, again)
	}
}
