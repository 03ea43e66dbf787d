package policy

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Change is one difference between two documents.
type Change struct {
	// Pointer leads to what changed, with names where list items have one: /apis/orders/versions/v1/operations/create-order/path.
	Pointer string     `json:"pointer"`
	Kind    ChangeKind `json:"kind"`
	Old     any        `json:"old,omitempty"` // as JSON would have it; nil when added
	New     any        `json:"new,omitempty"` // nil when removed
}

// ChangeKind says what happened to a value.
type ChangeKind string

const (
	Added   ChangeKind = "added"
	Removed ChangeKind = "removed"
	Changed ChangeKind = "changed"
)

// String writes the change on one line, such as "changed /apis/orders/title: \"Orders\" -> \"Order API\"".
func (c Change) String() string {
	switch c.Kind {
	case Added:
		return printable(fmt.Sprintf("added %s: %s", c.Pointer, short(c.New)))
	case Removed:
		return printable(fmt.Sprintf("removed %s: %s", c.Pointer, short(c.Old)))
	}
	return printable(fmt.Sprintf("changed %s: %s -> %s", c.Pointer, short(c.Old), short(c.New)))
}

func short(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return "?"
	}
	if r := []rune(string(b)); len(r) > 200 {
		return string(r[:200]) + "…"
	}
	return string(b)
}

// Diff lists what is different in b, in the order of the document. Only meaning counts: items with a name are matched by
// it wherever they stand, lists of plain values are compared without their order, and a default that was left out equals
// nothing else than itself left out. Upstream credentials written as literals are never shown: their change is.
func Diff(a, b *Document) []Change {
	var d differ
	d.value(reflect.ValueOf(a).Elem(), reflect.ValueOf(b).Elem(), &path{})
	return d.changes
}

type differ struct{ changes []Change }

func (d *differ) note(p *path, kind ChangeKind, before, after reflect.Value) {
	c := Change{Pointer: p.String(), Kind: kind}
	if before.IsValid() {
		c.Old = told(before)
	}
	if after.IsValid() {
		c.New = told(after)
	}
	d.changes = append(d.changes, c)
}

func (d *differ) value(a, b reflect.Value, p *path) {
	if emptyA, emptyB := absent(a), absent(b); emptyA || emptyB {
		switch {
		case emptyA && emptyB:
		case emptyA:
			d.note(p, Added, reflect.Value{}, b)
		default:
			d.note(p, Removed, a, reflect.Value{})
		}
		return
	}
	switch a.Kind() {
	case reflect.Pointer:
		d.value(a.Elem(), b.Elem(), p)
	case reflect.Struct:
		if a.Type() == credentialType {
			d.credential(a, b, p)
			return
		}
		t := fieldsOf(a.Type())
		for _, name := range t.names {
			d.value(a.Field(t.index[name]), b.Field(t.index[name]), p.field(name))
		}
	case reflect.Map:
		d.names(a, b, p)
	case reflect.Slice:
		d.list(a, b, p)
	default:
		if !a.Equal(b) {
			d.note(p, Changed, a, b)
		}
	}
}

var credentialType = reflect.TypeFor[UpstreamCredential]()

// credential compares without showing a literal secret.
func (d *differ) credential(a, b reflect.Value, p *path) {
	before, after := a.Interface().(UpstreamCredential), b.Interface().(UpstreamCredential)
	if before.Header != after.Header {
		d.changes = append(d.changes, Change{p.field("header").String(), Changed, before.Header, after.Header})
	}
	if before.Value != after.Value {
		d.changes = append(d.changes, Change{p.field("value").String(), Changed, withoutLiterals(before.Value), withoutLiterals(after.Value)})
	}
}

// absent reports whether a value says nothing. A pointer to an empty struct does say something.
func absent(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Slice, reflect.Map:
		return v.Len() == 0
	case reflect.Struct:
		return false // compared field by field
	}
	return v.IsZero()
}

