package admin

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"strings"
	"time"

	"postern/internal/directory"
	"postern/internal/store"
)

// sessionLife is how long a sign-in lasts.
const sessionLife = 12 * time.Hour

// SessionRequest signs in, by email and password or by the bootstrap token.
type SessionRequest struct {
	Email    string `json:"email,omitempty" maxLength:"254" doc:"Email address of a user."`
	Password string `json:"password,omitempty" maxLength:"256"`
	Token    string `json:"bootstrap_token,omitempty" maxLength:"128" doc:"The token printed at the first start."`
	As       string `json:"as,omitempty" enum:"cookie,bearer" doc:"How the session is carried: as a cookie (default, for the console), or as a bearer token in the answer (for programs)."`
}

// Session is an open session.
type Session struct {
	Token   string    `json:"token,omitempty" doc:"Bearer token; only when asked for with as: bearer."`
	Expires time.Time `json:"expires"`
	Me      Me        `json:"me"`
}

// Me is who is signed in, and what that allows.
type Me struct {
	Actor     string          `json:"actor" doc:"As the audit trail has it."`
	User      *directory.User `json:"user,omitempty" doc:"Missing for the bootstrap token."`
	Roles     []string        `json:"roles" nullable:"false"`
	Tenant    string          `json:"tenant,omitempty" doc:"Missing for users of the platform."`
	Bootstrap bool            `json:"bootstrap,omitempty" doc:"Signed in by the bootstrap token: create an administrator next."`
}

type sessionInput struct{ Body SessionRequest }

type sessionOutput struct {
	SetCookie string `header:"Set-Cookie"`
	Body      Session
}

type signedOut struct {
	SetCookie string `header:"Set-Cookie"`
}

func (s *Server) registerSession() {
	register(s, route{id: "create-session", method: "POST", path: "/session", tag: "session", summary: "Sign in", status: 201,
		about: "By email and password, or by the bootstrap token while there is no administrator. Attempts are slowed for each address and each account."}, s.signIn)
	register(s, route{id: "delete-session", method: "DELETE", path: "/session", tag: "session", summary: "Sign out"}, s.signOut)
	register(s, route{id: "get-me", method: "GET", path: "/me", tag: "session", summary: "Who is signed in"},
		func(_ context.Context, c *caller, _ *struct{}) (*struct{ Body Me }, error) {
			return &struct{ Body Me }{s.me(c)}, nil
		})
}

func (s *Server) me(c *caller) Me {
	m := Me{Actor: c.actor, Roles: emptyList(c.roles), Tenant: c.user.Tenant, Bootstrap: c.token.User == ""}
	if c.user.ID != "" {
		m.User = &c.user
	}
	return m
}

// signInFailed is the one answer for every sign-in that fails, whatever was wrong.
func signInFailed() *Problem {
	return problem(401, "sign_in_failed", "The sign-in was not accepted.",
		"Check what you typed. After the first administrator was created, the bootstrap token no longer works.").with("WWW-Authenticate", challenge)
}

func (s *Server) signIn(ctx context.Context, c *caller, in *sessionInput) (*sessionOutput, error) {
	b := in.Body
	byToken := b.Token != ""
	if byToken == (b.Email != "" || b.Password != "") {
		return nil, invalid("", "Send either email and password, or bootstrap_token.", "")
	}
	account := "bootstrap"
	if !byToken {
		account = normalEmail(b.Email)
	}
	now, from := s.Now(), throttleKey(c.addr)
	wait := s.addresses.take(now, from)
	if wait == 0 {
		wait = s.accounts.take(now, account)
	}
	if wait > 0 {
		return nil, problem(429, "too_many_attempts", "Too many sign-in attempts.", "Wait before the next one; API tokens are not affected.").retryAfter(wait)
	}
	var who *caller
	var err error
	if byToken {
		who, err = s.proveBootstrap(ctx, b.Token)
	} else {
		who, err = s.provePassword(ctx, account, b.Password)
	}
	if err != nil {
		var p *Problem
		if errors.As(err, &p) && p.Status == 401 {
			s.Logger.Warn("sign-in failed", "from", c.from(), "bootstrap", byToken)
		}
		return nil, err
	}
	s.addresses.forgive(from)
	s.accounts.forgive(account)
	who.addr, who.secure = c.addr, c.secure
	return s.openSession(ctx, who, b.As == "bearer")
}

