package ip

import (
	"net/netip"
	"strings"
	"testing"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/header"
)

func prefixes(t testing.TB, list ...string) (ps []netip.Prefix) {
	t.Helper()
	for _, s := range list {
		p, err := ParsePrefix(s)
		if err != nil {
			t.Fatal(err)
		}
		ps = append(ps, p)
	}
	return ps
}

func from(peer string, fields ...string) *gate.Exchange {
	x := &gate.Exchange{Scheme: "http"}
	if peer != "" {
		x.Peer = netip.AddrPortFrom(netip.MustParseAddr(peer), 40000)
	}
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		x.Header = append(x.Header, header.Field{Name: name, Value: value})
	}
	return x
}

type resolveCase struct {
	name   string
	peer   string
	fields []string
	want   string // client and scheme; "hidden http"; or "unclear"
}

func testResolver(t *testing.T, field Field, cases []resolveCase) {
	r := NewResolver(prefixes(t, "10.0.0.0/8", "2001:db8:1::/48", "127.0.0.1"), field)
	for _, c := range cases {
		x := from(c.peer, c.fields...)
		v := r.Resolve(x)
		got := x.Client.String() + " " + x.Scheme
		switch {
		case v.Reason() == decision.IPUnclear:
			got = "unclear"
		case !v.Passed():
			got = v.Outcome().String()
		case !x.Client.IsValid():
			got = "hidden " + x.Scheme
		}
		if got != c.want {
			t.Errorf("%s: from %s with %q: %s, want %s", c.name, c.peer, c.fields, got, c.want)
		}
	}
}

func TestXForwardedFor(t *testing.T) {
	testResolver(t, XForwardedFor, []resolveCase{
		{"no proxy", "192.0.2.1", nil, "192.0.2.1 http"},
		{"a stranger's fields mean nothing", "192.0.2.1", []string{"X-Forwarded-For: 198.51.100.7", "X-Forwarded-Proto: https"}, "192.0.2.1 http"},
		{"one proxy", "10.0.0.1", []string{"X-Forwarded-For: 198.51.100.7"}, "198.51.100.7 http"},
		{"name in any case", "10.0.0.1", []string{"x-forwarded-FOR: 198.51.100.7"}, "198.51.100.7 http"},
		{"the proxy itself calls", "10.0.0.1", nil, "10.0.0.1 http"},
		{"three proxies", "10.0.0.1", []string{"X-Forwarded-For: 198.51.100.7, 10.0.0.3,10.0.0.2"}, "198.51.100.7 http"},
		{"over several lines", "10.0.0.1", []string{"X-Forwarded-For: 198.51.100.7", "Other: x", "X-Forwarded-For: 10.0.0.3, 10.0.0.2"}, "198.51.100.7 http"},
		{"what the caller forged is ignored", "10.0.0.1", []string{"X-Forwarded-For: 1.1.1.1, 198.51.100.7, 10.0.0.2"}, "198.51.100.7 http"},
		{"even when it is garbage", "10.0.0.1", []string{"X-Forwarded-For: <script>, , 198.51.100.7"}, "198.51.100.7 http"},
		{"a forged trusted address behind a real one", "10.0.0.1", []string{"X-Forwarded-For: 10.9.9.9, 198.51.100.7"}, "198.51.100.7 http"},
		{"all trusted", "10.0.0.1", []string{"X-Forwarded-For: 10.0.0.9, 10.0.0.2"}, "10.0.0.9 http"},
		{"with a port", "10.0.0.1", []string{"X-Forwarded-For: 198.51.100.7:5555"}, "198.51.100.7 http"},
		{"IPv6", "10.0.0.1", []string{"X-Forwarded-For: 2001:db8::7"}, "2001:db8::7 http"},
		{"IPv6 in brackets", "10.0.0.1", []string{"X-Forwarded-For: [2001:db8::7]"}, "2001:db8::7 http"},
		{"IPv6 with a port", "10.0.0.1", []string{"X-Forwarded-For: [2001:db8::7]:443"}, "2001:db8::7 http"},
		{"IPv6 proxies", "2001:db8:1::1", []string{"X-Forwarded-For: 2001:db8:2::7, 2001:db8:1::2"}, "2001:db8:2::7 http"},
		{"mapped peer", "::ffff:10.0.0.1", []string{"X-Forwarded-For: ::ffff:198.51.100.7"}, "198.51.100.7 http"},
		{"no address", "10.0.0.1", []string{"X-Forwarded-For: unknown"}, "unclear"},
		{"empty", "10.0.0.1", []string{"X-Forwarded-For: "}, "unclear"},
		{"empty entry on the way", "10.0.0.1", []string{"X-Forwarded-For: 198.51.100.7,,10.0.0.2"}, "unclear"},
		{"zone", "10.0.0.1", []string{"X-Forwarded-For: fe80::1%eth0"}, "unclear"},
		{"leading zeros", "10.0.0.1", []string{"X-Forwarded-For: 198.051.100.7"}, "unclear"},
		{"bad port", "10.0.0.1", []string{"X-Forwarded-For: 198.51.100.7:99999"}, "unclear"},
		{"IPv4 in brackets", "10.0.0.1", []string{"X-Forwarded-For: [198.51.100.7]"}, "unclear"},
		{"open bracket", "10.0.0.1", []string{"X-Forwarded-For: [2001:db8::7"}, "unclear"},
		{"endless chain", "10.0.0.1", []string{"X-Forwarded-For: " + strings.Repeat("10.0.0.2,", 500) + "10.0.0.3"}, "unclear"},
		{"the other field is not believed", "10.0.0.1", []string{"Forwarded: for=198.51.100.7;proto=https"}, "10.0.0.1 http"},

		{"scheme", "10.0.0.1", []string{"X-Forwarded-For: 198.51.100.7", "X-Forwarded-Proto: HTTPS"}, "198.51.100.7 https"},
		{"scheme of a web socket", "10.0.0.1", []string{"X-Forwarded-For: 198.51.100.7", "X-Forwarded-Proto: wss"}, "198.51.100.7 https"},
		{"scheme without an address", "10.0.0.1", []string{"X-Forwarded-Proto: https"}, "10.0.0.1 https"},
		{"one scheme for several hops", "10.0.0.1", []string{"X-Forwarded-For: 198.51.100.7, 10.0.0.2", "X-Forwarded-Proto: https"}, "198.51.100.7 https"},
		{"a scheme for each hop", "10.0.0.1", []string{"X-Forwarded-For: 198.51.100.7, 10.0.0.2", "X-Forwarded-Proto: https, http"}, "198.51.100.7 https"},
		{"a forged scheme", "10.0.0.1", []string{"X-Forwarded-For: 198.51.100.7", "X-Forwarded-Proto: https, http"}, "198.51.100.7 http"},
		{"no scheme", "10.0.0.1", []string{"X-Forwarded-For: 198.51.100.7", "X-Forwarded-Proto: gopher"}, "unclear"},
	})
}

