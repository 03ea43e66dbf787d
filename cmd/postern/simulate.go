package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postern/internal/admin"
	"postern/internal/gate"
	"postern/internal/lab"
	"postern/internal/reqtext"
	"postern/internal/snapshot"
)

// exitCode is 1 when any request would be refused, else 3 when any is unknown, else 0.
func (s simulation) exitCode() int {
	code := exitYes
	for _, r := range s.Results {
		switch r.ExitCode() {
		case exitNo:
			return exitNo
		case exitUndecided:
			code = exitUndecided
		}
	}
	return code
}

type simulateFlags struct {
	config  []string
	hint    string
	from    string
	as      []string
	at      string
	without []string
	matrix  bool
	csv     bool
}

// suppose reads the flags that suppose something.
func (f *simulateFlags) suppose() (s admin.Suppose, err error) {
	for _, as := range f.as {
		kind, id, ok := strings.Cut(as, ":")
		into := map[string]*string{"application": &s.Application, "user": &s.User, "key": &s.Key}[kind]
		if !ok || id == "" || into == nil || *into != "" {
			return s, usagef("--as %s: write application:ID, key:ID or user:ID, each at most once", as)
		}
		*into = id
	}
	switch {
	case s.Application != "" && s.Key != "":
		return s, usagef("--as: a key belongs to an application; suppose one of them")
	case s.User != "" && s.Application == "":
		return s, usagef("--as user:%s: a user calls through an application; add --as application:ID", s.User)
	}
	s.Without = f.without
	if f.at != "" {
		if s.At, err = time.Parse(time.RFC3339, f.at); err != nil {
			return s, usagef("--at %s: write a time such as 2026-03-04T12:00:00Z", f.at)
		}
	}
	return s, nil
}

// live reports whether only a gateway can answer: it has the directory.
func (f *simulateFlags) live() bool { return len(f.config) == 0 || len(f.as) > 0 || f.matrix }

func newSimulateCommand(a *app) *cobra.Command {
	var f simulateFlags
	c := &cobra.Command{
		Use:   "simulate [FILE | curl ...]",
		Short: "Ask whether a request would pass, without sending it",
		Long: `Ask whether a request would pass, and every reason why not. The request is given the way people have it: a pasted curl
command, a raw HTTP message, an .http file or a HAR file, as a file, on standard input, or behind the verb.

The running gateway judges it by its configuration and directory. With --config the file judges it here, without a gateway;
what takes the directory (who holds this key?) is then unknown. Nothing is sent, counted or written either way.

What if: --as application:ID or key:ID supposes who calls, without the secret; --from ADDRESS, --at TIME and --without GATE
suppose the rest. With --as, --config is a candidate that the gateway judges by, with its own directory. A refusal comes with
what would let the request pass, each remedy tried on a copy.

--matrix prints who may call what: every operation, every application.

Exit code 0: it would pass; 1: it would be refused; 3: not known.`,
		Example: `  postern simulate curl -X POST https://api.example.com/orders -H 'X-API-Key: …' -d '{}'
  pbpaste | postern simulate --config postern.yaml
  postern simulate --as application:shop-web --from 203.0.113.7 curl -X POST https://api.example.com/orders
  postern simulate --matrix --csv > who-may-call-what.csv
  postern simulate checkout.har --output json`,
		RunE: func(c *cobra.Command, args []string) error {
			suppose, err := f.suppose()
			if err != nil {
				return err
			}
			var from netip.Addr
			if f.from != "" {
				if from, err = netip.ParseAddr(f.from); err != nil {
					return usagef("--from %s: write an IP address without a port", f.from)
				}
			}
			if f.matrix {
				return a.matrix(c.Context(), args, f)
			}
			text, hint, err := a.requestSource(args)
			if err != nil {
				return err
			}
			if f.hint != "" {
				hint = f.hint
			}
			out, err := a.simulate(c.Context(), text, hint, from, f, suppose)
			if err != nil {
				return err
			}
			if a.json() {
				if err := a.printJSON(out); err != nil {
					return err
				}
				return exit(out.exitCode())
			}
			if err := a.printSimulation(out); err != nil {
				return err
			}
			return exit(out.exitCode())
		},
	}
	// Everything behind the first word belongs to the request: curl has flags of its own.
	c.Flags().SetInterspersed(false)
	c.Flags().StringArrayVar(&f.config, "config", nil, "judge by this file or folder, without a gateway; may be repeated")
	c.Flags().StringVar(&f.hint, "format", "", "what the source is: curl, raw, http or har (default: found out)")
	c.Flags().StringVar(&f.from, "from", "", "suppose the IP address that connects")
	c.Flags().StringVar(&f.from, "client", "", "the same as --from")
	c.Flags().StringArrayVar(&f.as, "as", nil, "suppose who calls: application:ID, key:ID, and user:ID besides an application")
	c.Flags().StringVar(&f.at, "at", "", "suppose the time, such as 2026-03-04T12:00:00Z")
	c.Flags().StringArrayVar(&f.without, "without", nil, "leave a gate out; may be repeated")
	c.Flags().BoolVar(&f.matrix, "matrix", false, "print who may call what")
	c.Flags().BoolVar(&f.csv, "csv", false, "with --matrix: as CSV")
	return a.remote(c)
}

