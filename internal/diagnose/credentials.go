package diagnose

import (
	"encoding/base64"
	"net/url"
	"strings"

	"postern/internal/reqtext"
)

// misspelt returns the credential field that a name is one or two slips away from.
func misspelt(name string) string {
	n := strings.ToLower(name)
	for _, right := range []string{"Authorization", "X-API-Key", "X-CSRF-Token", "Content-Type", "Proxy-Authorization", "X-Auth-Token"} {
		lower := strings.ToLower(right)
		if n == lower || n == "x-csrftoken" {
			return ""
		}
		if d := distance(n, lower); len(lower) > 8 && d > 0 && d <= 2 && n != "authentication" {
			return right
		}
	}
	if n == "authentication" || n == "authorisation" {
		return "Authorization"
	}
	return ""
}

// distance is the number of single-sign edits, stopping at three.
func distance(a, b string) int {
	if len(a)-len(b) > 2 || len(b)-len(a) > 2 {
		return 3
	}
	prev := make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(prev[j]+cost, prev[j+1]+1, row[j]+1)
		}
		prev = row
	}
	return min(prev[len(b)], 3)
}

// checkCredentials looks at what identifies the caller.
func (c *theCase) checkCredentials(l reqtext.Location) {
	r := c.in.Request
	if v, n := r.Header.Lookup("Authorization"); n > 0 {
		c.checkAuthorization(v)
	}
	for _, f := range r.Header {
		name := strings.ToLower(f.Name)
		if name != "authorization" && name != "cookie" && secretName(name) && !csrfName(name) && !strings.HasPrefix(name, "sec-") && !strings.HasPrefix(name, "access-control") {
			c.credential("a credential in " + f.Name)
			if strings.TrimSpace(f.Value) == "" {
				c.check("credential.empty", Problem, f.Name+" is sent, but empty")
				c.blame("credential_missing", "empty", 3.0, "", f.Name+" is empty")
			}
			if rest, ok := cutPrefixFold(f.Value, "bearer "); ok && strings.Contains(name, "key") {
				c.check("credential.place", Warning, f.Name+" begins with Bearer, which belongs to Authorization")
				c.blame("credential_invalid", "place", 1.6, "", f.Name+" begins with Bearer")
				if looksLikeToken(rest) {
					c.token(f.Name, rest)
				}
			} else if looksLikeToken(f.Value) {
				c.token(f.Name, f.Value)
			}
		}
	}
	if q, err := url.ParseQuery(l.Query); err == nil {
		for _, name := range []string{"api_key", "apikey", "api-key", "key", "token", "access_token", "auth", "subscription-key"} {
			if v := q.Get(name); v != "" {
				c.check("credential.query", Warning, "a credential stands in the query ("+name+"), where logs keep it; many services take it in a header only")
				c.blame("credential_missing", "place", 1.6, "", "the credential stands in the query, where it may not be looked for")
				c.credential("a credential in the query")
				if looksLikeToken(v) {
					c.token("the query", v)
				}
			}
		}
	}
	if r.Header.Has("Cookie") && c.credText == "" {
		for _, name := range cookieNames(r.Header) {
			if containsAny(strings.ToLower(name), "sess", "sid", "auth", "token", "jwt") && !csrfName(name) {
				c.credential("a session cookie")
			}
		}
	}
	if c.credText == "" {
		c.check("credential", Info, "the request carries no credential")
	} else {
		c.check("credential", OK, "the request carries "+c.credText)
	}
}

func (c *theCase) credential(what string) {
	if c.credText == "" {
		c.credText = what
	}
}

func cutPrefixFold(s, prefix string) (string, bool) {
	if len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix) {
		return s[len(prefix):], true
	}
	return s, false
}

func (c *theCase) checkAuthorization(v string) {
	scheme, rest, _ := strings.Cut(strings.TrimSpace(v), " ")
	rest = strings.TrimSpace(rest)
	switch lower := strings.ToLower(scheme); {
	case v == "" || rest == "" && (lower == "bearer" || lower == "basic"):
		c.check("authorization.empty", Problem, "Authorization has no credential")
		c.blame("credential_missing", "authorization", 3.4, "", "Authorization has no credential")
		return
	case lower == "bearer":
		c.credential("a bearer token")
		if again, ok := cutPrefixFold(rest, "bearer "); ok {
			c.check("authorization.doubled", Problem, "Authorization says Bearer twice")
			c.blame("token_invalid", "authorization", 3.4, "", "Authorization says Bearer twice")
			rest = strings.TrimSpace(again)
		}
		if strings.ContainsAny(rest, " ,") {
			c.check("authorization.spaces", Problem, "the bearer token has spaces or commas in it")
			c.blame("token_invalid", "authorization", 2.6, "", "the bearer token has spaces or commas in it")
			return
		}
		if looksLikeToken(rest) {
			c.token("Authorization", rest)
		}
	case lower == "bearer:" || lower == "basic:" || lower == "token:":
		c.credential("a credential in Authorization")
		c.check("authorization.colon", Problem, "there is a colon behind the scheme of Authorization")
		c.blame("credential_invalid", "authorization", 3.2, "", "there is a colon behind the scheme of Authorization")
	case lower == "basic":
		c.credential("basic credentials")
		b, err := base64.StdEncoding.DecodeString(rest)
		user, password, colon := strings.Cut(string(b), ":")
		switch {
		case err != nil || !colon:
			c.check("authorization.basic", Problem, "the basic credentials are no base64 of user:password (RFC 7617)")
			c.blame("credential_invalid", "authorization", 3.2, "", "the basic credentials cannot be decoded")
		case user == "" || password == "":
			c.check("authorization.basic", Warning, "the basic credentials have an empty user or password")
			c.blame("credential_invalid", "authorization", 1.5, "", "the basic credentials have an empty user or password")
		case strings.TrimSpace(password) != password:
			c.check("authorization.basic", Problem, "the password begins or ends with white space")
			c.blame("credential_invalid", "authorization", 3.0, "", "the password begins or ends with white space")
		default:
			c.check("authorization.basic", OK, "basic credentials of the user "+user)
		}
	case rest == "" && looksLikeToken(scheme):
		c.credential("a token in Authorization")
		c.check("authorization.scheme", Problem, "Authorization holds a token without the word Bearer in front")
		c.blame("credential_missing", "authorization", 2.8, "", "Authorization has a token without Bearer in front")
		c.token("Authorization", scheme)
	case rest == "":
		c.credential("a credential in Authorization")
		c.check("authorization.scheme", Warning, "Authorization names no scheme (Bearer, Basic …)")
		c.blame("credential_invalid", "authorization", 1.8, "", "Authorization names no scheme")
	default:
		c.credential("a credential in Authorization (" + clip(scheme, 20) + ")")
	}
}