func TestForwarded(t *testing.T) {
	testResolver(t, Forwarded, []resolveCase{
		{"one proxy", "10.0.0.1", []string{"Forwarded: for=198.51.100.7"}, "198.51.100.7 http"},
		{"with everything", "10.0.0.1", []string{`Forwarded: By=10.0.0.1;FOR="198.51.100.7:4711";host="a.example:80";proto=https`}, "198.51.100.7 https"},
		{"extensions", "10.0.0.1", []string{`Forwarded: secret=abc;for=198.51.100.7;x="a,b;c"`}, "198.51.100.7 http"},
		{"IPv6", "10.0.0.1", []string{`Forwarded: for="[2001:db8:cafe::17]:4711"`}, "2001:db8:cafe::17 http"},
		{"quoted pairs", "10.0.0.1", []string{`Forwarded: for="198.51\.100.7"`}, "198.51.100.7 http"},
		{"three proxies", "10.0.0.1", []string{`Forwarded: for=198.51.100.7;proto=https, for=10.0.0.3 , for="10.0.0.2:80";proto=http`}, "198.51.100.7 https"},
		{"over several lines", "10.0.0.1", []string{"Forwarded: for=198.51.100.7", "Forwarded: for=10.0.0.2"}, "198.51.100.7 http"},
		{"a forged line", "10.0.0.1", []string{`Forwarded: for="`, "Forwarded: for=198.51.100.7"}, "198.51.100.7 http"},
		{"a forged element", "10.0.0.1", []string{`Forwarded: for=1.1.1.1, for=198.51.100.7`}, "198.51.100.7 http"},
		{"a comma in quotes", "10.0.0.1", []string{`Forwarded: for=198.51.100.7;x=", for=10.0.0.5"`}, "198.51.100.7 http"},
		{"unknown", "10.0.0.1", []string{"Forwarded: for=Unknown;proto=https"}, "hidden https"},
		{"obfuscated", "10.0.0.1", []string{`Forwarded: for="_gazonk:_p1"`}, "hidden http"},
		{"hidden behind a proxy", "10.0.0.1", []string{"Forwarded: for=_a, for=10.0.0.2"}, "hidden http"},
		{"for left out", "10.0.0.1", []string{"Forwarded: proto=https"}, "hidden https"},
		{"no field", "10.0.0.1", nil, "10.0.0.1 http"},
		{"untrusted", "192.0.2.1", []string{"Forwarded: for=198.51.100.7"}, "192.0.2.1 http"},
		{"32 elements before it", "10.0.0.1", []string{"Forwarded: " + strings.Repeat("for=9.9.9.9,", 100) + "for=198.51.100.7, for=10.0.0.2"}, "198.51.100.7 http"},

		{"IPv6 without brackets", "10.0.0.1", []string{`Forwarded: for="2001:db8::7"`}, "unclear"},
		{"IPv6 without quotes", "10.0.0.1", []string{"Forwarded: for=[2001:db8::7]"}, "unclear"},
		{"no address", "10.0.0.1", []string{"Forwarded: for=example"}, "unclear"},
		{"bad port", "10.0.0.1", []string{`Forwarded: for="198.51.100.7:x"`}, "unclear"},
		{"open quote", "10.0.0.1", []string{`Forwarded: for="198.51.100.7`}, "unclear"},
		{"a forged quote swallows the proxy's element", "10.0.0.1", []string{`Forwarded: for="a, for=198.51.100.7`}, "unclear"},
		{"text behind a value", "10.0.0.1", []string{`Forwarded: for="198.51.100.7"x`}, "unclear"},
		{"twice", "10.0.0.1", []string{"Forwarded: for=198.51.100.7;for=1.1.1.1"}, "unclear"},
		{"empty value", "10.0.0.1", []string{`Forwarded: for=""`}, "unclear"},
		{"empty field", "10.0.0.1", []string{"Forwarded: "}, "unclear"},
		{"trailing comma", "10.0.0.1", []string{"Forwarded: for=198.51.100.7,"}, "unclear"},
		{"no scheme", "10.0.0.1", []string{"Forwarded: for=198.51.100.7;proto=ftp"}, "unclear"},
		{"endless chain", "10.0.0.1", []string{"Forwarded: " + strings.Repeat("for=10.0.0.2,", 500) + "for=10.0.0.3"}, "unclear"},
		{"endless chain over lines", "10.0.0.1", strings.Split(strings.Repeat("Forwarded: for=10.0.0.2\n", 39)+"Forwarded: for=10.0.0.2", "\n"), "unclear"},
	})
}

