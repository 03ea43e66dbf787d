package policy

import (
	"encoding"
	"fmt"
	"reflect"
	"strconv"
	"unicode/utf8"

	yaml "go.yaml.in/yaml/v4"
)

// Marshal writes a document as YAML: fields in the order of their declaration, names sorted, defaults left out, so that
// equal documents are equal texts. Comments and anchors of the text it was parsed from are not kept. It fails when a text
// in the document is not UTF-8.
func Marshal(d *Document) ([]byte, error) {
	n, err := encode(reflect.ValueOf(*d), &path{})
	if err != nil {
		return nil, err
	}
	out, err := yaml.Dump(n, yaml.WithIndent(2), yaml.WithLineWidth(-1))
	if err != nil {
		return nil, fmt.Errorf("writing the document: %w", err)
	}
	return out, nil
}

func encode(v reflect.Value, p *path) (*yaml.Node, error) {
	if m, ok := v.Interface().(encoding.TextMarshaler); ok {
		b, err := m.MarshalText()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p, err)
		}
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: string(b)}, nil
	}
	switch v.Kind() {
	case reflect.Pointer:
		return encode(v.Elem(), p)
	case reflect.Struct:
		return encodeStruct(v, p)
	case reflect.Map:
		n := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		for _, k := range sortedKeys(v) {
			if err := add(n, k.String(), v.MapIndex(k), p.field(k.String())); err != nil {
				return nil, err
			}
		}
		return n, nil
	case reflect.Slice:
		n := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		for i := range v.Len() {
			item, err := encode(v.Index(i), p.item(i))
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, item)
		}
		if plain(n) {
			n.Style = yaml.FlowStyle
		}
		return n, nil
	case reflect.String:
		if !utf8.ValidString(v.String()) {
			return nil, fmt.Errorf("%s: this is not UTF-8 text", p)
		}
		return scalar("!!str", v.String()), nil
	case reflect.Bool:
		return scalar("!!bool", strconv.FormatBool(v.Bool())), nil
	case reflect.Int, reflect.Int64:
		return scalar("!!int", strconv.FormatInt(v.Int(), 10)), nil
	case reflect.Float64:
		return scalar("!!float", strconv.FormatFloat(v.Float(), 'f', -1, 64)), nil
	}
	panic("policy: no way to encode " + v.Type().String())
}

func encodeStruct(v reflect.Value, p *path) (*yaml.Node, error) {
	n := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	t := fieldsOf(v.Type())
	for _, name := range t.names {
		f := v.Field(t.index[name])
		switch t.omit[t.index[name]] {
		case "empty":
			if (f.Kind() == reflect.Slice || f.Kind() == reflect.Map) && f.Len() == 0 {
				continue
			}
			fallthrough
		case "zero":
			if f.IsZero() || f.Kind() == reflect.Struct && saysNothing(f) {
				continue
			}
		}
		if err := add(n, name, f, p.field(name)); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// saysNothing reports whether a struct would be written as {}: it is not zero to Go, because of a list that is empty instead
// of nil, yet it is once it was read again, and would then be left out.
func saysNothing(v reflect.Value) bool {
	n, err := encodeStruct(v, nil)
	return err == nil && len(n.Content) == 0
}

func add(n *yaml.Node, key string, v reflect.Value, p *path) error {
	if !utf8.ValidString(key) {
		return fmt.Errorf("%s: this name is not UTF-8 text", p)
	}
	value, err := encode(v, p)
	if err != nil {
		return err
	}
	n.Content = append(n.Content, scalar("!!str", key), value)
	return nil
}

// scalar builds a scalar of that type. A text that would be read as something else is put in quotes.
func scalar(tag, value string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: value}
	if tag == "!!str" && !safePlain(value) {
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}

// safePlain reports whether a text can stand without quotes and be read as the same text by every YAML reader, those of
// YAML 1.1 included, to which `no` is false and 1:30 a number. It is narrower than it would have to be.
func safePlain(s string) bool {
	if s == "" || s[len(s)-1] == ' ' || s[len(s)-1] == ':' || !letterOr(s[0], "/") {
		return false
	}
	for i := range len(s) {
		if !letterOr(s[i], "0123456789-_./:{}@* ") || s[i] == ':' && s[i+1] == ' ' {
			return false
		}
	}
	switch len(s) {
	case 1:
		return s != "y" && s != "n" && s != "Y" && s != "N"
	case 2, 3, 4, 5:
		switch squeeze(s) {
		case "on", "no", "off", "yes", "nan", "inf", "true", "null", "false":
			return false
		}
	}
	return true
}

func letterOr(c byte, others string) bool {
	if 'a' <= c|0x20 && c|0x20 <= 'z' {
		return true
	}
	for i := range len(others) {
		if others[i] == c {
			return true
		}
	}
	return false
}

// plain reports whether a list is a short one of plain values, which reads better on one line.
func plain(n *yaml.Node) bool {
	length := 0
	for _, c := range n.Content {
		if c.Kind != yaml.ScalarNode {
			return false
		}
		length += len(c.Value) + 2
	}
	return length <= 80
}
