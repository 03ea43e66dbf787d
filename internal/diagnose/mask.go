package diagnose

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"postern/internal/header"
	"postern/internal/reqtext"
)

// Masked stands for a secret.
const Masked = "[masked]"

// masker keeps secrets out of what is shown: those of the input by their value, others by how secrets look.
type masker struct {
	values []string // longest first
}

// shortest is how long a secret must be to be searched for: shorter ones are in every text, and nothing quotes them.
const shortest = 4

func newMasker(in Input) *masker {
	m := &masker{}
	for _, r := range []*reqtext.Request{in.Request, in.Compare} {
		if r != nil {
			m.request(r)
		}
	}
	if in.Answer != nil {
		for _, f := range in.Answer.Header {
			if header.EqualFold(f.Name, "Set-Cookie") {
				pair, _, _ := strings.Cut(f.Value, ";")
				_, v, _ := strings.Cut(pair, "=")
				m.add(v)
			} else if secretName(f.Name) && !header.EqualFold(f.Name, "WWW-Authenticate") {
				m.add(f.Value)
			}
		}
	}
	slices.SortFunc(m.values, func(a, b string) int { return len(b) - len(a) })
	m.values = slices.Compact(m.values)
	return m
}

func (m *masker) request(r *reqtext.Request) {
	for _, f := range r.Header {
		switch {
		case header.EqualFold(f.Name, "Authorization"), header.EqualFold(f.Name, "Proxy-Authorization"):
			scheme, rest, ok := strings.Cut(f.Value, " ")
			if !ok {
				rest = scheme
			}
			for _, part := range strings.Fields(rest) {
				m.add(strings.Trim(part, `",`))
			}
			m.add(rest)
			if b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(rest)); err == nil && strings.EqualFold(scheme, "Basic") {
				_, password, _ := strings.Cut(string(b), ":")
				m.add(password)
				m.add(string(b))
			}
		case header.EqualFold(f.Name, "Cookie"):
			for _, pair := range strings.Split(f.Value, ";") {
				_, v, _ := strings.Cut(pair, "=")
				m.add(strings.TrimSpace(v))
			}
			m.add(f.Value)
		case secretName(f.Name):
			m.add(f.Value)
		}
	}
	if l, err := reqtext.SplitURL(r.URL); err == nil {
		if user, _, ok := strings.Cut(l.Authority, "@"); ok {
			m.add(user)
		}
		m.pairs(l.Query)
	}
	switch b := strings.TrimSpace(string(r.Body)); {
	case strings.HasPrefix(b, "{") || strings.HasPrefix(b, "["):
		var v any
		if json.Unmarshal(r.Body, &v) == nil {
			m.json(v, 0)
		}
	case len(b) < 1<<16 && strings.Contains(b, "="):
		m.pairs(b)
	}
}

func (m *masker) pairs(query string) {
	for _, pair := range strings.Split(query, "&") {
		name, v, _ := strings.Cut(pair, "=")
		if secretName(name) {
			m.add(v)
			if plain, err := url.QueryUnescape(v); err == nil {
				m.add(plain)
			}
		}
	}
}

func (m *masker) json(v any, depth int) {
	if depth > 50 {
		return
	}
	switch v := v.(type) {
	case map[string]any:
		for name, e := range v {
			if s, ok := e.(string); ok && secretName(name) {
				m.add(s)
			}
			m.json(e, depth+1)
		}
	case []any:
		for _, e := range v {
			m.json(e, depth+1)
		}
	}
}

func (m *masker) add(s string) {
	if s = strings.TrimSpace(s); len(s) >= shortest && s != Masked && !notSecret[strings.ToLower(s)] {
		m.values = append(m.values, s)
	}
}

// notSecret are values of secret places that are no secrets, and words of every sentence.
var notSecret = map[string]bool{"true": true, "false": true, "null": true, "none": true, "bearer": true, "basic": true, "token": true, "undefined": true, "application/json": true}

func secretName(name string) bool {
	name = strings.ToLower(name)
	for _, word := range []string{"key", "token", "secret", "passw", "pwd", "signature", "credential", "auth", "session", "cookie", "csrf", "xsrf", "jwt", "otp"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return slices.Contains([]string{"sig", "code", "pin", "pass", "sid", "md5", "hmac", "state", "nonce"}, name)
}

var secretLooks = []struct {
	re *regexp.Regexp
	to string
}{
	{regexp.MustCompile(`\bey[JK][A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)*`), Masked},                                                                                                                   // JWT
	{regexp.MustCompile(`(?i)\b(bearer|basic|token|digest)\s+[A-Za-z0-9+/._~=-]{12,}`), "$1 " + Masked},                                                                                                                 // Authorization
	{regexp.MustCompile(`\b(?:sk|pk|rk|ghp|gho|ghs|xox[abp]|AKIA|ASIA|AIza|glpat|postern)[-_]?[A-Za-z0-9_-]{12,}`), Masked},                                                                                             // well-known keys
	{regexp.MustCompile(`(?i)((?:api[_-]?key|apikey|access[_-]?token|refresh[_-]?token|id[_-]?token|client[_-]?secret|password|passwd|secret|sig|signature)["']?\s*[=:]\s*["']?)[^\s"'&,;}\[\]]{4,}`), "${1}" + Masked}, // name=value
	{regexp.MustCompile(`(?i)((?:set-)?cookie:\s*[^=;\s]+=)[^;\s]+`), "${1}" + Masked},
	{regexp.MustCompile(`(://[^/\s:@]{1,100}:)[^@/\s]+@`), "${1}" + Masked + "@"}, // user and password of an address
}

// text masks a text.
func (m *masker) text(s string) string {
	for _, v := range m.values {
		if strings.Contains(s, v) {
			s = strings.ReplaceAll(s, v, Masked)
		}
	}
	for _, l := range secretLooks {
		s = l.re.ReplaceAllString(s, l.to)
	}
	return s
}

// report masks every text of a report. It walks all of it, so that a field added later is not forgotten.
func (m *masker) report(r *Report) { m.walk(reflect.ValueOf(r).Elem()) }

// ours are fields whose words are this program's own: a password "auth" must not garble the name of a cause.
var ours = map[string]bool{"ID": true, "Layer": true, "Outcome": true, "Verdict": true, "From": true, "Cause": true, "System": true, "Title": true, "Method": true, "Caller": true, "Operator": true}

func (m *masker) walk(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		if v.CanSet() {
			v.SetString(m.text(v.String()))
		}
	case reflect.Pointer:
		if !v.IsNil() {
			m.walk(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if ours[v.Type().Field(i).Name] {
				continue
			}
			m.walk(v.Field(i))
		}
	case reflect.Slice:
		for i := range v.Len() {
			m.walk(v.Index(i))
		}
	}
}

// Mask replaces what looks like a secret in a text that nothing else is known of.
func Mask(s string) string { return (&masker{}).text(s) }
