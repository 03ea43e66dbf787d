package framing

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"postern/conformance/gateway"
	"postern/conformance/origin"
)

// HTTP/2 carries names and values that HTTP/1.1 cannot, and frames bodies in another way. A gateway that translates one into
// the other is where such a value becomes a line, and such a body a request (RFC 9113 sections 8.2 and 8.3).

// field2 is a header field in the order it is sent; the bytes are sent as they are.
type field2 struct{ name, value string }

// request2 is one HTTP/2 request.
type request2 struct {
	name    string
	method  string
	path    string
	host    string
	without string   // a pseudo-header to leave out
	fields  []field2 // after the pseudo-headers
	before  []field2 // before them
	body    string
	late    string // a second piece of the body, after a pause
	trailer []field2
	// want: "refused" (a reset, a GOAWAY or a 4xx, and nothing at the origin), or the target that reaches the origin.
	want string
	has  []string
}

const hidden = "GET /smuggled/x HTTP/1.1\r\nHost: gw.test\r\n\r\n"

func requests2() []request2 {
	all := []request2{
		{name: "plain", method: "GET", path: "/open/a", want: "/open/a"},
		{name: "plain with a body", method: "POST", path: "/open/a", body: hidden, want: "/open/a"},
		{name: "length that agrees", method: "POST", path: "/open/a", body: "hello", fields: []field2{{"content-length", "5"}}, want: "/open/a"},
		{name: "trailers", method: "POST", path: "/open/a", body: "hello", trailer: []field2{{"x-sum", "1"}}, want: "/open/a"},
		{name: "te: trailers", method: "GET", path: "/open/a", fields: []field2{{"te", "trailers"}}, want: "/open/a"},
		{name: "several cookies", method: "GET", path: "/open/a", fields: []field2{{"cookie", "a=b"}, {"cookie", "c=d"}}, want: "/open/a", has: []string{"Cookie: a=b; c=d"}},
		{name: "length that agrees, twice", method: "POST", path: "/open/a", body: "hello", fields: []field2{{"content-length", "5"}, {"content-length", "5"}}, want: "refused"},
		{name: "host that disagrees with the authority", method: "GET", path: "/open/a", fields: []field2{{"host", "private.test"}}, want: "refused"},
		{name: "host that agrees with the authority", method: "GET", path: "/open/a", fields: []field2{{"host", "gw.test"}}, want: "/open/a"},
		{name: "host without an authority", method: "GET", path: "/open/a", without: ":authority", fields: []field2{{"host", "gw.test"}}, want: "/open/a"},
		{name: "empty query", method: "GET", path: "/open/a?", want: "/open/a?"},
		{name: "two hosts", method: "GET", path: "/open/a", fields: []field2{{"host", "gw.test"}, {"host", "private.test"}}, want: "refused"},
		{name: "no authority", method: "GET", path: "/open/a", without: ":authority", want: "refused"},
		{name: "no path", method: "GET", path: "/open/a", without: ":path", want: "refused"},
		{name: "no method", method: "GET", path: "/open/a", without: ":method", want: "refused"},
		{name: "no scheme", method: "GET", path: "/open/a", without: ":scheme", want: "refused"},
		{name: "pseudo-header twice", method: "GET", path: "/open/a", before: []field2{{":path", "/orders"}}, want: "refused"},
		{name: "pseudo-header behind a field", method: "GET", path: "/open/a", fields: []field2{{"x", "y"}, {":path", "/orders"}}, want: "refused"},
		{name: "unknown pseudo-header", method: "GET", path: "/open/a", before: []field2{{":foo", "bar"}}, want: "refused"},
		{name: "pseudo-header of an answer", method: "GET", path: "/open/a", before: []field2{{":status", "200"}}, want: "refused"},
		{name: "pseudo-header as trailer", method: "POST", path: "/open/a", body: "x", trailer: []field2{{":path", "/orders"}}, want: "refused"},
		{name: "framing as trailer", method: "POST", path: "/open/a", body: "x", trailer: []field2{{"content-length", "43"}, {"transfer-encoding", "chunked"}}, want: "any"},
		{name: "CONNECT", method: "CONNECT", path: "/open/a", want: "refused"},
		{name: "HTTP2-Settings", method: "GET", path: "/open/a", fields: []field2{{"http2-settings", "AAMAAABkAARAAAAAAAIAAAAA"}}, want: "any"},
	}
	for _, v := range []string{"0", "4", "6", "44", "+5", "-5", "5, 5", "5,6", "0x5", "five", "", "99999999999999999999", "5\r\nX: y", " 5", "5 "} {
		all = append(all, request2{name: fmt.Sprintf("H2.CL %q", v), method: "POST", path: "/open/a", body: "hello", fields: []field2{{"content-length", v}}, want: "any"})
	}
	all = append(all,
		request2{name: "H2.CL with a request behind it", method: "POST", path: "/open/a", body: hidden, fields: []field2{{"content-length", "0"}}, want: "refused"},
		request2{name: "H2.CL with a request behind the body", method: "POST", path: "/open/a", body: "hello", late: hidden, fields: []field2{{"content-length", "5"}}, want: "refused"},
		request2{name: "H2.CL in two pieces", method: "POST", path: "/open/a", body: "hel", late: "lo", fields: []field2{{"content-length", "5"}}, want: "/open/a"},
		request2{name: "H2.CL without a body", method: "POST", path: "/open/a", fields: []field2{{"content-length", "5"}}, want: "refused"},
		request2{name: "H2.CL that no number has, without a body", method: "POST", path: "/open/a", fields: []field2{{"content-length", "five"}}, want: "refused"})
	for _, v := range []string{"chunked", "Chunked", "identity", "gzip, chunked", " chunked", "chunked ", "x", ""} {
		all = append(all, request2{name: fmt.Sprintf("H2.TE %q", v), method: "POST", path: "/open/a", body: "0\r\n\r\n" + hidden, fields: []field2{{"transfer-encoding", v}}, want: "any"})
	}
	for _, f := range []field2{{"connection", "close"}, {"connection", "transfer-encoding"}, {"connection", "x-forwarded-for"}, {"keep-alive", "timeout=5"},
		{"proxy-connection", "keep-alive"}, {"upgrade", "h2c"}, {"upgrade", "websocket"}, {"te", "gzip"}, {"te", "trailers, gzip"}} {
		all = append(all, request2{name: "connection-specific " + f.name + ": " + f.value, method: "GET", path: "/open/a", fields: []field2{f}, want: "any"})
	}
	for _, v := range []string{"x\r\nX-Injected: y", "x\r\n\r\n" + hidden, "x\nX-Injected: y", "x\rX-Injected: y", "x\x00y", "\r\n", "x\r\nTransfer-Encoding: chunked", "\x7f", " x", "x ", "\tx"} {
		all = append(all, request2{name: fmt.Sprintf("value %q", v), method: "GET", path: "/open/a", fields: []field2{{"x-test", v}}, want: "any"})
	}
	for _, n := range []string{"x\r\nx-injected", "x: y\r\nx-injected", "x:y", "x y", "x\x00", "", "X-Upper", "x\n", "x\r", "x\x7f", "transfer-encoding: chunked\r\nx", "\xc3\xa9", "content-length ", "transfer_encoding", "content_length"} {
		all = append(all, request2{name: fmt.Sprintf("name %q", n), method: "POST", path: "/open/a", fields: []field2{{n, "chunked"}}, want: "any"})
	}
	for _, p := range []string{"/open/a HTTP/1.1\r\nX-Injected: y", "/open/a HTTP/1.1\r\nHost: gw.test\r\n\r\nGET /smuggled/x", "/open/a b", "/open/a\r\n", "/open/a\x00", "/open/a#x", "open/a", "", "*",
		"//gw.test/open/a", "http://gw.test/open/a", "/open/../orders", "/open/%2e%2e/orders", "/open/..%2forders", `/open/..\orders`, "/open/..;/orders", "/open/\xc3\xa9", "/open/a\t", "/open/a?\x00", "/open/a?x=\xc3\xa9",
		"/%6frders", "/orders", "/internal", "@private.test/", ":80/", "?x", "/open/%252e%252e/orders"} {
		all = append(all, request2{name: fmt.Sprintf("path %q", p), method: "GET", path: p, want: "refused"})
	}
	for _, m := range []string{"GET /smuggled/x HTTP/1.1\r\nX: y", "GET ", " GET", "GET\r\n", "G T", "", "GET\x00", "G(T", "GET /orders"} {
		all = append(all, request2{name: fmt.Sprintf("method %q", m), method: m, path: "/open/a", want: "refused"})
	}
	for _, h := range []string{"gw.test\r\nX: y", "gw.test/open", "user@gw.test", "gw.test@private.test", "gw.test, private.test", "gw test", "", "gw.test#x", "gw.test\x00", "gw.test:", "gw.test:99999", "[::1", "gw..test", "\xc3\xa9.test", "private.test:80@gw.test", "http://gw.test"} {
		all = append(all, request2{name: fmt.Sprintf("authority %q", h), method: "GET", path: "/open/a", host: h, want: "refused"})
	}
	return all
}

