package openai

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"

	"postern/internal/decision"
	"postern/internal/llm"
)

func TestRewriteTouchesOnlyModelAndUsage(t *testing.T) {
	for _, c := range []struct {
		name, body, model string
		stream            bool
		want              string // "" for unchanged
	}{
		{"renamed", `{"model":"fast","n":1.0e0, "x" :[ ]}`, "gpt-x", false, `{"model":"gpt-x","n":1.0e0, "x" :[ ]}`},
		{"same name", `{"model":"m"}`, "m", false, ""},
		{"model last", `{"messages":[{"model":"no"}],"model" : "a"}`, "b", false, `{"messages":[{"model":"no"}],"model" : "b"}`},
		{"usage asked", ` {"model":"m","stream":true}`, "m", true, ` {"stream_options":{"include_usage":true},"model":"m","stream":true}`},
		{"usage asked by the caller", `{"model":"m","stream_options":{"include_usage":true}}`, "m", true, ""},
		{"usage refused by the caller", `{"stream_options":{"a":1,"include_usage":false},"model":"m"}`, "n", true, `{"stream_options":{"a":1,"include_usage":true},"model":"n"}`},
		{"options empty", `{"model":"m","stream_options":{ }}`, "m", true, `{"model":"m","stream_options":{"include_usage":true }}`},
		{"options with others", `{"model":"m","stream_options":{"a":1}}`, "m", true, `{"model":"m","stream_options":{"include_usage":true,"a":1}}`},
		{"options null", `{"model":"m","stream_options":null}`, "m", true, `{"model":"m","stream_options":{"include_usage":true}}`},
		{"name needs quoting", `{"model":"m"}`, `a"b\`, false, `{"model":"a\"b\\"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := rewrite([]byte(c.body), c.model, c.stream)
			if string(got) != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if got != nil && !gjson.ValidBytes(got) {
				t.Error("the result is no JSON")
			}
		})
	}
}

func FuzzRewrite(f *testing.F) {
	for _, s := range []string{`{"model":"m"}`, `{"model":"m","stream_options":{"a":{}}}`, `{"stream_options":[],"model":"a"}`, `{"a":{"model":1},"model":"\u006d"}`} {
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, body string, stream bool) {
		if !gjson.Valid(body) || gjson.Get(body, "model").Type != gjson.String || !gjson.Parse(body).IsObject() {
			t.Skip("the guardrail gate refuses it")
		}
		got := rewrite([]byte(body), "renamed", stream)
		if got == nil {
			got = []byte(body)
		}
		if !gjson.ValidBytes(got) {
			t.Fatalf("%s became %s, which is no JSON", body, got)
		}
		if m := gjson.GetBytes(got, "model").Str; m != "renamed" {
			t.Fatalf("model is %q in %s", m, got)
		}
		if stream && !wantsUsage(got) {
			t.Fatalf("usage is not asked for in %s", got)
		}
	})
}

const completion = `{"id":"x","choices":[{"message":{"content":"say \"usage\": {\\\"prompt_tokens\\\":9}","usage":{"prompt_tokens":7}}}],"usage" : {"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":2}},"z":[{"usage":1}]}`

func TestUsageOfObjectAtEverySplit(t *testing.T) {
	want := llm.Usage{Input: 6, CachedInput: 4, Output: 3, Reasoning: 2}
	for i := range len(completion) {
		o := &object{}
		var out []byte
		out = append(out, o.Next([]byte(completion[:i]))...)
		out = append(out, o.Next([]byte(completion[i:]))...)
		if string(out) != completion {
			t.Fatal("the answer was changed")
		}
		if got, ok := o.Usage(); !ok || got != want {
			t.Fatalf("split at %d: %+v %v", i, got, ok)
		}
	}
}

func TestUsageMissingIsEstimatedAndMarked(t *testing.T) {
	o := &object{requestBytes: 41}
	o.Next([]byte(`{"choices":[{"message":{"content":"hello hello hello"}}]}`))
	if got, ok := o.Usage(); !ok || !got.Estimated || got.Input != 11 || got.Output == 0 {
		t.Errorf("got %+v %v", got, ok)
	}
	if u, ok := (&object{}).Usage(); ok || !u.Zero() {
		t.Error("usage of an answer that never came")
	}
}

func TestUsageNeverOverlapsOrGoesNegative(t *testing.T) {
	for _, s := range []string{
		`{"prompt_tokens":5,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":50},"completion_tokens_details":{"reasoning_tokens":9}}`,
		`{"prompt_tokens":-5,"completion_tokens":-1}`, `{"prompt_tokens":5,"prompt_tokens_details":{"cached_tokens":-3}}`,
	} {
		u, ok := usageOf(gjson.Parse(s))
		if !ok || u.Input < 0 || u.CachedInput < 0 || u.Output < 0 || u.Reasoning < 0 {
			t.Errorf("%s: %+v", s, u)
		}
		if in := max(gjson.Get(s, "prompt_tokens").Int(), 0); u.Input+u.CachedInput != in {
			t.Errorf("%s: input classes sum to %d", s, u.Input+u.CachedInput)
		}
	}
}

