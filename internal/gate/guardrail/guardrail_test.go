package guardrail

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/gatetest"
	"postern/internal/llm"
)

var (
	rule    = &decision.Rule{ID: "ai/v1/chat#models", Pointer: "/apis/1/versions/0/llm"}
	price   = []gate.TimedPrice{{From: gatetest.Now.Add(-time.Hour), Price: llm.Price{Version: "1", Currency: "USD"}}}
	small   = &gate.Model{Name: "small", Prices: price}
	large   = &gate.Model{Name: "large", Prices: price, Owner: "acme"}
	free    = &gate.Model{Name: "free"}
	tabled  = &gate.Model{Name: "tomorrow", Prices: []gate.TimedPrice{{From: gatetest.Now.Add(time.Hour)}}}
	catalog = map[string]*gate.Model{"small": small, "large": large, "free": free, "tomorrow": tabled}
)

func newChat() gate.Gate {
	return New(Config{Models: catalog, Allowed: []*gate.Model{small, free, tabled}, RefuseUnpriced: true, Rule: rule})
}

func says(body string) func(*gate.Exchange) {
	return gatetest.Content("application/json", body)
}

func TestChat(t *testing.T) {
	gatetest.Run(t, gatetest.Suite{
		Name:     "guardrail",
		New:      newChat,
		Pass:     says(`{"model":"small","messages":[{"role":"user","content":"hello \u00e9 é"}],"stream":true,"n":-1.5e+3}`),
		Canaries: []string{"CANARY-PROMPT"},
		Refusals: []gatetest.Case{
			{Name: "no JSON", Setup: says("CANARY-PROMPT"), Reason: decision.PromptUnreadable},
			{Name: "no model", Setup: says(`{"messages":["CANARY-PROMPT"]}`), Reason: decision.PromptUnreadable},
			{Name: "model twice", Setup: says(`{"model":"small","x":"CANARY-PROMPT","model":"large"}`), Reason: decision.PromptUnreadable},
			{Name: "compressed", Reason: decision.PromptUnreadable, Setup: func(x *gate.Exchange) {
				says("\x1f\x8b")(x)
				x.Header.Add("Content-Encoding", "gzip")
			}},
			{Name: "unknown model", Setup: says(`{"model":"huge","messages":["CANARY-PROMPT"]}`), Reason: decision.ModelUnknown,
				Check: func(t *testing.T, x *gate.Exchange, v decision.Verdict) {
					if said := v.Render(decision.ToProven); !strings.Contains(said.Detail, "'huge'") {
						t.Errorf("the caller is told %q", said.Detail)
					}
				}},
			{Name: "model of another API", Setup: says(`{"model":"large"}`), Reason: decision.ModelNotAllowed},
			{Name: "no price", Setup: says(`{"model":"free"}`), Reason: decision.Unpriced},
			{Name: "no price yet", Setup: says(`{"model":"tomorrow"}`), Reason: decision.Unpriced},
		},
	})
}

func TestChatSetsModelAndStream(t *testing.T) {
	for body, stream := range map[string]bool{
		`{"model":"small"}`:                                    false,
		`{"model":"small","stream":true}`:                      true,
		` { "stream" : false , "model" : "small" } `:           false,
		`{"stream":null,"model":"small"}`:                      false,
		`{"m\u006fdel":"sm\u0061ll","stre\u0061m":true}`:       true,
		`{"model":"small","tools":[{"model":1,"stream":"x"}]}`: false,
		`{"model":"small","a":{},"b":[],"c":[[],{"d":{}}]}`:    false,
	} {
		x := gatetest.Exchange(says(body))
		if v := newChat().Check(context.Background(), x); !v.Passed() || x.Model != small || x.Stream != stream {
			t.Errorf("%s: %v, model %v, stream %v", body, v.Outcome(), x.Model, x.Stream)
		}
	}
}

func TestUnpricedModelsMayBeFlagged(t *testing.T) {
	x := gatetest.Exchange(says(`{"model":"free"}`))
	if v := New(Config{Models: catalog, Allowed: []*gate.Model{free}}).Check(context.Background(), x); !v.Passed() || x.Model != free {
		t.Errorf("%v, model %v", v.Outcome(), x.Model)
	}
}

// A refusal that is only reported leaves a request that can be sent.
func TestShadowedRefusalKnowsItsModel(t *testing.T) {
	for _, name := range []string{"large", "free"} {
		x := gatetest.Exchange(says(`{"model":"` + name + `"}`))
		v := gate.Chain{{Name: "guardrail", Gate: newChat(), Shadow: true}}.Run(context.Background(), x, gate.StopAtFirst)
		if !v.Passed() || x.Model != catalog[name] {
			t.Errorf("%s: %v, model %v", name, v.Outcome(), x.Model)
		}
	}
}

