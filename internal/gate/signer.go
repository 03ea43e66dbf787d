package gate

import "postern/internal/jose"

// TokenSigner has the keys of the gateway's own token endpoint. An error means that there is no key now, which is an outage.
type TokenSigner interface {
	Signer() (*jose.Signer, error) // the key in use
	JWKS() ([]byte, error)         // every key that a valid token may be signed with, as a JSON Web Key Set
}

// OwnKeys is the id of the KeySource that stands for the gateway's own keys.
const OwnKeys = "own"