var streamEvents = []string{
	"data: {\"id\":\"1\",\"choices\":[{\"delta\":{\"content\":\"He\"}}],\"usage\":null}\n\n",
	": keep-alive\n\n",
	"data: {\"choices\":[{\"delta\":{\"content\":\"\\n\\n\\\"usage\\\"\"}}]}\r\n\r\n",
	"data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\n",
	"data: [DONE]\n\n",
}

func play(s *stream, pieces ...[]byte) string {
	var out []byte
	for _, p := range pieces {
		out = append(out, s.Next(bytes.Clone(p))...)
	}
	return string(append(out, s.End()...))
}

func TestStreamAtEverySplit(t *testing.T) {
	all := strings.Join(streamEvents, "")
	hidden := strings.Join(append(append([]string{}, streamEvents[:3]...), streamEvents[4]), "")
	for _, hide := range []bool{true, false} {
		want := all
		if hide {
			want = hidden
		}
		for i := range len(all) {
			for _, j := range []int{i, (i + len(all)) / 2, len(all)} {
				s := &stream{hideUsage: hide}
				got := play(s, []byte(all[:i]), []byte(all[i:j]), []byte(all[j:]))
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("hide %v, split at %d and %d:\n%s", hide, i, j, diff)
				}
				if u, ok := s.Usage(); !ok || u != (llm.Usage{Input: 3, Output: 2}) {
					t.Fatalf("usage %+v", u)
				}
			}
		}
	}
}

func TestStreamPassesWholeEventsAtOnce(t *testing.T) {
	s := &stream{}
	if got := s.Next([]byte(streamEvents[0])); string(got) != streamEvents[0] {
		t.Errorf("an event that is complete was held back: %q", got)
	}
	if got := s.Next([]byte("data: {")); len(got) != 0 {
		t.Errorf("half an event was passed on: %q", got)
	}
}

func TestStreamWithAHugeEventHoldsNoMoreThanItsBound(t *testing.T) {
	huge := "data: {\"choices\":[{\"delta\":{\"content\":\"" + strings.Repeat("x", 500_000) + "\"}}]}\n\n"
	all := streamEvents[0] + huge + streamEvents[3] + streamEvents[4]
	want := streamEvents[0] + huge + streamEvents[4]
	r := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		s := &stream{hideUsage: true}
		var out []byte
		for rest := all; rest != ""; {
			n := min(1+r.IntN(9000), len(rest))
			out = append(out, s.Next([]byte(rest[:n]))...)
			rest = rest[n:]
			if cap(s.held) > 4*mostHeld {
				t.Fatalf("%d bytes held", cap(s.held))
			}
		}
		if got := string(append(out, s.End()...)); got != want {
			t.Fatalf("the stream was changed: %d bytes instead of %d", len(got), len(want))
		}
	}
}

func TestStreamThatBreaksOffEndsInAnErrorEvent(t *testing.T) {
	s := &stream{requestBytes: 8}
	s.Next([]byte(streamEvents[0] + `data: {"cho`))
	said := decision.Refuse(decision.UpstreamUnreachable, nil).Render(decision.ToProven)
	got := string(s.Abort(said, decision.TraceID{}))
	data, ok := strings.CutPrefix(got, "data: ")
	if !ok || !strings.HasSuffix(got, "\n\n") || gjson.Get(data, "error.code").Str != "upstream.unreachable" || gjson.Get(data, "error.message").Str == "" {
		t.Errorf("got %q", got)
	}
	if u, ok := s.Usage(); !ok || !u.Estimated || u.Output != 1 || u.Input != 2 {
		t.Errorf("usage of what was delivered: %+v", u)
	}
}

func FuzzStream(f *testing.F) {
	f.Add(strings.Join(streamEvents, ""), uint64(3), true)
	f.Add("data: x\n\r\n\n\n", uint64(1), false)
	f.Fuzz(func(t *testing.T, all string, seed uint64, hide bool) {
		whole := &stream{hideUsage: hide}
		want := play(whole, []byte(all))
		r := rand.New(rand.NewPCG(seed, 0))
		var pieces [][]byte
		for rest := all; rest != ""; {
			n := 1 + r.IntN(len(rest))
			pieces = append(pieces, []byte(rest[:n]))
			rest = rest[n:]
		}
		parts := &stream{hideUsage: hide}
		if got := play(parts, pieces...); got != want {
			t.Fatalf("split in %d pieces:\ngot  %q\nwant %q", len(pieces), got, want)
		}
		if !hide && want != all {
			t.Fatalf("changed without need: %q", want)
		}
	})
}

func BenchmarkStreamChunk(b *testing.B) {
	event := []byte(fmt.Sprintf("data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":%q},\"finish_reason\":null}]}\n\n", "hello "))
	s := &stream{}
	b.ReportAllocs()
	for b.Loop() {
		s.Next(event)
	}
}

func BenchmarkObject(b *testing.B) {
	body := []byte(strings.Replace(completion, "say", strings.Repeat("some answer ", 100), 1))
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		o := object{}
		o.Next(body)
		if _, ok := o.Usage(); !ok {
			b.Fatal("no usage")
		}
	}
}
