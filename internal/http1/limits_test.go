package http1

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
)

// Every limit is met exactly: what is as large as allowed passes, one more byte or line does not, however it arrives.
func TestLimitsAreExact(t *testing.T) {
	limits := Limits{LineBytes: 30, FieldBytes: 40, HeaderBytes: 120, HeaderCount: 4, TrailerBytes: 50, TrailerCount: 3, ExtensionBytes: 10}
	line := func(n int) string {
		return "GET /" + strings.Repeat("a", n-len("GET / HTTP/1.1")) + " HTTP/1.1\r\nHost: a\r\n\r\n"
	}
	sized := func(n int) string { return "A:" + strings.Repeat("b", n-2) + "\r\n" }
	head := func(fields string) string { return "GET / HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n" }
	body := func(b string) string { return "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + b }
	for _, c := range []struct {
		name     string
		good     string
		bad      string
		expected string
	}{
		{"request line", line(30), line(31), "line_too_long/414"},
		{"field", head(sized(40)), head(sized(41)), "fields_too_large/431"},
		// Host: 9 bytes with CRLF, then 38+2, 38+2, 29+2: 120
		{"section", head(sized(38) + sized(38) + sized(29)), head(sized(38) + sized(38) + sized(30)), "fields_too_large/431"},
		{"count", head("A:\r\nA:\r\nA:\r\n"), head("A:\r\nA:\r\nA:\r\nA:\r\n"), "fields_too_large/431"},
		{"trailer", body("0\r\n" + sized(23) + sized(23) + "\r\n"), body("0\r\n" + sized(23) + sized(24) + "\r\n"), "fields_too_large/431"},
		{"trailer count", body("0\r\nA:\r\nA:\r\nA:\r\n\r\n"), body("0\r\nA:\r\nA:\r\nA:\r\nA:\r\n\r\n"), "fields_too_large/431"},
		{"extension", body("1;a=bcdefg\r\nx\r\n0\r\n\r\n"), body("1;a=bcdefghi\r\nx\r\n0\r\n\r\n"), "chunk_extensions/413"},
	} {
		for way, wrap := range map[string]func(io.Reader) io.Reader{"at once": func(r io.Reader) io.Reader { return r }, "byte by byte": iotest.OneByteReader} {
			if got := outcome(wrap(strings.NewReader(c.good)), limits); strings.Count(got, "error ") != 1 || !strings.Contains(got, "error EOF") || !strings.Contains(got, "err=none") {
				t.Errorf("%s, %s: just within the limit: %s", c.name, way, got)
			}
			if got := outcome(wrap(strings.NewReader(c.bad)), limits); !strings.Contains(got, c.expected) {
				t.Errorf("%s, %s: just above the limit: %s", c.name, way, got)
			}
		}
	}
}

// A peer cannot make a Reader hold more than its limits plus a buffer or two.
func TestMemoryIsBounded(t *testing.T) {
	endless := io.MultiReader(strings.NewReader("GET / HTTP/1.1\r\nHost: a\r\n"), &loop{strings.Repeat("A: "+strings.Repeat("b", 1000)+"\r\n", 3)})
	r := NewReader(endless, Limits{HeaderCount: 1 << 30})
	var req Request
	if err := r.ReadRequest(&req); describe(err) != "fields_too_large/431" {
		t.Fatal(err)
	}
	held := len(r.buf)
	for _, b := range r.pinned {
		held += len(b)
	}
	if held > 64<<10+3*largeSize {
		t.Errorf("%d bytes are held for a head of at most 64 KiB", held)
	}
}

func TestLimitsMayExceedEveryPooledBuffer(t *testing.T) {
	cookie := strings.Repeat("c", 90_000)
	r := NewReader(iotest.HalfReader(strings.NewReader("GET / HTTP/1.1\r\n"+host+"Cookie: "+cookie+"\r\n\r\n"+field("A: b"))), Limits{FieldBytes: 100_000, HeaderBytes: 200_000})
	var req Request
	if err := r.ReadRequest(&req); err != nil || req.Header.Get("Cookie") != cookie || req.Host != "a.example" {
		t.Fatalf("%d bytes of cookie, %v", len(req.Header.Get("Cookie")), err)
	}
	if err := r.ReadRequest(&req); err != nil || req.Header.Get("A") != "b" {
		t.Errorf("the next request: %v", err)
	}
}

// While one goroutine forwards the body, others may look at the head (-race proves it).
func TestHeadMayBeReadBesideTheBody(t *testing.T) {
	r, req := open(t, iotest.HalfReader(strings.NewReader("POST /p HTTP/1.1\r\n"+host+"A: b\r\nContent-Length: 100000\r\n\r\n"+strings.Repeat("x", 100000))))
	defer r.Release()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				if s := fmt.Sprint(req.Path, req.Host, req.Header.Get("A")); s != "/pa.exampleb" {
					t.Errorf("head reads %q", s)
					return
				}
			}
		})
	}
	if n, err := io.Copy(io.Discard, req.Body); n != 100000 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	wg.Wait()
}
