package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"postern/internal/policy"
)

func newValidateCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "validate FILE...",
		Short: "Check a configuration without a gateway",
		Long: `Check a configuration: a file, a folder of *.yaml files, several of them as one, or standard input with -. Everything that is
wrong is listed with file, line, column and remedy. No gateway is asked, and nothing is changed.

Exit code 0: it compiles; 1: it does not; 3: it could not be read.`,
		Example: "  postern validate postern.yaml\n  postern validate conf.d/ --output json",
		Args:    atLeastOneFile,
		RunE: func(_ *cobra.Command, args []string) error {
			src, err := a.readSource(args)
			if err == nil {
				_, err = src.compile()
			}
			var found policy.Problems
			switch {
			case errors.As(err, &found):
				return a.printProblems(found)
			case err != nil:
				return err
			case a.json():
				return a.printJSON(map[string]any{"valid": true, "problems": []policy.Problem{}})
			}
			d := src.doc
			operations := 0
			for _, api := range d.APIs {
				for _, v := range api.Versions {
					operations += len(v.Operations)
				}
			}
			fmt.Fprintf(a.stdout, "%s: valid (%s, %s, %s, %s)\n", strings.Join(args, ", "), count(len(d.APIs), "API"), count(operations, "operation"),
				count(len(d.Upstreams), "upstream"), count(len(d.Models), "model"))
			return nil
		},
	}
}

// printProblems answers with what is wrong: that is the answer, so it goes to standard output.
func (a *app) printProblems(found policy.Problems) error {
	if a.json() {
		if err := a.printJSON(map[string]any{"valid": false, "problems": found}); err != nil {
			return err
		}
		return exit(exitNo)
	}
	for _, p := range found {
		fmt.Fprintln(a.stdout, p)
	}
	return exit(exitNo)
}

func atLeastOneFile(_ *cobra.Command, args []string) error {
	if len(args) == 0 {
		return errors.New("which file? Name a file or folder, or - for standard input")
	}
	return nil
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
