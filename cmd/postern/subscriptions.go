package main

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postern/internal/admin"
	"postern/internal/directory"
)

func newSubscriptionsCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "subscriptions",
		Short: "Subscribe applications to APIs, and decide who may",
		Long: `List and create subscriptions of applications to API versions, and approve, reject, suspend, resume or revoke them. Changes act
within a second on every node.`,
		Example: `  postern subscriptions list --state pending
  postern subscriptions create shop-web orders v1 --plan standard --approve`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newSubscriptionsListCommand(a), newSubscriptionsCreateCommand(a),
		newSubscriptionsStepCommand(a, "approve", "Approve subscriptions that are pending or were rejected"),
		newSubscriptionsStepCommand(a, "reject", "Reject pending subscriptions"),
		newSubscriptionsStepCommand(a, "suspend", "Suspend approved subscriptions"),
		newSubscriptionsStepCommand(a, "resume", "Resume suspended subscriptions"),
		newSubscriptionsStepCommand(a, "revoke", "Revoke subscriptions for good; the applications may ask for new ones"))
	return a.remote(c)
}

func newSubscriptionsListCommand(a *app) *cobra.Command {
	var application, api, state string
	c := &cobra.Command{
		Use:     "list",
		Short:   "List subscriptions",
		Example: "  postern subscriptions list --state pending\n  postern subscriptions list --application shop-web",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			gateway, err := a.client()
			if err != nil {
				return err
			}
			query := url.Values{"limit": {"500"}}
			for name, value := range map[string]string{"application": application, "api": api, "state": state} {
				if value != "" {
					query.Set(name, value)
				}
			}
			all := []directory.Subscription{}
			err = pages(c.Context(), gateway, "/subscriptions", query, func(s directory.Subscription) bool {
				all = append(all, s)
				return true
			})
			if err != nil {
				return err
			}
			if a.json() {
				return a.printJSON(map[string]any{"items": all})
			}
			rows := [][]string{{"ID", "APPLICATION", "API", "VERSION", "STATE", "PLAN", "EXPIRES", "COMMENT"}}
			for _, s := range all {
				rows = append(rows, []string{s.ID, s.Application, s.API, s.Version, string(s.State), dash(s.Plan), dash(when(s.Expires)), dash(s.Comment)})
			}
			return a.table(rows)
		},
	}
	c.Flags().StringVar(&application, "application", "", "only subscriptions of this application")
	c.Flags().StringVar(&api, "api", "", "only subscriptions to this API")
	c.Flags().StringVar(&state, "state", "", "pending, approved, rejected, suspended or revoked")
	return c
}

func newSubscriptionsCreateCommand(a *app) *cobra.Command {
	var r admin.SubscriptionRequest
	var expires string
	c := &cobra.Command{
		Use:   "create APPLICATION API VERSION",
		Short: "Ask for a subscription",
		Long: `Ask for a subscription of an application to a version of an API, or to all of them with '*'. It is pending until the publisher
of the API approves it; with --approve that is done at once by whoever may.`,
		Example: `  postern subscriptions create shop-web orders v1 --plan standard
  postern subscriptions create shop-web orders '*' --approve --expires 2027-01-31T00:00:00Z`,
		Args: cobra.ExactArgs(3),
		RunE: func(c *cobra.Command, args []string) (err error) {
			r.Application, r.API, r.Version = args[0], args[1], args[2]
			if r.Expires, err = until(expires, time.Now()); err != nil {
				return usagef("--expires %s: %w", expires, err)
			}
			gateway, err := a.client()
			if err != nil {
				return err
			}
			var made directory.Subscription
			if _, err := gateway.do(c.Context(), call{method: "POST", path: "/subscriptions", json: r}, &made); err != nil {
				return err
			}
			if a.json() {
				return a.printJSON(made)
			}
			return a.printSubscription(made)
		},
	}
	c.Flags().StringVar(&r.Plan, "plan", "", "plan of the configuration whose limits hold")
	c.Flags().StringVar(&r.Comment, "comment", "", "what it is for")
	c.Flags().BoolVar(&r.Approve, "approve", false, "approve it at once")
	c.Flags().StringVar(&expires, "expires", "", "when it ends: a duration such as 2160h, or a time such as 2027-01-31T00:00:00Z (default: never)")
	return c
}

// newSubscriptionsStepCommand makes a verb that moves subscriptions to another state; the management API has one of the same
// name and decides from which states it leads.
func newSubscriptionsStepCommand(a *app, verb, short string) *cobra.Command {
	var comment string
	c := &cobra.Command{
		Use:     verb + " ID...",
		Short:   short,
		Example: "  postern subscriptions " + verb + " s_1a2b3c",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			gateway, err := a.client()
			if err != nil {
				return err
			}
			moved := []directory.Subscription{}
			for _, id := range args {
				var s directory.Subscription
				if _, err := gateway.do(c.Context(), call{method: "POST", path: "/subscriptions/" + url.PathEscape(id) + "/" + verb,
					json: admin.StateRequest{Comment: comment}}, &s); err != nil {
					return err
				}
				moved = append(moved, s)
				if !a.json() {
					if err := a.printSubscription(s); err != nil {
						return err
					}
				}
			}
			if a.json() {
				return a.printJSON(map[string]any{"items": moved})
			}
			return nil
		},
	}
	c.Flags().StringVar(&comment, "comment", "", "why; shown to the owner of the application")
	return c
}

func (a *app) printSubscription(s directory.Subscription) error {
	to := strings.TrimSuffix(s.API+" "+s.Version, " *")
	_, err := fmt.Fprintf(a.stdout, "Subscription %s of application %s to %s is %s.\n", s.ID, s.Application, to, s.State)
	return err
}
