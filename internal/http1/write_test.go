package http1

import (
	"io"
	"strings"
	"testing"
	"time"

	"postern/internal/header"
)

func TestRequestLineCannotBeSplit(t *testing.T) {
	for _, c := range []struct {
		method, target, want string
	}{
		{"GET", "/a?b", "GET /a?b HTTP/1.1\r\n"},
		{"", "/", ""}, {"G ET", "/", ""}, {"GET\r\n", "/", ""}, {"GET", "", ""}, {"GET", "/ HTTP/1.1\r\nX: y", ""}, {"GET", "/\x00", ""}, {"GET", "/\xe9", ""}, {"GET", "/\x7f", ""},
	} {
		got, err := AppendRequestLine([]byte(">"), c.method, c.target)
		if string(got) != ">"+c.want || (err == nil) != (c.want != "") {
			t.Errorf("AppendRequestLine(%q, %q) = %q, %v", c.method, c.target, got, err)
		}
	}
}

func TestFieldsCannotBeSplit(t *testing.T) {
	for _, c := range []struct{ name, value, want string }{
		{"A", "b", "A: b\r\n"}, {"A", "", "A: \r\n"}, {"A", "caf\xc3\xa9\t", "A: caf\xc3\xa9\t\r\n"},
		{"A", "b\r\nC: d", "A: b  C: d\r\n"}, {"A", "0123456789\x00\n\x7f", "A: 0123456789   \r\n"},
		{"A\r\nB", "c", ""}, {"", "c", ""}, {"A:", "c", ""}, {"A ", "c", ""},
	} {
		if got := string(AppendField(nil, c.name, c.value)); got != c.want {
			t.Errorf("AppendField(%q, %q) = %q, want %q", c.name, c.value, got, c.want)
		}
	}
	if got := string(AppendIntField(nil, "A\r\n", 1)); got != "" {
		t.Errorf("AppendIntField = %q", got)
	}
	if got := string(AppendStatusLineReason(nil, 200, "Fine\r\nX: y")); got != "HTTP/1.1 200 Fine  X: y\r\n" {
		t.Errorf("AppendStatusLineReason = %q", got)
	}
}

func TestStatusLines(t *testing.T) {
	for status, want := range map[int]string{200: "HTTP/1.1 200 OK\r\n", 431: "HTTP/1.1 431 Request Header Fields Too Large\r\n", 299: "HTTP/1.1 299 \r\n", 999: "HTTP/1.1 999 \r\n",
		0: "HTTP/1.1 500 Internal Server Error\r\n", -5: "HTTP/1.1 500 Internal Server Error\r\n", 1000: "HTTP/1.1 500 Internal Server Error\r\n"} {
		if reason := ReasonPhrase(status); reason != "" && !strings.HasSuffix(want, " "+reason+"\r\n") {
			t.Errorf("%d: phrase %q", status, reason)
		}
		if got := string(AppendStatusLine(nil, status)); got != want {
			t.Errorf("%d: %q", status, got)
		}
	}
}

func TestChunksCannotEndTheBodyByAccident(t *testing.T) {
	got := string(AppendLastChunk(AppendChunk(AppendChunk(AppendChunkHeader(AppendChunkHeader(nil, 0), -1), nil), []byte(strings.Repeat("x", 26))),
		header.List{{Name: "Grpc-Status", Value: "0"}, {Name: "Content-Length", Value: "5"}, {Name: "If-Match", Value: "x"}, {Name: "Bad\r\n", Value: "x"}}))
	if want := "1a\r\n" + strings.Repeat("x", 26) + "\r\n0\r\nGrpc-Status: 0\r\n\r\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestDate(t *testing.T) {
	at := time.Date(2026, 11, 22, 8, 9, 10, 999, time.FixedZone("", 3600))
	for range 2 {
		if got := string(AppendDate(nil, at)); got != "Date: Sun, 22 Nov 2026 07:09:10 GMT\r\n" {
			t.Errorf("%q", got)
		}
	}
	if got := string(AppendDate(nil, at.Add(time.Second))); got != "Date: Sun, 22 Nov 2026 07:09:11 GMT\r\n" {
		t.Errorf("%q", got)
	}
}

func TestValidity(t *testing.T) {
	for c := range 256 {
		s := string([]byte{'a', byte(c), 'b'})
		if got, want := ValidFieldName(s), strings.IndexByte("!#$%&'*+-.^_`|~", byte(c)) >= 0 || c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'; got != want {
			t.Errorf("ValidFieldName(%q) = %v", s, got)
		}
		for n := range 20 { // whatever the place of the byte in the eight that are looked at together
			v := strings.Repeat("\xff", n) + s + strings.Repeat("y", 9)
			if got, want := ValidFieldValue(v), c == '\t' || c >= 0x20 && c != 0x7f; got != want {
				t.Errorf("ValidFieldValue(%q) = %v", v, got)
			}
		}
	}
	for v, want := range map[string]bool{"": true, " a": false, "a ": false, "\ta": false, "a\t": false, " ": false} {
		if ValidFieldValue(v) != want {
			t.Errorf("ValidFieldValue(%q) = %v", v, !want)
		}
	}
}

// What the writer writes, the reader reads back.
func TestRoundTrip(t *testing.T) {
	fields := header.List{{Name: "Host", Value: "a.example"}, {Name: "X-A", Value: "1"}, {Name: "x-a", Value: ""}}
	b := GetBuffer()
	defer b.Release()
	b.B, _ = AppendRequestLine(b.B, "PATCH", "/x?y")
	b.B = AppendEnd(AppendChunked(AppendFields(b.B, fields)))
	b.B = AppendLastChunk(AppendChunk(b.B, []byte("data")), header.List{{Name: "X-Sum", Value: "7"}})
	r, req := open(t, strings.NewReader(string(b.B)))
	defer r.Release()
	body, err := io.ReadAll(req.Body)
	if err != nil || string(body) != "data" || req.Method != "PATCH" || req.Query != "y" || len(req.Header) != 4 || req.Header[2].Name != "x-a" || req.Body.Trailer().Get("X-Sum") != "7" {
		t.Errorf("%+v %q %v", req, body, err)
	}
}
