package policy

import (
	"fmt"
	"reflect"
	"strconv"

	yaml "go.yaml.in/yaml/v4"
)

func reflectElem(d *Document) reflect.Value { return reflect.ValueOf(d).Elem() }

// merge joins the parts of a document into one whole: lists are joined in order, names are joined and must differ, and a
// single value may be said once.
func merge(parts []part) (*Document, error) {
	whole := &Document{origin: &origin{}}
	var problems Problems
	first := map[string]place{} // where a name or single value was given first
	w := reflectElem(whole)
	t := fieldsOf(w.Type())
	for i := range parts {
		p := &parts[i]
		from := partOrigin{source: p.source, nth: p.nth, base: map[string]int{}}
		for _, name := range t.names {
			from.base[name] = 0
			into, v := w.Field(t.index[name]), reflectElem(p.doc).Field(t.index[name])
			if into.Kind() == reflect.Slice {
				from.base[name] = into.Len()
			}
			if v.IsZero() {
				continue
			}
			switch into.Kind() {
			case reflect.Slice:
				for i := range v.Len() {
					if item, ok := nameOf(v.Index(i)); ok && item != "" {
						at := place{p, "/" + name + "/" + strconv.Itoa(i)}
						problems.once(first, "/"+name+"/"+item, at, func() (string, string) {
							return "/" + name + "/" + strconv.Itoa(into.Len()+i), "the name " + quoted(item)
						})
					}
				}
				into.Set(reflect.AppendSlice(into, v))
			case reflect.Map:
				if into.IsNil() {
					into.Set(reflect.MakeMapWithSize(into.Type(), v.Len()))
				}
				for _, k := range sortedKeys(v) {
					at := place{p, "/" + name + "/" + EscapePointer(k.String())}
					what := func() (string, string) { return at.pointer, quoted(k.String()) + " of " + name }
					if problems.once(first, at.pointer, at, what) {
						into.SetMapIndex(k, v.MapIndex(k))
					}
				}
			default:
				if into.IsZero() || !into.Equal(v) {
					problems.once(first, "/"+name, place{p, "/" + name}, func() (string, string) { return "/" + name, "the field " + quoted(name) })
				}
				into.Set(v)
			}
		}
		whole.origin.parts = append(whole.origin.parts, from)
	}
	if whole.Format != Format && len(problems) == 0 {
		problems = append(problems, wrongFormat(first, parts, whole.Format))
	}
	if len(problems) > 0 {
		problems.Sort()
		return nil, problems
	}
	return whole, nil
}

func wrongFormat(first map[string]place, parts []part, got int) Problem {
	at, given := first["/postern"]
	if !given {
		n := parts[0].tree
		return Problem{File: parts[0].name, Line: n.Line, Column: n.Column, Message: "the format of the document is not said",
			Remedy: fmt.Sprintf("begin with the line `postern: %d`", Format)}
	}
	n := at.node()
	return Problem{File: at.part.name, Line: n.Line, Column: n.Column, Pointer: "/postern",
		Message: fmt.Sprintf("format %d is not known to this version of Postern", got),
		Remedy:  fmt.Sprintf("write `postern: %d`, or use the version the document was written for", Format)}
}

// place is where something stands: a pointer into one part. Line and column are looked up only when they are shown.
type place struct {
	part    *part
	pointer string
}

func (p place) node() *yaml.Node { return find(p.part.tree, p.pointer) }

func (p place) String() string {
	n := p.node()
	if p.part.name == "" {
		return fmt.Sprintf("line %d, column %d", n.Line, n.Column)
	}
	return fmt.Sprintf("%s:%d:%d", p.part.name, n.Line, n.Column)
}

// once notes the first place of a name, and reports a second one as a problem. said gives the pointer into the whole and
// the words for it.
func (ps *Problems) once(first map[string]place, key string, at place, said func() (pointer, what string)) bool {
	was, twice := first[key]
	if !twice {
		first[key] = at
		return true
	}
	if len(*ps) < maxProblems {
		n := at.node()
		pointer, what := said()
		*ps = append(*ps, Problem{File: at.part.name, Pointer: pointer, Line: n.Line, Column: n.Column,
			Message: fmt.Sprintf("%s is given twice; the first is at %s", what, was), Remedy: "keep one of the two, or rename one"})
	}
	return false
}
