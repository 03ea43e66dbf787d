package diagnose

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"postern/internal/fingerprint"
	"postern/internal/reqtext"
)

// refusing reports whether a status says no.
func refusing(status int) bool {
	switch {
	case status >= 400 && status < 500:
		return true
	case status == 503 || status == 511 || status == 530 || status == 500:
		return true
	}
	return false
}

// answer reads what was answered.
func (c *theCase) answer(a *reqtext.Answer) {
	c.status, c.report.Status = a.Status, a.Status
	fa := fingerprint.Answer{Status: a.Status, Header: a.Header, Body: a.Body}
	if fa.Status == 0 { // only a body: it is asked about because it refused
		fa.Status = 403
	}
	matches := fingerprint.Identify(fa)
	c.ownPage = slices.ContainsFunc(matches, func(m fingerprint.Match) bool { return m.PageOnly })
	c.server(a, matches)
	c.byStatus(a)
	for _, m := range matches {
		if m.PageOnly || m.Cause == "unknown" {
			continue
		}
		c.said("words", m.Cause, m.Weight, m.Layer, m.System+": "+strings.Join(m.Seen[:min(len(m.Seen), 2)], "; "))
		c.words = c.words || m.Weight >= 1.8
	}
	words := fingerprint.Words(a.Body, 4000)
	if a.Status >= 400 || a.Status == 0 || softRefusal(a) {
		for _, s := range fingerprint.Read(words) {
			if c.shared && s.Weight < 3 {
				continue // the page of a server speaks in set phrases
			}
			c.said("words", s.Cause, s.Weight, s.Layer, fmt.Sprintf("the body says %q", s.Text))
			c.words = true
		}
	}
	c.headers(a)
	c.credentialSaid()
	c.passedOn(a)
	c.step("answer", Info, fmt.Sprintf("%d, signed by %s", a.Status, c.signed()))
}

func (c *theCase) said(group, cause string, weight float64, layer, text string) {
	c.board.add(cause, group, weight, layer, Evidence{From: "answer", Text: text})
}

// server finds out who wrote the answer.
func (c *theCase) server(a *reqtext.Answer, matches []fingerprint.Match) {
	name := a.Header.Get("Server")
	lower := strings.ToLower(name)
	for _, f := range []string{"nginx", "openresty", "apache", "caddy", "haproxy", "squid", "litespeed", "envoy", "cloudflare", "kong", "apisix", "iis", "cloudfront", "lighttpd", "traefik", "varnish", "gunicorn", "werkzeug"} {
		if strings.Contains(lower, f) {
			c.family = f
		}
	}
	if len(matches) > 0 {
		m := matches[0]
		for _, other := range matches { // a page names who wrote it better than a field that a proxy adds
			if other.PageOnly && m.Weight < 1.8 {
				m = other
				break
			}
		}
		c.shared = m.PageOnly || m.Cause == "unknown"
		c.report.AnsweredBy = &Server{m.System, m.Layer, min(0.97, 0.45+m.Weight/7)}
		if m.PageOnly {
			c.report.AnsweredBy.Sure = 0.9
		}
		if c.family == "" {
			switch s := strings.ToLower(m.System); {
			case strings.Contains(s, "haproxy"):
				c.family = "haproxy"
			case strings.Contains(s, "squid"):
				c.family = "squid"
			}
		}
		return
	}
	if name != "" {
		c.report.AnsweredBy = &Server{System: name, Layer: "web-server", Sure: 0.4}
	}
}

func (c *theCase) signed() string {
	if c.report.AnsweredBy == nil {
		return "nobody that is known"
	}
	return c.report.AnsweredBy.System
}

