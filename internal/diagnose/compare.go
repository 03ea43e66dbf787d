package diagnose

import (
	"bytes"
	"fmt"
	"strings"

	"postern/internal/reqtext"
)

// compare lists how the request differs from one that works, and blames the differences.
func (c *theCase) compare() {
	bad, good := c.in.Request, c.in.Compare
	if bad == nil || good == nil {
		return
	}
	differ := func(cause, text string) {
		c.report.Difference = append(c.report.Difference, text)
		if cause != "" {
			c.board.add(cause, "compare "+cause, 1.8, "", Evidence{From: "comparison", Text: text})
		}
	}
	if bad.Method != good.Method {
		differ("server_method_limit", "the method: "+bad.Method+", and "+good.Method+" works")
	}
	b, err1 := reqtext.SplitURL(bad.URL)
	g, err2 := reqtext.SplitURL(good.URL)
	if err1 == nil && err2 == nil {
		if b.Scheme != g.Scheme {
			differ("tls_required", "the scheme: "+b.Scheme+", and "+g.Scheme+" works")
		}
		if !strings.EqualFold(b.Authority, g.Authority) {
			differ("host_not_served", "the host: "+b.Authority+", and "+g.Authority+" works")
		}
		if b.Path != g.Path {
			differ("", "the path: "+b.Path+", and "+g.Path+" works")
		}
		if b.Query != g.Query {
			differ("", "the query differs")
		}
	}
	seen := map[string]bool{}
	for _, list := range []*reqtext.Request{bad, good} {
		for _, f := range list.Header {
			name := strings.ToLower(f.Name)
			if seen[name] || name == "content-length" || name == "host" {
				continue
			}
			seen[name] = true
			bv, bn := bad.Header.Lookup(f.Name)
			gv, gn := good.Header.Lookup(f.Name)
			switch {
			case bn == 0 && gn > 0:
				differ(causeOf(name, true), "the header "+f.Name+" is missing, and the one that works has it")
			case bn > 0 && gn == 0:
				differ(causeOf(name, false), "the header "+f.Name+" is there, and the one that works has none")
			case bv != gv || bn != gn:
				text := "the header " + f.Name + " has another value"
				if !secretName(name) && name != "cookie" {
					text += fmt.Sprintf(": %q, and %q works", clip(bv, 80), clip(gv, 80))
				}
				differ(causeOf(name, false), text)
			}
		}
	}
	if !bytes.Equal(bad.Body, good.Body) {
		differ("waf_rule", fmt.Sprintf("the body differs (%d bytes, and %d in the one that works)", len(bad.Body), len(good.Body)))
	}
	if len(c.report.Difference) == 0 {
		c.report.Difference = []string{"none: the two are the same request; time, address or state make the difference"}
		c.board.add("rate_limited", "compare", 1.2, "", Evidence{From: "comparison", Text: "the same request works at another time"})
	}
}

// causeOf is what a difference in a field makes likely.
func causeOf(name string, missing bool) string {
	switch {
	case csrfName(name) && missing:
		return "csrf_missing"
	case csrfName(name):
		return "csrf_invalid"
	case credentialField(name) && missing:
		return "credential_missing"
	case credentialField(name):
		return "credential_invalid"
	case name == "origin":
		return "origin_rejected"
	case name == "referer":
		return "referer_rejected"
	case name == "user-agent":
		return "bot_ua_block"
	case name == "content-type":
		return "waf_rule"
	case forwarding(name):
		return "ip_denied"
	}
	return ""
}
