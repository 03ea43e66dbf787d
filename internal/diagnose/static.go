package diagnose

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"mime"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"postern/internal/header"
	"postern/internal/reqtext"
)

// blame puts evidence of the request on the board.
func (c *theCase) blame(cause, group string, weight float64, layer, text string) {
	c.board.add(cause, "request:"+group, weight, layer, Evidence{From: "request", Text: text})
}

func safe(method string) bool {
	return slices.Contains([]string{"GET", "HEAD", "OPTIONS", "TRACE"}, method)
}

// static checks the request without sending anything.
func (c *theCase) static() {
	r := c.in.Request
	if r == nil {
		return
	}
	l, err := reqtext.SplitURL(r.URL)
	if err != nil {
		c.check("url", Problem, err.Error())
		return
	}
	c.checkURL(l)
	c.checkFields()
	c.checkCredentials(l)
	c.checkBody()
	c.checkOrigin(l)
	c.checkCookies(l)
	c.checkProxy(l)
	c.step("request", OK, fmt.Sprintf("%d checks without sending anything", len(c.report.Checks)))
}

func (c *theCase) checkURL(l reqtext.Location) {
	r := c.in.Request
	switch {
	case r.Method != strings.ToUpper(r.Method):
		c.check("method", Warning, fmt.Sprintf("the method %q is not in capitals; methods are case-sensitive", r.Method))
		c.blame("wrong_method", "method", 1.8, "", "the method is not written in capitals")
	case len(r.Body) > 0 && (r.Method == "GET" || r.Method == "HEAD"):
		c.check("method", Warning, r.Method+" with a body: firewalls and servers refuse that, or ignore the body")
		c.blame("waf_rule", "getbody", 0.8, "", r.Method+" carries a body")
	default:
		c.check("method", OK, r.Method)
	}
	host, port := hostPort(l)
	addr, isAddr := netip.ParseAddr(strings.Trim(host, "[]"))
	loopback := isAddr == nil && (addr.IsLoopback() || addr.IsPrivate()) || strings.EqualFold(host, "localhost")
	if named := r.Header.Get("Host"); named != "" && !strings.EqualFold(named, l.Authority) {
		c.check("host", Warning, fmt.Sprintf("the Host field says %s and the address %s: the name may not be served there", named, l.Authority))
		c.blame("host_not_served", "host", 3.0, "", "the Host field names another host than the address")
	} else {
		c.check("host", OK, l.Authority)
	}
	if l.Scheme == "http" {
		switch {
		case port == "443" || port == "8443":
			c.check("scheme", Problem, "http:// to port "+port+", where TLS is spoken")
			c.blame("tls_required", "scheme", 2.5, "tls", "http:// to port "+port)
		case !loopback:
			c.check("scheme", Info, "http:// without TLS: many servers refuse or redirect it, and a redirect may lose the method or the credential")
			c.blame("tls_required", "scheme", 0.5, "tls", "")
		}
	}
	if strings.Contains(l.Path, "//") {
		c.check("path", Warning, "the path has an empty segment (//)")
	}
	for _, mark := range []string{"%2e%2e", "/..", "%00", "%2f"} {
		if strings.Contains(strings.ToLower(l.Path), mark) {
			c.check("path", Warning, "the path has "+mark+", which firewalls refuse")
			c.blame("waf_rule", "path", 2.2, "waf", "the path has "+mark)
		}
	}
	if strings.Contains(l.Path, "{") || strings.Contains(l.Path, "%7B") || strings.Contains(l.Path, "/:") {
		c.check("path", Warning, "the path has a placeholder that was not filled in")
		c.blame("wrong_handler", "path", 1.5, "", "the path has a placeholder that was not filled in")
	}
	c.checkQuery(l.Query)
}

// checkQuery looks for signed addresses that have expired.
func (c *theCase) checkQuery(query string) {
	q, err := url.ParseQuery(query)
	if err != nil {
		c.check("query", Warning, "the query has a % that is no escape")
		c.blame("waf_rule", "query", 0.7, "", "the query has a % that is no escape")
	}
	get := func(names ...string) string {
		for have, v := range q {
			for _, n := range names {
				if strings.EqualFold(have, n) && len(v) > 0 {
					return v[0]
				}
			}
		}
		return ""
	}
	now := c.in.Now
	expired := func(at time.Time, what string) {
		if !now.IsZero() && now.After(at) {
			c.check("query.expires", Problem, fmt.Sprintf("the address is signed until %s (%s), %s ago", at.Format(time.RFC3339), what, round(now.Sub(at))))
			c.blame("token_expired", "query", 3.4, "", "the signed address expired at "+at.Format(time.RFC3339))
		}
	}
	if n, err := strconv.ParseInt(get("expires", "exp", "e"), 10, 64); err == nil && n > 1e9 && n < 1e11 {
		expired(time.Unix(n, 0).UTC(), "expires")
	}
	if at, err := time.Parse("20060102T150405Z", get("X-Amz-Date")); err == nil {
		if n, err := strconv.Atoi(get("X-Amz-Expires")); err == nil && n >= 0 && n <= 7*86400 {
			expired(at.Add(time.Duration(n)*time.Second), "X-Amz-Date and X-Amz-Expires")
		}
	}
	if at, err := time.Parse(time.RFC3339, get("se")); err == nil && get("sig") != "" {
		expired(at, "se")
	}
}

