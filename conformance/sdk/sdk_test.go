package sdk

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"postern/conformance/gateway"
)

const patience = 30 * time.Second

func (w *world) client(key string, retries int) openai.Client {
	return openai.NewClient(option.WithBaseURL(w.base+"/"), option.WithAPIKey(key), option.WithMaxRetries(retries))
}

func say(model, text string) openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{Model: model, Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage(text)}}
}

func TestOpenAISDKForGo(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	t.Run("models.list", func(t *testing.T) { w.models(ctx, t) })
	t.Run("chat.completions.create", func(t *testing.T) { w.completion(ctx, t) })
	t.Run("streaming", func(t *testing.T) { w.streaming(ctx, t, false) })
	t.Run("streaming with usage", func(t *testing.T) { w.streaming(ctx, t, true) })
	t.Run("abort", func(t *testing.T) { w.abort(ctx, t) })
	t.Run("stream that breaks off", func(t *testing.T) { w.brokenStream(ctx, t) })
	t.Run("refusals", func(t *testing.T) { w.refusals(ctx, t) })
	t.Run("rate limit, waited for", func(t *testing.T) { w.rateLimit(ctx, t) })
	t.Run("nothing leaks", func(t *testing.T) { w.leaks(t) })
}

// TestOpenAISDKForNode runs ../node, the same behaviour through the other official SDK.
func TestOpenAISDKForNode(t *testing.T) {
	dir := filepath.Join("..", "node")
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "openai")); err != nil {
		t.Fatalf("%v: `npm ci` in conformance/node installs it; `./run quick` does that first", err)
	}
	w := newWorld(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", "--test", "--test-reporter=tap", "openai.test.mjs")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "BASE_URL="+w.base, "GOOD_KEY="+w.good, "BARE_KEY="+w.bare, "NARROW_KEY="+w.narrow, "REVOKED_KEY="+w.revoked,
		"ADMIN_URL=http://"+w.process.Admin, "ADMIN_TOKEN="+w.manager.Token(), "PROVIDER_REFUSAL="+refusal)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if passed := bytes.Count(out, []byte("\nok ")) + bytes.Count(out, []byte("    ok ")); passed < 12 {
		t.Errorf("only %d tests passed in Node:\n%s", passed, out)
	}
	for _, l := range strings.Split(string(out), "\n") {
		if strings.HasPrefix(l, "# pass") || strings.HasPrefix(l, "# fail") {
			t.Logf("Node: %s", l)
		}
	}
	select {
	case <-w.provider.Gone():
	case <-time.After(patience):
		t.Error("the SDK aborted a stream, and the provider was left streaming")
	}
	w.leaks(t)
}

func (w *world) models(ctx context.Context, t *testing.T) {
	c := w.client(w.good, 0)
	names := map[string]string{}
	for pages := c.Models.ListAutoPaging(ctx); ; {
		if !pages.Next() {
			if err := pages.Err(); err != nil {
				t.Fatal(err)
			}
			break
		}
		names[pages.Current().ID] = pages.Current().OwnedBy
	}
	if names["fast"] != "conformance" {
		t.Errorf("models: %v, want fast, owned by conformance", names)
	}
	if _, there := names["vendor-large"]; there {
		t.Errorf("models: %v: the provider's own name is nobody's business", names)
	}
	one, err := c.Models.Get(ctx, "fast")
	if err != nil || one.ID != "fast" || one.OwnedBy != "conformance" {
		t.Errorf("retrieved %+v: %v", one, err)
	}
	var refused *openai.Error
	if _, err := c.Models.Get(ctx, "some/model:none"); !errors.As(err, &refused) || refused.StatusCode != 404 || refused.Code != "guardrail.model_unknown" {
		t.Errorf("an unknown model: %v", err)
	}
}

func (w *world) completion(ctx context.Context, t *testing.T) {
	c := w.client(w.good, 0)
	var raw *http.Response
	got, err := c.Chat.Completions.New(ctx, say("fast", "hello"), option.WithResponseInto(&raw))
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Choices) != 1 || got.Choices[0].Message.Content != "echo: hello" {
		t.Errorf("answer: %+v", got.Choices)
	}
	if got.Usage.PromptTokens != PromptTokens || got.Usage.CompletionTokens != CompletionTokens {
		t.Errorf("usage: %+v", got.Usage)
	}
	last := w.provider.Last(t)
	var sent chat
	if err := json.Unmarshal([]byte(last.Body), &sent); err != nil || sent.Model != "vendor-large" {
		t.Errorf("the provider was asked for %q (%v)", sent.Model, err)
	}
	w.charged(t, raw.Header.Get("Postern-Trace"), false)
}

