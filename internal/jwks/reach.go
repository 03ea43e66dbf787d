package jwks

import (
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"
)

// zone is how far away an address is. The zero value is the widest.
type zone uint8

const (
	public zone = iota
	private
	loopback
	linkLocal
)

func zoneOf(a netip.Addr) zone {
	a = a.Unmap()
	switch {
	case a.IsLoopback():
		return loopback
	case a.IsLinkLocalUnicast(), a.IsMulticast(), a.IsUnspecified():
		return linkLocal
	case a.IsPrivate(), a.Is4() && carrier.Contains(a):
		return private
	}
	return public
}

// carrier is the address space shared behind carriers (RFC 6598), which clouds use inside.
var carrier = netip.MustParsePrefix("100.64.0.0/10")

// reach bounds where a connection may lead. The operator writes addresses and may write any; metadata is written by
// others: what a server on the Internet says must not make the gateway call a server inside (server-side request
// forgery). So an address from metadata on another host may be at most as near as the metadata server itself is, and never
// link-local, where clouds keep the credentials of machines.
type reach struct {
	bound bool
	least zone
	seen  atomic.Uint32 // the zone connected to last; two addresses may be tried at once
}

func (r *reach) dialer() *net.Dialer {
	return &net.Dialer{Timeout: 3 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
		ap, err := netip.ParseAddrPort(address)
		if err != nil {
			return fmt.Errorf("the address %s is not understood: %w", address, err)
		}
		z := zoneOf(ap.Addr())
		if r.bound && (z > r.least || z == linkLocal) {
			return fmt.Errorf("the metadata leads to %s, which is nearer than the metadata server itself; if that is right, configure jwks_url", ap.Addr())
		}
		r.seen.Store(uint32(z))
		return nil
	}}
}