func TestBodiesThatCannotBeHad(t *testing.T) {
	tooSlow := &gate.BodyError{Reason: decision.RequestTimeout}
	for _, c := range []struct {
		name string
		body gate.Body
		dry  bool
		want *decision.Reason
	}{
		{"empty", gate.NoBody, false, decision.PromptUnreadable},
		{"not given to a simulation", gate.NoBody, true, decision.PromptUnreadable},
		{"streamed", gatetest.StreamedBody([]byte(`{"model":"small"}`)), false, nil},
		{"too large", gatetest.StreamedBody([]byte(`{"model":"small","x":"` + strings.Repeat("x", 100) + `"}`)), false, decision.RequestTooLarge},
		{"too slow", gatetest.BrokenBody([]byte(`{`), 20, tooSlow), false, decision.RequestTimeout},
		{"caller gone", gatetest.BrokenBody([]byte(`{`), 20, errors.New("connection reset")), false, decision.ClientGone},
	} {
		x := gatetest.Exchange()
		x.Op.BodyBytes, x.Body, x.Env.Dry = 64, c.body, c.dry
		v := newChat().Check(context.Background(), x)
		if v.Reason() != c.want || (v.Outcome() == decision.OutcomeAbstain) != c.dry {
			t.Errorf("%s: %v %v, want %v", c.name, v.Outcome(), v.Reason(), c.want)
		}
		if c.dry && v.Facts()[0].Name != "body" {
			t.Errorf("%s: the missing input is called %q", c.name, v.Facts()[0].Name)
		}
	}
}

func TestReadCallRefuses(t *testing.T) {
	deep := strings.Repeat("[", 600)
	for body, want := range map[string]string{
		"":                                "empty",
		" ":                               "no JSON object",
		"null":                            "no JSON object",
		`"model"`:                         "no JSON object",
		`[{"model":"small"}]`:             "no JSON object",
		"\ufeff{\"model\":\"small\"}":     "no JSON object",
		`{`:                               "no name",
		`{"model"`:                        "no colon",
		`{"model":`:                       "no value",
		`{"model":"small"`:                "neither a comma nor an end",
		`{"model":"small"}}`:              "behind the object",
		`{"model":"small"}{}`:             "behind the object",
		`{"model":"small",}`:              "no name",
		`{"model":"small" "x":1}`:         "neither",
		`{'model':'small'}`:               "no name",
		`{model:"small"}`:                 "no name",
		`{"model":"small","x":[1,]}`:      "no value",
		`{"model":"small","x":[1}`:        "neither",
		`{"model":"small","x":01}`:        "neither",
		`{"model":"small","x":1.}`:        "number",
		`{"model":"small","x":-}`:         "number",
		`{"model":"small","x":1e}`:        "number",
		`{"model":"small","x":+1}`:        "no value",
		`{"model":"small","x":NaN}`:       "no value",
		`{"model":"small","x":truer}`:     "neither",
		`{"model":"small","x":"\q"}`:      "string",
		`{"model":"small","x":"\u12g4"}`:  "string",
		`{"model":"small","x":"\`:         "string",
		"{\"model\":\"small\",\"x\":\"\n": "string",
		"{\"model\":\"sm\xffall\"}":       "UTF-8",
		`{"model":"small"} // x`:          "behind the object",
		`{"model":1}`:                     "not a string",
		`{"model":null}`:                  "not a string",
		`{"model":{"x":1}}`:               "not a string",
		`{"model":["small"]}`:             "not a string",
		`{"model":""}`:                    "empty",
		`{"model":"` + strings.Repeat("m", 300) + `"}`: "longer than 256",
		`{"model":"small","stream":1}`:                 "neither true nor false",
		`{"model":"small","stream":"true"}`:            "neither true nor false",
		`{"model":"small","stream":{}}`:                "neither true nor false",
		`{"model":"small","model":"small"}`:            `"model" occurs twice`,
		`{"model":"small","mod\u0065l":"large"}`:       `"model" occurs twice`,
		`{"stream":true,"model":"a","stream":true}`:    `"stream" occurs twice`,
		`{"model":"small","Model":"large"}`:            `spelled unlike "model"`,
		`{"model":"small","STREAM":true}`:              `spelled unlike "stream"`,
		`{"model":"small","ſtream":true}`:              "spelled unlike",
		`{"model":"small","x":` + deep:                 "deeper than 512",
	} {
		if c, fault := readCall([]byte(body)); !strings.Contains(fault, want) || fault == "" {
			t.Errorf("%.60q: %+v %q, want %q", body, c, fault, want)
		}
	}
}

