package route

import (
	"fmt"
	"net/netip"
	"strings"

	"postern/internal/policy"
)

// Bounds of a name (RFC 1035 section 2.3.4), without the trailing dot.
const (
	maxHost  = 253
	maxLabel = 63
)

// NormaliseHost splits the Host of a request into the name that routes are matched by and the port, or says why it is
// refused. The name is in lower case, without the port and without one trailing dot (the root label: "a.example." is the
// same host); an IPv6 address is without brackets and in its shortest form. An empty host, which HTTP/1.0 permits, gives
// an empty name.
//
// Letters, digits, "-", "." and "_" may occur ("_" because internal names have it). Refused, because no host that a
// gateway serves has them: user information, percent-encoding, bytes beyond ASCII (international names are sent as
// xn--…), white space, empty labels, a second trailing dot, IPv6 zones, and labels or names longer than DNS allows.
func NormaliseHost(raw string) (name, port string, fault *Fault) {
	if raw == "" {
		return "", "", nil
	}
	if raw[0] == '[' {
		return splitAddress(raw)
	}
	name = raw
	if i := strings.IndexByte(raw, ':'); i >= 0 {
		name, port = raw[:i], raw[i+1:]
		if !validPort(port) {
			return "", "", badPort
		}
	}
	if name, fault = normaliseName(name); fault != nil {
		return "", "", fault
	}
	return name, port, nil
}

var badPort = &Fault{"the port of the host is not a number up to 65535", "send host or host:port, with an IPv6 address in brackets"}

// splitAddress splits "[address]" and "[address]:port".
func splitAddress(raw string) (name, port string, fault *Fault) {
	inside, rest, ok := strings.Cut(raw[1:], "]")
	addr, err := netip.ParseAddr(inside)
	if !ok || err != nil || !addr.Is6() || addr.Zone() != "" {
		return "", "", &Fault{"the host in brackets is not an IPv6 address without a zone", "send an IPv6 address such as [2001:db8::1]"}
	}
	if rest != "" {
		if rest[0] != ':' || !validPort(rest[1:]) {
			return "", "", badPort
		}
		port = rest[1:]
	}
	return addr.String(), port, nil
}

func normaliseName(name string) (string, *Fault) {
	name = strings.TrimSuffix(name, ".")
	if name == "" {
		return "", emptyLabel
	}
	lower, label := true, 0
	for i := 0; i < len(name); i++ {
		switch c := name[i]; {
		case c == '.':
			if label == 0 {
				return "", emptyLabel
			}
			label = 0
			continue
		case c >= 'A' && c <= 'Z':
			lower = false
		case c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_':
		default:
			return "", hostByteFault(c)
		}
		if label++; label > maxLabel {
			return "", &Fault{"a label of the host is longer than 63 characters", "send a host name that DNS allows"}
		}
	}
	switch {
	case label == 0:
		return "", emptyLabel
	case len(name) > maxHost:
		return "", &Fault{"the host is longer than 253 characters", "send a host name that DNS allows"}
	case lower:
		return name, nil
	}
	return strings.ToLower(name), nil
}

var emptyLabel = &Fault{"the host contains an empty label (two dots, or a dot at its start)", "send the host name without stray dots"}

func hostByteFault(c byte) *Fault {
	switch {
	case c == '@':
		return &Fault{"the host contains user information (@)", "send only the host; credentials belong in a header field"}
	case c == '%':
		return &Fault{"the host contains percent-encoding", "send the host name itself"}
	case c >= 0x80:
		return &Fault{"the host contains a byte beyond ASCII", "send an international name in its xn-- form"}
	case c <= 0x20 || c == 0x7f:
		return &Fault{"the host contains white space or a control character", "send the host name itself"}
	}
	return &Fault{fmt.Sprintf("the host contains %q, which no host name has", c), "send letters, digits, dots and hyphens"}
}

func validPort(s string) bool {
	if s == "" || len(s) > 5 {
		return false
	}
	n := 0
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
		n = n*10 + int(s[i]-'0')
	}
	return n <= 65535
}

// ParseHostPattern reads a host of an API version: a name or an address without a port, or "*." and a name. The star
// stands for exactly one label: "*.example.com" matches "a.example.com", neither "example.com" nor "a.b.example.com", as
// in certificates (RFC 6125 section 6.4.3). The pattern is returned in the form in which Hostname is compared.
func ParseHostPattern(s string) (string, *Fault) {
	star := strings.HasPrefix(s, "*.")
	name, port, fault := NormaliseHost(strings.TrimPrefix(s, "*."))
	switch {
	case s == "*":
		return "", &Fault{"`*` is no host", "leave `hosts` empty to answer on any host"}
	case s == "":
		return "", &Fault{"the host is empty", "leave `hosts` empty to answer on any host"}
	case port != "":
		return "", &Fault{"a host is written without a port", "write the host only; ports belong to listeners"}
	case star && (s[2:] == "" || strings.IndexByte(name, ':') >= 0):
		return "", &Fault{"`*.` stands in front of a host name", "write a pattern such as `*.example.com`"}
	case strings.IndexByte(strings.TrimPrefix(s, "*."), '*') >= 0:
		return "", &Fault{"a star may only be the first label", "write a pattern such as `*.example.com`"}
	case fault != nil:
		if addr, err := netip.ParseAddr(s); err == nil && addr.Is6() {
			return "", &Fault{"an IPv6 address is written in brackets", "write [" + addr.String() + "]"}
		}
		return "", fault
	case star:
		return "*." + name, nil
	}
	return name, nil
}

// problem words a fault as a mistake in the document.
func (f *Fault) problem(pointer string) policy.Problem {
	return policy.Problem{Pointer: pointer, Message: f.Text, Remedy: f.Remedy}
}
