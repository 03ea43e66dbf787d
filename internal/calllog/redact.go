package calllog

import (
	"strings"

	"postern/internal/decision"
	"postern/internal/directory"
	"postern/internal/header"
)

// Secrets are left out when a record is made: what was never written cannot leak. It is better to hide a harmless value
// than to show a secret one, so a name is enough to hide a value, whatever the value looks like.

// secretWords are words that, standing alone in a name (api_key, X-Amz-Signature, sessionToken), make its value a secret.
var secretWords = map[string]bool{
	"token": true, "key": true, "secret": true, "password": true, "passwd": true, "passphrase": true, "pwd": true, "pass": true,
	"signature": true, "sig": true, "code": true, "credential": true, "credentials": true, "auth": true, "authorization": true,
	"cookie": true, "session": true, "sessionid": true, "sid": true, "jwt": true, "bearer": true, "assertion": true, "otp": true, "pin": true, "csrf": true, "xsrf": true,
}

// secretParts are looked for anywhere in a name, since people write them without a gap (accesstoken, apikey).
var secretParts = []string{"token", "secret", "password", "passwd", "signature", "credential", "apikey", "authkey", "accesskey", "privatekey"}

// secretName reports whether a parameter or header field of that name holds a secret.
func secretName(name string) bool {
	if len(name) > 256 {
		return true // nothing that long is looked into
	}
	var buf [256]byte
	word := buf[:0] // the word so far, in lower case
	lower := make([]byte, 0, 256)
	flush := func() bool {
		secret := secretWords[string(word)]
		word = word[:0]
		return secret
	}
	var before byte
	for i := 0; i < len(name); i++ {
		c := name[i]
		up := c >= 'A' && c <= 'Z'
		if up {
			if before >= 'a' && before <= 'z' && flush() { // sessionToken: a capital begins a word
				return true
			}
			c |= 0x20
		}
		before = name[i]
		if c >= 'a' && c <= 'z' {
			word, lower = append(word, c), append(lower, c)
			continue
		}
		if flush() {
			return true
		}
	}
	if flush() {
		return true
	}
	for _, part := range secretParts {
		if strings.Contains(string(lower), part) {
			return true
		}
	}
	return false
}

// secretField reports whether a header field is never kept: those that carry credentials by their definition, the one this
// request's credential came in, and those whose name says so.
func secretField(name, credential string) bool {
	for _, known := range [...]string{"Authorization", "Proxy-Authorization", "Cookie", "Set-Cookie", "X-API-Key"} {
		if header.EqualFold(name, known) {
			return true
		}
	}
	return credential != "" && header.EqualFold(name, credential) || secretName(name)
}

// redactQuery replaces the values of parameters that are named like secrets or hold something that looks like one. The
// order and the spelling of the rest are kept.
func redactQuery(query string) string {
	if query == "" {
		return ""
	}
	var b strings.Builder
	from := 0 // what of query is not in b yet
	for at := 0; at < len(query); {
		end := at
		for end < len(query) && query[end] != '&' && query[end] != ';' {
			end++
		}
		name, value, _ := strings.Cut(query[at:end], "=")
		secretValue := value != "" && (secretName(decoded(name)) || holdsSecret(value))
		if holdsSecret(name) { // a parameter without a value is often a key and nothing else
			b.WriteString(query[from:at])
			b.WriteString(decision.Redacted)
			from = at + len(name)
		}
		if secretValue {
			b.WriteString(query[from : at+len(name)+1])
			b.WriteString(decision.Redacted)
			from = end
		}
		at = end + 1
	}
	if from == 0 {
		return query
	}
	b.WriteString(query[from:])
	return b.String()
}

// redactText hides what looks like a secret in free text: a path, a user agent, a header value, a fault.
func redactText(s string) string {
	s = redactUserinfo(s)
	if !holdsSecret(s) {
		return s
	}
	var b strings.Builder
	for at := 0; at < len(s); {
		end := at
		for end < len(s) && isTokenByte(s[end]) {
			end++
		}
		if end == at { // one byte between two runs
			b.WriteByte(s[at])
			at++
			continue
		}
		if run := s[at:end]; secretRun(run) || secretRun(decoded(run)) {
			b.WriteString(decision.Redacted)
		} else {
			b.WriteString(s[at:end])
		}
		at = end
	}
	return b.String()
}

