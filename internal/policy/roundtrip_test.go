package policy

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

// Any document survives being written and read again, and is written the same way every time.
func TestMarshalRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := &Document{}
		fill(t, reflect.ValueOf(d).Elem(), 0)
		d.Format = Format
		unique(d)
		text, err := Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse("written.yaml", text)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if changes := Diff(d, again); len(changes) > 0 {
			t.Fatalf("changed on the way: %v\n%s", changes, text)
		}
		twice, err := Marshal(again)
		if err != nil || !bytes.Equal(text, twice) {
			t.Fatalf("not stable (%v):\n%s\n%s", err, text, twice)
		}
		asJSON, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		fromJSON, err := Parse("written.json", asJSON)
		if err != nil {
			t.Fatalf("%v\n%s", err, asJSON)
		}
		if changes := Diff(d, fromJSON); len(changes) > 0 {
			t.Fatalf("changed on the way through JSON: %v\n%s", changes, asJSON)
		}
	})
}

var texts = rapid.OneOf(
	rapid.SampledFrom([]string{"", "no", "yes", "on", "~", "null", "Null", "true", "1", "1.10", "0x1f", "1e3", ".inf", "2026-01-01", "12:30", "-", "- a", "a: b",
		"a:", ":a", "#", "a #b", "{a}", "[a]", "&a", "*a", "!a", "|", ">", "%YAML", "@", "`", "'", "\"", " lead", "trail ", "two\nlines", "tab\t", "\x00", "\u0085",
		"\u2028", "\ufeff", "😀", "café", "<<", "=", "?", "? a", "---", "...", "${env:X}", "/orders/{id}", "*.example.com", "y", "N", "\x1b[31m", "\r\n"}),
	rapid.String(),
)

// fill puts something of every kind into a value.
func fill(t *rapid.T, v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.Pointer:
		if rapid.Bool().Draw(t, "given") {
			v.Set(reflect.New(v.Type().Elem()))
			fill(t, v.Elem(), depth+1)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() && v.Field(i).Kind() == reflect.Slice {
				v.Field(i).Set(reflect.MakeSlice(v.Field(i).Type(), 0, 0)) // a nil list is null in Go's JSON, and null is refused
			}
			if v.Type().Field(i).IsExported() && rapid.IntRange(0, 2).Draw(t, "field") == 0 {
				fill(t, v.Field(i), depth+1)
			}
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range rapid.IntRange(0, 2).Draw(t, "entries") {
			item := reflect.New(v.Type().Elem()).Elem()
			fill(t, item, depth+1)
			v.SetMapIndex(reflect.ValueOf(texts.Draw(t, "name")), item)
		}
	case reflect.Slice:
		n := rapid.IntRange(0, 2).Draw(t, "items")
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			fill(t, v.Index(i), depth+1)
		}
	case reflect.String:
		v.SetString(texts.Draw(t, "text"))
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(t, "bool"))
	case reflect.Int, reflect.Int64:
		n := rapid.Int64().Draw(t, "number")
		if v.Type() == durationType {
			n = max(0, n)
		}
		v.SetInt(n)
	case reflect.Float64:
		v.SetFloat(rapid.Float64Range(-1e300, 1e300).Draw(t, "fraction"))
	default:
		t.Fatalf("a new kind of value: %s", v.Type())
	}
}

// unique gives the items that are known by name at the top different names, as a document must have.
func unique(d *Document) {
	for i := range d.APIs {
		d.APIs[i].Name += "#" + string(rune('a'+i))
	}
	for i := range d.Listeners {
		d.Listeners[i].Name += "#" + string(rune('a'+i))
	}
	for i := range d.FloodGuard {
		d.FloodGuard[i].Name += "#" + string(rune('a'+i))
	}
}

func TestMarshalReadsWell(t *testing.T) {
	d, err := Parse("small.yaml", []byte(small))
	if err != nil {
		t.Fatal(err)
	}
	text, err := Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	const want = `postern: 1
upstreams:
  orders:
    targets:
    - url: http://127.0.0.1:9001
apis:
- name: orders
  versions:
  - version: v1
    base_path: /orders
    upstream: orders
    operations:
    - name: create-order
      title: create orders
      method: POST
      path: /
      permission: orders:create
      limits:
      - name: burst
        rate:
          requests: 5
          per: 1s
`
	if string(text) != want {
		t.Errorf("got\n%s", text)
	}
}

// An empty list within a struct makes the struct no more than an absent one, which is how it is read again.
func TestMarshalLeavesOutEmptyStructs(t *testing.T) {
	d := &Document{Format: Format, APIs: []API{{Name: "orders", Versions: []Version{{Version: "v1",
		Authn: &Authn{JWT: []JWT{{Issuer: "https://id.example", Claims: JWTClaims{Scopes: []string{}}}}}}}}}}
	text, err := Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(text, []byte("claims")) {
		t.Errorf("got\n%s", text)
	}
}

func TestDurationTexts(t *testing.T) {
	for in, want := range map[string]string{"1m": "1m", "60s": "1m", "1h": "1h", "1h30m": "1h30m", "90s": "1m30s", "10m": "10m", "20h": "20h", "500ms": "500ms", "0s": "0s", "1h0m5s": "1h0m5s"} {
		var d Duration
		if err := d.UnmarshalText([]byte(in)); err != nil || d.String() != want {
			t.Errorf("%s is written %s (%v), want %s", in, d, err, want)
		}
	}
	for _, in := range []string{"-1s", "soon", "", "5", "99999999999h"} {
		var d Duration
		if err := d.UnmarshalText([]byte(in)); err == nil {
			t.Errorf("%q was read as %s", in, d)
		}
	}
}

func TestMarshalRefusesBrokenText(t *testing.T) {
	_, err := Marshal(&Document{Format: 1, Roles: map[string]Role{"a": {Title: "\xff"}}})
	if err == nil || err.Error() != "/roles/a/title: this is not UTF-8 text" {
		t.Errorf("got %v", err)
	}
	if _, err := Marshal(&Document{Format: 1, Roles: map[string]Role{"\xff": {}}}); err == nil {
		t.Error("a broken name was written")
	}
}

func TestSchemaIsJSON(t *testing.T) {
	var s map[string]any
	if err := json.Unmarshal(Schema(), &s); err != nil {
		t.Fatal(err)
	}
	if s["$schema"] != "https://json-schema.org/draft/2020-12/schema" {
		t.Errorf("$schema is %v", s["$schema"])
	}
}
