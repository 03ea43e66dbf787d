package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"postern/internal/decision"
	"postern/internal/record"
)

// logsFlags select records.
type logsFlags struct {
	tenant, api, application, operation, key, reason, gate, outcome, origin, model, path string
	status                                                                               int
	since, until                                                                         string
	limit                                                                                int
	follow                                                                               bool
}

func newLogsCommand(a *app) *cobra.Command {
	var f logsFlags
	c := &cobra.Command{
		Use:   "logs",
		Short: "Show calls, newest last",
		Long: `Show call records: what was asked, what was decided and by which gate, and what became of it. With -f new calls follow as they
are recorded. With --output json every record is one line.`,
		Example: `  postern logs --outcome refused --since 1h
  postern logs -f --application shop-web --output json
  postern logs --reason authz.permission_missing --api orders`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			query, err := f.query(time.Now())
			if err != nil {
				return err
			}
			api, err := a.client()
			if err != nil {
				return err
			}
			return a.logs(c.Context(), api, query, f)
		},
	}
	s := func(p *string, name, what string) { c.Flags().StringVar(p, name, "", what) }
	s(&f.tenant, "tenant", "tenant that publishes the API")
	s(&f.api, "api", "name of the API")
	s(&f.operation, "operation", "name of the operation")
	s(&f.application, "application", "id of the calling application")
	s(&f.key, "key", "id of the API key")
	s(&f.reason, "reason", "code of the reason, such as limit.rate")
	s(&f.gate, "gate", "gate that refused, such as authz")
	s(&f.outcome, "outcome", "passed, refused, answered or failed")
	s(&f.origin, "origin", "who spoke the final word: gateway, upstream or unreachable")
	s(&f.model, "model", "name of the model")
	s(&f.path, "path", "beginning of the path")
	s(&f.since, "since", "not before: a duration ago such as 15m, or a time such as 2026-11-22T09:00:00Z")
	s(&f.until, "until", "not after: a duration ago, or a time")
	c.Flags().IntVar(&f.status, "status", 0, "status, or 4 or 5 for a class")
	c.Flags().IntVarP(&f.limit, "limit", "n", 50, "at most so many")
	c.Flags().BoolVarP(&f.follow, "follow", "f", false, "go on with new calls until interrupted")
	return a.remote(c)
}

func (f *logsFlags) query(now time.Time) (url.Values, error) {
	q := url.Values{}
	for name, v := range map[string]string{"tenant": f.tenant, "api": f.api, "operation": f.operation, "application": f.application, "key": f.key,
		"reason": f.reason, "gate": f.gate, "outcome": f.outcome, "origin": f.origin, "model": f.model, "path": f.path} {
		if v != "" {
			q.Set(name, v)
		}
	}
	if f.status != 0 {
		q.Set("status", strconv.Itoa(f.status))
	}
	if f.limit < 1 {
		return nil, usagef("--limit %d: at least 1", f.limit)
	}
	for name, v := range map[string]string{"since": f.since, "until": f.until} {
		if v == "" {
			continue
		}
		t, err := ago(v, now)
		if err != nil {
			return nil, usagef("--%s %s: %w", name, v, err)
		}
		q.Set(name, t.UTC().Format(time.RFC3339Nano))
	}
	if f.follow && f.until != "" {
		return nil, usagef("-f goes on into the future, so --until does not fit it")
	}
	return q, nil
}

// ago reads a time, or a duration before now.
func ago(s string, now time.Time) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return time.Time{}, errors.New("write a duration such as 15m, or a time such as 2026-11-22T09:00:00Z")
	}
	return now.Add(-d), nil
}

