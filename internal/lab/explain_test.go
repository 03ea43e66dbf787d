package lab_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"postern/internal/counter"
	"postern/internal/decision"
	"postern/internal/directory"
	"postern/internal/gate"
	"postern/internal/gatetest"
	"postern/internal/lab"
	"postern/internal/policy"
	"postern/internal/record"
	"postern/internal/snapshot"
	"postern/internal/store"
)

const ordersAPI = `postern: 1
roles:
  order-reader: {permissions: ["orders:read"]}
  order-writer: {permissions: ["orders:create"]}
upstreams:
  orders: {targets: [{url: "http://127.0.0.1:9001"}]}
apis:
  - name: orders
    versions:
      - version: v1
        base_path: /orders
        upstream: orders
        ip: {deny: [203.0.113.0/24]}
        limits: [{name: burst, rate: {requests: 1, per: 1h}}]
        operations:
          - {name: create-order, title: create orders, method: POST, path: /, permission: "orders:create"}
`

// past is a configuration, a directory, and calls that were made.
type past struct {
	t    *testing.T
	snap *snapshot.Snapshot
	env  *gate.Env
	dir  *gatetest.Directory
}

func newPast(t *testing.T) *past {
	t.Helper()
	doc, err := policy.Parse("gateway.yaml", []byte(ordersAPI))
	if err != nil {
		t.Fatal(err)
	}
	snap, err := snapshot.Compile(doc, 7, snapshot.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	p := &past{t: t, snap: snap, dir: gatetest.NewDirectory()}
	p.env = &gate.Env{Now: func() time.Time { return gatetest.Now }, Directory: p.dir, Counters: counter.New(counter.Options{})}
	return p
}

func (p *past) keys() lab.ExplainOption {
	return lab.WithKeys(func(_ context.Context, id string) (directory.Key, error) {
		for _, k := range p.dir.Keys {
			if k.ID == id {
				return k, nil
			}
		}
		return directory.Key{}, store.ErrNotFound
	})
}

// call lets a request arrive and returns what would be recorded of it: its steps without how widely facts may be told, and
// its header without credentials.
func (p *past) call(from, body string) record.Record {
	p.t.Helper()
	requests, err := lab.ParseRequest([]byte("POST /orders/ HTTP/1.1\nHost: api.example.com\nX-API-Key: "+gatetest.KeyText+"\nX-Other: kept\n\n"+body), "")
	if err != nil {
		p.t.Fatal(err)
	}
	x := live(p.t, requests[0])
	x.Env, x.ID = p.env, decision.NewTraceID(gatetest.Now)
	v := p.snap.Judge(p.t.Context(), x, gate.StopAtFirst)
	r := record.Record{ID: x.ID, Time: gatetest.Now, Generation: 7, Method: "POST", Scheme: "http", Host: "api.example.com", Path: "/orders/",
		Peer: from + ":40000", Client: from, BytesIn: int64(len(body)), Key: x.Principal.Key.ID, Application: x.Principal.Application.ID,
		Origin: "gateway", Outcome: "passed", API: "orders", Version: "v1", Operation: "create-order"}
	for _, f := range x.Header {
		if f.Name == "X-API-Key" {
			f.Value = decision.Redacted
		}
		r.Fields = append(r.Fields, record.Name{Name: f.Name, Value: f.Value})
	}
	if v.Passed() {
		r.Origin, r.Status, r.ReceivedStatus = "upstream", 201, 201
		return r
	}
	r.Outcome, r.Reason, r.Gate, r.Status = "refused", v.Reason().Code, v.Reason().Gate, v.Reason().Status
	if rule := v.Rule(); rule != nil {
		r.Rule, r.Pointer = rule.ID, rule.Pointer
	}
	for _, s := range x.Trace.Steps() {
		step := record.Step{Gate: s.Gate, Outcome: s.Verdict.Outcome().String()}
		if s.Verdict.Reason() != nil {
			step.Reason = s.Verdict.Reason().Code
		}
		if rule := s.Verdict.Rule(); rule != nil {
			step.Rule, step.Pointer = rule.ID, rule.Pointer
		}
		for _, f := range s.Verdict.Facts() {
			f.Public = decision.ToOperator // is not stored
			step.Facts = append(step.Facts, f)
		}
		r.Steps = append(r.Steps, step)
	}
	return r
}

func outcomes(rows []lab.Row) string {
	var out []string
	for _, r := range rows {
		s := r.Gate + " " + r.Outcome
		if r.Reason != "" {
			s += " " + r.Reason
		}
		if r.Note != "" {
			s += " (" + r.Note + ")"
		}
		out = append(out, s)
	}
	return strings.Join(out, "\n")
}

func TestExplainTellsAllReasonsNotOnlyTheFirst(t *testing.T) {
	p := newPast(t)
	p.dir.Subscribe("orders", "v1", directory.Subscription{ID: "s_1", State: directory.Pending})
	rec := p.call("198.51.100.7", `{"item": "tea"}`)
	got := lab.Explain(t.Context(), rec, p.snap, p.env, decision.ToOperator, p.keys())
	want := `route pass
ip pass
limit none (flood guard)
origin none
authn pass
account pass
subscription refuse subscription.pending
authz refuse authz.permission_missing (asked now)
limit pass (asked now)
waf none
guardrail none
upstream pass (asked now)`
	if outcomes(got.Gates) != want {
		t.Errorf("\n got %s\nwant %s", outcomes(got.Gates), want)
	}
	if want := "POST /orders/ was refused with 403 by the gate subscription: Application 'shop-web' awaits approval of its subscription to orders v1."; got.Sentence != want {
		t.Errorf("\n got %s\nwant %s", got.Sentence, want)
	}
	if got.ExitCode() != 1 || got.Key != "k_live" || got.Rule == "" || got.Gates[6].At == "" {
		t.Errorf("%+v", got)
	}
	var b strings.Builder
	if err := got.WriteText(&b, true); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"And then authz.permission_missing by the gate authz:", "Approve subscription s_1.", "gateway.yaml:"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the text lacks %q:\n%s", want, b.String())
		}
	}
}

