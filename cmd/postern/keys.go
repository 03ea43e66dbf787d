package main

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postern/internal/admin"
)

func newKeysCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:     "keys",
		Short:   "List, create, rotate and revoke API keys",
		Long:    "List, create, rotate and revoke the API keys of applications. Changes act within a second on every node.",
		Example: "  postern keys list --application shop-web\n  postern keys create --application shop-web --scope orders:create",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newKeysListCommand(a), newKeysCreateCommand(a), newKeysRotateCommand(a), newKeysRevokeCommand(a))
	return a.remote(c)
}

func newKeysListCommand(a *app) *cobra.Command {
	var application string
	var limit int
	c := &cobra.Command{
		Use:     "list",
		Short:   "List keys",
		Example: "  postern keys list --application shop-web",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			api, err := a.client()
			if err != nil {
				return err
			}
			query := url.Values{"limit": {"500"}}
			if application != "" {
				query.Set("application", application)
			}
			keys, more := []admin.Key{}, false
			err = pages(c.Context(), api, "/keys", query, func(k admin.Key) bool {
				if more = len(keys) == limit; more {
					return false
				}
				keys = append(keys, k)
				return true
			})
			if err != nil {
				return err
			}
			if a.json() {
				return a.printJSON(map[string]any{"items": keys, "more": more})
			}
			rows := [][]string{{"ID", "APPLICATION", "STATE", "NAME", "SCOPES", "CREATED", "EXPIRES"}}
			for _, k := range keys {
				rows = append(rows, []string{k.ID, k.Application, k.State, dash(k.Name), dash(strings.Join(k.Scopes, " ")), when(k.Created), dash(when(k.Expires))})
			}
			if err := a.table(rows); err != nil {
				return err
			}
			if more {
				fmt.Fprintf(a.stderr, "Only the first %d are shown; --limit shows more, --application fewer.\n", limit)
			}
			return nil
		},
	}
	c.Flags().StringVar(&application, "application", "", "only keys of this application")
	c.Flags().IntVar(&limit, "limit", 1000, "at most so many")
	return c
}

func newKeysCreateCommand(a *app) *cobra.Command {
	var application, name, expires string
	var scopes []string
	c := &cobra.Command{
		Use:   "create",
		Short: "Create a key and print it, this once",
		Example: `  postern keys create --application shop-web --name ci --scope orders:create --expires 2160h
  postern keys create --application shop-web --expires 2027-01-31T00:00:00Z --output json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if application == "" {
				return usagef("whose key? Add --application ID")
			}
			end, err := until(expires, time.Now())
			if err != nil {
				return usagef("--expires %s: %w", expires, err)
			}
			api, err := a.client()
			if err != nil {
				return err
			}
			var made admin.NewKey
			if _, err := api.do(c.Context(), call{method: "POST", path: "/applications/" + url.PathEscape(application) + "/keys",
				json: admin.KeyRequest{Name: name, Scopes: scopes, Expires: end}}, &made); err != nil {
				return err
			}
			return a.printNewKey(made)
		},
	}
	c.Flags().StringVar(&application, "application", "", "the application the key is for")
	c.Flags().StringVar(&name, "name", "", "what it is for")
	c.Flags().StringSliceVar(&scopes, "scope", nil, "limit the key to a scope; may be repeated")
	c.Flags().StringVar(&expires, "expires", "", "when it ends: a duration such as 2160h, or a time such as 2027-01-31T00:00:00Z (default: never)")
	return c
}

// until reads a time, or a duration from now.
func until(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return time.Time{}, fmt.Errorf("write a duration to come such as 2160h, or a time such as 2027-01-31T00:00:00Z")
	}
	return now.Add(d), nil
}

// printNewKey prints the key alone on standard output, so that it can be piped, and what belongs to it on standard error.
func (a *app) printNewKey(k admin.NewKey) error {
	if a.json() {
		return a.printJSON(k)
	}
	fmt.Fprintf(a.stderr, "Key %s of application %s. It is shown this once:\n", k.Key.ID, k.Key.Application)
	_, err := fmt.Fprintln(a.stdout, k.Text)
	return err
}

func newKeysRotateCommand(a *app) *cobra.Command {
	var overlap time.Duration
	c := &cobra.Command{
		Use:     "rotate KEY-ID",
		Short:   "Replace a key by a new one and print that, this once",
		Long:    "Replace a key by a new one with the same name and scopes. The old one goes on working for the overlap.",
		Example: "  postern keys rotate k_1a2b3c --overlap 48h",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			api, err := a.client()
			if err != nil {
				return err
			}
			var made admin.NewKey
			if _, err := api.do(c.Context(), call{method: "POST", path: "/keys/" + url.PathEscape(args[0]) + "/rotate",
				json: admin.RotateRequest{Overlap: overlap.String()}}, &made); err != nil {
				return err
			}
			return a.printNewKey(made)
		},
	}
	c.Flags().DurationVar(&overlap, "overlap", 24*time.Hour, "how long the old key goes on working")
	return c
}

func newKeysRevokeCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "revoke KEY-ID...",
		Short:   "Revoke keys, at once and for good",
		Example: "  postern keys revoke k_1a2b3c",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			api, err := a.client()
			if err != nil {
				return err
			}
			revoked := []admin.Key{}
			for _, id := range args {
				var k admin.Key
				if _, err := api.do(c.Context(), call{method: "DELETE", path: "/keys/" + url.PathEscape(id)}, &k); err != nil {
					return err
				}
				revoked = append(revoked, k)
				if !a.json() {
					fmt.Fprintf(a.stdout, "Revoked %s of application %s.\n", k.ID, k.Application)
				}
			}
			if a.json() {
				return a.printJSON(map[string]any{"items": revoked})
			}
			return nil
		},
	}
}
