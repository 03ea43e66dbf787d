package origin

import (
	"strings"

	"postern/internal/gate"
)

// maxOrigin is the longest origin that is looked at: a scheme, a host name of 253 characters and a port.
const maxOrigin = 300

// tuple is an origin: scheme, host and port as they stand in the text, which they are views into.
type tuple struct{ scheme, host, port string }

// split reads an origin exactly as browsers write it (RFC 6454 section 6.2, https://html.spec.whatwg.org/#ascii-serialisation-of-an-origin):
// scheme://host or scheme://host:port, in lower case, international names in their xn-- form, the default port left out, and
// nothing behind. Any other spelling is no browser's, and is not one origin.
func split(s string) (t tuple, ok bool) {
	if len(s) > maxOrigin {
		return tuple{}, false
	}
	i := strings.Index(s, "://")
	if i <= 0 || !isScheme(s[:i]) {
		return tuple{}, false
	}
	t.scheme, t.host = s[:i], s[i+3:]
	end := strings.LastIndexByte(t.host, ':')
	if strings.HasSuffix(t.host, "]") {
		end = -1 // the colon is of an IPv6 address
	}
	if end >= 0 {
		t.host, t.port = t.host[:end], t.host[end+1:]
		if !isPort(t.port) || t.port == defaultPort(t.scheme) {
			return tuple{}, false
		}
	}
	return t, isHost(t.host)
}

func isScheme(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || i > 0 && (c >= '0' && c <= '9' || c == '+' || c == '-' || c == '.')) {
			return false
		}
	}
	return true
}

func isPort(s string) bool {
	n := 0
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' || i > 4 {
			return false
		}
		n = n*10 + int(s[i]-'0')
	}
	return s != "" && s[0] != '0' && n <= 65535
}

// isHost accepts a name of non-empty labels, or an address. Brackets hold an IPv6 address.
func isHost(s string) bool {
	if len(s) > 2 && s[0] == '[' && s[len(s)-1] == ']' {
		for _, c := range []byte(s[1 : len(s)-1]) {
			if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c == ':' || c == '.') {
				return false
			}
		}
		return true
	}
	label := 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '.' && label > 0:
			label = 0
		case c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_':
			label++
		default:
			return false
		}
	}
	return label > 0 && len(s) <= 253
}

func defaultPort(scheme string) string {
	switch scheme {
	case "http":
		return "80"
	case "https":
		return "443"
	}
	return ""
}

// of is the origin of the API itself as the caller addressed it: the scheme that trusted proxies forwarded, and the host.
func of(x *gate.Exchange) tuple {
	t := tuple{scheme: x.Scheme, host: x.Hostname}
	if i := strings.LastIndexByte(x.Host, ':'); i >= 0 && strings.IndexByte(x.Host[i:], ']') < 0 {
		if t.port = x.Host[i+1:]; t.port == defaultPort(t.scheme) {
			t.port = ""
		}
	}
	return t
}

// bare is a host without the brackets of an IPv6 address: gate.Exchange.Hostname has none.
func bare(host string) string {
	if len(host) > 2 && host[0] == '[' {
		return host[1 : len(host)-1]
	}
	return host
}

// sameHost reports whether two origins differ in nothing but their scheme and its default port.
func (t tuple) sameHost(o tuple) bool { return bare(t.host) == bare(o.host) && t.port == o.port }

func (t tuple) same(o tuple) bool { return t.scheme == o.scheme && t.host != "" && t.sameHost(o) }

// String writes the origin as a browser would.
func (t tuple) String() string {
	host := t.host
	if strings.IndexByte(host, ':') >= 0 && host[0] != '[' {
		host = "[" + host + "]"
	}
	if t.port != "" {
		host += ":" + t.port
	}
	return t.scheme + "://" + host
}

// ofReferer returns the origin part of a Referer value (RFC 9110 section 10.1.3), or "" when it is no absolute address.
func ofReferer(s string) string {
	i := strings.Index(s, "://")
	if i < 0 {
		return ""
	}
	if end := strings.IndexAny(s[i+3:], "/?#\\"); end >= 0 {
		return s[:i+3+end]
	}
	return s
}