func hostPort(l reqtext.Location) (host, port string) {
	a := l.Authority
	if i := strings.LastIndexByte(a, '@'); i >= 0 {
		a = a[i+1:]
	}
	if h, p, err := net.SplitHostPort(a); err == nil {
		return h, p
	}
	if l.Scheme == "https" {
		return a, "443"
	}
	return a, "80"
}

// checkFields looks at every header field: signs that cannot be seen, names that get lost, doubles.
func (c *theCase) checkFields() {
	r := c.in.Request
	seen := map[string]int{}
	for _, f := range r.Header {
		name := strings.ToLower(f.Name)
		seen[name]++
		if strings.Contains(f.Name, "_") {
			c.check("header.underscore", Warning, "the header name "+f.Name+" has an underscore: nginx and others drop such a field silently")
			weight := 1.4
			if secretName(f.Name) {
				weight = 2.8
			}
			c.blame("credential_stripped", "underscore", weight, "proxy", "the header name "+f.Name+" has an underscore, and proxies drop such fields")
		}
		if near := misspelt(f.Name); near != "" {
			c.check("header.misspelt", Problem, fmt.Sprintf("the header name %s looks like a slip for %s", f.Name, near))
			c.blame("credential_missing", "misspelt", 3.2, "", "the header name "+f.Name+" looks like a slip for "+near)
		}
		for _, s := range f.Value {
			if what := unseen(s); what != "" {
				c.check("header.invisible", Problem, fmt.Sprintf("the value of %s has %s, which cannot be seen", f.Name, what))
				if secretName(f.Name) {
					c.blame("credential_invalid", "invisible", 3.2, "", "the value of "+f.Name+" has "+what)
				}
				break
			}
		}
		if v := strings.TrimSpace(f.Value); len(v) > 1 && (v[0] == '"' && v[len(v)-1] == '"' || v[0] == '\'' && v[len(v)-1] == '\'') && secretName(f.Name) {
			c.check("header.quoted", Problem, "the value of "+f.Name+" stands in quotes, which are sent with it")
			c.blame("credential_invalid", "quoted", 3.0, "", "the value of "+f.Name+" stands in quotes")
		}
		if v := strings.ToLower(f.Value); secretName(f.Name) && (strings.Contains(v, "your_") || strings.Contains(v, "your-") || strings.Contains(v, "<") || strings.Contains(v, "xxxx") || strings.Contains(v, "undefined") || strings.HasSuffix(v, " null") || strings.Contains(v, "{{")) {
			c.check("header.placeholder", Problem, "the value of "+f.Name+" is a placeholder that was not filled in")
			c.blame("credential_invalid", "placeholder", 3.4, "", "the value of "+f.Name+" is a placeholder")
		}
	}
	for name, n := range seen {
		if n > 1 && secretName(name) && name != "cookie" {
			c.check("header.doubled", Problem, fmt.Sprintf("%s is sent %d times", name, n))
			c.blame("credential_invalid", "doubled", 2.6, "", name+" is sent more than once")
		}
	}
	for _, name := range []string{"X-Forwarded-For", "X-Real-IP", "Forwarded", "Client-IP", "X-Client-IP", "True-Client-IP", "CF-Connecting-IP", "X-Originating-IP", "X-Forwarded-Host"} {
		if r.Header.Has(name) {
			c.check("header.forwarding", Warning, "the client itself sends "+name+", which belongs to proxies: the server may take it for the client's address")
			if name == "X-Forwarded-Host" {
				c.blame("host_not_served", "forwarding", 1.5, "", "the client itself sends "+name)
			} else {
				c.blame("ip_denied", "forwarding", 2.6, "", "the client itself sends "+name)
			}
			break
		}
	}
	agent := r.Header.Get("User-Agent")
	switch lower := strings.ToLower(agent); {
	case agent == "":
		c.check("user-agent", Warning, "no User-Agent is sent: some servers refuse that")
		c.blame("bot_ua_block", "ua", 1.2, "", "no User-Agent is sent")
	case containsAny(lower, "sqlmap", "nikto", "nmap", "masscan", "wpscan", "dirbuster", "gobuster", "acunetix", "nessus", "zgrab", "havij", "arachni", "nuclei"):
		c.check("user-agent", Problem, "the User-Agent is that of a scanner, which firewalls refuse")
		c.blame("waf_rule", "ua", 3.0, "waf", "the User-Agent is that of a scanner")
		c.blame("bot_ua_block", "ua", 2.0, "", "the User-Agent is that of a scanner")
	case containsAny(lower, "badbot", "crawler", "spider", "scrapy", "bot/", "headless", "phantom"):
		c.blame("bot_ua_block", "ua", 2.2, "", "the User-Agent names a bot")
	case containsAny(lower, "python-", "libwww", "go-http-client", "java/", "wget", "okhttp", "axios"):
		c.blame("bot_ua_block", "ua", 0.7, "", "the User-Agent is that of a library")
	}
}

