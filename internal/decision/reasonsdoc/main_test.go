package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postern/internal/decision"
)

const root = "../../.."

func TestPagesAreCurrent(t *testing.T) {
	pages, err := generate(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range pages {
		got, err := os.ReadFile(filepath.Join(root, "docs", "reasons", name))
		if err != nil || string(got) != want {
			t.Errorf("docs/reasons/%s is not what the catalogue says (%v): run go generate ./internal/decision", name, err)
		}
	}
	files, err := filepath.Glob(filepath.Join(root, "docs", "reasons", "*.md"))
	if err != nil || len(files) != len(pages) {
		t.Errorf("%d files for %d pages (%v)", len(files), len(pages), err)
	}
	if len(pages) != len(decision.Catalogue())+1 {
		t.Errorf("%d pages for %d reasons", len(pages), len(decision.Catalogue()))
	}
}

// Every placeholder has an example, and none of those kept with the operator is in an answer.
func TestExamplesShowEveryFactToThoseItIsFor(t *testing.T) {
	pages, err := generate(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range decision.Catalogue() {
		for _, f := range verdict(r).Facts() {
			if f.Want == "" && f.Got == "" && f.Name != "on" && f.Name != "where" {
				t.Errorf("%s: the fact %s has no example", r.Code, f.Name)
			}
			_, answer, ok := strings.Cut(pages[r.Code+".md"], "```http")
			answer, _, _ = strings.Cut(answer, "\n```\n")
			for _, value := range []string{f.Want, f.Got} {
				if ok && f.Public == decision.ToOperator && len(value) > 3 && strings.Contains(answer, value) {
					t.Errorf("%s: the answer shows %s = %q", r.Code, f.Name, value)
				}
			}
		}
	}
}
