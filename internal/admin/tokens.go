package admin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"postern/internal/directory"
	"postern/internal/store"
)

// TokenRequest makes an API token.
type TokenRequest struct {
	Name    string    `json:"name" minLength:"1" maxLength:"200" doc:"What it is for."`
	User    string    `json:"user,omitempty" maxLength:"128" doc:"Id of the user it acts for. Missing: the caller."`
	Roles   []string  `json:"roles,omitempty" maxItems:"8" doc:"At most the user's. Missing: all of them."`
	Expires time.Time `json:"expires,omitzero" required:"false" doc:"When it ends. Missing: after 90 days. At most 366 days ahead."`
}

// NewToken is a token with its text, which is shown this once.
type NewToken struct {
	Token store.Token `json:"token"`
	Text  string      `json:"text,omitempty" doc:"The token itself, for Authorization: Bearer. It is shown in this answer only."`
}

type tokensInput struct {
	PageInput
	User string `query:"user" maxLength:"128" doc:"Tokens of this user. Missing: one's own."`
}

type tokenInput struct {
	IdempotencyInput
	Body TokenRequest
}

func (s *Server) registerTokens() {
	const tag = "users"
	register(s, route{id: "list-tokens", method: "GET", path: "/tokens", tag: tag, summary: "List tokens and sessions of a user"}, s.listTokens)
	register(s, route{id: "create-token", method: "POST", path: "/tokens", tag: tag, summary: "Create an API token", status: 201,
		about: "The answer holds the token's text, which is shown this once. Its roles may be smaller than the user's: a token of an administrator can be one of a viewer. A token never allows more than its user may do when it is used."}, s.createToken)
	register(s, route{id: "revoke-token", method: "DELETE", path: "/tokens/{id}", tag: tag, summary: "Revoke a token or end a session"}, s.revokeToken)
}

func (s *Server) listTokens(ctx context.Context, c *caller, in *tokensInput) (*listed[store.Token], error) {
	if in.User == "" {
		in.User = c.user.ID
	}
	if in.User != "" { // the bootstrap token belongs to nobody and lists the likes of itself
		if _, err := s.user(ctx, s.Store, c, in.User, readUsers); err != nil {
			return nil, err
		}
	}
	return collect(ctx, "tokens", in.PageInput, func(ctx context.Context, p store.Page) ([]store.Token, error) {
		return s.Store.Tokens(ctx, in.User, p)
	}, func(t store.Token) string { return t.ID }, func(t store.Token) (bool, error) { return t.User == in.User, nil })
}

func (s *Server) createToken(ctx context.Context, c *caller, in *tokenInput) (*created[NewToken], error) {
	b, now := in.Body, s.stamp()
	if b.User == "" {
		b.User = c.user.ID
	}
	if b.User == "" {
		return nil, invalid("/user", "The bootstrap token has no user of its own.", "Create a user first, then a token for that user.")
	}
	u, err := s.user(ctx, s.Store, c, b.User, writeUsers)
	if err != nil {
		return nil, asReference(err, "/user", fmt.Sprintf("There is no user %q.", b.User), "GET /api/v1/users lists them.")
	}
	if b.Roles == nil {
		b.Roles = u.Roles
		if c.is(u.ID) {
			b.Roles = c.roles // a token must not make a wider one
		}
	}
	for i, r := range b.Roles {
		if _, known := roles[r]; known && !covers(u.Roles, r) {
			return nil, invalid(fmt.Sprintf("/roles/%d", i), fmt.Sprintf("The role %q allows more than the user's roles do.", r),
				"Use roles that allow no more than: "+listOr(u.Roles, "none")+".")
		}
	}
	if err := grants(c, b.Roles); err != nil {
		return nil, err
	}
	if b.Expires.IsZero() {
		b.Expires = now.Add(90 * 24 * time.Hour)
	}
	if err := checkExpires(b.Expires, now); err != nil {
		return nil, err
	}
	if b.Expires.After(now.Add(366 * 24 * time.Hour)) {
		return nil, invalid("/expires", "A token lives for at most 366 days.", "Write an earlier time; create a new token before it ends.")
	}
	text, hash := newSecret(tokenPrefix)
	t := store.Token{ID: newID("t"), User: u.ID, Name: b.Name, Kind: "api", Hash: hash, Roles: emptyList(b.Roles), Created: now, Expires: stampOf(b.Expires)}
	e := s.entry(c, "token.create", "token/"+t.ID, u.Tenant, map[string]any{"user": u.ID, "name": b.Name, "roles": b.Roles, "expires": t.Expires})
	out, err := createOnce(ctx, s, c, in.Key, in.Body, e, NewToken{t, text}, func(n NewToken) NewToken { n.Text = ""; return n }, func(tx store.Tx) error {
		if _, err := s.user(ctx, tx, c, u.ID, writeUsers); err != nil {
			return err
		}
		return tx.PutToken(ctx, t)
	})
	return located(out, err, "/api/v1/tokens/", func(n NewToken) string { return n.Token.ID })
}

func (s *Server) revokeToken(ctx context.Context, c *caller, in *ByID) (*struct{}, error) {
	t, err := s.Store.Token(ctx, in.ID)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	var u directory.User
	if err == nil && t.User != "" {
		u, err = s.user(ctx, s.Store, c, t.User, writeUsers)
	} else if err == nil && (c.confined() || !c.may(writeUsers)) {
		err = store.ErrNotFound
	}
	if err != nil {
		var p *Problem
		if errors.Is(err, store.ErrNotFound) || errors.As(err, &p) {
			return nil, notFound("token", in.ID)
		}
		return nil, err
	}
	return nil, s.update(ctx, s.entry(c, "token.revoke", "token/"+t.ID, u.Tenant, map[string]any{"name": t.Name}), func(tx store.Tx) error {
		err := tx.DeleteToken(ctx, t.ID)
		if errors.Is(err, store.ErrNotFound) {
			return notFound("token", in.ID)
		}
		return err
	})
}
