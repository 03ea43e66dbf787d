package waf

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"time"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/gatetest"
	"postern/internal/policy"
)

// Off compiles nothing, whatever else is written.
func TestOffIsNoGate(t *testing.T) {
	for _, sources := range [][]Source{nil, {{WAF: &policy.WAF{}}}, {{WAF: &policy.WAF{Mode: "off", Paranoia: 4}}},
		{{WAF: &policy.WAF{Mode: "block"}}, {WAF: &policy.WAF{Mode: "off"}}}} {
		if g, err := Compile(false, sources...); g != nil || err != nil {
			t.Errorf("%v %v", g, err)
		}
	}
}

// The operation decides, and what it leaves out it has from its version.
func TestOperationsInheritFromTheirVersion(t *testing.T) {
	version := Source{ID: "orders/v1", Pointer: "/v/waf", WAF: &policy.WAF{Mode: "block", Paranoia: 2, Threshold: 10, Profile: "llm",
		Body: &policy.WAFBody{Bytes: 1000, Types: []string{"text/plain"}}, Time: policy.WAFTime{Over: "pass"},
		Exclusions: []policy.WAFExclusion{{Rule: 920350, Reason: "addresses are fine"}}, Rules: `SecAction "id:10001,phase:1,pass,nolog"`}}
	operation := Source{ID: "orders/v1/find", Pointer: "/o/waf", WAF: &policy.WAF{Mode: "detect", Body: &policy.WAFBody{Over: "pass"},
		Exclusions: []policy.WAFExclusion{{Tag: "attack-sqli", Variable: "ARGS:q", Reason: "search terms"}}, Rules: `SecAction "id:10002,phase:1,pass,nolog"`}}
	compiled, err := Compile(false, version, operation)
	if err != nil {
		t.Fatal(err)
	}
	g := compiled.(*firewall)
	if !g.detect || !g.llm || g.paranoia != "2" || g.threshold != "10" || g.bytes != 1000 || g.types[0] != "text/plain" ||
		g.refuseOver || !g.refuseOther || g.refuseTime || g.rule.Pointer != "/o/waf" || g.rule.ID != "orders/v1/find#waf" {
		t.Errorf("%+v", g)
	}
	if len(g.exclusions) != 2 || !g.exclusions[0].whole || len(g.exclusions[1].rules) < 20 || !g.engine.has(10001) || !g.engine.has(10002) {
		t.Errorf("%+v", g.exclusions)
	}
	if g, _ := Compile(true, Source{WAF: &policy.WAF{Mode: "block"}}); !g.(*firewall).llm {
		t.Error("an API for models has the profile of prompts")
	}
	if g, _ := Compile(true, Source{WAF: &policy.WAF{Mode: "block", Profile: "default"}}); g.(*firewall).llm {
		t.Error("unless it says otherwise")
	}
}

