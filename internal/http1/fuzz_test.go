package http1

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/textproto"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"postern/internal/header"
)

// canonical turns a list into what net/http would have made of it.
func canonical(l header.List, without ...string) http.Header {
	h := http.Header{}
	for _, f := range l {
		h.Add(textproto.CanonicalMIMEHeaderKey(f.Name), f.Value)
	}
	for _, name := range without {
		h.Del(name)
	}
	return h
}

// sameHeader compares ours with net/http's, which adds Cache-Control for Pragma and takes some fields out (Connection: close of a response is one).
func sameHeader(t *testing.T, ours header.List, theirs http.Header) {
	t.Helper()
	a := canonical(ours, "Host", "Transfer-Encoding", "Trailer", "Cache-Control", "Connection")
	b := theirs.Clone()
	for _, name := range []string{"Host", "Transfer-Encoding", "Trailer", "Cache-Control", "Connection"} {
		b.Del(name)
	}
	if len(a)+len(b) > 0 && !reflect.DeepEqual(a, b) {
		t.Errorf("fields: ours %q, net/http's %q", a, b)
	}
}

func sameTrailer(t *testing.T, ours header.List, theirs http.Header) {
	t.Helper()
	for name, values := range canonical(ours) {
		if !reflect.DeepEqual(values, theirs[name]) {
			t.Errorf("trailer %s: ours %q, net/http's %q", name, values, theirs[name])
		}
	}
}

// Whatever we accept, net/http accepts with the same meaning, up to the last byte of the body; and what we find does not
// depend on how the bytes arrive.
func FuzzReadRequest(f *testing.F) {
	for _, c := range accepted {
		f.Add([]byte(c.message))
	}
	for _, c := range refused {
		if len(c.message) < 2000 {
			f.Add([]byte(c.message))
		}
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		if a, b := outcome(bytes.NewReader(message), Limits{}), outcome(iotest.OneByteReader(bytes.NewReader(message)), Limits{}); a != b {
			t.Fatalf("whole %s, one byte at a time %s", a, b)
		}
		r := NewReader(bytes.NewReader(message), Limits{})
		defer r.Release()
		br := bufio.NewReader(bytes.NewReader(message))
		var req Request
		for range 5 {
			if r.ReadRequest(&req) != nil {
				return
			}
			if p, _ := br.Peek(2); string(p) == "\r\n" {
				br.Discard(2) // the empty line that RFC 9112 wants skipped and net/http does not
			}
			std, err := http.ReadRequest(br)
			if err != nil {
				t.Fatalf("net/http refuses what we accept: %v", err)
			}
			if std.Method != req.Method || std.RequestURI != req.Target || std.ProtoMinor != req.Minor || std.Host != req.Host {
				t.Fatalf("ours %s %s 1.%d %s, net/http's %s %s %s %s", req.Method, req.Target, req.Minor, req.Host, std.Method, std.RequestURI, std.Proto, std.Host)
			}
			if req.Form == OriginForm && (std.URL.EscapedPath() != req.Path || std.URL.RawQuery != req.Query) {
				t.Fatalf("ours %q ? %q, net/http's %q ? %q", req.Path, req.Query, std.URL.EscapedPath(), std.URL.RawQuery)
			}
			if std.ContentLength != req.ContentLength || std.Close != req.Close && req.Minor == 1 {
				t.Fatalf("ours length %d close %v, net/http's %d %v", req.ContentLength, req.Close, std.ContentLength, std.Close)
			}
			sameHeader(t, req.Header, std.Header)
			body, err := io.ReadAll(req.Body)
			theirs, stdErr := io.ReadAll(std.Body)
			if err != nil {
				return
			}
			if stdErr != nil || !bytes.Equal(body, theirs) {
				t.Fatalf("body: ours %q, net/http's %q, %v", body, theirs, stdErr)
			}
			sameTrailer(t, req.Body.Trailer(), std.Trailer)
		}
	})
}