func TestExplainIsCutToTheAsker(t *testing.T) {
	p := newPast(t)
	p.dir.Subscribe("orders", "v1", directory.Subscription{ID: "s_1", State: directory.Pending, Comment: "credit check"})
	rec := p.call("198.51.100.7", "")
	got := lab.Explain(t.Context(), rec, p.snap, p.env, decision.ToProven, p.keys())
	if want := "subscription refuse subscription.pending\nauthz refuse authz.permission_missing (asked now)"; outcomes(got.Gates) != want {
		t.Errorf("\n got %s\nwant %s", outcomes(got.Gates), want)
	}
	if !strings.Contains(got.Sentence, "'shop-web' awaits approval of its subscription to orders v1") {
		t.Errorf("a proven caller may be told: %s", got.Sentence)
	}
	text, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"credit check", "s_1", "/apis/0", "gateway.yaml", "198.51.100.7", gatetest.KeyText} {
		if strings.Contains(string(text), secret) {
			t.Errorf("a proven caller is told %q: %s", secret, text)
		}
	}
	owner := lab.Explain(t.Context(), rec, p.snap, p.env, decision.ToOwner, p.keys())
	if text, err = json.Marshal(owner); err != nil || !strings.Contains(string(text), "credit check") || strings.Contains(string(text), "/apis/0") {
		t.Errorf("the owner: %s (%v)", text, err)
	}

	denied := p.call("203.0.113.9", "")
	denied.Steps[1] = record.Step{Gate: "ip", Outcome: "refuse", Reason: "ip.denied", Rule: "orders/v1#ip", Pointer: "/apis/0/versions/0/ip", Facts: []decision.Fact{{Name: "range", Want: "203.0.113.0/24"}}}
	denied.Steps, denied.Reason, denied.Gate, denied.Key = denied.Steps[:2], "ip.denied", "ip", ""
	got = lab.Explain(t.Context(), denied, p.snap, p.env, decision.ToProven)
	if outcomes(got.Gates) != "policy refuse policy.refused" || got.Reason != "policy.refused" || got.Gate != "policy" {
		t.Errorf("a security refusal shows through: %s, %s", outcomes(got.Gates), got.Sentence)
	}
	if text, err = json.Marshal(got); err != nil || strings.Contains(string(text), "ip.denied") || strings.Contains(string(text), "203.0.113.0") {
		t.Errorf("a security refusal shows through: %s (%v)", text, err)
	}
}

