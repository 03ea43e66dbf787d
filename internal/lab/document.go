package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"postern/internal/policy"
)

// editAt returns a document that differs from d in the value at an RFC 6901 pointer, which fn changes. Everything on the
// way there is copied and the rest shared, so that d stays as it is: fn replaces lists and maps it changes, as append to a
// clipped one does.
func editAt[T any](d *policy.Document, pointer string, fn func(*T) error) (*policy.Document, error) {
	out := *d
	err := descend(reflect.ValueOf(&out).Elem(), tokens(pointer), func(v reflect.Value) error {
		value, ok := v.Addr().Interface().(*T)
		if !ok {
			return fmt.Errorf("lab: at %s there is a %s", pointer, v.Type())
		}
		return fn(value)
	})
	if err != nil {
		return nil, err
	}
	return &out, nil
}

// valueAt returns the value at a pointer of a document.
func valueAt[T any](d *policy.Document, pointer string) (found T, ok bool) {
	_, err := editAt(d, pointer, func(v *T) error {
		found = *v
		return nil
	})
	return found, err == nil
}

func tokens(pointer string) []string {
	if pointer == "" {
		return nil
	}
	out := strings.Split(strings.TrimPrefix(pointer, "/"), "/")
	for i, t := range out {
		out[i] = strings.ReplaceAll(strings.ReplaceAll(t, "~1", "/"), "~0", "~")
	}
	return out
}

var errNowhere = errors.New("lab: the pointer leads nowhere")

// descend calls fn with the value that the tokens lead to from v, after copying what lies on the way.
func descend(v reflect.Value, tokens []string, fn func(reflect.Value) error) error {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return errNowhere
		}
		fresh := reflect.New(v.Type().Elem())
		fresh.Elem().Set(v.Elem())
		v.Set(fresh)
		v = fresh.Elem()
	}
	if len(tokens) == 0 {
		return fn(v)
	}
	switch token := tokens[0]; v.Kind() {
	case reflect.Struct:
		if f, ok := fieldOf(v, token); ok {
			return descend(f, tokens[1:], fn)
		}
	case reflect.Slice:
		i, err := strconv.Atoi(token)
		if err != nil || i < 0 || i >= v.Len() {
			return errNowhere
		}
		fresh := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		reflect.Copy(fresh, v)
		v.Set(fresh)
		return descend(v.Index(i), tokens[1:], fn)
	case reflect.Map:
		key := reflect.ValueOf(token)
		if !v.MapIndex(key).IsValid() {
			return errNowhere
		}
		fresh := reflect.MakeMapWithSize(v.Type(), v.Len())
		for it := v.MapRange(); it.Next(); {
			fresh.SetMapIndex(it.Key(), it.Value())
		}
		v.Set(fresh)
		item := reflect.New(v.Type().Elem()).Elem() // what a map holds cannot be changed in place
		item.Set(v.MapIndex(key))
		if err := descend(item, tokens[1:], fn); err != nil {
			return err
		}
		fresh.SetMapIndex(key, item)
		return nil
	}
	return errNowhere
}

// fieldOf finds the field of a struct by its name in the document.
func fieldOf(v reflect.Value, name string) (reflect.Value, bool) {
	t := v.Type()
	for i := range t.NumField() {
		tag, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if tag == name && t.Field(i).IsExported() {
			return v.Field(i), true
		}
	}
	return reflect.Value{}, false
}

// place is where an operation stands in a document.
type place struct {
	api, version, operation int // operation is -1 for those that Postern generates
	pointer                 string
}

// placeOf reads the pointer of an operation.
func placeOf(pointer string) (p place, ok bool) {
	p.operation, p.pointer = -1, pointer
	if n, _ := fmt.Sscanf(pointer, "/apis/%d/versions/%d/operations/%d", &p.api, &p.version, &p.operation); n < 2 {
		return p, false
	}
	return p, true
}

func (p place) versionPointer() string { return fmt.Sprintf("/apis/%d/versions/%d", p.api, p.version) }

// setJSON replaces a member of a JSON object.
func setJSON(body []byte, name, value string) ([]byte, error) {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(body, &object); err != nil {
		return nil, fmt.Errorf("lab: the body is no JSON object: %w", err)
	}
	text, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("lab: writing %s: %w", name, err)
	}
	object[name] = text
	return json.Marshal(object)
}
