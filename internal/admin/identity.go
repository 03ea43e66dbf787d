package admin

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"postern/internal/decision"
	"postern/internal/directory"
	"postern/internal/store"
)

// caller is who sends a request to the API, as far as it was proven.
type caller struct {
	actor  string // "user:u_…", "token:t_…" or "bootstrap", as the audit trail has it
	user   directory.User
	token  store.Token
	roles  []string
	can    permission
	addr   netip.Addr
	secure bool // the request came over TLS
	path   string
}

// confined reports whether the caller belongs to one tenant.
func (c *caller) confined() bool { return c.user.Tenant != "" }

// sees reports whether the caller may meet rows of a tenant.
func (c *caller) sees(tenant string) bool { return !c.confined() || c.user.Tenant == tenant }

// may reports whether the caller has a permission.
func (c *caller) may(p permission) bool { return c.can&p == p }

// is reports whether the caller is the user with that id.
func (c *caller) is(user string) bool { return user != "" && c.user.ID == user }

// from is the address the caller comes from, as text.
func (c *caller) from() string {
	if !c.addr.IsValid() {
		return ""
	}
	return c.addr.String()
}

// standing is how much of a record or an explanation the caller may be told.
func (c *caller) standing() decision.Disclosure {
	for _, r := range c.roles {
		if r == "admin" || r == "operator" || r == "security" {
			return decision.ToOperator
		}
	}
	return decision.ToOwner
}

type callerKey struct{}

func callerFrom(ctx context.Context) *caller {
	c, _ := ctx.Value(callerKey{}).(*caller)
	if c == nil {
		return &caller{}
	}
	return c
}

// cookieName is the session cookie on a plain listener; with TLS the __Host- prefix ties it to the origin (RFC 6265bis).
const cookieName = "postern_session"

func cookieFor(secure bool) string {
	if secure {
		return "__Host-" + cookieName
	}
	return cookieName
}

// challenge is the WWW-Authenticate value of every 401 (RFC 6750).
const challenge = `Bearer realm="postern management"`

func unauthenticated() *Problem {
	return problem(401, "sign_in_needed", "This takes a sign-in.",
		"Send Authorization: Bearer with an API token (`postern login` stores one), or sign in to the console.").with("WWW-Authenticate", challenge)
}

// rejected is the one answer for every credential that does not hold: unknown, expired, revoked, of a suspended user.
func rejected() *Problem {
	return problem(401, "credential_rejected", "The token or session does not hold: it is unknown, expired or revoked.",
		"Sign in again, or create a new token.").with("WWW-Authenticate", challenge+`, error="invalid_token"`)
}

// identify proves who sends a request, by bearer token or session cookie. It returns nil when there is no credential.
func (s *Server) identify(ctx context.Context, r *http.Request) (*caller, error) {
	secret, ok := credential(r)
	if !ok {
		return nil, rejected()
	}
	if secret == "" {
		return nil, nil
	}
	t, err := s.Store.TokenByHash(ctx, sha256.Sum256([]byte(secret)))
	if errors.Is(err, store.ErrNotFound) {
		return nil, rejected()
	}
	if err != nil {
		return nil, err
	}
	now := s.Now()
	if !live(t, now) {
		return nil, rejected()
	}
	c := &caller{token: t, addr: clientAddress(r), secure: r.TLS != nil, path: r.URL.Path}
	if t.User == "" {
		c.actor, c.roles = "bootstrap", t.Roles
	} else {
		if c.user, err = s.Store.User(ctx, t.User); err != nil {
			if errors.Is(err, store.ErrNotFound) {
				return nil, rejected()
			}
			return nil, err
		}
		if c.user.Standing != directory.Active || !s.tenantActive(ctx, c.user.Tenant) {
			return nil, rejected()
		}
		c.actor = "user:" + c.user.ID
		if t.Kind == "api" {
			c.actor = "token:" + t.ID
		}
		// A token never outgrows its user: roles taken from the user are taken from all of the user's tokens.
		c.roles = slices.DeleteFunc(slices.Clone(t.Roles), func(r string) bool { return !covers(c.user.Roles, r) })
	}
	c.can = allowed(c.roles)
	return c, nil
}

// tenantActive reports whether users of a tenant may sign in; users of the platform always may.
func (s *Server) tenantActive(ctx context.Context, id string) bool {
	if id == "" {
		return true
	}
	t, err := s.Store.Tenant(ctx, id)
	return err == nil && t.Standing == directory.Active
}

// live reports whether a token holds at a moment.
func live(t store.Token, now time.Time) bool {
	return (t.Expires.IsZero() || now.Before(t.Expires)) && (t.Revoked.IsZero() || now.Before(t.Revoked))
}

// credential finds the secret of a request. Bearer wins over the cookie; an Authorization field that is not one Bearer
// credential is no credential at all (false), rather than a reason to fall back to the cookie.
func credential(r *http.Request) (secret string, ok bool) {
	if fields := r.Header.Values("Authorization"); len(fields) > 0 {
		scheme, text, _ := strings.Cut(fields[0], " ")
		text = strings.TrimLeft(text, " ")
		if len(fields) > 1 || !strings.EqualFold(scheme, "Bearer") || text == "" || len(text) > 512 || strings.ContainsAny(text, " \t,") {
			return "", false
		}
		return text, true
	}
	if c, err := r.Cookie(cookieFor(r.TLS != nil)); err == nil && len(c.Value) <= 512 {
		return c.Value, true
	}
	return "", true
}
