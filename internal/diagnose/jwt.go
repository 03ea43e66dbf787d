package diagnose

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
)

// token is what a JWT says of itself. Nothing is verified: whoever made it may say anything.
type token struct {
	alg, typ, kid, iss, sub string
	aud                     []string
	scopes                  []string
	hasScope                bool
	exp, nbf, iat           time.Time // zero: not there
	signature               bool
}

// parseToken decodes a compact JWS (RFC 7515 section 7.1) without verifying it.
func parseToken(s string) (*token, error) {
	parts := strings.Split(s, ".")
	if len(parts) == 5 {
		return nil, errors.New("it is encrypted (JWE), so that nothing can be read in it")
	}
	if len(parts) != 3 {
		return nil, fmt.Errorf("it has %d parts, and a JWT has three", len(parts))
	}
	var head struct{ Alg, Typ, Kid string }
	var claims map[string]any
	for i, to := range []any{&head, &claims} {
		b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[i], "="))
		if err != nil {
			return nil, fmt.Errorf("its part %d is no base64url: cut off or changed on the way", i+1)
		}
		if err := json.Unmarshal(b, to); err != nil {
			return nil, fmt.Errorf("its part %d is no JSON object", i+1)
		}
	}
	text := func(name string) string { v, _ := claims[name].(string); return v }
	t := &token{alg: head.Alg, typ: head.Typ, kid: head.Kid, iss: text("iss"), sub: text("sub"), signature: parts[2] != ""}
	t.aud = texts(claims["aud"])
	for _, name := range []string{"scope", "scp", "scopes", "permissions", "roles"} {
		if v, ok := claims[name]; ok {
			t.hasScope = true
			for _, s := range texts(v) {
				t.scopes = append(t.scopes, strings.Fields(s)...)
			}
		}
	}
	for name, to := range map[string]*time.Time{"exp": &t.exp, "nbf": &t.nbf, "iat": &t.iat} {
		if n, ok := claims[name].(float64); ok && !math.IsNaN(n) && n > 0 && n < 1e13 {
			if n > 1e11 { // milliseconds: a mistake that makes a token expire in the year 50000
				return t, fmt.Errorf("its %s is in milliseconds; RFC 7519 wants seconds", name)
			}
			*to = time.Unix(int64(n), 0).UTC()
		}
	}
	return t, nil
}

func texts(v any) (out []string) {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		for _, e := range v {
			if s, ok := e.(string); ok {
				out = append(out, s)
			}
		}
	}
	return out
}

// looksLikeToken reports whether a credential is meant to be a JWT.
func looksLikeToken(s string) bool {
	return strings.Count(s, ".") >= 1 && (strings.HasPrefix(s, "eyJ") || strings.HasPrefix(s, "eyK")) || strings.Count(s, ".") == 2 && len(s) > 40 && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=") == ""
}

// skew is how far two clocks may differ before it matters.
const skew = time.Minute

// token judges a bearer token that is a JWT.
func (c *theCase) token(where, text string) {
	t, err := parseToken(text)
	if t == nil {
		c.check("jwt.form", Problem, fmt.Sprintf("the token in %s cannot be read: %v", where, err))
		if strings.Count(text, ".") != 4 {
			c.blame("token_invalid", "jwt", 2.2, "auth", "the token in "+where+" is damaged")
		}
		return
	}
	if err != nil {
		c.check("jwt.claims", Problem, "the token: "+err.Error())
	}
	now := c.in.Now
	c.check("jwt", OK, t.String(now))
	switch {
	case strings.EqualFold(t.alg, "none") || !t.signature:
		c.check("jwt.alg", Problem, "the token is not signed (alg none), which no sound service accepts")
		c.blame("token_bad_signature", "jwt", 3.4, "auth", "the token is not signed")
	case strings.HasPrefix(t.alg, "HS"):
		c.check("jwt.alg", Info, "the token is signed with a shared secret ("+t.alg+"); a service that expects a public key refuses it")
	}
	switch {
	case !t.exp.IsZero() && !now.IsZero() && now.After(t.exp.Add(skew)):
		c.check("jwt.exp", Problem, fmt.Sprintf("the token expired at %s, %s ago", t.exp.Format(time.RFC3339), round(now.Sub(t.exp))))
		c.blame("token_expired", "jwt", 3.6, "auth", "the token expired at "+t.exp.Format(time.RFC3339))
	case !t.exp.IsZero() && !now.IsZero() && now.After(t.exp.Add(-skew)):
		c.check("jwt.exp", Warning, "the token expires about now: clocks decide")
		c.blame("token_expired", "jwt", 1.2, "auth", "the token expires about now")
	}
	if !t.nbf.IsZero() && !now.IsZero() && t.nbf.After(now.Add(skew)) {
		c.check("jwt.nbf", Problem, "the token is valid only from "+t.nbf.Format(time.RFC3339))
		c.blame("token_not_yet_valid", "jwt", 3.4, "auth", "the token is valid only from "+t.nbf.Format(time.RFC3339))
	} else if !t.iat.IsZero() && !now.IsZero() && t.iat.After(now.Add(skew)) {
		c.check("jwt.iat", Warning, "the token says it is made in the future ("+t.iat.Format(time.RFC3339)+"): the clock of its issuer or of this machine is wrong")
		c.blame("token_not_yet_valid", "jwt", 1.5, "auth", "the token is made in the future")
	}
	c.tokenScope(t)
}

// tokenScope looks whether the scopes of a token are about reading while the request writes.
func (c *theCase) tokenScope(t *token) {
	if !t.hasScope || safe(c.in.Request.Method) {
		return
	}
	for _, s := range t.scopes {
		s = strings.ToLower(s)
		for _, word := range []string{"write", "create", "admin", "manage", "full", "all", "*", "edit", "post", "update"} {
			if strings.Contains(s, word) {
				return
			}
		}
	}
	said := "no scope"
	if len(t.scopes) > 0 {
		said = "the scopes " + strings.Join(t.scopes[:min(len(t.scopes), 8)], ", ")
	}
	c.check("jwt.scope", Warning, fmt.Sprintf("the token carries %s, none of which sounds like writing, and %s writes", said, c.in.Request.Method))
	c.blame("scope_insufficient", "jwt.scope", 2.4, "auth", "the token carries "+said)
}

// String says what a token says of itself, without its subject.
func (t *token) String(now time.Time) string {
	parts := []string{"alg " + orNone(t.alg)}
	if t.iss != "" {
		parts = append(parts, "iss "+t.iss)
	}
	if len(t.aud) > 0 {
		parts = append(parts, "aud "+strings.Join(t.aud[:min(len(t.aud), 5)], ", "))
	}
	if !t.exp.IsZero() {
		left := "in " + round(t.exp.Sub(now))
		if now.After(t.exp) {
			left = round(now.Sub(t.exp)) + " ago"
		}
		parts = append(parts, "exp "+t.exp.Format(time.RFC3339)+" ("+left+")")
	} else {
		parts = append(parts, "no exp")
	}
	if len(t.scopes) > 0 {
		parts = append(parts, "scope "+strings.Join(t.scopes[:min(len(t.scopes), 8)], " "))
	}
	return "the token says: " + strings.Join(parts, "; ")
}

func orNone(s string) string {
	if s == "" {
		return "not named"
	}
	return s
}

func round(d time.Duration) string {
	switch {
	case d > 48*time.Hour:
		return fmt.Sprintf("%d days", int(d.Hours()/24))
	case d > time.Hour:
		return fmt.Sprintf("%.1f hours", d.Hours())
	}
	return d.Round(time.Second).String()
}
