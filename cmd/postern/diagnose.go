package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"postern/internal/diagnose"
	"postern/internal/reqtext"
)

type diagnoseFlags struct {
	hint          string
	response      string
	logs          []string
	compare       string
	probe         bool
	noProbe       bool
	plan          bool
	budget        int
	rate          float64
	timeout       time.Duration
	neutral       bool
	unsafe        bool
	insecure      bool
	markdown      bool
	entry         int
	maxDiagnosing int
}

// diagnosis is what the verb prints as JSON.
type diagnosis struct {
	Results []*diagnose.Report `json:"results"`
}

func newDiagnoseCommand(a *app) *cobra.Command {
	f := diagnoseFlags{maxDiagnosing: 20}
	c := &cobra.Command{
		Use:   "diagnose [FILE | curl ...]",
		Short: "Find out why any server refused a request",
		Long: `Find out why a server, any server, refused a request: the cause, the evidence and the next step.

The request is given the way people have it: a pasted curl command, a raw HTTP message, an .http file, a HAR file (its
refused entries), or an export of Postman or Insomnia; as a file, on standard input, or behind the verb. Give the answer
(--response) and logs (--logs) if you have them: either will do without a request, too.

First everything is checked that needs nothing sent. With only a request to go by, or with --probe, the server is then
asked, one difference at a time: GET, HEAD and OPTIONS only, at most --budget requests, no redirect followed, never the
original body. --plan prints the questions and asks none of them. --allow-neutral also sends the method itself with a body
that cannot succeed; --allow-unsafe also sends the request as it is, once. Secrets are masked in everything printed.

Exit code 0: nothing is refused; 1: the refusal is explained; 3: it cannot be told, and what is needed is said.`,
		Example: `  postern diagnose -- curl -X POST https://api.example.com/orders -H 'Authorization: Bearer …' -d '{}'
  curl -i … > answer.txt; postern diagnose --response answer.txt --logs /var/log/nginx/error.log request.http
  postern diagnose --logs /var/log/nginx/access.log --logs /var/log/nginx/error.log
  postern diagnose --markdown checkout.har`,
		RunE: func(c *cobra.Command, args []string) error { return a.diagnose(c.Context(), args, f) },
	}
	c.Flags().SetInterspersed(false) // curl has flags of its own
	c.Flags().StringVar(&f.hint, "as", "", "what the source is: curl, raw, http or har (default: found out)")
	c.Flags().StringVar(&f.response, "response", "", "file with the answer: what curl -i or -v prints, HAR, or only a body")
	c.Flags().StringArrayVar(&f.logs, "logs", nil, "log file to read (- is standard input); may be repeated")
	c.Flags().StringVar(&f.compare, "compare-with", "", "a curl command of a request that works")
	c.Flags().BoolVar(&f.probe, "probe", false, "ask the server even if the answer or logs are given")
	c.Flags().BoolVar(&f.noProbe, "no-probe", false, "send nothing")
	c.Flags().BoolVar(&f.plan, "plan", false, "print what would be asked, and ask nothing")
	c.Flags().IntVar(&f.budget, "budget", 12, "requests to send at most")
	c.Flags().Float64Var(&f.rate, "rate", 4, "requests a second at most")
	c.Flags().DurationVar(&f.timeout, "timeout", 10*time.Second, "of one request")
	c.Flags().BoolVar(&f.neutral, "allow-neutral", false, "also send the method with a body that cannot succeed")
	c.Flags().BoolVar(&f.unsafe, "allow-unsafe", false, "also send the request as it is, once")
	c.Flags().BoolVar(&f.insecure, "insecure", false, "take any certificate of the server")
	c.Flags().BoolVar(&f.markdown, "markdown", false, "print Markdown, to paste into a ticket")
	c.Flags().IntVar(&f.entry, "entry", 0, "which request of a file with several (1 is the first)")
	return c
}

func (a *app) diagnose(ctx context.Context, args []string, f diagnoseFlags) error {
	switch {
	case f.budget < 1 || f.budget > 100:
		return usagef("--budget %d: choose from 1 to 100", f.budget)
	case f.rate <= 0 || f.rate > 50:
		return usagef("--rate %g: choose up to 50 requests a second", f.rate)
	case f.probe && f.noProbe:
		return usagef("--probe and --no-probe contradict each other")
	case f.markdown && a.json():
		return usagef("--markdown and --output json contradict each other")
	}
	requests, err := a.diagnoseRequests(args, f)
	if err != nil {
		return err
	}
	prober := &diagnose.Prober{Budget: f.budget, Interval: time.Duration(float64(time.Second) / f.rate), Timeout: f.timeout, Neutral: f.neutral, Unsafe: f.unsafe, Insecure: f.insecure}
	if f.plan {
		return a.printPlan(prober, requests)
	}
	var out diagnosis
	code := exitYes
	for i := range max(len(requests), 1) {
		in := diagnose.Input{Now: time.Now(), Env: a.getenv}
		if len(requests) > 0 {
			in.Request, in.Answer = &requests[i], requests[i].Answer
		}
		report, err := a.diagnoseOne(ctx, in, prober, f)
		if err != nil {
			return err
		}
		out.Results = append(out.Results, report)
		if c := report.ExitCode(); c == exitNo || code == exitYes {
			code = c
		}
	}
	if err := a.printDiagnosis(out, f); err != nil {
		return err
	}
	return exit(code)
}