func TestExplainDoesNotGuessWhoCalled(t *testing.T) {
	p := newPast(t)
	p.dir.Subscribe("orders", "v1", directory.Subscription{ID: "s_1", State: directory.Pending})
	rec := p.call("198.51.100.7", "")
	for name, opts := range map[string][]lab.ExplainOption{"no look-up": nil, "key gone": {lab.WithKeys(func(context.Context, string) (directory.Key, error) {
		return directory.Key{}, store.ErrNotFound
	})}} {
		got := lab.Explain(t.Context(), rec, p.snap, p.env, decision.ToOperator, opts...)
		if got.Gates[7].Gate != "authz" || got.Gates[7].Outcome != "unknown" || len(got.Notes) == 0 {
			t.Errorf("%s: %s, %v", name, outcomes(got.Gates), got.Notes)
		}
		if got.Gates[4].Outcome != "pass" || got.Gates[6].Reason != "subscription.pending" {
			t.Errorf("%s: what is recorded is lost: %s", name, outcomes(got.Gates))
		}
	}
}

func TestExplainOfCallsThatPassed(t *testing.T) {
	p := newPast(t)
	p.dir.Subscribe("orders", "v1", directory.Subscription{ID: "s_1", State: directory.Approved})
	p.dir.Applications["shop-web"] = directory.Application{ID: "shop-web", Tenant: "acme", Standing: directory.Active, Roles: []string{"order-writer"}}
	rec := p.call("198.51.100.7", "")
	if rec.Outcome != "passed" {
		t.Fatalf("%+v", rec)
	}
	for name, c := range map[string]struct {
		change   func(*record.Record)
		sentence string
		code     int
	}{
		"answered well":       {func(*record.Record) {}, "Every gate let POST /orders/ pass, and the backend answered 201.", 0},
		"without its header":  {func(r *record.Record) { r.Fields = nil }, "Every gate let POST /orders/ pass, and the backend answered 201.", 0},
		"the backend refused": {func(r *record.Record) { r.Status, r.ReceivedStatus, r.Reason = 403, 403, "upstream.refused" }, "Every gate let POST /orders/ pass; the backend itself answered 403.", 0},
		"no answer came": {func(r *record.Record) {
			r.Outcome, r.Origin, r.Status, r.ReceivedStatus, r.Reason = "failed", "unreachable", 502, 0, "upstream.unreachable"
		}, "The gates let POST /orders/ pass, but it failed with 502: The gateway could not reach the upstream.", 1},
	} {
		t.Run(name, func(t *testing.T) {
			rec := rec
			c.change(&rec)
			got := lab.Explain(t.Context(), rec, p.snap, p.env, decision.ToOperator, p.keys())
			if got.Sentence != c.sentence || got.ExitCode() != c.code {
				t.Errorf("%d %s, want %d %s", got.ExitCode(), got.Sentence, c.code, c.sentence)
			}
			if want := "route pass\nip pass\nlimit none (flood guard)\norigin none\nauthn pass\naccount pass\nsubscription pass\nauthz pass\nlimit pass\nwaf none\nguardrail none\nupstream pass"; outcomes(got.Gates) != want {
				t.Errorf("\n got %s\nwant %s", outcomes(got.Gates), want)
			}
		})
	}
}

