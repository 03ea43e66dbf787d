package route

import (
	"fmt"
	"strings"

	"postern/internal/gate"
)

// Template is a compiled path template: literal segments, "{name}" for one segment that is not empty, and "{name...}" at
// the end for all that is left, which may be empty: "/files/{rest...}" matches "/files/" and "/files/a/b/", not "/files".
type Template struct {
	segments []segment
	params   []string // names in order
}

type segmentKind uint8

const (
	literal segmentKind = iota
	parameter
	remainder
)

type segment struct {
	kind segmentKind
	text string // literal: decoded
}

// maxSegments bounds how deep a template may be.
const maxSegments = 64

// ParseTemplate reads a path template with its base path in front. Literals obey the same policy as paths of requests;
// one that no request can have after normalisation is a mistake.
func ParseTemplate(s string, slashes Slashes) (Template, *Fault) {
	var t Template
	if s == "" || s[0] != '/' {
		return t, &Fault{"the path does not start with a slash", "start it with /, or leave it empty to mean the base path itself"}
	}
	parts := strings.Split(s[1:], "/")
	if len(parts) > maxSegments {
		return t, &Fault{fmt.Sprintf("the path has more than %d segments", maxSegments), "shorten it, or match the end with {rest...}"}
	}
	for i, part := range parts {
		seg, name, fault := parseSegment(part, slashes, i == len(parts)-1)
		if fault != nil {
			return t, fault
		}
		if name != "" {
			for _, other := range t.params {
				if other == name {
					return t, &Fault{fmt.Sprintf("the parameter {%s} occurs twice", name), "give each parameter a name of its own"}
				}
			}
			t.params = append(t.params, name)
		}
		t.segments = append(t.segments, seg)
	}
	if len(t.params) > gate.MaxParams {
		return t, &Fault{fmt.Sprintf("the path has more than %d parameters", gate.MaxParams), "match the end with {rest...}"}
	}
	return t, nil
}

func parseSegment(part string, slashes Slashes, last bool) (seg segment, name string, fault *Fault) {
	if strings.ContainsAny(part, "{}") {
		name, ok := strings.CutPrefix(part, "{")
		if ok {
			name, ok = strings.CutSuffix(name, "}")
		}
		name, rest := strings.CutSuffix(name, "...")
		switch {
		case !ok || strings.ContainsAny(name, "{}"):
			return seg, "", &Fault{fmt.Sprintf("the segment %q mixes text and a parameter", part), "let a parameter fill its whole segment, such as /orders/{id}"}
		case !validName(name):
			return seg, "", &Fault{fmt.Sprintf("%q is no name of a parameter", name), "use letters, digits, _ and -, starting with a letter"}
		case rest && !last:
			return seg, "", &Fault{fmt.Sprintf("{%s...} is not at the end", name), "put it at the end of the path, or use {" + name + "} for one segment"}
		case rest:
			return segment{kind: remainder}, name, nil
		}
		return segment{kind: parameter}, name, nil
	}
	if part == "" {
		if !last {
			return seg, "", &Fault{"the path contains an empty segment (//)", "use one slash between segments"}
		}
		return segment{}, "", nil
	}
	path, fault := Normalise("/"+part, slashes)
	if fault != nil {
		return seg, "", fault
	}
	return segment{text: decoded(path[1:])}, "", nil
}

func validName(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !(c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' || i > 0 && (c >= '0' && c <= '9' || c == '-')) {
			return false
		}
	}
	return s != "" && len(s) <= 64
}
