package lab_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"postern/internal/lab"
)

var docsBlock = regexp.MustCompile("(?s)<!-- scenario: ([a-z-]+) -->\n```text\n(.*?)```\n")

// The guide shows what the program prints.
func TestDocsShowWhatIsPrinted(t *testing.T) {
	const page = "../../docs/why-403.md"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	blocks := 0
	written := docsBlock.ReplaceAllStringFunc(string(text), func(block string) string {
		m := docsBlock.FindStringSubmatch(block)
		blocks++
		got := printedFor(t, m[1])
		if got != m[2] && !*update {
			t.Errorf("%s of %s:\n got\n%s\nwant\n%s(go test ./internal/lab -run Docs -update writes it)", page, m[1], got, m[2])
		}
		return "<!-- scenario: " + m[1] + " -->\n```text\n" + got + "```\n"
	})
	if blocks < 10 {
		t.Errorf("the guide has %d causes", blocks)
	}
	if *update {
		if err := os.WriteFile(page, []byte(written), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// printedFor is what `postern simulate` prints of a scenario, from the verdict on.
func printedFor(t *testing.T, name string) string {
	t.Helper()
	a, err := txtar.ParseFile("../../scenarios/" + name + ".txtar")
	if err != nil {
		t.Fatal(err)
	}
	w := setUp(t, readScenario(t, a))
	r := lab.Simulate(t.Context(), w.snap, w.env, w.req, lab.Proven(&lab.Prover{Holders: w.holders, Time: time.Minute}))
	if r.Verdict != lab.Refused || len(r.Fixes) == 0 || !r.Fixes[0].Verified {
		t.Errorf("%s: %s, %+v", name, r.Verdict, r.Fixes)
	}
	var b strings.Builder
	if err := r.WriteText(&b, false); err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(b.String(), "\nREFUSED")
	return "REFUSED" + after
}