func containsAny(s string, words ...string) bool {
	return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(s, w) })
}

// unseen names a sign that a person cannot see.
func unseen(r rune) string {
	switch {
	case r == 0xa0:
		return "a no-break space"
	case r == 0xfeff:
		return "a byte-order mark"
	case r >= 0x200b && r <= 0x200f, r >= 0x202a && r <= 0x202e, r >= 0x2060 && r <= 0x2069:
		return "a zero-width or direction sign"
	case r == 0x2018 || r == 0x2019 || r == 0x201c || r == 0x201d:
		return "a typographic quote"
	case r == 0x2026 || r == 0x2013 || r == 0x2014:
		return "a typographic dash or ellipsis"
	case r == unicode.ReplacementChar:
		return "bytes that are no UTF-8"
	case unicode.IsControl(r):
		return "a control character"
	}
	return ""
}

// checkBody parses the body by what its type says.
func (c *theCase) checkBody() {
	r := c.in.Request
	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	body := strings.TrimSpace(string(r.Body))
	switch {
	case r.BodyUnknown:
		c.check("body", Skipped, "the body is not here")
		return
	case len(r.Body) == 0:
		if !safe(r.Method) && r.Method != "DELETE" {
			c.check("body", Info, r.Method+" without a body")
		}
		return
	case !r.Header.Has("Content-Type"):
		c.check("body.type", Warning, "there is a body, but no Content-Type")
		c.blame("waf_rule", "type", 0.8, "", "there is a body without Content-Type")
		return
	case err != nil:
		c.check("body.type", Problem, "the Content-Type cannot be read: "+clip(r.Header.Get("Content-Type"), 60))
		c.blame("waf_rule", "type", 1.6, "", "the Content-Type cannot be read")
		return
	}
	var fault error
	switch {
	case media == "application/json" || strings.HasSuffix(media, "+json"):
		var v any
		fault = json.Unmarshal(r.Body, &v)
	case media == "application/xml" || media == "text/xml" || strings.HasSuffix(media, "+xml"):
		fault = wellFormed(body)
	case media == "application/x-www-form-urlencoded":
		if strings.HasPrefix(body, "{") || strings.HasPrefix(body, "[") {
			c.check("body.type", Problem, "the body is JSON, but the Content-Type says form (curl -d does that; add -H 'Content-Type: application/json')")
			c.blame("waf_rule", "type", 0.6, "", "")
			return
		}
		_, fault = url.ParseQuery(body)
	case media == "multipart/form-data":
		if b := params["boundary"]; b == "" || !strings.Contains(body, "--"+b) {
			fault = fmt.Errorf("the boundary of the Content-Type is not in the body")
		}
	case containsAny(media, "yaml", "octet-stream", "x-java", "php", "text/plain", "x-amf"):
		c.check("body.type", Info, "the content type "+media+" is one that firewalls often refuse")
		c.blame("waf_rule", "type", 1.9, "waf", "the content type "+media+" is one that firewalls often refuse")
		return
	}
	if fault != nil {
		c.check("body.form", Problem, "the body is not what its Content-Type "+media+" says: "+clip(fault.Error(), 100))
		c.blame("waf_rule", "form", 1.4, "waf", "the body is not what its Content-Type says")
		return
	}
	c.check("body", OK, fmt.Sprintf("%s, %d bytes, reads well", media, len(r.Body)))
}

func wellFormed(body string) error {
	d := xml.NewDecoder(strings.NewReader(body))
	for {
		_, err := d.Token()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func clip(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}

func cookieNames(h header.List) (names []string) {
	for _, f := range h {
		if !header.EqualFold(f.Name, "Cookie") {
			continue
		}
		for _, pair := range strings.Split(f.Value, ";") {
			name, _, _ := strings.Cut(strings.TrimSpace(pair), "=")
			names = append(names, name)
		}
	}
	return names
}
