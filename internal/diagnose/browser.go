package diagnose

import (
	"net/url"
	"slices"
	"strings"

	"postern/internal/header"
	"postern/internal/reqtext"
)

// csrfName reports whether a header, cookie or form field of this name carries a CSRF token.
func csrfName(name string) bool {
	name = strings.ToLower(name)
	return containsAny(name, "csrf", "xsrf", "authenticity", "requestverification", "anti-forgery", "antiforgery", "crumb")
}

// checkOrigin looks at Origin, Referer, Sec-Fetch-Site and what a preflight would need.
func (c *theCase) checkOrigin(l reqtext.Location) {
	r := c.in.Request
	target := r.Header.Get("Host")
	if target == "" {
		target = l.Authority
	}
	for _, name := range []string{"Origin", "Referer"} {
		v, n := r.Header.Lookup(name)
		if n == 0 {
			continue
		}
		u, err := url.Parse(v)
		switch {
		case name == "Origin" && v == "null":
			c.foreign[name] = "null"
			c.check("origin", Warning, "Origin is null: a sandboxed page, a file, or a redirect across sites")
			c.blame("origin_rejected", "origin", 2.2, "", "Origin is null")
		case err != nil || u.Host == "":
			c.check(strings.ToLower(name), Problem, name+" is no address")
			c.blame(refusedBy(name), strings.ToLower(name), 2.0, "", name+" is no address")
		case !sameHost(u, l, target):
			c.foreign[name] = u.Host
			c.check(strings.ToLower(name), Warning, name+" names "+u.Scheme+"://"+u.Host+", another site than "+target)
			c.blame(refusedBy(name), strings.ToLower(name), 2.3, "", name+" names another site than the one asked")
			if name == "Origin" && (u.Hostname() == strings.Split(target, ":")[0]) {
				c.check("origin.port", Info, "only scheme or port differ, which makes it another origin all the same")
			}
		default:
			c.check(strings.ToLower(name), OK, name+" is the site itself")
		}
	}
	if v := r.Header.Get("Sec-Fetch-Site"); v == "cross-site" || v == "same-site" {
		c.check("sec-fetch-site", Warning, "Sec-Fetch-Site says "+v)
		c.blame("origin_rejected", "secfetch", 1.6, "", "Sec-Fetch-Site says "+v)
	}
	if r.Method == "OPTIONS" && r.Header.Has("Access-Control-Request-Method") {
		c.check("preflight", Info, "this is a CORS preflight: it carries no credential, and must be answered without one")
		c.blame("cors_preflight", "preflight", 3.6, "", "the request is a CORS preflight")
	} else if r.Header.Has("Origin") && !safe(r.Method) {
		c.check("preflight", Info, "from a page, a browser would ask first (OPTIONS): "+preflightFor(r))
	}
}

func refusedBy(name string) string {
	if name == "Origin" {
		return "origin_rejected"
	}
	return "referer_rejected"
}

func sameHost(u *url.URL, l reqtext.Location, target string) bool {
	port := func(scheme, hostport string) string {
		host, port := hostPort(reqtext.Location{Scheme: scheme, Authority: hostport})
		return strings.ToLower(host) + ":" + port
	}
	return port(u.Scheme, u.Host) == port(l.Scheme, target)
}

// preflightFor says why a browser would send a preflight (Fetch standard, CORS-safelisted requests).
func preflightFor(r *reqtext.Request) string {
	var why []string
	if !slices.Contains([]string{"GET", "HEAD", "POST"}, r.Method) {
		why = append(why, "the method "+r.Method)
	}
	for _, f := range r.Header {
		n := strings.ToLower(f.Name)
		switch {
		case n == "content-type":
			if v := strings.ToLower(f.Value); !containsAny(v, "application/x-www-form-urlencoded", "multipart/form-data", "text/plain") {
				why = append(why, "the content type")
			}
		case slices.Contains([]string{"accept", "accept-language", "content-language", "host", "origin", "referer", "user-agent", "content-length", "cookie", "connection", "accept-encoding", "range"}, n), strings.HasPrefix(n, "sec-"):
		default:
			why = append(why, "the header "+f.Name)
		}
	}
	if len(why) == 0 {
		return "no, this is a simple request"
	}
	return "yes, because of " + strings.Join(why[:min(len(why), 4)], ", ")
}

