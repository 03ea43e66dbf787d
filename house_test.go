// Package postern_test checks the house rules: who may import whom, that every package says what it provides, and that
// the documents name files that exist.
package postern_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// floors is the house of DESIGN section 3, lowest first. A package imports only packages of lower floors; rooms on one
// floor never import each other. An entry ending in /* stands for each package below it.
var floors = [][]string{
	{"header"}, // the one word the other words need
	{"decision", "policy", "directory", "llm", "jose", "seal"},
	{"record", "pdp"},
	{"gate", "http1", "store"},
	{"provider"}, // translators see the exchange
	{"gate/*", "provider/*", "fingerprint", "reqtext", "counter", "jwks", "introspect", "ask", "sqlite", "postgres", "valkey"},
	{"snapshot", "forward", "calllog", "follow", "signing"},
	{"edge", "admin", "lab", "diagnose", "audit", "alert", "console", "demo", "change"},
}

// testSupport is imported by tests only.
var testSupport = []string{"gatetest", "storetest", "providertest"}

// forbidden are rules beyond the floors, each with its reason.
var forbidden = []struct {
	importer, imported *regexp.Regexp
	why                string
}{
	{regexp.MustCompile(`^internal/`), regexp.MustCompile(`^internal/(sqlite|postgres|valkey)$`), "only cmd/postern chooses adapters"},
	{regexp.MustCompile(`^internal/`), regexp.MustCompile(`^internal/provider/.+`), "only cmd/postern chooses named providers"},
	{regexp.MustCompile(`^internal/(http1|gate|decision|header|snapshot)(/|$)`), regexp.MustCompile(`^net/http$`), "gates judge an Exchange, not an http.Request: both engines feed them"},
	{regexp.MustCompile(`^internal/gate/`), regexp.MustCompile(`^(net|os|database/sql)$`), "a gate reaches outside itself through gate.Env only"},
	{regexp.MustCompile(`^(internal|cmd)/`), regexp.MustCompile(`^(bench|conformance)/`), "measuring tools stay out of the product"},
}

// fromSnapshot are the packages that may import gates: DESIGN keeps the order of gates in one place.
var fromSnapshot = []string{"internal/snapshot"}

type source struct {
	pkg, file string
	doc       string
	imports   []string
	test      bool
	command   bool // a program; below internal: a generator that go generate runs
}

func sources(t *testing.T) []source {
	var all []source
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if p != "." && (strings.HasPrefix(name, ".") || name == "testdata" || name == "node_modules" || name == "bench" || name == "conformance" || name == "tools") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), p, nil, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		s := source{pkg: path.Dir(filepath.ToSlash(p)), file: p, doc: f.Doc.Text(), test: strings.HasSuffix(name, "_test.go"), command: f.Name.Name == "main"}
		for _, i := range f.Imports {
			v, _ := strconv.Unquote(i.Path.Value)
			s.imports = append(s.imports, strings.TrimPrefix(v, "postern/"))
		}
		all = append(all, s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 20 {
		t.Fatalf("only %d Go files found: the walk is broken", len(all))
	}
	return all
}

// floorOf returns the floor of a package below internal, or -1.
func floorOf(pkg string) int {
	name := strings.TrimPrefix(pkg, "internal/")
	for n, rooms := range floors {
		for _, room := range rooms {
			if room == name || strings.HasSuffix(room, "/*") && strings.HasPrefix(name, strings.TrimSuffix(room, "*")) {
				return n
			}
		}
	}
	return -1
}

func TestImportsRunDownward(t *testing.T) {
	for _, s := range sources(t) {
		room := strings.TrimPrefix(s.pkg, "internal/")
		support := slices.ContainsFunc(testSupport, func(x string) bool { return room == x })
		if s.test || s.command || support || !strings.HasPrefix(s.pkg, "internal/") {
			continue
		}
		from := floorOf(s.pkg)
		if from < 0 {
			t.Errorf("%s: package %s has no floor: add it to the house in DESIGN section 3, ARCHITECTURE.md and this test", s.file, s.pkg)
			continue
		}
		for _, i := range s.imports {
			for _, rule := range forbidden {
				if rule.importer.MatchString(s.pkg) && rule.imported.MatchString(i) {
					t.Errorf("%s imports %s: %s", s.file, i, rule.why)
				}
			}
			if !strings.HasPrefix(i, "internal/") || strings.HasPrefix(i, s.pkg+"/") || strings.HasPrefix(s.pkg, i+"/") && floorOf(i) <= from {
				continue
			}
			if slices.Contains(testSupport, strings.TrimPrefix(i, "internal/")) {
				t.Errorf("%s imports the test support %s", s.file, i)
				continue
			}
			if to := floorOf(i); to >= from {
				t.Errorf("%s (floor %d) imports %s (floor %d): imports run downward only, and rooms on one floor do not know each other", s.file, from, i, to)
			}
			if strings.HasPrefix(i, "internal/gate/") && !slices.Contains(fromSnapshot, s.pkg) {
				t.Errorf("%s imports %s: only snapshot imports the gates, so that their order stands in one place", s.file, i)
			}
		}
	}
}

func TestEveryPackageSaysWhatItProvides(t *testing.T) {
	docs := map[string]string{}
	for _, s := range sources(t) {
		if !s.test && len(s.doc) > len(docs[s.pkg]) {
			docs[s.pkg] = s.doc
		} else if _, ok := docs[s.pkg]; !ok && !s.test {
			docs[s.pkg] = s.doc
		}
	}
	for pkg, doc := range docs {
		name := path.Base(pkg)
		if !strings.HasPrefix(doc, "Package "+name+" ") && !strings.HasPrefix(doc, "Command "+name+" ") && !strings.HasPrefix(doc, "Postern ") {
			t.Errorf("%s: the package comment starts with %q, want \"Package %s …\"", pkg, firstLine(doc), name)
		}
		if len(doc) < 60 {
			t.Errorf("%s: the package comment is too short to tell a stranger what is here and why", pkg)
		}
		if slices.Contains([]string{"util", "utils", "common", "helpers", "models", "types", "misc"}, name) {
			t.Errorf("%s: a package is named by what it provides", pkg)
		}
	}
}

func firstLine(s string) string {
	l, _, _ := strings.Cut(s, "\n")
	return l
}

// pathInDoc finds what ARCHITECTURE.md names in backquotes and looks like a file or folder of the repository.
var pathInDoc = regexp.MustCompile("`((?:cmd|internal|docs|scenarios|examples|bench|conformance)/[A-Za-z0-9_./-]+)`")

func TestArchitectureNamesFilesThatExist(t *testing.T) {
	b, err := os.ReadFile("ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	found := pathInDoc.FindAllStringSubmatch(string(b), -1)
	if len(found) < 20 {
		t.Errorf("ARCHITECTURE.md names only %d paths: the walks should name real files", len(found))
	}
	for _, m := range found {
		if _, err := os.Stat(m[1]); err != nil {
			t.Errorf("ARCHITECTURE.md names %s: %v", m[1], err)
		}
	}
}
