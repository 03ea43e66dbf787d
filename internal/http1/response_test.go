package http1

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func readResponse(src io.Reader, method string) string {
	r := NewReader(src, Limits{})
	defer r.Release()
	var resp Response
	var out strings.Builder
	for range 20 {
		if err := r.ReadResponse(&resp, method); err != nil {
			fmt.Fprintf(&out, "error %s\n", describe(err))
			break
		}
		body, err := io.ReadAll(resp.Body)
		fmt.Fprintf(&out, "%d %q %d kind=%d length=%d declared=%d close=%v upgrade=%s %q body=%q trailer=%q err=%s\n", resp.Status, resp.Reason, resp.Minor,
			resp.Kind, resp.ContentLength, resp.DeclaredLength, resp.Close, resp.Upgrade, resp.Header, body, resp.Body.Trailer(), describe(err))
		if err != nil || resp.Kind == Tunnel {
			rest, _ := io.ReadAll(r)
			if err == nil {
				fmt.Fprintf(&out, "raw %q\n", rest)
			}
			break
		}
	}
	return out.String()
}

var responses = []struct{ name, method, message, want string }{
	{"plain", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", `200 "OK" 1 kind=1 length=2 declared=2 close=false upgrade= [{"Content-Length" "2"}] body="hi" trailer=[] err=none|error EOF`},
	{"empty reason", "GET", "HTTP/1.1 404 \r\nContent-Length: 0\r\n\r\n", `404 "" 1 kind=1 length=0 declared=0 close=false upgrade= [{"Content-Length" "0"}] body="" trailer=[] err=none|error EOF`},
	{"no space after the status", "GET", "HTTP/1.1 404\r\nContent-Length: 0\r\n\r\n", `404 "" 1 kind=1 length=0 declared=0 close=false upgrade= [{"Content-Length" "0"}] body="" trailer=[] err=none|error EOF`},
	{"reason in Latin-1", "GET", "HTTP/1.1 200 d'acc\xf4rd, \tbien\r\nContent-Length: 0\r\n\r\n", `200 "d'acc\xf4rd, \tbien" 1 kind=1 length=0 declared=0 close=false upgrade= [{"Content-Length" "0"}] body="" trailer=[] err=none|error EOF`},
	{"until close", "GET", "HTTP/1.1 200 OK\r\n\r\nall of it", `200 "OK" 1 kind=3 length=-1 declared=-1 close=true upgrade= [] body="all of it" trailer=[] err=none|error EOF`},
	{"HTTP/1.0", "GET", "HTTP/1.0 200 OK\r\n\r\nold", `200 "OK" 0 kind=3 length=-1 declared=-1 close=true upgrade= [] body="old" trailer=[] err=none|error EOF`},
	{"HTTP/1.0 kept alive", "GET", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx", `200 "OK" 0 kind=1 length=1 declared=1 close=false upgrade= [{"Connection" "keep-alive"} {"Content-Length" "1"}] body="x" trailer=[] err=none|error EOF`},
	{"chunked", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nGrpc-Status: 0\r\n\r\n", `200 "OK" 1 kind=2 length=-1 declared=-1 close=false upgrade= [{"Transfer-Encoding" "chunked"}] body="hi" trailer=[{"Grpc-Status" "0"}] err=none|error EOF`},
	{"answer to HEAD", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", `200 "OK" 1 kind=0 length=0 declared=9 close=false upgrade= [{"Content-Length" "9"}] body="" trailer=[] err=none|error EOF`},
	{"chunked answer to HEAD", "HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", `200 "OK" 1 kind=0 length=0 declared=-1 close=false upgrade= [{"Transfer-Encoding" "chunked"}] body="" trailer=[] err=none|error EOF`},
	{"304", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", `304 "Not Modified" 1 kind=0 length=0 declared=9 close=false upgrade= [{"Content-Length" "9"}] body="" trailer=[] err=none|error EOF`},
	{"204", "GET", "HTTP/1.1 204 No Content\r\n\r\n", `204 "No Content" 1 kind=0 length=0 declared=-1 close=false upgrade= [] body="" trailer=[] err=none|error EOF`},
	{"204 that says 0", "GET", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", `204 "No Content" 1 kind=0 length=0 declared=0 close=false upgrade= [{"Content-Length" "0"}] body="" trailer=[] err=none|error EOF`},
	{"204 with a body cannot be followed", "GET", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", `204 "No Content" 1 kind=0 length=0 declared=-1 close=true upgrade= [{"Transfer-Encoding" "chunked"}] body="" trailer=[] err=none|error EOF`},
	{"interim responses", "POST", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
		`100 "Continue" 1 kind=0 length=0 declared=-1 close=false upgrade= [] body="" trailer=[] err=none|103 "Early Hints" 1 kind=0 length=0 declared=-1 close=false upgrade= [{"Link" "</a>"}] body="" trailer=[] err=none|200 "OK" 1 kind=1 length=0 declared=0 close=false upgrade= [{"Content-Length" "0"}] body="" trailer=[] err=none|error EOF`},
	{"switching protocols", "GET", "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x00raw", `101 "Switching Protocols" 1 kind=4 length=-1 declared=-1 close=true upgrade=websocket [{"Connection" "upgrade"} {"Upgrade" "websocket"}] body="" trailer=[] err=none|raw "\x81\x00raw"`},
	{"CONNECT", "CONNECT", "HTTP/1.1 200 OK\r\n\r\nraw", `200 "OK" 1 kind=4 length=-1 declared=-1 close=true upgrade= [] body="" trailer=[] err=none|raw "raw"`},
	{"CONNECT refused", "CONNECT", "HTTP/1.1 403 No\r\nContent-Length: 1\r\n\r\nx", `403 "No" 1 kind=1 length=1 declared=1 close=false upgrade= [{"Content-Length" "1"}] body="x" trailer=[] err=none|error EOF`},
	{"unregistered status", "GET", "HTTP/1.1 999 Go Away\r\nContent-Length: 0\r\n\r\n", `999 "Go Away" 1 kind=1 length=0 declared=0 close=false upgrade= [{"Content-Length" "0"}] body="" trailer=[] err=none|error EOF`},
	{"two answers", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP/1.1 201 Created\r\nContent-Length: 1\r\nConnection: close\r\n\r\nb", `200 "OK" 1 kind=1 length=1 declared=1 close=false upgrade= [{"Content-Length" "1"}] body="a" trailer=[] err=none|201 "Created" 1 kind=1 length=1 declared=1 close=true upgrade= [{"Content-Length" "1"} {"Connection" "close"}] body="b" trailer=[] err=none|error EOF`},
	{"body cut short", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi", `200 "OK" 1 kind=1 length=3 declared=3 close=false upgrade= [{"Content-Length" "3"}] body="hi" trailer=[] err=truncated/502`},
	{"chunked body cut short", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n", `200 "OK" 1 kind=2 length=-1 declared=-1 close=false upgrade= [{"Transfer-Encoding" "chunked"}] body="hi" trailer=[] err=truncated/502`},

	{"nothing", "GET", "", `error EOF`},
	{"cut in the status line", "GET", "HTTP/1.1 2", `error truncated/502`},
	{"cut in the head", "GET", "HTTP/1.1 200 OK\r\nA: b\r\n", `error truncated/502`},
	{"not HTTP", "GET", "SSH-2.0-OpenSSH_9.2\r\n", `error status_line/502`},
	{"almost HTTP", "GET", "HTTQ/1.1 200 OK\r\n\r\n", `error status_line/502`},
	{"empty line before", "GET", "\r\nHTTP/1.1 200 OK\r\n\r\n", `error status_line/502`},
	{"HTTP/2", "GET", "HTTP/2.0 200 OK\r\n\r\n", `error version/502`},
	{"HTTP/1.2", "GET", "HTTP/1.2 200 OK\r\n\r\n", `error version/502`},
	{"status of two digits", "GET", "HTTP/1.1 20 OK\r\n\r\n", `error status_line/502`},
	{"status of four digits", "GET", "HTTP/1.1 2000 OK\r\n\r\n", `error status_line/502`},
	{"status 099", "GET", "HTTP/1.1 099 OK\r\n\r\n", `error status_line/502`},
	{"status with sign", "GET", "HTTP/1.1 +20 OK\r\n\r\n", `error status_line/502`},
	{"two spaces", "GET", "HTTP/1.1  200 OK\r\n\r\n", `error status_line/502`},
	{"control character in the reason", "GET", "HTTP/1.1 200 O\x00K\r\n\r\n", `error status_line/502`},
	{"bare LF", "GET", "HTTP/1.1 200 OK\nContent-Length: 0\n\n", `error line_ending/502`},
	{"bare CR in the reason", "GET", "HTTP/1.1 200 O\rK\r\n\r\n", `error status_line/502`},
	{"folded field", "GET", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", `error obs_fold/502`},
	{"white space before the colon", "GET", "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n", `error field_name/502`},
	{"length and coding", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", `error framing_conflict/502`},
	{"equal lengths", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n", `error content_length/502`},
	{"negative length", "GET", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", `error content_length/502`},
	{"unknown coding", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", `error transfer_encoding/502`},
	{"coding in HTTP/1.0", "GET", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", `error framing_conflict/502`},
	{"interim with a body", "GET", "HTTP/1.1 100 Continue\r\nContent-Length: 2\r\n\r\nhi", `error framing_conflict/502`},
	{"interim chunked", "GET", "HTTP/1.1 100 Continue\r\nTransfer-Encoding: chunked\r\n\r\n", `error framing_conflict/502`},
	{"status line too long", "GET", "HTTP/1.1 200 " + strings.Repeat("x", 9000) + "\r\n\r\n", `error line_too_long/502`},
	{"head too large", "GET", "HTTP/1.1 200 OK\r\n" + strings.Repeat("A: "+strings.Repeat("b", 9000)+"\r\n", 8) + "\r\n", `error fields_too_large/502`},
	{"response splitting in a chunk", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n0\r\n\r\n", `200 "OK" 1 kind=2 length=-1 declared=-1 close=false upgrade= [{"Transfer-Encoding" "chunked"}] body="he" trailer=[] err=chunk/502`},
}

func TestReadResponse(t *testing.T) {
	for _, c := range responses {
		want := strings.ReplaceAll(c.want, "|", "\n") + "\n"
		if got := readResponse(strings.NewReader(c.message), c.method); got != want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, want)
		}
		if got := readResponse(iotest.OneByteReader(strings.NewReader(c.message)), c.method); got != want {
			t.Errorf("%s one byte at a time:\n got %s\nwant %s", c.name, got, want)
		}
		for i := 1; i < len(c.message) && len(c.message) < 1000; i++ {
			if got := readResponse(&pieces{list: []string{c.message[:i], c.message[i:]}}, c.method); got != want {
				t.Errorf("%s split at %d:\n got %s\nwant %s", c.name, i, got, want)
			}
		}
	}
}

func TestInterim(t *testing.T) {
	for status, want := range map[int]bool{100: true, 103: true, 101: false, 200: false} {
		if (&Response{Status: status}).Interim() != want {
			t.Errorf("%d: want %v", status, want)
		}
	}
}

func TestUpstreamThatNeverAnsweredIsToldFromOneThatBrokeOff(t *testing.T) {
	reset := errors.New("connection reset")
	var resp Response
	r := NewReader(&pieces{err: reset}, Limits{})
	if err := r.ReadResponse(&resp, "GET"); err != reset || r.Started() {
		t.Errorf("before the first byte: %v, started %v", err, r.Started())
	}
	r.Reset(&pieces{list: []string{"H"}, err: reset})
	if err := r.ReadResponse(&resp, "GET"); err != reset || !r.Started() {
		t.Errorf("after the first byte: %v, started %v", err, r.Started())
	}
	r.Reset(strings.NewReader("HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 unsolicited"))
	if err := r.ReadResponse(&resp, "GET"); err != nil || r.Buffered() == 0 {
		t.Errorf("unsolicited bytes must show: %v, %d buffered", err, r.Buffered())
	}
}
