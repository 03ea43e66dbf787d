package edge

import (
	"net/netip"
	"strings"
	"time"

	"postern/internal/http1"
	"postern/internal/policy"
)

// settings is a listener's configuration with every default filled in. Connections keep the settings they were accepted with.
type settings struct {
	standard  bool // engine: standard
	h2c       bool
	strictSNI bool
	proxies   []netip.Prefix // who must send a PROXY header
	hasProxy  bool

	head        http1.Limits
	headerBytes int
	bodyBytes   int64
	connections int
	streams     int

	header, body, write, idle, drain time.Duration
}

func newSettings(l policy.Listener) (*settings, error) {
	def := func(n, d int) int {
		if n == 0 {
			return d
		}
		return n
	}
	s := &settings{
		standard:    l.Engine == "standard",
		h2c:         l.H2C && l.TLS == nil,
		strictSNI:   l.TLS != nil && (l.StrictSNI == nil || *l.StrictSNI),
		hasProxy:    len(l.ProxyProtocol) > 0,
		headerBytes: def(l.Limits.HeaderBytes, defaultHeaderBytes),
		bodyBytes:   l.Limits.BodyBytes,
		connections: def(l.Limits.Connections, defaultConnections),
		streams:     def(l.Limits.H2Streams, defaultH2Streams),
		header:      l.Timeouts.Header.Or(defaultHeaderTimeout),
		body:        l.Timeouts.Body.Or(defaultBodyTimeout),
		write:       l.Timeouts.Write.Or(defaultWriteTimeout),
		idle:        l.Timeouts.Idle.Or(defaultIdleTimeout),
		drain:       l.Timeouts.Drain.Or(defaultDrainTimeout),
	}
	if s.bodyBytes == 0 {
		s.bodyBytes = defaultBodyBytes
	}
	s.head = http1.Limits{
		LineBytes:   s.headerBytes,
		FieldBytes:  s.headerBytes,
		HeaderBytes: s.headerBytes,
		HeaderCount: def(l.Limits.HeaderCount, defaultHeaderCount),
	}
	for _, cidr := range l.ProxyProtocol {
		p, err := parsePrefix(cidr)
		if err != nil {
			return nil, err
		}
		s.proxies = append(s.proxies, p)
	}
	return s, nil
}

// parsePrefix reads a CIDR or a single address.
func parsePrefix(s string) (netip.Prefix, error) {
	if strings.Contains(s, "/") {
		p, err := netip.ParsePrefix(s)
		return p.Masked(), err
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Prefix{}, err
	}
	return netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()), nil
}

func (s *settings) mustProxy(a netip.Addr) bool {
	for _, p := range s.proxies {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// sameHost compares the host of a request with a TLS server name: without port and trailing dot, letters without case.
func sameHost(host, serverName string) bool {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && strings.IndexByte(host[i:], ']') < 0 {
		host = host[:i]
	}
	return strings.EqualFold(strings.TrimSuffix(host, "."), strings.TrimSuffix(serverName, "."))
}
