package admin

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"postern/internal/directory"
	"postern/internal/store"
)

// KeyRequest makes an API key.
type KeyRequest struct {
	Name    string    `json:"name,omitempty" maxLength:"200" doc:"For people."`
	Scopes  []string  `json:"scopes,omitempty" maxItems:"100" doc:"What the key is limited to. Empty: everything its application may do."`
	Expires time.Time `json:"expires,omitzero" required:"false" doc:"When it ends. Missing: never."`
}

// KeyPatch changes a key. What is left out stays.
type KeyPatch struct {
	Name    *string             `json:"name,omitempty" maxLength:"200"`
	Scopes  *[]string           `json:"scopes,omitempty" maxItems:"100" doc:"The whole new list."`
	Expires settable[time.Time] `json:"expires,omitzero" required:"false" doc:"null: never."`
}

// RotateRequest replaces a key by a new one.
type RotateRequest struct {
	Overlap string    `json:"overlap,omitempty" maxLength:"32" doc:"How long the old key goes on working beside the new one, such as 24h (default) or 0s; at most 720h."`
	Expires time.Time `json:"expires,omitzero" required:"false" doc:"When the new key ends. Missing: after as long a life as the old one was given."`
}

// Key is a key as it is listed.
type Key struct {
	directory.Key
	State string `json:"state" enum:"active,replaced,expired,revoked" doc:"replaced: rotated, and still within the overlap."`
}

// NewKey is a key with its text, which is shown this once.
type NewKey struct {
	Key  Key    `json:"key"`
	Text string `json:"text,omitempty" doc:"The key itself. It is shown in this answer only; Postern keeps no more than its hash."`
}

type applicationKeysInput struct {
	ByID
	PageInput
}

type keysInput struct {
	PageInput
	Application string `query:"application" maxLength:"63" doc:"Only keys of this application."`
}

type keyInput struct {
	ID string `path:"id" maxLength:"128"`
	IdempotencyInput
	Body KeyRequest
}

type keyPatchInput struct {
	ByIDMatch
	Body KeyPatch
}

type rotateInput struct {
	ID string `path:"id" maxLength:"128"`
	IdempotencyInput
	IfMatch string `header:"If-Match"`
	Body    *RotateRequest
}

func (s *Server) registerKeys() {
	const tag = "directory"
	register(s, route{id: "list-application-keys", method: "GET", path: "/applications/{id}/keys", tag: tag, summary: "List the keys of an application"}, s.listApplicationKeys)
	register(s, route{id: "create-key", method: "POST", path: "/applications/{id}/keys", tag: tag, summary: "Create an API key", status: 201,
		about: "The answer holds the key's text, which is shown this once."}, s.createKey)
	register(s, route{id: "list-keys", method: "GET", path: "/keys", tag: tag, summary: "List keys"}, s.listKeys)
	register(s, route{id: "get-key", method: "GET", path: "/keys/{id}", tag: tag, summary: "Get a key"},
		func(ctx context.Context, c *caller, in *ByID) (*row[Key], error) {
			k, _, err := s.key(ctx, s.Store, c, in.ID)
			if err != nil {
				return nil, err
			}
			return oneRow(s.keyView(k)), nil
		})
	register(s, route{id: "update-key", method: "PATCH", path: "/keys/{id}", tag: tag, summary: "Change a key's name, scopes or end"}, s.updateKey)
	register(s, route{id: "revoke-key", method: "DELETE", path: "/keys/{id}", tag: tag, summary: "Revoke a key", status: 200,
		about: "It acts on the next request, on every node within a second. The row stays, so that callers are told that their key was revoked."}, s.revokeKey)
	register(s, route{id: "rotate-key", method: "POST", path: "/keys/{id}/rotate", tag: tag, summary: "Replace a key by a new one", status: 201,
		about: "The new key has the name and scopes of the old one, which goes on working for the overlap."}, s.rotateKey)
}

// keyView adds to a key what its times mean now.
func (s *Server) keyView(k directory.Key) Key {
	now, state := s.Now(), "active"
	switch {
	case !k.Revoked.IsZero() && !k.Revoked.After(now):
		state = "revoked"
	case !k.Expires.IsZero() && !k.Expires.After(now):
		state = "expired"
	case !k.Revoked.IsZero():
		state = "replaced"
	}
	return Key{Key: k, State: state}
}

// key reads a key that the caller may see, and the application it belongs to.
func (s *Server) key(ctx context.Context, r store.Reader, c *caller, id string) (directory.Key, directory.Application, error) {
	k, err := r.Key(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return k, directory.Application{}, notFound("key", id)
	}
	if err != nil {
		return k, directory.Application{}, err
	}
	a, err := r.Application(ctx, k.Application)
	if errors.Is(err, store.ErrNotFound) || err == nil && !c.sees(a.Tenant) {
		return directory.Key{}, directory.Application{}, notFound("key", id)
	}
	return k, a, err
}

