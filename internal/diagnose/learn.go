package diagnose

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"postern/internal/reqtext"
)

// learnt puts what a probe shows on the board.
//
// An answer that speaks for itself is not overruled by where else the server refuses: such probes then count only against.
func (c *theCase) learnt(probe, cause string, weight float64, text string) {
	if weight > 0 && weight < 3 && (c.words || c.behind) {
		weight *= 0.2
	}
	c.board.add(cause, "probe "+probe, weight, "", Evidence{From: "probe", Text: text})
}

// learn compares the answer of a probe with that of the plain question.
func (c *theCase) learn(name string, a *reqtext.Answer, answers map[string]*reqtext.Answer) {
	plain := answers["plain"]
	passed := a.Status < 400 || a.Status == 404 || a.Status == 405 || a.Status == 400 || a.Status == 415 || a.Status == 422
	switch name {
	case "replay":
		c.answer(a)
	case "plain":
		c.learnPlain(a)
	case "options":
		if refusing(a.Status) && a.Status != 404 && a.Status != 405 && a.Status != 501 && c.in.Request.Header.Has("Origin") && (plain == nil || !refusing(plain.Status)) {
			c.learnt(name, "cors_preflight", 2.6, fmt.Sprintf("the preflight is refused (%d), and the plain question is not", a.Status))
		}
	case "neutral":
		if !refusing(c.status) {
			return
		}
		if a.Status == c.status {
			c.learnt(name, "waf_rule", -1.6, "a body that cannot succeed is refused in the same way: its content does not decide")
		} else if passed {
			c.learnt(name, "waf_rule", 3.4, fmt.Sprintf("another body passes the gate (%d): the content decides", a.Status))
		}
	case "no-credential", "other-credential":
		c.learnCredential(name, a, plain)
	case "neighbour":
		c.learnNeighbour(a, plain)
	case "root":
		if a.Status == plain.Status {
			c.learnt(name, "ip_denied", 0.9, "the root of the host is refused as well")
			c.learnt(name, "host_not_served", 0.9, "the root of the host is refused as well")
		} else {
			for _, id := range []string{"host_not_served", "client_cert_missing"} {
				c.learnt(name, id, -1.6, fmt.Sprintf("the root of the host answers otherwise (%d)", a.Status))
			}
		}
	default:
		factor := map[string][3]string{
			"agent":         {"bot_ua_block", "with the User-Agent of a browser"},
			"no-origin":     {"origin_rejected", "without Origin"},
			"no-referer":    {"referer_rejected", "without Referer"},
			"no-forwarding": {"ip_denied", "without the forwarding fields"},
			"host":          {"host_not_served", "with the Host of the address"},
		}[name]
		switch {
		case a.Status == plain.Status:
			weight := -2.2
			if name == "no-referer" || name == "host" { // a missing Referer, or the bare address, may be refused just as well
				weight = -0.5
			}
			c.learnt(name, factor[0], weight, "it is refused "+factor[1]+" as well")
		case passed:
			text := fmt.Sprintf("%s it passes (%d in place of %d)", factor[1], a.Status, plain.Status)
			c.learnt(name, factor[0], 6, text)
			if h := c.board["waf_rule"]; name == "agent" && h != nil && h.groups["request:ua"] > 2 { // a scanner's name is a firewall's business
				c.learnt(name, "waf_rule", 6, text)
			}
		}
	}
}

