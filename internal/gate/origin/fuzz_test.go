package origin

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	"postern/internal/decision"
	"postern/internal/gatetest"
	"postern/internal/header"
	"postern/internal/policy"
)

// An origin that is read is written again as it was, and net/url reads the same scheme, host and port from it: two readings
// of one text are how a stranger's origin passes for a friend's.
func FuzzSplit(f *testing.F) {
	for _, s := range []string{"https://app.example.com", "http://localhost:3000", "https://[2001:db8::1]:8443", "https://a@b", "https://a.example:443",
		"null", "https://", "://", "https://a..b", "https://a/", "HTTPS://a", "chrome-extension://abc", "https://[::1", "https://::1", "https://a:0", "https://a\\@b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		o, ok := split(s)
		if !ok {
			return
		}
		if o.String() != s {
			t.Fatalf("%q is written %q", s, o)
		}
		u, err := url.Parse(s)
		if err != nil {
			if strings.HasPrefix(o.host, "[") { // what is in the brackets is only compared
				return
			}
			t.Fatalf("%q: %v", s, err)
		}
		if u.Scheme != o.scheme || u.Port() != o.port || u.Hostname() != bare(o.host) || u.Path != "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			t.Fatalf("%q is %+v here and %+v elsewhere", s, o, u)
		}
		if strings.ToLower(s) != s || len(s) > maxOrigin {
			t.Fatalf("%q is no browser's", s)
		}
		if ofReferer(s+"/path?q#f") != s {
			t.Fatalf("the origin of %q/path is %q", s, ofReferer(s+"/path?q#f"))
		}
	})
}

// No text but one that a key signed for this session counts, and no text makes the parser fail.
func FuzzToken(f *testing.F) {
	c := compiler{}
	tok := c.token("", &policy.CSRFToken{Kind: "session", Session: "sid", Keys: []policy.CSRFKey{{ID: "k1", Secret: "${env:K}"}}},
		func(string) (string, error) { return strings.Repeat("k", 32), nil })
	if len(c.problems) > 0 {
		f.Fatal(c.problems)
	}
	signed := "1.k1.1772625600." + strings.Repeat("n", nonceText)
	genuine := signed + "." + string(tok.keys[0].sign(nil, signed, "s"))
	f.Add(genuine)
	for _, s := range []string{"", "1....", "1.k1.0.x.y", genuine + ".", "1" + genuine, strings.Replace(genuine, "1.k1", "2.k1", 1), strings.Repeat(".", 200), "1.k1.-1." + genuine[15:]} {
		f.Add(s)
	}
	rule := &decision.Rule{ID: "r"}
	f.Fuzz(func(t *testing.T, s string) {
		x := gatetest.Exchange()
		v := tok.verify(x, rule, s, "s")
		p, ok := parse(s)
		switch {
		case v.Passed() && (!ok || !tok.signed(p, "s")):
			t.Fatalf("%q counts", s)
		case v.Passed() && s != genuine && p.signed == signed:
			t.Fatalf("%q counts for %q", s, genuine)
		case ok && p.signed+"."+p.mac != s:
			t.Fatalf("%q is taken apart to %+v", s, p)
		case ok && (p.issued.Before(time.Unix(0, 0)) || len(p.key) > maxToken):
			t.Fatalf("%q: %+v", s, p)
		}
	})
}

// Cookies and forms come from anybody.
func FuzzFormAndCookies(f *testing.F) {
	f.Add("a=b; t=1; t=2", "a=b&t=1", "multipart/form-data; boundary=x")
	f.Add("t", "--x\r\nContent-Disposition: form-data; name=\"t\"\r\n\r\n1\r\n--x--", "multipart/form-data; boundary=x")
	f.Add("=;;t= 1 ;", "%&=&t", "application/x-www-form-urlencoded")
	f.Fuzz(func(t *testing.T, cookies, body, kind string) {
		value, n := cookie(header.List{{Name: "Cookie", Value: cookies}}, "t")
		if n == 0 && value != "" || !strings.Contains(cookies, value) || strings.ContainsAny(value, ";") {
			t.Fatalf("%q: %q, %d", cookies, value, n)
		}
		tok := &token{header: "X-CSRF-Token", field: "t", cookie: "c"}
		x := gatetest.Exchange(gatetest.Content(kind, body))
		value, _, ok := tok.sent(context.Background(), x, &decision.Rule{})
		if ok && (value == "" || len(value) > len(body)) {
			t.Fatalf("%q in %q", value, body)
		}
	})
}

// What is compiled as tight accepts no origin of anybody else, for any expression that a person may write.
func FuzzTightPatterns(f *testing.F) {
	for _, p := range []string{`https://app\.example\.com`, `https?://(a|b)\.example\.com(:\d+)?`, `https://.*\.example\.com`, `.*`, `https://.*example\.com`,
		`https://[^.]+\.example\.com:\d{2,5}`, `(https://a\.example\.com)?`, `https://a.example\.com|https://b\.example\.org`, `https://(a\.)*example\.com`} {
		f.Add(p, "https://attacker.example")
		f.Add(p, "https://attackerexample.com")
	}
	f.Fuzz(func(t *testing.T, pattern, probe string) {
		c := compiler{narrow: "x"}
		l := c.list("", nil, "", []string{pattern})
		if len(c.problems) > 0 {
			return
		}
		o, ok := split(probe)
		if !ok || !l.match(probe) {
			return
		}
		// Whatever matches stays under one owner when a stranger's domain is put in its place.
		for _, stranger := range []string{o.scheme + "://attacker-" + strings.TrimPrefix(o.host, "["), o.scheme + "://attacker.test", o.scheme + "://" + o.host + ".attacker.test"} {
			s, ok := split(stranger)
			if ok && l.match(stranger) && !strings.HasSuffix(s.host, registrable(o.host)) {
				t.Fatalf("%s accepts %s besides %s", pattern, stranger, probe)
			}
		}
	})
}

// registrable is the domain of a host that has one owner, with its dot.
func registrable(host string) string {
	for rest := host; ; {
		_, parent, ok := strings.Cut(rest, ".")
		if !ok || !ownable(parent) {
			return rest
		}
		rest = parent
	}
}
