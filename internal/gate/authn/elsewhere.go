package authn

import (
	"context"
	"encoding/base64"
	"net/url"
	"strings"
	"time"

	"postern/internal/directory"
	"postern/internal/gate"
	"postern/internal/header"
)

const (
	// bodyBytes bounds how much of a body is searched, and which bodies are: only those whose whole length is known and
	// that small, which arrive together with the header.
	bodyBytes = 4 << 10
	// bodyWait bounds how long a refusal waits for such a body, if the body cannot say what is here already.
	bodyWait = 250 * time.Millisecond
	// nameBytes bounds the caller's own names that are repeated; it is shorter than a key, so that none fits.
	nameBytes = 32
)

// around says what surrounds the key in an accepted place, or "" when the text stands alone. It looks for the mistakes
// that copying makes: quotes, a scheme written twice, other text before or behind.
func around(text string) string {
	if directory.HasKeyForm(text) {
		return ""
	}
	if _, ok := bearerToken(text); ok {
		return "the word Bearer in front of the key once too often"
	}
	switch text[0] {
	case '"', '\'', '`', '<', '{':
		return "quotes or brackets around the key"
	}
	if directory.FindKey(text) >= 0 {
		return "other characters around the key"
	}
	return ""
}

// elsewhere searches the rest of the request for something of the form of a key and names the place, never the key. It
// runs only on requests that are refused anyway, and its cost is bounded by the size of the header plus bodyBytes.
func (g *apiKey) elsewhere(ctx context.Context, x *gate.Exchange) string {
	for i := range x.Header {
		f := &x.Header[i]
		if place := inField(f.Name, f.Value); place != "" {
			return place
		}
	}
	if at, in := findEncoded(x.RawQuery); at >= 0 {
		name := in[:at]
		name = name[strings.LastIndexByte(name, '&')+1:]
		if name, ok := strings.CutSuffix(name, "="); ok && sayable(name) {
			return "the query string, as " + strings.Clone(name)
		}
		return "the query string"
	}
	if at, _ := findEncoded(x.RawPath); at >= 0 {
		return "the path"
	}
	if inBody(ctx, x) {
		return "the body"
	}
	return ""
}

func inField(name, value string) string {
	if header.EqualFold(name, authorization) {
		scheme, rest, _ := strings.Cut(value, " ")
		switch {
		case header.EqualFold(scheme, "Basic"):
			plain, err := base64.StdEncoding.DecodeString(strings.Trim(rest, " \t"))
			if err == nil && directory.FindKey(string(plain)) >= 0 {
				return "Authorization: Basic"
			}
		case directory.FindKey(value) < 0:
		case directory.FindKey(scheme) >= 0:
			return "Authorization without the word Bearer"
		case header.EqualFold(scheme, "Bearer"):
			return "Authorization: Bearer"
		default:
			return "Authorization with another scheme"
		}
		return ""
	}
	if directory.FindKey(value) < 0 {
		return ""
	}
	switch {
	case header.EqualFold(name, "Cookie"):
		return "a cookie"
	case sayable(name):
		return "the header " + strings.Clone(name)
	}
	return "another header"
}

// findEncoded finds a key in part of a request-target, also when its underscore was percent-encoded. It returns the text
// it was found in, which is decoded then.
func findEncoded(s string) (at int, in string) {
	if at = directory.FindKey(s); at >= 0 || strings.IndexByte(s, '%') < 0 {
		return at, s
	}
	plain, err := url.PathUnescape(s)
	if err != nil {
		return -1, s
	}
	return directory.FindKey(plain), plain
}

// inBody looks into a small JSON or form body. It does not ask a client that waits for 100 Continue to send one, and a
// body that does not come soon is left unread: then the credential is called missing, which is as true.
func inBody(ctx context.Context, x *gate.Exchange) bool {
	n := x.Body.Length()
	if n <= 0 || n > bodyBytes || x.Header.Has("Expect") || !searchable(x.Header.Get("Content-Type")) {
		return false
	}
	if a, ok := x.Body.(gate.Arrived); ok {
		b, _ := a.Arrived()
		at, _ := findEncoded(string(b[:min(len(b), bodyBytes)]))
		return at >= 0
	}
	ctx, cancel := context.WithTimeout(ctx, bodyWait)
	defer cancel()
	b, _, err := x.Body.Peek(ctx, int(n))
	if err != nil {
		return false
	}
	at, _ := findEncoded(string(b))
	return at >= 0
}

func searchable(contentType string) bool {
	kind, _, _ := strings.Cut(contentType, ";")
	kind = strings.Trim(kind, " \t")
	return header.EqualFold(kind, "application/json") || header.EqualFold(kind, "application/x-www-form-urlencoded") ||
		len(kind) > 5 && header.EqualFold(kind[len(kind)-5:], "+json")
}

// sayable reports whether a name that the caller chose may be repeated in an answer: short and plain.
func sayable(name string) bool {
	if name == "" || len(name) > nameBytes {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c == '-' || c == '_' || c == '.' {
			continue
		}
		return false
	}
	return true
}

// otherScheme names the authentication scheme of a request that has one which is not read here. Only registered names
// are repeated: the first word of a malformed field may be the secret.
func otherScheme(l header.List) string {
	v := l.Get(authorization)
	word, _, _ := strings.Cut(v, " ")
	for _, s := range [...]string{"Basic", "Bearer", "Digest", "DPoP", "HOBA", "Mutual", "Negotiate", "NTLM", "OAuth", "SCRAM-SHA-256", "AWS4-HMAC-SHA256"} {
		if header.EqualFold(word, s) {
			return s
		}
	}
	return ""
}
