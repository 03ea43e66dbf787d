package calllog

import (
	"bytes"
	"net/url"
	"strings"
	"testing"

	"postern/internal/directory"
)

// keyText is a key as Postern issues it.
func keyText(t testing.TB) string {
	t.Helper()
	text, err := directory.NewKeyText(bytes.NewReader(bytes.Repeat([]byte("0123456789abcdefghijklmnop"), 40)))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestSecretNames(t *testing.T) {
	for _, n := range []string{"token", "access_token", "accessToken", "ACCESS-TOKEN", "accesstoken", "api_key", "apikey", "apiKey", "X-API-Key", "key", "KEY", "client_secret",
		"password", "newPassword", "passwd", "pwd", "X-Amz-Signature", "sig", "code", "id_token", "auth", "jwt", "X-Auth-Token", "sessionId", "sid", "X-CSRF-Token",
		"user[password]", "a.b.token", "x-functions-key", "Ocp-Apim-Subscription-Key", strings.Repeat("x", 300)} {
		if !secretName(n) {
			t.Errorf("%q is not taken for the name of a secret", n)
		}
	}
	for _, n := range []string{"", "q", "page", "keyword", "monkey", "postcode", "country_codes", "passenger", "design", "author", "limit", "X-Request-Id", "Content-Type", "monkeys", "zipcode", "compass"} {
		if secretName(n) {
			t.Errorf("%q is taken for the name of a secret", n)
		}
	}
}

func TestRedactQuery(t *testing.T) {
	key := keyText(t)
	for in, want := range map[string]string{
		"":                                       "",
		"page=2&q=shoes":                         "page=2&q=shoes",
		"token=abc":                              "token=[redacted]",
		"a=1&api_key=abc&b=2":                    "a=1&api_key=[redacted]&b=2",
		"a=1;password=x=y;b":                     "a=1;password=[redacted];b",
		"token=":                                 "token=",
		"token":                                  "token",
		"q=" + key:                               "q=[redacted]",
		"q=" + url.QueryEscape("my "+key):        "q=[redacted]",
		"q=postern%5F" + key[8:]:                 "q=[redacted]",
		"q=postern%255F" + key[8:]:               "q=[redacted]",
		"q=%zz&x=postern%5F" + key[8:]:           "q=%zz&x=[redacted]",
		key:                                      "[redacted]",
		key + "=1&a":                             "[redacted]=1&a",
		key + "=" + key:                          "[redacted]=[redacted]",
		"%74oken=abc":                            "%74oken=[redacted]",
		"q=" + key[:len(key)-1] + "!":            "q=[redacted]",
		"q=eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.": "q=[redacted]",
		"q=sk-proj-0123456789abcdefgh":           "q=[redacted]",
		"q=task-force-one-hundred-and-1":         "q=task-force-one-hundred-and-1",
		"&&a=&=b&":                               "&&a=&=b&",
	} {
		if got := redactQuery(in); got != want {
			t.Errorf("redactQuery(%q)\n got %q\nwant %q", in, got, want)
		}
	}
}

func TestRedactValue(t *testing.T) {
	key := keyText(t)
	for in, want := range map[string]string{
		"":                        "",
		"text/html; q=0.9":        "text/html; q=0.9",
		"see " + key + ", please": "see [redacted], please",
		"/a/" + key + "/b":        "/a/[redacted]/b",
		"/a/postern%5f" + key[8:]: "/a/[redacted]",
		key + key:                 "[redacted]",
		"https://x.example/cb?code=123&state=1#access_token=9&a=b": "https://x.example/cb?code=[redacted]&state=1#access_token=[redacted]&a=b",
		"https://ada:hunter2@x.example/p@th":                       "https://[redacted]@x.example/p@th",
		"what? token=1":                                            "what? token=1",
	} {
		if got := redactValue(in); got != want {
			t.Errorf("redactValue(%q)\n got %q\nwant %q", in, got, want)
		}
	}
}

func FuzzRedact(f *testing.F) {
	key := keyText(f)
	f.Add("", "")
	f.Add("a=1&", "&b=2")
	f.Add("%zz%", ";=&;")
	f.Add("https://u:p@h/?", "#x")
	f.Add("postern_postern_", "eyJ.sk-")
	f.Fuzz(func(t *testing.T, before, after string) {
		for _, s := range []string{before + key + after, before + url.QueryEscape(key) + after} {
			for name, got := range map[string]string{"query": redactQuery(s), "text": redactText(s), "value": redactValue(s)} {
				if strings.Contains(got, key) || strings.Contains(decoded(got), key) {
					t.Errorf("%s: the key is still there: %q became %q", name, s, got)
				}
			}
		}
		if !holdsSecret(before) && redactText(before) != redactUserinfo(before) {
			t.Errorf("%q holds no secret and was changed", before)
		}
	})
}