func TestExplainAndSimulateSpendNothing(t *testing.T) {
	p := newPast(t)
	p.dir.Subscribe("orders", "v1", directory.Subscription{ID: "s_1", State: directory.Approved})
	p.dir.Applications["shop-web"] = directory.Application{ID: "shop-web", Tenant: "acme", Standing: directory.Active, Roles: []string{"order-writer"}}
	rec := record.Record{ID: decision.NewTraceID(gatetest.Now), Time: gatetest.Now, Generation: 7, Method: "POST", Host: "api.example.com", Path: "/orders/",
		Peer: "198.51.100.7:1", Key: "k_live", Outcome: "refused", Reason: "account.unavailable", Status: 503,
		Fields: []record.Name{{Name: "X-API-Key", Value: decision.Redacted}},
		Steps:  []record.Step{{Gate: "route", Outcome: "pass"}, {Gate: "account", Outcome: "refuse", Reason: "account.unavailable"}}}
	for range 5 {
		got := lab.Explain(t.Context(), rec, p.snap, p.env, decision.ToOperator, p.keys())
		if row := got.Gates[8]; row.Gate != "limit" || row.Outcome != "pass" {
			t.Fatalf("%s", outcomes(got.Gates))
		}
	}
	if rec := p.call("198.51.100.7", ""); rec.Outcome != "passed" {
		t.Errorf("explaining used up the limit: %s", rec.Reason)
	}
	if rec := p.call("198.51.100.7", ""); rec.Reason != "limit.rate" {
		t.Errorf("the limit of the test does not limit: %+v", rec)
	}
}

func TestExplainUnderAnotherGeneration(t *testing.T) {
	p := newPast(t)
	rec := p.call("198.51.100.7", "")
	rec.Generation = 3
	got := lab.Explain(t.Context(), rec, p.snap, p.env, decision.ToOperator, p.keys())
	if len(got.Notes) == 0 || !strings.Contains(got.Notes[0], "generation 3") {
		t.Errorf("%v", got.Notes)
	}
}

func TestExplainOfAnUnreadableRequest(t *testing.T) {
	p := newPast(t)
	rec := record.Record{ID: decision.NewTraceID(gatetest.Now), Generation: 7, Method: "", Host: "", Path: "", Outcome: "refused", Reason: "request.malformed",
		Gate: "route", Status: 400, Steps: []record.Step{{Gate: "route", Outcome: "refuse", Reason: "request.malformed", Facts: []decision.Fact{{Name: "fault", Want: "a bare line feed"}}}}}
	got := lab.Explain(t.Context(), rec, p.snap, p.env, decision.ToOperator)
	if !strings.Contains(got.Sentence, "a bare line feed") || got.Gates[0].Reason != "request.malformed" || got.Gates[5].Outcome != lab.NotReached {
		t.Errorf("%s\n%s", got.Sentence, outcomes(got.Gates))
	}
}

// What a record remembers of shadows, unknowns and answers is told as it was.
func TestExplainKeepsEveryOutcome(t *testing.T) {
	p := newPast(t)
	rec := record.Record{ID: decision.NewTraceID(gatetest.Now), Generation: 7, Method: "POST", Host: "api.example.com", Path: "/orders/", Peer: "198.51.100.7:1",
		Outcome: "refused", Reason: "subscription.missing", Gate: "subscription", Status: 403, Steps: []record.Step{
			{Gate: "route", Outcome: "pass"}, {Gate: "ip", Outcome: "shadow", Reason: "ip.denied"}, {Gate: "authn", Outcome: "pass"}, {Gate: "account", Outcome: "pass"},
			{Gate: "subscription", Outcome: "unknown", Reason: "subscription.missing", Facts: []decision.Fact{{Name: "principal", Want: "who calls"}}},
			{Gate: "limit", Outcome: "answer"}}}
	got := outcomes(lab.Explain(t.Context(), rec, p.snap, p.env, decision.ToOperator).Gates)
	for _, want := range []string{"ip shadow ip.denied", "subscription unknown subscription.missing", "limit answer"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is lost:\n%s", want, got)
		}
	}
	answered := record.Record{ID: rec.ID, Generation: 7, Method: "GET", Host: "api.example.com", Path: "/v1/models", Outcome: "answered", Status: 200}
	if e := lab.Explain(t.Context(), answered, p.snap, p.env, decision.ToProven); e.ExitCode() != 0 || e.Sentence != "Postern answered GET /v1/models itself, with 200." {
		t.Errorf("%+v", e)
	}
	if e := (lab.Explanation{}); e.ExitCode() != 3 {
		t.Errorf("an empty explanation exits with %d", e.ExitCode())
	}
}

