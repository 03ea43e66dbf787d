package origin

import (
	"strconv"
	"strings"
	"time"

	"postern/internal/decision"
	"postern/internal/policy"
)

// maxAge is the longest that browsers remember a preflight: Firefox a day, others less.
const maxAge = 24 * time.Hour

// exposed are answer fields of the gateway that pages may always read.
var exposed = []string{"Postern-Trace", "RateLimit", "RateLimit-Policy", "Retry-After", "WWW-Authenticate"}

// CompileCORS compiles the rules at a pointer. ask lists the header fields that the gateway itself asks for; pages may send
// them unless the rules list others. Mistakes are returned all at once.
func CompileCORS(p *policy.CORS, rule *decision.Rule, ask ...string) (*CORS, policy.Problems) {
	c := compiler{}
	at := rule.Pointer
	if p.Credentials {
		c.narrow = "with credentials: true such a page could act as whoever looks at it"
	}
	if len(p.Origins) == 0 && len(p.OriginPatterns) == 0 {
		c.problem(at+"/origins", "list origins such as https://app.example.com, or remove cors", "no origin may call")
	}
	out := &CORS{
		origins: c.list(at+"/origins", p.Origins, at+"/origin_patterns", p.OriginPatterns),
		methods: p.Methods, headers: p.Headers, credentials: p.Credentials, private: p.PrivateNetwork, rule: rule, setting: "cors",
		maxAge: strconv.FormatInt(int64(p.MaxAge.Or(10*time.Minute)/time.Second), 10),
	}
	if time.Duration(p.MaxAge) > maxAge {
		c.problem(at+"/max_age", "write 24h or less", "no browser remembers a preflight for %s", p.MaxAge)
	}
	switch p.Enforce {
	case "", "writes":
	case "all":
		out.refuse = refuseAll
	case "none":
		out.refuse = refuseNone
	default:
		c.problem(at+"/enforce", "write writes, all or none", "%q is not possible here", p.Enforce)
	}
	for i, m := range p.Methods {
		if m == "*" || !isToken(m) || m != strings.ToUpper(m) {
			c.problem(at+"/methods/"+strconv.Itoa(i), "write a method such as PUT, or remove the list to allow every method that has an operation", "%q is no method", m)
		}
	}
	if len(p.Headers) == 0 {
		out.headers = append([]string{"Content-Type", "Authorization"}, ask...)
	}
	for i, name := range p.Headers {
		switch {
		case name == "*":
			out.anyHeader = true
		case !isToken(name):
			c.problem(at+"/headers/"+strconv.Itoa(i), "write a name such as X-Request-Id, or *", "%q is no name of a header field", name)
		}
	}
	all := exposed
	for i, name := range p.Expose {
		switch {
		case !isToken(name), name == "*" && p.Credentials:
			c.problem(at+"/expose/"+strconv.Itoa(i), "write the names of the fields", "%q is no name of a header field (with credentials, * is none either)", name)
		case !fold(all, name):
			all = append(all[:len(all):len(all)], name)
		}
	}
	out.expose = strings.Join(all, ", ")
	return out, c.problems
}

// Secrets follows the references of a secret (policy.Resolve). Errors name the reference, never a value.
type Secrets func(value string) (string, error)

// minSecret is how many bytes a signing key has at least (RFC 2104 section 3: as many as the hash gives).
const minSecret = 32

// CompileCSRF compiles the rules at a pointer. Mistakes are returned all at once. secrets may be nil, where a document is
// only checked or simulated: then signed tokens are neither made nor judged.
func CompileCSRF(p *policy.CSRF, rule *decision.Rule, secrets Secrets) (*CSRF, policy.Problems) {
	c := compiler{narrow: "such a page could act as whoever looks at it"}
	at := rule.Pointer
	out := &CSRF{trusted: c.list(at+"/trusted_origins", p.TrustedOrigins, "", nil), rule: rule}
	switch p.Unproven {
	case "", "refuse":
	case "pass":
		out.lenient = true
	default:
		c.problem(at+"/unproven", "write refuse or pass", "%q is not possible here", p.Unproven)
	}
	if p.Token != nil {
		out.token = c.token(at+"/token", p.Token, secrets)
	}
	return out, c.problems
}