// diagnoseRequests reads the requests; none when there are only an answer or logs.
func (a *app) diagnoseRequests(args []string, f diagnoseFlags) ([]reqtext.Request, error) {
	if len(args) == 0 && (f.response != "" || len(f.logs) > 0) {
		return nil, nil
	}
	text, hint, err := a.requestSource(args)
	if err != nil {
		return nil, err
	}
	if f.hint != "" {
		hint = f.hint
	}
	all, err := reqtext.Parse(text, hint, reqtext.WithFiles(readRequestFile))
	if err != nil {
		return nil, &codeError{exitUndecided, errors.New(diagnose.Mask(err.Error()))} // it may quote a piece of the request
	}
	if f.entry > 0 {
		if f.entry > len(all) {
			return nil, usagef("--entry %d: the source has %d requests", f.entry, len(all))
		}
		return all[f.entry-1 : f.entry], nil
	}
	if len(all) == 1 {
		return all, nil
	}
	var refused []reqtext.Request
	answered := false
	for _, r := range all {
		if r.Answer != nil {
			answered = true
			if r.Answer.Status >= 400 {
				refused = append(refused, r)
			}
		}
	}
	if !answered {
		if len(all) > f.maxDiagnosing || f.response != "" || len(f.logs) > 0 {
			return nil, usagef("the source has %d requests; choose one with --entry", len(all))
		}
		return all, nil
	}
	if len(refused) > f.maxDiagnosing {
		fmt.Fprintf(a.stderr, "postern: %d entries are refused; the first %d are diagnosed, --entry chooses another\n", len(refused), f.maxDiagnosing)
		refused = refused[:f.maxDiagnosing]
	}
	if len(refused) == 0 { // say so of the last one
		return all[len(all)-1:], nil
	}
	return refused, nil
}

func (a *app) diagnoseOne(ctx context.Context, in diagnose.Input, prober *diagnose.Prober, f diagnoseFlags) (*diagnose.Report, error) {
	if f.response != "" {
		text, err := readRequestFile(f.response)
		if err != nil {
			return nil, fmt.Errorf("the answer cannot be read: %w", err)
		}
		answer, err := reqtext.ParseAnswer(text)
		if err != nil {
			return nil, usagef("%s: %w", f.response, err)
		}
		in.Answer = &answer
	}
	for _, name := range f.logs {
		if name == "-" {
			in.Logs = append(in.Logs, diagnose.Log{Name: "standard input", Reader: a.stdin})
			continue
		}
		file, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("the log cannot be read: %w", err)
		}
		defer func() { _ = file.Close() }()
		in.Logs = append(in.Logs, diagnose.Log{Name: name, Reader: file})
	}
	if f.compare != "" {
		good, err := reqtext.Parse([]byte(f.compare), "", reqtext.WithFiles(readRequestFile))
		if err != nil {
			return nil, usagef("--compare-with: %s", diagnose.Mask(err.Error()))
		}
		in.Compare = &good[0]
	}
	if f.noProbe || in.Request == nil || !f.probe && (in.Answer != nil || len(in.Logs) > 0) {
		prober = nil
	}
	if w, ok := a.stderr.(*os.File); ok && !a.json() && term.IsTerminal(int(w.Fd())) {
		in.Observe = func(s diagnose.Step) { s.WriteStep(a.stderr, a.color(a.stderr)) }
	}
	return diagnose.Diagnose(ctx, in, prober)
}

func (a *app) printPlan(prober *diagnose.Prober, requests []reqtext.Request) error {
	if len(requests) == 0 {
		return usagef("--plan needs a request")
	}
	var plans [][]diagnose.Planned
	for i := range requests {
		plan, err := prober.Plan(&requests[i])
		if err != nil {
			return err
		}
		plans = append(plans, plan)
	}
	if a.json() {
		return a.printJSON(map[string]any{"plans": plans, "budget": prober.Budget})
	}
	for _, plan := range plans {
		rows := [][]string{{"QUESTION", "METHOD", "ADDRESS", "WHAT DIFFERS", "WHEN"}}
		for _, q := range plan {
			when := q.When
			if when == "" {
				when = "always"
			}
			rows = append(rows, []string{q.Name, q.Method, q.URL, q.Change, when})
		}
		if err := a.table(rows); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(a.stdout, "at most %d requests; none was sent\n", prober.Budget)
	return err
}

func (a *app) printDiagnosis(out diagnosis, f diagnoseFlags) error {
	if a.json() {
		return a.printJSON(out)
	}
	for i, r := range out.Results {
		if i > 0 {
			if _, err := io.WriteString(a.stdout, "\n"); err != nil {
				return err
			}
		}
		var err error
		if f.markdown {
			err = r.WriteMarkdown(a.stdout)
		} else {
			err = r.WriteText(a.stdout, a.color(a.stdout))
		}
		if err != nil {
			return err
		}
	}
	return nil
}
