package edge

import (
	"encoding/json"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"postern/internal/policy"
)

const hostLine = "Host: api.example.com\r\n"

// doubtful are messages that two programs could read differently. Each is followed by a request that a gateway which
// guesses wrong would take for one of its own.
var doubtful = map[string]string{
	"length and chunked":               "POST / HTTP/1.1\r\n" + hostLine + "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"chunked and length":               "POST / HTTP/1.1\r\n" + hostLine + "Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\n",
	"two lengths":                      "POST / HTTP/1.1\r\n" + hostLine + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
	"two equal lengths":                "POST / HTTP/1.1\r\n" + hostLine + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
	"length list":                      "POST / HTTP/1.1\r\n" + hostLine + "Content-Length: 5, 5\r\n\r\nhello",
	"length with plus":                 "POST / HTTP/1.1\r\n" + hostLine + "Content-Length: +5\r\n\r\nhello",
	"length in hexadecimal":            "POST / HTTP/1.1\r\n" + hostLine + "Content-Length: 0x5\r\n\r\nhello",
	"negative length":                  "POST / HTTP/1.1\r\n" + hostLine + "Content-Length: -1\r\n\r\nhello",
	"empty length":                     "POST / HTTP/1.1\r\n" + hostLine + "Content-Length:\r\n\r\nhello",
	"overflowing length":               "POST / HTTP/1.1\r\n" + hostLine + "Content-Length: 18446744073709551621\r\n\r\nhello",
	"underscored length":               "POST / HTTP/1.1\r\n" + hostLine + "Content_Length: 5\r\n\r\nhello",
	"length with a space before colon": "POST / HTTP/1.1\r\n" + hostLine + "Content-Length : 5\r\n\r\nhello",
	"unknown coding":                   "POST / HTTP/1.1\r\n" + hostLine + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
	"gzip, chunked":                    "POST / HTTP/1.1\r\n" + hostLine + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
	"chunked twice":                    "POST / HTTP/1.1\r\n" + hostLine + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
	"chunked in two lines":             "POST / HTTP/1.1\r\n" + hostLine + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"identity":                         "POST / HTTP/1.1\r\n" + hostLine + "Transfer-Encoding: identity\r\n\r\n",
	"chunked with vertical tab":        "POST / HTTP/1.1\r\n" + hostLine + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
	"chunked with tab":                 "POST / HTTP/1.1\r\n" + hostLine + "Transfer-Encoding:\tchunked\r\n\r\n0\r\n\r\n",
	"folded coding":                    "POST / HTTP/1.1\r\n" + hostLine + "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
	"underscored coding":               "POST / HTTP/1.1\r\n" + hostLine + "Transfer_Encoding: chunked\r\n\r\n0\r\n\r\n",
	"chunked in HTTP/1.0":              "POST / HTTP/1.0\r\n" + hostLine + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"bare LF":                          "GET / HTTP/1.1\n" + hostLine + "\r\n",
	"bare LF after a field":            "GET / HTTP/1.1\r\nHost: api.example.com\nX: y\r\n\r\n",
	"bare CR in a value":               "GET / HTTP/1.1\r\n" + hostLine + "X: a\rb\r\n\r\n",
	"NUL in a value":                   "GET / HTTP/1.1\r\n" + hostLine + "X: a\x00b\r\n\r\n",
	"folded field":                     "GET / HTTP/1.1\r\n" + hostLine + "X: a\r\n b\r\n\r\n",
	"indented first field":             "GET / HTTP/1.1\r\n " + hostLine + "\r\n",
	"no host":                          "GET / HTTP/1.1\r\n\r\n",
	"two hosts":                        "GET / HTTP/1.1\r\n" + hostLine + "Host: evil\r\n\r\n",
	"target and host disagree":         "GET http://evil/ HTTP/1.1\r\n" + hostLine + "\r\n",
	"space in the target":              "GET /a b HTTP/1.1\r\n" + hostLine + "\r\n",
	"two spaces":                       "GET  / HTTP/1.1\r\n" + hostLine + "\r\n",
	"fragment":                         "GET /#x HTTP/1.1\r\n" + hostLine + "\r\n",
	"HTTP/0.9":                         "GET /\r\n",
	"HTTP/1.2":                         "GET / HTTP/1.2\r\n" + hostLine + "\r\n",
	"lower case version":               "GET / http/1.1\r\n" + hostLine + "\r\n",
	"HTTP/2 preface":                   "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
	"TLS":                              "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
	"CONNECT with a body":              "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nContent-Length: 5\r\n\r\nhello",
	"chunk size with prefix":           chunkedPost("0x5\r\nhello\r\n0\r\n\r\n"),
	"chunk size with space":            chunkedPost("5 \r\nhello\r\n0\r\n\r\n"),
	"chunk size with plus":             chunkedPost("+5\r\nhello\r\n0\r\n\r\n"),
	"chunk size too long":              chunkedPost("00000000000000005\r\nhello\r\n0\r\n\r\n"),
	"chunk size overflows":             chunkedPost("8000000000000000\r\nhello\r\n0\r\n\r\n"),
	"chunk ends with LF":               chunkedPost("5\nhello\r\n0\r\n\r\n"),
	"chunk extension with LF":          chunkedPost("5;a\nhello\r\n0\r\n\r\n"),
	"data longer than its chunk":       chunkedPost("3\r\nhello\r\n0\r\n\r\n"),
	"data without CRLF":                chunkedPost("5\r\nhello0\r\n\r\n"),
	"second chunk malformed":           chunkedPost("5\r\nhello\r\nzz\r\n"),
	"third chunk malformed":            chunkedPost("5\r\nhello\r\n5\r\nworld\r\n\r\n"),
	"trailer with length":              chunkedPost("0\r\nContent-Length: 5\r\n\r\n"),
	"trailer with host":                chunkedPost("0\r\nHost: evil\r\n\r\n"),
	"trailer with LF":                  chunkedPost("0\r\nA: b\n\r\n"),
	"trailer folded":                   chunkedPost("0\r\nA: b\r\n c\r\n\r\n"),
}

