// Package ip finds the address of the caller behind trusted proxies, and is the gate that compares it with lists of allowed
// and denied ranges.
//
// The two belong together: a list is worth as much as the address it is asked about. Forwarding fields are believed only
// as far as trusted proxies wrote them, and where they leave the address unclear, nothing is guessed.
package ip

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"github.com/gaissmai/bart"

	"postern/internal/decision"
	"postern/internal/gate"
)

// Rules is one pair of lists. Deny wins over allow, however long the prefixes are; without an allow list every address
// that is not denied may pass.
type Rules struct {
	Allow, Deny []netip.Prefix
	Rule        *decision.Rule
}

// New makes the gate of all rules that apply to an operation: each of them must let the address pass. It refuses with
// ip.denied or ip.not_allowed, and with ip.unclear when a trusted proxy did not say who called. An exchange without a
// peer address (a simulated one) is unknown.
func New(rules ...Rules) gate.Gate {
	g := &lists{compiled: make([]compiled, len(rules))}
	for i, r := range rules {
		c := &g.compiled[i]
		c.rule, c.some = r.Rule, len(r.Allow) > 0
		for _, p := range r.Allow {
			c.allow.Insert(p)
		}
		for _, p := range r.Deny {
			c.deny.Insert(p)
		}
	}
	return g
}

// lists is the gate. Its zero value refuses.
type lists struct{ compiled []compiled }

type compiled struct {
	allow, deny bart.Lite
	some        bool // there is an allow list
	rule        *decision.Rule
}

// Check implements gate.Gate.
func (g *lists) Check(_ context.Context, x *gate.Exchange) decision.Verdict {
	if len(g.compiled) == 0 {
		return decision.Verdict{}
	}
	if !x.Client.IsValid() {
		return g.unknown(x)
	}
	for i := range g.compiled {
		c := &g.compiled[i]
		if c.deny.Contains(x.Client) {
			within, _ := c.deny.LookupPrefixLPM(netip.PrefixFrom(x.Client, x.Client.BitLen()))
			return decision.Refuse(decision.IPDenied, c.rule,
				decision.Fact{Name: "address", Got: x.Client.String()}, decision.Fact{Name: "range", Want: within.String()})
		}
		if c.some && !c.allow.Contains(x.Client) {
			return decision.Refuse(decision.IPNotAllowed, c.rule, decision.Fact{Name: "address", Got: x.Client.String()})
		}
	}
	return decision.Pass(g.compiled[0].rule)
}

// unknown answers when there is no client address.
func (g *lists) unknown(x *gate.Exchange) decision.Verdict {
	rule := g.compiled[0].rule
	if !x.Peer.IsValid() {
		return decision.Abstain(decision.IPNotAllowed, rule, decision.Fact{Name: "address", Want: "the address of the caller", Public: decision.ToAnyone})
	}
	return decision.Refuse(decision.IPUnclear, rule,
		decision.Fact{Name: "peer", Want: x.Peer.Addr().String()},
		decision.Fact{Name: "field", Want: "Forwarded"}, // no other field can hide an address
		decision.Fact{Name: "fault", Want: "the trusted proxy says that the caller's address is unknown or hidden"})
}

// ParsePrefix reads a range as the document writes it: a CIDR or a single address. The error says what is wrong and what to
// write instead.
func ParsePrefix(s string) (netip.Prefix, error) {
	if !strings.Contains(s, "/") {
		addr, err := netip.ParseAddr(s)
		switch {
		case err != nil:
			return netip.Prefix{}, fmt.Errorf("%q is no address: write one such as 192.0.2.7, or a range such as 192.0.2.0/24 or 2001:db8::/32", s)
		case addr.Zone() != "":
			return netip.Prefix{}, fmt.Errorf("%q has a zone: write the address without %%%s", s, addr.Zone())
		}
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return netip.Prefix{}, fmt.Errorf("%q is no range: write one such as 192.0.2.0/24 or 2001:db8::/32", s)
	case p.Addr().Is4In6() && p.Bits() < 96:
		return netip.Prefix{}, fmt.Errorf("%q mixes IPv4 and IPv6: write two ranges", s)
	case p.Addr().Is4In6():
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	if p != p.Masked() {
		return netip.Prefix{}, fmt.Errorf("%q has bits behind its prefix: write %s, or one address without a slash", s, p.Masked())
	}
	return p, nil
}