// learnPlain compares a harmless question about the same address with the request.
func (c *theCase) learnPlain(a *reqtext.Answer) {
	r := c.in.Request
	if c.status == 0 && (safe(r.Method) || refusing(a.Status) && a.Status != 404 && a.Status != 405) {
		if !safe(r.Method) {
			c.report.Notes = append(c.report.Notes, fmt.Sprintf("the answer to %s is not known; GET on the same address is refused (%d), and that is what is judged", r.Method, a.Status))
		}
		c.answer(a)
		return
	}
	if redirected(a) {
		c.learnRedirect(a)
	}
	if c.status == 0 && a.Status < 400 { // whether the request is refused is not known; if it is, the method or the body decides
		text := fmt.Sprintf("GET on the same address passes (%d): if %s is refused, the method or the body decides", a.Status, r.Method)
		c.learnt("plain", "server_method_limit", 1.2, text)
		c.learnt("plain", "csrf_missing", 0.9, text)
	}
	for _, f := range a.Header {
		if name, _, _ := strings.Cut(f.Value, "="); strings.EqualFold(f.Name, "Set-Cookie") && csrfName(name) && !safe(r.Method) && c.csrfToken() == "" && !refusing(a.Status) {
			c.learnt("csrf cookie", "csrf_missing", 2.2, "the address sets the CSRF cookie "+name+", and the request carries no token")
		}
	}
	if safe(r.Method) || !refusing(c.status) {
		return
	}
	switch {
	case a.Status < 400:
		text := fmt.Sprintf("GET on the same address passes (%d): the method or the body decides", a.Status)
		for id, w := range map[string]float64{"server_method_limit": 2.2, "csrf_missing": 0.8, "csrf_invalid": 0.4, "waf_rule": 0.4,
			"server_config_deny": -3, "ip_denied": -2.6, "host_not_served": -2.6, "server_directory_listing": -2.6, "server_file_permission": -2.4,
			"server_misconfiguration": -2.4, "bot_ua_block": -2.4, "client_cert_missing": -2, "geo_denied": -2, "proxy_in_between": -0.5} {
			c.learnt("plain", id, w, text)
		}
	case a.Status == c.status:
		text := "GET on the same address is refused in the same way: neither method nor body decide"
		for id, w := range map[string]float64{"server_method_limit": -2.8, "csrf_missing": -2.8, "csrf_invalid": -2.8, "wrong_method": -1.5, "body_too_large": -2,
			"server_config_deny": 0.9, "ip_denied": 0.7, "server_directory_listing": 0.6, "server_file_permission": 0.6} {
			c.learnt("plain", id, w, text)
		}
		if h := c.board["waf_rule"]; h != nil && h.groups["request:attack"] > 1 {
			c.learnt("plain", "waf_rule", -2.0, "without its body the request is refused in the same way")
		}
	case a.Status == 404 || a.Status == 405:
		text := fmt.Sprintf("GET on the same address is not refused, but %d", a.Status)
		for id, w := range map[string]float64{"ip_denied": -1.4, "bot_ua_block": -1.2, "server_config_deny": -1.6, "host_not_served": -1.0, "csrf_missing": 0.6} {
			c.learnt("plain", id, w, text)
		}
	}
}

func redirected(a *reqtext.Answer) bool {
	return a.Status >= 301 && a.Status <= 308 && a.Header.Has("Location")
}

// learnRedirect looks what following the redirect would lose.
func (c *theCase) learnRedirect(a *reqtext.Answer) {
	r := c.in.Request
	to, err := url.Parse(a.Header.Get("Location"))
	from, err2 := url.Parse(r.URL)
	if err != nil || err2 != nil || !r.Follows {
		return
	}
	to = from.ResolveReference(to)
	if to.Host != from.Host && c.credText != "" {
		c.learnt("redirect", "credential_stripped", 4.6, "the first answer is a redirect to another host ("+to.Host+"), and clients drop the credential then")
	} else if a.Status <= 303 && !safe(r.Method) {
		c.learnt("redirect", "method_changed", 5, fmt.Sprintf("the first answer is a redirect %d, and clients turn %s into GET then", a.Status, r.Method))
	}
}

func (c *theCase) learnCredential(name string, a, plain *reqtext.Answer) {
	what := "without the credential"
	if name == "other-credential" {
		what = "with an invented credential"
	}
	switch {
	case a.Status == plain.Status && string(a.Body) == string(plain.Body):
		text := what + " the answer is the same"
		if name == "other-credential" {
			c.learnt(name, "credential_invalid", 0.8, text+": yours may be as unknown")
			c.learnt(name, "role_insufficient", -0.8, text)
		} else {
			for _, id := range []string{"role_insufficient", "scope_insufficient", "credential_invalid", "token_expired", "key_disabled"} {
				c.learnt(name, id, -1.4, text)
			}
		}
	case a.Status == 401 && plain.Status == 403, a.Status >= 400 && string(a.Body) != string(plain.Body):
		text := fmt.Sprintf("%s the answer is another one (%d in place of %d): the credential is read", what, a.Status, plain.Status)
		weight := 1.6
		if a.Status == 401 {
			weight = 2.4
		}
		c.learnt(name, "role_insufficient", weight, text)
		c.learnt(name, "scope_insufficient", weight/2, text)
		for _, id := range []string{"server_config_deny", "ip_denied", "bot_ua_block", "server_method_limit", "server_file_permission"} {
			c.learnt(name, id, -1.6, text)
		}
		if name == "other-credential" {
			c.learnt(name, "credential_invalid", -1.8, text)
		}
		c.learnt(name, "credential_missing", -2, text)
	case a.Status < 400:
		c.learnt(name, "credential_invalid", 2, fmt.Sprintf("%s it passes (%d)", what, a.Status))
	}
}

