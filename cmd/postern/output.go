package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/term"

	"postern/internal/admin"
	"postern/internal/policy"
)

// json reports whether the answer is for a program.
func (a *app) json() bool { return a.output == "json" }

// printJSON writes a value for programs.
func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// color reports whether to use colours on a writer: only on a terminal, and not when NO_COLOR (no-color.org) is set.
func (a *app) color(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && a.getenv("NO_COLOR") == "" && a.getenv("TERM") != "dumb" && term.IsTerminal(int(f.Fd()))
}

// table writes rows in columns.
func (a *app) table(rows [][]string) error {
	w := tabwriter.NewWriter(a.stdout, 0, 8, 2, ' ', 0)
	for _, r := range rows {
		for i, cell := range r {
			if i > 0 {
				fmt.Fprint(w, "\t")
			}
			fmt.Fprint(w, plain(cell))
		}
		fmt.Fprintln(w)
	}
	return w.Flush()
}

// plain keeps control characters and direction overrides, which callers can put into paths and names, out of a terminal.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r >= 0x7f && r <= 0x9f || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return '?'
		}
		return r
	}, s)
}

// when is a time for people; "" for the zero time.
func when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format("2006-01-02 15:04:05")
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// report prints why a verb failed, to standard error.
func (a *app) report(err error, code int) {
	if err.Error() == "" {
		return
	}
	var refused *apiError
	var found policy.Problems
	isRefused, isFound := errors.As(err, &refused), errors.As(err, &found)
	if a.json() {
		v := map[string]any{"error": err.Error(), "exit": code}
		if isRefused {
			v["problem"] = refused.Problem
		}
		if isFound {
			v["problems"] = found
		}
		enc := json.NewEncoder(a.stderr)
		enc.SetEscapeHTML(false)
		_ = enc.Encode(v) // nowhere left to complain
		return
	}
	switch {
	case isFound:
		for _, p := range found {
			fmt.Fprintln(a.stderr, p)
		}
	case isRefused:
		fmt.Fprintln(a.stderr, "postern: "+plain(refused.Detail))
		a.findings(refused.Errors)
		for _, r := range refused.Remedies {
			if !slices.ContainsFunc(refused.Errors, func(f admin.Finding) bool { return f.Remedy == r }) { // it stands there already
				fmt.Fprintln(a.stderr, "  "+plain(r))
			}
		}
	default:
		for i, line := range strings.Split(err.Error(), "\n") {
			if i == 0 {
				line = "postern: " + line
			}
			fmt.Fprintln(a.stderr, plain(strings.ReplaceAll(strings.TrimRight(line, "\t "), "\t", "  ")))
		}
	}
}

func (a *app) findings(found []admin.Finding) {
	for _, f := range found {
		where := f.Pointer
		if f.File != "" && f.Line > 0 {
			where = fmt.Sprintf("%s:%d:%d: %s", f.File, f.Line, f.Column, f.Pointer)
		}
		text := f.Message
		if where != "" {
			text = where + ": " + text
		}
		switch {
		case f.Remedy == "":
		case strings.HasSuffix(text, "."):
			text += " " + f.Remedy
		default:
			text += "; " + f.Remedy
		}
		fmt.Fprintln(a.stderr, "  "+plain(text))
	}
}
