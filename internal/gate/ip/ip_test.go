package ip

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/gatetest"
)

func TestLists(t *testing.T) {
	rule := &decision.Rule{ID: "orders/v1#ip", Pointer: "/apis/0/versions/0/ip"}
	office := Rules{Allow: prefixes(t, "192.0.2.0/24", "2001:db8::/32"), Deny: prefixes(t, "192.0.2.66"), Rule: rule}
	for _, c := range []struct {
		name   string
		rules  []Rules
		client string
		want   *decision.Reason
		detail string
	}{
		{"allowed", []Rules{office}, "192.0.2.1", nil, ""},
		{"allowed IPv6", []Rules{office}, "2001:db8::1", nil, ""},
		{"not on the list", []Rules{office}, "198.51.100.1", decision.IPNotAllowed, "198.51.100.1 is on no allow list"},
		{"denied inside the allowed range", []Rules{office}, "192.0.2.66", decision.IPDenied, "192.0.2.66 is on a deny list"},
		{"deny wins though allow is longer", []Rules{{Allow: prefixes(t, "192.0.2.1"), Deny: prefixes(t, "192.0.0.0/16"), Rule: rule}}, "192.0.2.1", decision.IPDenied, ""},
		{"deny only", []Rules{{Deny: prefixes(t, "10.0.0.0/8"), Rule: rule}}, "192.0.2.1", nil, ""},
		{"every rule must agree", []Rules{office, {Deny: prefixes(t, "192.0.2.0/25"), Rule: rule}}, "192.0.2.1", decision.IPDenied, ""},
		{"all of IPv4 is not IPv6", []Rules{{Allow: prefixes(t, "0.0.0.0/0"), Rule: rule}}, "2001:db8::1", decision.IPNotAllowed, ""},
	} {
		x := from("10.0.0.1")
		x.Client = netip.MustParseAddr(c.client)
		v := New(c.rules...).Check(context.Background(), x)
		if v.Reason() != c.want || v.Passed() != (c.want == nil) {
			t.Errorf("%s: %v, want %v", c.name, v.Reason(), c.want)
			continue
		}
		if c.want == nil {
			continue
		}
		if said := v.Render(decision.ToOperator); !strings.Contains(said.Detail, c.detail) || v.Rule() != rule {
			t.Errorf("%s: the operator is told %q by %v", c.name, said.Detail, v.Rule())
		}
		if said := v.Render(decision.ToProven); said.Reason != decision.PolicyRefused || strings.Contains(said.Detail, c.client) {
			t.Errorf("%s: a caller is told %q", c.name, said.Detail)
		}
	}
}

func TestDeniedRangeIsNamed(t *testing.T) {
	x := from("192.0.2.1")
	x.Client = x.Peer.Addr()
	v := New(Rules{Deny: prefixes(t, "192.0.0.0/16", "192.0.2.0/24")}).Check(context.Background(), x)
	if text := strings.Join(v.Render(decision.ToOperator).Remedies, " "); !strings.Contains(text, "192.0.2.0/24") {
		t.Errorf("the operator is told %q", text)
	}
}

func TestUnknownAddress(t *testing.T) {
	g := New(Rules{Allow: prefixes(t, "10.0.0.0/8")})
	if v := g.Check(context.Background(), from("")); v.Outcome() != decision.OutcomeAbstain || v.Facts()[0].Name != "address" {
		t.Errorf("a simulated request: %v %v", v.Outcome(), v.Facts())
	}
	// The proxy is in an allowed range itself; that must not let everybody in whose address it hides.
	if v := g.Check(context.Background(), from("10.0.0.1")); v.Reason() != decision.IPUnclear {
		t.Errorf("a hidden client: %v", v.Reason())
	}
}

func TestListsKeepWhatIsPromisedOfGates(t *testing.T) {
	list := Rules{Allow: prefixes(t, "198.51.100.0/24"), Deny: prefixes(t, "198.51.100.66"), Rule: &decision.Rule{ID: "x#ip", Pointer: "/apis/0/versions/0/ip"}}
	at := func(client string) func(*gate.Exchange) {
		return func(x *gate.Exchange) { x.Client = netip.MustParseAddr(client) }
	}
	gatetest.Run(t, gatetest.Suite{
		Name: "ip",
		New:  func() gate.Gate { return New(list) },
		Pass: at("198.51.100.7"),
		Refusals: []gatetest.Case{
			{Name: "denied", Setup: at("198.51.100.66"), Reason: decision.IPDenied},
			{Name: "not allowed", Setup: at("192.0.2.1"), Reason: decision.IPNotAllowed},
			{Name: "hidden", Setup: func(x *gate.Exchange) { x.Client = netip.Addr{} }, Reason: decision.IPUnclear},
		},
		Unknown: []gatetest.Case{
			{Name: "not given", Setup: func(x *gate.Exchange) { x.Client, x.Peer = netip.Addr{}, netip.AddrPort{} }, Reason: decision.IPNotAllowed},
		},
	})
}

func TestZeroGateRefuses(t *testing.T) {
	x := from("10.0.0.1")
	x.Client = x.Peer.Addr()
	if v := New().Check(context.Background(), x); v.Outcome() != decision.OutcomeRefuse {
		t.Errorf("a gate without rules says %v", v.Outcome())
	}
}

func TestListsAllocateNothing(t *testing.T) {
	g := New(Rules{Allow: prefixes(t, "10.0.0.0/8", "2001:db8::/32"), Deny: prefixes(t, "10.6.0.0/16")})
	x := &gate.Exchange{Client: netip.MustParseAddr("10.1.2.3")}
	if n := testing.AllocsPerRun(100, func() { g.Check(context.Background(), x) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestParsePrefix(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.7":              "192.0.2.7/32",
		"192.0.2.0/24":           "192.0.2.0/24",
		"2001:db8::/32":          "2001:db8::/32",
		"::1":                    "::1/128",
		"::ffff:192.0.2.7":       "192.0.2.7/32",
		"::ffff:192.0.2.0/120":   "192.0.2.0/24",
		"0.0.0.0/0":              "0.0.0.0/0",
		"":                       "is no address",
		"localhost":              "is no address",
		"192.0.2.0/33":           "is no range",
		"192.0.2.7/24":           "write 192.0.2.0/24",
		"192.0.2.0/":             "is no range",
		"fe80::1%eth0":           "zone",
		"fe80::%eth0/64":         "is no range",
		"::ffff:0.0.0.0/90":      "two ranges",
		"192.0.2.0-192.0.2.255":  "is no address",
		"192.0.2.0/24,10.0.0.0/": "is no range",
	} {
		p, err := ParsePrefix(in)
		if err != nil {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("ParsePrefix(%q): %v, want %q", in, err, want)
			}
		} else if p.String() != want {
			t.Errorf("ParsePrefix(%q) = %v, want %s", in, p, want)
		}
	}
}
