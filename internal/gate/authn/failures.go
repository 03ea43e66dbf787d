package authn

import (
	"context"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"postern/internal/decision"
	"postern/internal/gate"
)

// Failures compiles a guard around a gate of this package: once so many credentials from one address (of IPv6: from one /64),
// or that begin alike, were refused within a while, further attempts are refused before they are looked at. Requests without
// a credential, outages and simulations do not count. The memory is that of one configuration on one node, and bounded.
func Failures(inner gate.Gate, most int, per time.Duration, rule *decision.Rule) gate.Gate {
	return &failures{inner: inner, most: most, per: per, rule: rule, rows: map[string]failed{}}
}

type failures struct {
	inner gate.Gate
	most  int
	per   time.Duration
	rule  *decision.Rule

	mu   sync.Mutex
	rows map[string]failed
}

// failed counts the failures of one address or prefix since the first of them.
type failed struct {
	n     int
	until time.Time
}

const maxFailures = 100_000

// Check implements gate.Gate.
func (g *failures) Check(ctx context.Context, x *gate.Exchange) decision.Verdict {
	now := x.Env.Now()
	var address netip.Addr
	if x.Client.IsValid() {
		address = x.Client.Unmap()
		if address.Is6() {
			p, _ := address.Prefix(64)
			address = p.Addr()
		}
	}
	prefix := credentialPrefix(x)
	g.mu.Lock()
	empty := len(g.rows) == 0
	g.mu.Unlock()
	if !empty {
		if address.IsValid() {
			if left, n := g.left(address.String(), now); left > 0 {
				return g.refuse(x, left, "from this address", strconv.Itoa(n)+" failures from "+address.String())
			}
		}
		if left, n := g.left(prefix, now); prefix != "" && left > 0 {
			return g.refuse(x, left, "with this credential", strconv.Itoa(n)+" failures of credentials that begin alike")
		}
	}
	v := g.inner.Check(ctx, x)
	if r := v.Reason(); v.Outcome() == decision.OutcomeRefuse && r.Status == 401 && r != decision.CredentialMissing && !x.Env.Dry {
		if address.IsValid() {
			g.count(address.String(), now)
		}
		g.count(prefix, now)
	}
	return v
}

// left says how long a subject is turned away yet.
func (g *failures) left(subject string, now time.Time) (time.Duration, int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f := g.rows[subject]
	if f.n < g.most || !now.Before(f.until) {
		return 0, 0
	}
	return min(f.until.Sub(now), g.per), f.n // a clock that jumped back locks nobody out for longer
}

func (g *failures) count(subject string, now time.Time) {
	if subject == "" {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	f := g.rows[subject]
	if !now.Before(f.until) || f.until.Sub(now) > g.per {
		f = failed{until: now.Add(g.per)}
	}
	f.n++
	if len(g.rows) >= maxFailures {
		for s, old := range g.rows { // in random order: what has ended goes, and one that has not
			delete(g.rows, s)
			if now.Before(old.until) {
				break
			}
		}
	}
	g.rows[strings.Clone(subject)] = f
}

// credentialPrefix is the beginning of an API key or the id of a Basic credential. Tokens all begin alike, and so say nothing.
func credentialPrefix(x *gate.Exchange) string {
	for i := range x.Header {
		v := x.Header[i].Value
		if at := strings.Index(v, keyPrefix); at >= 0 && len(v) >= at+len(keyPrefix)+8 {
			return v[at : at+len(keyPrefix)+8]
		}
	}
	if t, n := schemed(x.Header, "basic"); n == 1 && len(t) >= 12 {
		return t[:12]
	}
	return ""
}

func (g *failures) refuse(x *gate.Exchange, left time.Duration, whose, counted string) decision.Verdict {
	x.Principal = gate.Principal{}
	x.RetryAfter = left
	return decision.Refuse(decision.TooManyFailures, g.rule,
		decision.Fact{Name: "retry", Want: span(left.Round(time.Second)), Public: decision.ToAnyone},
		decision.Fact{Name: "whose", Want: whose, Public: decision.ToAnyone},
		decision.Fact{Name: "counted", Want: counted})
}