// charged checks the record of a call: the usage is what the provider reported, the cost exact to the last digit.
func (w *world) charged(t *testing.T, trace string, stream bool) {
	t.Helper()
	if trace == "" {
		t.Fatal("the answer has no Postern-Trace")
	}
	r := w.manager.Record(trace)
	if r.Input != PromptTokens-CachedTokens || r.CachedInput != CachedTokens || r.Output != CompletionTokens-ReasoningTokens || r.Reasoning != ReasoningTokens || r.Estimated {
		t.Errorf("usage in the record: %+v", r)
	}
	if r.Cost != Cost || r.Currency != "USD" || r.PriceVersion != "2026-11" {
		t.Errorf("the record says %d pico-%s at version %s, want %d", r.Cost, r.Currency, r.PriceVersion, Cost)
	}
	if r.Model != "fast" || r.Stream != stream || r.Application != "good" || r.Outcome != "passed" {
		t.Errorf("the record: %+v", r)
	}
}

func (w *world) streaming(ctx context.Context, t *testing.T, withUsage bool) {
	c := w.client(w.good, 0)
	params := say("fast", "one two three")
	if withUsage {
		params.StreamOptions = openai.ChatCompletionStreamOptionsParam{IncludeUsage: openai.Bool(true)}
	}
	var raw *http.Response
	s := c.Chat.Completions.NewStreaming(ctx, params, option.WithResponseInto(&raw))
	defer s.Close()
	var text strings.Builder
	usages, empty := 0, 0
	for s.Next() {
		chunk := s.Current()
		if chunk.Usage.TotalTokens > 0 {
			usages++
			if chunk.Usage.PromptTokens != PromptTokens || chunk.Usage.CompletionTokens != CompletionTokens {
				t.Errorf("usage: %+v", chunk.Usage)
			}
		}
		if len(chunk.Choices) == 0 {
			empty++
			continue
		}
		text.WriteString(chunk.Choices[0].Delta.Content)
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	if text.String() != "echo: one two three" {
		t.Errorf("text: %q", text.String())
	}
	want := 0
	if withUsage {
		want = 1
	}
	// A caller that did not ask for usage must not meet a chunk without choices: programs index choices[0].
	if usages != want || empty != want {
		t.Errorf("%d chunks with usage, %d without choices; want %d", usages, empty, want)
	}
	w.charged(t, raw.Header.Get("Postern-Trace"), true)
}

func (w *world) abort(ctx context.Context, t *testing.T) {
	ctx, cancel := context.WithCancel(ctx)
	c := w.client(w.good, 0)
	s := c.Chat.Completions.NewStreaming(ctx, say("fast", "never end"))
	if !s.Next() {
		t.Fatal(s.Err())
	}
	cancel()
	_ = s.Close()
	select {
	case <-w.provider.Gone():
	case <-time.After(patience):
		t.Error("the provider was left streaming")
	}
}

// brokenStream: an answer that breaks off must not look like a short one.
func (w *world) brokenStream(ctx context.Context, t *testing.T) {
	c := w.client(w.good, 0)
	s := c.Chat.Completions.NewStreaming(ctx, say("fast", "break off"))
	defer s.Close()
	for s.Next() {
	}
	if s.Err() == nil {
		t.Error("the SDK took a stream that broke off for a whole one")
	}
}

func (w *world) refusals(ctx context.Context, t *testing.T) {
	for _, c := range []struct {
		name, key, model, text string
		status                 int
		code                   string
		says                   []string
	}{
		{"wrong key", "pst_wrong", "fast", "hi", 401, "authn.credential_rejected", []string{"trace "}},
		{"revoked key", w.revoked, "fast", "hi", 401, "authn.key_revoked", []string{"trace "}},
		{"no permission", w.bare, "fast", "hi", 403, "authz.permission_missing", []string{"models:use", "bare", "trace "}},
		{"unknown model", w.good, "nonesuch", "hi", 404, "guardrail.model_unknown", []string{"nonesuch", "trace "}},
		{"unpriced model", w.good, "unpriced", "hi", 403, "guardrail.unpriced", []string{"unpriced", "trace "}},
		{"provider down", w.good, "dead", "hi", 502, "upstream.unreachable", []string{"trace "}},
		{"provider refuses", w.good, "fast", "refuse me", 422, "provider_code", []string{"the provider's own words"}},
		{"provider fails", w.good, "fast", "fail", 500, "provider_code", []string{"the provider's own words"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := w.client(c.key, 0)
			before := len(w.provider.Received())
			_, err := client.Chat.Completions.New(ctx, say(c.model, c.text))
			var e *openai.Error
			if !errors.As(err, &e) {
				t.Fatalf("%v (%T), want an *openai.Error", err, err)
			}
			if e.StatusCode != c.status || e.Code != c.code {
				t.Errorf("%d %s, want %d %s: %s", e.StatusCode, e.Code, c.status, c.code, e.Message)
			}
			for _, want := range c.says {
				if !strings.Contains(e.Message, want) {
					t.Errorf("the message does not contain %q: %s", want, e.Message)
				}
			}
			trace := e.Response.Header.Get("Postern-Trace")
			own := c.code != "provider_code"
			if own && (trace == "" || !strings.Contains(e.Message, trace)) {
				t.Errorf("the message does not name the trace %q: %s", trace, e.Message)
			}
			if reached := len(w.provider.Received()) > before; reached == own {
				t.Errorf("reached the provider: %t", reached)
			}
			if status := e.Response.Header.Get("Proxy-Status"); own == strings.Contains(status, "received-status") || status == "" {
				t.Errorf("Proxy-Status is %q", status)
			}
			if r := w.manager.Record(trace); own && r.Reason != c.code || !own && r.Origin != "upstream" {
				t.Errorf("the record says %s from %s", r.Reason, r.Origin)
			}
		})
	}
	t.Run("malformed", func(t *testing.T) {
		for name, body := range map[string]string{
			"no JSON": `{"model":`, "model twice": `{"model":"fast","model":"dead","messages":[]}`, "no model": `{"messages":[]}`, "model is a number": `{"model":1,"messages":[]}`,
			"an array": `[]`, "empty": ``,
		} {
			client := w.client(w.good, 0)
			var out any
			err := client.Post(ctx, "chat/completions", []byte(body), &out, option.WithHeader("Content-Type", "application/json"))
			var e *openai.Error
			if !errors.As(err, &e) || e.StatusCode != 400 || e.Code != "guardrail.unreadable" {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
	t.Run("the provider's body is untouched", func(t *testing.T) {
		req, err := http.NewRequestWithContext(ctx, "POST", w.base+"/chat/completions", strings.NewReader(`{"model":"fast","messages":[{"role":"user","content":"refuse me"}]}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+w.good)
		req.Header.Set("Content-Type", "application/json")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var b bytes.Buffer
		if _, err := b.ReadFrom(res.Body); err != nil || b.String() != refusal {
			t.Errorf("%v: %s", err, b.String())
		}
	})
}

func (w *world) rateLimit(ctx context.Context, t *testing.T) {
	once := w.client(w.narrow, 0)
	if _, err := once.Chat.Completions.New(ctx, say("fast", "first")); err != nil {
		t.Fatal(err)
	}
	_, err := once.Chat.Completions.New(ctx, say("fast", "second"))
	var e *openai.Error
	if !errors.As(err, &e) || e.StatusCode != 429 || e.Code != "limit.rate" {
		t.Fatalf("%v, want 429 limit.rate", err)
	}
	if after := e.Response.Header.Get("Retry-After"); after != "1" && after != "2" {
		t.Errorf("Retry-After is %q, want 1 or 2 seconds", after)
	}
	patient := w.client(w.narrow, 3)
	if _, err := patient.Chat.Completions.New(ctx, say("fast", "third")); err != nil {
		t.Errorf("with retries: %v", err)
	}
}

// leaks: the caller's key never reaches the provider, the provider's never the caller or a log, and neither a record.
func (w *world) leaks(t *testing.T) {
	for _, r := range w.provider.Received() {
		if got := r.Header.Get("Authorization"); got != "Bearer "+w.provider.Credential {
			t.Errorf("the provider got Authorization %.20s…", got)
		}
		all := r.Body
		for name, values := range r.Header {
			all += name + ": " + strings.Join(values, ", ") + "\n"
		}
		for _, key := range []string{w.good, w.bare, w.narrow, w.revoked} {
			if strings.Contains(all, key) {
				t.Errorf("a caller's key reached the provider: %s %.200s", r.Path, strings.ReplaceAll(all, key, "<the key>"))
			}
		}
	}
	gateway.Canaries(t, w.process, w.manager, map[string]string{
		"a caller's key": w.good, "the narrow application's key": w.narrow, "a revoked key": w.revoked, "the provider's credential": w.provider.Credential,
	})
}
