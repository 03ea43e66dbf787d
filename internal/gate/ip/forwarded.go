package ip

import (
	"net/netip"
	"strings"

	"postern/internal/header"
)

// forwarded walks the elements of Forwarded (RFC 7239 section 4) from the last one. Lines are read one at a time, the last
// first, so that a line the caller wrote cannot spoil those that proxies added.
func (w *walk) forwarded(h header.List) {
	w.field = "Forwarded"
	for i := len(h) - 1; i >= 0 && w.fault == "" && !w.done; i-- {
		if header.EqualFold(h[i].Name, "Forwarded") {
			w.forwardedLine(h[i].Value)
		}
	}
}

func (w *walk) forwardedLine(line string) {
	// Elements can only be told apart from the front, because a quoted comma is no border. The last ones are remembered.
	var last [maxHops]element
	n := 0
	for rest := line; ; {
		e, after, fault := parseElement(rest)
		if fault != "" {
			w.fail(fault)
			return
		}
		last[n%maxHops] = e
		n++
		if after == "" {
			break
		}
		rest = after[1:]
	}
	for i := n - 1; i >= max(0, n-maxHops); i-- {
		e := &last[i%maxHops]
		addr, ok := parseNode(e.node)
		if !ok {
			w.fail("an element has a for parameter that is no node (RFC 7239 section 6)")
			return
		}
		if e.proto != "" {
			if w.scheme = schemeOf(e.proto); w.scheme == "" {
				w.fail("an element has a proto other than http and https")
				return
			}
		}
		if !w.hop(addr) {
			return
		}
	}
	if n > maxHops {
		w.fail("more than 32 hops")
	}
}

// element is the parameters of one forwarded-element that matter here, unquoted.
type element struct{ node, proto string }

// parseElement reads the element at the start of s and returns what follows it: nothing, or a comma and more.
func parseElement(s string) (e element, after, fault string) {
	seen := 0
	for {
		s = strings.TrimLeft(s, " \t")
		name := s[:tokenLen(s)]
		s = s[len(name):]
		if name == "" || s == "" || s[0] != '=' {
			return e, "", "an element is not a list of name=value"
		}
		value, rest, ok := parseValue(s[1:])
		if !ok {
			return e, "", "a value is neither a token nor a quoted string"
		}
		s = strings.TrimLeft(rest, " \t")
		bit := 0
		switch {
		case header.EqualFold(name, "for"):
			if value == "" {
				return e, "", "a for parameter is empty"
			}
			e.node, bit = value, 1
		case header.EqualFold(name, "proto"):
			e.proto, bit = value, 2
		case header.EqualFold(name, "by"):
			bit = 4
		case header.EqualFold(name, "host"):
			bit = 8
		}
		if seen&bit != 0 {
			return e, "", "an element has a parameter twice"
		}
		seen |= bit
		if s == "" || s[0] == ',' {
			return e, s, ""
		}
		if s[0] != ';' {
			return e, "", "something stands behind a value"
		}
		s = s[1:]
	}
}

// parseValue reads a token or a quoted string, and returns it without its quotes.
func parseValue(s string) (value, rest string, ok bool) {
	if s == "" || s[0] != '"' {
		n := tokenLen(s)
		return s[:n], s[n:], n > 0
	}
	escaped := false
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			escaped = true
			i++
		case '"':
			value = s[1:i]
			if escaped {
				value = unescape(value)
			}
			return value, s[i+1:], true
		}
	}
	return "", "", false
}

// unescape undoes quoted pairs (RFC 9110 section 5.6.4).
func unescape(s string) string {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b = append(b, s[i])
	}
	return string(b)
}

// tokenLen is how many bytes of s, from its start, are a token (RFC 9110 section 5.6.2).
func tokenLen(s string) int {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !(c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0) {
			return i
		}
	}
	return len(s)
}

// parseNode reads a node (RFC 7239 section 6): an address with an optional port, or a name that hides one, for which the
// address is invalid. A missing for parameter ("") says as little as "unknown".
func parseNode(s string) (netip.Addr, bool) {
	name, port, hasPort := s, "", false
	if s == "" || s[0] != '[' {
		name, port, hasPort = strings.Cut(s, ":")
	} else if end := strings.IndexByte(s, ']'); end >= 0 {
		name = s[:end+1]
		if rest := s[end+1:]; rest != "" {
			if rest[0] != ':' {
				return netip.Addr{}, false
			}
			port, hasPort = rest[1:], true
		}
	}
	if hasPort && !validPort(port) && !obfuscated(port) {
		return netip.Addr{}, false
	}
	if name == "" {
		return netip.Addr{}, !hasPort
	}
	if header.EqualFold(name, "unknown") || obfuscated(name) {
		return netip.Addr{}, true
	}
	addr, ok := parseHop(name)
	return addr, ok && (addr.Is4() || name[0] == '[')
}

// obfuscated reports whether s is an obfuscated identifier: an underscore and more.
func obfuscated(s string) bool {
	if len(s) < 2 || s[0] != '_' {
		return false
	}
	for i := 1; i < len(s); i++ {
		c := s[i]
		if !(c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-') {
			return false
		}
	}
	return true
}
