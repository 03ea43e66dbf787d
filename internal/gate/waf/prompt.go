package waf

import (
	"encoding/json"
	"strconv"
	"strings"
	"unsafe"
)

// maxPrompt is how large a model request is read: as large as the gate guardrail reads it. What is inspected of it is far
// smaller.
const maxPrompt = 16 << 20

// maxArguments is how many names and values of a model request are inspected.
const maxArguments = 900

// controls are members whose values steer a model call. All other strings are text that somebody wrote to a model: code,
// tables, questions about SQL. Patterns of attacks are at home there, and matching them says nothing.
var controls = wordSet(`model role type object id user name detail tool_choice tool_call_id call_id format encoding_format service_tier
	effort verbosity voice size quality style response_format previous_response_id safety_identifier prompt_cache_key truncation
	mode strict language modality modalities status`)

// readPrompt takes a model request apart: the names of its members and the values that steer the call, as far as they are
// more than plain words. Text for the model is left out. It is not ok when the body is not JSON, and incomplete when there
// is more than maxArguments.
func readPrompt(body []byte) (found []argument, complete, ok bool) {
	if !json.Valid(body) {
		return nil, false, false
	}
	w := walker{s: unsafe.String(unsafe.SliceData(body), len(body))}
	w.walk()
	return w.found, !w.full, true
}

// walker goes through valid JSON once.
type walker struct {
	s     string
	stack []level
	found []argument
	full  bool
}

// level is an object or a list that is being read.
type level struct {
	key    string // of the member that is being read
	of     string // the name under which it stands itself
	index  int    // of the item
	object bool
	named  bool // the key has been read
}

func (w *walker) walk() {
	for i := 0; i < len(w.s) && !w.full; i++ {
		var top *level
		if n := len(w.stack); n > 0 {
			top = &w.stack[n-1]
		}
		switch w.s[i] {
		case '{':
			w.push(true)
		case '[':
			w.push(false)
		case '}', ']':
			w.stack = w.stack[:len(w.stack)-1]
		case ',':
			top.named = false
			top.index++
		case '"':
			end := endOfString(w.s, i)
			text := w.s[i+1 : end]
			i = end
			switch {
			case top != nil && top.object && !top.named:
				top.key, top.named = unescape(text), true
				if !plainName(top.key) {
					w.add("")
				}
			case top != nil && controls[top.member()]:
				if value := unescape(text); !plainValue(value) {
					w.add(value)
				}
			}
		}
	}
}

// push enters an object or a list. What stands in a list, stands under the name of the list.
func (w *walker) push(object bool) {
	member := ""
	if n := len(w.stack); n > 0 {
		member = w.stack[n-1].member()
	}
	w.stack = append(w.stack, level{object: object, of: member})
}

// member is the name under which the value at hand stands.
func (l *level) member() string {
	if l.object {
		return l.key
	}
	return l.of
}

func (w *walker) add(value string) {
	if len(w.found) >= maxArguments {
		w.full = true
		return
	}
	w.found = append(w.found, argument{w.path(), value})
}

// path names the place at hand as Coraza names arguments of a JSON body.
func (w *walker) path() string {
	var b strings.Builder
	b.WriteString("json")
	for i := range w.stack {
		if l := &w.stack[i]; b.Len() > 2048 {
			break
		} else if l.object {
			b.WriteString("." + l.key)
		} else {
			b.WriteString("." + strconv.Itoa(l.index))
		}
	}
	return b.String()
}

// endOfString returns where the string that begins at i has its closing quote.
func endOfString(s string, i int) int {
	for i++; s[i] != '"'; i++ {
		if s[i] == '\\' {
			i++
		}
	}
	return i
}

func unescape(inside string) string {
	if strings.IndexByte(inside, '\\') < 0 {
		return inside
	}
	var out string
	if json.Unmarshal([]byte(`"`+inside+`"`), &out) != nil {
		return inside
	}
	return out
}

// plainName reports whether a name is a word that needs no inspection. The two that lead to the prototype of an object do.
func plainName(s string) bool {
	return s != "" && s != "prototype" && s != "constructor" && plain(s, "_-") && s[0] != '_' && s[0] != '-'
}

// plainValue reports whether a value is an identifier, such as gpt-4o-mini or msg_123: it has nothing that could end one
// language and begin another.
func plainValue(s string) bool {
	return plain(s, "_-.:") && !strings.Contains(s, "..") && !strings.Contains(s, "--")
}

func plain(s, more string) bool {
	if len(s) > 64 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte(more, c) >= 0) {
			return false
		}
	}
	return true
}
