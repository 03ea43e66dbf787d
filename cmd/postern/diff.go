package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"postern/internal/admin"
	"postern/internal/policy"
)

func newDiffCommand(a *app) *cobra.Command {
	var against string
	c := &cobra.Command{
		Use:   "diff FILE...",
		Short: "Compare a configuration with the one that runs",
		Long: `Compare a configuration with the one that runs, by meaning: order, comments and layout do not count. With --against it is
compared with another file instead, and no gateway is asked.

Exit code 0: no difference; 1: it differs; 3: could not decide.`,
		Example: "  postern diff postern.yaml\n  postern diff new.yaml --against old.yaml",
		Args:    atLeastOneFile,
		RunE: func(c *cobra.Command, args []string) error {
			src, err := a.readSource(args)
			if err != nil {
				return &codeError{exitUndecided, err}
			}
			var out admin.Compared
			if against != "" {
				old, err := a.readSource([]string{against})
				if err != nil {
					return &codeError{exitUndecided, err}
				}
				out.Changes = policy.Diff(old.doc, src.doc)
			} else {
				api, err := a.client()
				if err != nil {
					return err
				}
				if _, err = api.do(c.Context(), call{method: "POST", path: "/config/diff", body: src.text, bodyType: "application/yaml"}, &out); err != nil {
					return &codeError{exitUndecided, src.located(err)}
				}
			}
			if a.json() {
				if out.Changes == nil {
					out.Changes = []policy.Change{}
				}
				if err := a.printJSON(out); err != nil {
					return err
				}
			} else {
				a.printChanges(out.Changes)
				if len(out.Changes) == 0 {
					fmt.Fprintln(a.stdout, "No difference.")
				}
			}
			if len(out.Changes) > 0 {
				return exit(exitNo)
			}
			return nil
		},
	}
	c.Flags().StringVar(&against, "against", "", "compare with this file or folder, without a gateway")
	return a.remote(c)
}