func (s *Server) keyRows(ctx context.Context, list, application string, in PageInput, keep func(Key) (bool, error)) (*listed[Key], error) {
	return collect(ctx, list, in, func(ctx context.Context, p store.Page) ([]Key, error) {
		rows, err := s.Store.Keys(ctx, application, p)
		out := make([]Key, len(rows))
		for i, k := range rows {
			out[i] = s.keyView(k)
		}
		return out, err
	}, func(k Key) string { return k.ID }, keep)
}

func (s *Server) listApplicationKeys(ctx context.Context, c *caller, in *applicationKeysInput) (*listed[Key], error) {
	a, err := s.application(ctx, s.Store, c, in.ID)
	if err != nil {
		return nil, err
	}
	return s.keyRows(ctx, "keys", a.ID, in.PageInput, nil)
}

func (s *Server) listKeys(ctx context.Context, c *caller, in *keysInput) (*listed[Key], error) {
	if in.Application != "" {
		return s.listApplicationKeys(ctx, c, &applicationKeysInput{ByID{in.Application}, in.PageInput})
	}
	var keep func(Key) (bool, error)
	if c.confined() {
		visible := s.visibleApplications(ctx, c)
		keep = func(k Key) (bool, error) { return visible(k.Application) }
	}
	return s.keyRows(ctx, "keys", "", in.PageInput, keep)
}

// visibleApplications tells whether the caller sees an application, and remembers the answers of one request.
func (s *Server) visibleApplications(ctx context.Context, c *caller) func(id string) (bool, error) {
	known := map[string]bool{}
	return func(id string) (bool, error) {
		if v, ok := known[id]; ok {
			return v, nil
		}
		a, err := s.Store.Application(ctx, id)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return false, err
		}
		known[id] = err == nil && c.sees(a.Tenant)
		return known[id], nil
	}
}

func (s *Server) createKey(ctx context.Context, c *caller, in *keyInput) (*created[NewKey], error) {
	if err := checkScopes(in.Body.Scopes); err != nil {
		return nil, err
	}
	now := s.stamp()
	if err := checkExpires(in.Body.Expires, now); err != nil {
		return nil, err
	}
	a, err := s.application(ctx, s.Store, c, in.ID)
	if err != nil {
		return nil, err
	}
	text, err := directory.NewKeyText(rand.Reader)
	if err != nil {
		return nil, err
	}
	k := directory.Key{ID: newID("k"), Application: a.ID, Name: in.Body.Name, Hash: directory.HashKey(text), Scopes: in.Body.Scopes,
		Created: now, Expires: optionalStamp(in.Body.Expires)}
	e := s.entry(c, "key.create", "key/"+k.ID, a.Tenant, struct {
		Application string `json:"application"`
		KeyRequest
	}{a.ID, in.Body})
	out, err := createOnce(ctx, s, c, in.Key, in.Body, e, NewKey{s.keyView(k), text}, secretlessKey, func(tx store.Tx) error {
		if _, err := s.application(ctx, tx, c, a.ID); err != nil {
			return err
		}
		return tx.PutKey(ctx, k)
	})
	return locatedKey(out, err)
}

func secretlessKey(n NewKey) NewKey { n.Text = ""; return n }

func locatedKey(out *created[NewKey], err error) (*created[NewKey], error) {
	out, err = located(out, err, "/api/v1/keys/", func(n NewKey) string { return n.Key.ID })
	if err == nil {
		out.ETag = rowTag(out.Body.Key)
	}
	return out, err
}

func (s *Server) updateKey(ctx context.Context, c *caller, in *keyPatchInput) (*row[Key], error) {
	b := in.Body
	if b.Scopes != nil {
		if err := checkScopes(*b.Scopes); err != nil {
			return nil, err
		}
	}
	if err := checkExpires(b.Expires.Value, s.stamp()); err != nil {
		return nil, err
	}
	k, a, err := s.key(ctx, s.Store, c, in.ID)
	if err != nil {
		return nil, err
	}
	err = s.update(ctx, s.entry(c, "key.update", "key/"+k.ID, a.Tenant, keyChange(b)), func(tx store.Tx) (err error) {
		if k, _, err = s.key(ctx, tx, c, in.ID); err != nil {
			return err
		}
		if err := checkMatch(in.IfMatch, rowTag(s.keyView(k))); err != nil {
			return err
		}
		if b.Name != nil {
			k.Name = *b.Name
		}
		if b.Scopes != nil {
			k.Scopes = *b.Scopes
		}
		if b.Expires.Sent {
			k.Expires = optionalStamp(b.Expires.Value)
		}
		return tx.PutKey(ctx, k)
	})
	if err != nil {
		return nil, err
	}
	return oneRow(s.keyView(k)), nil
}

