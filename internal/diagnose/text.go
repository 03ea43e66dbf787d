package diagnose

import (
	"fmt"
	"io"
	"strings"
)

// ExitCode is 0 when nothing is refused, 1 when a refusal is explained, 3 when it cannot be told.
func (r *Report) ExitCode() int {
	switch r.Verdict {
	case Allowed:
		return 0
	case Refused:
		return 1
	}
	return 3
}

// clean keeps control characters and direction overrides, which servers can put into answers, out of a terminal.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r >= 0x7f && r <= 0x9f || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return '?'
		}
		return r
	}, s)
}

const (
	red, green, yellow, grey, bold, plain = "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[90m", "\x1b[1m", "\x1b[0m"
)

type printer struct {
	w     io.Writer
	color bool
	err   error
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = io.WriteString(p.w, clean(fmt.Sprintf(format, args...))+"\n")
	}
}

// painted writes a line whose first words have a colour.
func (p *printer) painted(color, first, rest string) {
	first, rest = clean(first), clean(rest)
	if p.color {
		first = color + first + plain
	}
	if p.err == nil {
		_, p.err = io.WriteString(p.w, first+rest+"\n")
	}
}

// WriteText writes the report for people.
func (r *Report) WriteText(w io.Writer, color bool) error {
	p := &printer{w: w, color: color}
	if r.URL != "" {
		p.line("%s %s", r.Method, r.URL)
	}
	if r.AnsweredBy != nil {
		p.line("answered %d by %s (%s, %.0f %% sure)", r.Status, r.AnsweredBy.System, r.AnsweredBy.Layer, 100*r.AnsweredBy.Sure)
	} else if r.Status != 0 {
		p.line("answered %d", r.Status)
	}
	p.line("")
	for _, c := range r.Checks {
		if c.Outcome != OK {
			p.painted(map[string]string{Problem: red, Warning: yellow}[c.Outcome], fmt.Sprintf("  %-8s", c.Outcome), " "+c.ID+": "+c.Text)
		}
	}
	if r.Probes != nil {
		p.line("  asked the server %d times, %d of them with a method that may change something", r.Probes.Sent, r.Probes.Unsafe)
		for _, x := range r.Probes.Results {
			said := fmt.Sprint(x.Status)
			if x.Error != "" {
				said = x.Error
			}
			p.line("    %-17s %-4s %s", x.Name, said, x.Shows)
		}
	}
	for i, d := range r.Difference {
		if i == 0 {
			p.line("  compared with the request that works:")
		}
		p.line("    %s", d)
	}
	p.line("")
	switch r.Verdict {
	case Allowed:
		p.painted(bold+green, "NOT REFUSED", "")
	case Refused:
		k := r.Causes[0]
		p.painted(bold+red, "REFUSED", fmt.Sprintf(": %s (%s, layer %s)", k.Title, k.ID, k.Layer))
	default:
		p.painted(bold+yellow, "CANNOT TELL", "")
	}
	for i, k := range r.Causes {
		if r.Verdict == Allowed {
			break
		}
		count := ""
		if k.Count > 0 {
			count = fmt.Sprintf(", %d lines", k.Count)
		}
		p.line("%2d. %3.0f %%  %s (%s, layer %s%s)", i+1, 100*k.Confidence, k.Title, k.ID, k.Layer, count)
		for _, e := range k.For {
			p.line("            + %s: %s", e.From, e.Text)
		}
		for _, e := range k.Against {
			p.line("            - %s: %s", e.From, e.Text)
		}
		if i < 2 {
			p.line("         caller    %s", k.Caller)
			p.line("         operator  %s", k.Operator)
		}
	}
	for i, q := range r.LogLines {
		if i == 0 {
			p.line("Lines of the logs:")
		}
		mark := " "
		if q.Settles {
			mark = "*"
		}
		p.line("  %s %s:%d: %s", mark, q.Log, q.Line, q.Text)
	}
	p.list("To tell them apart:", r.TellApart)
	p.list("What is needed to be surer:", r.Needs)
	for _, n := range r.Notes {
		p.line("note: %s", n)
	}
	return p.err
}

func (p *printer) list(title string, items []string) {
	for i, s := range items {
		if i == 0 {
			p.line("%s", title)
		}
		p.line("  %s", s)
	}
}

// WriteMarkdown writes the report to paste into a ticket.
func (r *Report) WriteMarkdown(w io.Writer) error {
	p := &printer{w: w}
	head := "Diagnosis"
	if len(r.Causes) > 0 && r.Verdict == Refused {
		head = r.Causes[0].Title
	} else if r.Verdict == Allowed {
		head = "Nothing is refused"
	}
	p.line("### %s", head)
	p.line("")
	if r.URL != "" {
		p.line("- Request: %s", code(r.Method+" "+r.URL))
	}
	if r.Status != 0 {
		by := ""
		if r.AnsweredBy != nil {
			by = ", answered by " + mark(r.AnsweredBy.System)
		}
		p.line("- Status: %d%s", r.Status, by)
	}
	p.line("- Verdict: **%s**", r.Verdict)
	p.line("")
	if r.Verdict != Allowed && len(r.Causes) > 0 {
		p.line("| cause | layer | confidence | evidence |")
		p.line("| --- | --- | --- | --- |")
		for _, k := range r.Causes {
			var facts []string
			for _, e := range k.For {
				facts = append(facts, mark(e.From+": "+e.Text))
			}
			for _, e := range k.Against {
				facts = append(facts, "against: "+mark(e.Text))
			}
			p.line("| %s (`%s`) | %s | %.0f %% | %s |", mark(k.Title), k.ID, k.Layer, 100*k.Confidence, strings.Join(facts, "<br>"))
		}
		p.line("")
		p.line("- For the caller: %s", mark(r.Causes[0].Caller))
		p.line("- For the operator: %s", mark(r.Causes[0].Operator))
		p.line("")
	}
	for i, q := range r.LogLines {
		if i == 0 {
			p.line("Lines of the logs:")
			p.line("")
		}
		p.line("- %s:%d: %s", mark(q.Log), q.Line, code(q.Text))
	}
	for _, list := range []struct {
		title string
		items []string
	}{{"To tell them apart", r.TellApart}, {"Needed to be surer", r.Needs}} {
		for i, s := range list.items {
			if i == 0 {
				p.line("")
				p.line("%s:", list.title)
				p.line("")
			}
			p.line("- %s", mark(s))
		}
	}
	return p.err
}

// mark keeps text from being read as Markdown or HTML.
func mark(s string) string {
	return strings.NewReplacer("\\", "\\\\", "|", "\\|", "<", "&lt;", ">", "&gt;", "*", "\\*", "_", "\\_", "[", "\\[", "]", "\\]", "`", "\\`", "#", "\\#", "!", "\\!").Replace(s)
}

// code is a piece of code in Markdown, which the text cannot end.
func code(s string) string { return "`` " + strings.ReplaceAll(s, "`", "'") + " ``" }

// WriteStep writes one rung of the ladder, for people who watch.
func (s Step) WriteStep(w io.Writer, color bool) {
	p := &printer{w: w, color: color}
	p.painted(map[string]string{OK: green, Problem: red, Warning: yellow, Info: grey, Skipped: grey}[s.Outcome], fmt.Sprintf("  %-8s", s.Outcome), " "+s.Name+": "+s.Text)
}
