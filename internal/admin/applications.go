package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"postern/internal/directory"
	"postern/internal/store"
)

// ApplicationRequest makes an application.
type ApplicationRequest struct {
	ID     string   `json:"id" pattern:"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$" patternDescription:"1 to 63 of a-z 0-9 and '-'" doc:"Unique over all tenants; it never changes."`
	Tenant string   `json:"tenant,omitempty" maxLength:"63" doc:"Default: the tenant of the caller."`
	Name   string   `json:"name,omitempty" maxLength:"200" doc:"For people; default: the id."`
	Owner  string   `json:"owner,omitempty" maxLength:"128" doc:"Id of the user who owns it."`
	Roles  []string `json:"roles,omitempty" maxItems:"100" doc:"Names of roles in the configuration."`
}

// ApplicationPatch changes an application. What is left out stays.
type ApplicationPatch struct {
	Name     *string   `json:"name,omitempty" minLength:"1" maxLength:"200"`
	Owner    *string   `json:"owner,omitempty" maxLength:"128"`
	Standing *string   `json:"standing,omitempty" enum:"active,suspended"`
	Roles    *[]string `json:"roles,omitempty" maxItems:"100" doc:"The whole new list."`
}

type applicationsInput struct {
	PageInput
	Tenant string `query:"tenant" maxLength:"63" doc:"Only applications of this tenant."`
}

type applicationInput struct {
	IdempotencyInput
	Body ApplicationRequest
}

type applicationPatchInput struct {
	ByIDMatch
	Body ApplicationPatch
}

func (s *Server) registerApplications() {
	const tag = "directory"
	register(s, route{id: "list-applications", method: "GET", path: "/applications", tag: tag, summary: "List applications"}, s.listApplications)
	register(s, route{id: "create-application", method: "POST", path: "/applications", tag: tag, summary: "Create an application", status: 201}, s.createApplication)
	register(s, route{id: "get-application", method: "GET", path: "/applications/{id}", tag: tag, summary: "Get an application"},
		func(ctx context.Context, c *caller, in *ByID) (*row[directory.Application], error) {
			a, err := s.application(ctx, s.Store, c, in.ID)
			if err != nil {
				return nil, err
			}
			return oneRow(a), nil
		})
	register(s, route{id: "update-application", method: "PATCH", path: "/applications/{id}", tag: tag, summary: "Change an application",
		about: "Roles and standing act on the next request."}, s.updateApplication)
	register(s, route{id: "delete-application", method: "DELETE", path: "/applications/{id}", tag: tag, summary: "Delete an application",
		about: "With its keys and subscriptions."}, s.deleteApplication)
}

// application reads an application that the caller may see.
func (s *Server) application(ctx context.Context, r store.Reader, c *caller, id string) (directory.Application, error) {
	a, err := r.Application(ctx, id)
	if errors.Is(err, store.ErrNotFound) || err == nil && !c.sees(a.Tenant) {
		return directory.Application{}, notFound("application", id)
	}
	a.Roles = emptyList(a.Roles)
	return a, err
}

func (s *Server) listApplications(ctx context.Context, c *caller, in *applicationsInput) (*listed[directory.Application], error) {
	if !c.sees(in.Tenant) && in.Tenant != "" {
		return nil, notFound("tenant", in.Tenant)
	}
	if c.confined() {
		in.Tenant = c.user.Tenant
	}
	return collect(ctx, "applications", in.PageInput, func(ctx context.Context, p store.Page) ([]directory.Application, error) {
		return s.Store.Applications(ctx, in.Tenant, p)
	}, func(a directory.Application) string { return a.ID }, nil)
}