func chunkedPost(chunks string) string {
	return "POST / HTTP/1.1\r\n" + hostLine + "Transfer-Encoding: chunked\r\n\r\n" + chunks
}

const smuggled = "GET /smuggled HTTP/1.1\r\nHost: api.example.com\r\n\r\n"

func TestDoubtfulFraming(t *testing.T) {
	engines(t, func(t *testing.T, engine func(*policy.Listener)) {
		w := newWorld(t, engine, func(l *policy.Listener) { l.Timeouts.Body = policy.Duration(5 * time.Second) })
		n := 0
		for name, message := range doubtful {
			for _, slowly := range []bool{false, true} {
				if slowly && (testing.Short() || len(message) > 300) {
					continue
				}
				n++
				c := w.dial()
				if slowly {
					go func() {
						for _, b := range []byte(message + smuggled) {
							if _, err := c.Conn.Write([]byte{b}); err != nil {
								return
							}
						}
					}()
				} else {
					c.send(message + smuggled)
				}
				resp, body := c.answer("GET")
				if resp.StatusCode != 400 || !resp.Close || resp.Header.Get("Content-Type") != "application/problem+json" {
					t.Errorf("%s: %d %v, want 400, closed, problem+json", name, resp.StatusCode, resp.Header)
				}
				var p struct{ Reason, Detail, Trace, Gate, Origin string }
				if err := json.Unmarshal([]byte(body), &p); err != nil || p.Reason != "request.malformed" || p.Gate != "route" || p.Origin != "gateway" ||
					p.Trace != resp.Header.Get("Postern-Trace") || !strings.HasPrefix(p.Detail, "The request cannot be read without guessing: ") {
					t.Errorf("%s: %v %s", name, err, body)
				}
				if rest, err := io.ReadAll(c.r); len(rest) > 0 {
					t.Errorf("%s: a second answer: %q", name, rest)
				} else if network, ok := err.(net.Error); ok && network.Timeout() {
					t.Errorf("%s: the connection stayed open", name)
				}
			}
		}
		if got := w.reached.Load(); got != 0 {
			t.Errorf("%d requests reached the upstream", got)
		}
		for _, r := range w.records(n) {
			if r.reason != "request.malformed" || r.status != 400 || r.trace == "" || r.steps == 0 {
				t.Errorf("record %+v", r)
			}
		}
	})
}

// TestTruncatedRequests ends the client's side in the middle.
func TestTruncatedRequests(t *testing.T) {
	engines(t, func(t *testing.T, engine func(*policy.Listener)) {
		w := newWorld(t, engine)
		for name, message := range map[string]string{
			"in the request line": "GET / HT",
			"in a field":          "GET / HTTP/1.1\r\nHost: a\r\nX: ",
			"in a body":           "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello",
			"in a chunk":          "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
			"before the trailer":  "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
		} {
			before := w.reached.Load()
			c := w.dial()
			c.send(message)
			_ = c.Conn.(*net.TCPConn).CloseWrite()
			resp, body := c.answer("GET")
			if resp.StatusCode != 400 || !strings.Contains(body, "the connection ended inside") {
				t.Errorf("%s: %d %s", name, resp.StatusCode, body)
			}
			c.closed()
			if name != "in a body" && w.reached.Load() != before { // the test's forwarder is called before it reads a body of known length
				t.Errorf("%s: it reached the upstream", name)
			}
		}
	})
}

// TestSlowChunkedBodyStreams: a sender that waits for an answer between its chunks is not held back for ever.
func TestSlowChunkedBodyStreams(t *testing.T) {
	engines(t, func(t *testing.T, engine func(*policy.Listener)) {
		w := newWorld(t, engine)
		w.forward = pingPong(t)
		c := w.dial()
		c.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nping\r\n")
		resp := c.head()
		buf := make([]byte, 4)
		for range 3 {
			if _, err := io.ReadFull(resp.Body, buf); err != nil || string(buf) != "PING" {
				t.Fatalf("%q %v", buf, err)
			}
			c.send("4\r\nping\r\n")
		}
		c.send("0\r\n\r\n")
		if rest, err := io.ReadAll(resp.Body); err != nil || string(rest) != "PING" {
			t.Fatalf("%q %v", rest, err)
		}
	})
}
