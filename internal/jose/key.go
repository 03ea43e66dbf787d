package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"

	"github.com/tidwall/gjson"
)

// Sizes of RSA keys. Larger ones than the upper bound cost more to verify than an honest issuer would ask for.
const (
	minRSABits = 2048
	maxRSABits = 8192
)

// Key is one key that verifies signatures. It never changes.
type Key struct {
	ID         string           // kid; may be empty
	Algorithm  string           // the only one it may be used with; empty: any that fits its type
	Public     crypto.PublicKey // *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey; nil for a shared secret
	Thumbprint [32]byte         // RFC 7638, SHA-256

	secret []byte
}

// errPurpose says that a key is for something else than to verify signatures, which is no flaw.
var errPurpose = errors.New("it is not meant to verify signatures")

// ParseKey reads a JSON Web Key that may be used to verify signatures. Private parts of it are passed over.
func ParseKey(jwk []byte) (*Key, error) {
	o, err := strictObject(jwk)
	if err != nil {
		return nil, fmt.Errorf("the key %w", err)
	}
	return parseKey(o)
}

func parseKey(o gjson.Result) (*Key, error) {
	if use := member(o, "use"); use.Exists() && use.String() != "sig" {
		return nil, fmt.Errorf("%w (use)", errPurpose)
	}
	if ops := member(o, "key_ops"); ops.Exists() && !lists(ops, "verify") {
		return nil, fmt.Errorf("%w (key_ops)", errPurpose)
	}
	k := &Key{ID: member(o, "kid").String(), Algorithm: member(o, "alg").String()}
	var err error
	switch kty := member(o, "kty").String(); kty {
	case "RSA":
		err = k.rsa(o)
	case "EC":
		err = k.ec(o)
	case "OKP":
		err = k.okp(o)
	case "oct":
		err = k.oct(o)
	default:
		err = fmt.Errorf("the key type %q is not supported", clip(kty))
	}
	if err != nil {
		return nil, err
	}
	if k.Algorithm != "" && !k.fits(k.Algorithm) {
		return nil, fmt.Errorf("the algorithm %q does not fit the key", clip(k.Algorithm))
	}
	return k, nil
}

func lists(a gjson.Result, want string) bool {
	for _, v := range a.Array() {
		if v.Type == gjson.String && v.Str == want {
			return true
		}
	}
	return false
}

func (k *Key) rsa(o gjson.Result) error {
	n, err := number(o, "n")
	if err != nil {
		return err
	}
	e, err := number(o, "e")
	if err != nil {
		return err
	}
	switch {
	case n.BitLen() < minRSABits:
		return fmt.Errorf("the RSA key has %d bits, fewer than %d", n.BitLen(), minRSABits)
	case n.BitLen() > maxRSABits:
		return fmt.Errorf("the RSA key has %d bits, more than %d", n.BitLen(), maxRSABits)
	case n.Bit(0) == 0 || !e.IsInt64() || e.Int64() < 3 || e.Int64() > 1<<31-1 || e.Bit(0) == 0:
		return errors.New("the RSA key is not sound")
	case roca(n):
		return errors.New("the RSA key was made by a library with the ROCA flaw (CVE-2017-15361)")
	}
	k.Public = &rsa.PublicKey{N: n, E: int(e.Int64())}
	k.Thumbprint = thumbprint(`{"e":%s,"kty":"RSA","n":%s}`, canonical(e.Bytes()), canonical(n.Bytes()))
	return nil
}