func (s *Server) createApplication(ctx context.Context, c *caller, in *applicationInput) (*created[directory.Application], error) {
	b := in.Body
	if b.Tenant == "" {
		b.Tenant = c.user.Tenant
	}
	if b.Tenant == "" {
		return nil, invalid("/tenant", "The application needs a tenant.", "Add tenant; GET /api/v1/tenants lists them.")
	}
	if err := s.knownRoles("/roles", b.Roles); err != nil {
		return nil, err
	}
	a := directory.Application{ID: b.ID, Tenant: b.Tenant, Name: b.Name, Owner: b.Owner, Standing: directory.Active, Roles: emptyList(b.Roles), Created: s.stamp()}
	if a.Name == "" {
		a.Name = a.ID
	}
	e := s.entry(c, "application.create", "application/"+a.ID, a.Tenant, b)
	out, err := createOnce(ctx, s, c, in.Key, in.Body, e, a, nil, func(tx store.Tx) error {
		if _, err := s.tenant(ctx, tx, c, a.Tenant); err != nil {
			return asReference(err, "/tenant", "There is no tenant \""+a.Tenant+"\".", "Create the tenant first, or correct the id.")
		}
		if err := s.ownerExists(ctx, tx, c, a); err != nil {
			return err
		}
		_, err := tx.Application(ctx, a.ID)
		if err := mustBeNew("application", a.ID, err); err != nil {
			return err
		}
		return tx.PutApplication(ctx, a)
	})
	return located(out, err, "/api/v1/applications/", func(a directory.Application) string { return a.ID })
}

func (s *Server) updateApplication(ctx context.Context, c *caller, in *applicationPatchInput) (*row[directory.Application], error) {
	b := in.Body
	if b.Roles != nil {
		if err := s.knownRoles("/roles", *b.Roles); err != nil {
			return nil, err
		}
	}
	a, err := s.application(ctx, s.Store, c, in.ID)
	if err != nil {
		return nil, err
	}
	err = s.update(ctx, s.entry(c, "application.update", "application/"+a.ID, a.Tenant, b), func(tx store.Tx) (err error) {
		if a, err = s.application(ctx, tx, c, in.ID); err != nil {
			return err
		}
		if err := checkMatch(in.IfMatch, rowTag(a)); err != nil {
			return err
		}
		if b.Name != nil {
			a.Name = *b.Name
		}
		if b.Standing != nil {
			a.Standing = directory.Standing(*b.Standing)
		}
		if b.Roles != nil {
			a.Roles = emptyList(*b.Roles)
		}
		if b.Owner != nil {
			a.Owner = *b.Owner
			if err := s.ownerExists(ctx, tx, c, a); err != nil {
				return err
			}
		}
		return tx.PutApplication(ctx, a)
	})
	if err != nil {
		return nil, err
	}
	return oneRow(a), nil
}

func (s *Server) deleteApplication(ctx context.Context, c *caller, in *ByIDMatch) (*struct{}, error) {
	a, err := s.application(ctx, s.Store, c, in.ID)
	if err != nil {
		return nil, err
	}
	return nil, s.update(ctx, s.entry(c, "application.delete", "application/"+a.ID, a.Tenant, nil), func(tx store.Tx) error {
		a, err := s.application(ctx, tx, c, in.ID)
		if err != nil {
			return err
		}
		if err := checkMatch(in.IfMatch, rowTag(a)); err != nil {
			return err
		}
		return tx.DeleteApplication(ctx, a.ID)
	})
}

// ownerExists checks the owner of an application: a user of its tenant, or of the platform.
func (s *Server) ownerExists(ctx context.Context, r store.Reader, c *caller, a directory.Application) error {
	if a.Owner == "" {
		return nil
	}
	u, err := r.User(ctx, a.Owner)
	if errors.Is(err, store.ErrNotFound) || err == nil && (!c.sees(u.Tenant) || u.Tenant != "" && u.Tenant != a.Tenant) {
		return invalid("/owner", fmt.Sprintf("There is no user %q in tenant %q.", a.Owner, a.Tenant), "GET /api/v1/users lists them.")
	}
	return err
}

// knownRoles refuses roles that the running configuration does not have: they would grant nothing, in silence.
func (s *Server) knownRoles(pointer string, names []string) error {
	doc, _, generation := s.Config.Current()
	for i, n := range names {
		if doc != nil {
			if _, ok := doc.Roles[n]; ok {
				continue
			}
		}
		var known []string
		if doc != nil {
			for r := range doc.Roles {
				known = append(known, r)
			}
		}
		slices.Sort(known)
		return invalid(fmt.Sprintf("%s/%d", pointer, i), fmt.Sprintf("The configuration (generation %d) has no role %q.", generation, n),
			"Add the role to the configuration, or use one of: "+listOr(known[:min(20, len(known))], "none yet")+".")
	}
	return nil
}

// asReference words a missing row that a new one needs.
func asReference(err error, pointer, message, remedy string) error {
	var p *Problem
	if errors.As(err, &p) && p.Status == 404 {
		return invalid(pointer, message, strings.TrimSpace(remedy))
	}
	return err
}
