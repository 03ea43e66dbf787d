package lab

import (
	"fmt"
	"io"
	"strconv"
)

// WriteFixes writes only what would let the request pass, or why nothing was tried.
func (r Result) WriteFixes(w io.Writer, color bool) error {
	p := printer{w: w, color: color}
	p.fixes(r.Fixes, r.WhyNot)
	return p.err
}

// fixes lists what would let the request pass, smallest first: a number for each, who does what, and what came of it when
// it was tried.
func (p *printer) fixes(fixes []Fix, whyNot string) {
	if len(fixes) == 0 {
		if whyNot != "" {
			p.line("No change was tried: %s.", whyNot)
		}
		return
	}
	p.line("What to do, smallest first. Each was tried on a copy:")
	for i, f := range fixes {
		for j, c := range f.Changes {
			number := strconv.Itoa(i+1) + "."
			if j > 0 {
				number = "+"
			}
			p.line("  %-3s %-9s %s", number, c.Who, c.Text)
		}
		const indent = "                "
		switch {
		case f.Verified:
			p.raw(indent + p.paint(green, "verified") + p.gains(f) + "\n")
		case f.Then != nil && f.Then.Outcome == "unknown":
			p.raw(indent + p.paint(yellow, "not certain"))
			p.line(": nothing refuses then, but the gate %s cannot tell (%s)", f.Then.Gate, f.Then.Reason)
		case f.Then != nil:
			p.raw(indent + p.paint(red, "not enough"))
			p.line(": then %s by the gate %s", f.Then.Reason, f.Then.Gate)
		}
	}
}

// gains says who else a fix lets in.
func (p *printer) gains(f Fix) string {
	reach := 0
	for _, c := range f.Changes {
		reach = max(reach, c.Reach)
	}
	switch f.Risk {
	case RiskSeveral:
		if reach > 1 {
			return fmt.Sprintf("; %d applications gain by it", reach)
		}
		return "; others gain by it too"
	case RiskOpen:
		return "; it turns a protection off"
	}
	return ""
}

// now says what becomes of a recorded request at the time of asking.
func (p *printer) now(e Explanation) {
	switch e.Now {
	case Allowed:
		p.line("")
		p.line("Sent again now, it would pass.")
	case Unknown:
		p.line("")
		p.line("Sent again now, nothing that can be asked would refuse it.")
	}
}