func TestMistakesNameTheirPlace(t *testing.T) {
	exclude := func(e policy.WAFExclusion) policy.WAF { return policy.WAF{Exclusions: []policy.WAFExclusion{e}} }
	own := func(rules string) policy.WAF { return policy.WAF{Rules: rules} }
	good := "SecRule ARGS \"@contains a\" \"id:10001,phase:2,pass,nolog\"\n"
	for _, c := range []struct {
		w              policy.WAF
		pointer, words string
	}{
		{policy.WAF{Mode: "blok"}, "/mode", "did you mean block?"},
		{policy.WAF{Profile: "strict"}, "/profile", "default or llm"},
		{policy.WAF{Paranoia: 5}, "/paranoia", "no paranoia level 5"},
		{policy.WAF{Threshold: -1}, "/threshold", "no threshold"},
		{policy.WAF{Body: &policy.WAFBody{Bytes: 1 << 30}}, "/body/bytes", "cannot be inspected"},
		{policy.WAF{Body: &policy.WAFBody{Over: "drop"}}, "/body/over", "refuse or pass"},
		{policy.WAF{Body: &policy.WAFBody{Types: []string{"text/html", "JSON"}}}, "/body/types/1", "no media type"},
		{policy.WAF{Time: policy.WAFTime{Inspection: policy.Duration(time.Hour)}}, "/time/inspection", "cannot take"},
		{exclude(policy.WAFExclusion{Rule: 942100}), "/exclusions/0/reason", "no reason"},
		{exclude(policy.WAFExclusion{Reason: "x"}), "/exclusions/0", "either a rule or a tag"},
		{exclude(policy.WAFExclusion{Rule: 942100, Tag: "attack-sqli", Reason: "x"}), "/exclusions/0", "either a rule or a tag"},
		{exclude(policy.WAFExclusion{Rule: 1, Reason: "x"}), "/exclusions/0/rule", "there is no rule 1"},
		{exclude(policy.WAFExclusion{Tag: "sqli", Reason: "x"}), "/exclusions/0/tag", "no rule has the tag"},
		{exclude(policy.WAFExclusion{Rule: 942100, Variable: "ARG:q", Reason: "x"}), "/exclusions/0/variable", "no part of a request"},
		{exclude(policy.WAFExclusion{Rule: 942100, Variable: "ARGS:/(/", Reason: "x"}), "/exclusions/0/variable", "does not compile"},
		{own("Include /etc/passwd"), "/rules", "line 1 of the rules: the directive \"Include\""},
		{own("# why\n\nSecRuleEngine Off"), "/rules", "line 3 of the rules: the directive \"SecRuleEngine\""},
		{own("SecAuditLog /tmp/x"), "/rules", "cannot be used here"},
		{own(good + "SecRule ARGS \"@inspectFile /bin/sh\" \"id:10002,phase:2\""), "/rules", "line 2 of the rules: the operator @inspectFile"},
		{own("SecRule REMOTE_ADDR \"!@rbl example.org\" \"id:10002,phase:2\""), "/rules", "@rbl"},
		{own("SecRule ARGS \"@pmFromFile /etc/passwd\" \"id:10002,phase:2,deny\""), "/rules", "line 1 of the rules:"},
		{own("SecAction \"id:10002,phase:2,exec:/bin/sh\""), "/rules", "the action exec"},
		{own("SecAction \"id:10002,phase:2,redirect:http://x\""), "/rules", "the action redirect"},
		{own("SecAction \"id:10002,phase:4,deny\""), "/rules", "phase 4 is never run"},
		{own("SecAction \"id:90000001,phase:1,deny\""), "/rules", "is reserved"},
		{own(good + "\nSecRule ARGS \\\n  \"@rx (\" \\\n  \"id:10002,phase:2,deny\""), "/rules", "line 3 of the rules:"},
		{own(good + good), "/rules", "line 2 of the rules:"},
		{own("SecRule ARGS \"@rx a\" \"id:942100,phase:2,deny\""), "/rules", "line 1 of the rules:"},
		{own("SecAction \"id:10002,phase:1,pass\" \\"), "/rules", "does not end"},
		{own("SecDataset words `\na\nb"), "/rules", "does not end"},
		{own("SecMarker " + strings.Repeat("x", maxDirective)), "/rules", "at most 32768 are read"},
		{own(strings.Repeat("#\n", maxOwn)), "/rules", "at most 524288 are read"},
	} {
		if c.w.Mode == "" {
			c.w.Mode = "block"
		}
		g, err := Compile(false, Source{ID: "orders/v1", Pointer: pointer, WAF: &c.w})
		problems, ok := err.(policy.Problems)
		if g != nil || !ok || len(problems) != 1 || problems[0].Pointer != pointer+c.pointer || problems[0].Remedy == "" ||
			!strings.Contains(problems[0].Message+" "+problems[0].Remedy, c.words) {
			t.Errorf("%+v: %v\nwant %s at %s", c.w, err, c.words, c.pointer)
		}
	}
}