// byStatus is what a status alone makes likely.
func (c *theCase) byStatus(a *reqtext.Answer) {
	prior := func(weight float64, causes ...string) {
		for _, id := range causes {
			c.board.add(id, "status", weight, "", Evidence{From: "answer", Text: ""})
		}
	}
	say := func(id string, weight float64, text string) { c.said("status", id, weight, "", text) }
	switch a.Status {
	case 401:
		prior(1.0, "credential_missing", "credential_invalid")
		prior(0.3, "token_invalid", "token_expired", "credential_stripped")
	case 402:
		say("quota_exceeded", 2.6, "402 is about payment")
	case 403, 0:
		prior(0.6, "role_insufficient")
		prior(0.3, "credential_invalid", "waf_rule", "ip_denied", "backend_policy", "server_config_deny")
		prior(0.01, "credential_missing", "csrf_missing")
	case 404:
		say("wrong_handler", 2.0, "404: nothing is served at this path")
	case 405, 501:
		say("wrong_method", 3.4, fmt.Sprintf("%d: the method is not served here", a.Status))
	case 406:
		say("waf_rule", 1.0, "406 is what ModSecurity often answers")
	case 407:
		say("proxy_in_between", 3.6, "407 comes from a proxy")
		say("credential_missing", 1.4, "")
	case 410:
		say("feature_disabled", 1.4, "410: it was here once")
	case 411, 413:
		say("body_too_large", 2.6+float64(a.Status-411)/2, fmt.Sprintf("%d is about the size of the body", a.Status))
	case 421:
		say("host_not_served", 3.6, "421: this connection does not serve the host")
	case 429:
		say("rate_limited", 3.8, "429: too many requests")
		say("quota_exceeded", 0.8, "")
	case 451:
		say("geo_denied", 3.2, "451: for legal reasons")
	case 503:
		prior(1.2, "rate_limited")
	case 511:
		say("proxy_in_between", 3.6, "511: the network wants you to sign in")
	case 400:
		prior(0.3, "csrf_missing", "tls_required", "host_not_served", "client_cert_missing")
	case 422:
		prior(0.8, "csrf_missing")
	case 500:
		prior(0.2, "server_misconfiguration", "server_file_permission")
	case 301, 302, 303, 307, 308:
		c.redirect(a)
	}
}

// redirect judges an answer that sends the client elsewhere.
func (c *theCase) redirect(a *reqtext.Answer) {
	to := a.Header.Get("Location")
	u, err := url.Parse(to)
	if err != nil || to == "" {
		return
	}
	switch low := strings.ToLower(to); {
	case containsAny(low, "login", "signin", "sign_in", "sign-in", "/auth", "oauth", "saml", "sso", "accounts."):
		c.said("status", "credential_missing", 3.2, "auth", "the answer leads to a page for signing in")
	case c.in.Request != nil && !safe(c.in.Request.Method) && a.Status < 307:
		c.said("status", "method_changed", 3.2, "", fmt.Sprintf("%d: a client that follows sends GET in place of %s", a.Status, c.in.Request.Method))
	}
	if c.in.Request != nil && u.Scheme == "https" && strings.HasPrefix(c.in.Request.URL, "http:") {
		c.said("tls", "tls_required", 2.0, "tls", "the answer leads from http to https")
	}
}

// softRefusal reports whether an answer with a good status refuses all the same.
func softRefusal(a *reqtext.Answer) bool {
	if a.Status >= 400 || a.Status < 200 || a.Status >= 300 {
		return false
	}
	body := strings.ToLower(strings.TrimSpace(string(a.Body[:min(len(a.Body), 4096)])))
	if strings.HasPrefix(body, "{") {
		return containsAny(body, `"success":false`, `"success": false`, `"ok":false`, `"ok": false`, `"error":{`, `"error": {`, `"errors":[{`, `"error":"`, `"error": "`, `"status":"error"`)
	}
	return a.Header.Has("cf-mitigated") || containsAny(body, "<fault>", ":fault>", "just a moment...", "_incapsula_resource", "captcha")
}