func TestSimulatedExchangeHasNoClient(t *testing.T) {
	x := from("", "X-Forwarded-For: 198.51.100.7")
	if v := NewResolver(prefixes(t, "10.0.0.0/8"), XForwardedFor).Resolve(x); !v.Passed() || x.Client.IsValid() {
		t.Errorf("%v, client %v", v.Outcome(), x.Client)
	}
}

func TestResolvingAllocatesNothing(t *testing.T) {
	for field, value := range map[Field]string{
		XForwardedFor: "X-Forwarded-For: 1.1.1.1, 198.51.100.7:80, 10.0.0.2",
		Forwarded:     `Forwarded: for=198.51.100.7;proto=https, for="[2001:db8:1::2]:80"`,
	} {
		r := NewResolver(prefixes(t, "10.0.0.0/8", "2001:db8:1::/48"), field)
		x := from("10.0.0.1", value, "X-Forwarded-Proto: https")
		if n := testing.AllocsPerRun(100, func() { r.Resolve(x) }); n != 0 || x.Client.String() != "198.51.100.7" {
			t.Errorf("%s: %v allocations, client %v", value, n, x.Client)
		}
	}
}

func FuzzResolve(f *testing.F) {
	f.Add("1.2.3.4, 10.0.0.1", "http", `for="[2001:db8::1]:80";proto=https, for=_x`)
	f.Add("[::1]:1", "https,http", `for="a\"b",by=x`)
	f.Fuzz(func(t *testing.T, xff, proto, fwd string) {
		for _, field := range []Field{XForwardedFor, Forwarded} {
			r := NewResolver(prefixes(t, "10.0.0.0/8"), field)
			x := from("10.0.0.1", "X-Forwarded-For: "+xff, "X-Forwarded-Proto: "+proto, "Forwarded: "+fwd)
			v := r.Resolve(x)
			if x.Client.Is4In6() || x.Client.Zone() != "" || x.Scheme != "http" && x.Scheme != "https" {
				t.Fatalf("client %v, scheme %q", x.Client, x.Scheme)
			}
			if v.Reason() == decision.IPUnclear && v.Render(decision.ToAnyone).Detail == "" {
				t.Fatal("refused without a word")
			}
			// What a caller writes in front never changes what a trusted proxy appended.
			y := from("10.0.0.1", "X-Forwarded-For: "+xff+", 198.51.100.7", "X-Forwarded-Proto: https", "Forwarded: "+fwd, "Forwarded: for=198.51.100.7")
			if v := r.Resolve(y); !v.Passed() || y.Client.String() != "198.51.100.7" {
				t.Fatalf("%q and %q hide the client: %v", xff, fwd, y.Client)
			}
		}
	})
}
