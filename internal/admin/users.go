package admin

import (
	"context"
	"errors"
	"fmt"
	"net/mail"

	"postern/internal/directory"
	"postern/internal/store"
)

// UserRequest makes a user.
type UserRequest struct {
	Email    string   `json:"email" minLength:"3" maxLength:"254"`
	Name     string   `json:"name,omitempty" maxLength:"200"`
	Tenant   string   `json:"tenant,omitempty" maxLength:"63" doc:"Missing: a user of the platform, or of the caller's tenant."`
	Roles    []string `json:"roles" minItems:"1" maxItems:"8" nullable:"false" doc:"Management roles: admin, operator, security, viewer."`
	Password string   `json:"password,omitempty" maxLength:"256" doc:"At least 12 characters. Missing: the user cannot sign in until one is set."`
}

// UserPatch changes a user. What is left out stays.
type UserPatch struct {
	Name     *string   `json:"name,omitempty" maxLength:"200"`
	Roles    *[]string `json:"roles,omitempty" minItems:"1" maxItems:"8" doc:"The whole new list."`
	Standing *string   `json:"standing,omitempty" enum:"active,suspended" doc:"A suspended user cannot sign in, and none of the user's tokens holds."`
}

// PasswordRequest sets a password.
type PasswordRequest struct {
	Current  string `json:"current,omitempty" maxLength:"256" doc:"The password so far; needed for one's own."`
	Password string `json:"password" maxLength:"256" doc:"At least 12 characters."`
}

type usersInput struct {
	PageInput
	Tenant string `query:"tenant" maxLength:"63"`
}

type userInput struct {
	IdempotencyInput
	Body UserRequest
}

type userPatchInput struct {
	ByIDMatch
	Body UserPatch
}

type passwordInput struct {
	ID   string `path:"id" maxLength:"128"`
	Body PasswordRequest
}

func (s *Server) registerUsers() {
	const tag = "users"
	register(s, route{id: "list-users", method: "GET", path: "/users", tag: tag, summary: "List users"}, s.listUsers)
	register(s, route{id: "create-user", method: "POST", path: "/users", tag: tag, summary: "Create a user", status: 201,
		about: "Creating the first administrator of the platform spends the bootstrap token."}, s.createUser)
	register(s, route{id: "get-user", method: "GET", path: "/users/{id}", tag: tag, summary: "Get a user"},
		func(ctx context.Context, c *caller, in *ByID) (*row[directory.User], error) {
			u, err := s.user(ctx, s.Store, c, in.ID, readUsers)
			if err != nil {
				return nil, err
			}
			return oneRow(u), nil
		})
	register(s, route{id: "update-user", method: "PATCH", path: "/users/{id}", tag: tag, summary: "Change a user"}, s.updateUser)
	register(s, route{id: "delete-user", method: "DELETE", path: "/users/{id}", tag: tag, summary: "Delete a user", about: "With the user's tokens and sessions."}, s.deleteUser)
	register(s, route{id: "put-password", method: "PUT", path: "/users/{id}/password", tag: tag, summary: "Set a password",
		about: "Every other session of the user ends."}, s.putPassword)
}

// user reads a user that the caller may see: oneself, or with a permission others.
func (s *Server) user(ctx context.Context, r store.Reader, c *caller, id string, need permission) (directory.User, error) {
	u, err := r.User(ctx, id)
	if errors.Is(err, store.ErrNotFound) || err == nil && (!c.sees(u.Tenant) || !c.is(u.ID) && !c.may(need)) {
		return directory.User{}, notFound("user", id)
	}
	return u, err
}

func (s *Server) listUsers(ctx context.Context, c *caller, in *usersInput) (*listed[directory.User], error) {
	var keep func(directory.User) (bool, error)
	if c.confined() || in.Tenant != "" {
		keep = func(u directory.User) (bool, error) {
			return c.sees(u.Tenant) && (in.Tenant == "" || u.Tenant == in.Tenant), nil
		}
	}
	return collect(ctx, "users", in.PageInput, s.Store.Users, func(u directory.User) string { return u.ID }, keep)
}

