package authz

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"
)

// value is what a JSON text has at a pointer.
type value struct {
	kind kind
	text string   // of a string, unescaped; of a number, as written
	list []string // of a list of strings
	yes  bool
}

type kind uint8

const (
	absent kind = iota
	null
	text
	number
	boolean
	strings_ // a list of strings only
	other    // an object, or a list of anything else
)

func (k kind) String() string {
	return [...]string{"nothing", "null", "a string", "a number", "true or false", "a list of strings", "an object or a list"}[k]
}

// pointerFault says what is wrong with an RFC 6901 pointer, or "".
func pointerFault(p string) string {
	switch {
	case p == "":
		return "that is empty; write one such as /customer/id"
	case p[0] != '/':
		return strconv.Quote(p) + ", which does not begin with a slash"
	case len(p) > 500 || strings.Count(p, "/") > 20:
		return "that is too long"
	}
	for i := range len(p) {
		if p[i] == '~' && (i+1 == len(p) || p[i+1] != '0' && p[i+1] != '1') {
			return strconv.Quote(p) + ", where ~ must be ~0, and a slash in a name ~1"
		}
	}
	return ""
}

func pointerTokens(p string) []string {
	tokens := strings.Split(p[1:], "/")
	for i, t := range tokens {
		tokens[i] = strings.ReplaceAll(strings.ReplaceAll(t, "~1", "/"), "~0", "~")
	}
	return tokens
}

// valuesAt returns what a JSON text has at each pointer, given in tokens. fault says why the text cannot be used: two readers
// could take it for different things.
//
// RATIONALE: a member that comes twice, and one whose name differs from a wanted one in case only, are faults even where
// JSON libraries agree on a reading: which one the upstream's takes (the first, the last, any case) is not known here.
func valuesAt(body []byte, pointers [][]string) (found []value, fault string) {
	if !utf8.Valid(body) {
		return nil, "it is not UTF-8"
	}
	if !json.Valid(body) {
		return nil, "it is not JSON"
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	w := walker{d: d, found: make([]value, len(pointers))}
	at := make([]trail, len(pointers))
	for i, p := range pointers {
		at[i] = trail{i, p}
	}
	w.value(at)
	return w.found, w.fault
}

// trail is the rest of a pointer, and which one.
type trail struct {
	nth  int
	rest []string
}

type walker struct {
	d     *json.Decoder
	found []value
	fault string
}

// value reads one value, through which the trails lead. It goes no deeper than the longest of them.
func (w *walker) value(at []trail) {
	t, err := w.d.Token()
	if err != nil || w.fault != "" {
		w.broken()
		return
	}
	v := value{kind: other}
	switch t := t.(type) {
	case nil:
		v.kind = null
	case string:
		v.kind, v.text = text, t
	case json.Number:
		v.kind, v.text = number, t.String()
	case bool:
		v.kind, v.yes = boolean, t
	case json.Delim:
		if t == '{' {
			w.object(at)
		} else {
			v = w.list(at)
		}
	}
	for _, a := range at {
		if len(a.rest) == 0 {
			w.found[a.nth] = v
		}
	}
}

func (w *walker) object(at []trail) {
	seen := map[string]bool{}
	for w.fault == "" && w.d.More() {
		t, err := w.d.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			w.broken()
			return
		}
		var below []trail
		for _, a := range at {
			if len(a.rest) == 0 {
				continue
			}
			if a.rest[0] == name {
				below = append(below, trail{a.nth, a.rest[1:]})
			} else if strings.EqualFold(a.rest[0], name) {
				w.fault = "it has a member whose name differs from " + strconv.Quote(a.rest[0]) + " in case only"
				return
			}
		}
		if below == nil {
			w.skip()
			continue
		}
		if seen[name] {
			w.fault = "it has the member " + strconv.Quote(name) + " twice"
			return
		}
		seen[name] = true
		w.value(below)
	}
	w.end()
}

func (w *walker) list(at []trail) value {
	v := value{kind: strings_, list: []string{}}
	for i := 0; w.fault == "" && w.d.More(); i++ {
		var below []trail
		for _, a := range at {
			if len(a.rest) > 0 && a.rest[0] == strconv.Itoa(i) {
				below = append(below, trail{a.nth, a.rest[1:]})
			}
		}
		if below != nil {
			v.kind = other // its items are wanted, and not the list: a list of strings has nothing below its items
			w.value(below)
			continue
		}
		s, ok := w.skip()
		if !ok {
			v.kind = other
		}
		if v.kind == strings_ {
			v.list = append(v.list, s)
		}
	}
	w.end()
	if v.kind == other {
		v.list = nil
	}
	return v
}

// skip passes over one value, without calling itself; it returns the value if that is a string.
func (w *walker) skip() (s string, ok bool) {
	for depth, first := 0, true; first || depth > 0; first = false {
		t, err := w.d.Token()
		if err != nil {
			w.broken()
			return "", false
		}
		switch t := t.(type) {
		case string:
			s, ok = t, first
		case json.Delim:
			if t == '{' || t == '[' {
				depth++
			} else {
				depth--
			}
		}
		ok = ok && depth == 0
	}
	return s, ok
}

func (w *walker) end() {
	if w.fault != "" {
		return
	}
	if _, err := w.d.Token(); err != nil {
		w.broken()
	}
}

func (w *walker) broken() {
	if w.fault == "" {
		w.fault = "it is not JSON"
	}
}
