package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"postern/internal/admin"
	"postern/internal/change"
	"postern/internal/gate"
	"postern/internal/policy"
	"postern/internal/snapshot"
)

// source is a configuration document from files, ready to be checked or sent.
type source struct {
	doc  *policy.Document
	text []byte // what is sent: the one file as it was written, or several files as one
}

// readSource reads files and folders as one document; "-" is standard input. Mistakes are policy.Problems, with file,
// line and column.
func (a *app) readSource(paths []string) (*source, error) {
	if len(paths) == 1 && paths[0] == "-" {
		text, err := io.ReadAll(io.LimitReader(a.stdin, policy.MaxBytes+1))
		if err != nil {
			return nil, fmt.Errorf("reading standard input: %w", err)
		}
		doc, err := policy.Parse("stdin", text)
		return &source{doc, text}, err
	}
	for _, p := range paths {
		if _, err := os.Stat(p); err != nil {
			return nil, fmt.Errorf("the configuration cannot be read: %w", err)
		}
	}
	doc, err := policy.ParseFiles(paths...)
	if err != nil {
		return nil, err
	}
	if len(paths) == 1 {
		if st, err := os.Stat(paths[0]); err == nil && st.Mode().IsRegular() {
			text, err := os.ReadFile(paths[0])
			if err != nil {
				return nil, fmt.Errorf("the configuration cannot be read: %w", err)
			}
			return &source{doc, text}, nil
		}
	}
	text, err := policy.Marshal(doc)
	return &source{doc, text}, err
}

// compile makes a snapshot without a gateway. Upstreams are assumed to be healthy: whether they are is not known here.
func (src *source) compile() (*snapshot.Snapshot, error) {
	s, err := snapshot.Compile(src.doc, 0, snapshot.Deps{Upstream: func(name string) (gate.Upstream, bool) {
		_, ok := src.doc.Upstreams[name]
		return idleUpstream(name), ok
	}})
	if err != nil {
		return nil, change.Located(src.doc, err)
	}
	return s, nil
}

// located puts the files' positions into what the gateway found: it saw one text, and knows no files.
func (src *source) located(err error) error {
	var refused *apiError
	if !errors.As(err, &refused) {
		return err
	}
	for i := range refused.Errors {
		f := &refused.Errors[i]
		if file, line, column := src.doc.Locate(f.Pointer); line > 0 {
			f.File, f.Line, f.Column = file, line, column
		}
	}
	return err
}

// generation asks the gateway for the ETag of the running document; `"0"` when there is none yet.
func (c *client) generation(ctx context.Context) (etag string, err error) {
	header, err := c.do(ctx, call{method: "GET", path: "/config", query: map[string][]string{"format": {"yaml"}}}, nil)
	var refused *apiError
	if errors.As(err, &refused) && refused.Status == http.StatusNotFound && header != nil {
		err = nil
	}
	if err != nil {
		return "", err
	}
	if etag = header.Get("ETag"); etag == "" {
		return "", fmt.Errorf("%s did not say which generation it runs; check --address", c.base)
	}
	return etag, nil
}

// put sends a document as the successor of the generation with that ETag.
func (c *client) put(ctx context.Context, src *source, etag, comment string, dry bool) (admin.Applied, error) {
	query := map[string][]string{}
	if comment != "" {
		query["comment"] = []string{comment}
	}
	if dry {
		query["dry_run"] = []string{"true"}
	}
	var out admin.Applied
	_, err := c.do(ctx, call{method: "PUT", path: "/config", query: query, header: map[string]string{"If-Match": etag},
		body: src.text, bodyType: "application/yaml"}, &out)
	return out, src.located(err)
}

// printChanges lists what differs, one change a line, in colour on a terminal.
func (a *app) printChanges(changes []policy.Change) {
	paint := map[policy.ChangeKind]string{policy.Added: "\x1b[32m", policy.Removed: "\x1b[31m", policy.Changed: "\x1b[33m"}
	for _, ch := range changes {
		if a.color(a.stdout) {
			fmt.Fprintln(a.stdout, paint[ch.Kind]+ch.String()+"\x1b[0m")
			continue
		}
		fmt.Fprintln(a.stdout, ch)
	}
}
