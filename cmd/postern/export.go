package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"
)

func newExportCommand(a *app) *cobra.Command {
	var file string
	var generation uint64
	c := &cobra.Command{
		Use:   "export",
		Short: "Print the running configuration",
		Long: `Print the running configuration as it was written, or as JSON with --output json. With --generation an earlier one is printed,
which "postern apply -" brings back.`,
		Example: "  postern export > postern.yaml\n  postern export --generation 12 | postern apply - --comment \"back to 12\"",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			api, err := a.client()
			if err != nil {
				return err
			}
			path, format := "/config", "yaml"
			if generation > 0 {
				path = "/config/generations/" + strconv.FormatUint(generation, 10)
			}
			if a.json() {
				format = "json"
			}
			var body []byte
			if _, err := api.do(c.Context(), call{method: "GET", path: path, query: map[string][]string{"format": {format}}}, &body); err != nil {
				return err
			}
			if file == "" {
				_, err = a.stdout.Write(body)
				return err
			}
			if err := os.WriteFile(filepath.Clean(file), body, 0o600); err != nil {
				return fmt.Errorf("export: %w", err)
			}
			return nil
		},
	}
	c.Flags().StringVarP(&file, "file", "f", "", "write to this file instead of standard output")
	c.Flags().Uint64Var(&generation, "generation", 0, "an earlier generation (default: the one that runs)")
	return a.remote(c)
}
