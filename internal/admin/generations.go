package admin

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"postern/internal/policy"
	"postern/internal/store"
)

// NumberedInput pages through rows that are numbered upwards, newest first.
type NumberedInput struct {
	After string `query:"after" maxLength:"512" doc:"The next of the page before."`
	Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"At most so many rows."`
}

type generationInput struct {
	N      uint64 `path:"n" minimum:"1"`
	Accept string `header:"Accept" hidden:"true"`
	Format string `query:"format" enum:"yaml,json"`
}

func (s *Server) registerGenerations() {
	const tag = "configuration"
	register(s, route{id: "list-generations", method: "GET", path: "/config/generations", tag: tag, summary: "List generations of the document, newest first"}, s.listGenerations)
	register(s, route{id: "get-generation", method: "GET", path: "/config/generations/{n}", tag: tag, summary: "Get the document of a generation"}, s.getGeneration)
}

func (s *Server) listGenerations(ctx context.Context, _ *caller, in *NumberedInput) (*listed[store.Generation], error) {
	return collectNumbered(ctx, "generations", *in, s.Store.Generations, func(g store.Generation) uint64 { return g.Number }, nil)
}

func (s *Server) getGeneration(ctx context.Context, c *caller, in *generationInput) (*documentOutput, error) {
	g, err := s.Store.Generation(ctx, in.N)
	if errors.Is(err, store.ErrNotFound) {
		return nil, notFound("generation", strconv.FormatUint(in.N, 10))
	}
	if err != nil {
		return nil, err
	}
	doc, err := policy.Parse("", g.Document)
	if err != nil {
		// What was saved compiled then. If this build reads less than the one that saved it, the text still helps.
		if c.may(writeConfig) && in.Format != "json" {
			return &documentOutput{Status: 200, ContentType: typeYAML, ETag: generationTag(g.Number), Body: g.Document}, nil
		}
		return nil, fmt.Errorf("generation %d: %w", in.N, errors.Join(errUnreadable, errors.New(err.Error())))
	}
	return renderDocument(c, doc, g.Document, g.Number, in.Format, in.Accept)
}

var errUnreadable = errors.New("a stored document cannot be read by this version")

// collectNumbered pages through numbered rows, newest first, keeping those that pass the filter.
func collectNumbered[T any](ctx context.Context, list string, in NumberedInput, read func(context.Context, uint64, int) ([]T, error), number func(T) uint64, keep func(T) bool) (*listed[T], error) {
	key, err := decodeCursor(list, in.After)
	if err != nil {
		return nil, err
	}
	var before uint64
	if key != "" {
		if before, err = strconv.ParseUint(key, 10, 64); err != nil || before == 0 {
			return nil, problem(400, "cursor_malformed", "after is not a cursor of this list.", "Send the next of the page before, or leave after out to begin anew.")
		}
	}
	want := in.Limit
	if want <= 0 {
		want = 100
	}
	out := &listed[T]{Body: page[T]{Items: make([]T, 0, min(want, 128))}}
	for scanned := 0; ; {
		ask := min(want-len(out.Body.Items)+1, 1000)
		if keep != nil {
			ask = min(max(ask, 200), 1000)
		}
		rows, err := read(ctx, before, ask)
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			if len(out.Body.Items) == want {
				out.Body.Next = encodeCursor(list, strconv.FormatUint(before, 10))
				return out, nil
			}
			before = number(r)
			if keep == nil || keep(r) {
				out.Body.Items = append(out.Body.Items, r)
			}
		}
		if len(rows) < ask || before <= 1 {
			return out, nil
		}
		if scanned += len(rows); scanned >= scanMost {
			out.Body.Next = encodeCursor(list, strconv.FormatUint(before, 10))
			return out, nil
		}
	}
}
