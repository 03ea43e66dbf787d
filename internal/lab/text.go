package lab

import (
	"fmt"
	"io"
	"strings"

	"postern/internal/decision"
)

// WriteText writes the result as a table for people: the gates in their order with hit, miss or unknown, then the verdict
// and what to do. Colour is ANSI escapes; what came with the request cannot bring in any of its own.
func (r Result) WriteText(w io.Writer, color bool) error {
	p := printer{w: w, color: color}
	if r.Name != "" {
		p.line("### %s", r.Name)
	}
	p.line("%s %s", r.Method, r.URL)
	under := "a configuration that is not in force" // a candidate has no number yet
	if r.Generation > 0 {
		under = fmt.Sprintf("generation %d", r.Generation)
	}
	if op := r.Operation; op != nil {
		p.line("%s/%s %s (%s %s), %s", op.API, op.Version, op.Name, op.Method, op.Template, under)
	} else {
		p.line("no operation, %s", under)
	}
	p.line("")
	p.table(r.Gates)
	p.line("")
	p.verdict(r)
	for _, n := range r.Notes {
		p.line("note: %s", n)
	}
	return p.err
}

type printer struct {
	w     io.Writer
	color bool
	err   error
}

// line writes one line. Control characters in its arguments, which may come from a request, become question marks.
func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = io.WriteString(p.w, clean(fmt.Sprintf(format, args...))+"\n")
	}
}

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

func (p *printer) paint(color, s string) string {
	if !p.color {
		return s
	}
	return color + s + plain
}

var colors = map[string]string{"pass": green, "answer": green, "refuse": red, "shadow": yellow, "unknown": yellow, None: grey, NotReached: grey}

func (p *printer) raw(s string) {
	if p.err == nil {
		_, p.err = io.WriteString(p.w, s)
	}
}

func (p *printer) table(rows []Row) {
	const indent = "                             "
	for _, r := range rows {
		p.raw(fmt.Sprintf("  %-13s ", clean(r.Gate)) + p.paint(colors[r.Outcome], r.Outcome))
		var said []string
		if r.Note != "" {
			said = append(said, "("+r.Note+")")
		}
		switch r.Outcome {
		case None:
			said = append(said, "no rule here")
		case "pass":
			said = append(said, r.Rule)
		default:
			if r.Reason != "" {
				said = append(said, r.Reason)
			}
			if r.Status != 0 && r.Outcome == "refuse" {
				said = append(said, fmt.Sprint(r.Status))
			}
		}
		if text := clean(strings.Join(said, " ")); text != "" {
			p.raw(strings.Repeat(" ", max(0, 13-len(r.Outcome))) + text)
		}
		p.raw("\n")
		if r.Outcome == "none" || r.Outcome == "pass" && len(r.Facts) == 0 {
			continue
		}
		if r.Detail != "" {
			p.line("%s%s", indent, r.Detail)
		}
		for _, f := range r.Facts {
			if f.Want != "" || f.Got != "" || f.Secret {
				p.line("%s%s", indent, f)
			}
		}
		if where := strings.TrimSpace(r.Pointer + " " + r.At); where != "" {
			p.line("%srule at %s", indent, where)
		}
	}
}

// String writes the fact the way the table shows it: "permission: wanted orders:create, got none".
func (f Fact) String() string {
	switch {
	case f.Secret && f.Got == "":
		return f.Name + ": absent"
	case f.Secret:
		return f.Name + ": present, " + f.Got
	case f.Want != "" && f.Got != "":
		return f.Name + ": wanted " + strings.TrimSpace(f.Want) + ", got " + f.Got
	case f.Want != "":
		return f.Name + ": " + strings.TrimSpace(f.Want)
	}
	return f.Name + ": got " + f.Got
}

func (p *printer) verdict(r Result) {
	switch r.Verdict {
	case Allowed:
		p.raw(p.paint(bold+green, "ALLOWED") + "\n")
	case Answered:
		p.raw(p.paint(bold+green, "ANSWERED") + fmt.Sprintf(" by the gate %s, status %d\n", r.Gate, r.Status))
	case Unknown:
		p.raw(p.paint(bold+yellow, "UNKNOWN"))
		p.line(": the gate %s cannot tell%s", r.Gate, missing(r))
	case Refused:
		p.raw(p.paint(bold+red, "REFUSED"))
		p.line(" %d %s by the gate %s", r.Status, r.Reason, r.Gate)
	}
	p.fixes(r.Fixes, r.WhyNot)
	refusals := r.Refusals()
	if len(r.Fixes) > 0 {
		refusals = nil // the fixes are the advice, tried
	}
	for i, row := range refusals {
		if i == 0 {
			p.line("What to do:")
		} else {
			p.line("And then %s by the gate %s:", row.Reason, row.Gate)
		}
		for _, remedy := range row.Remedies {
			p.line("  %-9s %s", remedy.Who, remedy.Text)
		}
	}
	if t := r.Told; t != nil {
		p.line("The caller is told: %d %s: %s", t.Status, t.Reason, t.Detail)
		for _, remedy := range t.Remedies {
			p.line("  %s", remedy)
		}
	}
	p.line("Nothing was sent, counted or written.")
}

// missing names the inputs that unknown gates lack.
func missing(r Result) string {
	var names []string
	for _, row := range r.Gates {
		if row.Outcome != decision.OutcomeAbstain.String() {
			continue
		}
		for _, f := range row.Facts {
			if f.Want != "" && len(names) < 5 {
				names = append(names, f.Name+" ("+strings.TrimSpace(f.Want)+")")
			}
		}
		if len(names) > 0 {
			return ": it needs " + strings.Join(names, ", ")
		}
	}
	return ""
}
