package decision

import (
	"strings"
	"testing"
)

const someKey = "postern_0123456789abcdefghijklmnopqrstuvABCDEF"

func TestKeysAreHiddenInSentences(t *testing.T) {
	for got, want := range map[string]string{
		"/orders/42":              "/orders/42",
		"/orders/" + someKey:      "/orders/[redacted]",
		"/a/" + someKey + "/b":    "/a/[redacted]/b",
		someKey + "," + someKey:   "[redacted],[redacted]",
		"x" + someKey:             "x[redacted]", // glued to something: FindKey would not take it for a key
		someKey + "Z":             "[redacted]",  // and this one neither
		someKey[:len(someKey)-10]: "[redacted]",  // cut off
		"/a/" + strings.Replace(someKey, "_", "%5F", 1):      "/a/[redacted]",
		"/a/" + strings.Replace(someKey, "_", "%5f", 1):      "/a/[redacted]",
		"/a/postern_boot_0123456789abcdefghijklmnopqrstuvAB": "/a/[redacted]",
		"posternpostern_" + someKey[8:] + "!":                "postern[redacted]!",
		"postern_postern_postern":                            "postern_postern_postern",
		"postern_requests_total":                             "postern_requests_total",
		"postern_":                                           "postern_",
		"postern%5":                                          "postern%5",
		"postern":                                            "postern",
	} {
		r := &Reason{Code: "route.x", Gate: "route", Status: 404, Public: ToAnyone, Detail: "{path|nothing} and {path.got|nothing}",
			Advice: []Advice{{ByCaller, "Ask for {path|something|'%'}."}}}
		for _, asker := range []Disclosure{ToAnyone, ToProven, ToOperator} {
			said := Refuse(r, nil, Fact{Name: "path", Want: got, Got: got, Public: ToAnyone}).Render(asker)
			if said.Detail != want+" and "+want || said.Remedies[0] != "Ask for '"+want+"'." {
				t.Errorf("%s is told %q: %q %q", asker, got, said.Detail, said.Remedies)
			}
		}
	}
}

func FuzzHideKeys(f *testing.F) {
	f.Add("/orders/", "/x")
	f.Add("postern_", "%5f")
	f.Add("%", "_")
	f.Fuzz(func(t *testing.T, before, after string) {
		hidden := hideKeys(before + someKey + after)
		if strings.Contains(hidden, someKey[8:28]) {
			t.Fatalf("%q + key + %q: %q", before, after, hidden)
		}
		if again := hideKeys(hidden); again != hidden {
			t.Fatalf("%q becomes %q", hidden, again)
		}
	})
}
