package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"postern/internal/policy"
)

func newApplyCommand(a *app) *cobra.Command {
	var dry bool
	var comment, match string
	c := &cobra.Command{
		Use:   "apply FILE...",
		Short: "Replace the running configuration",
		Long: `Replace the running configuration by a file, a folder of *.yaml files, several of them as one, or standard input with -. The
differences are shown. The gateway compiles the document first: one that does not compile changes nothing.

If somebody else changed the configuration in between, nothing is changed either; look at the difference and apply again.
With --if-generation that is checked against the generation you worked on.

Exit code 0: applied, or nothing to change; 1: refused; 3: could not decide.`,
		Example: "  postern apply postern.yaml --comment \"orders v2\"\n  postern apply conf.d/ --dry-run",
		Args:    atLeastOneFile,
		RunE: func(c *cobra.Command, args []string) error {
			src, err := a.readSource(args)
			if err == nil {
				_, err = src.compile()
			}
			if err != nil {
				return refusedIfProblems(err)
			}
			etag := ""
			if match != "" {
				etag = `"` + match + `"`
			}
			return a.apply(c.Context(), src, etag, comment, dry)
		},
	}
	c.Flags().BoolVar(&dry, "dry-run", false, "check and show the difference, change nothing")
	c.Flags().StringVar(&comment, "comment", "", "why; kept with the generation")
	c.Flags().StringVar(&match, "if-generation", "", "apply only if this generation runs (default: the one that runs now)")
	return a.remote(c)
}

func (a *app) apply(ctx context.Context, src *source, etag, comment string, dry bool) error {
	api, err := a.client()
	if err != nil {
		return err
	}
	if etag == "" {
		if etag, err = api.generation(ctx); err != nil {
			return err
		}
	}
	// The difference is shown before anything is changed, and the same If-Match guards both steps.
	planned, err := api.put(ctx, src, etag, comment, true)
	if err != nil {
		return err
	}
	if !a.json() {
		a.printChanges(planned.Changes)
	}
	if dry || planned.Unchanged {
		if a.json() {
			return a.printJSON(planned)
		}
		if planned.Unchanged {
			fmt.Fprintf(a.stdout, "Nothing to change: generation %d runs this document already.\n", planned.Generation)
		} else {
			fmt.Fprintf(a.stdout, "Dry run: %s to generation %d; nothing was changed.\n", count(len(planned.Changes), "change"), planned.Generation)
		}
		return nil
	}
	done, err := api.put(ctx, src, etag, comment, false)
	if err != nil {
		return err
	}
	if a.json() {
		return a.printJSON(done)
	}
	fmt.Fprintf(a.stdout, "Applied: generation %d runs (%s).\n", done.Generation, count(len(done.Changes), "change"))
	return nil
}

// refusedIfProblems gives mistakes in a document the exit code of a refusal.
func refusedIfProblems(err error) error {
	if isProblems(err) {
		return &codeError{exitNo, err}
	}
	return err
}

func isProblems(err error) bool {
	var found policy.Problems
	return errors.As(err, &found)
}
