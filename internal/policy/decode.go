package policy

import (
	"encoding"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	yaml "go.yaml.in/yaml/v4"
)

// Bounds of one document. They are far above honest use and keep a hostile one cheap.
const (
	maxProblems = 100     // reported; the rest is counted
	maxAliased  = 200_000 // values that aliases may expand to, in all
	maxDepth    = 64      // nesting that is followed
)

// decoder fills the document's types from a YAML tree. RATIONALE: the library's own decoder stops counting positions at
// the struct, accepts null for anything and reads `yes` as a boolean. Here every mistake is reported with its place, and
// nothing is guessed: a permission left blank by accident must not become an open door.
type decoder struct {
	file     string
	problems Problems
	more     int // problems beyond maxProblems
	aliased  int
	inAlias  int
	blown    bool
	active   map[*yaml.Node]bool // anchors being expanded, to find loops
}

// path is where the decoder is. It becomes a pointer only when a problem is written.
type path struct {
	up    *path
	name  string
	index int // used when name is empty and up is not nil
	list  bool
}

func (p *path) field(name string) *path { return &path{up: p, name: name} }
func (p *path) item(i int) *path        { return &path{up: p, index: i, list: true} }

func (p *path) String() string {
	if p == nil || p.up == nil {
		return ""
	}
	if p.list {
		return p.up.String() + "/" + strconv.Itoa(p.index)
	}
	return p.up.String() + "/" + EscapePointer(p.name)
}

func (d *decoder) problem(n *yaml.Node, p *path, remedy, format string, args ...any) {
	if len(d.problems) >= maxProblems {
		d.more++
		return
	}
	d.problems = append(d.problems, Problem{
		File: d.file, Pointer: p.String(), Message: fmt.Sprintf(format, args...), Remedy: remedy, Line: n.Line, Column: n.Column,
	})
}

// value decodes n into v. at is where a problem with the value as a whole is shown: its key, or n itself.
func (d *decoder) value(n, at *yaml.Node, p *path, depth int, v reflect.Value) {
	if !d.spend(1, at, p) {
		return
	}
	if depth > maxDepth {
		d.problem(at, p, "", "nested more than %d levels deep", maxDepth)
		return
	}
	if n.Kind == yaml.AliasNode {
		d.alias(n, p, func(to *yaml.Node) { d.value(to, n, p, depth+1, v) })
		return
	}
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
		d.problem(at, p, "give it a value, or remove the line", "nothing is given here: %s is expected", expected(v.Type()))
		return
	}
	if tag := n.ShortTag(); !slices.Contains(knownTags, tag) {
		d.problem(n, p, "write the value itself", "the tag %s is not supported", quoted(tag))
		return
	}
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if !d.text(n, at, p, v.Type()) {
			return
		}
		if err := u.UnmarshalText([]byte(n.Value)); err != nil {
			d.problem(n, p, "", "%s", err)
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.structure(n, at, p, depth, v)
	case reflect.Map:
		d.mapping(n, at, p, depth, v)
	case reflect.Slice:
		d.list(n, at, p, depth, v)
	case reflect.String:
		if d.text(n, at, p, v.Type()) {
			v.SetString(n.Value)
		}
	case reflect.Bool:
		d.boolean(n, at, p, v)
	case reflect.Int, reflect.Int64:
		d.whole(n, at, p, v)
	case reflect.Float64:
		d.number(n, at, p, v)
	default:
		panic("policy: no way to decode " + v.Type().String())
	}
}

var knownTags = []string{"!!map", "!!seq", "!!str", "!!int", "!!float", "!!bool", "!!null", "!!timestamp", "!!merge"}

// spend counts values that stand in the document only by way of an alias, and reports whether there may be more.
func (d *decoder) spend(values int, at *yaml.Node, p *path) bool {
	if d.inAlias > 0 {
		d.aliased += values
	}
	if d.aliased > maxAliased && !d.blown {
		d.blown = true
		d.problem(at, p, "write the values out", "the aliases of this document expand to more than %d values", maxAliased)
	}
	return !d.blown
}

// alias follows an alias, unless it leads back into itself.
func (d *decoder) alias(n *yaml.Node, p *path, follow func(*yaml.Node)) {
	to := n.Alias
	if to == nil || d.active[to] {
		d.problem(n, p, "write the value out", "the alias %s leads back into itself", quoted("*"+n.Value))
		return
	}
	if d.active == nil {
		d.active = map[*yaml.Node]bool{}
	}
	d.active[to] = true
	d.inAlias++
	follow(to)
	d.inAlias--
	delete(d.active, to)
}

// pair is one key of a mapping and its value.
type pair struct{ key, value *yaml.Node }

