package lab

import (
	"io"
	"time"

	"postern/internal/decision"
)

// WriteText writes the explanation for people: the sentence first, then the table, then what to do.
func (e Explanation) WriteText(w io.Writer, color bool) error {
	p := printer{w: w, color: color}
	p.line("%s  %s", e.Trace, e.Time.UTC().Format(time.RFC3339))
	p.line("%s %s", e.Method, e.URL)
	if e.Operation != "" {
		p.line("%s, generation %d", e.Operation, e.Generation)
	}
	if e.Application != "" || e.Key != "" {
		p.line("application %s, key %s, from %s", or(e.Application, "unknown"), or(e.Key, "unknown"), or(e.Client, "unknown"))
	}
	p.line("")
	tint := green
	if e.ExitCode() != 0 {
		tint = red
	}
	p.raw(p.paint(bold+tint, clean(e.Sentence)) + "\n")
	if len(e.Gates) > 0 {
		p.line("")
		p.table(e.Gates)
	}
	for i, a := range e.Attempts {
		p.line("attempt %d: %s %s %s", i+1, a.Target, or(a.Reason, "answered"), a.Fault)
	}
	if e.Fault != "" {
		p.line("fault: %s", e.Fault)
	}
	p.now(e)
	p.fixes(e.Fixes, e.WhyNot)
	if len(e.Remedies) > 0 && len(e.Fixes) == 0 {
		p.line("")
		p.line("What to do:")
		for _, r := range e.Remedies {
			p.line("  %-9s %s", r.Who, r.Text)
		}
	}
	if len(e.Fixes) == 0 {
		p.others(e)
	}
	for _, n := range e.Notes {
		p.line("note: %s", n)
	}
	return p.err
}

// others lists the refusals that the call would have met next.
func (p *printer) others(e Explanation) {
	skipped := false
	for _, row := range e.Gates {
		if row.Outcome != decision.OutcomeRefuse.String() {
			continue
		}
		if row.Reason == e.Reason && !skipped { // the one that the sentence is about
			skipped = true
			continue
		}
		p.line("And then %s by the gate %s:", row.Reason, row.Gate)
		for _, r := range row.Remedies {
			p.line("  %-9s %s", r.Who, r.Text)
		}
	}
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
