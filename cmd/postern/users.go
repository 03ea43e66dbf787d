package main

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"postern/internal/admin"
	"postern/internal/directory"
)

func newUsersCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:     "users",
		Short:   "List and create the people who sign in",
		Long:    "List and create users of the console and the management API. Creating the first administrator spends the bootstrap token.",
		Example: "  postern users create --email ada@example.com --role admin\n  postern users list",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newUsersListCommand(a), newUsersCreateCommand(a))
	return a.remote(c)
}

func newUsersListCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List users",
		Example: "  postern users list --output json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			api, err := a.client()
			if err != nil {
				return err
			}
			users := []directory.User{}
			if err := pages(c.Context(), api, "/users", url.Values{"limit": {"500"}}, func(u directory.User) bool {
				users = append(users, u)
				return true
			}); err != nil {
				return err
			}
			if a.json() {
				return a.printJSON(map[string]any{"items": users})
			}
			rows := [][]string{{"ID", "EMAIL", "TENANT", "ROLES", "STANDING"}}
			for _, u := range users {
				rows = append(rows, []string{u.ID, u.Email, dash(u.Tenant), strings.Join(u.Roles, " "), string(u.Standing)})
			}
			return a.table(rows)
		},
	}
}

func newUsersCreateCommand(a *app) *cobra.Command {
	var in admin.UserRequest
	c := &cobra.Command{
		Use:     "create",
		Short:   "Create a user; the password is asked for, or read from standard input",
		Example: "  postern users create --email ada@example.com --role admin\n  postern users create --email bob@acme.example --tenant acme --role viewer < password-file",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if in.Email == "" || len(in.Roles) == 0 {
				return usagef("who, and as what? Add --email ADDRESS and --role admin, operator, security or viewer")
			}
			api, err := a.client()
			if err != nil {
				return err
			}
			if in.Password, err = a.readSecret("Password for " + in.Email + " (12 characters or more): "); err != nil {
				return err
			}
			var u directory.User
			if _, err := api.do(c.Context(), call{method: "POST", path: "/users", json: in}, &u); err != nil {
				return err
			}
			if a.json() {
				return a.printJSON(u)
			}
			fmt.Fprintf(a.stdout, "Created user %s (%s). Sign in with: postern login --email %s\n", u.Email, strings.Join(u.Roles, ", "), u.Email)
			return nil
		},
	}
	c.Flags().StringVar(&in.Email, "email", "", "email address")
	c.Flags().StringVar(&in.Name, "name", "", "name")
	c.Flags().StringVar(&in.Tenant, "tenant", "", "the tenant the user belongs to (default: the platform)")
	c.Flags().StringSliceVar(&in.Roles, "role", nil, "admin, operator, security or viewer; may be repeated")
	return c
}