// pairs returns the entries of a mapping: its own, then those merged in by "<<" that it does not have itself.
func (d *decoder) pairs(n *yaml.Node, p *path, depth int) []pair {
	if !d.spend(len(n.Content)/2, n, p) {
		return nil
	}
	var own, merged []pair
	seen := make(map[string]*yaml.Node, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if k.Kind == yaml.AliasNode && k.Alias != nil && k.Alias.Kind == yaml.ScalarNode {
			k = &yaml.Node{Kind: yaml.ScalarNode, Tag: k.Alias.Tag, Value: k.Alias.Value, Style: k.Alias.Style, Line: k.Line, Column: k.Column}
		}
		switch {
		case k.Kind != yaml.ScalarNode:
			d.problem(k, p, "", "a name is expected as key, this is %s", kind(k))
		case k.ShortTag() == "!!merge":
			merged = append(merged, d.merge(v, p, depth+1)...)
		case k.ShortTag() != "!!str":
			d.problem(k, p, fmt.Sprintf("put it in quotes: %q", k.Value), "a name is expected as key, this is %s", kind(k))
		case seen[k.Value] != nil:
			first := seen[k.Value]
			d.problem(k, p.field(k.Value), "keep one of the two", "%s is given twice; the first is at line %d, column %d",
				quoted(k.Value), first.Line, first.Column)
		default:
			seen[k.Value] = k
			own = append(own, pair{k, v})
		}
	}
	for _, m := range merged {
		if seen[m.key.Value] == nil {
			seen[m.key.Value] = m.key
			own = append(own, m)
		}
	}
	return own
}

// merge returns what the value of a "<<" key brings in: a mapping, an alias of one, or a list of those.
func (d *decoder) merge(n *yaml.Node, p *path, depth int) (out []pair) {
	if depth > maxDepth {
		d.problem(n, p, "", "nested more than %d levels deep", maxDepth)
		return nil
	}
	if !d.spend(1, n, p) {
		return nil
	}
	switch n.Kind {
	case yaml.AliasNode:
		d.alias(n, p, func(to *yaml.Node) { out = d.merge(to, p, depth+1) })
	case yaml.MappingNode:
		out = d.pairs(n, p, depth+1)
	case yaml.SequenceNode:
		for _, c := range n.Content {
			if c.Kind == yaml.SequenceNode {
				d.problem(c, p, "", "<< takes a mapping or a list of mappings, this is a list in a list")
				continue
			}
			out = append(out, d.merge(c, p, depth+1)...)
		}
	default:
		d.problem(n, p, "write << with an alias, such as <<: *defaults", "<< takes a mapping, this is %s", kind(n))
	}
	return out
}

func (d *decoder) structure(n, at *yaml.Node, p *path, depth int, v reflect.Value) {
	if n.Kind != yaml.MappingNode {
		d.problem(at, p, "write its fields on lines of their own", "a mapping with fields is expected, this is %s", kind(n))
		return
	}
	t := fieldsOf(v.Type())
	seen := make(map[string]bool, len(t.names)) // given, or mistyped: that is told already
	for _, e := range d.pairs(n, p, depth) {
		name := e.key.Value
		i, ok := t.index[name]
		if !ok {
			seen[d.unknown(e.key, p.field(name), t.names)] = true
			continue
		}
		seen[name] = true
		d.value(e.value, shownAt(e), p.field(name), depth+1, v.Field(i))
	}
	if v.Type() == documentType {
		return // which fields a whole needs is asked once all its parts are merged
	}
	for _, name := range t.required {
		if !seen[name] {
			d.problem(at, p, "", "the field %s is missing", quoted(name))
		}
	}
}

// shownAt is where a problem with a value is shown: at the value when it is on a line with its key, else at the key.
func shownAt(e pair) *yaml.Node {
	if e.value.Kind == yaml.ScalarNode && e.value.Value != "" || e.value.Kind == yaml.AliasNode {
		return e.value
	}
	return e.key
}

// unknown reports a field that does not exist, and returns the one that was meant, as far as can be told.
func (d *decoder) unknown(key *yaml.Node, p *path, names []string) (near string) {
	remedy := "the fields here are " + strings.Join(names, ", ")
	if near = Suggest(key.Value, names); near != "" {
		remedy = "did you mean " + quoted(near) + "?"
	}
	d.problem(key, p, remedy, "there is no field %s here", quoted(key.Value))
	return near
}

func (d *decoder) mapping(n, at *yaml.Node, p *path, depth int, v reflect.Value) {
	if n.Kind != yaml.MappingNode {
		d.problem(at, p, "write each entry as name: value", "a mapping of names is expected, this is %s", kind(n))
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	for _, e := range d.pairs(n, p, depth) {
		item := reflect.New(v.Type().Elem()).Elem()
		d.value(e.value, shownAt(e), p.field(e.key.Value), depth+1, item)
		v.SetMapIndex(reflect.ValueOf(e.key.Value), item)
	}
}

func (d *decoder) list(n, at *yaml.Node, p *path, depth int, v reflect.Value) {
	if n.Kind != yaml.SequenceNode {
		remedy := "begin each item with a dash"
		if n.Kind == yaml.ScalarNode {
			remedy = "put it in brackets"
		}
		d.problem(at, p, remedy, "a list is expected, this is %s", kind(n))
		return
	}
	if !d.spend(len(n.Content), at, p) {
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), 0, len(n.Content)))
	for i, c := range n.Content {
		v.SetLen(i + 1)
		d.value(c, c, p.item(i), depth+1, v.Index(i))
		if d.blown {
			return
		}
	}
}

