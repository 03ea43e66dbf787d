package origin

import (
	"errors"
	"strings"
	"testing"
)

func TestTheStrictParser(t *testing.T) {
	const host = "Host: a\r\n"
	for _, c := range []struct{ name, in, want string }{
		{"plain", "GET /x HTTP/1.1\r\n" + host + "\r\n", "GET /x \"\""},
		{"length", "POST /x HTTP/1.1\r\n" + host + "Content-Length: 2\r\n\r\nhi", "POST /x \"hi\""},
		{"chunked", "POST /x HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nA: b\r\n\r\n", "POST /x \"hi\""},
		{"half a head", "GET /x HTTP/1.1\r\nHost", "more"},
		{"half a body", "POST /x HTTP/1.1\r\n" + host + "Content-Length: 3\r\n\r\nhi", "more"},
		{"half a chunk", "POST /x HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n5\r\nhi", "more"},
		{"no last chunk", "POST /x HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n", "more"},
		{"bare LF", "GET /x HTTP/1.1\nHost: a\n\n", "fault"},
		{"length and coding", "POST /x HTTP/1.1\r\n" + host + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", "fault"},
		{"two lengths", "POST /x HTTP/1.1\r\n" + host + "Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi", "fault"},
		{"look-alike", "POST /x HTTP/1.1\r\n" + host + "Content_Length: 2\r\n\r\nhi", "fault"},
		{"two hosts", "GET /x HTTP/1.1\r\n" + host + host + "\r\n", "fault"},
		{"no host", "GET /x HTTP/1.1\r\nA: b\r\n\r\n", "fault"},
		{"space before the colon", "GET /x HTTP/1.1\r\nHost : a\r\n\r\n", "fault"},
		{"folded", "GET /x HTTP/1.1\r\n" + host + "A: b\r\n c\r\n\r\n", "fault"},
		{"bare CR", "GET /x HTTP/1.1\r\n" + host + "A: b\rc\r\n\r\n", "fault"},
		{"fragment", "GET /x#y HTTP/1.1\r\n" + host + "\r\n", "fault"},
		{"extension", "POST /x HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n2;a\r\nhi\r\n0\r\n\r\n", "fault"},
		{"signed length", "POST /x HTTP/1.1\r\n" + host + "Content-Length: +2\r\n\r\nhi", "fault"},
	} {
		m, n, err := parse([]byte(c.in))
		got := m.Method + " " + m.Target + ` "` + m.Body + `"`
		switch {
		case errors.Is(err, errMore):
			got = "more"
		case err != nil:
			got = "fault"
		case n != len(c.in) || m.Raw != c.in:
			t.Errorf("%s: %d of %d bytes taken", c.name, n, len(c.in))
		}
		if got != c.want {
			t.Errorf("%s: %s (%v), want %s", c.name, got, err, c.want)
		}
	}
}

// FuzzParse: what the strict parser accepts stays accepted, and as the same, with more bytes behind it.
func FuzzParse(f *testing.F) {
	f.Add("GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
	f.Add("POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nA: b\r\n\r\n")
	f.Fuzz(func(t *testing.T, in string) {
		m, n, err := parse([]byte(in))
		if err != nil {
			return
		}
		if n > len(in) || m.Raw != in[:n] {
			t.Fatalf("took %d of %d bytes", n, len(in))
		}
		again, k, err := parse([]byte(in[:n] + "GET / HTTP/1.1\r\n"))
		if err != nil || k != n || again.Body != m.Body || !strings.HasPrefix(again.Raw, m.Method+" ") {
			t.Fatalf("with bytes behind it: %d, %v", k, err)
		}
	})
}
