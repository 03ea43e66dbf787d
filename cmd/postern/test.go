package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/spf13/cobra"

	"postern/internal/lab"
	"postern/internal/policy"
)

func newTestCommand(a *app) *cobra.Command {
	var watch bool
	c := &cobra.Command{
		Use:   "test FILE...",
		Short: "Run tests of a configuration: who must be let through, who must not, and why",
		Long: `Run tests of a configuration, without a gateway: requests and what must become of them, by the very gates that decide.

A file of tests is YAML:

  config: postern.yaml
  tests:
    - "as viewer, POST /orders: expect 403 authz.permission_missing"
    - {as: editor, request: POST /orders, expect: allowed}
  tables:
    - as: [viewer, editor]
      rows:
        GET /orders: [allowed, allowed]
        POST /orders: [authz.permission_missing, allowed]

A caller is a role, an application of the file's directory, key:ID, or nobody. Scenarios (*.txtar) run too. The report ends
with the rules that no test made decide. --output junit writes XML for CI.

Exit code 0: all passed; 1: one failed; 2: wrong command line; 3: a file or its configuration cannot be read.`,
		Example: "  postern test orders.test.yaml\n  postern test tests/*.yaml --output junit > report.xml\n  postern test orders.test.yaml --watch",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if !watch {
				return a.runTests(c.Context(), args)
			}
			if a.output != "text" {
				return usagef("--watch is for people: leave out --output")
			}
			return a.watchTests(c.Context(), args)
		},
	}
	c.Flags().BoolVarP(&watch, "watch", "w", false, "run again whenever a file changes")
	return c
}

func (a *app) runTests(ctx context.Context, files []string) error {
	var reports []lab.TestReport
	code := exitYes
	for _, file := range files {
		r, _, err := runTestFile(ctx, file)
		if err != nil {
			return &codeError{exitUndecided, err}
		}
		if r.Failed() > 0 {
			code = exitNo
		}
		reports = append(reports, r)
	}
	var err error
	switch {
	case a.output == "junit":
		err = lab.WriteJUnit(a.stdout, reports)
	case a.json():
		err = a.printJSON(map[string]any{"files": reports})
	default:
		for _, r := range reports {
			if err = r.WriteText(a.stdout, a.color(a.stdout)); err != nil {
				break
			}
		}
	}
	if err != nil {
		return err
	}
	return exit(code)
}

// runTestFile runs one file and says which others it read.
func runTestFile(ctx context.Context, file string) (r lab.TestReport, read []string, err error) {
	read = []string{file}
	f, err := os.Open(file)
	if err != nil {
		return r, read, fmt.Errorf("the tests cannot be read: %w", err)
	}
	defer func() { _ = f.Close() }()
	src, err := io.ReadAll(io.LimitReader(f, policy.MaxBytes))
	if err != nil {
		return r, read, fmt.Errorf("the tests cannot be read: %w", err)
	}
	if strings.HasSuffix(file, ".txtar") {
		r, err = lab.RunScenario(ctx, file, src)
		return r, read, err
	}
	tests, err := lab.ParseTestFile(file, src)
	if err != nil {
		return r, read, err
	}
	read = append(read, tests.Config...)
	doc, err := policy.ParseFiles(tests.Config...)
	if err != nil {
		return r, read, err
	}
	snap, err := (&source{doc: doc}).compile()
	if err != nil {
		return r, read, err
	}
	r, err = lab.RunTests(ctx, file, tests, snap)
	return r, read, err
}

// settle is how long files have to be left alone before they are read: editors write in several steps.
const settle = 100 * time.Millisecond

// watchTests runs the tests again whenever what they are made of changes, until it is interrupted.
func (a *app) watchTests(ctx context.Context, files []string) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("files cannot be watched: %w", err)
	}
	defer func() { _ = w.Close() }()
	watched := map[string]bool{}
	for {
		for _, file := range files {
			r, read, err := runTestFile(ctx, file)
			for _, name := range read {
				// The folder is watched, because editors put a new file in the place of the old one.
				dir := filepath.Dir(name)
				if st, err := os.Stat(name); err == nil && st.IsDir() {
					dir = name
				}
				if !watched[dir] && w.Add(dir) == nil {
					watched[dir] = true
				}
			}
			if err != nil {
				a.report(err, exitUndecided)
				continue
			}
			if err := r.WriteText(a.stdout, a.color(a.stdout)); err != nil {
				return err
			}
		}
		if len(watched) == 0 {
			return &codeError{exitUndecided, errors.New("none of the files can be watched")}
		}
		fmt.Fprintln(a.stdout, "watching "+strings.Join(slices.Sorted(maps.Keys(watched)), ", ")+"; interrupt to stop")
		if done, err := changed(ctx, w); done || err != nil {
			return err
		}
	}
}

// changed waits for a change, and then until changes pause.
func changed(ctx context.Context, w *fsnotify.Watcher) (done bool, err error) {
	var pause <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return true, nil
		case e, ok := <-w.Events:
			if !ok {
				return true, nil
			}
			if e.Op != fsnotify.Chmod {
				pause = time.After(settle)
			}
		case err, ok := <-w.Errors:
			if !ok {
				return true, nil
			}
			return true, fmt.Errorf("watching files: %w", err)
		case <-pause:
			return false, nil
		}
	}
}