func (k *Key) ec(o gjson.Result) error {
	var curve elliptic.Curve
	crv := member(o, "crv").String()
	switch crv {
	case "P-256":
		curve = elliptic.P256()
	case "P-384":
		curve = elliptic.P384()
	case "P-521":
		curve = elliptic.P521()
	default:
		return fmt.Errorf("the curve %q is not supported", clip(crv))
	}
	size := (curve.Params().BitSize + 7) / 8
	x, errX := decode(member(o, "x").String())
	y, errY := decode(member(o, "y").String())
	if errX != nil || errY != nil || len(x) != size || len(y) != size {
		return errors.New("the coordinates of the key are not sound")
	}
	public, err := ecdsa.ParseUncompressedPublicKey(curve, append(append([]byte{4}, x...), y...))
	if err != nil {
		return errors.New("the key is no point of its curve")
	}
	k.Public = public
	k.Thumbprint = thumbprint(`{"crv":%s,"kty":"EC","x":%s,"y":%s}`, quote(crv), canonical(x), canonical(y))
	return nil
}

func (k *Key) okp(o gjson.Result) error {
	crv := member(o, "crv").String()
	x, err := decode(member(o, "x").String())
	if crv != "Ed25519" || err != nil || len(x) != ed25519.PublicKeySize {
		return fmt.Errorf("the key is no Ed25519 key (crv %q)", clip(crv))
	}
	k.Public = ed25519.PublicKey(x)
	k.Thumbprint = thumbprint(`{"crv":%s,"kty":"OKP","x":%s}`, quote(crv), canonical(x))
	return nil
}

func (k *Key) oct(o gjson.Result) error {
	b, err := decode(member(o, "k").String())
	if err != nil || len(b) < 16 {
		return errors.New("the shared secret is no base64url, or shorter than 128 bits")
	}
	k.secret = b
	k.Thumbprint = thumbprint(`{"k":%s,"kty":"oct"}`, canonical(b))
	return nil
}

func number(o gjson.Result, name string) (*big.Int, error) {
	b, err := decode(member(o, name).String())
	if err != nil || len(b) == 0 || len(b) > maxRSABits/8+1 {
		return nil, fmt.Errorf("the member %s of the key is not sound", name)
	}
	return new(big.Int).SetBytes(b), nil
}

// thumbprint is RFC 7638: the hash of the required members in their order.
func thumbprint(shape string, values ...any) [32]byte {
	return sha256.Sum256(fmt.Appendf(nil, shape, values...))
}

func canonical(b []byte) string { return quote(base64.RawURLEncoding.EncodeToString(b)) }

func quote(s string) string {
	b, _ := json.Marshal(s) // of a string it cannot fail
	return string(b)
}

// clip bounds what a stranger wrote before it stands in a message.
func clip(s string) string { return s[:min(len(s), 64)] }

// fits reports whether a key is of the type that an algorithm needs.
func (k *Key) fits(alg string) bool {
	a, ok := algorithms[alg]
	if !ok {
		return false
	}
	switch public := k.Public.(type) {
	case nil:
		return a.family == symmetric && k.secret != nil
	case *rsa.PublicKey:
		return a.family == rsaPKCS1 || a.family == rsaPSS
	case *ecdsa.PublicKey:
		return a.family == ecdsaCurve && public.Curve == a.curve
	case ed25519.PublicKey:
		return a.family == edwards
	}
	return false
}

// May reports whether the key may verify signatures of an algorithm: it fits the key's type, and is the one that the key
// is restricted to, if it is.
func (k *Key) May(alg string) bool {
	return k.fits(alg) && (k.Algorithm == "" || k.Algorithm == alg || alias(k.Algorithm) == alias(alg))
}

func alias(alg string) string {
	if alg == "Ed25519" {
		return "EdDSA"
	}
	return alg
}

// rocaPrimes are the primes of the fingerprint of Nemec et al., "The Return of Coppersmith's Attack" (2017).
var rocaPrimes = [...]int64{11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157}

// roca reports whether a modulus has the structure of flawed keys: modulo every one of the primes it is a power of 65537.
// An honest modulus is taken for one once in about 2^27.
func roca(n *big.Int) bool {
	var p, r big.Int
	for _, prime := range rocaPrimes {
		rest := r.Mod(n, p.SetInt64(prime)).Int64()
		power, found := int64(1), false
		for range prime {
			if power == rest {
				found = true
				break
			}
			power = power * 65537 % prime
		}
		if !found {
			return false
		}
	}
	return true
}