func (c *theCase) learnNeighbour(a, plain *reqtext.Answer) {
	dir := strings.HasSuffix(strings.SplitN(c.in.Request.URL, "?", 2)[0], "/")
	if a.Status == plain.Status {
		text := "an invented name beside it is refused as well: the rule is about the place"
		c.learnt("neighbour", "server_directory_listing", -3, text)
		c.learnt("neighbour", "server_file_permission", -0.6, text)
		c.learnt("neighbour", "server_misconfiguration", -1.0, text)
		c.learnt("neighbour", "server_config_deny", 0.6, text)
		return
	}
	if a.Status == 404 {
		text := "an invented name beside it is not found, not refused: the rule is about this very path"
		if dir {
			c.learnt("neighbour", "server_directory_listing", 3, text)
		} else {
			c.learnt("neighbour", "server_file_permission", 2.2, text)
			c.learnt("neighbour", "server_misconfiguration", 0.8, text)
		}
		for _, id := range []string{"ip_denied", "server_config_deny", "bot_ua_block", "host_not_served", "role_insufficient"} {
			c.learnt("neighbour", id, -1.6, text)
		}
	}
}

// shows words what a probe means, by the evidence it brought.
func (c *theCase) shows(name string, _ *reqtext.Answer, _ map[string]*reqtext.Answer) string {
	best, text := 0.0, ""
	for _, h := range c.board {
		if w, ok := h.groups["probe "+name]; ok && w*w > best {
			for _, f := range h.facts {
				if f.From == "probe" && (f.Weight > 0) == (w > 0) {
					best, text = w*w, f.Text
				}
			}
		}
	}
	return text
}

// unreachable judges a fault on the way to the server.
func (c *theCase) unreachable(name string, err error) {
	var dns *net.DNSError
	var alert tls.AlertError
	var unknown x509.UnknownAuthorityError
	var hostname x509.HostnameError
	var record tls.RecordHeaderError
	text := plainError(err)
	switch {
	case errors.As(err, &dns):
		c.check("dns", Problem, "the name cannot be resolved: "+text)
		c.learnt(name, "dns_wrong_server", 3, "the name cannot be resolved")
	case errors.As(err, &record):
		c.check("tls", Problem, "the port does not speak TLS: use http://, or another port")
	case errors.As(err, &unknown), errors.As(err, &hostname):
		c.check("tls", Warning, "the server's certificate is not trusted here: "+text+" (--insecure probes all the same)")
		if errors.As(err, &hostname) {
			c.learnt(name, "host_not_served", 1.5, "the certificate is for another name")
		}
	case errors.As(err, &alert):
		c.check("tls", Problem, "the server ended the TLS handshake: "+text)
		c.learnt(name, "client_cert_missing", 2.4, "the server ended the TLS handshake: "+text)
	default:
		c.check("reach", Problem, "the server cannot be reached: "+text)
	}
}

// names looks the host up, without HTTP.
func (c *theCase) names(ctx context.Context, l reqtext.Location) {
	host, _ := hostPort(l)
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil || strings.EqualFold(host, "localhost") {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return // the request itself will say so
	}
	private := 0
	for _, a := range addrs {
		if a.Unmap().IsPrivate() || a.IsLoopback() {
			private++
		}
	}
	text := fmt.Sprintf("%s has %d addresses", host, len(addrs))
	outcome := OK
	if private > 0 {
		outcome, text = Info, text+fmt.Sprintf(", %d of them private: this network has its own answer for the name", private)
	}
	if cname, err := net.DefaultResolver.LookupCNAME(ctx, host); err == nil && !strings.EqualFold(strings.TrimSuffix(cname, "."), host) {
		text += ", by way of " + strings.TrimSuffix(cname, ".")
		if containsAny(cname, "cloudfront", "akamai", "edgekey", "fastly", "cloudflare", "azureedge", "azurefd", "cdn") {
			text += " (a content network)"
		}
	}
	c.check("dns", outcome, text)
}
