package policy

import (
	"reflect"
	"strconv"
	"strings"

	yaml "go.yaml.in/yaml/v4"
)

// origin is where a parsed document came from. RATIONALE: it keeps the text, not a position for every value: positions
// are wanted only when something is wrong, and then reading the text again is cheap, whereas a map of positions would
// cost several times the size of the document for as long as it serves.
type origin struct{ parts []partOrigin }

type partOrigin struct {
	source
	nth  int
	base map[string]int // how many items of each top-level list came before this part
}

// Locate says where the value at an RFC 6901 pointer was written: the file name given to Parse, line and column from 1.
// When the pointer leads nowhere, the nearest value above it is located. All are zero for a document that was not parsed.
func (d *Document) Locate(pointer string) (file string, line, column int) {
	ps := Problems{{Pointer: pointer}}
	d.LocateAll(ps)
	return ps[0].File, ps[0].Line, ps[0].Column
}

// LocateAll adds file, line and column to the problems that have a pointer only, in place.
func (d *Document) LocateAll(ps Problems) {
	if d == nil || d.origin == nil {
		return
	}
	type found struct{ depth, part int }
	best := make([]found, len(ps))
	for i, p := range d.origin.parts {
		all, bad := trees(p.source)
		if bad != nil || p.nth >= len(all) {
			continue
		}
		for j := range ps {
			if ps[j].Line > 0 && best[j].depth == 0 {
				continue // located already
			}
			pointer, ok := p.local(ps[j].Pointer)
			if !ok {
				continue
			}
			n, depth := walk(all[p.nth], pointer)
			if depth++; depth > best[j].depth {
				best[j] = found{depth, i}
				ps[j].File, ps[j].Line, ps[j].Column = p.name, n.Line, n.Column
			}
		}
	}
}

// local turns a pointer into the whole into one into this part.
func (p partOrigin) local(pointer string) (string, bool) {
	top, rest, more := strings.Cut(strings.TrimPrefix(pointer, "/"), "/")
	i, ok := fieldsOf(documentType).index[top]
	if !more || !ok || documentType.Field(i).Type.Kind() != reflect.Slice {
		return pointer, true
	}
	item, below, _ := strings.Cut(rest, "/")
	n, err := strconv.Atoi(item)
	if err != nil || n < p.base[top] {
		return "", false
	}
	pointer = "/" + top + "/" + strconv.Itoa(n-p.base[top])
	if below != "" {
		pointer += "/" + below
	}
	return pointer, true
}

// find returns the node at which the value of a pointer is shown.
func find(root *yaml.Node, pointer string) *yaml.Node {
	n, _ := walk(root, pointer)
	return n
}

// walk follows a pointer as far as it leads: it returns the node at which the value is shown, and how many tokens led there.
func walk(root *yaml.Node, pointer string) (shown *yaml.Node, depth int) {
	shown = root
	if pointer == "" {
		return root, 0
	}
	n := root
	for token := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		token = unescapePointer(token)
		n = behindAlias(n)
		switch n.Kind {
		case yaml.MappingNode:
			e, ok := entry(n, token, 0)
			if !ok {
				return shown, depth
			}
			n, shown = e.value, shownAt(e)
		case yaml.SequenceNode:
			i, err := strconv.Atoi(token)
			if err != nil || i < 0 || i >= len(n.Content) {
				return shown, depth
			}
			n = n.Content[i]
			shown = n
		default:
			return shown, depth
		}
		depth++
	}
	return shown, depth
}

func behindAlias(n *yaml.Node) *yaml.Node {
	for range maxDepth {
		if n.Kind != yaml.AliasNode || n.Alias == nil {
			break
		}
		n = n.Alias
	}
	return n
}

// entry finds a key of a mapping, its own first, then those merged in.
func entry(n *yaml.Node, key string, depth int) (pair, bool) {
	if depth > maxDepth {
		return pair{}, false
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if k := behindAlias(n.Content[i]); k.Kind == yaml.ScalarNode && k.Value == key {
			return pair{n.Content[i], n.Content[i+1]}, true
		}
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].ShortTag() != "!!merge" {
			continue
		}
		from := behindAlias(n.Content[i+1])
		several := []*yaml.Node{from}
		if from.Kind == yaml.SequenceNode {
			several = from.Content
		}
		for _, m := range several {
			if m = behindAlias(m); m.Kind == yaml.MappingNode {
				if e, ok := entry(m, key, depth+1); ok {
					return e, true
				}
			}
		}
	}
	return pair{}, false
}