func (s *Server) proveBootstrap(ctx context.Context, text string) (*caller, error) {
	t, err := s.Store.TokenByHash(ctx, sha256.Sum256([]byte(text)))
	if errors.Is(err, store.ErrNotFound) {
		return nil, signInFailed()
	}
	if err != nil {
		return nil, err
	}
	if t.Kind != "bootstrap" || !live(t, s.Now()) {
		return nil, signInFailed()
	}
	return &caller{actor: "bootstrap", roles: t.Roles}, nil
}

func (s *Server) provePassword(ctx context.Context, email, password string) (*caller, error) {
	u, err := s.Store.UserByEmail(ctx, email)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	phc := ""
	if err == nil {
		if phc, err = s.Store.PasswordHash(ctx, u.ID); err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
	}
	ok, err := s.passwords.verify(ctx, password, phc)
	if err != nil {
		return nil, err
	}
	if !ok || u.Standing != directory.Active || !s.tenantActive(ctx, u.Tenant) {
		return nil, signInFailed()
	}
	return &caller{actor: "user:" + u.ID, user: u, roles: u.Roles}, nil
}

// openSession stores a session and tells it to the client. Sessions of the user that have ended are cleared away.
func (s *Server) openSession(ctx context.Context, c *caller, bearer bool) (*sessionOutput, error) {
	now := s.Now()
	text, hash := newSecret(sessionPrefix)
	t := store.Token{ID: newID("t"), User: c.user.ID, Kind: "session", Hash: hash, Roles: c.roles, Created: now, Expires: now.Add(sessionLife)}
	e := s.entry(c, "session.create", "token/"+t.ID, c.user.Tenant, nil)
	if err := s.Store.Update(ctx, e, func(tx store.Tx) error {
		old, err := tx.Tokens(ctx, c.user.ID, store.Page{Limit: 1000})
		if err != nil {
			return err
		}
		for _, o := range old {
			if o.Kind == "session" && o.User == c.user.ID && !live(o, now) {
				if err := tx.DeleteToken(ctx, o.ID); err != nil {
					return err
				}
			}
		}
		return tx.PutToken(ctx, t)
	}); err != nil {
		return nil, err
	}
	c.token, c.can = t, allowed(c.roles)
	out := &sessionOutput{Body: Session{Expires: t.Expires, Me: s.me(c)}}
	if bearer {
		out.Body.Token = text
		return out, nil
	}
	out.SetCookie = s.cookie(c, text, int(sessionLife/time.Second))
	return out, nil
}

func (s *Server) cookie(c *caller, value string, age int) string {
	k := http.Cookie{Name: cookieFor(c.secure), Value: value, Path: "/", MaxAge: age, HttpOnly: true, Secure: c.secure, SameSite: http.SameSiteStrictMode}
	return k.String()
}

// signOut ends the session the request came with. An API token is not ended by signing out: revoke it instead.
func (s *Server) signOut(ctx context.Context, c *caller, _ *struct{}) (*signedOut, error) {
	if c.token.Kind != "session" {
		return nil, problem(409, "no_session", "The request did not come with a session.", "Revoke an API token with DELETE /api/v1/tokens/"+c.token.ID+".")
	}
	e := s.entry(c, "session.delete", "token/"+c.token.ID, c.user.Tenant, nil)
	if err := s.Store.Update(ctx, e, func(tx store.Tx) error {
		err := tx.DeleteToken(ctx, c.token.ID)
		if errors.Is(err, store.ErrNotFound) { // signed out twice at the same moment
			return nil
		}
		return err
	}); err != nil {
		return nil, err
	}
	return &signedOut{SetCookie: s.cookie(c, "", -1)}, nil
}

// normalEmail is the form in which addresses are kept and compared.
func normalEmail(e string) string { return strings.ToLower(strings.TrimSpace(e)) }

func emptyList[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}
