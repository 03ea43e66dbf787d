package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rsa"
	"errors"
	"math/big"
	"strings"

	"github.com/tidwall/gjson"
)

// MaxToken bounds a token in bytes. Identity providers stay well below it, because header fields are bounded too.
const MaxToken = 16 << 10

// Token is a signed token that was taken apart. Nothing in it can be believed before Verify returned nil.
type Token struct {
	Algorithm string // alg
	KeyID     string // kid; may be empty
	Type      string // typ; may be empty
	Payload   []byte

	signed    string
	signature []byte
}

// Faults of Parse.
var (
	// ErrMalformed says that the text is no signed token in compact form. It is wrapped with what is wrong.
	ErrMalformed = errors.New("the token is malformed")
	// ErrEncrypted says that the token is encrypted (a JWE), or that another token is nested in it.
	ErrEncrypted = errors.New("the token is encrypted or nested")
)

type malformed string

func (m malformed) Error() string { return ErrMalformed.Error() + ": " + string(m) }
func (malformed) Unwrap() error   { return ErrMalformed }

// LooksLikeToken reports whether a text has the outer form of a compact token: it begins like a JSON object in base64url
// and has two dots. It tells tokens from API keys and opaque tokens before either is looked at.
func LooksLikeToken(s string) bool { return strings.HasPrefix(s, "ey") && strings.Count(s, ".") >= 2 }

// Parse takes a compact token apart. The payload is any bytes; see Claims for tokens whose payload is a JSON object.
func Parse(compact string) (*Token, error) {
	if len(compact) > MaxToken {
		return nil, malformed("it is longer than 16 KiB")
	}
	head, rest, ok := strings.Cut(compact, ".")
	payload, sig, more := strings.Cut(rest, ".")
	switch {
	case !ok || !more:
		return nil, malformed("it does not have three parts joined by dots")
	case strings.Count(sig, ".") == 2:
		return nil, ErrEncrypted
	case strings.Contains(sig, "."):
		return nil, malformed("it does not have three parts joined by dots")
	}
	rawHeader, err := decode(head)
	if err != nil {
		return nil, malformed("the header " + err.Error())
	}
	o, err := strictObject(rawHeader)
	if err != nil {
		return nil, malformed("the header " + err.Error())
	}
	t := &Token{signed: compact[:len(head)+1+len(payload)]}
	for _, f := range []struct {
		name string
		into *string
	}{{"alg", &t.Algorithm}, {"kid", &t.KeyID}, {"typ", &t.Type}} {
		v := member(o, f.name)
		if v.Exists() && v.Type != gjson.String {
			return nil, malformed("the header member " + f.name + " is no text")
		}
		*f.into = v.Str
	}
	switch cty := member(o, "cty").String(); {
	case t.Algorithm == "":
		return nil, malformed("the header names no algorithm")
	case member(o, "crit").Exists():
		return nil, malformed("the header has critical extensions (crit), of which none is known here")
	case member(o, "b64").Exists():
		return nil, malformed("the payload is not encoded (b64)")
	case member(o, "enc").Exists() || member(o, "zip").Exists() || strings.EqualFold(cty, "JWT"):
		return nil, ErrEncrypted
	}
	if t.Payload, err = decode(payload); err != nil {
		return nil, malformed("the payload " + err.Error())
	}
	if t.signature, err = decode(sig); err != nil {
		return nil, malformed("the signature " + err.Error())
	}
	return t, nil
}

// ErrSignature says that a signature does not verify.
var ErrSignature = errors.New("the signature does not verify")

// Verify checks the signature with a key. The caller has checked that it accepts t.Algorithm; Verify checks that the key may
// be used with it.
func (t *Token) Verify(k *Key) error {
	if !k.May(t.Algorithm) || !VerifyBytes(k, t.Algorithm, []byte(t.signed), t.signature) {
		return ErrSignature
	}
	return nil
}

// VerifyBytes reports whether a signature over message verifies with a key and an algorithm, which the key must fit. ECDSA
// signatures are the two numbers one after the other (RFC 7518 section 3.4).
func VerifyBytes(k *Key, alg string, message, signature []byte) bool {
	a := algorithms[alg]
	if !k.fits(alg) {
		return false
	}
	if a.family == edwards {
		return ed25519.Verify(k.Public.(ed25519.PublicKey), message, signature)
	}
	if a.family == symmetric {
		mac := hmac.New(a.hash.New, k.secret)
		mac.Write(message)
		return len(k.secret) >= a.hash.Size() && hmac.Equal(mac.Sum(nil), signature)
	}
	h := a.hash.New()
	h.Write(message)
	return verifyDigest(k.Public, a, h.Sum(nil), signature)
}

func verifyDigest(public crypto.PublicKey, a algorithm, digest, signature []byte) bool {
	switch a.family {
	case rsaPKCS1:
		return rsa.VerifyPKCS1v15(public.(*rsa.PublicKey), a.hash, digest, signature) == nil
	case rsaPSS:
		// RFC 7518 section 3.5: the salt is as long as the hash.
		return rsa.VerifyPSS(public.(*rsa.PublicKey), a.hash, digest, signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
	case ecdsaCurve:
		key := public.(*ecdsa.PublicKey)
		size := (key.Params().BitSize + 7) / 8
		if len(signature) != 2*size {
			return false
		}
		return ecdsa.Verify(key, digest, new(big.Int).SetBytes(signature[:size]), new(big.Int).SetBytes(signature[size:]))
	}
	return false
}
