package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one mistake in a document: where it is, what is wrong, and what to do. Parse fills the position; whoever
// finds a mistake later knows only the pointer and lets (*Document).LocateAll add the rest.
type Problem struct {
	File    string `json:"file,omitempty"`
	Pointer string `json:"pointer"` // RFC 6901 pointer into the whole document; "" is the document itself
	Message string `json:"message"`
	Remedy  string `json:"remedy,omitempty"`
	Line    int    `json:"line,omitempty"`   // from 1; 0: not known
	Column  int    `json:"column,omitempty"` // from 1, in characters
}

// String writes the problem on one line: "file:line:column: pointer: message; remedy", without the parts that are not known.
func (p Problem) String() string {
	var b strings.Builder
	switch {
	case p.File != "" && p.Line > 0:
		fmt.Fprintf(&b, "%s:%d:%d: ", p.File, p.Line, p.Column)
	case p.Line > 0:
		fmt.Fprintf(&b, "line %d, column %d: ", p.Line, p.Column)
	case p.File != "":
		b.WriteString(p.File + ": ")
	}
	if p.Pointer != "" {
		b.WriteString(p.Pointer + ": ")
	}
	b.WriteString(p.Message)
	if p.Remedy != "" {
		b.WriteString("; " + p.Remedy)
	}
	return printable(b.String())
}

// Problems is every mistake that was found, as one error. An empty list is no error: return it through Err.
type Problems []Problem

// Error writes one problem a line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Err returns ps as an error, and nil when it is empty.
func (ps Problems) Err() error {
	if len(ps) == 0 {
		return nil
	}
	return ps
}

// Sort orders problems by file, then by position, then by pointer, so that the text is the same every time.
func (ps Problems) Sort() {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.Pointer, b.Pointer))
	})
}

// printable keeps control characters and direction overrides of a hostile document out of terminals and logs.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r >= 0x7f && r <= 0x9f || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return '?'
		}
		return r
	}, s)
}

// quoted shows a name out of a document, bounded.
func quoted(s string) string {
	const most = 60
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "…"
	}
	return "`" + s + "`"
}

// EscapePointer escapes one token of an RFC 6901 pointer.
func EscapePointer(token string) string {
	return strings.ReplaceAll(strings.ReplaceAll(token, "~", "~0"), "/", "~1")
}

func unescapePointer(token string) string {
	return strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
}
