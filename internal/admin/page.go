package admin

import (
	"context"
	"encoding/base64"
	"strings"
	"unicode/utf8"

	"postern/internal/store"
)

// page is a list, and where it goes on.
type page[T any] struct {
	Items []T    `json:"items" nullable:"false"`
	Next  string `json:"next,omitempty" doc:"Send it as after to get the rows that follow. Missing: there are none."`
}

// PageInput is how lists are asked for.
type PageInput struct {
	After string `query:"after" maxLength:"512" doc:"The next of the page before."`
	Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"At most so many rows."`
}

// listed is the answer of a list.
type listed[T any] struct {
	Body page[T]
}

// Cursors are opaque to clients: the list they belong to and the last row's key. A cursor of another list is refused.
func encodeCursor(list, key string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(list + ":" + key))
}

func decodeCursor(list, cursor string) (string, error) {
	if cursor == "" {
		return "", nil
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err == nil && utf8.Valid(b) {
		if key, ok := strings.CutPrefix(string(b), list+":"); ok && key != "" {
			return key, nil
		}
	}
	p := problem(400, "cursor_malformed", "after is not a cursor of this list.", "Send the next of the page before, or leave after out to begin anew.")
	p.Errors = []Finding{{In: "query", Pointer: "after", Message: "not a cursor of this list"}}
	return "", p
}

// scanMost bounds how many rows one request looks at for those its caller may see. A list that ends there goes on with next.
const scanMost = 20_000

// collect reads rows in pages until it has as many as asked for that pass the filter. read returns rows after a key; id
// returns a row's key.
func collect[T any](ctx context.Context, list string, in PageInput, read func(context.Context, store.Page) ([]T, error), id func(T) string, keep func(T) (bool, error)) (*listed[T], error) {
	after, err := decodeCursor(list, in.After)
	if err != nil {
		return nil, err
	}
	want := in.Limit
	if want <= 0 {
		want = 100
	}
	out := &listed[T]{Body: page[T]{Items: make([]T, 0, min(want, 128))}}
	for scanned := 0; ; {
		// One more than wanted shows whether the list goes on.
		ask := min(want-len(out.Body.Items)+1, 1000)
		if keep != nil {
			ask = min(max(ask, 200), 1000)
		}
		rows, err := read(ctx, store.Page{After: after, Limit: ask})
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			if len(out.Body.Items) == want {
				out.Body.Next = encodeCursor(list, after)
				return out, nil
			}
			after = id(row)
			if keep != nil {
				ok, err := keep(row)
				if err != nil {
					return nil, err
				}
				if !ok {
					continue
				}
			}
			out.Body.Items = append(out.Body.Items, row)
		}
		if len(rows) < ask {
			return out, nil
		}
		if scanned += len(rows); scanned >= scanMost {
			out.Body.Next = encodeCursor(list, after)
			return out, nil
		}
	}
}
