// Package sdk lets the official OpenAI SDKs, unchanged, call models through the gateway: Go here, Node in ../node. Behind it
// stands a provider of our own that records what it receives, so that the suite can say what reached it and what must not.
package sdk

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// What the provider reports for every call. Prices in the configuration make it cost exactly Cost.
const (
	PromptTokens     = 1000
	CachedTokens     = 200
	CompletionTokens = 300
	ReasoningTokens  = 100
	// 800 × 0.15 + 200 × 0.075 + 200 × 0.60 + 100 × 2.40 per million tokens, in 10⁻¹² of a dollar.
	Cost = 800*150_000 + 200*75_000 + 200*600_000 + 100*2_400_000
)

// refusal is the provider's own error, which has to reach the caller byte for byte. Its spacing is unusual on purpose.
const refusal = `{ "error" : {"message":"the provider's own words, 100 % untouched","type":"provider_error","param":null,"code":"provider_code"} }`

// Received is one request at the provider.
type Received struct {
	Path   string
	Header http.Header
	Body   string
}

// Provider is an OpenAI-compatible server.
type Provider struct {
	*httptest.Server
	Credential string

	mu       sync.Mutex
	received []Received
	gone     chan struct{} // closed when the gateway gave a stream up
}

// NewProvider starts a provider that wants the credential.
func NewProvider(t testing.TB, credential string) *Provider {
	p := &Provider{Credential: credential, gone: make(chan struct{}, 16)}
	p.Server = httptest.NewServer(http.HandlerFunc(p.serve))
	t.Cleanup(func() {
		p.CloseClientConnections()
		p.Close()
	})
	return p
}

// Received is everything so far.
func (p *Provider) Received() []Received {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Received(nil), p.received...)
}

// Last is the newest request.
func (p *Provider) Last(t testing.TB) Received {
	t.Helper()
	all := p.Received()
	if len(all) == 0 {
		t.Fatal("nothing reached the provider")
	}
	return all[len(all)-1]
}

// Gone receives a value whenever the gateway gave up a stream.
func (p *Provider) Gone() <-chan struct{} { return p.gone }

type chat struct {
	Model    string
	Stream   bool
	Messages []struct {
		Content string
	}
	StreamOptions struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
}

func (p *Provider) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	p.mu.Lock()
	p.received = append(p.received, Received{Path: r.URL.Path, Header: r.Header.Clone(), Body: string(body)})
	p.mu.Unlock()
	fail := func(status int) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, refusal)
	}
	var in chat
	switch {
	case r.Header.Get("Authorization") != "Bearer "+p.Credential:
		fail(http.StatusUnauthorized)
		return
	case r.URL.Path != "/v1/chat/completions", json.Unmarshal(body, &in) != nil, in.Model != "vendor-large":
		fail(http.StatusNotFound)
		return
	}
	last := ""
	if n := len(in.Messages); n > 0 {
		last = in.Messages[n-1].Content
	}
	switch {
	case last == "refuse me":
		fail(http.StatusUnprocessableEntity)
	case last == "fail":
		fail(http.StatusInternalServerError)
	case in.Stream:
		p.stream(w, r, in, last)
	default:
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"vendor-large","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":%q,"refusal":null}}],"usage":%s}`, "echo: "+last, usage)
	}
}

var usage = fmt.Sprintf(`{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d,"prompt_tokens_details":{"cached_tokens":%d},"completion_tokens_details":{"reasoning_tokens":%d}}`,
	PromptTokens, CompletionTokens, PromptTokens+CompletionTokens, CachedTokens, ReasoningTokens)

// stream answers word by word. "never end" goes on until the gateway leaves.
func (p *Provider) stream(w http.ResponseWriter, r *http.Request, in chat, last string) {
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	chunk := func(choices, tail string) bool {
		_, err := fmt.Fprintf(w, "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"vendor-large\",\"choices\":[%s]%s}\n\n", choices, tail)
		return err == nil && out.Flush() == nil
	}
	if last == "never end" {
		for r.Context().Err() == nil {
			if !chunk(`{"index":0,"delta":{"content":"more "},"finish_reason":null}`, "") {
				break
			}
			select {
			case <-r.Context().Done():
			case <-time.After(20 * time.Millisecond):
			}
		}
		p.gone <- struct{}{}
		return
	}
	none := ""
	if in.StreamOptions.IncludeUsage {
		none = `,"usage":null`
	}
	for i, word := range strings.SplitAfter("echo: "+last, " ") {
		role := ""
		if i == 0 {
			role = `"role":"assistant",`
		}
		if !chunk(fmt.Sprintf(`{"index":0,"delta":{%s"content":%q},"finish_reason":null}`, role, word), none) {
			return
		}
		if last == "break off" && i == 1 {
			panic(http.ErrAbortHandler)
		}
	}
	chunk(`{"index":0,"delta":{},"finish_reason":"stop"}`, none)
	if in.StreamOptions.IncludeUsage {
		chunk("", `,"usage":`+usage)
	}
	_, _ = io.WriteString(w, "data: [DONE]\n\n")
}
