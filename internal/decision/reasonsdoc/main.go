// Command reasonsdoc writes docs/reasons: one page for every reason of the catalogue, and an index. The example on each page
// is a real answer: the data plane serves a request on loopback whose judge gives that very verdict.
//
// Usage: reasonsdoc ROOT, where ROOT is the root of the repository.
package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"postern/internal/decision"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: reasonsdoc ROOT")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "reasonsdoc:", err)
		os.Exit(1)
	}
}

func run(root string) error {
	pages, err := generate(context.Background(), root)
	if err != nil {
		return err
	}
	dir := filepath.Join(root, "docs", "reasons")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	old, err := filepath.Glob(filepath.Join(dir, "*.md"))
	if err != nil {
		return err
	}
	for _, f := range old {
		if _, ok := pages[filepath.Base(f)]; !ok {
			if err := os.Remove(f); err != nil {
				return err
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(pages)) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(pages[name]), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// generate returns the pages by file name.
func generate(ctx context.Context, root string) (map[string]string, error) {
	s, err := newStage(ctx)
	if err != nil {
		return nil, err
	}
	defer s.close()
	scenarios, err := scenariosByReason(filepath.Join(root, "scenarios"))
	if err != nil {
		return nil, err
	}
	pages := map[string]string{"README.md": index()}
	for _, r := range decision.Catalogue() {
		example, err := s.example(ctx, r)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.Code, err)
		}
		pages[r.Code+".md"] = page(r, example, scenarios[r.Code])
	}
	return pages, nil
}

// scenariosByReason finds the scenarios that end with each reason.
func scenariosByReason(dir string) (map[string][]string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.txtar"))
	if err != nil {
		return nil, err
	}
	out := map[string][]string{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(b)) {
			if words := strings.Fields(line); len(words) > 2 && words[0] == "REFUSED" {
				out[words[2]] = append(out[words[2]], strings.TrimSuffix(filepath.Base(f), ".txtar"))
			}
		}
	}
	return out, nil
}

const generated = "<!-- Written by go generate from internal/decision; change it there. -->\n\n"

func index() string {
	var b strings.Builder
	b.WriteString("# Reasons\n\n" + generated)
	b.WriteString("Every refusal of Postern has one of these codes: in the member `reason` of the answer, in `Proxy-Status`, in the call\n" +
		"record and in the metrics. Codes are published: they never change their meaning and are never used again for another.\n" +
		"The gates are in the order in which a request meets them.\n")
	last := ""
	for _, r := range decision.Catalogue() {
		if r.Gate != last {
			fmt.Fprintf(&b, "\n## %s\n\n| code | status | title |\n| --- | --- | --- |\n", r.Gate)
			last = r.Gate
		}
		fmt.Fprintf(&b, "| [%s](%s.md) | %s | %s |\n", r.Code, r.Code, status(r), r.Title)
	}
	return b.String()
}

func status(r *decision.Reason) string {
	if r.Status == 0 {
		return "as received"
	}
	return fmt.Sprint(r.Status)
}

var toldTo = map[decision.Disclosure]string{
	decision.ToAnyone:   "Anybody who meets it.",
	decision.ToProven:   "Callers whose credential verified, even an expired or revoked one; the owner of the application; operators.",
	decision.ToOwner:    "The owner of the application, and operators.",
	decision.ToOperator: "Operators only.",
}

func page(r *decision.Reason, example string, scenarios []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n%s**%s.** Gate `%s`, status %s.\n", r.Code, generated, r.Title, r.Gate, status(r))
	fmt.Fprintf(&b, "\n## What it means\n\n%s\n", r.Means)
	plain := decision.Refuse(r, nil).Render(decision.ToOperator) // no facts: the words that fit every occurrence
	list := func(title string, parties ...decision.Party) {
		var lines []string
		for i, a := range r.Advice {
			if !slices.Contains(parties, a.Who) {
				continue
			}
			line := "- " + plain.Remedies[i]
			if a.Who == decision.ByOwner {
				line = "- As the owner of the application: " + plain.Remedies[i]
			}
			lines = append(lines, line)
		}
		if len(lines) > 0 {
			fmt.Fprintf(&b, "\n## %s\n\n%s\n", title, strings.Join(lines, "\n"))
		}
	}
	list("What a caller does", decision.ByCaller, decision.ByOwner)
	list("What an operator does", decision.ByOperator)
	fmt.Fprintf(&b, "\n## Who is told\n\n%s", toldTo[r.Public])
	if told := r.Told(decision.ToAnyone); told != r {
		fmt.Fprintf(&b, " Others are told [%s](%s.md), with the same status.", told.Code, told.Code)
	}
	fmt.Fprintf(&b, "\n\n## Example\n\n%s", example)
	if len(scenarios) > 0 {
		b.WriteString("\n## Scenarios\n\n")
		for _, s := range scenarios {
			fmt.Fprintf(&b, "- [%s](../../scenarios/%s.txtar)\n", s, s)
		}
	}
	return b.String()
}
