package authz

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func TestValuesAt(t *testing.T) {
	for body, want := range map[string]string{
		`{"a": {"b": "x"}}`:                    "a string x",
		`{"a": {"b": 1.50}}`:                   "a number 1.50",
		`{"a": {"b": ["x", "y"]}}`:             "a list of strings x,y",
		`{"a": {"b": ["x", 1]}}`:               "an object or a list ",
		`{"a": {"b": ["x", ["y"]]}}`:           "an object or a list ",
		`{"a": {"b": []}}`:                     "a list of strings ",
		`{"a": {"b": null}}`:                   "null ",
		`{"a": {"b": {"x": {"a": {"b": 1}}}}}`: "an object or a list ",
		`{"a": [{"b": "x"}]}`:                  "nothing ",
		`{"a": "b"}`:                           "nothing ",
		`"a"`:                                  "nothing ",
		`{"x": {"a": {"b": 1}, "a": 2}}`:       "nothing ", // twice, and nothing that is wanted
		`{"a": {"b": 1}, "a": {"b": 1}}`:       `it has the member "a" twice`,
		`{"a": {"b": 1, "b": 1}}`:              `it has the member "b" twice`,
		`{"A": {"b": 1}}`:                      `it has a member whose name differs from "a" in case only`,
		`{"a": {"\u0062": 1, "b": 1}}`:         `it has the member "b" twice`,
		`{"a": {"b": 1}} x`:                    "it is not JSON",
		`{"a": {"b": 1`:                        "it is not JSON",
		"\ufeff{}":                             "it is not JSON",
		"{\"a\": \"\xc0\"}":                    "it is not UTF-8",
		strings.Repeat("[", 100_000):           "it is not JSON",
	} {
		found, fault := valuesAt([]byte(body), [][]string{{"a", "b"}})
		got := fault
		if fault == "" {
			got = found[0].kind.String() + " " + found[0].text + strings.Join(found[0].list, ",")
		}
		if got != want {
			t.Errorf("%.60s: got %q, want %q", body, got, want)
		}
	}
	found, fault := valuesAt([]byte(`{"l": [{"id": "x"}, {"id": "y"}], "a/b": {"m~n": true}}`), [][]string{pointerTokens("/l/1/id"), pointerTokens("/l"), pointerTokens("/a~1b/m~0n")})
	if fault != "" || found[0].text != "y" || found[1].kind != other || !found[2].yes {
		t.Errorf("got %+v %s", found, fault)
	}
}

// What valuesAt finds is what encoding/json finds, where that has one reading.
func FuzzValuesAt(f *testing.F) {
	for _, seed := range []string{`{"a":{"b":"x"}}`, `{"a":[1,"b",null],"c":{}}`, `{"a":{"b":1},"a":{"b":2}}`, `[{"a":{"b":["x"]}}]`, "{\"a\":\"\\ud800\"}"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		found, fault := valuesAt(body, [][]string{{"a", "b"}, {"a"}})
		if fault != "" {
			return
		}
		var whole any
		d := json.NewDecoder(bytes.NewReader(body))
		d.UseNumber()
		if err := d.Decode(&whole); err != nil {
			t.Fatalf("read, and not JSON: %v", err)
		}
		for i, names := range [][]string{{"a", "b"}, {"a"}} {
			at, there := whole, true
			for _, n := range names {
				m, _ := at.(map[string]any)
				if at, there = m[n]; !there {
					break
				}
			}
			v := found[i]
			if !there {
				if v.kind != absent {
					t.Errorf("%v: found %v where nothing is", names, v)
				}
				continue
			}
			switch at := at.(type) {
			case nil:
				there = v.kind == null
			case string:
				there = v.kind == text && v.text == at
			case json.Number:
				there = v.kind == number && v.text == at.String()
			case bool:
				there = v.kind == boolean && v.yes == at
			case []any:
				list := []string{}
				for _, item := range at {
					if s, ok := item.(string); ok {
						list = append(list, s)
					}
				}
				there = v.kind == other && len(list) < len(at) || v.kind == strings_ && reflect.DeepEqual(v.list, list)
			default:
				there = v.kind == other
			}
			if !there {
				t.Errorf("%v: found %+v, encoding/json %v", names, v, at)
			}
		}
	})
}