func TestOwnRules(t *testing.T) {
	rules := `
# What we know better than the rule set
SecRule REQUEST_HEADERS:X-Probe "@streq 1" "id:10001,phase:1,pass,nolog,ctl:ruleRemoveById=941100-941999"
SecRule ARGS:item "@rx ^poison$" \
    "id:10002,phase:2,deny,log,\
    msg:'We do not sell this',severity:'CRITICAL'"
SecRule ARGS:item "@pmFromDataset rare" "id:10003,phase:2,pass,log,msg:'Rare',severity:'CRITICAL',setvar:'tx.inbound_anomaly_score_pl1=+%{tx.critical_anomaly_score}'"
SecRuleUpdateTargetById 942100 "!ARGS:q"
`
	dataset := "SecDataset rare `\ngolden tips\nsilver needle\n`\n"
	g := newGate(t, policy.WAF{Rules: dataset + rules})
	for target, want := range map[string]string{
		"/orders?item=tea":                            "",
		"/orders?item=poison":                         "10002",
		"/orders?item=silver+needle":                  "10003",
		"/orders?q=1%27%20or%201=1--%20":              "",
		"/orders?p=1%27%20or%201=1--%20":              "942100",
		"/orders?p=%3Cscript%3Ealert(1)%3C/script%3E": "941100, 941110, 941160, 941390",
	} {
		v := g.Check(t.Context(), gatetest.Exchange(get(target)))
		if got := fact(v, "rules").Want; got != want {
			t.Errorf("%s: %s by %q, want %q", target, v.Outcome(), got, want)
		}
	}
	x := gatetest.Exchange(get("/orders?p=%3Cscript%3Ealert(1)%3C/script%3E"), gatetest.Header("X-Probe", "1"))
	if v := g.Check(t.Context(), x); !v.Passed() {
		t.Errorf("rules removed by an own rule apply: %v", v.Facts())
	}
}

func TestExclusionsAreNarrow(t *testing.T) {
	const attack = "1%27%20or%201=1--%20"
	for name, c := range map[string]struct {
		e      policy.WAFExclusion
		target string
		passes bool
	}{
		"this rule, this argument": {policy.WAFExclusion{Rule: 942100, Variable: "ARGS:q"}, "/?q=" + attack, true},
		"in another case":          {policy.WAFExclusion{Rule: 942100, Variable: "args:Q"}, "/?q=" + attack, true},
		"another argument":         {policy.WAFExclusion{Rule: 942100, Variable: "ARGS:q"}, "/?p=" + attack, false},
		"beside another argument":  {policy.WAFExclusion{Rule: 942100, Variable: "ARGS:q"}, "/?q=" + attack + "&p=" + attack, false},
		"another rule":             {policy.WAFExclusion{Rule: 942130, Variable: "ARGS:q"}, "/?q=" + attack, false},
		"a pattern":                {policy.WAFExclusion{Tag: "attack-sqli", Variable: `ARGS:/^filter\.(a|b)$/`}, "/?FILTER.b=" + attack, true},
		"beside the pattern":       {policy.WAFExclusion{Tag: "attack-sqli", Variable: `ARGS:/^filter\.(a|b)$/`}, "/?filter.c=" + attack, false},
		"every argument":           {policy.WAFExclusion{Rule: 942100, Variable: "ARGS"}, "/?q=" + attack, true},
		"the rule as a whole":      {policy.WAFExclusion{Rule: 942100}, "/?q=" + attack, true},
		"a tag":                    {policy.WAFExclusion{Tag: "attack-sqli"}, "/?q=" + attack, true},
		"another tag":              {policy.WAFExclusion{Tag: "attack-xss"}, "/?q=" + attack, false},
	} {
		c.e.Reason = "test"
		g := newGate(t, policy.WAF{Exclusions: []policy.WAFExclusion{c.e}})
		if v := g.Check(t.Context(), gatetest.Exchange(get(c.target))); v.Passed() != c.passes {
			t.Errorf("%s: %s %v", name, v.Outcome(), v.Facts())
		}
	}
}