// redactUserinfo hides user and password in front of the host of an address (RFC 3986 section 3.2.1).
func redactUserinfo(s string) string {
	for from := 0; ; {
		i := strings.Index(s[from:], "://")
		if i < 0 {
			return s
		}
		from += i + 3
		end := strings.IndexAny(s[from:], "/?# \"")
		if end < 0 {
			end = len(s) - from
		}
		if at := strings.LastIndexByte(s[from:from+end], '@'); at > 0 {
			s = s[:from] + decision.Redacted + s[from+at:]
			from += len(decision.Redacted)
		}
	}
}

// redactValue is redactText for a header value, which may also be an address with a query of its own (Referer).
func redactValue(s string) string {
	if path, query, found := strings.Cut(s, "?"); found && strings.Contains(path, "/") {
		query, fragment, anchored := strings.Cut(query, "#")
		s = redactText(path) + "?" + redactQuery(query)
		if anchored {
			s += "#" + redactQuery(fragment) // OAuth answers put tokens there
		}
		return s
	}
	return redactText(s)
}

// holdsSecret reports whether something in s looks like a secret. It is asked of every call, so that the usual answer, no,
// is found without looking closely: each kind has a mark that ordinary text does not have.
func holdsSecret(s string) bool {
	if strings.IndexByte(s, '%') >= 0 {
		if d := decoded(s); d != s && marked(d) && anySecretRun(d) {
			return true
		}
	}
	return marked(s) && anySecretRun(s)
}

func marked(s string) bool {
	return strings.Contains(s, "eyJ") || strings.Contains(s, "sk-") || strings.Contains(s, directory.KeyPrefix)
}

func anySecretRun(s string) bool {
	for at := 0; at < len(s); at++ {
		end := at
		for end < len(s) && isTokenByte(s[end]) {
			end++
		}
		if end > at && secretRun(s[at:end]) {
			return true
		}
		at = end
	}
	return false
}

// secretRun reports whether a run of token bytes holds a key or token of Postern's, also a mistyped or cut one; a JSON Web
// Token, which begins with eyJ, the base64 of {"; or a key of the form that model providers use.
func secretRun(run string) bool {
	if i := strings.Index(run, directory.KeyPrefix); i >= 0 && len(run)-i >= len(directory.KeyPrefix)+12 {
		return true
	}
	if i := strings.Index(run, "eyJ"); i >= 0 && len(run)-i >= 20 && strings.IndexByte(run[i:], '.') > 0 {
		return true
	}
	i := strings.Index(run, "sk-")
	return i >= 0 && (i == 0 || !isAlphanumeric(run[i-1])) && len(run)-i >= 20 && strings.ContainsAny(run[i:], "0123456789")
}

// isTokenByte reports whether a byte may stand in a token. A percent sign may: what is escaped belongs to the run.
func isTokenByte(c byte) bool {
	return isAlphanumeric(c) || c == '_' || c == '-' || c == '.' || c == '%'
}

func isAlphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// decoded undoes percent-encoding, also when it was done twice, and leaves what is not well-formed as it is: hiding one
// malformed escape in a query must not hide the rest from us.
func decoded(s string) string {
	for range 2 {
		if strings.IndexByte(s, '%') < 0 {
			break
		}
		b := make([]byte, 0, len(s))
		for i := 0; i < len(s); i++ {
			if s[i] == '%' && i+2 < len(s) {
				if hi, lo := unhex(s[i+1]), unhex(s[i+2]); hi < 16 && lo < 16 {
					b = append(b, hi<<4|lo)
					i += 2
					continue
				}
			}
			b = append(b, s[i])
		}
		s = string(b)
	}
	return s
}

func unhex(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10
	}
	return 0xff
}
