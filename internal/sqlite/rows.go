package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"strings"
	"time"

	"postern/internal/store"
)

// querier is what a transaction and a pool of connections have in common.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// reader implements store.Reader over a pool (each method sees the newest commit) or a transaction (which sees itself).
type reader struct {
	q     querier
	file  string
	vault *vault // of secrets that are kept sealed
}

// row is one row to scan, of many or alone.
type row interface{ Scan(dest ...any) error }

// one reads the row that a query finds.
func one[T any](ctx context.Context, r *reader, what string, scan func(row) (T, error), query string, args ...any) (T, error) {
	v, err := scan(r.q.QueryRowContext(ctx, query, args...))
	if err != nil {
		var zero T
		return zero, r.fault(what, err)
	}
	return v, nil
}

// each calls fn with every row that a query finds, as it is read: nothing is collected. Errors of fn are returned as they are.
func each[T any](ctx context.Context, r *reader, what string, scan func(row) (T, error), fn func(T) error, query string, args ...any) error {
	rows, err := r.q.QueryContext(ctx, query, args...)
	if err != nil {
		return r.fault(what, err)
	}
	defer rows.Close()
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return r.fault(what, err)
		}
		if err := fn(v); err != nil {
			return err
		}
	}
	return r.fault(what, rows.Err())
}

// list collects every row that a query finds.
func list[T any](ctx context.Context, r *reader, what string, scan func(row) (T, error), query string, args ...any) ([]T, error) {
	var all []T
	err := each(ctx, r, what, scan, func(v T) error { all = append(all, v); return nil }, query, args...)
	if err != nil {
		return nil, err
	}
	return all, nil
}

// limit bounds how many rows are given at once.
func limit(n, otherwise int) int {
	if n <= 0 {
		return otherwise
	}
	return min(n, 1000)
}

func pageLimit(p store.Page) int { return limit(p.Limit, 100) }

// instant is a time as it is kept: milliseconds since 1970, or NULL for the zero time.
type instant struct{ t *time.Time }

func (i instant) Scan(v any) error {
	var n sql.NullInt64
	if err := n.Scan(v); err != nil {
		return err
	}
	*i.t = time.Time{}
	if n.Valid {
		*i.t = time.UnixMilli(n.Int64).UTC()
	}
	return nil
}

func millis(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMilli()
}

// names is a list of names as it is kept: JSON, which keeps an empty list apart from none.
type names struct{ list *[]string }

func (n names) Scan(v any) error {
	var s string
	switch v := v.(type) {
	case string:
		s = v
	case []byte:
		s = string(v)
	}
	switch s {
	case "null":
		*n.list = nil
		return nil
	case "[]":
		*n.list = []string{}
		return nil
	}
	// Names seldom need escapes, and a million keys are read at a start: without any, the list is what lies between `","`.
	if inner, ok := strings.CutPrefix(s, `["`); ok && strings.HasSuffix(inner, `"]`) && strings.IndexByte(inner, '\\') < 0 {
		*n.list = strings.Split(strings.TrimSuffix(inner, `"]`), `","`)
		return nil
	}
	*n.list = nil
	return json.Unmarshal([]byte(s), n.list)
}

func jsonNames(list []string) string {
	b, _ := json.Marshal(list) // strings cannot fail
	return string(b)
}

// digest is a SHA-256.
type digest struct{ sum *[32]byte }

func (d digest) Scan(v any) error {
	*d.sum = [32]byte{}
	if b, ok := v.([]byte); ok {
		copy(d.sum[:], b)
	}
	return nil
}

// orNull is a reference that may be empty.
func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// text is a reference that may be NULL.
type text struct{ s *string }

func (t text) Scan(v any) error {
	switch v := v.(type) {
	case nil:
		*t.s = ""
	case string:
		*t.s = v
	case []byte:
		*t.s = string(v)
	}
	return nil
}
