package admin

import (
	"context"
	"errors"
	"slices"
	"time"

	"postern/internal/directory"
	"postern/internal/store"
)

// bootstrapLife is how long a bootstrap token lives.
const bootstrapLife = 24 * time.Hour

// EnsureBootstrap returns a fresh bootstrap token while there is no administrator, and "" once there is one. Only its hash
// is kept, so every start prints another one, and the one before ends with the sessions it opened.
func (s *Server) EnsureBootstrap(ctx context.Context) (text string, err error) {
	text, hash := newSecret(bootstrapPrefix)
	now := s.Now()
	err = s.Store.Update(ctx, store.AuditEntry{}, func(tx store.Tx) error {
		has, err := hasAdministrator(ctx, tx, "", true)
		if err != nil {
			return err
		}
		if has {
			text = ""
		}
		if err := endBootstrap(ctx, tx); err != nil || has {
			return err
		}
		return tx.PutToken(ctx, store.Token{ID: newID("t"), Name: "bootstrap", Kind: "bootstrap", Hash: hash, Roles: []string{"admin"},
			Created: now, Expires: now.Add(bootstrapLife)})
	})
	if err != nil {
		return "", err
	}
	return text, nil
}

// hasAdministrator reports whether an active user of the platform, other than the one with that id, is an administrator;
// when asked to, only one that has a password and so can sign in.
func hasAdministrator(ctx context.Context, r store.Reader, but string, password bool) (bool, error) {
	for after := ""; ; {
		users, err := r.Users(ctx, store.Page{After: after, Limit: 1000})
		if err != nil {
			return false, err
		}
		for _, u := range users {
			after = u.ID
			if u.ID == but || !administers(u) {
				continue
			}
			if !password {
				return true, nil
			}
			phc, err := r.PasswordHash(ctx, u.ID)
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return false, err
			}
			if phc != "" {
				return true, nil
			}
		}
		if len(users) < 1000 {
			return false, nil
		}
	}
}

func administers(u directory.User) bool {
	return u.Tenant == "" && u.Standing == directory.Active && slices.Contains(u.Roles, "admin")
}

// endBootstrap deletes the bootstrap token and every session opened with it.
func endBootstrap(ctx context.Context, tx store.Tx) error {
	return eachToken(ctx, tx, "", func(t store.Token) error {
		if t.User != "" {
			return nil
		}
		return tx.DeleteToken(ctx, t.ID)
	})
}

// endSessions deletes a user's sessions, and all tokens when asked to.
func endSessions(ctx context.Context, tx store.Tx, user, but string, all bool) error {
	return eachToken(ctx, tx, user, func(t store.Token) error {
		if t.User != user || t.ID == but || t.Kind != "session" && !all {
			return nil
		}
		return tx.DeleteToken(ctx, t.ID)
	})
}

// eachToken reads all tokens of a user; of everybody when user is "".
func eachToken(ctx context.Context, tx store.Tx, user string, fn func(store.Token) error) error {
	for after := ""; ; {
		tokens, err := tx.Tokens(ctx, user, store.Page{After: after, Limit: 1000})
		if err != nil {
			return err
		}
		for _, t := range tokens {
			after = t.ID
			if err := fn(t); err != nil {
				return err
			}
		}
		if len(tokens) < 1000 {
			return nil
		}
	}
}
