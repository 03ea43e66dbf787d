package edge

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"postern/internal/policy"
)

// spec is a listener's configuration with what was made of it. A changed configuration is a new spec on the same socket.
type spec struct {
	policy  policy.Listener
	set     *settings
	tls     *certificates // nil: plain
	web     *web          // the standard engine
	retired atomic.Bool   // connections close after their request
}

func (s *Server) newSpec(p policy.Listener) (*spec, error) {
	set, err := newSettings(p)
	if err != nil {
		return nil, fmt.Errorf("proxy_protocol: %w; write addresses or CIDRs such as 10.0.0.0/8", err)
	}
	sp := &spec{policy: p, set: set}
	if p.TLS != nil {
		if sp.tls, err = s.newCertificates(p.TLS); err != nil {
			return nil, err
		}
	}
	sp.web = newWeb(s, sp)
	return sp, nil
}

// discard releases what a spec that never served holds.
func (sp *spec) discard() {
	if sp.tls != nil {
		sp.tls.release()
	}
}

// listener is one socket and its connections.
type listener struct {
	server *Server
	ln     net.Listener
	spec   atomic.Pointer[spec]

	draining   atomic.Bool
	accepted   chan struct{} // closed when nothing is accepted any more
	done       chan struct{} // closed when all connections are gone
	background sync.WaitGroup
	sweeping   atomic.Bool
	open       atomic.Int64 // connections of both engines

	connsMu sync.Mutex
	conns   []*conn             // fast engine
	leases  map[*lease]struct{} // connections handed to the standard engine
	fresh   map[*lease]struct{} // connections of which nothing is known yet: PROXY header, TLS handshake
	over    bool                // nothing may be added any more
}

func newListener(s *Server, ln net.Listener, sp *spec) *listener {
	l := &listener{server: s, ln: ln, accepted: make(chan struct{}), done: make(chan struct{}), leases: map[*lease]struct{}{}, fresh: map[*lease]struct{}{}}
	l.spec.Store(sp)
	return l
}

func (l *listener) name() string { return l.spec.Load().policy.Name }

func (l *listener) start() {
	l.spec.Load().web.start(l)
	l.background.Go(l.accept)
}

// accept runs until the listener drains.
func (l *listener) accept() {
	defer close(l.accepted)
	var pause time.Duration
	for {
		nc, err := l.ln.Accept()
		if err != nil {
			if l.draining.Load() || errors.Is(err, net.ErrClosed) {
				return
			}
			// Most likely out of file descriptors: waiting gives requests time to end and give theirs back.
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			l.server.log.warn("a connection cannot be accepted", "listener", l.name(), "error", err, "next_try_in", pause)
			select {
			case <-time.After(pause):
			case <-l.done:
			}
			continue
		}
		pause = 0
		sp := l.spec.Load()
		if n := l.open.Add(1); n > int64(sp.set.connections) {
			l.open.Add(-1)
			l.server.rejected.limit.Add(1)
			l.server.log.warn("too many connections: a new one was closed", "listener", l.name(), "limit", sp.set.connections,
				"remedy", "raise limits.connections of the listener, or lower timeouts.idle")
			_ = nc.Close()
			continue
		}
		l.background.Go(func() { l.receive(nc, sp) })
	}
}

// receive makes out what a new connection speaks and serves it.
func (l *listener) receive(nc net.Conn, sp *spec) {
	ls := &lease{Conn: nc, l: l, sp: sp, set: sp.set, shard: l.server.shard()}
	ls.shard.accepted.Add(1)
	ls.shard.connections.Add(1)
	ls.tcp, _ = nc.(*net.TCPConn)
	ls.peer = addrPort(nc.RemoteAddr())
	l.connsMu.Lock()
	l.fresh[ls] = struct{}{}
	l.connsMu.Unlock()
	defer func() {
		if p := recover(); p != nil {
			l.server.log.panicked(nil, p)
			_ = ls.Close()
		}
	}()
	if sp.set.hasProxy && !ls.readProxyHeader() {
		_ = ls.Close()
		return
	}
	if sp.tls != nil {
		ls.serveTLS(sp)
		return
	}
	if sp.set.standard {
		sp.web.take(newGuard(ls, ls.Conn, nil))
		return
	}
	wr := ls.Conn
	if ls.tcp != nil {
		wr = ls.tcp
	}
	newConn(ls, sp, ls.Conn, wr, nil).serve()
}

// count returns the number of connections of the fast engine.
func (l *listener) count() int {
	l.connsMu.Lock()
	defer l.connsMu.Unlock()
	return len(l.conns)
}

func (l *listener) remember(c *conn) {
	l.connsMu.Lock()
	delete(l.fresh, c.lease)
	c.place = len(l.conns)
	l.conns = append(l.conns, c)
	over := l.over
	l.connsMu.Unlock()
	if over {
		_ = c.nc.Close()
	}
	if l.draining.Load() || c.sp.retired.Load() {
		c.closing.Store(true)
	}
}

func (l *listener) forget(c *conn) {
	l.connsMu.Lock()
	last := len(l.conns) - 1
	l.conns[c.place] = l.conns[last]
	l.conns[c.place].place = c.place
	l.conns[last] = nil
	l.conns = l.conns[:last]
	l.connsMu.Unlock()
}