// headers reads the fields of an answer that mean the same whoever sends them.
func (c *theCase) headers(a *reqtext.Answer) {
	for _, f := range a.Header {
		switch strings.ToLower(f.Name) {
		case "www-authenticate", "proxy-authenticate":
			c.challenge(f.Value, strings.HasPrefix(strings.ToLower(f.Name), "proxy"))
		case "set-cookie":
			name, _, _ := strings.Cut(f.Value, "=")
			if csrfName(name) && refusing(a.Status) && c.in.Request != nil && !safe(c.in.Request.Method) {
				weight := 2.4
				if c.words { // what the body says goes before
					weight = 0.5
				}
				c.said("csrf cookie", "csrf_missing", weight, "csrf", "the refusal sets the cookie "+name+", which carries a CSRF token")
			} else if refusing(a.Status) && containsAny(strings.ToLower(name), "rack.session", "jsessionid", "laravel_session", "connect.sid", "phpsessid", "session") && (c.in.Request == nil || !c.in.Request.Header.Has("Cookie")) {
				c.said("csrf cookie", "csrf_missing", 1.0, "csrf", "the refusal begins a session ("+name+"), so that the request had none")
			}
		case "x-ratelimit-remaining", "ratelimit-remaining", "x-rate-limit-remaining":
			if strings.TrimSpace(f.Value) == "0" && refusing(a.Status) {
				c.said("limit", "rate_limited", 2.6, "rate-limit", f.Name+" is 0")
				c.said("limit", "quota_exceeded", 1.4, "", f.Name+" is 0")
			}
		case "ratelimit":
			if containsAny(strings.ReplaceAll(f.Value, " ", ""), "remaining=0", ";r=0") && refusing(a.Status) {
				c.said("limit", "rate_limited", 2.6, "rate-limit", "RateLimit says that nothing remains")
			}
		case "retry-after":
			if refusing(a.Status) {
				c.said("limit", "rate_limited", 2.0, "", "the answer says when to come again (Retry-After)")
			}
		case "proxy-status":
			for _, s := range fingerprint.Read(f.Value) {
				c.said("words", s.Cause, s.Weight, s.Layer, fmt.Sprintf("Proxy-Status says %q", s.Text))
			}
		}
	}
	if a.Status == 405 && a.Header.Has("Allow") && c.in.Request != nil {
		c.said("allow", "wrong_method", 1.0, "", "Allow names "+a.Header.Get("Allow"))
	}
	c.cors(a)
}

// cors compares what a page would need with what was allowed (Fetch standard, CORS check).
func (c *theCase) cors(a *reqtext.Answer) {
	r := c.in.Request
	if r == nil || !r.Header.Has("Origin") {
		return
	}
	origin, allowed := r.Header.Get("Origin"), a.Header.Get("Access-Control-Allow-Origin")
	preflight := r.Method == "OPTIONS" && r.Header.Has("Access-Control-Request-Method")
	switch {
	case allowed == "*" || strings.EqualFold(allowed, origin):
		if preflight {
			c.preflightList(a)
		}
		c.said("cors", "origin_rejected", -1.5, "", "the answer allows the origin")
	case preflight:
		c.said("cors", "cors_preflight", 3.4, "cors", "the preflight's answer does not allow the origin")
	case allowed != "" && !refusing(a.Status):
		c.said("cors", "cors_preflight", 3.0, "cors", "the answer allows another origin, so that a page may not read it")
	}
}

func (c *theCase) preflightList(a *reqtext.Answer) {
	r := c.in.Request
	method := r.Header.Get("Access-Control-Request-Method")
	if methods := a.Header.Get("Access-Control-Allow-Methods"); methods != "*" && !slices.Contains([]string{"GET", "HEAD", "POST"}, method) && !listed(methods, method) {
		c.said("cors", "cors_preflight", 3.2, "cors", "the preflight's answer does not allow the method "+method)
	}
	headers := a.Header.Get("Access-Control-Allow-Headers")
	for _, h := range strings.Split(r.Header.Get("Access-Control-Request-Headers"), ",") {
		if h = strings.TrimSpace(h); h != "" && headers != "*" && !listed(headers, h) {
			c.said("cors", "cors_preflight", 3.2, "cors", "the preflight's answer does not allow the header "+h)
		}
	}
}

func listed(list, word string) bool {
	return slices.ContainsFunc(strings.Split(list, ","), func(s string) bool { return strings.EqualFold(strings.TrimSpace(s), word) })
}

