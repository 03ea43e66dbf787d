package jose_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"postern/internal/jose"
)

// deviations are the vectors whose verdict differs, by file and number, each with its reason.
var deviations = map[string]map[int]string{"json_web_signature_test.json": {
	346: "the key is restricted to PS256 and the token uses PS384: RFC 7517 section 4.4 ties a key to its alg",
	350: "as 346",
	347: "the key names the algorithm ES521, which does not exist: it is ES512",
	351: "as 347",
	372: "a character outside the base64url alphabet is refused (RFC 7515 section 2), not passed over",
	373: "as 372",
	367: "the token is, byte for byte, that of the valid vector 357: whatever was wrong with it is not in the file",
	370: "as 367",
}}

// TestWycheproof runs Project Wycheproof's JOSE vectors from the folder in POSTERN_VECTORS/jose. Without the variable it is
// skipped; with it, a missing file fails.
func TestWycheproof(t *testing.T) {
	folder := os.Getenv("POSTERN_VECTORS")
	if folder == "" {
		t.Skip("POSTERN_VECTORS does not name the folder with the vectors")
	}
	for _, file := range []string{"json_web_signature_test.json", "json_web_key_test.json", "json_web_crypto_test.json", "json_web_encryption_test.json"} {
		b, err := os.ReadFile(filepath.Join(folder, "jose", file))
		if err != nil {
			t.Fatal(err)
		}
		var doc struct {
			NumberOfTests int
			TestGroups    []struct {
				Comment         string
				Private, Public json.RawMessage
				Tests           []struct {
					TcID             int
					Comment          string
					JWS, JWE, Result json.RawMessage
				}
			}
		}
		if err := json.Unmarshal(b, &doc); err != nil {
			t.Fatal(err)
		}
		agreed, refusedJWE, accepted := 0, 0, 0
		for _, g := range doc.TestGroups {
			valid := map[string]bool{} // tokens of this group that are accepted by right
			for _, v := range g.Tests {
				valid[text(v.JWS)] = valid[text(v.JWS)] || text(v.Result) == "valid"
			}
			for _, v := range g.Tests {
				result := text(v.Result)
				if v.JWE != nil {
					// Encrypted tokens are not supported: each has to be refused, valid or not.
					if verifies(text(v.JWE), g.Public, g.Private) == nil {
						t.Errorf("%s %d (%s): an encrypted token was accepted", file, v.TcID, v.Comment)
					}
					refusedJWE++
					continue
				}
				err := verifies(text(v.JWS), g.Public, g.Private)
				if (err == nil) == (result == "valid") {
					agreed++
					if err == nil {
						accepted++
					}
					continue
				}
				if why := deviations[file][v.TcID]; why != "" && (result == "valid" || valid[text(v.JWS)]) {
					continue
				}
				t.Errorf("%s %d (%s, %s): want %s, got %v", file, v.TcID, g.Comment, v.Comment, result, err)
			}
		}
		t.Logf("%s: %d signed vectors agreed (%d of them accepted), %d deviate, %d encrypted ones refused", file, agreed, accepted, len(deviations[file]), refusedJWE)
	}
}

// text is a vector's token: a string, or JSON serialization as it stands.
func text(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	return string(raw)
}

// verifies does what the gate does, without claims: parse, find the keys, verify.
func verifies(token string, public, private json.RawMessage) error {
	key := public
	if key == nil {
		key = private
	}
	var wrapped struct{ Keys json.RawMessage }
	_ = json.Unmarshal(key, &wrapped)
	set := &jose.Set{}
	if wrapped.Keys != nil {
		s, err := jose.ParseSet(key)
		if err != nil {
			return err
		}
		set = s
	} else {
		k, err := jose.ParseKey(key)
		if err != nil {
			return err
		}
		set.Keys = []*jose.Key{k}
	}
	t, err := jose.Parse(token)
	if err != nil {
		return err
	}
	err = jose.ErrSignature
	for _, k := range set.Find(t.KeyID, t.Algorithm) {
		if err = t.Verify(k); err == nil {
			return nil
		}
	}
	return err
}
