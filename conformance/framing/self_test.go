package framing

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"postern/conformance/origin"
)

// These tests judge the judge. They need no gateway.

// relay passes every byte on, as the worst of all gateways would.
func relay(t *testing.T, to string) (address string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				_ = in.Close()
				continue
			}
			pipe := func(dst, src net.Conn) {
				_, _ = io.Copy(dst, src)
				_ = dst.Close()
			}
			go pipe(out, in)
			go pipe(in, out)
		}
	}()
	return l.Addr().String()
}

// TestABlindGatewayIsFound runs one case of each family through a gateway without any judgement: every case that demands a
// refusal has to be found wanting, and the plain ones have to pass.
func TestABlindGatewayIsFound(t *testing.T) {
	cases, err := Load("*.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer func(d time.Duration) { patience = d }(patience)
	patience = 150 * time.Millisecond
	r := origin.NewRecorder(t)
	address := relay(t, r.Address)
	const probe = "GET /probe/1 HTTP/1.1\r\nHost: gw.test\r\n\r\n"
	seen, refused, passed := map[string]bool{}, 0, 0
	for _, c := range cases {
		family, _, _ := strings.Cut(c.Name, " [")
		if seen[family] {
			continue
		}
		seen[family] = true
		talk, err := Converse(address, c, Whole, probe)
		if err != nil {
			t.Fatal(err)
		}
		wrong := Judge(c, Whole, talk, r.Settled(2*time.Millisecond), probe)
		_ = r.Settled(time.Millisecond) // what a waiting case leaves behind
		switch {
		case c.Nothing && c.Answers[0] != "none":
			refused++
			if len(wrong) == 0 {
				t.Errorf("%s: every byte reached the origin, and nothing was found wrong", c.Name)
			}
		case c.Name == "length: one length" || c.Name == "pipeline: three in a row" || c.Name == "coding: chunked":
			passed++
			if len(wrong) > 0 {
				t.Errorf("%s: %v", c.Name, wrong)
			}
		}
	}
	if refused < 50 || passed < 2 {
		t.Fatalf("%d refusals and %d plain cases were tried: the corpus was not read", refused, passed)
	}
}

func TestCorpusIsWellFormed(t *testing.T) {
	cases, err := Load("*.txt")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	nothing := 0
	for _, c := range cases {
		if names[c.Name] {
			t.Errorf("%s: twice", c.Name)
		}
		names[c.Name] = true
		if c.Nothing {
			nothing++
		}
	}
	if len(cases) < 600 || nothing < 450 {
		t.Errorf("only %d cases, of which %d demand that nothing arrives", len(cases), nothing)
	}
	t.Logf("%d cases, of which %d demand that nothing arrives", len(cases), nothing)
}

func TestEscapes(t *testing.T) {
	for in, want := range map[string]string{
		`a\r\n\t\0\\`: "a\r\n\t\x00\\", `\x41\xff`: "A\xff", `\{3*ab}c`: "abababc", `\{2*x\{2*y}\n}`: "xyy\nxyy\n", `{"|"}`: `{"|"}`,
	} {
		if got, err := unescape(in); err != nil || got != want {
			t.Errorf("%s: %q, %v", in, got, err)
		}
	}
	for _, in := range []string{`\`, `\q`, `\x4`, `\xzz`, `\{3*a`, `\{a*b}`, `\{3}`} {
		if got, err := unescape(in); err == nil {
			t.Errorf("%s: %q, want an error", in, got)
		}
	}
}

func TestReadings(t *testing.T) {
	for _, target := range []string{
		"/orders", "/open/../orders", "/open/%2e%2e/orders", "/open/%252e%252e%252forders", `/open/..\orders`, "/open/..;x/orders",
		"/open/%c0%ae%c0%ae/orders", "//orders", "/ORDERS/1", "/%6frders", "/orders%00.png", "/orders;x", "/open/..%5corders",
		"/open/%u002e%u002e/orders", "/open/.%0a./orders", "/open/..%20/orders", "http://gw.test/orders", "/orders%2f1", "/open/%ef%bc%8e%ef%bc%8e/orders",
	} {
		if _, leads := Leads(target, "/orders"); !leads {
			t.Errorf("%s does not lead to /orders", target)
		}
	}
	for _, target := range []string{"/open/a", "/open/orders", "/ordersheet", "/open/a?b=/orders", "/open/...", "/open/%25", "/open/a;v=1/b"} {
		if r, leads := Leads(target, "/orders"); leads {
			t.Errorf("%s leads to /orders as %q", target, r)
		}
	}
}
