package main

import (
	"fmt"
	"net/url"

	"github.com/spf13/cobra"

	"postern/internal/decision"
	"postern/internal/lab"
)

func newExplainCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "explain TRACE",
		Short: "Say why a call was decided as it was",
		Long: `Say why a call was decided as it was: the gate, the rule, the facts it compared, every other gate that would have refused too, and
what to do. The trace id stands in the Postern-Trace field of every answer, and in "postern logs".

Exit code 0: the call passed; 1: it was refused; 3: there is no such record, or it could not be asked for.`,
		Example: "  postern explain 01JD0Z8C0M3V9W6T5Q4R2E1A7B\n  postern logs --outcome refused -n 1",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			trace, err := decision.ParseTraceID(args[0])
			if err != nil {
				return usagef("%q: %w", args[0], err)
			}
			api, err := a.client()
			if err != nil {
				return err
			}
			var out lab.Explanation
			if _, err := api.do(c.Context(), call{method: "GET", path: "/explain/" + url.PathEscape(trace.String())}, &out); err != nil {
				return &codeError{exitUndecided, err}
			}
			if a.json() {
				err = a.printJSON(out)
			} else {
				err = out.WriteText(a.stdout, a.color(a.stdout))
			}
			if err != nil {
				return fmt.Errorf("explain: %w", err)
			}
			return exit(out.ExitCode())
		},
	}
	return a.remote(c)
}
