package lab

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"postern/internal/decision"
	"postern/internal/policy"
)

// addressProposals are candidates for the gate ip.
var addressProposals = map[string]proposal{
	decision.IPDenied.Code:     {find: (*question).undeny},
	decision.IPNotAllowed.Code: {find: (*question).allowAddress},
	decision.IPUnclear.Code: {find: func(q *question) []Change {
		var out []Change
		for _, name := range []string{"Forwarded", "X-Forwarded-For"} {
			if q.w.req.Header.Has(name) {
				out = append(out, removeHeader(name, "The gateway cannot read the field "+name+": leave it out, or let the proxy write it well."))
			}
		}
		return out
	}, whyNot: "what the proxy should have written is known to the proxy only"},
}

func removeHeader(name, text string) Change {
	return Change{
		Kind: "remove_header", Who: byCaller, Target: "header " + name, Risk: RiskNone, public: decision.ToAnyone, Text: text,
		apply: func(w *world) error { w.dropHeader(name); return nil },
	}
}

// prefix reads a range as the document writes it.
func prefix(s string) (netip.Prefix, bool) {
	if p, err := netip.ParsePrefix(s); err == nil {
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		return p.Masked(), true
	}
	if a, err := netip.ParseAddr(s); err == nil {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	return netip.Prefix{}, false
}

// undeny proposes to leave the address out of the range that denies it, and to remove that range.
func (q *question) undeny() []Change {
	at, client := q.pointer(), q.a.x.Client
	denied, ok := prefix(q.want("range"))
	if !ok || at == "" || !client.IsValid() {
		return nil
	}
	replace := func(by []string) func(*policy.IPRules) error {
		return func(r *policy.IPRules) error {
			var deny []string
			for _, s := range r.Deny {
				if p, ok := prefix(s); ok && p == denied {
					deny = append(deny, by...)
				} else {
					deny = append(deny, s)
				}
			}
			r.Deny = deny
			return nil
		}
	}
	var out []Change
	if hole := around(denied, client); len(hole) > 0 {
		c := Change{
			Kind: "narrow_deny", Who: byOperator, Target: at + "/deny", From: denied.String(), To: strings.Join(hole, " "), Risk: RiskOne,
			Text: fmt.Sprintf("Leave %s out of the denied range %s: write %s instead.", client, denied, strings.Join(hole, ", ")),
		}
		c.apply = func(w *world) error { return edit(w, c.id(), at, replace(hole)) }
		out = append(out, c)
	}
	c := Change{
		Kind: "remove_deny", Who: byOperator, Target: at + "/deny", From: denied.String(), Risk: RiskSeveral,
		Text: fmt.Sprintf("Remove the range %s from `ip.deny`: every address in it may call then.", denied),
	}
	if denied.IsSingleIP() {
		c.Risk = RiskOne
	}
	c.apply = func(w *world) error { return edit(w, c.id(), at, replace(nil)) }
	return append(append(out, c), q.elsewhere(at)...)
}

// around returns the ranges that make up a range without one address, or nothing when they would be too many to read.
func around(p netip.Prefix, a netip.Addr) (out []string) {
	const most = 8
	if p.IsSingleIP() || a.BitLen()-p.Bits() > most || !p.Contains(a) {
		return nil
	}
	for bits := p.Bits() + 1; bits <= a.BitLen(); bits++ {
		near := netip.PrefixFrom(a, bits).Masked()
		bytes := near.Addr().AsSlice()
		bytes[(bits-1)/8] ^= 1 << (7 - (bits-1)%8) // the other half
		if other, ok := netip.AddrFromSlice(bytes); ok {
			out = append(out, netip.PrefixFrom(other, bits).String())
		}
	}
	return out
}

// allowAddress proposes to list the address, and where else to call from.
func (q *question) allowAddress() []Change {
	at, client := q.pointer(), q.a.x.Client
	if at == "" || !client.IsValid() {
		return nil
	}
	c := Change{
		Kind: "allow_address", Who: byOperator, Target: at + "/allow", To: client.String(), Risk: RiskOne,
		Text: fmt.Sprintf("Add %s to `ip.allow`.", client),
	}
	c.apply = func(w *world) error {
		return edit(w, c.id(), at, func(r *policy.IPRules) error {
			r.Allow = append(slices.Clip(r.Allow), client.String())
			return nil
		})
	}
	out := append([]Change{c}, q.elsewhere(at)...)
	if q.w.req.Header.Has("X-Forwarded-For") || q.w.req.Header.Has("Forwarded") {
		if peer := q.a.x.Peer.Addr().Unmap(); peer == client {
			trust := Change{
				Kind: "trust_proxy", Who: byOperator, Target: "/trusted_proxies", To: peer.String(), Risk: RiskSeveral,
				Text: fmt.Sprintf("If %s is your load balancer, add it to `trusted_proxies`: the address that it forwards for is then the caller's.", peer),
			}
			trust.apply = func(w *world) error {
				return edit(w, trust.id(), "", func(d *policy.Document) error {
					d.TrustedProxies = append(slices.Clip(d.TrustedProxies), peer.String())
					return nil
				})
			}
			out = append(out, trust)
		}
	}
	return out
}

// elsewhere proposes an address that the lists let pass.
func (q *question) elsewhere(at string) []Change {
	rules, ok := valueAt[policy.IPRules](q.w.document(), at)
	if !ok {
		return nil
	}
	for _, s := range rules.Allow {
		p, ok := prefix(s)
		if !ok {
			continue
		}
		a := p.Addr()
		if !p.IsSingleIP() {
			a = a.Next() // the first address names the network
		}
		if slices.ContainsFunc(rules.Deny, func(s string) bool { d, ok := prefix(s); return ok && d.Contains(a) }) {
			continue
		}
		return []Change{{
			Kind: "send_from", Who: byCaller, Target: "address", To: s, Risk: RiskNone, size: 2,
			Text: fmt.Sprintf("Send the request from an address in %s, and not through a proxy.", s),
			apply: func(w *world) error {
				w.peer = netip.AddrPortFrom(a, 0)
				w.req.Client = a
				w.dropHeader("Forwarded")
				w.dropHeader("X-Forwarded-For")
				return nil
			},
		}}
	}
	return nil
}
