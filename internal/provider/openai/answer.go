package openai

import (
	"bytes"
	"encoding/json"
	"strings"
	"unsafe"

	"github.com/tidwall/gjson"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/llm"
	"postern/internal/provider"
)

// Answer follows an answer: a stream of server-sent events, one JSON object, or an error that is only passed on.
func (Translator) Answer(x *gate.Exchange, status int, contentType string) provider.Answer {
	mediaType, _, _ := strings.Cut(contentType, ";")
	switch {
	case status < 200 || status > 299:
		return passed{}
	case strings.EqualFold(strings.TrimSpace(mediaType), "text/event-stream"):
		return &stream{hideUsage: x.HideUsage, requestBytes: x.Body.Length()}
	default:
		return &object{requestBytes: x.Body.Length()}
	}
}

// passed is an answer from which nothing is read.
type passed struct{}

func (passed) Next(p []byte) []byte                         { return p }
func (passed) End() []byte                                  { return nil }
func (passed) Abort(decision.Said, decision.TraceID) []byte { return nil }
func (passed) Usage() (llm.Usage, bool)                     { return llm.Usage{}, false }
func (passed) SameLength() bool                             { return true }

// bytesPerToken is the rule of thumb behind estimates, which are used only when a server reports nothing or the stream
// broke off, and are marked as such.
const bytesPerToken = 4

func estimate(requestBytes, outputTokens int64) llm.Usage {
	return llm.Usage{Input: (max(requestBytes, 0) + bytesPerToken - 1) / bytesPerToken, Output: outputTokens, Estimated: true}
}

// object is a whole completion.
type object struct {
	scan         usageScanner
	seen         int64
	requestBytes int64
}

func (o *object) Next(p []byte) []byte {
	o.seen += int64(len(p))
	o.scan.feed(p)
	return p
}

func (o *object) End() []byte                                  { return nil }
func (o *object) Abort(decision.Said, decision.TraceID) []byte { return nil }
func (o *object) SameLength() bool                             { return true }

func (o *object) Usage() (llm.Usage, bool) {
	if u, ok := o.scan.usage(); ok {
		return u, true
	}
	if o.seen == 0 {
		return llm.Usage{}, false
	}
	return estimate(o.requestBytes, o.seen/bytesPerToken), true
}

// stream is server-sent events (WHATWG HTML section 9.2). It passes whole events on as they arrive; of an event that has
// not ended it keeps back up to mostHeld bytes, which no reader could use yet.
type stream struct {
	hideUsage    bool
	requestBytes int64
	held         []byte // the beginning of an event
	torn         bool   // an event longer than mostHeld is being passed on in pieces
	out          []byte
	events       int64
	usage        llm.Usage
	reported     bool
}

const mostHeld = 64 << 10

func (s *stream) SameLength() bool { return false }

// Next passes on the events that p completes.
func (s *stream) Next(p []byte) []byte {
	from := 0
	if len(s.held) > 0 {
		from = max(len(s.held)-2, 0) // the end of an event may straddle two reads
		s.held = append(s.held, p...)
		p = s.held
	}
	s.out = s.out[:0]
	start, kept := 0, 0 // p[kept:start] is judged and still to be passed on
	for {
		end := eventEnd(p, from)
		if end < 0 {
			break
		}
		if !s.torn && s.swallow(p[start:end]) {
			s.out = append(s.out, p[kept:start]...)
			kept = end
		}
		s.torn = false
		start, from = end, end
	}
	if s.torn || len(p)-start > mostHeld { // too long to be the usage event: pass it on as it comes
		s.torn = true
		start = len(p)
	}
	out := p[kept:start]
	if len(s.out) > 0 || len(s.held) > 0 { // out may lie in held, which moves below
		s.out = append(s.out, out...)
		out = s.out
	}
	s.held = append(s.held[:0], p[start:]...)
	return out
}

// eventEnd returns where the first event of p that ends at or after from is over: behind its blank line; or -1.
func eventEnd(p []byte, from int) int {
	for {
		i := bytes.IndexByte(p[from:], '\n')
		if i < 0 {
			return -1
		}
		from += i + 1
		switch {
		case from < len(p) && p[from] == '\n':
			return from + 1
		case from+1 < len(p) && p[from] == '\r' && p[from+1] == '\n':
			return from + 2
		}
	}
}

var usageName = []byte(`"usage"`)

// swallow reads one event and reports whether it is the usage event that only the gateway asked for.
func (s *stream) swallow(event []byte) bool {
	s.events++
	if !bytes.Contains(event, usageName) {
		return false
	}
	data, ok := eventData(event)
	if !ok {
		return false
	}
	u, ok := usageOf(gjson.Get(data, "usage"))
	if !ok {
		return false
	}
	s.usage, s.reported = u, true
	choices := gjson.Get(data, "choices")
	return s.hideUsage && choices.IsArray() && len(choices.Array()) == 0
}

// eventData returns the data of an event of one data line, as servers of this dialect send them.
func eventData(event []byte) (string, bool) {
	for line := range bytes.Lines(event) {
		if rest, ok := bytes.CutPrefix(line, []byte("data:")); ok {
			rest = bytes.TrimSpace(rest)
			return unsafe.String(unsafe.SliceData(rest), len(rest)), len(rest) > 0 && rest[0] == '{'
		}
	}
	return "", false
}

// End returns the rest of a stream whose last event has no blank line behind it.
func (s *stream) End() []byte {
	if len(s.held) > 0 && s.swallow(s.held) {
		return nil
	}
	return s.held
}

// Abort makes an error event, which the official SDKs raise as an API error. What was held back of an unfinished event is
// dropped; one that was passed on in part is ended first.
func (s *stream) Abort(said decision.Said, trace decision.TraceID) []byte {
	message := said.Detail
	if len(said.Remedies) > 0 {
		message += " " + said.Remedies[0]
	}
	b, _ := json.Marshal(map[string]any{"error": map[string]any{
		"message": message + " (trace " + trace.String() + ")", "type": "server_error", "param": nil, "code": said.Reason.Code,
	}}) // strings always marshal
	var out []byte
	if s.torn {
		out = append(out, "\n\n"...)
	}
	return append(append(append(out, "data: "...), b...), "\n\n"...)
}

// Usage is the last usage reported, or an estimate of one token an event when the server reported none.
func (s *stream) Usage() (llm.Usage, bool) {
	switch {
	case s.reported:
		return s.usage, true
	case s.events == 0:
		return llm.Usage{}, false
	default:
		return estimate(s.requestBytes, s.events), true
	}
}
