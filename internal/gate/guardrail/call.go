package guardrail

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
	"unsafe"
)

// maxModel bounds the name of a model in a request.
const maxModel = 256

// call is what the gateway needs to know of a model request.
type call struct {
	model  string // may be a view of the body
	stream bool
}

// readCall reads the model and the stream flag from a body, or says what is wrong with it, in words for the caller.
//
// It refuses what two readers could take differently: invalid JSON or UTF-8, either name twice, and a name that differs from
// one of them in case only, because some servers (those that use Go's encoding/json, for one) would let it win.
func readCall(body []byte) (c call, fault string) {
	if len(body) == 0 {
		return c, "it is empty"
	}
	s := scanner{s: unsafe.String(unsafe.SliceData(body), len(body))}
	fault = s.document()
	switch {
	case fault != "":
		return call{}, fault
	case !utf8.Valid(body):
		return call{}, "it is not valid UTF-8"
	case s.seen&sawModel == 0:
		return call{}, `it has no "model"`
	}
	return s.found, ""
}

// Members of the object that have been seen.
const (
	sawModel = 1 << iota
	sawStream
)

// member takes note of a key of the outermost object. It returns which one it is, or 0, or a fault.
func (s *scanner) member(key string) (which int, fault string) {
	if len(key) > 64 {
		return 0, ""
	}
	if strings.IndexByte(key, '\\') >= 0 {
		key = unquote(key)
	}
	switch {
	case key == "model":
		which = sawModel
	case key == "stream":
		which = sawStream
	case strings.EqualFold(key, "model") || strings.EqualFold(key, "stream"):
		return 0, fmt.Sprintf("the name %q is spelled unlike %q", key, strings.ToLower(key))
	}
	if s.seen&which != 0 {
		return 0, fmt.Sprintf("%q occurs twice", key)
	}
	s.seen |= which
	return which, ""
}

// value takes note of the value of such a member, given as it is written.
func (s *scanner) value(which int, raw string) (fault string) {
	switch which {
	case sawModel:
		if raw[0] != '"' {
			return `"model" is not a string`
		}
		name := raw[1 : len(raw)-1]
		if strings.IndexByte(name, '\\') >= 0 {
			name = unquote(name)
		}
		switch {
		case name == "":
			return `"model" is empty`
		case len(name) > maxModel:
			return fmt.Sprintf(`"model" is longer than %d bytes`, maxModel)
		}
		s.found.model = name
	case sawStream:
		switch raw {
		case "true":
			s.found.stream = true
		case "false", "null":
		default:
			return `"stream" is neither true nor false`
		}
	}
	return ""
}

// unquote undoes the escapes in a string, which has been checked.
func unquote(inside string) (out string) {
	if err := json.Unmarshal([]byte(`"`+inside+`"`), &out); err != nil {
		panic("guardrail: a string that was checked cannot be read: " + err.Error())
	}
	return out
}