func (a *app) logs(ctx context.Context, api *client, query url.Values, f logsFlags) error {
	most := f.limit
	if f.follow {
		most = max(most, followMost) // what is there already must be known, so that it is not taken for new
	}
	rows, err := newest(ctx, api, query, most)
	if err != nil {
		return err
	}
	if err := a.printRecords(rows[max(0, len(rows)-f.limit):]); err != nil {
		return err
	}
	if f.follow {
		return a.follow(ctx, api, query, rows)
	}
	if len(rows) == 0 && !a.json() {
		fmt.Fprintln(a.stderr, "No calls match.")
	}
	return nil
}

// newest reads the newest records, and returns them oldest first.
func newest(ctx context.Context, api *client, query url.Values, most int) ([]record.Record, error) {
	q := maps.Clone(query)
	q.Set("limit", strconv.Itoa(min(most, 1000)))
	var rows []record.Record
	err := pages(ctx, api, "/records", q, func(r record.Record) bool {
		rows = append(rows, r)
		return len(rows) < most
	})
	slices.Reverse(rows)
	return rows, err
}

const (
	followEvery = time.Second
	// A record is written when its call ends, but is sorted by when the call began: a call that took longer than this is not
	// shown by -f.
	followBack = 2 * time.Minute
	followMost = 5000 // records of one look
)

// follow shows records as they come until ctx ends. The gateway's own times are compared, never this machine's.
func (a *app) follow(ctx context.Context, api *client, query url.Values, known []record.Record) error {
	seen := map[decision.TraceID]bool{}
	var latest time.Time
	note := func(r record.Record) {
		seen[r.ID] = true
		if t := r.ID.Time(); t.After(latest) {
			latest = t
		}
	}
	for _, r := range known {
		note(r)
	}
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if !latest.IsZero() {
			query.Set("since", latest.Add(-followBack).UTC().Format(time.RFC3339Nano))
		}
		rows, err := newest(ctx, api, query, followMost)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		fresh := make([]record.Record, 0, len(rows))
		for _, r := range rows {
			if !seen[r.ID] {
				fresh = append(fresh, r)
				note(r)
			}
		}
		if err := a.printRecords(fresh); err != nil {
			return err
		}
		if len(fresh) == followMost {
			fmt.Fprintf(a.stderr, "postern: more than %d calls at once, some are not shown; a filter would help\n", followMost)
		}
		maps.DeleteFunc(seen, func(id decision.TraceID, _ bool) bool { return id.Time().Before(latest.Add(-2 * followBack)) })
	}
}

func (a *app) printRecords(rows []record.Record) error {
	if a.json() {
		enc := json.NewEncoder(a.stdout)
		enc.SetEscapeHTML(false)
		for _, r := range rows {
			if err := enc.Encode(r); err != nil {
				return err
			}
		}
		return nil
	}
	for _, r := range rows {
		if _, err := fmt.Fprintln(a.stdout, a.recordLine(r)); err != nil {
			return err
		}
	}
	return nil
}

// recordLine is one call on one line: when, what became of it, what was asked, by whom, and why not.
func (a *app) recordLine(r record.Record) string {
	status := strconv.Itoa(r.Status)
	if a.color(a.stdout) {
		paint := "\x1b[32m"
		switch {
		case r.Outcome == "failed" || r.Status >= 500:
			paint = "\x1b[31m"
		case r.Outcome == "refused" || r.Status >= 400:
			paint = "\x1b[33m"
		}
		status = paint + status + "\x1b[0m"
	}
	line := fmt.Sprintf("%s %s %-8s %s %s", r.Time.Local().Format("15:04:05.000"), status, r.Outcome, plain(r.Method), plain(r.Host+r.Path))
	if r.Application != "" {
		line += " " + plain(r.Application)
	}
	if r.Model != "" {
		line += " " + plain(r.Model)
	}
	if r.Reason != "" {
		line += " " + plain(r.Reason)
	}
	if r.Origin != "" && r.Origin != "gateway" {
		line += " (" + plain(r.Origin) + ")"
	}
	return fmt.Sprintf("%s %s %s", line, r.Took.Round(10*time.Microsecond), r.ID)
}
