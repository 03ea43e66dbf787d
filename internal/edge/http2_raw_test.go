package edge

import (
	"context"
	"encoding/binary"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"postern/internal/decision"
	"postern/internal/forward"
	"postern/internal/gate"
	"postern/internal/policy"
)

// raw2 speaks HTTP/2 frame by frame over h2c, so that a test can send what no client library sends.
type raw2 struct{ *client }

const (
	frameData      = 0
	frameHeaders   = 1
	frameReset     = 3
	frameSettings  = 4
	frameGoAway    = 7
	flagEndStream  = 1
	flagEndHeaders = 4
)

func (w *world) dialHTTP2() raw2 {
	w.t.Helper()
	c := raw2{w.dial()}
	c.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	c.frame(frameSettings, 0, 0, "")
	return c
}

func (c raw2) frame(kind, flags byte, stream uint32, payload string) {
	c.t.Helper()
	head := []byte{byte(len(payload) >> 16), byte(len(payload) >> 8), byte(len(payload)), kind, flags}
	head = binary.BigEndian.AppendUint32(head, stream)
	c.send(string(head) + payload)
}

// request opens a stream. Fields are "name: value" as they are to be sent, pseudo-header fields first.
func (c raw2) request(stream uint32, ends bool, fields ...string) {
	c.t.Helper()
	var block strings.Builder
	for _, f := range fields {
		i := strings.Index(f[1:], ":") + 1
		name, value := f[:i], strings.TrimPrefix(f[i+1:], " ")
		block.WriteString("\x00" + string(rune(len(name))) + name + string(rune(len(value))) + value) // RFC 7541 section 6.2.2
	}
	flags := byte(flagEndHeaders)
	if ends {
		flags |= flagEndStream
	}
	c.frame(frameHeaders, flags, stream, block.String())
}

// outcome waits for the end of a stream: the status it was answered with ("" for one that HPACK has no index for), or
// "reset" or "closed".
func (c raw2) outcome(stream uint32) string {
	c.t.Helper()
	for {
		var head [9]byte
		if _, err := io.ReadFull(c.r, head[:]); err != nil {
			return "closed"
		}
		payload := make([]byte, int(head[0])<<16|int(head[1])<<8|int(head[2]))
		if _, err := io.ReadFull(c.r, payload); err != nil {
			return "closed"
		}
		if kind := head[3]; kind == frameGoAway {
			return "closed"
		} else if binary.BigEndian.Uint32(head[5:]) != stream {
			continue
		} else if kind == frameReset {
			return "reset"
		} else if kind == frameHeaders && len(payload) > 0 {
			return map[byte]string{0x88: "200", 0x8c: "400", 0x8d: "404", 0x8e: "500"}[payload[0]]
		}
	}
}

// TestMalformedHTTP2: requests that net/http hands on although RFC 9113 calls them malformed, because their framing or their
// target can be read in two ways. The forwarder must not see them, or see that their body has no end.
func TestMalformedHTTP2(t *testing.T) {
	const (
		end  = true
		open = false
	)
	for name, c := range map[string]struct {
		fields []string // behind :method, :scheme, :authority and :path
		path   string
		ends   bool
		data   string // sent with END_STREAM
		want   string // outcome; "refused": 400, or a reset when net/http was faster
	}{
		"body":                             {nil, "/a", open, "hello", "200"},
		"length that agrees":               {[]string{"content-length: 5"}, "/a", open, "hello", "200"},
		"length 0 and no body":             {[]string{"content-length: 0"}, "/a", end, "", "200"},
		"length 0 and an empty DATA frame": {[]string{"content-length: 0"}, "/a", open, "", "200"},
		"host that agrees":                 {[]string{"host: API.example.com"}, "/a", end, "", "200"},
		"length 0 with data":               {[]string{"content-length: 0"}, "/a", open, "hello", "refused"},
		"length 0 with a request":          {[]string{"content-length: 0"}, "/a", open, smuggled, "refused"},
		"length without a body":            {[]string{"content-length: 5"}, "/a", end, "", "400"},
		"shorter than its length":          {[]string{"content-length: 6"}, "/a", open, "hello", "400"},
		"longer than its length":           {[]string{"content-length: 4"}, "/a", open, "hello", "refused"},
		"empty length":                     {[]string{"content-length: "}, "/a", open, "hello", "refused"},
		"empty length and no body":         {[]string{"content-length: "}, "/a", end, "", "400"},
		"length in words":                  {[]string{"content-length: five"}, "/a", open, "hello", "refused"},
		"length with plus":                 {[]string{"content-length: +5"}, "/a", open, "hello", "refused"},
		"length with a space":              {[]string{"content-length:  5"}, "/a", open, "hello", "refused"},
		"length in hexadecimal":            {[]string{"content-length: 0x5"}, "/a", open, "hello", "refused"},
		"length list":                      {[]string{"content-length: 5, 5"}, "/a", open, "hello", "refused"},
		"overflowing length":               {[]string{"content-length: 99999999999999999999"}, "/a", open, "hello", "refused"},
		"two lengths":                      {[]string{"content-length: 5", "content-length: 6"}, "/a", open, "hello", "400"},
		"two equal lengths":                {[]string{"content-length: 5", "content-length: 5"}, "/a", open, "hello", "400"},
		"host that disagrees":              {[]string{"host: private.example.com"}, "/a", end, "", "400"},
		"two hosts":                        {[]string{"host: api.example.com", "host: private.example.com"}, "/a", end, "", "400"},
		"absolute target":                  {nil, "http://api.example.com/a", end, "", "400"},
		"target of another scheme":         {nil, "ftp://api.example.com/a", end, "", "400"},
		"asterisk with GET":                {nil, "*", end, "", "400"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(l *policy.Listener) { l.H2C = true })
			conn := w.dialHTTP2()
			conn.request(1, c.ends, append([]string{":method: POST", ":scheme: http", ":authority: api.example.com", ":path: " + c.path}, c.fields...)...)
			if !c.ends {
				conn.frame(frameData, flagEndStream, 1, c.data)
			}
			got := conn.outcome(1)
			if got != c.want && (c.want != "refused" || got != "400" && got != "reset") {
				t.Errorf("outcome %q, want %s", got, c.want)
			}
			r := w.records(1)[0]
			if c.want == "200" {
				if r.status != 200 {
					t.Errorf("%+v", r)
				}
				return
			}
			if r.reason != "request.malformed" || r.origin != "gateway" {
				t.Errorf("%+v", r)
			}
			if w.reached.Load() != 0 && !strings.HasSuffix(name, "than its length") { // those fail while the forwarder reads
				t.Error("it reached the upstream")
			}
		})
	}
}

