package edge

import (
	"github.com/pires/go-proxyproto"
)

// readProxyHeader takes the PROXY header (versions 1 and 2) that every connection from the configured addresses starts
// with, and makes the address in it the peer's. A connection from elsewhere, or one without the header, is refused: a header
// that is only sometimes believed is one that an attacker can send.
func (ls *lease) readProxyHeader() bool {
	reject := func(why string) bool {
		ls.l.server.rejected.proxy.Add(1)
		ls.l.server.log.warn("connection refused: "+why, "listener", ls.l.name(), "peer", ls.peer.String())
		return false
	}
	if !ls.set.mustProxy(ls.peer.Addr()) {
		return reject("its address is not in proxy_protocol")
	}
	c := proxyproto.NewConn(ls.Conn, proxyproto.WithPolicy(proxyproto.REQUIRE), proxyproto.SetReadHeaderTimeout(ls.set.header))
	if c.ProxyHeader() == nil {
		return reject("it does not start with a valid PROXY header")
	}
	ls.Conn = c
	ls.peer = addrPort(c.RemoteAddr()) // with LOCAL, such as a load balancer's health check: the real one
	return true
}