// What is told with one request does not stay for the next, though they share transactions.
func TestRequestsDoNotInfluenceEachOther(t *testing.T) {
	lax := newGate(t, policy.WAF{Threshold: 1000, Exclusions: []policy.WAFExclusion{{Rule: 942100, Reason: "test"}}})
	strict := newGate(t, policy.WAF{})
	for range 20 {
		if v := lax.Check(t.Context(), gatetest.Exchange(get("/?q=1%27%20or%201=1--%20"))); !v.Passed() {
			t.Fatalf("lax: %v", v.Facts())
		}
		if v := strict.Check(t.Context(), gatetest.Exchange(get("/?q=1%27%20or%201=1--%20"))); v.Passed() {
			t.Fatal("strict passes")
		}
		if v := strict.Check(t.Context(), gatetest.Exchange(get("/?q=1"))); !v.Passed() {
			t.Fatalf("strict: %v", v.Facts())
		}
	}
}

// Paranoia and threshold are what configuration says.
func TestParanoiaAndThreshold(t *testing.T) {
	target := get("/?q=1%27%20or%201=1--%20")
	scores := []string{}
	for level := 1; level <= 4; level++ {
		scores = append(scores, fact(newGate(t, policy.WAF{Paranoia: level}).Check(t.Context(), gatetest.Exchange(target)), "score").Got)
	}
	if got := strings.Join(scores, " "); got != "5 30 35 48" && (scores[0] != "5" || len(scores[3]) < 2) {
		t.Errorf("scores %s", got)
	}
	if v := newGate(t, policy.WAF{Threshold: 6}).Check(t.Context(), gatetest.Exchange(target)); !v.Passed() {
		t.Errorf("%v", v.Facts())
	}
}

// Operations without own rules share one compiled rule set, over generations; a set nobody uses is collected.
func TestRuleSetsAreShared(t *testing.T) {
	a := newGate(t, policy.WAF{}).(*firewall)
	b := newGate(t, policy.WAF{Paranoia: 4, Exclusions: []policy.WAFExclusion{{Rule: 942100, Reason: "test"}}}).(*firewall)
	own := ownRules{{text: `SecAction "id:10009,phase:1,pass,nolog"`}}
	rules, err := load(own)
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := load(ownRules{{pointer: "/elsewhere", line: 7, text: own[0].text}}); a.engine != b.engine || again != rules || engine(rules) == a.engine {
		t.Error("equal rules are compiled twice, or different ones shared")
	}
	key := own.hash()
	rules = nil
	for range 20 { // a cleanup runs some time after a collection
		runtime.GC()
		compiled.Lock()
		_, held := compiled.sets[key]
		compiled.Unlock()
		if !held {
			return
		}
		runtime.Gosched()
	}
	t.Skip("the collector kept its own time")
}

// A panic in the engine is an outage of the engine and not of the gateway.
func TestPanicsAreFaults(t *testing.T) {
	g := *newGate(t, policy.WAF{}).(*firewall)
	x := gatetest.Exchange()
	q := question{paranoia: "1", threshold: "5", deadline: time.Now().Add(time.Minute)} // without an exchange
	if _, err := g.engine.inspect(context.Background(), &q); err == nil || !strings.HasPrefix(err.Error(), "panic: ") {
		t.Errorf("%v", err)
	}
	v := g.unavailable(x, &gate.BodyError{Reason: decision.RequestMalformed})
	if v.Reason() != decision.WAFUnavailable || x.RetryAfter == 0 || x.Result.Fault == "" {
		t.Errorf("%v %v %q", v.Reason(), x.RetryAfter, x.Result.Fault)
	}
}
