package admin

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"strings"
	"time"

	"postern/internal/directory"
	"postern/internal/jose"
	"postern/internal/store"
)

// CredentialRequest makes a credential other than an API key.
type CredentialRequest struct {
	Kind      directory.CredentialKind `json:"kind" enum:"client_secret,shared_secret,public_key,certificate" doc:"client_secret: HTTP Basic and the token endpoint. shared_secret: signed requests. public_key: requests and assertions signed with a private key. certificate: client certificates."`
	Name      string                   `json:"name,omitempty" maxLength:"200" doc:"For people."`
	Scopes    []string                 `json:"scopes,omitempty" maxItems:"100" doc:"What it is limited to. Empty: nothing that asks for a scope; at the token endpoint no scope can be had."`
	PublicKey string                   `json:"public_key,omitempty" maxLength:"8192" doc:"public_key: a JSON Web Key, such as {\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":…}."`
	Match     string                   `json:"match,omitempty" maxLength:"512" doc:"certificate: sha256:<fingerprint in hexadecimal>, or dns:, uri: or email: and a subject alternative name."`
	Expires   time.Time                `json:"expires,omitzero" required:"false" doc:"When it ends. Missing: never."`
}

// Credential is a credential as it is listed.
type Credential struct {
	directory.Credential
	State string `json:"state" enum:"active,expired,revoked"`
}

// NewCredential is a credential with its secret, which is shown this once.
type NewCredential struct {
	Credential Credential `json:"credential"`
	Secret     string     `json:"secret,omitempty" doc:"It is shown in this answer only. The caller presents it with the credential's id."`
}

type credentialInput struct {
	ID string `path:"id" maxLength:"128"`
	IdempotencyInput
	Body CredentialRequest
}

func (s *Server) registerCredentials() {
	const tag = "directory"
	register(s, route{id: "list-application-credentials", method: "GET", path: "/applications/{id}/credentials", tag: tag, summary: "List the credentials of an application other than API keys"}, s.listCredentials)
	register(s, route{id: "create-credential", method: "POST", path: "/applications/{id}/credentials", tag: tag, summary: "Create a credential", status: 201,
		about: "The answer to client_secret and shared_secret holds the secret, which is shown this once."}, s.createCredential)
	register(s, route{id: "get-credential", method: "GET", path: "/credentials/{id}", tag: tag, summary: "Get a credential"},
		func(ctx context.Context, c *caller, in *ByID) (*row[Credential], error) {
			k, _, err := s.credential(ctx, s.Store, c, in.ID)
			if err != nil {
				return nil, err
			}
			return oneRow(s.credentialView(k)), nil
		})
	register(s, route{id: "revoke-credential", method: "DELETE", path: "/credentials/{id}", tag: tag, summary: "Revoke a credential", status: 200,
		about: "It acts on the next request, on every node within a second. The row stays, so that callers are told that it was revoked."}, s.revokeCredential)
}

func (s *Server) credentialView(c directory.Credential) Credential {
	now, state := s.Now(), "active"
	switch {
	case !c.Revoked.IsZero() && !c.Revoked.After(now):
		state = "revoked"
	case !c.Expires.IsZero() && !c.Expires.After(now):
		state = "expired"
	}
	c.Secret = nil // it is not written in JSON either
	return Credential{Credential: c, State: state}
}

// credential reads a credential that the caller may see, and the application it belongs to.
func (s *Server) credential(ctx context.Context, r store.Reader, c *caller, id string) (directory.Credential, directory.Application, error) {
	k, err := r.Credential(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return k, directory.Application{}, notFound("credential", id)
	}
	if err != nil {
		return k, directory.Application{}, err
	}
	a, err := r.Application(ctx, k.Application)
	if errors.Is(err, store.ErrNotFound) || err == nil && !c.sees(a.Tenant) {
		return directory.Credential{}, directory.Application{}, notFound("credential", id)
	}
	return k, a, err
}

func (s *Server) listCredentials(ctx context.Context, c *caller, in *applicationKeysInput) (*listed[Credential], error) {
	a, err := s.application(ctx, s.Store, c, in.ID)
	if err != nil {
		return nil, err
	}
	return collect(ctx, "credentials", in.PageInput, func(ctx context.Context, p store.Page) ([]Credential, error) {
		rows, err := s.Store.Credentials(ctx, a.ID, p)
		out := make([]Credential, len(rows))
		for i, k := range rows {
			out[i] = s.credentialView(k)
		}
		return out, err
	}, func(k Credential) string { return k.ID }, nil)
}