// converse2 sends one request on a connection of its own and returns the status, or how the gateway ended it.
func converse2(address string, r request2) (status string, err error) {
	nc, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return "", err
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(nc, http2.ClientPreface); err != nil {
		return "", err
	}
	f := http2.NewFramer(nc, nc)
	f.AllowIllegalWrites = true
	if err := f.WriteSettings(); err != nil {
		return "", err
	}
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	write := func(list []field2) {
		for _, x := range list {
			_ = enc.WriteField(hpack.HeaderField{Name: x.name, Value: x.value}) // into memory
		}
	}
	write(r.before)
	for _, p := range []field2{{":method", r.method}, {":scheme", "http"}, {":authority", r.host}, {":path", r.path}} {
		if p.name != r.without {
			write([]field2{p})
		}
	}
	write(r.fields)
	err = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: r.body == "" && r.trailer == nil})
	if err == nil && r.body != "" {
		time.Sleep(pause) // a gateway that takes the head's word for the length has forwarded by then
		err = f.WriteData(1, r.trailer == nil && r.late == "", []byte(r.body))
	}
	if err == nil && r.late != "" {
		time.Sleep(pause)
		err = f.WriteData(1, r.trailer == nil, []byte(r.late))
	}
	if err == nil && r.trailer != nil {
		block.Reset()
		write(r.trailer)
		err = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true})
	}
	if err != nil {
		return "", nil // the gateway closed before it had all
	}
	return readStatus(f)
}