// keyChange is a patch as the audit trail keeps it.
func keyChange(b KeyPatch) map[string]any {
	d := map[string]any{}
	if b.Name != nil {
		d["name"] = *b.Name
	}
	if b.Scopes != nil {
		d["scopes"] = *b.Scopes
	}
	switch {
	case b.Expires.Null:
		d["expires"] = nil
	case b.Expires.Sent:
		d["expires"] = b.Expires.Value
	}
	return d
}

func (s *Server) revokeKey(ctx context.Context, c *caller, in *ByIDMatch) (*row[Key], error) {
	k, a, err := s.key(ctx, s.Store, c, in.ID)
	if err != nil {
		return nil, err
	}
	now := s.stamp()
	err = s.update(ctx, s.entry(c, "key.revoke", "key/"+k.ID, a.Tenant, nil), func(tx store.Tx) (err error) {
		if k, _, err = s.key(ctx, tx, c, in.ID); err != nil {
			return err
		}
		if err := checkMatch(in.IfMatch, rowTag(s.keyView(k))); err != nil {
			return err
		}
		if k.Revoked.IsZero() || k.Revoked.After(now) { // a key stays revoked from when it first was
			k.Revoked = now
		}
		return tx.PutKey(ctx, k)
	})
	if err != nil {
		return nil, err
	}
	return oneRow(s.keyView(k)), nil
}

func (s *Server) rotateKey(ctx context.Context, c *caller, in *rotateInput) (*created[NewKey], error) {
	overlap, asked := 24*time.Hour, RotateRequest{}
	if in.Body != nil {
		asked = *in.Body
	}
	if asked.Overlap != "" {
		d, err := time.ParseDuration(asked.Overlap)
		if err != nil || d < 0 || d > 720*time.Hour {
			return nil, invalid("/overlap", fmt.Sprintf("%q is no overlap.", asked.Overlap), "Write a duration from 0s to 720h, such as 24h.")
		}
		overlap = d
	}
	now := s.stamp()
	if err := checkExpires(asked.Expires, now); err != nil {
		return nil, err
	}
	old, a, err := s.key(ctx, s.Store, c, in.ID)
	if err != nil {
		return nil, err
	}
	text, err := directory.NewKeyText(rand.Reader)
	if err != nil {
		return nil, err
	}
	next := directory.Key{ID: newID("k"), Application: old.Application, Name: old.Name, Scopes: old.Scopes, Hash: directory.HashKey(text),
		Created: now, Expires: optionalStamp(asked.Expires)}
	if next.Expires.IsZero() && !old.Expires.IsZero() {
		next.Expires = now.Add(max(old.Expires.Sub(old.Created), time.Minute))
	}
	e := s.entry(c, "key.rotate", "key/"+old.ID, a.Tenant, map[string]any{"new": next.ID, "overlap": overlap.String()})
	out, err := createOnce(ctx, s, c, in.Key, asked, e, NewKey{s.keyView(next), text}, secretlessKey, func(tx store.Tx) error {
		k, _, err := s.key(ctx, tx, c, in.ID)
		if err != nil {
			return err
		}
		if err := checkMatch(in.IfMatch, rowTag(s.keyView(k))); err != nil {
			return err
		}
		if !k.Revoked.IsZero() {
			return rotatedAlready(k)
		}
		k.Revoked, k.ReplacedBy = now.Add(overlap), next.ID
		if err := tx.PutKey(ctx, next); err != nil {
			return err
		}
		return tx.PutKey(ctx, k)
	})
	return locatedKey(out, err)
}

func rotatedAlready(k directory.Key) *Problem {
	if k.ReplacedBy != "" {
		return problem(409, "key_replaced", "The key was replaced by "+k.ReplacedBy+" already.", "Rotate "+k.ReplacedBy+" instead.")
	}
	return problem(409, "key_revoked", "The key is revoked.", "Create a new key for the application.")
}

// checkScopes refuses scopes that could not be written in a WWW-Authenticate field (RFC 6749 section 3.3).
func checkScopes(scopes []string) error {
	for i, sc := range scopes {
		bad := sc == "" || len(sc) > 200 || strings.ContainsFunc(sc, func(r rune) bool { return r <= 0x20 || r == '"' || r == '\\' || r > 0x7e })
		if bad {
			return invalid(fmt.Sprintf("/scopes/%d", i), fmt.Sprintf("%q is no scope.", sc), `Write 1 to 200 visible ASCII characters without spaces, quotes and backslashes, such as orders:create.`)
		}
	}
	return nil
}

func checkExpires(t, now time.Time) error {
	if !t.IsZero() && !t.After(now) {
		return invalid("/expires", "expires is in the past.", "Write a time to come; to end a key now, revoke it.")
	}
	return nil
}

// optionalStamp keeps the zero time zero.
func optionalStamp(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return stampOf(t)
}
