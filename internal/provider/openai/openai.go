// Package openai serves callers of the OpenAI Chat Completions dialect from servers that speak it too. The bytes pass
// through: only the model's name and the wish for usage are changed on the way up, and only usage is read on the way down.
//
// Source: OpenAI API reference, "Create chat completion" and "Streaming" (stream_options.include_usage).
package openai

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"unsafe"

	"github.com/tidwall/gjson"

	"postern/internal/gate"
	"postern/internal/provider"
)

// MaxBody bounds a chat request, in bytes, when the operation sets no limit of its own. Images travel in it as base64.
const MaxBody = 32 << 20

// Translator passes chat completions through. The zero value is ready.
type Translator struct{}

var _ provider.Translator = Translator{}

// ErrBody says that the body could not be had whole. The guardrail gate has read it before, so this is a fault, not a refusal.
var ErrBody = errors.New("openai: the request body is not available whole")

// Prepare renames the model, asks for usage on streams, and returns the path at the upstream.
func (Translator) Prepare(x *gate.Exchange) (string, error) {
	most := int(x.Op.BodyBytes)
	if most <= 0 {
		most = MaxBody
	}
	body, whole, err := x.Body.Peek(context.Background(), most)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrBody, err)
	}
	if !whole {
		return "", ErrBody
	}
	x.HideUsage = x.Stream && !wantsUsage(body)
	if edited := rewrite(body, x.Model.UpstreamName, x.Stream); edited != nil {
		x.Body.Replace(edited)
	}
	return x.Model.Path + "/chat/completions", nil
}

// edit replaces body[at:at+drop] by put.
type edit struct {
	at, drop int
	put      string
}

// rewrite returns the body with the model renamed and, for a stream, include_usage set; nil when it is right as it is.
// Every other byte stays: numbers keep their digits, unknown fields their place.
func rewrite(body []byte, model string, stream bool) []byte {
	doc := unsafe.String(unsafe.SliceData(body), len(body))
	var edits [2]edit
	n := 0
	if m := gjson.Get(doc, "model"); m.Index > 0 && m.Str != model {
		edits[n] = edit{m.Index, len(m.Raw), quoteJSON(model)}
		n++
	}
	if stream {
		if e, ok := askForUsage(doc); ok {
			edits[n] = e
			n++
		}
	}
	if n == 0 {
		return nil
	}
	if n == 2 && edits[1].at < edits[0].at {
		edits[0], edits[1] = edits[1], edits[0]
	}
	out := make([]byte, 0, len(body)+len(edits[0].put)+len(edits[1].put))
	from := 0
	for _, e := range edits[:n] {
		out = append(append(out, body[from:e.at]...), e.put...)
		from = e.at + e.drop
	}
	return append(out, body[from:]...)
}

// askForUsage finds the smallest edit that turns stream_options.include_usage on.
func askForUsage(doc string) (edit, bool) {
	o := gjson.Get(doc, "stream_options")
	switch {
	case o.Index == 0: // absent: put it first in the object
		for i := range len(doc) {
			if doc[i] == '{' {
				return edit{i + 1, 0, `"stream_options":{"include_usage":true},`}, true
			}
		}
		return edit{}, false
	case !o.IsObject():
		return edit{o.Index, len(o.Raw), `{"include_usage":true}`}, true
	}
	u := gjson.Get(doc, "stream_options.include_usage")
	switch {
	case u.Type == gjson.True:
		return edit{}, false
	case u.Exists():
		return edit{u.Index, len(u.Raw), "true"}, true
	}
	put := `"include_usage":true`
	if len(o.Map()) > 0 {
		put += ","
	}
	return edit{o.Index + 1, 0, put}, true
}

func quoteJSON(s string) string {
	b, _ := json.Marshal(s) // a string always marshals
	return string(b)
}

// wantsUsage reports whether the caller itself asked for the usage event of a stream.
func wantsUsage(body []byte) bool {
	return gjson.GetBytes(body, "stream_options.include_usage").Type == gjson.True
}