// grants checks that roles exist and that the caller has what they allow: nobody hands on more than they have.
func grants(c *caller, names []string) error {
	for i, n := range names {
		p, ok := roles[n]
		if !ok {
			return invalid(fmt.Sprintf("/roles/%d", i), fmt.Sprintf("There is no role %q.", n), "Use admin, operator, security or viewer.")
		}
		if c.can&p != p {
			return problem(403, "role_too_wide", fmt.Sprintf("You cannot grant the role %q: it allows more than your roles do.", n), "Ask an administrator to grant it.")
		}
	}
	return nil
}

func (s *Server) createUser(ctx context.Context, c *caller, in *userInput) (*created[directory.User], error) {
	b := in.Body
	email := normalEmail(b.Email)
	if a, err := mail.ParseAddress(email); err != nil || a.Address != email {
		return nil, invalid("/email", "That is no email address.", "Write it as ada@example.com, without a name.")
	}
	if b.Tenant == "" {
		b.Tenant = c.user.Tenant
	}
	if err := grants(c, b.Roles); err != nil {
		return nil, err
	}
	phc := ""
	if b.Password != "" {
		if p := checkPassword(b.Password, email); p != nil {
			return nil, p
		}
		var err error
		if phc, err = s.passwords.hash(ctx, b.Password); err != nil {
			return nil, err
		}
	}
	u := directory.User{ID: newID("u"), Tenant: b.Tenant, Email: email, Name: b.Name, Roles: b.Roles, Standing: directory.Active, Created: s.stamp()}
	detail := map[string]any{"email": email, "roles": b.Roles}
	e := s.entry(c, "user.create", "user/"+u.ID, u.Tenant, detail)
	out, err := createOnce(ctx, s, c, in.Key, in.Body, e, u, nil, func(tx store.Tx) error {
		if u.Tenant != "" {
			if _, err := s.tenant(ctx, tx, c, u.Tenant); err != nil {
				return asReference(err, "/tenant", fmt.Sprintf("There is no tenant %q.", u.Tenant), "Create it first, or correct the id.")
			}
		}
		err := tx.PutUser(ctx, u)
		if errors.Is(err, store.ErrConflict) {
			return problem(409, "exists", "There is a user with this email address already.", "Change that user, or use another address.")
		}
		if err != nil {
			return err
		}
		if phc != "" {
			if err := tx.PutPasswordHash(ctx, u.ID, phc); err != nil {
				return err
			}
		}
		// An administrator who cannot sign in yet is no reason to end the one way in.
		if administers(u) && phc != "" {
			return endBootstrap(ctx, tx)
		}
		return nil
	})
	return located(out, err, "/api/v1/users/", func(u directory.User) string { return u.ID })
}