// requestSource reads the request from behind the verb, a file, or standard input.
func (a *app) requestSource(args []string) (text []byte, hint string, err error) {
	switch {
	case len(args) > 0 && args[0] == "curl":
		words := make([]string, len(args))
		for i, w := range args {
			words[i] = quote(w)
		}
		return []byte(strings.Join(words, " ")), reqtext.HintCurl, nil
	case len(args) > 1:
		return nil, "", usagef("one file at a time; options of simulate come before it")
	case len(args) == 1 && args[0] != "-":
		f, err := os.Open(args[0])
		if err != nil {
			return nil, "", fmt.Errorf("the request cannot be read: %w", err)
		}
		defer func() { _ = f.Close() }()
		text, err = io.ReadAll(io.LimitReader(f, reqtext.MaxSource+1))
		return text, args[0], err
	}
	text, err = io.ReadAll(io.LimitReader(a.stdin, reqtext.MaxSource+1))
	if err == nil && len(strings.TrimSpace(string(text))) == 0 {
		return nil, "", usagef("standard input is empty; paste a curl command there, name a file, or write it behind the verb")
	}
	return text, "", err
}

// quote writes a word so that a shell reads it back as one.
func quote(w string) string {
	if w != "" && strings.Trim(w, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:=,@%+") == "" {
		return w
	}
	return "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
}

func (a *app) simulate(ctx context.Context, text []byte, hint string, from netip.Addr, f simulateFlags, suppose admin.Suppose) (out simulation, err error) {
	if !f.live() {
		src, err := a.readSource(f.config)
		if err != nil {
			return out, err
		}
		snap, err := src.compile()
		if err != nil {
			return out, err
		}
		opts := []lab.SimulateOption{lab.Proven(&lab.Prover{})}
		if !suppose.At.IsZero() {
			opts = append(opts, lab.At(suppose.At))
		}
		if opts, err = withoutGates(opts, suppose.Without, snap); err != nil {
			return out, usage(err)
		}
		// Files that a curl command names are the user's own, and are read here as curl would.
		return judged(ctx, snap, &gate.Env{}, text, hint, from, opts, reqtext.WithFiles(readRequestFile))
	}
	in := admin.SimulateBody{Request: string(text), Hint: apiHint(hint), Client: f.from, Suppose: suppose}
	if in.Config, err = a.candidate(f); err != nil {
		return out, err
	}
	api, err := a.client()
	if err != nil {
		return out, err
	}
	_, err = api.do(ctx, call{method: "POST", path: "/simulate", json: in}, &out)
	return out, undecided(err)
}

// candidate is the text of the configuration to judge by; empty for the running one.
func (a *app) candidate(f simulateFlags) (string, error) {
	if len(f.config) == 0 {
		return "", nil
	}
	src, err := a.readSource(f.config)
	if err != nil {
		return "", err
	}
	return string(src.text), nil
}

// undecided marks a failure to ask: it says nothing about what would become of a request.
func undecided(err error) error {
	var coded *codeError
	if errors.As(err, &coded) {
		coded.code = exitUndecided
	}
	return err
}

