package demo

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Models is a small server of the OpenAI dialect. It answers every chat by repeating the last message, word by word when
// streaming, and reports usage by counting words. It wants a bearer credential, as real providers do.
type Models struct{ mux http.ServeMux }

// Model is the name the demo server gives its model.
const Model = "echo-1"

// NewModels returns the server.
func NewModels() *Models {
	m := &Models{}
	m.mux.HandleFunc("GET /v1/models", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]any{"object": "list", "data": []any{map[string]any{"id": Model, "object": "model", "created": 0, "owned_by": "demo"}}})
	})
	m.mux.HandleFunc("POST /v1/chat/completions", m.chat)
	return m
}

func (m *Models) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " "); !strings.EqualFold(scheme, "Bearer") || token == "" {
		refuse(w, http.StatusUnauthorized, "authentication_error", "a bearer credential is needed")
		return
	}
	m.mux.ServeHTTP(w, r)
}

type chatRequest struct {
	Model    string `json:"model"`
	Messages []struct {
		Role    string          `json:"role"`
		Content json.RawMessage `json:"content"`
	} `json:"messages"`
	Stream        bool `json:"stream"`
	StreamOptions struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
}

func (m *Models) chat(w http.ResponseWriter, r *http.Request) {
	var in chatRequest
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 32<<20)).Decode(&in); err != nil {
		refuse(w, http.StatusBadRequest, "invalid_request_error", "the body is not valid JSON")
		return
	}
	if in.Model != Model {
		refuse(w, http.StatusNotFound, "invalid_request_error", fmt.Sprintf("there is no model %q here", in.Model))
		return
	}
	if len(in.Messages) == 0 {
		refuse(w, http.StatusBadRequest, "invalid_request_error", "messages must not be empty")
		return
	}
	prompt := 0
	var last string
	for _, msg := range in.Messages {
		last = text(msg.Content)
		prompt += len(strings.Fields(last))
	}
	words := strings.Fields("You said: " + last)
	usage := map[string]any{"prompt_tokens": prompt, "completion_tokens": len(words), "total_tokens": prompt + len(words)}
	id, created := fmt.Sprintf("chatcmpl-%d", time.Now().UnixNano()), time.Now().Unix()
	if !in.Stream {
		answer(w, http.StatusOK, map[string]any{
			"id": id, "object": "chat.completion", "created": created, "model": Model, "usage": usage,
			"choices": []any{map[string]any{"index": 0, "finish_reason": "stop", "message": map[string]any{"role": "assistant", "content": strings.Join(words, " ")}}},
		})
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	chunk := func(choices []any, usage any) bool {
		v := map[string]any{"id": id, "object": "chat.completion.chunk", "created": created, "model": Model, "choices": choices}
		if in.StreamOptions.IncludeUsage {
			v["usage"] = usage
		}
		b, err := json.Marshal(v)
		if err != nil {
			return false
		}
		if _, err := fmt.Fprintf(w, "data: %s\n\n", b); err != nil {
			return false
		}
		return http.NewResponseController(w).Flush() == nil
	}
	for i, word := range words {
		if i > 0 {
			word = " " + word
		}
		delta := map[string]any{"content": word}
		if i == 0 {
			delta["role"] = "assistant"
		}
		if !chunk([]any{map[string]any{"index": 0, "delta": delta, "finish_reason": nil}}, nil) {
			return
		}
	}
	chunk([]any{map[string]any{"index": 0, "delta": map[string]any{}, "finish_reason": "stop"}}, nil)
	if in.StreamOptions.IncludeUsage {
		chunk([]any{}, usage)
	}
	_, _ = fmt.Fprint(w, "data: [DONE]\n\n")
}

// text reads a message's content: a string, or a list of parts of which the text ones count.
func text(content json.RawMessage) string {
	var s string
	if json.Unmarshal(content, &s) == nil {
		return s
	}
	var parts []struct {
		Text string `json:"text"`
	}
	if json.Unmarshal(content, &parts) != nil {
		return ""
	}
	var b strings.Builder
	for _, p := range parts {
		b.WriteString(p.Text)
	}
	return b.String()
}

func refuse(w http.ResponseWriter, status int, kind, message string) {
	answer(w, status, map[string]any{"error": map[string]any{"message": message, "type": kind, "param": nil, "code": nil}})
}