// challenge reads WWW-Authenticate (RFC 9110 section 11.6.1, RFC 6750 section 3).
func (c *theCase) challenge(v string, proxy bool) {
	low := strings.ToLower(v)
	switch {
	case proxy:
		c.said("challenge", "proxy_in_between", 2.0, "proxy", "a proxy asks for credentials")
	case strings.Contains(low, "insufficient_scope"):
		c.said("challenge", "scope_insufficient", 3.8, "auth", "WWW-Authenticate says insufficient_scope")
	case strings.Contains(low, "insufficient_user_authentication"):
		c.said("challenge", "mfa_required", 3.8, "auth", "WWW-Authenticate asks for a stronger sign-in")
	case strings.Contains(low, "invalid_token"):
		c.said("challenge", "token_invalid", 3.0, "auth", "WWW-Authenticate says invalid_token")
		for _, s := range fingerprint.Read(v) {
			if s.Cause != "token_invalid" {
				c.said("challenge", s.Cause, s.Weight+0.4, "auth", fmt.Sprintf("WWW-Authenticate says %q", s.Text))
			}
		}
	case c.in.Request != nil && c.credText == "":
		scheme, _, _ := strings.Cut(v, " ")
		c.said("challenge", "credential_missing", 2.6, "", "the answer asks for "+clip(scheme, 30)+", and the request carries no credential")
	case c.in.Request != nil:
		scheme, _, _ := strings.Cut(v, " ")
		if sent, _, _ := strings.Cut(c.in.Request.Header.Get("Authorization"), " "); sent != "" && !strings.EqualFold(sent, scheme) {
			c.said("challenge", "credential_missing", 1.6, "", "the answer asks for "+clip(scheme, 30)+", and another scheme was sent")
		}
		c.said("challenge", "credential_invalid", 1.4, "", "the answer asks for a credential although one was sent")
	default:
		c.said("challenge", "credential_missing", 1.6, "", "the answer asks for a credential")
	}
}

// credentialSaid weighs what the answer says of the credential against what was sent.
func (c *theCase) credentialSaid() {
	if c.in.Request == nil {
		return
	}
	h := c.board["credential_missing"]
	claimed := h != nil && h.groups["words"] >= 2
	switch {
	case claimed && c.credText != "":
		c.said("sent", "credential_stripped", 4.6, "", "the answer misses a credential, and the request carries "+c.credText)
		c.board.add("credential_missing", "sent", -1.5, "", Evidence{From: "request", Text: "the request carries " + c.credText})
	case c.credText == "":
		for _, id := range []string{"credential_invalid", "token_invalid", "token_expired", "token_revoked", "key_disabled", "scope_insufficient", "role_insufficient", "credential_stripped", "token_bad_signature", "token_wrong_audience"} {
			weight := -1.8
			if id == "role_insufficient" {
				weight = -0.6
			}
			if h := c.board[id]; h != nil && h.groups["words"] >= 2.6 { // it may be where nobody looks for it, in the body
				weight = -0.4
			}
			c.board.add(id, "sent", weight, "", Evidence{From: "request", Text: "the request carries no credential"})
		}
		if c.status == 401 {
			c.said("sent", "credential_missing", 1.6, "", "the request carries no credential")
		} else if c.status == 403 {
			c.said("sent", "credential_missing", 0.7, "", "the request carries no credential")
		}
	case c.status == 401:
		c.board.add("credential_missing", "sent", -1.0, "", Evidence{From: "request", Text: "the request carries " + c.credText})
		c.board.add("credential_invalid", "sent", 1.0, "", Evidence{From: "request", Text: "the request carries " + c.credText})
	case c.status == 403:
		c.board.add("role_insufficient", "sent", 1.1, "", Evidence{From: "request", Text: "the request carries " + c.credText + ", and the answer is 403, not 401"})
		c.board.add("credential_invalid", "sent", 0.5, "", Evidence{From: "request", Text: "the request carries " + c.credText})
		c.board.add("credential_missing", "sent", -1.5, "", Evidence{From: "request", Text: "the request carries " + c.credText})
	}
}

// passedOn notices an answer that the server in front did not write: its Server field is there, its page is not. Behind a
// proxy such an answer comes from the application.
func (c *theCase) passedOn(a *reqtext.Answer) {
	if c.ownPage || a.Status != 403 || len(a.Body) == 0 {
		return
	}
	if strings.HasPrefix(a.Header.Get("Content-Type"), "text/plain") && a.Header.Get("X-Content-Type-Options") == "nosniff" && c.family != "" && !c.words {
		c.behind, c.words = true, true
		c.said("behind", "backend_policy", 2.0, "backend", "the answer has the form that a program in Go gives it, not "+c.family)
		return
	}
	structured := strings.HasPrefix(strings.TrimSpace(string(a.Body)), "{")
	switch {
	case slices.Contains([]string{"nginx", "apache", "openresty", "haproxy"}, c.family), c.family == "caddy" && a.Header.Has("Via"):
		c.behind = true
		c.said("behind", "backend_policy", 1.4, "backend", "the answer is not the page of "+c.family+", so that something behind it wrote it")
	case structured:
		c.said("behind", "backend_policy", 1.0, "backend", "the answer is JSON that no known server or gateway writes")
	}
}