func TestReadingAllocatesNothing(t *testing.T) {
	body := []byte(`{"model":"small","messages":[{"role":"user","content":"` + strings.Repeat("hello ", 1000) + `"}],"stream":true}`)
	if n := testing.AllocsPerRun(100, func() { readCall(body) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzReadCall compares with encoding/json: whatever is accepted is valid, and both read the same model and flag.
func FuzzReadCall(f *testing.F) {
	for _, s := range []string{`{"model":"small","stream":true}`, `{"m\u006fdel":"\ud800","x":[{},[]],"y":-0.1e-9}`, `{"model":"a","Model":"b"}`, `[[[`, `{"a":{"model":1},"model":"x"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		c, fault := readCall(body)
		for _, r := range fault {
			if r < 0x20 || r == 0x7f {
				t.Fatalf("the fault %q has a control character", fault)
			}
		}
		var members map[string]json.RawMessage
		err := json.Unmarshal(body, &members)
		if strings.HasPrefix(fault, "it is no valid JSON") && json.Valid(body) {
			t.Fatalf("%q is valid JSON, but %s", body, fault)
		}
		if fault != "" {
			return
		}
		if err != nil {
			t.Fatalf("%q is accepted, but is no JSON object: %v", body, err)
		}
		var want struct {
			Model  string
			Stream *bool
		}
		if err := json.Unmarshal(body, &want); err != nil || want.Model != c.model || (want.Stream != nil && *want.Stream) != c.stream {
			t.Fatalf("%q is read as %+v, by encoding/json as %+v (%v)", body, c, want, err)
		}
	})
}

func TestModelsAreListed(t *testing.T) {
	g := NewModels([]*gate.Model{large, small, free, tabled}, rule)
	x := gatetest.Exchange()
	if v := g.Check(context.Background(), x); v.Outcome() != decision.OutcomeAnswer || x.Reply == nil || x.Reply.Status != 200 {
		t.Fatalf("%v, reply %+v", v.Outcome(), x.Reply)
	}
	var list struct {
		Object string
		Data   []struct {
			ID, Object string
			Created    int64
			OwnedBy    string `json:"owned_by"`
		}
	}
	if err := json.Unmarshal(x.Reply.Body, &list); err != nil {
		t.Fatal(err)
	}
	if list.Object != "list" || len(list.Data) != 4 || list.Data[0].ID != "large" || list.Data[0].Object != "model" || list.Data[0].OwnedBy != "acme" ||
		list.Data[1].OwnedBy != "postern" || list.Data[0].Created != price[0].From.Unix() || list.Data[2].Created != 0 {
		t.Errorf("%s", x.Reply.Body)
	}
	x = gatetest.Exchange()
	NewModels(nil, rule).Check(context.Background(), x)
	if string(x.Reply.Body) != `{"object":"list","data":[]}`+"\n" {
		t.Errorf("without models: %s", x.Reply.Body)
	}
	if v := new(answer).Check(context.Background(), x); v.Outcome() != decision.OutcomeRefuse {
		t.Errorf("the zero gate says %v", v.Outcome())
	}
}

func named(model string) func(*gate.Exchange) {
	return func(x *gate.Exchange) { x.Params[0], x.NParams = gate.Param{Name: IDParam, Value: model}, 1 }
}

func TestModelIsRetrieved(t *testing.T) {
	g := NewModel(Config{Models: catalog, Allowed: []*gate.Model{small, free, tabled}, Rule: rule})
	shown := func(name string, created int64) string {
		return fmt.Sprintf(`{"id":%q,"object":"model","created":%d,"owned_by":"postern"}`+"\n", name, created)
	}
	for name, want := range map[string]string{
		"small":    shown("small", price[0].From.Unix()),
		"free":     shown("free", 0),
		"tomorrow": shown("tomorrow", tabled.Prices[0].From.Unix()),
		"huge":     "guardrail.model_unknown",
		"SMALL":    "guardrail.model_unknown",
		"":         "guardrail.model_unknown",
		"large":    "guardrail.model_not_allowed",
	} {
		x := gatetest.Exchange()
		named(name)(x)
		v := g.Check(context.Background(), x)
		got := ""
		switch {
		case v.Outcome() == decision.OutcomeAnswer && x.Reply != nil && x.Reply.Status == 200:
			got = string(x.Reply.Body)
		case v.Outcome() == decision.OutcomeRefuse && x.Reply == nil:
			got = v.Reason().Code
			if said := v.Render(decision.ToProven); name != "" && !strings.Contains(said.Detail, "'"+name+"'") {
				t.Errorf("%s: the caller is told %q", name, said.Detail)
			}
		}
		if got != want {
			t.Errorf("%q: %s, want %s", name, got, want)
		}
	}
	if v := new(oneModel).Check(context.Background(), gatetest.Exchange()); v.Outcome() != decision.OutcomeRefuse {
		t.Errorf("the zero gate says %v", v.Outcome())
	}
}

func BenchmarkReadCall8K(b *testing.B) {
	body := []byte(`{"model":"small","messages":[{"role":"user","content":"` + strings.Repeat("hello wo", 1000) + `"}],"stream":true}`)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		readCall(body)
	}
}
