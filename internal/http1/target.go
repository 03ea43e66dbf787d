package http1

import (
	"net/netip"
	"strings"

	"postern/internal/header"
)

// target classifies and splits the request-target (RFC 9112 section 3.2).
func (r *Reader) target(req *Request) error {
	t := req.Target
	switch {
	case req.Method == "CONNECT":
		req.Form, req.Path, req.Query = AuthorityForm, "", ""
		if !strings.Contains(t, ":") || !validAuthority(t) || strings.HasSuffix(t, "]") {
			return r.fail(BadTarget, 400, "the target of CONNECT is not host:port")
		}
		req.Host = t
		return nil
	case t[0] == '/':
		req.Form = OriginForm
		return r.pathAndQuery(req, t)
	case t == "*":
		if req.Method != "OPTIONS" {
			return r.fail(BadTarget, 400, "the target * belongs to OPTIONS only")
		}
		req.Form, req.Path, req.Query = AsteriskForm, "*", ""
		return nil
	}
	i := strings.Index(t, "://")
	if i < 0 || !header.EqualFold(t[:i], "http") && !header.EqualFold(t[:i], "https") {
		return r.fail(BadTarget, 400, "the request target is neither a path starting with / nor an http or https address")
	}
	req.Form, req.Scheme = AbsoluteForm, t[:i]
	t = t[i+3:]
	end := strings.IndexAny(t, "/?#")
	if end < 0 {
		end = len(t)
	}
	req.Host = t[:end]
	if !validAuthority(req.Host) {
		return r.fail(BadTarget, 400, "the authority in the request target is not a host with an optional port")
	}
	if err := r.pathAndQuery(req, t[end:]); err != nil {
		return err
	}
	if req.Path == "" {
		req.Path = "/"
		if req.Method == "OPTIONS" && end == len(t) { // RFC 9112 section 3.2.4
			req.Path = "*"
		}
	}
	return nil
}

func (r *Reader) pathAndQuery(req *Request, t string) error {
	i := 0
	for i < len(t) && class[t[i]]&pathByte != 0 {
		if t[i] == '%' && (i+2 >= len(t) || class[t[i+1]]&class[t[i+2]]&hexByte == 0) {
			return r.fail(BadTarget, 400, "a %% in the path is not followed by two hexadecimal digits")
		}
		i++
	}
	req.Path, req.Query = t[:i], ""
	if i == len(t) {
		return nil
	}
	if t[i] == '?' {
		req.Query = t[i+1:]
		for i++; i < len(t) && class[t[i]]&queryByte != 0; i++ {
		}
		if i == len(t) {
			return nil
		}
	}
	if t[i] == '#' {
		return r.fail(BadTarget, 400, "the request target contains a fragment (#), which a client must not send")
	}
	return r.fail(BadTarget, 400, "byte 0x%02x at offset %d of the request target must be percent-encoded", t[i], i)
}

// host applies RFC 9112 section 3.2: exactly one valid Host, which agrees with the target's authority if that has one.
func (r *Reader) host(req *Request, f *framing) error {
	switch {
	case f.hosts > 1:
		return r.fail(BadHost, 400, "there is more than one Host field")
	case f.hosts == 0:
		if req.Minor == 1 {
			return r.fail(BadHost, 400, "the Host field is missing")
		}
		return nil
	case f.host == "":
		return r.fail(BadHost, 400, "the Host field is empty")
	case !validAuthority(f.host):
		return r.fail(BadHost, 400, "the Host field %s is not a host with an optional port", quote(f.host))
	case req.Host == "":
		req.Host = f.host
		return nil
	case !header.EqualFold(req.Host, f.host):
		return r.fail(BadHost, 400, "the Host field %s and the request target name different hosts", quote(f.host))
	}
	return nil
}

// validAuthority checks host [":" port] as section 7.2 of RFC 9110 and section 3.2.2 of RFC 3986 define it, without user
// information, percent-encoding, sub-delimiters or empty labels, which no host has that this gateway could serve.
func validAuthority(s string) bool {
	if s == "" {
		return false
	}
	if s[0] == '[' {
		end := strings.IndexByte(s, ']')
		if end < 0 || strings.IndexByte(s[:end], '%') >= 0 {
			return false
		}
		addr, err := netip.ParseAddr(s[1:end])
		return err == nil && addr.Is6() && validPort(s[end+1:])
	}
	i := 0
	for last := byte('.'); i < len(s) && class[s[i]]&hostByte != 0; i++ {
		if s[i] == '.' && last == '.' {
			return false
		}
		last = s[i]
	}
	return i > 0 && validPort(s[i:])
}

// validPort accepts "" and ":" followed by a number up to 65535.
func validPort(s string) bool {
	if s == "" {
		return true
	}
	if s[0] != ':' || len(s) < 2 || len(s) > 6 {
		return false
	}
	port := 0
	for i := 1; i < len(s); i++ {
		if class[s[i]]&digitByte == 0 {
			return false
		}
		port = port*10 + int(s[i]-'0')
	}
	return port <= 65535
}