// matrix prints who may call what. It exits with 0 whatever the cells say: there is no one answer.
func (a *app) matrix(ctx context.Context, args []string, f simulateFlags) error {
	if len(args) > 0 {
		return usagef("--matrix takes no request: it asks about every operation")
	}
	in := admin.MatrixBody{Client: f.from}
	var err error
	if in.Config, err = a.candidate(f); err != nil {
		return err
	}
	api, err := a.client()
	if err != nil {
		return err
	}
	var out lab.Matrix
	if _, err := api.do(ctx, call{method: "POST", path: "/simulate/matrix", json: in}, &out); err != nil {
		return undecided(err)
	}
	switch {
	case f.csv:
		return out.WriteCSV(a.stdout)
	case a.json():
		return a.printJSON(out)
	}
	table := [][]string{append([]string{"OPERATION", ""}, out.Applications...)}
	for _, row := range out.Operations {
		line := []string{row.API + "/" + row.Version + " " + row.Operation, row.Method + " " + row.Path}
		for _, c := range row.Cells {
			line = append(line, c.String())
		}
		table = append(table, line)
	}
	if err := a.table(table); err != nil {
		return err
	}
	for _, n := range out.Notes {
		fmt.Fprintln(a.stdout, "note: "+plain(n))
	}
	return nil
}

// printSimulation prints every result, and of many (a HAR file has hundreds) a line each with a summary.
func (a *app) printSimulation(out simulation) error {
	const most = 3
	if len(out.Results) > most {
		return a.printSummary(out)
	}
	for i, r := range out.Results {
		if i > 0 {
			fmt.Fprintln(a.stdout)
		}
		if err := r.WriteText(a.stdout, a.color(a.stdout)); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) printSummary(out simulation) error {
	count := map[string]int{}
	table := [][]string{{"", "REQUEST", "VERDICT", "REASON", "REMEDY"}}
	for _, r := range out.Results {
		count[r.Verdict]++
		if r.Reason != "" {
			count[r.Verdict+" "+r.Reason]++
		}
		remedy := ""
		if len(r.Fixes) > 0 && r.Fixes[0].Verified {
			remedy = r.Fixes[0].Changes[0].Text
			if more := len(r.Fixes[0].Changes) - 1; more > 0 {
				remedy += fmt.Sprintf(" (and %d more)", more)
			}
		}
		table = append(table, []string{dash(r.Name), r.Method + " " + r.URL, r.Verdict, dash(r.Reason), remedy})
	}
	if err := a.table(table); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "\n%d requests: %d allowed, %d refused, %d unknown\n", len(out.Results),
		count[lab.Allowed]+count[lab.Answered], count[lab.Refused], count[lab.Unknown])
	for _, key := range slices.Sorted(maps.Keys(count)) {
		if verdict, reason, ok := strings.Cut(key, " "); ok && verdict == lab.Refused {
			fmt.Fprintf(a.stdout, "  %d × %s\n", count[key], reason)
		}
	}
	return nil
}

// apiHint is a hint that stands for itself: the API does not know file names.
func apiHint(hint string) string {
	switch hint {
	case "", reqtext.HintCurl, reqtext.HintRaw, reqtext.HintHTTP, reqtext.HintHAR:
		return hint
	}
	name := strings.ToLower(hint)
	switch {
	case strings.HasSuffix(name, ".har"):
		return reqtext.HintHAR
	case strings.HasSuffix(name, ".http"), strings.HasSuffix(name, ".rest"):
		return reqtext.HintHTTP
	}
	return ""
}

func readRequestFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return io.ReadAll(io.LimitReader(f, reqtext.MaxSource))
}

// judged parses a source and judges each of its requests.
func judged(ctx context.Context, snap *snapshot.Snapshot, env *gate.Env, text []byte, hint string, client netip.Addr, suppose []lab.SimulateOption, opts ...reqtext.Option) (out simulation, err error) {
	requests, err := reqtext.Parse(text, hint, opts...)
	if err != nil {
		return out, &admin.InputError{Message: err.Error()}
	}
	if !client.IsValid() {
		client = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	for _, r := range requests {
		if err := ctx.Err(); err != nil {
			return out, err
		}
		if !r.Client.IsValid() {
			r.Client = client
		}
		out.Results = append(out.Results, lab.Simulate(ctx, snap, env, r, suppose...))
	}
	return out, nil
}
