package admin

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"

	"postern/internal/store"
)

// entry begins the audit entry of a change. The detail is what changed, without secrets.
func (s *Server) entry(c *caller, action, target, tenant string, detail any) store.AuditEntry {
	e := store.AuditEntry{Time: s.Now(), Actor: c.actor, From: c.from(), Action: action, Target: target, Tenant: tenant}
	if detail != nil {
		if b, err := json.Marshal(detail); err == nil && string(b) != "{}" {
			e.Detail = string(b)
		}
	}
	return e
}

// update commits a change with its audit entry and makes it act.
func (s *Server) update(ctx context.Context, e store.AuditEntry, fn func(store.Tx) error) error {
	if err := s.Store.Update(ctx, e, fn); err != nil {
		return err
	}
	s.Changed()
	return nil
}

// IdempotencyInput is mixed into the POSTs that change something. Signing in is none of them: a session is not given twice.
type IdempotencyInput struct {
	Key string `header:"Idempotency-Key" maxLength:"255" doc:"A value of the client's choosing, such as a UUID. A POST repeated with it within a day is given the first answer again instead of being carried out twice."`
}

// created is the answer of a POST that made something.
type created[T any] struct {
	Location string `header:"Location"`
	ETag     string `header:"ETag"`
	Replayed string `header:"Idempotency-Replayed" doc:"true: this was carried out before; the answer is the first one, without its secret."`
	Body     T
}

// errReplay ends a transaction that finds its answer already given; nothing is written, no audit entry either.
type errReplay struct{ answer []byte }

// Error implements error.
func (errReplay) Error() string { return "answered before" }

// createOnce commits a creation, at most once for one Idempotency-Key. secretless strips the answer of what is shown only
// once before it is kept.
func createOnce[T any](ctx context.Context, s *Server, c *caller, key string, request any, e store.AuditEntry, answer T, secretless func(T) T, fn func(store.Tx) error) (*created[T], error) {
	body, replayed, err := once(ctx, s, c, key, request, e, secretless, func(tx store.Tx) (T, error) { return answer, fn(tx) })
	if err != nil {
		return nil, err
	}
	return &created[T]{Body: body, Replayed: replayed}, nil
}

// once commits a change and returns fn's answer to it. With a key it is carried out at most once: the same request with the
// same key is given the first answer again, and "true". request is what identifies the request, besides its path.
func once[T any](ctx context.Context, s *Server, c *caller, key string, request any, e store.AuditEntry, secretless func(T) T, fn func(store.Tx) (T, error)) (answer T, replayed string, err error) {
	err = s.update(ctx, e, func(tx store.Tx) (err error) {
		if key == "" {
			answer, err = fn(tx)
			return err
		}
		asked, err := json.Marshal(request)
		if err != nil {
			return fmt.Errorf("hash of the request: %w", err)
		}
		sum := sha256.Sum256(append([]byte(c.path+"\x00"), asked...))
		// The key is the client's and may say something about it: only its hash is kept.
		hashed := fmt.Sprintf("%x", sha256.Sum256([]byte(key)))
		saved, err := tx.Idempotent(ctx, c.actor, hashed, sum)
		if err != nil {
			return keyReused(err)
		}
		if saved != nil {
			return errReplay{saved.Body}
		}
		if answer, err = fn(tx); err != nil {
			return err
		}
		kept := answer
		if secretless != nil {
			kept = secretless(answer)
		}
		body, err := json.Marshal(kept)
		if err != nil {
			return fmt.Errorf("keep the answer: %w", err)
		}
		return tx.SaveAnswer(ctx, c.actor, hashed, sum, store.SavedAnswer{Status: 200, Body: body})
	})
	if replay, ok := err.(errReplay); ok {
		var earlier T
		if err := json.Unmarshal(replay.answer, &earlier); err != nil {
			return earlier, "", fmt.Errorf("answer kept for an idempotency key: %w", err)
		}
		return earlier, "true", nil
	}
	return answer, "", err
}
