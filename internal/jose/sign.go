package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
)

// Signer makes tokens with one private key.
type Signer struct {
	ID        string // kid; the thumbprint of the key when it was made without one
	Algorithm string
	key       crypto.Signer
	jwk       string // the public key, canonical but for its closing brace
}

// NewSigner returns a signer for a P-256 key (ES256), an Ed25519 key (EdDSA) or an RSA key (RS256). An empty kid stands for
// the key's thumbprint (RFC 7638).
func NewSigner(key crypto.Signer, kid string) (*Signer, error) {
	s := &Signer{ID: kid, key: key}
	switch public := key.Public().(type) {
	case *ecdsa.PublicKey:
		b, err := public.Bytes()
		if err != nil || len(b) != 65 {
			return nil, errors.New("an ECDSA key must be on the curve P-256")
		}
		s.Algorithm = "ES256"
		s.jwk = fmt.Sprintf(`{"crv":"P-256","kty":"EC","x":%s,"y":%s`, canonical(b[1:33]), canonical(b[33:]))
	case ed25519.PublicKey:
		s.Algorithm = "EdDSA"
		s.jwk = fmt.Sprintf(`{"crv":"Ed25519","kty":"OKP","x":%s`, canonical(public))
	case *rsa.PublicKey:
		if public.N.BitLen() < minRSABits {
			return nil, fmt.Errorf("an RSA key needs at least %d bits", minRSABits)
		}
		s.Algorithm = "RS256"
		s.jwk = fmt.Sprintf(`{"e":%s,"kty":"RSA","n":%s`, canonical(big.NewInt(int64(public.E)).Bytes()), canonical(public.N.Bytes()))
	default:
		return nil, fmt.Errorf("a key of type %T signs no tokens", public)
	}
	if s.ID == "" {
		sum := thumbprint("%s}", s.jwk)
		s.ID = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	return s, nil
}

// JWK returns the public key as a JSON Web Key.
func (s *Signer) JWK() []byte {
	return fmt.Appendf(nil, `%s,"kid":%s,"alg":%s,"use":"sig"}`, s.jwk, quote(s.ID), quote(s.Algorithm))
}

// Sign makes a compact token with a type ("" for none) over a payload, which is not looked at.
func (s *Signer) Sign(typ string, payload []byte) (string, error) {
	head := fmt.Sprintf(`{"alg":%s,"kid":%s`, quote(s.Algorithm), quote(s.ID))
	if typ != "" {
		head += `,"typ":` + quote(typ)
	}
	signed := base64.RawURLEncoding.EncodeToString([]byte(head+"}")) + "." + base64.RawURLEncoding.EncodeToString(payload)
	sig, err := s.signature([]byte(signed))
	if err != nil {
		return "", fmt.Errorf("signing a token: %w", err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(sig), nil
}

func (s *Signer) signature(message []byte) ([]byte, error) {
	a := algorithms[s.Algorithm]
	if a.family == edwards {
		return s.key.Sign(rand.Reader, message, crypto.Hash(0))
	}
	h := a.hash.New()
	h.Write(message)
	digest := h.Sum(nil)
	if key, ok := s.key.(*ecdsa.PrivateKey); ok {
		r, v, err := ecdsa.Sign(rand.Reader, key, digest)
		if err != nil {
			return nil, err
		}
		out := make([]byte, 64)
		r.FillBytes(out[:32])
		v.FillBytes(out[32:])
		return out, nil
	}
	return s.key.Sign(rand.Reader, digest, a.hash)
}
