package admin_test

import (
	"strings"
	"testing"

	"postern/internal/directory"
)

func TestACredentialLivesAndEnds(t *testing.T) {
	w := populated(t)
	w.post(w.boot, "/api/v1/applications", map[string]any{"id": "shop", "tenant": "acme"}).want(201)
	const list = "/api/v1/applications/shop/credentials"
	for kind, body := range map[string]map[string]any{
		"client_secret": {"scopes": []string{"orders:read"}},
		"shared_secret": {},
		"public_key":    {"public_key": `{"kty":"OKP","crv":"Ed25519","x":"JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs"}`},
		"certificate":   {"match": "sha256:AB" + strings.Repeat(":00", 31)},
	} {
		body["kind"] = kind
		made := w.post(w.boot, list, body).want(201)
		secret, id := made.text("secret"), made.text("credential", "id")
		if directory.LooksLikeKey(secret) != strings.HasSuffix(kind, "_secret") {
			t.Errorf("%s: the secret is %q", kind, secret)
		}
		got := w.get(w.boot, "/api/v1/credentials/"+id).want(200)
		if got.text("kind") != kind || got.text("state") != "active" || secret != "" && strings.Contains(string(got.body), secret) {
			t.Errorf("%s: %s", kind, got.body)
		}
		if gone := w.do(w.boot, "DELETE", "/api/v1/credentials/"+id, nil).want(200); gone.text("state") != "revoked" {
			t.Errorf("%s: %s", kind, gone.body)
		}
	}
	if n := len(w.get(w.boot, list).want(200).items("id")); n != 4 {
		t.Errorf("%d credentials are listed", n)
	}
	if m := w.get(w.boot, list).items("match"); !strings.Contains(strings.Join(m, " "), "sha256:ab00") {
		t.Errorf("matches %v", m)
	}
	for name, body := range map[string]map[string]any{
		"no kind":             {},
		"another kind":        {"kind": "password"},
		"a key for a secret":  {"kind": "client_secret", "public_key": "{}"},
		"no key":              {"kind": "public_key"},
		"no JSON":             {"kind": "public_key", "public_key": "ssh-rsa AAAA"},
		"a shared secret":     {"kind": "public_key", "public_key": `{"kty":"oct","k":"AAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`},
		"a private key":       {"kind": "public_key", "public_key": `{"kty":"OKP","crv":"Ed25519","d":"x","x":"JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs"}`},
		"no match":            {"kind": "certificate"},
		"a wildcard":          {"kind": "certificate", "match": "dns:*.example"},
		"a short fingerprint": {"kind": "certificate", "match": "sha256:00"},
		"a bad scope":         {"kind": "client_secret", "scopes": []string{"a b"}},
	} {
		if a := w.post(w.boot, list, body); a.status != 422 {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	w.post(w.boot, list, map[string]any{"kind": "certificate", "match": "dns:a.example"}).want(201)
	w.post(w.boot, list, map[string]any{"kind": "certificate", "match": "dns:A.example"}).refused(409, "certificate_taken")
	w.get(w.boot, "/api/v1/credentials/c_none").refused(404, "not_found")
}