// text reports whether n is a text. RATIONALE: numbers are not taken for texts although nothing would be lost in YAML,
// because the same document goes through JSON tools, where 1.10 becomes 1.1.
func (d *decoder) text(n, at *yaml.Node, p *path, t reflect.Type) bool {
	if n.Kind == yaml.ScalarNode {
		switch n.ShortTag() {
		case "!!str", "!!timestamp", "!!merge":
			return true
		}
		remedy := "put it in quotes"
		if t == durationType {
			remedy = "add a unit, such as 500ms, 10s or 1m30s"
		}
		d.problem(n, p, remedy, "%s is expected, this is %s", expected(t), kind(n))
		return false
	}
	d.problem(at, p, "", "%s is expected, this is %s", expected(t), kind(n))
	return false
}

func (d *decoder) boolean(n, at *yaml.Node, p *path, v reflect.Value) {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!bool" {
		switch n.Value {
		case "true", "True", "TRUE", "false", "False", "FALSE":
			v.SetBool(n.Value[0]|0x20 == 't')
			return
		}
	}
	d.problem(at, p, "write true or false, without quotes", "true or false is expected, this is %s", kind(n))
}

var wholeNumber = regexp.MustCompile(`^[-+]?(0|[1-9][0-9]*)$`)

func (d *decoder) whole(n, at *yaml.Node, p *path, v reflect.Value) {
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!int" {
		remedy := "write digits only"
		if n.Kind == yaml.ScalarNode && n.Style != 0 && wholeNumber.MatchString(n.Value) {
			remedy = "remove the quotes"
		}
		d.problem(at, p, remedy, "a whole number is expected, this is %s", kind(n))
		return
	}
	if !wholeNumber.MatchString(n.Value) {
		d.problem(n, p, "write it in decimal digits only", "%s can be read in more than one way", quoted(n.Value))
		return
	}
	i, err := strconv.ParseInt(n.Value, 10, v.Type().Bits())
	if err != nil {
		d.problem(n, p, "", "%s is out of range", quoted(n.Value))
		return
	}
	v.SetInt(i)
}

var decimalNumber = regexp.MustCompile(`^[-+]?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$`)

func (d *decoder) number(n, at *yaml.Node, p *path, v reflect.Value) {
	if tag := n.ShortTag(); n.Kind != yaml.ScalarNode || tag != "!!int" && tag != "!!float" {
		d.problem(at, p, "write a decimal number without quotes, such as 0.5", "a number is expected, this is %s", kind(n))
		return
	}
	f, err := strconv.ParseFloat(n.Value, 64)
	if err != nil || math.IsInf(f, 0) || !decimalNumber.MatchString(n.Value) {
		d.problem(n, p, "write a decimal number, such as 0.5", "%s is no number that can be used here", quoted(n.Value))
		return
	}
	v.SetFloat(f)
}

// kind names what a node is, for people.
func kind(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	switch n.ShortTag() {
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "true or false"
	case "!!null":
		return "empty"
	}
	return "a text"
}

// expected names what a type takes, for people.
func expected(t reflect.Type) string {
	if t == durationType {
		return "a duration"
	}
	switch t.Kind() {
	case reflect.String:
		return "a text"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	case reflect.Slice:
		return "a list"
	}
	return "a mapping"
}

var (
	durationType = reflect.TypeFor[Duration]()
	documentType = reflect.TypeFor[Document]()
)

// fields is what a struct type looks like in a document.
type fields struct {
	names    []string // in order of declaration
	index    map[string]int
	required []string // neither omitempty nor omitzero
	omit     []string // by index: "", "empty" or "zero"
}

var fieldCache sync.Map // reflect.Type to *fields

func fieldsOf(t reflect.Type) *fields {
	if f, ok := fieldCache.Load(t); ok {
		return f.(*fields)
	}
	f := &fields{index: map[string]int{}, omit: make([]string, t.NumField())}
	for i := range t.NumField() {
		if !t.Field(i).IsExported() {
			continue
		}
		name, opts, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		f.names = append(f.names, name)
		f.index[name] = i
		if f.omit[i] = strings.TrimPrefix(opts, "omit"); opts == "" {
			f.required = append(f.required, name)
		}
	}
	got, _ := fieldCache.LoadOrStore(t, f)
	return got.(*fields)
}