func (s *Server) createCredential(ctx context.Context, c *caller, in *credentialInput) (*created[NewCredential], error) {
	b := in.Body
	now := s.stamp()
	if err := checkScopes(b.Scopes); err != nil {
		return nil, err
	}
	if err := checkExpires(b.Expires, now); err != nil {
		return nil, err
	}
	a, err := s.application(ctx, s.Store, c, in.ID)
	if err != nil {
		return nil, err
	}
	k := directory.Credential{ID: newID("c"), Application: a.ID, Kind: b.Kind, Name: b.Name, Scopes: b.Scopes, Created: now, Expires: optionalStamp(b.Expires)}
	secret, err := fillCredential(&k, b)
	if err != nil {
		return nil, err
	}
	e := s.entry(c, "credential.create", "credential/"+k.ID, a.Tenant, struct {
		Application string `json:"application"`
		CredentialRequest
	}{a.ID, b})
	out, err := createOnce(ctx, s, c, in.Key, b, e, NewCredential{s.credentialView(k), secret}, func(n NewCredential) NewCredential { n.Secret = ""; return n }, func(tx store.Tx) error {
		if _, err := s.application(ctx, tx, c, a.ID); err != nil {
			return err
		}
		err := tx.PutCredential(ctx, k)
		if errors.Is(err, store.ErrConflict) {
			return problem(409, "certificate_taken", "Another credential has this certificate or name already.", "Revoke that one first, or use the fingerprint of another certificate.")
		}
		return err
	})
	out, err = located(out, err, "/api/v1/credentials/", func(n NewCredential) string { return n.Credential.ID })
	if err == nil {
		out.ETag = rowTag(out.Body.Credential)
	}
	return out, err
}

// fillCredential makes or checks what proves the application. Secrets have the form of API keys, so that everything that
// keeps keys out of logs and records keeps them out too.
func fillCredential(k *directory.Credential, b CredentialRequest) (secret string, err error) {
	if (b.PublicKey != "") != (b.Kind == directory.PublicKey) {
		return "", invalid("/public_key", "A public key belongs to the kind public_key, and to no other.", "Send public_key with kind public_key only.")
	}
	if (b.Match != "") != (b.Kind == directory.Certificate) {
		return "", invalid("/match", "A match belongs to the kind certificate, and to no other.", "Send match with kind certificate only.")
	}
	switch b.Kind {
	case directory.PublicKey:
		key, err := jose.ParseKey([]byte(b.PublicKey))
		if err == nil && key.Public == nil {
			err = errors.New("it is a shared secret")
		}
		if err != nil {
			return "", invalid("/public_key", "The key cannot be used: "+err.Error()+".", "Send the public key as a JSON Web Key: Ed25519, P-256 or RSA with at least 2048 bits.")
		}
		if strings.Contains(b.PublicKey, `"d"`) {
			return "", invalid("/public_key", "This is a private key.", "Make a new key pair, since this one has been sent, and send its public half only.")
		}
		k.PublicKey = b.PublicKey
	case directory.Certificate:
		if k.Match, err = canonicalMatch(b.Match); err != nil {
			return "", err
		}
	case directory.ClientSecret, directory.SharedSecret:
		if secret, err = directory.NewKeyText(rand.Reader); err != nil {
			return "", err
		}
		if b.Kind == directory.SharedSecret {
			k.Secret = []byte(secret)
		} else {
			k.Hash = directory.HashSecret(secret)
		}
	}
	return secret, nil
}

func canonicalMatch(s string) (string, error) {
	kind, value, _ := strings.Cut(s, ":")
	switch kind {
	case "sha256":
		value = strings.ToLower(strings.ReplaceAll(value, ":", ""))
		if b, err := hex.DecodeString(value); err == nil && len(b) == 32 {
			return "sha256:" + value, nil
		}
	case "dns", "email":
		if value != "" && !strings.ContainsAny(value, " \t*") {
			return kind + ":" + strings.ToLower(value), nil
		}
	case "uri":
		if strings.Contains(value, ":") {
			return s, nil
		}
	}
	return "", invalid("/match", "This matches no certificate.", "Write sha256: and the 64 hexadecimal digits of its fingerprint, or dns:, uri: or email: and a subject alternative name, without wildcards.")
}

func (s *Server) revokeCredential(ctx context.Context, c *caller, in *ByIDMatch) (*row[Credential], error) {
	k, a, err := s.credential(ctx, s.Store, c, in.ID)
	if err != nil {
		return nil, err
	}
	now := s.stamp()
	err = s.update(ctx, s.entry(c, "credential.revoke", "credential/"+k.ID, a.Tenant, nil), func(tx store.Tx) (err error) {
		if k, _, err = s.credential(ctx, tx, c, in.ID); err != nil {
			return err
		}
		if err := checkMatch(in.IfMatch, rowTag(s.credentialView(k))); err != nil {
			return err
		}
		if k.Revoked.IsZero() || k.Revoked.After(now) {
			k.Revoked = now
		}
		return tx.PutCredential(ctx, k)
	})
	if err != nil {
		return nil, err
	}
	return oneRow(s.credentialView(k)), nil
}
