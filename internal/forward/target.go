package forward

import (
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"postern/internal/policy"
)

// target is one address of an upstream, with what was learned about it.
type target struct {
	pool   *pool
	name   string // scheme://host:port, for people
	addr   string // host:port to dial
	host   string // Host field: without a default port
	server string // name for TLS
	prefix string // of the path; never ends with a slash
	https  bool
	weight int

	idle     idleStack
	inflight atomic.Int64
	sick     atomic.Bool  // active checks took it out
	ejected  atomic.Int64 // out until then (Unix nanoseconds) after failures seen in traffic
	failures atomic.Int32 // in a row
	share    int          // smooth round robin; guarded by the balancer
	speaks   atomic.Int32 // what an https target chose by ALPN: 0 not known yet, 1 or 2

	ready atomic.Pointer[net.Conn] // connected, on its way to the HTTP/2 transport

	calls, faults, retries atomic.Int64
}

// parseTarget reads a target's URL strictly: what is written there is where calls go, so nothing is guessed.
func parseTarget(t policy.Target) (*target, error) {
	u, err := url.Parse(t.URL)
	if err != nil {
		return nil, fmt.Errorf("%q is no URL: write http://host:port or https://host:port", t.URL)
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("%q has no scheme http or https: write http://host:port or https://host:port", u.Redacted())
	case u.User != nil:
		return nil, fmt.Errorf("the URL of %s contains a user or password: use credential instead", u.Host)
	case u.Hostname() == "":
		return nil, fmt.Errorf("%q names no host: write http://host:port or https://host:port", t.URL)
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, fmt.Errorf("%q has a query or fragment, which a target cannot have: leave it out", t.URL)
	case t.Weight < 0:
		return nil, fmt.Errorf("the weight of %s is negative: write 1 or more, or leave it out", u.Host)
	}
	out := &target{https: u.Scheme == "https", server: u.Hostname(), weight: max(t.Weight, 1), prefix: strings.TrimRight(u.EscapedPath(), "/")}
	port := u.Port()
	if port == "" {
		port = "80"
		if out.https {
			port = "443"
		}
	}
	out.addr = net.JoinHostPort(u.Hostname(), port)
	out.name = u.Scheme + "://" + out.addr
	out.host = u.Host
	if out.https && port == "443" || !out.https && port == "80" {
		out.host = strings.TrimSuffix(u.Host, ":"+port)
	}
	return out, nil
}

// usable reports whether calls should go to the target at that moment (Unix nanoseconds).
func (t *target) usable(now int64) bool { return !t.sick.Load() && !t.out(now) }

// out reports whether the target is ejected. As with circuits, a clock that jumped back ends an ejection.
func (t *target) out(now int64) bool {
	left := t.ejected.Load() - now
	return left > 0 && t.pool.passive != nil && left <= int64(t.pool.passive.length)
}

// succeeded and failed note the outcome of an attempt for passive health.
func (t *target) succeeded() {
	if t.failures.Load() != 0 {
		t.failures.Store(0)
	}
}

func (t *target) failed(now time.Time) {
	t.faults.Add(1)
	p := t.pool.passive
	if p == nil {
		return
	}
	if n := t.failures.Add(1); int(n) >= p.failures {
		t.pool.eject(t, now)
	}
}

// inherit takes over what the same target of an older configuration had learned.
func (t *target) inherit(old *target) {
	t.sick.Store(old.sick.Load())
	t.ejected.Store(old.ejected.Load())
	t.failures.Store(old.failures.Load())
	t.speaks.Store(old.speaks.Load())
}
