package admin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// maxDepth bounds how deep arrays and objects of a body may nest.
const maxDepth = 64

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// unmarshalStrict reads JSON and refuses what readers disagree about: names that repeat within an object, even in another
// case ("role" and "ROLE": encoding/json would take the last of them), text after the value, and deep nesting.
// Unknown names are refused by the schema.
func unmarshalStrict(data []byte, v any) error {
	if err := checkNames(data); err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		if t, ok := err.(*json.UnmarshalTypeError); ok { // its text names Go types
			return fmt.Errorf("a %s does not fit %s", t.Value, t.Field)
		}
		return err
	}
	return nil
}

func checkNames(data []byte) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var objects []map[string]bool // names of the open objects; nil for an array
	name := false                 // the next string is a name
	for first := true; ; first = false {
		t, err := dec.Token()
		if err == io.EOF && !first {
			break
		}
		if err == io.EOF {
			return fmt.Errorf("the body is empty")
		}
		if err != nil {
			return fmt.Errorf("no JSON at byte %d: %w", dec.InputOffset(), err)
		}
		if !first && len(objects) == 0 {
			return fmt.Errorf("there is text after the JSON value, at byte %d", dec.InputOffset())
		}
		switch t := t.(type) {
		case json.Delim:
			if t == '{' || t == '[' {
				if len(objects) == maxDepth {
					return fmt.Errorf("the JSON nests deeper than %d levels", maxDepth)
				}
				var names map[string]bool
				if t == '{' {
					names = map[string]bool{}
				}
				objects = append(objects, names)
				name = t == '{'
				continue
			}
			objects = objects[:len(objects)-1]
		case string:
			if name {
				top := objects[len(objects)-1]
				folded := strings.ToLower(t)
				if top[folded] {
					return fmt.Errorf("the name %q stands twice in one object, at byte %d", t, dec.InputOffset())
				}
				top[folded] = true
				name = false
				continue
			}
		}
		// A value ended: in an object the next string is a name.
		name = len(objects) > 0 && objects[len(objects)-1] != nil
	}
	return nil
}

// settable is a field of a change: left out, set to null, or given a value.
type settable[T any] struct {
	Sent, Null bool
	Value      T
}

// UnmarshalJSON implements json.Unmarshaler.
func (o *settable[T]) UnmarshalJSON(b []byte) error {
	o.Sent = true
	if string(b) == "null" {
		o.Null = true
		return nil
	}
	return json.Unmarshal(b, &o.Value)
}

// Schema implements huma.SchemaProvider.
func (o settable[T]) Schema(r huma.Registry) *huma.Schema {
	s := *r.Schema(reflect.TypeFor[T](), true, "")
	s.Nullable = true
	return &s
}

// schemaName names a type in the OpenAPI description: "Page[...Tenant]" becomes "TenantPage".
func schemaName(t reflect.Type, hint string) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	name := t.Name()
	if outer, inner, ok := strings.Cut(name, "["); ok {
		inner = strings.TrimSuffix(inner, "]")
		inner = inner[strings.LastIndexAny(inner, "./")+1:]
		name = strings.ToUpper(inner[:1]) + inner[1:] + strings.ToUpper(outer[:1]) + outer[1:]
	}
	if name == "" {
		return huma.DefaultSchemaNamer(t, hint)
	}
	return strings.ToUpper(name[:1]) + name[1:]
}
