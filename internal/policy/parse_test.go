package policy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const small = `postern: 1
upstreams:
  orders:
    targets: [{url: "http://127.0.0.1:9001"}]
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
                rate: {requests: 5, per: 1s}
`

func TestParseReadsADocument(t *testing.T) {
	d, err := Parse("gateway.yaml", []byte(small))
	if err != nil {
		t.Fatal(err)
	}
	op := d.APIs[0].Versions[0].Operations[0]
	if op.Permission != "orders:create" || op.Limits[0].Rate.Per != Duration(time.Second) || d.Upstreams["orders"].Targets[0].URL != "http://127.0.0.1:9001" {
		t.Fatalf("read wrongly: %+v", d)
	}
}

func TestParseReadsJSON(t *testing.T) {
	for name, src := range map[string]string{
		"compact":         `{"postern":1,"roles":{"clerk":{"title":"\ud83d\ude00 \\ud83d\\ude00 \u00e9 \/","permissions":["a:b"]}}}`,
		"tabs":            "{\n\t\"postern\": 1,\n\t\"roles\": {\n\t\t\"clerk\": {\"title\": \"\\ud83d\\ude00 \\\\ud83d\\\\ude00 é /\", \"permissions\": [\"a:b\"]}\n\t}\n}\n",
		"byte order mark": "\ufeff" + `{"postern":1,"roles":{"clerk":{"title":"😀 \\ud83d\\ude00 é /","permissions":["a:b"]}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			d, err := Parse("gateway.json", []byte(src))
			if err != nil {
				t.Fatal(err)
			}
			if got, want := d.Roles["clerk"].Title, `😀 \ud83d\ude00 é /`; got != want {
				t.Errorf("title %q, want %q", got, want)
			}
		})
	}
}

// Every mistake is told with its place and what to do.
func TestParseMistakes(t *testing.T) {
	for _, c := range []struct{ name, src, want string }{
		{"nothing", "", "f: the document is empty; begin with the line `postern: 1`"},
		{"only comments", "# soon\n---\n", "f: the document is empty; begin with the line `postern: 1`"},
		{"no format", "roles: {}\n", "f:1:1: the format of the document is not said; begin with the line `postern: 1`"},
		{"newer format", "# hello\npostern: 2\n", "f:2:10: /postern: format 2 is not known to this version of Postern; write `postern: 1`, or use the version the document was written for"},
		{"a list", "- postern: 1\n", "f:1:1: a mapping with fields is expected, this is a list; write its fields on lines of their own"},
		{"a sentence", "hello\n", "f:1:1: a mapping with fields is expected, this is a text; write its fields on lines of their own"},
		{"unknown field", "postern: 1\napis:\n  - name: a\n    versions:\n      - version: v1\n        basePath: /x\n",
			"f:6:9: /apis/0/versions/0/basePath: there is no field `basePath` here; did you mean `base_path`?"},
		{"unknown field, nothing near", "postern: 1\nroles:\n  clerk: {colour: red}\n",
			"f:3:11: /roles/clerk/colour: there is no field `colour` here; the fields here are title, permissions, inherits"},
		{"twisted letters", "postern: 1\nupstraems: {}\n", "f:2:1: /upstraems: there is no field `upstraems` here; did you mean `upstreams`?"},
		{"twice", "postern: 1\nroles:\n  clerk: {}\n  clerk: {}\n",
			"f:4:3: /roles/clerk: `clerk` is given twice; the first is at line 3, column 3; keep one of the two"},
		{"field twice", "postern: 1\nportal_url: a\nportal_url: b\n",
			"f:3:1: /portal_url: `portal_url` is given twice; the first is at line 2, column 1; keep one of the two"},
		{"list for a text", "postern: 1\napis:\n  - name: a\n    versions:\n      - version: v1\n        operations:\n          - name: x\n            method: [GET]\n            path: /\n",
			"f:8:13: /apis/0/versions/0/operations/0/method: a text is expected, this is a list"},
		{"text for a list", "postern: 1\nroles:\n  clerk:\n    permissions: orders:create\n",
			"f:4:18: /roles/clerk/permissions: a list is expected, this is a text; put it in brackets"},
		{"number for a text", "postern: 1\napis:\n  - name: a\n    versions:\n      - version: 1.10\n",
			"f:5:18: /apis/0/versions/0/version: a text is expected, this is a number; put it in quotes"},
		{"number for a duration", "postern: 1\nlisteners:\n  - {name: a, address: \":80\", timeouts: {idle: 30}}\n",
			"f:3:48: /listeners/0/timeouts/idle: a duration is expected, this is a number; add a unit, such as 500ms, 10s or 1m30s"},
		{"no duration", "postern: 1\nlisteners:\n  - {name: a, address: \":80\", timeouts: {idle: soon}}\n",
			"f:3:48: /listeners/0/timeouts/idle: \"soon\" is no duration: write a number with a unit, such as 500ms, 10s or 1m30s"},
		{"quoted number", "postern: 1\nlisteners:\n  - {name: a, address: \":80\", limits: {header_bytes: \"100\"}}\n",
			"f:3:54: /listeners/0/limits/header_bytes: a whole number is expected, this is a text; remove the quotes"},
		{"fraction", "postern: 1\nlisteners:\n  - {name: a, address: \":80\", limits: {header_bytes: 1.5}}\n",
			"f:3:54: /listeners/0/limits/header_bytes: a whole number is expected, this is a number; write digits only"},
		{"octal", "postern: 1\nlisteners:\n  - {name: a, address: \":80\", limits: {header_bytes: 0100}}\n",
			"f:3:54: /listeners/0/limits/header_bytes: `0100` can be read in more than one way; write it in decimal digits only"},
		{"too large a number", "postern: 1\nlisteners:\n  - {name: a, address: \":80\", limits: {body_bytes: 9223372036854775808}}\n",
			"f:3:52: /listeners/0/limits/body_bytes: `9223372036854775808` is out of range"},
		{"yes", "postern: 1\nlisteners:\n  - {name: a, address: \":80\", h2c: yes}\n",
			"f:3:36: /listeners/0/h2c: true or false is expected, this is a text; write true or false, without quotes"},
		{"not a number", "postern: 1\nupstreams: {a: {targets: [], circuit: {failure_rate: .nan}}}\n",
			"f:2:54: /upstreams/a/circuit/failure_rate: `.nan` is no number that can be used here; write a decimal number, such as 0.5"},
		{"a permission left blank", "postern: 1\napis:\n  - name: a\n    versions:\n      - version: v1\n        operations:\n          - name: x\n            method: GET\n            path: /\n            permission:\n",
			"f:10:13: /apis/0/versions/0/operations/0/permission: nothing is given here: a text is expected; give it a value, or remove the line"},
		{"an allow list left blank", "postern: 1\napis:\n  - name: a\n    versions:\n      - version: v1\n        ip:\n          allow: ~\n",
			"f:7:18: /apis/0/versions/0/ip/allow: nothing is given here: a list is expected; give it a value, or remove the line"},
		{"missing fields", "postern: 1\napis:\n  - title: A\n",
			"f:3:5: /apis/0: the field `name` is missing\nf:3:5: /apis/0: the field `versions` is missing"},
		{"a mistyped field is not missing as well", "postern: 1\napis:\n  - {name: a, versons: []}\n", "f:3:15: /apis/0/versons: there is no field `versons` here; did you mean `versions`?"},
		{"key that is a number", "postern: 1\nroles:\n  1: {}\n", "f:3:3: /roles: a name is expected as key, this is a number; put it in quotes: \"1\""},
		{"key that is a list", "postern: 1\nroles:\n  ? [a]\n  : {}\n", "f:3:5: /roles: a name is expected as key, this is a list"},
		{"tag", "postern: 1\nportal_url: !env X\n", "f:2:13: /portal_url: the tag `!env` is not supported; write the value itself"},
		{"open bracket", "postern: 1\nroles: [\n", "f:3:1: this is not valid YAML: did not find expected node content; check the indentation, quotes and brackets from here upwards"},
		{"tab", "postern: 1\nroles:\n\tclerk: {}\n", "f:3:1: this is not valid YAML: found character that cannot start any token; check the indentation, quotes and brackets from here upwards"},
		{"unknown alias", "postern: 1\nroles: *r\n", "f:2:8: this is not valid YAML: unknown anchor 'r' referenced; check the indentation, quotes and brackets from here upwards"},
		{"alias loop", "postern: 1\nroles:\n  a: &a\n    inherits: [*a]\n", "f:4:16: /roles/a/inherits/0: a text is expected, this is a mapping"},
		{"merge of a text", "postern: 1\nroles:\n  a:\n    <<: text\n", "f:4:9: /roles/a: << takes a mapping, this is a text; write << with an alias, such as <<: *defaults"},
		{"control character", "postern: 1\nportal_url: \x1b[31m\n", "f:2:13: the control character U+001B is not allowed here; remove it, or write it as an escape in double quotes"},
		{"Latin-1", "postern: 1\nportal_url: caf\xe9\n", "f:2:16: this is not UTF-8 text; save the document as UTF-8"},
		{"UTF-16", "\xff\xfep\x00", "f:1:1: the document is written in UTF-16; save it as UTF-8"},
		{"two at once", "postern: 1\nrolls: {}\nportal_url: [a]\n",
			"f:2:1: /rolls: there is no field `rolls` here; did you mean `roles`?\nf:3:1: /portal_url: a text is expected, this is a list"},
		{"parts that disagree", "postern: 1\nportal_url: https://a\n---\npostern: 1\nportal_url: https://b\n",
			"f:5:13: /portal_url: the field `portal_url` is given twice; the first is at f:2:13; keep one of the two, or rename one"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse("f", []byte(c.src))
			if err == nil {
				t.Fatalf("accepted; want %s", c.want)
			}
			if got := err.Error(); got != c.want {
				t.Errorf("\n got %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestParseWithoutNameSaysLineAndColumn(t *testing.T) {
	_, err := Parse("", []byte("postern: 1\nportal_url: [a]\n"))
	if want := "line 2, column 1: /portal_url: a text is expected, this is a list"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestParseAnchorsAndMergeKeys(t *testing.T) {
	d, err := Parse("f", []byte(`%YAML 1.2
---
postern: 1
upstreams:
  a: &defaults
    targets: &t [{url: http://a}]
    balance: least_request
    timeouts: {connect: 1s}
  b:
    <<: *defaults
    balance: round_robin
  c:
    <<: [{host: pass}, *defaults, {host: target}]
    targets: *t
`))
	if err != nil {
		t.Fatal(err)
	}
	if b := d.Upstreams["b"]; b.Balance != "round_robin" || b.Targets[0].URL != "http://a" || b.Timeouts.Connect != Duration(time.Second) {
		t.Errorf("b = %+v", b)
	}
	if c := d.Upstreams["c"]; c.Balance != "least_request" || c.Host != "pass" || len(c.Targets) != 1 {
		t.Errorf("c = %+v", c)
	}
}

// A few hundred bytes must not become a gigabyte.
func TestParseStopsAliasBombs(t *testing.T) {
	var lists, merges strings.Builder
	lists.WriteString("postern: 1\nroles:\n  r0: &a0 {permissions: [x, x, x, x, x, x, x, x, x, x]}\nplans:\n")
	lists.WriteString("  p: {limits: &l [" + strings.Repeat("{name: x, rate: {requests: 1, per: 1s}},", 2000) + "]}\n")
	for i := range 200 {
		lists.WriteString("  p" + string(rune('a'+i%26)) + strings.Repeat("x", i) + ": {limits: *l}\n")
	}
	merges.WriteString("postern: 1\nroles:\n  r0: &a0 {title: x}\n")
	prev := "a0"
	for i := 1; i < 40; i++ {
		name := "a" + string(rune('a'+i%26)) + strings.Repeat("z", i)
		merges.WriteString("  " + name + ": &" + name + " {<<: [*" + prev + strings.Repeat(", *"+prev, 9) + "]}\n")
		prev = name
	}
	wide := "postern: 1\nroles:\n  r: &w {" + strings.Repeat("a: 1, ", 5000) + "}\n" + strings.Repeat("  r: *w\n", 5000)
	for name, src := range map[string]string{"lists": lists.String(), "merges": merges.String(), "wide": wide} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("f", []byte(src))
			if err == nil {
				t.Fatal("accepted")
			}
			if name != "wide" && !strings.Contains(err.Error(), "the aliases of this document expand to more than 200000 values; write the values out") {
				t.Errorf("got %.300s", err)
			}
		})
	}
}

func TestParseReportsAHundredProblemsAndCountsTheRest(t *testing.T) {
	_, err := Parse("f", []byte("postern: 1\nroles:\n  r: {"+strings.Repeat("zz: 1, ", 1)+"}\ntrusted_proxies: ["+strings.Repeat("1,", 500)+"]\n"))
	ps, ok := err.(Problems)
	if !ok || len(ps) != maxProblems+1 || ps[maxProblems].Message != "and 401 more problems" {
		t.Fatalf("%d problems, last %v", len(ps), ps[len(ps)-1])
	}
}

func TestParseTenMegabytes(t *testing.T) {
	var b strings.Builder
	b.WriteString("postern: 1\nroles:\n")
	for i := 0; b.Len() < 10<<20; i++ {
		b.WriteString("  role-" + strings.Repeat("x", i%7) + time.Duration(i).String() + ":\n    title: \"" + strings.Repeat("A role with a long title. ", 16) + "\"\n    permissions: [orders:create, orders:read]\n")
	}
	d, err := Parse("big.yaml", []byte(b.String()))
	if err != nil {
		t.Fatalf("%.200s", err)
	}
	if len(d.Roles) < 10_000 {
		t.Errorf("%d roles", len(d.Roles))
	}
}

func TestParseFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return p
	}
	write("ok/10-base.yaml", "postern: 1\ntrusted_proxies: [10.0.0.0/8]\nroles: {clerk: {}}\n")
	write("ok/20-orders.yml", "apis:\n  - name: orders\n    versions: []\n---\napis:\n  - name: stock\n    versions:\n      - version: v1\n        upstream: gone\n")
	write("ok/30-more.json", `{"postern": 1, "trusted_proxies": ["192.168.0.0/16"], "apis": [{"name": "more", "versions": []}]}`)
	write("ok/.hidden.yaml", "nonsense")
	write("ok/readme.md", "nonsense")
	write("twice/a.yaml", "postern: 1\nroles:\n  clerk: {}\napis:\n  - name: orders\n    versions: []\n")
	write("twice/b.yaml", "apis:\n  - {name: stock, versions: []}\n  - name: orders\n    versions: []\nroles:\n  clerk: {}\n")
	write("empty/readme.md", "nothing here")

	d, err := ParseFiles(filepath.Join(dir, "ok"))
	if err != nil {
		t.Fatal(err)
	}
	if len(d.APIs) != 3 || len(d.TrustedProxies) != 2 || d.APIs[2].Name != "more" {
		t.Errorf("joined wrongly: %+v", d)
	}
	for pointer, want := range map[string]struct {
		file   string
		line   int
		column int
	}{
		"/apis/1/versions/0/upstream":  {"20-orders.yml", 9, 19},
		"/apis/1/versions/0/nonsense":  {"20-orders.yml", 8, 9},
		"/apis/0/name":                 {"20-orders.yml", 2, 11},
		"/apis/2/name":                 {"30-more.json", 1, 73},
		"/trusted_proxies/1":           {"30-more.json", 1, 36},
		"/roles/clerk/permissions":     {"10-base.yaml", 3, 9},
		"/trusted_proxies/0":           {"10-base.yaml", 2, 19},
		"/upstreams/none/targets/0/xx": {"10-base.yaml", 1, 1},
	} {
		file, line, column := d.Locate(pointer)
		if filepath.Base(file) != want.file || line != want.line || column != want.column {
			t.Errorf("%s is at %s:%d:%d, want %v", pointer, filepath.Base(file), line, column, want)
		}
	}

	_, err = ParseFiles(filepath.Join(dir, "twice"))
	a, b := filepath.Join(dir, "twice", "a.yaml"), filepath.Join(dir, "twice", "b.yaml")
	want := b + ":3:5: /apis/2: the name `orders` is given twice; the first is at " + a + ":5:5; keep one of the two, or rename one\n" +
		b + ":6:3: /roles/clerk: `clerk` of roles is given twice; the first is at " + a + ":3:3; keep one of the two, or rename one"
	if err == nil || err.Error() != want {
		t.Errorf("\n got %v\nwant %s", err, want)
	}

	_, err = ParseFiles(filepath.Join(dir, "empty"), filepath.Join(dir, "gone.yaml"))
	want = filepath.Join(dir, "empty") + ": the folder has no *.yaml, *.yml or *.json file; name a file, or put one there\n" +
		filepath.Join(dir, "gone.yaml") + ": there is no such file or folder; check the path and its permissions"
	if err == nil || err.Error() != want {
		t.Errorf("\n got %v\nwant %s", err, want)
	}
}

func TestLocateAllKeepsWhatIsKnown(t *testing.T) {
	d, err := Parse("gateway.yaml", []byte(small))
	if err != nil {
		t.Fatal(err)
	}
	ps := Problems{
		{Pointer: "/apis/0/versions/0/upstream", Message: "there is no upstream `orders`"},
		{Pointer: "/apis/0/versions/0/operations/0/limits/0/rate/requests", Message: "kept", File: "other", Line: 7, Column: 8},
	}
	d.LocateAll(ps)
	if want := "gateway.yaml:10:19: /apis/0/versions/0/upstream: there is no upstream `orders`\nother:7:8: /apis/0/versions/0/operations/0/limits/0/rate/requests: kept"; ps.Error() != want {
		t.Errorf("\n got %s\nwant %s", ps.Error(), want)
	}
	(&Document{}).LocateAll(ps) // made by hand: nothing to say, nothing to break
}

func TestLocateFollowsAliasesAndMergeKeys(t *testing.T) {
	d, err := Parse("f", []byte("postern: 1\nupstreams:\n  a: &a\n    targets: &t\n      - url: http://a\n    host: pass\n  b:\n    <<: *a\n    balance: round_robin\n  c:\n    <<: [{host: target}, *a]\n  d:\n    targets: *t\n"))
	if err != nil {
		t.Fatal(err)
	}
	for pointer, want := range map[string][2]int{
		"/upstreams/b/host":          {6, 11},
		"/upstreams/b/balance":       {9, 14},
		"/upstreams/c/host":          {11, 17},
		"/upstreams/c/targets/0/url": {5, 14},
		"/upstreams/d/targets/0/url": {5, 14},
		"/upstreams/d":               {12, 3},
		"":                           {1, 1},
		"/":                          {1, 1},
		"/upstreams/a/targets/x":     {4, 5},
	} {
		if _, line, column := d.Locate(pointer); line != want[0] || column != want[1] {
			t.Errorf("%s is at %d:%d, want %d:%d", pointer, line, column, want[0], want[1])
		}
	}
}

func TestProblems(t *testing.T) {
	if (Problems{}).Err() != nil {
		t.Error("no problem is an error")
	}
	ps := Problems{{File: "b", Message: "x"}, {File: "a", Line: 2, Column: 1, Pointer: "/z", Message: "bell \a"}, {File: "a", Line: 1, Column: 3, Message: "y", Remedy: "do"}}
	ps.Sort()
	if want := "a:1:3: y; do\na:2:1: /z: bell ?\nb: x"; ps.Err().Error() != want {
		t.Errorf("got %s", ps.Err())
	}
	for raw, escaped := range map[string]string{"a/b~c": "a~1b~0c", "": "", "~1": "~01"} {
		if EscapePointer(raw) != escaped || unescapePointer(escaped) != raw {
			t.Errorf("%q is escaped %q and back %q", raw, EscapePointer(raw), unescapePointer(EscapePointer(raw)))
		}
	}
}

func TestSuggest(t *testing.T) {
	names := []string{"base_path", "by_header", "upstream", "ip"}
	for word, want := range map[string]string{"basepath": "base_path", "Base-Path": "base_path", "upstraem": "upstream", "pi": "ip", "colour": "", "": "", "x": ""} {
		if got := Suggest(word, names); got != want {
			t.Errorf("Suggest(%q) = %q, want %q", word, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(small))
	f.Add([]byte(`{"postern":1,"roles":{"a":{"title":"\ud83d\ude00"}}}`))
	f.Add([]byte("postern: 1\nroles: {a: &a {<<: *a}}\n"))
	f.Add([]byte("postern: 1\nlisteners:\n- &l {name: a, address: \":80\", timeouts: {idle: 1s}}\n---\nportal_url: |\n  x\n"))
	f.Fuzz(func(t *testing.T, src []byte) {
		d, err := Parse("f", src)
		if err != nil {
			ps, ok := err.(Problems)
			if !ok || len(ps) == 0 || strings.ContainsAny(strings.ReplaceAll(err.Error(), "\n", ""), "\x00\x1b\r\t") {
				t.Fatalf("not a clean list of problems: %q", err)
			}
			return
		}
		d.Locate("/apis/0/versions/0/operations/0/path")
		text, err := Marshal(d)
		if err != nil {
			t.Fatalf("parsed but cannot be written: %v", err)
		}
		again, err := Parse("again", text)
		if err != nil {
			t.Fatalf("written but cannot be parsed: %v\n%s", err, text)
		}
		if changes := Diff(d, again); len(changes) > 0 {
			t.Fatalf("changed on the way: %+v\n%s", changes, text)
		}
	})
}
