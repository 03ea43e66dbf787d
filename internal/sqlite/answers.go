package sqlite

import (
	"context"
	"errors"
	"fmt"
	"time"

	"postern/internal/store"
)

// answerLife is how long an idempotency key is remembered.
const answerLife = 24 * time.Hour

type savedAnswer struct {
	store.SavedAnswer
	request [32]byte
}

func scanAnswer(r row) (a savedAnswer, err error) {
	err = r.Scan(digest{&a.request}, &a.Status, &a.Body)
	return a, err
}

// Idempotent implements store.Tx.
func (x *tx) Idempotent(ctx context.Context, actor, key string, request [32]byte) (*store.SavedAnswer, error) {
	a, err := one(ctx, &x.reader, "idempotency key", scanAnswer,
		`SELECT request, status, body FROM saved_answers WHERE actor = ? AND key = ? AND created > ?`,
		actor, key, millis(x.now.Add(-answerLife)))
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	case a.request != request:
		return nil, fmt.Errorf("this idempotency key was used for another request: %w", store.ErrConflict)
	}
	return &a.SavedAnswer, nil
}

// SaveAnswer implements store.Tx. The first answer to a request stays.
func (x *tx) SaveAnswer(ctx context.Context, actor, key string, request [32]byte, a store.SavedAnswer) error {
	if _, err := x.exec(ctx, "forget old answers", `DELETE FROM saved_answers WHERE created <= ?`, millis(x.now.Add(-answerLife))); err != nil {
		return err
	}
	switch old, err := x.Idempotent(ctx, actor, key, request); {
	case err != nil:
		return err
	case old != nil:
		return nil
	}
	if a.Body == nil {
		a.Body = []byte{}
	}
	_, err := x.exec(ctx, "save an answer", `INSERT INTO saved_answers (actor, key, request, status, body, created) VALUES (?, ?, ?, ?, ?, ?)`,
		actor, key, request[:], a.Status, a.Body, x.now.UnixMilli())
	return err
}
