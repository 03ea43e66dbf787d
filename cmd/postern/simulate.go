package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"

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
	config []string
	hint   string
	client string
}

func newSimulateCommand(a *app) *cobra.Command {
	var f simulateFlags
	c := &cobra.Command{
		Use:   "simulate [FILE | curl ...]",
		Short: "Ask whether a request would pass, without sending it",
		Long: `Ask whether a request would pass, and every reason why not. The request is given the way people have it: a pasted curl
command, a raw HTTP message, an .http file or a HAR file, as a file, on standard input, or behind the verb.

The running gateway judges it by its configuration and directory. With --config the file judges it here, without a gateway;
what takes the directory (who holds this key?) is then unknown. Nothing is sent, counted or written either way.

Exit code 0: it would pass; 1: it would be refused; 3: not known.`,
		Example: `  postern simulate curl -X POST https://api.example.com/orders -H 'X-API-Key: …' -d '{}'
  pbpaste | postern simulate --config postern.yaml
  postern simulate checkout.har --output json`,
		RunE: func(c *cobra.Command, args []string) error {
			text, hint, err := a.requestSource(args)
			if err != nil {
				return err
			}
			if f.hint != "" {
				hint = f.hint
			}
			var client netip.Addr
			if f.client != "" {
				if client, err = netip.ParseAddr(f.client); err != nil {
					return usagef("--client %s: write an IP address without a port", f.client)
				}
			}
			out, err := a.simulate(c.Context(), text, hint, client, f)
			if err != nil {
				return err
			}
			if a.json() {
				if err := a.printJSON(out); err != nil {
					return err
				}
				return exit(out.exitCode())
			}
			for i, r := range out.Results {
				if i > 0 {
					fmt.Fprintln(a.stdout)
				}
				if err := r.WriteText(a.stdout, a.color(a.stdout)); err != nil {
					return err
				}
			}
			return exit(out.exitCode())
		},
	}
	// Everything behind the first word belongs to the request: curl has flags of its own.
	c.Flags().SetInterspersed(false)
	c.Flags().StringArrayVar(&f.config, "config", nil, "judge by this file or folder, without a gateway; may be repeated")
	c.Flags().StringVar(&f.hint, "as", "", "what the source is: curl, raw, http or har (default: found out)")
	c.Flags().StringVar(&f.client, "client", "", "IP address the request would come from")
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

func (a *app) simulate(ctx context.Context, text []byte, hint string, client netip.Addr, f simulateFlags) (out simulation, err error) {
	if len(f.config) > 0 {
		src, err := a.readSource(f.config)
		if err != nil {
			return out, err
		}
		snap, err := src.compile()
		if err != nil {
			return out, err
		}
		// Files that a curl command names are the user's own, and are read here as curl would.
		return judged(ctx, snap, &gate.Env{}, text, hint, client, reqtext.WithFiles(readRequestFile))
	}
	api, err := a.client()
	if err != nil {
		return out, err
	}
	in := admin.SimulateBody{Request: string(text), Hint: apiHint(hint), Client: f.client}
	_, err = api.do(ctx, call{method: "POST", path: "/simulate", json: in}, &out)
	var coded *codeError
	if errors.As(err, &coded) {
		coded.code = exitUndecided // that the source is no request says nothing about what would become of one
	}
	return out, err
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
func judged(ctx context.Context, snap *snapshot.Snapshot, env *gate.Env, text []byte, hint string, client netip.Addr, opts ...reqtext.Option) (out simulation, err error) {
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
		out.Results = append(out.Results, lab.Simulate(ctx, snap, env, r))
	}
	return out, nil
}