// TestHTTP2LengthIsConfirmedByTheEnd: as long as the stream is open, a body of the announced length is no whole body.
func TestHTTP2LengthIsConfirmedByTheEnd(t *testing.T) {
	for name, c := range map[string]struct {
		rest   func(conn raw2)
		want   string
		reason string
	}{
		"the end":         {func(conn raw2) { conn.frame(frameData, flagEndStream, 1, "") }, "200", ""},
		"one byte more":   {func(conn raw2) { conn.frame(frameData, flagEndStream, 1, "!") }, "reset", "request.malformed"},
		"the client left": {func(conn raw2) { conn.frame(frameReset, 0, 1, "\x00\x00\x00\x08") }, "", "upstream.client_gone"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(l *policy.Listener) { l.H2C = true })
			reading, whole := make(chan struct{}), false
			w.forward = func(ctx context.Context, x *gate.Exchange, s forward.Sink) decision.Verdict {
				first := make([]byte, 2) // less than there is, so that it comes without waiting
				if _, err := io.ReadFull(x.Body, first); err != nil {
					t.Errorf("the beginning of the body: %v", err)
				}
				close(reading)
				_, err := io.Copy(io.Discard, x.Body)
				if whole = err == nil; whole {
					return echo(ctx, x, s)
				}
				return refusalOf(err)
			}
			conn := w.dialHTTP2()
			conn.request(1, false, ":method: POST", ":scheme: http", ":authority: api.example.com", ":path: /a", "content-length: 5")
			conn.frame(frameData, 0, 1, "hell")
			conn.frame(frameData, 0, 1, "o")
			<-reading
			c.rest(conn)
			if c.want != "" {
				if got := conn.outcome(1); got != c.want {
					t.Errorf("outcome %q, want %s", got, c.want)
				}
			}
			if r := w.records(1)[0]; r.reason != c.reason {
				t.Errorf("%+v, want %s", r, c.reason)
			}
			if whole != (c.reason == "") {
				t.Errorf("the forwarder took the body for whole: %v", whole)
			}
		})
	}
}

// TestHTTP2EmptyClaimIsWaitedForInVain: a stream that announces no body and never ends is answered by the body's time limit.
func TestHTTP2EmptyClaimIsWaitedForInVain(t *testing.T) {
	w := newWorld(t, func(l *policy.Listener) {
		l.H2C = true
		l.Timeouts.Body = policy.Duration(50 * time.Millisecond)
	})
	conn := w.dialHTTP2()
	conn.request(1, false, ":method: POST", ":scheme: http", ":authority: api.example.com", ":path: /a", "content-length: 0")
	conn.outcome(1)
	if r := w.records(1)[0]; r.reason != "request.timeout" || w.reached.Load() != 0 {
		t.Errorf("%+v, and %d reached the upstream", r, w.reached.Load())
	}
}

// TestRealHTTP2Length: a large body is on its way to the upstream before its end is known. The upstream must not be able to
// take what it got for a whole request, whichever way the length was untrue.
func TestRealHTTP2Length(t *testing.T) {
	for name, c := range map[string]struct {
		claimed int
		late    string // a DATA frame that ends the stream
		whole   bool
	}{
		"true":          {48 << 10, "", true},
		"one byte less": {48<<10 + 1, "", false},
		"one byte more": {48<<10 - 1, "", false},
		"more later":    {48 << 10, smuggled, false},
	} {
		t.Run(name, func(t *testing.T) {
			arrived := make(chan error, 1)
			upstream := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				_, err := io.Copy(io.Discard, r.Body)
				arrived <- err
			}))
			defer upstream.Close()
			w := realWorld(t, upstream.URL, func(l *policy.Listener) { l.H2C = true })
			conn := w.dialHTTP2()
			conn.request(1, false, ":method: POST", ":scheme: http", ":authority: api.example.com", ":path: /v1/open/x", "content-length: "+strconv.Itoa(c.claimed))
			for range 3 {
				conn.frame(frameData, 0, 1, strings.Repeat("x", 16<<10))
			}
			conn.frame(frameData, flagEndStream, 1, c.late)
			r := w.records(1)[0]
			if c.whole != (r.status == 200) || c.whole != (r.reason == "") {
				t.Errorf("%+v", r)
			}
			if !c.whole && r.reason != "request.malformed" && (r.reason != "upstream.client_gone" || name == "one byte less") {
				t.Errorf("%+v", r) // net/http resets a stream that is too long, and the forwarder may hear of that first
			}
			upstream.Close() // waits for its handler, if it was ever asked
			close(arrived)
			if err, asked := <-arrived; asked != c.whole && err == nil {
				t.Errorf("the upstream took it for whole: %v", asked)
			}
		})
	}
}
