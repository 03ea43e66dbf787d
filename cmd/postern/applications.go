package main

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"postern/internal/admin"
	"postern/internal/directory"
)

func newApplicationsCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "applications",
		Short: "List and create applications, and grant them roles",
		Long: `List and create applications, and grant or withdraw their roles. Changes act within a second on every node. Tenants are
managed through the management API.`,
		Example: "  postern applications list\n  postern applications grant shop-web order-writer",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newApplicationsListCommand(a), newApplicationsCreateCommand(a),
		newApplicationsRolesCommand(a, "grant", "Grant roles to an application", func(has, change []string) []string {
			for _, r := range change {
				if !slices.Contains(has, r) {
					has = append(has, r)
				}
			}
			return has
		}),
		newApplicationsRolesCommand(a, "withdraw", "Withdraw roles from an application", func(has, change []string) []string {
			return slices.DeleteFunc(has, func(r string) bool { return slices.Contains(change, r) })
		}))
	return a.remote(c)
}

func newApplicationsListCommand(a *app) *cobra.Command {
	var tenant string
	c := &cobra.Command{
		Use:     "list",
		Short:   "List applications",
		Example: "  postern applications list --tenant acme",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			api, err := a.client()
			if err != nil {
				return err
			}
			query := url.Values{"limit": {"500"}}
			if tenant != "" {
				query.Set("tenant", tenant)
			}
			all := []directory.Application{}
			err = pages(c.Context(), api, "/applications", query, func(x directory.Application) bool {
				all = append(all, x)
				return true
			})
			if err != nil {
				return err
			}
			if a.json() {
				return a.printJSON(map[string]any{"items": all})
			}
			rows := [][]string{{"ID", "TENANT", "STANDING", "NAME", "ROLES"}}
			for _, x := range all {
				rows = append(rows, applicationRow(x))
			}
			return a.table(rows)
		},
	}
	c.Flags().StringVar(&tenant, "tenant", "", "only applications of this tenant")
	return c
}

func applicationRow(x directory.Application) []string {
	return []string{x.ID, x.Tenant, string(x.Standing), dash(x.Name), dash(strings.Join(x.Roles, " "))}
}

func newApplicationsCreateCommand(a *app) *cobra.Command {
	var r admin.ApplicationRequest
	c := &cobra.Command{
		Use:     "create ID",
		Short:   "Create an application",
		Example: "  postern applications create shop-web --tenant acme --role order-reader",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			api, err := a.client()
			if err != nil {
				return err
			}
			r.ID = args[0]
			var made directory.Application
			if _, err := api.do(c.Context(), call{method: "POST", path: "/applications", json: r}, &made); err != nil {
				return err
			}
			return a.printApplication(made)
		},
	}
	c.Flags().StringVar(&r.Tenant, "tenant", "", "the tenant it belongs to (default: yours)")
	c.Flags().StringVar(&r.Name, "name", "", "for people")
	c.Flags().StringSliceVar(&r.Roles, "role", nil, "grant a role; may be repeated")
	return c
}

// newApplicationsRolesCommand makes the verbs that change roles. They send If-Match, so that two people who grant at the
// same time do not undo each other.
func newApplicationsRolesCommand(a *app, verb, short string, change func(has, change []string) []string) *cobra.Command {
	return &cobra.Command{
		Use:     verb + " ID ROLE...",
		Short:   short,
		Example: "  postern applications " + verb + " shop-web order-writer",
		Args:    cobra.MinimumNArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			api, err := a.client()
			if err != nil {
				return err
			}
			x, err := changeRoles(c.Context(), api, args[0], func(has []string) []string { return change(has, args[1:]) })
			if err != nil {
				return err
			}
			return a.printApplication(x)
		},
	}
}

func changeRoles(ctx context.Context, api *client, id string, change func([]string) []string) (x directory.Application, err error) {
	path := "/applications/" + url.PathEscape(id)
	header, err := api.do(ctx, call{method: "GET", path: path}, &x)
	if err != nil {
		return x, err
	}
	roles := change(slices.Clone(x.Roles))
	if slices.Equal(roles, x.Roles) {
		return x, nil
	}
	_, err = api.do(ctx, call{method: "PATCH", path: path, header: map[string]string{"If-Match": header.Get("ETag")},
		json: admin.ApplicationPatch{Roles: &roles}}, &x)
	return x, err
}

func (a *app) printApplication(x directory.Application) error {
	if a.json() {
		return a.printJSON(x)
	}
	_, err := fmt.Fprintf(a.stdout, "%s of tenant %s has the roles %s\n", x.ID, x.Tenant, dash(strings.Join(x.Roles, ", ")))
	return err
}
