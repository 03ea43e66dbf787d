package diagnose

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"postern/internal/reqtext"
)

// attack finds what firewalls look for, in the decoded request. It is only ever read, never sent.
var attack = regexp.MustCompile(`(?i)\bunion\b.{1,40}\bselect\b|\bor\b\s+['"]?\d+['"]?\s*=\s*['"]?\d|'\s*(?:or|and)\s*'|<script\b|javascript:|\bon(?:error|load|click)\s*=|\.\./\.\./|/etc/passwd|\$\{jndi:|;\s*(?:cat|ls|wget|curl)\s|\b(?:drop|truncate)\s+table\b|\bsleep\(\d|information_schema|xp_cmdshell|<\?php|<!entity|\{\{.*\}\}|\bexec\b.*\bmaster\b`)

// traits are what a request's form makes likely when the answer itself says little: a default page, an empty body.
func (c *theCase) traits() {
	r := c.in.Request
	if r == nil {
		c.familyPriors(false)
		return
	}
	l, err := reqtext.SplitURL(r.URL)
	if err != nil {
		return
	}
	if text := l.Path + "\n" + unescape(l.Query) + "\n" + unescape(string(r.Body[:min(len(r.Body), 64<<10)])); attack.MatchString(text) {
		c.blame("waf_rule", "attack", 3.2, "waf", "the request holds text that firewalls take for an attack")
	} else if len(r.Body) > 0 && codeLike.Match(r.Body[:min(len(r.Body), 64<<10)]) {
		c.blame("waf_rule", "attack", 0.9, "waf", "the body holds code or markup, which firewalls often mistake")
	}
	if c.words { // the answer speaks for itself
		return
	}
	ext := strings.ToLower(path.Ext(l.Path))
	pageOfServer := c.shared && slices.Contains([]string{"nginx", "apache", "caddy", "litespeed", "iis", "openresty", "lighttpd"}, c.family) || c.family == "caddy"
	switch {
	case strings.HasSuffix(l.Path, "/") && l.Path != "/" && pageOrNotFound(c, pageOfServer):
		c.blame("server_directory_listing", "path", 2.6, "web-server", "the path ends with a slash, as that of a directory")
	case slices.Contains([]string{".php", ".phtml", ".php5", ".cgi", ".pl", ".sh", ".asp", ".aspx", ".jsp", ".py"}, ext):
		c.blame("server_file_permission", "path", 1.6, "web-server", "the path names a script, which the server must be able to run")
		c.blame("wrong_handler", "path", 1.4, "", "the path names a script")
	case ext != "" && len(ext) <= 6 && pageOfServer:
		c.blame("server_file_permission", "path", 1.9, "web-server", "the path names a file")
		c.blame("server_method_limit", "path", 0.9, "web-server", "")
		c.blame("server_misconfiguration", "path", 0.4, "web-server", "")
	}
	if containsAny(strings.ToLower(l.Path), "/admin", "/internal", "/private", "/manage", "/.git", "/.env", "/actuator", "/server-status", "/wp-admin", "/console", "/metrics", "/debug") {
		c.blame("server_config_deny", "place", 1.0, "", "the path is one that is often closed")
		c.blame("gateway_policy", "place", 1.2, "", "the path is one that is often closed")
	}
	if l.Scheme == "https" && c.credText == "" && c.shared {
		c.blame("client_cert_missing", "mtls", 1.4, "tls", "the request is TLS, without credential or client certificate")
	}
	if r.Follows {
		if !safe(r.Method) {
			c.blame("method_changed", "follow", 2.8, "", "the client follows redirects, which may turn the method into GET")
		}
		if c.credText != "" {
			c.blame("credential_stripped", "follow", 2.4, "", "the client follows redirects, which drop credentials when the host changes")
		}
	}
	c.familyPriors(c.credText != "")
}

func pageOrNotFound(c *theCase, page bool) bool {
	return page || c.family == "apache" && c.status == 404
}

var codeLike = regexp.MustCompile(`(?i)<[a-z]+[^>]*>|select\s+.+\sfrom\s|function\s*\(|#!/|\beval\(|&&|\|\|`)

func unescape(s string) string {
	return strings.NewReplacer("%20", " ", "+", " ", "%27", "'", "%22", `"`, "%3C", "<", "%3c", "<", "%3E", ">", "%3e", ">", "%3D", "=", "%3d", "=", "%28", "(", "%29", ")", "%2F", "/", "%2f", "/").Replace(s)
}

// familyPriors say what the plain page of a server usually means, when nothing else is known.
func (c *theCase) familyPriors(credential bool) {
	if c.status != 403 && c.status != 0 || c.words {
		return
	}
	add := func(weight float64, causes ...string) {
		for _, id := range causes {
			c.board.add(id, "family", weight, "", Evidence{})
		}
	}
	switch {
	case c.shared && (c.family == "nginx" || c.family == "apache" || c.family == "openresty"):
		add(1.2, "server_config_deny")
		add(0.9, "ip_denied", "server_method_limit")
		add(0.7, "backend_policy")
		add(0.4, "bot_ua_block", "waf_rule")
		if credential {
			add(1.0, "role_insufficient")
		} else {
			add(-0.4, "role_insufficient", "credential_invalid")
		}
	case c.family == "haproxy":
		add(1.0, "ip_denied", "gateway_policy")
		add(0.6, "rate_limited", "waf_rule")
		if credential {
			add(0.8, "scope_insufficient", "role_insufficient")
		}
	case c.family == "squid":
		add(3, "proxy_in_between")
	case c.family == "caddy":
		add(1.2, "ip_denied")
		add(0.6, "gateway_policy", "server_file_permission")
	case c.in.Answer != nil && len(c.in.Answer.Body) == 0:
		add(0.6, "waf_rule", "csrf_missing", "role_insufficient")
	}
}
