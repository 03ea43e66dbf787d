package jose_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"postern/internal/jose"
)

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func signers(t testing.TB) []*jose.Signer {
	t.Helper()
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var out []*jose.Signer
	for _, k := range []crypto.Signer{ec, r, ed} {
		s, err := jose.NewSigner(k, "")
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
	return out
}

func TestWhatIsSignedVerifiesAndNothingElseDoes(t *testing.T) {
	all := signers(t)
	for i, s := range all {
		k, err := jose.ParseKey(s.JWK())
		if err != nil {
			t.Fatal(err)
		}
		if got := base64.RawURLEncoding.EncodeToString(k.Thumbprint[:]); got != s.ID {
			t.Errorf("%s: thumbprint %s, and the signer says %s", s.Algorithm, got, s.ID)
		}
		text, err := s.Sign("JWT", []byte(`{"sub":"ada"}`))
		if err != nil {
			t.Fatal(err)
		}
		tok, err := jose.Parse(text)
		if err != nil || tok.Verify(k) != nil || tok.Type != "JWT" || tok.KeyID != s.ID || tok.Algorithm != s.Algorithm {
			t.Fatalf("%s: %v, %+v", s.Algorithm, err, tok)
		}
		other, _ := jose.ParseKey(all[(i+1)%len(all)].JWK())
		if tok.Verify(other) == nil {
			t.Errorf("%s verifies with a key of another kind", s.Algorithm)
		}
		head, rest, _ := strings.Cut(text, ".")
		payload, sig, _ := strings.Cut(rest, ".")
		for name, forged := range map[string]string{
			"another payload": head + "." + b64(`{"sub":"eve"}`) + "." + sig,
			"no signature":    head + "." + payload + ".",
			"alg none":        b64(`{"alg":"none"}`) + "." + payload + ".",
			"alg None":        b64(`{"alg":"nOnE"}`) + "." + payload + ".",
			"HS256 instead":   b64(`{"alg":"HS256","kid":"`+s.ID+`"}`) + "." + payload + "." + sig,
			"another header":  b64(`{"alg":"`+s.Algorithm+`","kid":"x"}`) + "." + payload + "." + sig,
		} {
			tok, err := jose.Parse(forged)
			if err == nil && tok.Verify(k) == nil {
				t.Errorf("%s: a forged token (%s) verifies", s.Algorithm, name)
			}
		}
	}
}

func TestParseRefuses(t *testing.T) {
	sig := "." + b64("{}") + "." + b64("sig")
	for name, text := range map[string]string{
		"nothing": "", "one part": "ey", "two parts": "ey.ey", "four parts": b64(`{"alg":"ES256"}`) + sig + ".x",
		"a header that is no object": b64(`["alg"]`) + sig, "a header twice": b64(`{"alg":"ES256"}{}`) + sig,
		"no algorithm": b64(`{}`) + sig, "an algorithm that is no text": b64(`{"alg":1}`) + sig,
		"alg twice": b64(`{"alg":"none","alg":"ES256"}`) + sig, "alg twice, escaped": b64(`{"alg":"none","\u0061lg":"ES256"}`) + sig,
		"crit": b64(`{"alg":"ES256","crit":["exp"]}`) + sig, "b64": b64(`{"alg":"ES256","b64":false}`) + sig,
		"a line break in it": b64(`{"alg":"ES256"}`) + "\n" + sig, "padding": b64(`{"alg":"ES256"} `) + "=" + sig,
		"standard base64": b64(`{"alg":"ES256"}`) + "." + "+/+/" + ".AA", "bits left over": b64(`{"alg":"ES256"}`) + ".e31.AB",
		"not UTF-8": b64("{\"alg\":\"ES256\",\"kid\":\"\xff\"}") + sig, "a deep header": b64(`{"alg":"ES256","x":`+strings.Repeat("[", 40)+strings.Repeat("]", 40)+`}`) + sig,
		"a megabyte": b64(`{"alg":"ES256"}`) + "." + strings.Repeat("A", 1<<20) + ".AA",
	} {
		if _, err := jose.Parse(text); !errors.Is(err, jose.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, text := range map[string]string{
		"five parts": b64(`{"alg":"RSA-OAEP","enc":"A256GCM"}`) + ".a.b.c.d", "enc": b64(`{"alg":"ES256","enc":"A256GCM"}`) + sig,
		"nested": b64(`{"alg":"ES256","cty":"jwt"}`) + sig, "compressed": b64(`{"alg":"ES256","zip":"DEF"}`) + sig,
	} {
		if _, err := jose.Parse(text); !errors.Is(err, jose.ErrEncrypted) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := jose.ParseClaims([]byte(`{"sub":"a","sub":"b"}`)); !errors.Is(err, jose.ErrMalformed) {
		t.Errorf("a claim that occurs twice: %v", err)
	}
	if _, err := jose.ParseClaims([]byte(`{"a":{"sub":"a","sub":"b"}}`)); !errors.Is(err, jose.ErrMalformed) {
		t.Errorf("a claim that occurs twice below: %v", err)
	}
}

func TestKeysThatAreNotUsed(t *testing.T) {
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	n := ""
	if err == nil { // Go itself refuses it in some modes
		n = base64.RawURLEncoding.EncodeToString(weak.N.Bytes())
	}
	ec := string(signers(t)[0].JWK())
	for name, c := range map[string]struct{ jwk, want string }{
		"1024 bits":        {`{"kty":"RSA","e":"AQAB","n":"` + n + `"}`, "fewer than 2048"},
		"huge":             {`{"kty":"RSA","e":"AQAB","n":"` + base64.RawURLEncoding.EncodeToString(bytes.Repeat([]byte{0xff}, 2000)) + `"}`, "not sound"},
		"exponent 1":       {`{"kty":"RSA","e":"AQ","n":"` + base64.RawURLEncoding.EncodeToString(bytes.Repeat([]byte{0xff}, 256)) + `"}`, "not sound"},
		"for encryption":   {strings.Replace(ec, `"use":"sig"`, `"use":"enc"`, 1), "not meant"},
		"other operations": {strings.Replace(ec, `"use":"sig"`, `"key_ops":["encrypt"]`, 1), "not meant"},
		"wrong algorithm":  {strings.Replace(ec, `"ES256"`, `"RS256"`, 1), "does not fit"},
		"another curve":    {strings.Replace(ec, `"P-256"`, `"secp256k1"`, 1), "not supported"},
		"no point":         {`{"kty":"EC","crv":"P-256","x":"` + b64(strings.Repeat("1", 32)) + `","y":"` + b64(strings.Repeat("2", 32)) + `"}`, "no point"},
		"short coordinate": {`{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}`, "coordinates"},
		"X25519":           {`{"kty":"OKP","crv":"X25519","x":"` + b64(strings.Repeat("1", 32)) + `"}`, "Ed25519"},
		"short secret":     {`{"kty":"oct","k":"AAAA"}`, "128 bits"},
		"no type":          {`{}`, "not supported"},
	} {
		if name == "1024 bits" && n == "" {
			continue
		}
		if _, err := jose.ParseKey([]byte(c.jwk)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestSetPassesOverWhatIsAmbiguous(t *testing.T) {
	all := signers(t)
	a, b := string(all[0].JWK()), string(all[1].JWK())
	twice := strings.Replace(b, all[1].ID, all[0].ID, 1)
	s, err := jose.ParseSet([]byte(`{"keys":[` + a + `,` + b + `,{"kty":"oct","k":"` + b64(strings.Repeat("s", 32)) + `","kid":"hs"}]}`))
	if err != nil || len(s.Keys) != 2 || len(s.Skipped) != 1 || !strings.Contains(s.Skipped[0], "shared secret") {
		t.Fatalf("%v %+v", err, s)
	}
	if len(s.Find(all[0].ID, "ES256")) != 1 || len(s.Find(all[0].ID, "RS256")) != 0 || len(s.Find("", "RS256")) != 1 || len(s.Find("x", "ES256")) != 0 || len(s.Find("hs", "HS256")) != 0 {
		t.Error("Find finds other keys than the one that is meant")
	}
	if !s.Has(&s.Keys[1].Thumbprint) || s.Has(new([32]byte)) {
		t.Error("Has is wrong")
	}
	if s, err = jose.ParseSet([]byte(`{"keys":[` + a + `,` + twice + `]}`)); err == nil {
		t.Errorf("two keys with one id are %+v", s)
	}
	for _, bad := range []string{``, `[]`, `{}`, `{"keys":{}}`, `{"keys":[]}`, `{"keys":[1,null]}`, `{"keys":[` + strings.Repeat(`{},`, 100) + `{}]}`, `{"keys":[],"keys":[` + a + `]}`} {
		if _, err := jose.ParseSet([]byte(bad)); err == nil {
			t.Errorf("%.40s is a key set", bad)
		}
	}
}

func TestClaims(t *testing.T) {
	c, err := jose.ParseClaims([]byte(`{"sub":"ada","https://x.example/roles":["a","b"],"realm":{"roles":["c"]},"scope":"r w","n":12,"exp":1700000000.5,"bad":"soon","far":1e300,"neg":-1,"null":null}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(c.Text("sub"), c.Text("n"), c.Texts("https://x.example/roles"), c.Texts("realm.roles"), c.Words("scope"), c.Texts("n"), c.Texts("realm.none"), c.Has("null"), c.Has("scope")); got != "ada[a b] [c] [r w] [12] [] false true" {
		t.Errorf("got %s", got)
	}
	if at, there, ok := c.Time("exp"); !there || !ok || !at.Equal(time.Unix(1700000000, 5e8)) {
		t.Errorf("exp is %v %v %v", at, there, ok)
	}
	for _, name := range []string{"bad", "far", "neg", "null"} {
		if _, there, ok := c.Time(name); !there || ok {
			t.Errorf("%s is a time", name)
		}
	}
	if _, there, _ := c.Time("none"); there {
		t.Error("a claim that is not there is there")
	}
}

// FuzzParse: of all texts there is one that verifies, because signatures of Ed25519 are deterministic.
func FuzzParse(f *testing.F) {
	s, err := jose.NewSigner(ed25519.NewKeyFromSeed(make([]byte, 32)), "k")
	if err != nil {
		f.Fatal(err)
	}
	good, _ := s.Sign("JWT", []byte(`{"sub":"ada","exp":1}`))
	k, _ := jose.ParseKey(s.JWK())
	f.Add(good)
	f.Add(good + "=")
	f.Add(b64(`{"alg":"none"}`) + "." + b64("{}") + ".")
	f.Add("..")
	f.Fuzz(func(t *testing.T, text string) {
		tok, err := jose.Parse(text)
		if err != nil {
			return
		}
		if tok.Verify(k) == nil && text != good {
			t.Fatalf("forged: %q", text)
		}
		if c, err := jose.ParseClaims(tok.Payload); err == nil {
			c.Text("iss")
			c.Words("a.b.c")
			c.Time("exp")
		}
	})
}

func FuzzParseSet(f *testing.F) {
	for _, s := range signers(f) {
		f.Add([]byte(`{"keys":[` + string(s.JWK()) + `]}`))
	}
	f.Add([]byte(`{"keys":[{"kty":"oct","k":"AAAAAAAAAAAAAAAAAAAAAA"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := jose.ParseSet(b)
		if err == nil && len(s.Keys) == 0 {
			t.Fatal("a set without a key is no set")
		}
	})
}