func FuzzReadResponse(f *testing.F) {
	for _, c := range responses {
		if len(c.message) < 2000 {
			f.Add(c.method, []byte(c.message))
		}
	}
	f.Fuzz(func(t *testing.T, method string, message []byte) {
		if a, b := readResponse(bytes.NewReader(message), method), readResponse(iotest.OneByteReader(bytes.NewReader(message)), method); a != b {
			t.Fatalf("whole %s, one byte at a time %s", a, b)
		}
		r := NewReader(bytes.NewReader(message), Limits{})
		defer r.Release()
		br := bufio.NewReader(bytes.NewReader(message))
		var resp Response
		for range 5 {
			if r.ReadResponse(&resp, method) != nil {
				return
			}
			std, err := http.ReadResponse(br, &http.Request{Method: method})
			if err != nil {
				t.Fatalf("net/http refuses what we accept: %v", err)
			}
			_, reason, _ := strings.Cut(std.Status, " ")
			if std.StatusCode != resp.Status || strings.TrimLeft(reason, " ") != strings.TrimLeft(resp.Reason, " ") || std.ProtoMinor != resp.Minor {
				t.Fatalf("ours 1.%d %d %q, net/http's %s %q", resp.Minor, resp.Status, resp.Reason, std.Proto, std.Status)
			}
			sameHeader(t, resp.Header, std.Header)
			if resp.Kind == Tunnel || resp.Close {
				return
			}
			body, err := io.ReadAll(resp.Body)
			theirs, stdErr := io.ReadAll(std.Body)
			if err != nil {
				return
			}
			if stdErr != nil || !bytes.Equal(body, theirs) {
				t.Fatalf("body: ours %q, net/http's %q, %v", body, theirs, stdErr)
			}
			sameTrailer(t, resp.Body.Trailer(), std.Trailer)
		}
	})
}

// FuzzChunked reads arbitrary bytes as a chunked body, in every way, and checks them against net/http.
func FuzzChunked(f *testing.F) {
	for _, s := range []string{"5\r\nhello\r\n0\r\n\r\n", "5;a=b\r\nhello\r\n0\r\nA: b\r\n\r\n", "1\r\nx\r\n1\r\ny\r\n000;q=\"\\\"\"\r\n\r\n", "5\nhello\r\n0\r\n\r\n", "ffffffffffffffff\r\n", "7fffffffffffffff\r\nx", "0\r\n\r\nrest"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		message := chunks(string(body))
		if a, b := outcome(strings.NewReader(message), Limits{}), outcome(iotest.HalfReader(strings.NewReader(message)), Limits{}); a != b {
			t.Fatalf("whole %s, in halves %s", a, b)
		}
		r, req := open(t, strings.NewReader(message))
		defer r.Release()
		ours, err := req.Body.AppendAll(nil, 1<<20)
		if err != nil {
			return
		}
		std, err := http.ReadRequest(bufio.NewReader(strings.NewReader(message)))
		if err != nil {
			t.Fatal(err)
		}
		if theirs, err := io.ReadAll(std.Body); err != nil || !bytes.Equal(ours, theirs) {
			t.Fatalf("ours %q, net/http's %q, %v", ours, theirs, err)
		}
	})
}

// FuzzRoundTrip writes a request of arbitrary parts and reads it back: what arrives is one message with the same parts, never two.
func FuzzRoundTrip(f *testing.F) {
	f.Add("POST", "/a?b", "X-A", "v", "body", "X-Sum", "1")
	f.Add("GET", "/\r\nHost: b", "A: b\r\nC", "d\r\n\r\nGET / HTTP/1.1", "0\r\n\r\n", "Transfer-Encoding", "chunked")
	f.Fuzz(func(t *testing.T, method, target, name, value, data, trailer, trailerValue string) {
		head, err := AppendRequestLine(nil, method, target)
		if err != nil {
			return
		}
		head = AppendFields(head, header.List{{Name: "Host", Value: "a.example"}, {Name: "X-Before", Value: value}, {Name: name, Value: value}, {Name: "X-After", Value: "1"}})
		message := AppendLastChunk(AppendChunk(AppendEnd(AppendChunked(head)), []byte(data)), header.List{{Name: trailer, Value: trailerValue}})
		r := NewReader(bytes.NewReader(message), Limits{})
		defer r.Release()
		var req Request
		if r.ReadRequest(&req) != nil {
			return // a target, host or framing field that does not hold together is refused, not misread
		}
		body, err := io.ReadAll(req.Body)
		if err != nil {
			if _, ok := err.(*ParseError); ok {
				return
			}
			t.Fatal(err)
		}
		if req.Method != method || req.Target != target || string(body) != data || req.Header.Get("X-After") != "1" || len(req.Header) > 5 {
			t.Fatalf("wrote %q, read %+v %q", message, req, body)
		}
		if err := r.ReadRequest(&req); err != io.EOF {
			t.Fatalf("wrote one message %q, read a second: %v", message, err)
		}
	})
}
