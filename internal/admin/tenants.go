package admin

import (
	"context"
	"errors"

	"postern/internal/directory"
	"postern/internal/store"
)

// TenantRequest makes a tenant.
type TenantRequest struct {
	ID   string `json:"id" pattern:"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$" patternDescription:"1 to 63 of a-z 0-9 and '-'" doc:"Chosen by the operator; it never changes."`
	Name string `json:"name,omitempty" maxLength:"200" doc:"For people; default: the id."`
}

// TenantPatch changes a tenant. What is left out stays.
type TenantPatch struct {
	Name     *string `json:"name,omitempty" minLength:"1" maxLength:"200"`
	Standing *string `json:"standing,omitempty" enum:"active,suspended" doc:"A suspended tenant's applications are refused and its users cannot sign in."`
}

// ByID is the input of a route about one row.
type ByID struct {
	ID string `path:"id" maxLength:"128"`
}

// ByIDMatch is the input of a change to one row.
type ByIDMatch struct {
	ID      string `path:"id" maxLength:"128"`
	IfMatch string `header:"If-Match" doc:"Carry the change out only if the row still has this ETag."`
}

// row is one row with its ETag.
type row[T any] struct {
	ETag string `header:"ETag"`
	Body T
}

func oneRow[T any](v T) *row[T] { return &row[T]{ETag: rowTag(v), Body: v} }

type tenantInput struct {
	IdempotencyInput
	Body TenantRequest
}

type tenantPatchInput struct {
	ByIDMatch
	Body TenantPatch
}

func (s *Server) registerTenants() {
	const tag = "directory"
	register(s, route{id: "list-tenants", method: "GET", path: "/tenants", tag: tag, summary: "List tenants"}, s.listTenants)
	register(s, route{id: "create-tenant", method: "POST", path: "/tenants", tag: tag, summary: "Create a tenant", status: 201}, s.createTenant)
	register(s, route{id: "get-tenant", method: "GET", path: "/tenants/{id}", tag: tag, summary: "Get a tenant"},
		func(ctx context.Context, c *caller, in *ByID) (*row[directory.Tenant], error) {
			t, err := s.tenant(ctx, s.Store, c, in.ID)
			if err != nil {
				return nil, err
			}
			return oneRow(t), nil
		})
	register(s, route{id: "update-tenant", method: "PATCH", path: "/tenants/{id}", tag: tag, summary: "Change a tenant",
		about: "Suspending a tenant acts on the next request of its applications."}, s.updateTenant)
	register(s, route{id: "delete-tenant", method: "DELETE", path: "/tenants/{id}", tag: tag, summary: "Delete a tenant",
		about: "With its applications, keys and subscriptions."}, s.deleteTenant)
}

// tenant reads a tenant that the caller may see.
func (s *Server) tenant(ctx context.Context, r store.Reader, c *caller, id string) (directory.Tenant, error) {
	if !c.sees(id) {
		return directory.Tenant{}, notFound("tenant", id)
	}
	t, err := r.Tenant(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return t, notFound("tenant", id)
	}
	return t, err
}

func (s *Server) listTenants(ctx context.Context, c *caller, in *PageInput) (*listed[directory.Tenant], error) {
	if c.confined() {
		t, err := s.tenant(ctx, s.Store, c, c.user.Tenant)
		if err != nil {
			return nil, err
		}
		return &listed[directory.Tenant]{Body: page[directory.Tenant]{Items: []directory.Tenant{t}}}, nil
	}
	return collect(ctx, "tenants", *in, s.Store.Tenants, func(t directory.Tenant) string { return t.ID }, nil)
}

func (s *Server) createTenant(ctx context.Context, c *caller, in *tenantInput) (*created[directory.Tenant], error) {
	t := directory.Tenant{ID: in.Body.ID, Name: in.Body.Name, Standing: directory.Active, Created: s.stamp()}
	if t.Name == "" {
		t.Name = t.ID
	}
	e := s.entry(c, "tenant.create", "tenant/"+t.ID, t.ID, in.Body)
	out, err := createOnce(ctx, s, c, in.Key, in.Body, e, t, nil, func(tx store.Tx) error {
		_, err := tx.Tenant(ctx, t.ID)
		if err := mustBeNew("tenant", t.ID, err); err != nil {
			return err
		}
		return tx.PutTenant(ctx, t)
	})
	return located(out, err, "/api/v1/tenants/", func(t directory.Tenant) string { return t.ID })
}

func (s *Server) updateTenant(ctx context.Context, c *caller, in *tenantPatchInput) (*row[directory.Tenant], error) {
	var t directory.Tenant
	err := s.update(ctx, s.entry(c, "tenant.update", "tenant/"+in.ID, in.ID, in.Body), func(tx store.Tx) (err error) {
		if t, err = s.tenant(ctx, tx, c, in.ID); err != nil {
			return err
		}
		if err := checkMatch(in.IfMatch, rowTag(t)); err != nil {
			return err
		}
		if in.Body.Name != nil {
			t.Name = *in.Body.Name
		}
		if in.Body.Standing != nil {
			t.Standing = directory.Standing(*in.Body.Standing)
		}
		return tx.PutTenant(ctx, t)
	})
	if err != nil {
		return nil, err
	}
	return oneRow(t), nil
}

func (s *Server) deleteTenant(ctx context.Context, c *caller, in *ByIDMatch) (*struct{}, error) {
	return nil, s.update(ctx, s.entry(c, "tenant.delete", "tenant/"+in.ID, in.ID, nil), func(tx store.Tx) error {
		t, err := s.tenant(ctx, tx, c, in.ID)
		if err != nil {
			return err
		}
		if err := checkMatch(in.IfMatch, rowTag(t)); err != nil {
			return err
		}
		// Users would be left behind without a tenant, which is to say as users of the platform.
		users, err := tenantUsers(ctx, tx, in.ID)
		if err != nil {
			return err
		}
		if users > 0 {
			return problem(409, "reference", "The tenant still has users.", "Delete its users first: GET /api/v1/users lists them with their tenant.")
		}
		return tx.DeleteTenant(ctx, in.ID)
	})
}

func tenantUsers(ctx context.Context, r store.Reader, tenant string) (n int, err error) {
	for after := ""; ; {
		users, err := r.Users(ctx, store.Page{After: after, Limit: 1000})
		if err != nil {
			return 0, err
		}
		for _, u := range users {
			if u.Tenant == tenant {
				n++
			}
			after = u.ID
		}
		if len(users) < 1000 {
			return n, nil
		}
	}
}

// mustBeNew turns the result of looking a new row up into what it means: nil when there is none yet.
func mustBeNew(kind, id string, err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return problem(409, "exists", "The "+kind+" "+id+" exists already.", "Choose another id, or change the one that is there with PATCH.")
}

// located adds where a created row is found, and its ETag.
func located[T any](out *created[T], err error, base string, id func(T) string) (*created[T], error) {
	if err != nil {
		return nil, err
	}
	out.Location = base + id(out.Body)
	out.ETag = rowTag(out.Body)
	return out, nil
}

// keyReused words the conflict of an idempotency key that came back with another request.
func keyReused(err error) error {
	if errors.Is(err, store.ErrConflict) {
		return problem(422, "idempotency_key_reused", "This Idempotency-Key came with another request before.", "Use a new value for every request that is not a repetition.")
	}
	return err
}