func readStatus(f *http2.Framer) (status string, err error) {
	dec := hpack.NewDecoder(4096, func(h hpack.HeaderField) {
		if h.Name == ":status" {
			status = h.Value
		}
	})
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			if errors.Is(err, io.EOF) || isReset(err) {
				return "closed", nil
			}
			return "", err
		}
		switch x := frame.(type) {
		case *http2.HeadersFrame:
			if _, err := dec.Write(x.HeaderBlockFragment()); err != nil {
				return "", err
			}
			if len(status) == 3 && status[0] != '1' {
				return status, nil
			}
		case *http2.RSTStreamFrame:
			return "reset", nil
		case *http2.GoAwayFrame:
			return "goaway", nil
		case *http2.SettingsFrame:
			if !x.IsAck() {
				if err := f.WriteSettingsAck(); err != nil {
					return "closed", nil
				}
			}
		}
	}
}

func TestDowngrade(t *testing.T) {
	r := origin.NewRecorder(t)
	address := gateway.FreeAddress(t)
	config := strings.Replace(document, "engine: %[3]s", "h2c: true", 1)
	gateway.Start(t, gateway.Options{Config: fmt.Sprintf(config, address, r.Address)})
	all := requests2()
	for _, q := range all {
		if q.host == "" && !strings.HasPrefix(q.name, "authority") {
			q.host = "gw.test"
		}
		t.Run(q.name, func(t *testing.T) {
			status, err := converse2(address, q)
			if err != nil {
				t.Fatalf("no end of it: %v", err)
			}
			seen := r.Settled(4 * time.Millisecond)
			for _, f := range seen.Faults {
				t.Errorf("the origin received what can be read in two ways: %v", f)
			}
			if seen.Open > 0 {
				t.Errorf("the beginning of a request lies open at the origin: %.300q", seen.Unfinished[0])
			}
			if len(seen.Messages) > 1 {
				t.Errorf("one request became %d: %.300q", len(seen.Messages), seen.Messages[1].Raw)
			}
			switch served := status == "200"; {
			case q.want == "refused" && (served || len(seen.Messages) > 0):
				t.Errorf("answered %s, and the origin received %d requests; want a refusal", status, len(seen.Messages))
			case q.want == "any": // served or refused; but if served, then as what it was
			case q.want != "refused" && (!served || len(seen.Messages) != 1 || seen.Messages[0].Target != q.want):
				t.Errorf("answered %s, and the origin received %v", status, seen.Messages)
			}
			for _, m := range seen.Messages {
				judgeDowngraded(t, q, m)
			}
		})
	}
	judgeAll(t, r, len(r.All()))
	t.Logf("%d requests", len(all))
}

// judgeDowngraded checks that what arrived is what was sent, and nothing that HTTP/2 may not carry.
func judgeDowngraded(t *testing.T, q request2, m origin.Message) {
	if m.Method != q.method || m.Body != q.body+q.late {
		t.Errorf("the origin received %s with the body %q, sent were %s and %q", m.Method, m.Body, q.method, q.body+q.late)
	}
	for _, f := range Surplus(m) {
		t.Errorf("the origin received a hop-by-hop field: %s", f)
	}
	for _, name := range []string{"X-Injected", "Upgrade", "Transfer_Encoding", "Content_Length"} {
		if m.Has(name) {
			t.Errorf("the origin received %s: %s", name, m.Get(name))
		}
	}
	for _, f := range m.Trailer {
		if n := strings.ToLower(f.Name); n == "content-length" || n == "transfer-encoding" {
			t.Errorf("the origin received the trailer %s", f.Name)
		}
	}
	for _, h := range q.has {
		if name, value, _ := strings.Cut(h, ": "); m.Get(name) != value {
			t.Errorf("at the origin %s is %q, want %q", name, m.Get(name), value)
		}
	}
}
