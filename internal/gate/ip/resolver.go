package ip

import (
	"net/netip"
	"strings"

	"github.com/gaissmai/bart"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/header"
)

// maxHops is how many trusted proxies one request may have come through. The bound keeps the work small for a chain that no
// deployment has.
const maxHops = 32

// Field is the forwarding field that trusted proxies write. Only one is believed, because a proxy that writes one usually
// passes the other on as the caller sent it.
type Field uint8

const (
	XForwardedFor Field = iota // with X-Forwarded-Proto
	Forwarded                  // RFC 7239
)

// Resolver finds the client of an exchange. It is compiled once per snapshot; the zero value trusts nobody.
type Resolver struct {
	trusted bart.Lite
	any     bool
	field   Field
}

// NewResolver makes a resolver that believes field as far as addresses in trusted wrote it.
func NewResolver(trusted []netip.Prefix, field Field) *Resolver {
	r := &Resolver{field: field, any: len(trusted) > 0}
	for _, p := range trusted {
		r.trusted.Insert(p)
	}
	return r
}

// Resolve sets x.Client, and x.Scheme where a trusted proxy says what the caller used. From an untrusted peer forwarding
// fields mean nothing. From a trusted one the list of hops is walked from its end (the part the nearest proxy wrote) over
// trusted addresses to the first that is not trusted; what stands before it was written by the caller and is ignored.
//
// A hop on the way that cannot be read, or a scheme other than http and https, is refused with ip.unclear. A hop that a
// proxy declares unknown or hides (RFC 7239 section 6.2 and 6.3) leaves x.Client invalid: routes without address lists
// work, those with lists refuse.
func (r *Resolver) Resolve(x *gate.Exchange) decision.Verdict {
	peer := x.Peer.Addr().Unmap().WithZone("")
	x.Client = peer
	if !r.any || !peer.IsValid() || !r.trusted.Contains(peer) {
		return decision.Pass(nil)
	}
	w := walk{resolver: r, client: peer}
	if r.field == Forwarded {
		w.forwarded(x.Header)
	} else {
		w.forwardedFor(x.Header)
		w.forwardedProto(x.Header)
	}
	if w.fault != "" {
		return decision.Refuse(decision.IPUnclear, nil,
			decision.Fact{Name: "peer", Want: peer.String()},
			decision.Fact{Name: "field", Want: w.field},
			decision.Fact{Name: "fault", Want: w.fault})
	}
	x.Client = w.client
	if w.scheme != "" {
		x.Scheme = w.scheme
	}
	return decision.Pass(nil)
}

// walk is the way from the peer to the client.
type walk struct {
	resolver *Resolver
	client   netip.Addr // the last hop seen; invalid when it is hidden
	hops     int
	done     bool // the client was found
	scheme   string
	field    string // in which the fault was found
	fault    string
}

// hop takes one address of the list, from its end, and reports whether to go on.
func (w *walk) hop(addr netip.Addr) bool {
	w.hops++
	w.client = addr
	if w.done = !addr.IsValid() || !w.resolver.trusted.Contains(addr); w.done {
		return false
	}
	if w.hops == maxHops {
		return w.fail("more than 32 hops")
	}
	return true
}

func (w *walk) fail(what string) bool {
	w.fault = what
	return false
}

func (w *walk) forwardedFor(h header.List) {
	w.field = "X-Forwarded-For"
	eachFromEnd(h, w.field, func(item string) bool {
		addr, ok := parseHop(item)
		if !ok {
			return w.fail("an entry is no IP address")
		}
		return w.hop(addr)
	})
}

// forwardedProto takes the scheme that belongs to the same hop as the client. A list shorter than the way is not written
// by every proxy; then its first entry is the one nearest to the client.
func (w *walk) forwardedProto(h header.List) {
	if w.fault != "" {
		return
	}
	w.field = "X-Forwarded-Proto"
	left := max(w.hops, 1)
	eachFromEnd(h, w.field, func(item string) bool {
		if w.scheme = schemeOf(item); w.scheme == "" {
			return w.fail("an entry is neither http nor https")
		}
		left--
		return left > 0
	})
}

func schemeOf(s string) string {
	switch {
	case header.EqualFold(s, "https") || header.EqualFold(s, "wss"):
		return "https"
	case header.EqualFold(s, "http") || header.EqualFold(s, "ws"):
		return "http"
	}
	return ""
}

// eachFromEnd calls f for the items of a comma-separated field over all its lines, the last first, until f says stop.
func eachFromEnd(h header.List, name string, f func(item string) bool) {
	for i := len(h) - 1; i >= 0; i-- {
		if !header.EqualFold(h[i].Name, name) {
			continue
		}
		for line := h[i].Value; ; {
			comma := strings.LastIndexByte(line, ',')
			if !f(strings.Trim(line[comma+1:], " \t")) {
				return
			}
			if comma < 0 {
				break
			}
			line = line[:comma]
		}
	}
}

// parseHop reads an address with an optional port: 192.0.2.1, 192.0.2.1:80, 2001:db8::1, [2001:db8::1] or [2001:db8::1]:80.
func parseHop(s string) (netip.Addr, bool) {
	if s == "" {
		return netip.Addr{}, false
	}
	host, port, six := s, "", false
	if s[0] == '[' {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return netip.Addr{}, false
		}
		host, port, six = s[1:end], s[end+1:], true
		if port != "" && port[0] != ':' {
			return netip.Addr{}, false
		}
	} else if i := strings.IndexByte(s, ':'); i >= 0 && strings.IndexByte(s[i+1:], ':') < 0 {
		host, port = s[:i], s[i:]
	}
	if port != "" && !validPort(port[1:]) {
		return netip.Addr{}, false
	}
	addr, err := netip.ParseAddr(host)
	if err != nil || addr.Zone() != "" || six && !addr.Is6() {
		return netip.Addr{}, false
	}
	return addr.Unmap(), true
}

func validPort(s string) bool {
	n := 0
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' || i > 4 {
			return false
		}
		n = n*10 + int(s[i]-'0')
	}
	return s != "" && n <= 65535
}