// checkCookies looks at cookies and CSRF tokens of the request.
func (c *theCase) checkCookies(l reqtext.Location) {
	r := c.in.Request
	values := map[string]string{}
	for _, f := range r.Header {
		if !header.EqualFold(f.Name, "Cookie") {
			continue
		}
		for _, pair := range strings.Split(f.Value, ";") {
			name, v, _ := strings.Cut(strings.TrimSpace(pair), "=")
			if _, twice := values[name]; twice {
				c.check("cookie.doubled", Warning, "the cookie "+name+" is sent twice, as cookies of two paths or domains are")
				c.blame("csrf_invalid", "cookie", 0.6, "", "")
			}
			values[name] = v
			if strings.HasPrefix(name, "__Secure-") || strings.HasPrefix(name, "__Host-") {
				if l.Scheme == "http" {
					c.check("cookie.secure", Problem, "the cookie "+name+" may be sent over TLS only; a browser would leave it out")
				}
			}
		}
	}
	token, cookie := c.csrfToken(), ""
	for name, v := range values {
		if csrfName(name) {
			cookie = v
		}
	}
	switch {
	case token == "" && len(values) > 0 && !safe(r.Method) && !r.Header.Has("Authorization"):
		c.check("csrf", Warning, "the request signs in by cookie and writes, but carries no CSRF token")
		c.blame("csrf_missing", "csrf", 2.0, "csrf", "the request signs in by cookie and carries no CSRF token")
	case token != "" && len(values) == 0:
		c.check("csrf", Warning, "the request carries a CSRF token, but no cookie that it could belong to")
		c.blame("csrf_invalid", "csrf", 2.0, "csrf", "there is a CSRF token without a cookie")
	case token != "" && cookie != "" && token != cookie && len(token) == len(cookie):
		c.check("csrf", Warning, "the CSRF token and its cookie differ, which a double-submit check refuses")
		c.blame("csrf_invalid", "csrf", 2.4, "csrf", "the CSRF token and its cookie differ")
	case token != "":
		c.check("csrf", OK, "a CSRF token and a cookie are there")
		c.blame("csrf_invalid", "csrf", 1.0, "csrf", "")
	}
}

// csrfToken returns the CSRF token of header or form.
func (c *theCase) csrfToken() string {
	r := c.in.Request
	for _, f := range r.Header {
		if csrfName(f.Name) {
			return f.Value
		}
	}
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") && len(r.Body) < 1<<20 {
		if q, err := url.ParseQuery(string(r.Body)); err == nil {
			for name, v := range q {
				if csrfName(name) && len(v) > 0 {
					return v[0]
				}
			}
		}
	}
	return ""
}

// checkProxy looks whether the client sends by way of a proxy.
func (c *theCase) checkProxy(l reqtext.Location) {
	r := c.in.Request
	via := r.Proxy
	if via == "" && c.in.Env != nil {
		name := l.Scheme + "_proxy"
		if via = c.in.Env(name); via == "" {
			via = c.in.Env(strings.ToUpper(name))
		}
		if via != "" {
			host, _ := hostPort(l)
			for _, direct := range strings.Split(c.in.Env("no_proxy")+","+c.in.Env("NO_PROXY"), ",") {
				if direct = strings.TrimPrefix(strings.TrimSpace(direct), "."); direct != "" && (direct == "*" || host == direct || strings.HasSuffix(host, "."+direct)) {
					return
				}
			}
		}
	}
	if via == "" {
		return
	}
	if i := strings.LastIndexByte(via, '@'); i >= 0 {
		via = via[i+1:]
	}
	c.check("proxy", Info, "the request goes by way of the proxy "+clip(via, 80))
	weight := 0.8
	if r.Proxy != "" {
		weight = 1.4
	}
	c.blame("proxy_in_between", "proxy", weight, "proxy", "the request goes by way of a proxy")
}