// lease is an accepted connection while it is counted. Connections of the standard engine are closed through it.
type lease struct {
	net.Conn // below TLS
	l        *listener
	set      *settings
	shard    *shard
	tcp      *net.TCPConn
	peer     netip.AddrPort
	once     sync.Once

	sp        *spec
	guard     *guard       // standard engine, HTTP/1.x
	idleSince atomic.Int64 // standard engine: moment; 0 while a request is in progress
}

// Close closes the connection and gives its place back.
func (ls *lease) Close() error {
	ls.release()
	return ls.Conn.Close()
}

func (ls *lease) release() {
	ls.once.Do(func() {
		ls.l.open.Add(-1)
		ls.shard.connections.Add(-1)
		ls.l.connsMu.Lock()
		delete(ls.l.leases, ls)
		delete(ls.l.fresh, ls)
		ls.l.connsMu.Unlock()
	})
}

// CloseWrite half-closes the socket.
func (ls *lease) CloseWrite() error {
	if half, ok := ls.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	if ls.tcp != nil {
		return ls.tcp.CloseWrite()
	}
	return errors.ErrUnsupported
}

// hand notes that the standard engine has the connection from here on.
func (ls *lease) hand() {
	ls.l.connsMu.Lock()
	delete(ls.l.fresh, ls)
	ls.l.leases[ls] = struct{}{}
	over := ls.l.over
	ls.l.connsMu.Unlock()
	if over {
		_ = ls.Close()
	}
}

func addrPort(a net.Addr) netip.AddrPort {
	if t, ok := a.(*net.TCPAddr); ok {
		ap := t.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())
	}
	ap, _ := netip.ParseAddrPort(a.String())
	return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())
}

// replace gives the listener a new configuration for new connections and returns the old one.
func (l *listener) replace(sp *spec) *spec {
	sp.web.start(l)
	old := l.spec.Swap(sp)
	old.retired.Store(true)
	return old
}

// retireReplaced lets connections of a replaced configuration finish their request and close.
func (l *listener) retireReplaced(old *spec) {
	ctx, cancel := context.WithTimeout(context.Background(), old.set.drain)
	defer cancel()
	l.retire(ctx, old)
}

// retire drains the connections of one spec.
func (l *listener) retire(ctx context.Context, sp *spec) bool {
	clean := make(chan bool, 1)
	go func() { clean <- sp.web.stop(ctx, l) }()
	idle := l.drainConns(ctx, sp)
	ok := <-clean && idle
	if sp.tls != nil {
		sp.tls.release()
	}
	return ok
}

// shutdown stops accepting and drains every connection.
func (l *listener) shutdown(ctx context.Context) error {
	sp := l.spec.Load()
	ctx, cancel := context.WithTimeout(ctx, sp.set.drain)
	defer cancel()
	l.draining.Store(true)
	// What the kernel has accepted is still taken: closing the socket at once would reset connections that callers
	// believe open.
	if d, ok := l.ln.(interface{ SetDeadline(time.Time) error }); ok && d.SetDeadline(time.Now().Add(backlogWait)) == nil {
		<-l.accepted
	}
	_ = l.ln.Close()
	<-l.accepted
	clean := l.retire(ctx, sp)
	clean = l.waitUpgraded(ctx) && clean
	l.closeRest()
	close(l.done)
	ended := make(chan struct{})
	go func() {
		l.background.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(lastWait): // somebody below ignores that its caller is gone; the process must be able to end
		clean = false
	}
	if !clean {
		return fmt.Errorf("listener %q: requests still in progress after %v were broken off", sp.policy.Name, sp.set.drain)
	}
	return nil
}

const (
	backlogWait = 20 * time.Millisecond
	drainLook   = 20 * time.Millisecond
	lastWait    = 5 * time.Second
	// drainIdle is how long a connection has to be idle before a drain closes it. A client that is busy sends its next
	// request before that, is answered, and told that the connection closes; closing at once would lose requests on their way.
	drainIdle = 250 * time.Millisecond
)

// drainConns waits until the fast connections of a spec have ended, and reports whether they did before ctx.
func (l *listener) drainConns(ctx context.Context, sp *spec) bool {
	tick := time.NewTicker(drainLook)
	defer tick.Stop()
	for {
		left := 0
		now := int64(mono())
		l.connsMu.Lock()
		for _, c := range l.conns {
			if c.sp != sp && !l.draining.Load() {
				continue
			}
			left++
			c.closing.Store(true)
			if c.turn.Load()&1 == 0 && now-c.idleSince.Load() > int64(drainIdle) {
				_ = c.nc.SetReadDeadline(longAgo)
			}
		}
		l.connsMu.Unlock()
		if left == 0 {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
}

// waitUpgraded waits for connections that the standard engine has switched to another protocol; the fast engine's are
// among its connections.
func (l *listener) waitUpgraded(ctx context.Context) bool {
	tick := time.NewTicker(drainLook)
	defer tick.Stop()
	for {
		l.connsMu.Lock()
		left := len(l.leases)
		l.connsMu.Unlock()
		if left == 0 {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
}

// closeRest breaks off what the drain time did not suffice for.
func (l *listener) closeRest() {
	l.connsMu.Lock()
	l.over = true
	conns := slices.Clone(l.conns)
	leases := slices.AppendSeq(slices.Collect(maps.Keys(l.leases)), maps.Keys(l.fresh))
	l.connsMu.Unlock()
	for _, c := range conns {
		c.cancel()
		c.leave()
		closeHard(c.nc, c.tcp)
	}
	for _, ls := range leases {
		_ = ls.Close()
	}
}
