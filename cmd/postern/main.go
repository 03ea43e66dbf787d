// Command postern is an API gateway, an AI gateway and the API management around them. Every verb stands in a file of its
// name; wire.go assembles the gateway.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
)

func main() {
	os.Exit(Run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Getenv))
}

// Exit codes of every verb.
const (
	exitYes       = 0 // yes, allowed, clean
	exitNo        = 1 // no, refused, findings
	exitUsage     = 2 // the command line is wrong
	exitUndecided = 3 // could not decide: a file, the gateway or the network failed
)

// app is one run of the program: what it reads and writes, and the flags of every verb.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string

	output    string
	address   string
	plainHTTP bool
	begun     bool // the command line was understood
}

// codeError is an error that ends the program with a code of its own. An empty text prints nothing: the verb has said
// what there was to say.
type codeError struct {
	code int
	err  error
}

// Error implements error.
func (e *codeError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

// Unwrap returns the error behind it.
func (e *codeError) Unwrap() error { return e.err }

// usage marks an error as a mistake in the command line.
func usage(err error) error { return &codeError{exitUsage, err} }

// usagef words a mistake in the command line.
func usagef(format string, args ...any) error { return usage(fmt.Errorf(format, args...)) }

// exit ends the program with a code, after the verb has printed its answer.
func exit(code int) error {
	if code == exitYes {
		return nil
	}
	return &codeError{code, nil}
}

// Run runs the program with these arguments (without its name) and returns its exit code.
func Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, getenv func(string) string) int {
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr, getenv: getenv}
	root := newRootCommand(a)
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitYes
	}
	code := exitUndecided
	var coded *codeError
	switch {
	case errors.As(err, &coded):
		code = coded.code
	case !a.begun:
		code = exitUsage
	}
	a.report(err, code)
	return code
}

// Verbs are listed in the order one meets them, not by their letters.
func init() { cobra.EnableCommandSorting = false }

func newRootCommand(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "postern",
		Short: "API gateway, AI gateway and API management that explain every no",
		Long: `Postern is an API gateway, an AI gateway and the API management around them in one program. Every refusal names the
layer, the rule, the evidence and the remedy.

Exit codes: 0 yes, allowed, clean; 1 no, refused, findings; 2 wrong command line; 3 could not decide.`,
		Example:       "  postern demo\n  postern simulate --config postern.yaml < request.http\n  postern explain 01JD0Z8C0M3V9W6T5Q4R2E1A7B",
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(c *cobra.Command, _ []string) error {
			if a.output != "text" && a.output != "json" && (a.output != "junit" || c.Name() != "test") {
				return usagef("--output %s: choose text or json", a.output)
			}
			a.begun = true
			return nil
		},
	}
	flags := root.PersistentFlags()
	flags.StringVarP(&a.output, "output", "o", "text", "text for people, json for programs")
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usagef("%w; see %s --help", err, c.CommandPath())
	})
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddGroup(&cobra.Group{ID: "run", Title: "Run it:"}, &cobra.Group{ID: "config", Title: "Configure it:"},
		&cobra.Group{ID: "ask", Title: "Ask it:"}, &cobra.Group{ID: "access", Title: "Let others in:"})
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add("run", newServeCommand(a), newDemoCommand(a))
	add("config", newValidateCommand(a), newTestCommand(a), newDiffCommand(a), newApplyCommand(a), newExportCommand(a))
	add("ask", newExplainCommand(a), newSimulateCommand(a), newDiagnoseCommand(a), newLogsCommand(a))
	add("access", newLoginCommand(a), newLogoutCommand(a), newUsersCommand(a), newApplicationsCommand(a), newKeysCommand(a), newSubscriptionsCommand(a))
	add("", newVersionCommand(a))
	return root
}

// remote adds the flags of verbs that talk to a gateway.
func (a *app) remote(c *cobra.Command) *cobra.Command {
	c.PersistentFlags().StringVar(&a.address, "address", "", "management API of the gateway (default: $POSTERN_ADDRESS, else where you signed in, else http://127.0.0.1:8081)")
	c.PersistentFlags().BoolVar(&a.plainHTTP, "plain-http", false, "send credentials to another machine without TLS")
	return c
}
