package pdp

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cedar-policy/cedar-go/types"
)

// The corpus that comes with cedar-go: policies, entities and requests, with the decision, the reasons and the errors that the
// reference implementation gave, and whether the policies fit their schema.
//
// It judges what this package adds to Cedar: that the index leaves out nothing that decides. Set POSTERN_CORPUS=1 to run it
// (make conformance does).
func TestCorpus(t *testing.T) {
	if os.Getenv("POSTERN_CORPUS") == "" {
		t.Skip("set POSTERN_CORPUS=1 to run the corpus of Cedar")
	}
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/cedar-policy/cedar-go").Output()
	if err != nil {
		t.Fatal(err)
	}
	folder := strings.TrimSpace(string(out))
	files := unpack(t, filepath.Join(folder, "corpus-tests.tar.gz"))
	verdicts := unpack(t, filepath.Join(folder, "corpus-tests-validation.tar.gz"))
	var cases, decisions, wrong, fitting, unfitting int
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if !strings.HasSuffix(name, ".json") || strings.HasSuffix(name, ".entities.json") {
			continue
		}
		cases++
		var c corpusCase
		if err := json.Unmarshal(files[name], &c); err != nil {
			t.Fatal(name, err)
		}
		n, bad := c.decide(t, name, files)
		decisions, wrong = decisions+n, wrong+bad
		base := strings.TrimSuffix(filepath.Base(name), ".json")
		ok, known := c.fits(t, files, verdicts["corpus-tests-validation/"+base+".validation.json"])
		if known && ok {
			fitting++
		} else if known {
			unfitting++
			if unfitting <= 5 {
				t.Errorf("%s: Check and the reference implementation differ", name)
			}
		}
	}
	t.Logf("%d cases, %d decisions, %d of them wrong; validation: %d as the reference, %d not", cases, decisions, wrong, fitting, unfitting)
	if cases < 7000 || decisions < 60000 || wrong > 0 || fitting < 7000 || unfitting > 0 {
		t.Errorf("%d of %d decisions in %d cases are wrong, and %d of %d validations", wrong, decisions, cases, unfitting, fitting+unfitting)
	}
}

type corpusCase struct {
	Schema, Policies, Entities string
	Requests                   []struct {
		Description                 string
		Principal, Action, Resource json.RawMessage
		Context                     types.Record
		Decision                    string
		Reason, Errors              []string
	}
}

func (c *corpusCase) decide(t *testing.T, name string, files map[string][]byte) (n, wrong int) {
	t.Helper()
	set, err := Parse(Text{Name: "policy", Cedar: string(files[c.Policies])})
	if err != nil && !strings.Contains(err.Error(), "has no policy") {
		t.Errorf("%s: %v", name, err)
		return len(c.Requests), len(c.Requests)
	}
	var entities types.EntityMap
	if err := json.Unmarshal(files[c.Entities], &entities); err != nil {
		t.Fatal(name, err)
	}
	for _, r := range c.Requests {
		n++
		principal, action, resource := entityOf(t, r.Principal), entityOf(t, r.Action), entityOf(t, r.Resource)
		sel := set.For(Object{action, above(entities, action)}, Object{resource, above(entities, resource)})
		a := sel.Decide(&Query{Principal: principal, In: above(entities, principal), Action: action, Resource: resource, Context: r.Context, Entities: entities})
		decision, reasons := "deny", a.Forbids
		if len(a.Forbids) == 0 && len(a.Permits) > 0 {
			decision, reasons = "allow", a.Permits
		}
		var faults []*Policy
		for _, f := range a.Faults {
			faults = append(faults, f.Policy)
		}
		if decision != r.Decision || ids(reasons) != sorted(r.Reason) || ids(faults) != sorted(r.Errors) {
			wrong++
			t.Errorf("%s: %s: got %s by [%s] with errors [%s], want %s by %v with %v", name, r.Description, decision, ids(reasons), ids(faults), r.Decision, r.Reason, r.Errors)
		}
	}
	return n, wrong
}

// fits compares Check with what the reference implementation says of the same policies.
func (c *corpusCase) fits(t *testing.T, files map[string][]byte, verdict []byte) (same, known bool) {
	t.Helper()
	var v struct {
		PolicyValidation struct{ Strict *bool }
	}
	if verdict == nil || json.Unmarshal(verdict, &v) != nil || v.PolicyValidation.Strict == nil {
		return false, false
	}
	set, err := Parse(Text{Name: "policy", Cedar: string(files[c.Policies])})
	if err != nil {
		return false, false
	}
	schema, err := ParseSchema(string(files[c.Schema]))
	if err != nil {
		t.Errorf("%s: %v", c.Schema, err)
		return false, true
	}
	valid := true
	for _, p := range set.Policies() {
		valid = valid && schema.Check(p) == nil
	}
	return valid == *v.PolicyValidation.Strict, true
}

func entityOf(t *testing.T, raw json.RawMessage) types.EntityUID {
	t.Helper()
	var e types.EntityUID
	if string(raw) == "null" || raw == nil {
		return e
	}
	if err := json.Unmarshal(raw, &e); err != nil {
		t.Fatal(err)
	}
	return e
}

// above lists what an entity is in.
func above(entities types.EntityMap, e types.EntityUID) (all []types.EntityUID) {
	todo := []types.EntityUID{e}
	for len(todo) > 0 {
		next := todo[0]
		todo = todo[1:]
		for p := range entities[next].Parents.All() {
			if !slices.Contains(all, p) {
				all, todo = append(all, p), append(todo, p)
			}
		}
	}
	return all
}

// ids writes policies by their place in the text, as the corpus does: policy0.
func ids(policies []*Policy) string {
	var out []string
	for _, p := range policies {
		var n int
		if _, err := fmt.Sscanf(p.ID, "policy#%d", &n); err != nil {
			out = append(out, p.ID)
			continue
		}
		out = append(out, fmt.Sprintf("policy%d", n-1))
	}
	return sorted(out)
}

func sorted(s []string) string {
	s = slices.Clone(s)
	slices.Sort(s)
	return strings.Join(s, " ")
}

func unpack(t *testing.T, archive string) map[string][]byte {
	t.Helper()
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if files[h.Name], err = io.ReadAll(r); err != nil {
				t.Fatal(err)
			}
		}
	}
}