// TokenHeader is the field that carries the token of rules, or "" when they ask for none.
func TokenHeader(p *policy.CSRF) string {
	switch {
	case p == nil || p.None || p.Token == nil:
		return ""
	case p.Token.Header != "":
		return p.Token.Header
	}
	return "X-CSRF-Token"
}

func (c *compiler) token(at string, p *policy.CSRFToken, secrets Secrets) *token {
	t := &token{header: "X-CSRF-Token", field: p.Field, cookie: "__Host-csrf", attributes: "; Path=/; Secure; SameSite="}
	if p.Header != "" {
		t.header = p.Header
		if !isToken(p.Header) {
			c.problem(at+"/header", "write a name such as X-CSRF-Token", "%q is no name of a header field", p.Header)
		}
	}
	if t.place = "the header field " + t.header; t.field != "" {
		t.place += " or the form field " + t.field
	}
	if p.Cookie != "" {
		t.cookie = p.Cookie
		if !isToken(p.Cookie) || !strings.HasPrefix(p.Cookie, "__Host-") || p.Cookie == "__Host-" {
			c.problem(at+"/cookie", "write __Host-"+strings.TrimLeft(p.Cookie, "_"), "the name %q does not begin with __Host-, so another host of the domain could set the cookie", p.Cookie)
		}
	}
	switch p.SameSite {
	case "", "lax":
		t.attributes += "Lax"
	case "strict":
		t.attributes += "Strict"
	default:
		c.problem(at+"/same_site", "write lax or strict", "%q is not possible here", p.SameSite)
	}
	switch p.Kind {
	case "", "double_submit":
		for _, f := range []struct {
			name string
			set  bool
		}{{"session", p.Session != ""}, {"keys", len(p.Keys) > 0}, {"lifetime", p.Lifetime != 0}} {
			if f.set {
				c.problem(at+"/"+f.name, "set kind: session, or remove it", "%s is for signed tokens", f.name)
			}
		}
	case "session":
		c.signed(at, t, p, secrets)
	default:
		c.problem(at+"/kind", "write double_submit or session", "%q is not possible here", p.Kind)
	}
	return t
}

// signed compiles what tokens of kind session have besides.
func (c *compiler) signed(at string, t *token, p *policy.CSRFToken, secrets Secrets) {
	t.session, t.lifetime = p.Session, p.Lifetime.Or(12*time.Hour)
	if !isToken(p.Session) || p.Session == t.cookie {
		c.problem(at+"/session", "name the cookie that the application keeps its session in", "%q is no name of a session cookie", p.Session)
	}
	if t.lifetime < time.Minute {
		c.problem(at+"/lifetime", "write 1m or more", "nobody fills in a form within %s", p.Lifetime)
	}
	t.attributes += "; Max-Age=" + strconv.FormatInt(int64(t.lifetime/time.Second), 10)
	if len(p.Keys) == 0 {
		c.problem(at+"/keys", "add one such as {id: k1, secret: \"${env:CSRF_KEY}\"}", "there is no key to sign tokens with")
	}
	if t.keyless = ""; secrets == nil {
		t.keyless = "secrets are not followed here"
	}
	seen := map[string]bool{}
	for i, k := range p.Keys {
		at := at + "/keys/" + strconv.Itoa(i)
		if len(k.ID) > maxKeyID || !isNonce(k.ID) {
			c.problem(at+"/id", "use up to 32 letters, digits, - and _", "%q is no id of a key", k.ID)
		} else if seen[k.ID] {
			c.problem(at+"/id", "give each key its own", "there are two keys %q", k.ID)
		}
		seen[k.ID] = true
		if err := policy.CheckReferences(k.Secret); err != nil || !strings.HasPrefix(k.Secret, "${") {
			c.problem(at+"/secret", "refer to it as ${env:NAME} or ${file:/path}", "a signing key does not belong into the document")
			continue
		}
		if secrets == nil {
			continue
		}
		secret, err := secrets(k.Secret)
		switch {
		case err != nil:
			c.problem(at+"/secret", "make the secret available to the gateway", "the signing key cannot be had: %v", err)
		case len(secret) < minSecret:
			c.problem(at+"/secret", "make one with: openssl rand -base64 32", "the signing key has fewer than %d bytes", minSecret)
		default:
			t.keys = append(t.keys, newKey(k.ID, []byte(secret)))
		}
	}
}
