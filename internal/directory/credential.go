package directory

import (
	"crypto/sha256"
	"time"
)

// CredentialKind says how a credential proves its application.
type CredentialKind string

const (
	// ClientSecret is an id and a generated secret: HTTP Basic, and the token endpoint. Only the SHA-256 of the secret is kept.
	// RATIONALE for a plain hash: the secret is generated, with 190 bits that nobody can guess; a slow hash protects secrets
	// that people choose.
	ClientSecret CredentialKind = "client_secret"
	// SharedSecret is an id and a secret that both sides compute with: signed requests. It is kept sealed.
	SharedSecret CredentialKind = "shared_secret"
	// PublicKey is an id and the public half of a key pair: signed requests, and private_key_jwt at the token endpoint.
	PublicKey CredentialKind = "public_key"
	// Certificate is a client certificate, known by its fingerprint or by a name in it.
	Certificate CredentialKind = "certificate"
)

// Credential is another way than an API key by which an application proves itself.
type Credential struct {
	ID          string         `json:"id"` // public; what callers present as user name, client id or key id
	Application string         `json:"application"`
	Kind        CredentialKind `json:"kind"`
	Name        string         `json:"name,omitempty"`
	Hash        [32]byte       `json:"-"`                    // client_secret: SHA-256 of the secret
	Secret      []byte         `json:"-"`                    // shared_secret: the secret itself; the store keeps it sealed
	PublicKey   string         `json:"public_key,omitempty"` // public_key: a JSON Web Key (RFC 7517)
	// Match is what a certificate is known by: "sha256:" and 64 hexadecimal digits of the certificate's fingerprint, or "dns:",
	// "uri:" or "email:" and a subject alternative name.
	Match   string    `json:"match,omitempty"`
	Scopes  []string  `json:"scopes,omitempty"` // what it is limited to; none listed: nothing that asks for a scope
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires,omitzero"` // zero: never
	Revoked time.Time `json:"revoked,omitzero"` // zero: not
}

// HashSecret is how a client secret is kept.
func HashSecret(text string) [32]byte { return sha256.Sum256([]byte(text)) }

// PutCredential adds a credential.
func (l *Load) PutCredential(c Credential) { l.g.putCredential(c) }

// PutCredential adds or replaces a credential.
func (ix *Index) PutCredential(c Credential) error {
	g, err := ix.loaded()
	if err == nil {
		g.putCredential(c)
	}
	return err
}

// DeleteCredential removes a credential.
func (ix *Index) DeleteCredential(id string) error {
	g, err := ix.loaded()
	if err == nil {
		g.deleteCredential(id)
	}
	return err
}

// Credential finds a credential by its id.
func (ix *Index) Credential(id string, into *Credential) (bool, error) {
	g, err := ix.loaded()
	if err != nil {
		return false, err
	}
	return g.credentials.get(id, into), nil
}

// CredentialByMatch finds the credential of a certificate.
func (ix *Index) CredentialByMatch(match string, into *Credential) (bool, error) {
	g, err := ix.loaded()
	if err != nil {
		return false, err
	}
	var id string
	if !g.matches.get(match, &id) {
		return false, nil
	}
	// Between the two look-ups the row may have changed.
	return g.credentials.get(id, into) && into.Match == match, nil
}

func (g *generation) putCredential(c Credential) {
	var old Credential
	if g.credentials.get(c.ID, &old) && old.Match != "" && old.Match != c.Match {
		g.matches.delete(old.Match)
	}
	g.credentials.put(c.ID, c)
	if c.Match != "" {
		g.matches.put(c.Match, c.ID)
	}
}

func (g *generation) deleteCredential(id string) {
	var old Credential
	if g.credentials.get(id, &old) && old.Match != "" {
		var owner string
		if g.matches.get(old.Match, &owner) && owner == id {
			g.matches.delete(old.Match)
		}
	}
	g.credentials.delete(id)
}