func (s *Server) updateUser(ctx context.Context, c *caller, in *userPatchInput) (*row[directory.User], error) {
	b := in.Body
	u, err := s.user(ctx, s.Store, c, in.ID, writeUsers)
	if err != nil {
		return nil, err
	}
	if b.Roles != nil {
		if err := grants(c, *b.Roles); err != nil {
			return nil, err
		}
	}
	err = s.update(ctx, s.entry(c, "user.update", "user/"+u.ID, u.Tenant, b), func(tx store.Tx) (err error) {
		if u, err = s.user(ctx, tx, c, in.ID, writeUsers); err != nil {
			return err
		}
		if err := outranks(c, u); err != nil {
			return err
		}
		if err := checkMatch(in.IfMatch, rowTag(u)); err != nil {
			return err
		}
		was := administers(u)
		if b.Name != nil {
			u.Name = *b.Name
		}
		if b.Roles != nil {
			u.Roles = *b.Roles
		}
		if b.Standing != nil {
			u.Standing = directory.Standing(*b.Standing)
		}
		if was && !administers(u) {
			if err := lastAdministrator(ctx, tx, u.ID); err != nil {
				return err
			}
		}
		if err := tx.PutUser(ctx, u); err != nil {
			return err
		}
		if u.Standing != directory.Active {
			return endSessions(ctx, tx, u.ID, "", false)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return oneRow(u), nil
}

func (s *Server) deleteUser(ctx context.Context, c *caller, in *ByIDMatch) (*struct{}, error) {
	u, err := s.user(ctx, s.Store, c, in.ID, writeUsers)
	if err != nil {
		return nil, err
	}
	return nil, s.update(ctx, s.entry(c, "user.delete", "user/"+u.ID, u.Tenant, map[string]any{"email": u.Email}), func(tx store.Tx) error {
		u, err := s.user(ctx, tx, c, in.ID, writeUsers)
		if err != nil {
			return err
		}
		if err := outranks(c, u); err != nil {
			return err
		}
		if err := checkMatch(in.IfMatch, rowTag(u)); err != nil {
			return err
		}
		if administers(u) {
			if err := lastAdministrator(ctx, tx, u.ID); err != nil {
				return err
			}
		}
		if err := endSessions(ctx, tx, u.ID, "", true); err != nil {
			return err
		}
		err = tx.DeleteUser(ctx, u.ID)
		if errors.Is(err, store.ErrReference) {
			return problem(409, "reference", "The user owns applications.", "Give them another owner first: PATCH /api/v1/applications/{id} with owner.")
		}
		return err
	})
}

// outranks refuses changes to a user who may do more than the caller: setting that user's password would be taking the roles.
func outranks(c *caller, u directory.User) error {
	if p := allowed(u.Roles); c.can&p != p {
		return problem(403, "role_too_wide", "You cannot change this user, whose roles allow more than yours.", "Ask an administrator.")
	}
	return nil
}

// lastAdministrator keeps the platform from losing its last administrator.
func lastAdministrator(ctx context.Context, r store.Reader, leaving string) error {
	has, err := hasAdministrator(ctx, r, leaving, false)
	if err != nil || has {
		return err
	}
	return problem(409, "last_administrator", "This is the last active administrator of the platform.", "Make another user an administrator first.")
}

func (s *Server) putPassword(ctx context.Context, c *caller, in *passwordInput) (*struct{}, error) {
	u, err := s.user(ctx, s.Store, c, in.ID, writeUsers)
	if err != nil {
		return nil, err
	}
	if p := checkPassword(in.Body.Password, u.Email); p != nil {
		return nil, p
	}
	if c.is(u.ID) {
		if err := s.proveCurrent(ctx, c, u, in.Body.Current); err != nil {
			return nil, err
		}
	} else if err := outranks(c, u); err != nil {
		return nil, err
	}
	phc, err := s.passwords.hash(ctx, in.Body.Password)
	if err != nil {
		return nil, err
	}
	return nil, s.update(ctx, s.entry(c, "user.password", "user/"+u.ID, u.Tenant, nil), func(tx store.Tx) error {
		u, err := s.user(ctx, tx, c, in.ID, writeUsers)
		if err != nil {
			return err
		}
		if err := outranks(c, u); err != nil && !c.is(u.ID) { // roles may have been added since
			return err
		}
		if err := tx.PutPasswordHash(ctx, u.ID, phc); err != nil {
			return err
		}
		if err := endSessions(ctx, tx, u.ID, c.token.ID, false); err != nil {
			return err
		}
		if administers(u) {
			return endBootstrap(ctx, tx)
		}
		return nil
	})
}

// proveCurrent asks for the password so far: an open console is not enough to take an account over. Guesses are slowed
// like sign-ins.
func (s *Server) proveCurrent(ctx context.Context, c *caller, u directory.User, current string) error {
	if c.token.Kind == "api" {
		return problem(403, "session_needed", "An API token cannot change its user's password.", "Sign in with the password, or ask an administrator.")
	}
	phc, err := s.Store.PasswordHash(ctx, u.ID)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if wait := s.accounts.take(s.Now(), u.Email); wait > 0 {
		return problem(429, "too_many_attempts", "Too many attempts.", "Wait before the next one.").retryAfter(wait)
	}
	ok, err := s.passwords.verify(ctx, current, phc)
	if err != nil {
		return err
	}
	if !ok {
		return problem(403, "password_wrong", "current is not the password of this user.", "Type the password you signed in with.")
	}
	s.accounts.forgive(u.Email)
	return nil
}
