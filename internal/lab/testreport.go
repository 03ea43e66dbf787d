package lab

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"
)

// WriteText writes the report for people: what failed, and why, then how many and what was never decided.
func (r TestReport) WriteText(w io.Writer, color bool) error {
	p := printer{w: w, color: color}
	for _, t := range r.Results {
		if t.Passed {
			continue
		}
		where := r.File
		if t.Line > 0 {
			where = fmt.Sprintf("%s:%d", r.File, t.Line)
		}
		p.raw(p.paint(red, "FAIL") + " ")
		p.line("%s: %s", where, t.Name)
		p.line("     %s", t.Problem)
		for l := range strings.Lines(t.Trace) {
			p.line("     | %s", strings.TrimRight(l, "\n"))
		}
	}
	verdict := p.paint(green, "ok")
	if r.Failed() > 0 {
		verdict = p.paint(red, "FAIL")
	}
	p.raw(verdict + "   ")
	p.line("%s: %d tests, %d failed", r.File, len(r.Results), r.Failed())
	if r.Rules > 0 {
		p.line("     %d of %d rules decided a test", r.Decided, r.Rules)
	}
	const most = 20
	for i, u := range r.Undecided {
		if i == most {
			p.line("     … and %d more", len(r.Undecided)-most)
			break
		}
		p.line("     never decided: %s", u)
	}
	for i, u := range r.Unrequested {
		if i == most {
			p.line("     … and %d more", len(r.Unrequested)-most)
			break
		}
		p.line("     never requested: %s", u)
	}
	return p.err
}

type (
	junitSuites struct {
		XMLName xml.Name     `xml:"testsuites"`
		Suites  []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Time     string      `xml:"time,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Name    string        `xml:"name,attr"`
		Class   string        `xml:"classname,attr"`
		Time    string        `xml:"time,attr"`
		Failure *junitFailure `xml:"failure,omitempty"`
	}
	junitFailure struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// WriteJUnit writes reports as the XML that CI systems read.
func WriteJUnit(w io.Writer, reports []TestReport) error {
	seconds := func(d time.Duration) string { return fmt.Sprintf("%.6f", d.Seconds()) }
	var out junitSuites
	for _, r := range reports {
		s := junitSuite{Name: r.File, Tests: len(r.Results), Failures: r.Failed(), Time: seconds(r.Took)}
		for _, t := range r.Results {
			c := junitCase{Name: t.Name, Class: r.File, Time: seconds(t.Took)}
			if !t.Passed {
				c.Failure = &junitFailure{Message: t.Problem, Text: cleanLines(t.Trace)}
			}
			s.Cases = append(s.Cases, c)
		}
		out.Suites = append(out.Suites, s)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(out); err != nil {
		return fmt.Errorf("writing JUnit XML: %w", err)
	}
	_, err := io.WriteString(w, "\n")
	return err
}

// cleanLines keeps line breaks and replaces other control characters, which XML cannot hold.
func cleanLines(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = clean(l)
	}
	return strings.Join(lines, "\n")
}
