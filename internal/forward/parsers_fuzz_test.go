package forward

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"postern/internal/gate"
	"postern/internal/header"
	"postern/internal/http1"
	"postern/internal/policy"
)

// FuzzKeepAlive: whatever a server promises, the time is bounded and never negative.
func FuzzKeepAlive(f *testing.F) {
	f.Add("timeout=5, max=100")
	f.Add("timeout=99999999999999999999")
	f.Add("max=1, timeout=")
	f.Fuzz(func(t *testing.T, v string) {
		if d := keepAlive(header.List{{Name: "Keep-Alive", Value: v}}); d < 0 || d > 1_000_000*time.Second {
			t.Errorf("%q is %v", v, d)
		}
	})
}

// FuzzHolds: a secret is found exactly where a server that decodes finds it.
func FuzzHolds(f *testing.F) {
	f.Add("a=secret", "secret")
	f.Add("a=%73ecre%74", "secret")
	f.Add("%73%", "s")
	f.Add("%zz%2", "%")
	f.Fuzz(func(t *testing.T, s, secret string) {
		decoded, err := url.PathUnescape(s)
		if err != nil || secret == "" || strings.Contains(secret, "%") {
			holds(s, secret)
			return
		}
		if got, want := holds(s, secret), strings.Contains(decoded, secret) || strings.Contains(s, secret); got != want {
			t.Errorf("holds(%q, %q) = %v, want %v", s, secret, got, want)
		}
	})
}

// FuzzCookie: a cookie is found where net/http finds it.
func FuzzCookie(f *testing.F) {
	f.Add("a=b; user=7; c=d")
	f.Add("user=")
	f.Add(";; user=x=y")
	f.Fuzz(func(t *testing.T, line string) {
		if !http1.ValidFieldValue(line) || strings.ContainsAny(line, "\"\\,") || strings.ContainsFunc(line, func(r rune) bool { return r > 0x7e }) {
			return // cannot arrive, or net/http calls it invalid
		}
		x := &gate.Exchange{Header: header.List{{Name: "cookie", Value: line}}}
		got := cookie(x, "user")
		r := http.Request{Header: http.Header{"Cookie": {line}}}
		if c, err := r.Cookie("user"); err == nil && c.Value != got {
			t.Errorf("%q: %q, net/http says %q", line, got, c.Value)
		}
	})
}

// FuzzTarget: a URL that is accepted as a target leads where net/url says, and makes a request line that can be written.
func FuzzTarget(f *testing.F) {
	f.Add("http://10.0.0.1:8080/base/")
	f.Add("https://[::1]/a%2Fb")
	f.Add("http://user:pw@h?q#f")
	f.Fuzz(func(t *testing.T, s string) {
		got, err := parseTarget(policy.Target{URL: s})
		if err != nil {
			return
		}
		u, err := url.Parse(s)
		if err != nil || u.Hostname() != got.server || u.User != nil || (u.Scheme == "https") != got.https {
			t.Fatalf("%q became %+v", s, got.name)
		}
		if _, err := http1.AppendRequestLine(nil, "GET", got.prefix+"/"); err != nil {
			t.Errorf("%q: the prefix %q cannot be written", s, got.prefix)
		}
		if !http1.ValidFieldValue(got.host) {
			t.Errorf("%q: the host %q cannot be written", s, got.host)
		}
	})
}