func (d *differ) names(a, b reflect.Value, p *path) {
	for _, k := range sortedKeys(a) {
		if other := b.MapIndex(k); other.IsValid() {
			d.value(a.MapIndex(k), other, p.field(k.String()))
		} else {
			d.note(p.field(k.String()), Removed, a.MapIndex(k), reflect.Value{})
		}
	}
	for _, k := range sortedKeys(b) {
		if !a.MapIndex(k).IsValid() {
			d.note(p.field(k.String()), Added, reflect.Value{}, b.MapIndex(k))
		}
	}
}

func (d *differ) list(a, b reflect.Value, p *path) {
	before, namedA := byName(a)
	after, namedB := byName(b)
	switch {
	case namedA && namedB:
		for i := range a.Len() {
			name, _ := nameOf(a.Index(i))
			if j, ok := after[name]; ok {
				d.value(a.Index(i), b.Index(j), p.field(name))
			} else {
				d.note(p.field(name), Removed, a.Index(i), reflect.Value{})
			}
		}
		for j := range b.Len() {
			name, _ := nameOf(b.Index(j))
			if _, ok := before[name]; !ok {
				d.note(p.field(name), Added, reflect.Value{}, b.Index(j))
			}
		}
	case a.Type().Elem().Kind() == reflect.Struct: // names missing or given twice: only places are left
		for i := range max(a.Len(), b.Len()) {
			switch {
			case i >= a.Len():
				d.note(p.item(i), Added, reflect.Value{}, b.Index(i))
			case i >= b.Len():
				d.note(p.item(i), Removed, a.Index(i), reflect.Value{})
			default:
				d.value(a.Index(i), b.Index(i), p.item(i))
			}
		}
	default:
		if !slices.Equal(sortedTexts(a), sortedTexts(b)) {
			d.note(p, Changed, a, b)
		}
	}
}

// byName returns the place of each named item, and whether every item has a name of its own.
func byName(list reflect.Value) (map[string]int, bool) {
	at := make(map[string]int, list.Len())
	for i := range list.Len() {
		name, ok := nameOf(list.Index(i))
		if _, twice := at[name]; !ok || name == "" || twice {
			return nil, false
		}
		at[name] = i
	}
	return at, true
}

func sortedTexts(list reflect.Value) []string {
	out := make([]string, list.Len())
	for i := range out {
		out[i] = fmt.Sprint(list.Index(i).Interface())
	}
	slices.Sort(out)
	return out
}

// told copies a value as plain JSON data, with literal credentials replaced.
func told(v reflect.Value) any {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return told(v.Elem())
	case reflect.Struct:
		t := fieldsOf(v.Type())
		out := map[string]any{}
		for _, name := range t.names {
			if f := v.Field(t.index[name]); !f.IsZero() && !absent(f) {
				out[name] = told(f)
			}
		}
		if c, ok := v.Interface().(UpstreamCredential); ok {
			out["value"] = withoutLiterals(c.Value)
		}
		return out
	case reflect.Map:
		out := map[string]any{}
		for _, k := range v.MapKeys() {
			out[k.String()] = told(v.MapIndex(k))
		}
		return out
	case reflect.Slice:
		out := make([]any, v.Len())
		for i := range out {
			out[i] = told(v.Index(i))
		}
		return out
	case reflect.String:
		return v.String()
	}
	return v.Interface()
}

// withoutLiterals shows the references of a credential and a scheme in front of them ("Bearer ${env:X}"), and nothing
// else of it.
func withoutLiterals(s string) string {
	const literal = "[literal]"
	var b strings.Builder
	err := eachReference(s, func(text string) {
		switch text {
		case "", "Bearer ", "Basic ":
			b.WriteString(text)
		default:
			b.WriteString(literal)
		}
	}, func(scheme, name string) error {
		b.WriteString("${" + scheme + ":" + name + "}")
		return nil
	})
	if err != nil {
		return literal
	}
	return b.String()
}