// Remedies are cut like everything else: nobody below the operator is told what only an operator can do, nor what would tell
// a hidden reason, a role or a rule.
func TestFixesAreCutToTheAsker(t *testing.T) {
	p := newPast(t)
	p.dir.Subscribe("orders", "v1", directory.Subscription{ID: "s_1", State: directory.Pending})
	explain := func(rec record.Record, asker decision.Disclosure) (lab.Explanation, string) {
		e := lab.Explain(t.Context(), rec, p.snap, p.env, asker, p.keys(), lab.WithProof(&lab.Prover{}, nil))
		text, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		return e, string(text)
	}
	rec := p.call("198.51.100.7", "")
	e, _ := explain(rec, decision.ToOperator)
	if len(e.Fixes) == 0 || !e.Fixes[0].Verified || len(e.Fixes[0].Changes) != 2 || e.Now != lab.Refused {
		t.Fatalf("%+v", e.Fixes)
	}
	if e, text := explain(rec, decision.ToProven); len(e.Fixes) != 0 || strings.Contains(text, "s_1") {
		t.Errorf("a caller is told what an operator can do: %s", text)
	}

	anonymous := rec
	anonymous.Key, anonymous.Fields, anonymous.Reason, anonymous.Gate = "", nil, "authn.credential_missing", "authn"
	anonymous.Steps = []record.Step{{Gate: "route", Outcome: "pass"}, {Gate: "authn", Outcome: "refuse", Reason: "authn.credential_missing"}}
	e, text := explain(anonymous, decision.ToAnyone)
	if len(e.Fixes) != 1 || !e.Fixes[0].Verified || e.Fixes[0].Changes[0].Text != "Send a valid API key in the header X-API-Key." {
		t.Errorf("%s", text)
	}
	if strings.Contains(text, "order-writer") || strings.Contains(text, "subscribed") {
		t.Errorf("an anonymous caller is told roles: %s", text)
	}
	if e, _ := explain(anonymous, decision.ToOperator); !strings.Contains(e.Fixes[0].Changes[0].Text, "has the role order-writer") {
		t.Errorf("%+v", e.Fixes)
	}

	denied := anonymous
	denied.Peer, denied.Client, denied.Reason, denied.Gate = "203.0.113.9:1", "203.0.113.9", "ip.denied", "ip"
	denied.Steps = []record.Step{{Gate: "route", Outcome: "pass"}, {Gate: "ip", Outcome: "refuse", Reason: "ip.denied"}}
	if e, text := explain(denied, decision.ToProven); len(e.Fixes) != 0 || strings.Contains(text, "203.0.113") || strings.Contains(text, "ip.d") {
		t.Errorf("a hidden reason shows through its remedies: %s", text)
	}
	if e, _ := explain(denied, decision.ToOperator); len(e.Fixes) == 0 {
		t.Error("the operator is told no remedy")
	}
}

// What was refused then may pass now, and that is the first thing to know.
func TestExplainSaysThatItWouldPassNow(t *testing.T) {
	p := newPast(t)
	p.dir.Subscribe("orders", "v1", directory.Subscription{ID: "s_1", State: directory.Pending})
	rec := p.call("198.51.100.7", "")
	p.dir.Subscribe("orders", "v1", directory.Subscription{ID: "s_1", State: directory.Approved})
	p.dir.Applications["shop-web"] = directory.Application{ID: "shop-web", Tenant: "acme", Standing: directory.Active, Roles: []string{"order-writer"}}
	e := lab.Explain(t.Context(), rec, p.snap, p.env, decision.ToProven, p.keys(), lab.WithProof(&lab.Prover{}, nil))
	if e.Now != lab.Allowed || len(e.Fixes) != 1 || e.Fixes[0].Changes[0].Kind != "send_again" || e.ExitCode() != 1 {
		t.Errorf("%s %+v", e.Now, e.Fixes)
	}
	var b strings.Builder
	if err := e.WriteText(&b, false); err != nil || !strings.Contains(b.String(), "Sent again now, it would pass.") {
		t.Errorf("%v\n%s", err, b.String())
	}
}
