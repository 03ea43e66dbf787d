package openai

import (
	"bytes"

	"github.com/tidwall/gjson"

	"postern/internal/llm"
)

// usageOf reads a usage object. Classes are made not to overlap; a server that reports more cached or reasoning tokens
// than there are tokens is believed about the sum.
func usageOf(u gjson.Result) (llm.Usage, bool) {
	if !u.IsObject() {
		return llm.Usage{}, false
	}
	prompt, completion := u.Get("prompt_tokens"), u.Get("completion_tokens")
	if prompt.Type != gjson.Number && completion.Type != gjson.Number {
		return llm.Usage{}, false
	}
	in, out := max(prompt.Int(), 0), max(completion.Int(), 0)
	cached := min(max(u.Get("prompt_tokens_details.cached_tokens").Int(), 0), in)
	reasoning := min(max(u.Get("completion_tokens_details.reasoning_tokens").Int(), 0), out)
	return llm.Usage{Input: in - cached, CachedInput: cached, Output: out - reasoning, Reasoning: reasoning}, true
}

// usageScanner finds the top-level "usage" member of one JSON object that arrives in pieces of any size. It looks at each
// byte once and keeps only the value it is after.
type usageScanner struct {
	depth     int
	quoted    bool // within a string
	escaped   bool // the next byte of the string is escaped
	keyNext   bool // the next string at depth 1 is a member's name
	capturing bool
	done      bool
	key       []byte
	value     []byte
}

// mostUsage bounds the usage object that is kept, in bytes. Real ones have a few hundred.
const mostUsage = 16 << 10

func (s *usageScanner) feed(p []byte) {
	for i := 0; i < len(p) && !s.done; i++ {
		if s.quoted && !s.capturing && !s.keyNext && !s.escaped { // most of an answer: the inside of long strings
			j := bytes.IndexByte(p[i:], '"')
			if k := bytes.IndexByte(p[i:], '\\'); k >= 0 && (j < 0 || k < j) {
				j = k
			}
			if j < 0 {
				return
			}
			i += j
		}
		s.next(p[i])
	}
}

func (s *usageScanner) next(c byte) {
	if s.quoted {
		switch {
		case s.escaped:
			s.escaped = false
		case c == '\\':
			s.escaped = true
		case c == '"':
			s.quoted = false
		}
		if s.quoted && s.keyNext && s.depth == 1 && len(s.key) < 8 {
			s.key = append(s.key, c)
		}
		s.keep(c)
		return
	}
	switch c {
	case '"':
		s.quoted = true
		if s.keyNext {
			s.key = s.key[:0]
		}
	case '{', '[':
		s.depth++
		s.keyNext = s.depth == 1 && c == '{'
	case '}', ']':
		s.depth--
	case ':':
		if s.depth == 1 && s.keyNext {
			s.keyNext = false
			s.capturing = string(s.key) == "usage"
			return
		}
	}
	if s.capturing && (s.depth == 0 || s.depth == 1 && c == ',') {
		s.capturing, s.done = false, true
		return
	}
	if c == ',' && s.depth == 1 {
		s.keyNext = true
	}
	s.keep(c)
}

func (s *usageScanner) keep(c byte) {
	if !s.capturing {
		return
	}
	if len(s.value) == mostUsage {
		s.capturing, s.done, s.value = false, true, nil
		return
	}
	s.value = append(s.value, c)
}

func (s *usageScanner) usage() (llm.Usage, bool) {
	if len(s.value) == 0 || !gjson.ValidBytes(s.value) {
		return llm.Usage{}, false
	}
	return usageOf(gjson.ParseBytes(s.value))
}
