package sqlite

import (
	"context"
	"errors"
	"fmt"
	"math"

	"postern/internal/store"
)

func scanGeneration(r row) (g store.Generation, err error) {
	err = r.Scan(&g.Number, &g.Document, &g.Actor, &g.Comment, instant{&g.Created})
	return g, err
}

// CurrentGeneration implements store.Reader.
func (r *reader) CurrentGeneration(ctx context.Context) (store.Generation, error) {
	return one(ctx, r, "current generation", scanGeneration,
		`SELECT number, document, actor, comment, created FROM generations ORDER BY number DESC LIMIT 1`)
}

// Generation implements store.Reader.
func (r *reader) Generation(ctx context.Context, number uint64) (store.Generation, error) {
	return one(ctx, r, fmt.Sprintf("generation %d", number), scanGeneration,
		`SELECT number, document, actor, comment, created FROM generations WHERE number = ?`, signed(number))
}

// Generations implements store.Reader.
func (r *reader) Generations(ctx context.Context, before uint64, n int) ([]store.Generation, error) {
	return list(ctx, r, "generations", scanGeneration,
		`SELECT number, NULL, actor, comment, created FROM generations WHERE number < ? ORDER BY number DESC LIMIT ?`, newestBelow(before), limit(n, 100))
}

// AppendGeneration implements store.Tx.
func (x *tx) AppendGeneration(ctx context.Context, base uint64, g store.Generation) (uint64, error) {
	what := fmt.Sprintf("append a generation after %d", base)
	current, err := x.CurrentGeneration(ctx)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return 0, err
	}
	if current.Number != base {
		return 0, fmt.Errorf("%s: the current one is %d: %w", what, current.Number, store.ErrConflict)
	}
	if g.Created.IsZero() {
		g.Created = x.now
	}
	if g.Document == nil {
		g.Document = []byte{}
	}
	_, err = x.exec(ctx, what, `INSERT INTO generations (number, document, actor, comment, created) VALUES (?, ?, ?, ?, ?)`,
		signed(base+1), g.Document, g.Actor, g.Comment, millis(g.Created))
	if err != nil {
		return 0, err
	}
	return base + 1, nil
}

// signed fits a number into SQLite's integers; beyond them there is no row anyway.
func signed(n uint64) int64 { return int64(min(n, math.MaxInt64)) }

// newestBelow is the bound of a page that runs from the newest down; 0 asks for the first page.
func newestBelow(before uint64) int64 {
	if before == 0 {
		return math.MaxInt64
	}
	return signed(before)
}
