package jose

import (
	"crypto"
	"crypto/elliptic"
	_ "crypto/sha256" // the hashes that algorithms name
	_ "crypto/sha512"
	"slices"
)

// family is the kind of key an algorithm needs.
type family uint8

const (
	symmetric family = iota + 1
	rsaPKCS1
	rsaPSS
	ecdsaCurve
	edwards
)

type algorithm struct {
	family family
	hash   crypto.Hash
	curve  elliptic.Curve // ECDSA: the one curve it is defined on (RFC 7518 section 3.4)
}

var algorithms = map[string]algorithm{
	"HS256": {symmetric, crypto.SHA256, nil}, "HS384": {symmetric, crypto.SHA384, nil}, "HS512": {symmetric, crypto.SHA512, nil},
	"RS256": {rsaPKCS1, crypto.SHA256, nil}, "RS384": {rsaPKCS1, crypto.SHA384, nil}, "RS512": {rsaPKCS1, crypto.SHA512, nil},
	"PS256": {rsaPSS, crypto.SHA256, nil}, "PS384": {rsaPSS, crypto.SHA384, nil}, "PS512": {rsaPSS, crypto.SHA512, nil},
	"ES256": {ecdsaCurve, crypto.SHA256, elliptic.P256()}, "ES384": {ecdsaCurve, crypto.SHA384, elliptic.P384()},
	"ES512": {ecdsaCurve, crypto.SHA512, elliptic.P521()},
	"EdDSA": {edwards, 0, nil}, "Ed25519": {edwards, 0, nil}, // RFC 8037, and its fully specified name of RFC 9864
}

// Asymmetric are the algorithms with which an issuer signs and others only verify, the safest default first.
var Asymmetric = []string{"RS256", "ES256", "EdDSA", "Ed25519", "PS256", "RS384", "ES384", "PS384", "RS512", "ES512", "PS512"}

// IsAsymmetric reports whether a name is one of Asymmetric.
func IsAsymmetric(alg string) bool { return slices.Contains(Asymmetric, alg) }
