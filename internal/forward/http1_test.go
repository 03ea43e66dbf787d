package forward

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/header"
	"postern/internal/policy"
)

func server(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func TestGetIsPassedOn(t *testing.T) {
	url := server(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Kind", "order")
		w.WriteHeader(201)
		io.WriteString(w, "hello "+r.URL.RequestURI())
	})
	r := newRig(t, to(url+"/base"))
	x := r.exchange("GET", "/orders/7")
	x.RawQuery = "a=1&b=%20"
	w, v := r.send(x)
	mustPass(t, v)
	if got := string(w.sent); w.status != 201 || got != "hello /base/orders/7?a=1&b=%20" || w.length != int64(len(got)) || !w.ended {
		t.Fatalf("status %d, length %d, ended %v, body %q", w.status, w.length, w.ended, got)
	}
	if w.flushes != 1 {
		t.Errorf("a small answer took %d writes, want 1", w.flushes)
	}
	if w.head.Get("X-Kind") != "order" || w.head.Has("Content-Length") {
		t.Errorf("fields %v", w.head)
	}
	res := x.Result
	if res.Origin != gate.FromUpstream || res.ReceivedStatus != 201 || res.Upstream != "orders" || res.Target != url || res.BytesOut != int64(len(w.sent)) || len(res.Attempts) != 1 || res.Attempts[0].Reason != nil {
		t.Errorf("result %+v", res)
	}
}

func TestBodiesArriveWhole(t *testing.T) {
	var got, length, trailer string
	url := server(t, func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got, trailer = string(b), r.Trailer.Get("Checksum")
		length = r.Header.Get("Content-Length")
		if r.ContentLength < 0 {
			length = "chunked"
		}
	})
	big := strings.Repeat("0123456789abcdef", 100_000)
	for _, c := range []struct {
		name   string
		body   gate.Body
		want   string
		length string
	}{
		{"small", bodyOf("tiny"), "tiny", "4"},
		{"empty", gate.NoBody, "", "0"},
		{"large with a length", bodyOf(big), big, "1600000"},
		{"chunked", streamOf(strings.NewReader(big)), big, "chunked"},
		{"chunked and empty", streamOf(strings.NewReader("")), "", "chunked"},
		{"chunked with a trailer", &body{r: strings.NewReader("abc"), length: -1, trailer: header.List{{Name: "Checksum", Value: "9"}}, broken: make(chan struct{})}, "abc", "chunked"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, to(url))
			for range 2 { // the second goes over the kept connection
				x := r.exchange("POST", "/")
				if b, ok := c.body.(*body); ok {
					x.Body = &body{r: strings.NewReader(c.want), length: b.length, trailer: b.trailer, broken: make(chan struct{})}
				}
				if c.name == "chunked with a trailer" {
					x.Header.Add("Trailer", "Checksum")
				}
				_, v := r.send(x)
				mustPass(t, v)
				if c.name == "chunked with a trailer" && trailer != "9" {
					t.Errorf("trailer %q", trailer)
				}
				if got != c.want || length != c.length {
					t.Fatalf("upstream got %d bytes as %s, want %d as %s", len(got), length, len(c.want), c.length)
				}
				if x.Result.BytesIn != int64(len(c.want)) {
					t.Errorf("BytesIn %d, want %d", x.Result.BytesIn, len(c.want))
				}
			}
			if s := r.pools.Status()[0].Targets[0]; s.Idle != 1 {
				t.Errorf("%d idle connections after two calls in a row, want 1 that served both", s.Idle)
			}
		})
	}
}

func TestAnswerFraming(t *testing.T) {
	for _, c := range []struct {
		name, method, answer, body string
		status                     int
		length                     int64
		kept                       int
	}{
		{"content length", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "abc", 200, 3, 1},
		{"chunked", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", "abc", 200, -1, 1},
		{"HEAD declares", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\n", "", 200, 300, 1},
		{"204", "GET", "HTTP/1.1 204 No Content\r\n\r\n", "", 204, -1, 1},
		{"304 declares", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\nETag: x\r\n\r\n", "", 304, 9, 1},
		{"connection close", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nz", "z", 200, 1, 0},
		{"HTTP/1.0 keeps nothing", "GET", "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nz", "z", 200, 1, 0},
		{"more than asked for", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nzHTTP/1.1 200 OK\r\n\r\n", "z", 200, 1, 0},
		{"no reason phrase", "GET", "HTTP/1.1 599\r\nContent-Length: 0\r\n\r\n", "", 599, 0, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, to(answers(t, c.answer)))
			w, v := r.send(r.exchange(c.method, "/"))
			mustPass(t, v)
			if w.status != c.status || string(w.sent) != c.body || w.length != c.length || !w.ended {
				t.Errorf("got %d %q length %d ended %v", w.status, w.sent, w.length, w.ended)
			}
			if idle := r.pools.Status()[0].Targets[0].Idle; idle != c.kept {
				t.Errorf("%d connections kept, want %d", idle, c.kept)
			}
		})
	}
}

func TestAnswerUntilClose(t *testing.T) {
	r := newRig(t, to(raw(t, func(_ int, c net.Conn) {
		readHead(c)
		io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\nto the end")
	})))
	w, v := r.get("/")
	mustPass(t, v)
	if string(w.sent) != "to the end" || w.length != -1 {
		t.Fatalf("%q %d", w.sent, w.length)
	}
}

func TestBadAnswersAreRefused(t *testing.T) {
	long := strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 100)
	for _, c := range []struct{ name, answer string }{
		{"garbage", "hello, is this the printer?\r\n\r\n"},
		{"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"},
		{"length and chunked", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
		{"gzip coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"},
		{"bare line feeds", "HTTP/1.1 200 OK\nContent-Length: 0\n\n"},
		{"control character", "HTTP/1.1 200 OK\r\nX: a\x00b\r\nContent-Length: 0\r\n\r\n"},
		{"HTTP/2", "HTTP/2.0 200 OK\r\n\r\n"},
		{"a flood of interim answers", long + "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
		{"a switch nobody asked for", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var calls atomic.Int32
			url := raw(t, func(_ int, nc net.Conn) {
				readHead(nc)
				calls.Add(1)
				io.WriteString(nc, c.answer)
				io.Copy(io.Discard, nc)
			})
			r := newRig(t, to(url))
			x := r.exchange("POST", "/")
			w, v := r.send(x)
			mustRefuse(t, v, decision.UpstreamBadAnswer)
			if w.Committed() || w.ended || x.Result.Truncated || x.Result.Status != 0 {
				t.Errorf("something was sent to the caller: %+v", x.Result)
			}
			if x.Result.Origin != gate.FromUnreachable || x.Result.Fault == "" {
				t.Errorf("result %+v", x.Result)
			}
			if calls.Load() != 1 {
				t.Errorf("the POST was sent %d times", calls.Load())
			}
			if idle := r.pools.Status()[0].Targets[0].Idle; idle != 0 {
				t.Errorf("the connection was kept")
			}
		})
	}
}

func TestInterimAnswersPass(t *testing.T) {
	r := newRig(t, to(answers(t, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")))
	w, v := r.get("/")
	mustPass(t, v)
	if len(w.interim) != 1 || w.interim[0] != 103 || w.status != 200 {
		t.Errorf("interim %v, status %d", w.interim, w.status)
	}
}

func TestAnswerThatBreaksOff(t *testing.T) {
	for _, c := range []struct {
		name, answer string
		reset        bool
	}{
		{"short of its length", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", false},
		{"in a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc", false},
		{"before the last chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", false},
		{"by a reset", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", true},
		{"by a reset without framing", "HTTP/1.1 200 OK\r\n\r\nabc", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			seen := make(chan struct{})
			url := raw(t, func(_ int, nc net.Conn) {
				readHead(nc)
				io.WriteString(nc, c.answer)
				<-seen
				if c.reset {
					nc.(*net.TCPConn).SetLinger(0)
				}
			})
			r := newRig(t, to(url))
			x := r.exchange("GET", "/")
			w := &recorder{progress: make(chan string, 10)}
			done := make(chan decision.Verdict)
			go func() { done <- r.f.Forward(t.Context(), x, w) }()
			if got := <-w.progress; got != "abc" {
				t.Errorf("first bytes %q", got)
			}
			close(seen)
			mustRefuse(t, <-done, decision.UpstreamUnreachable)
			if !x.Result.Truncated || w.ended || !w.Committed() || x.Result.ReceivedStatus != 200 {
				t.Errorf("result %+v, ended %v", x.Result, w.ended)
			}
		})
	}
}

func TestFirstByteIsNotHeldBack(t *testing.T) {
	next := make(chan struct{})
	url := server(t, func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		w.WriteHeader(200)
		for _, s := range []string{"one", "two", "three"} {
			io.WriteString(w, s)
			rc.Flush()
			<-next
		}
	})
	r := newRig(t, to(url))
	w := &recorder{progress: make(chan string, 10)}
	done := make(chan decision.Verdict)
	go func() { done <- r.f.Forward(t.Context(), r.exchange("GET", "/"), w) }()
	for _, want := range []string{"one", "two", "three"} {
		if got := <-w.progress; got != want {
			t.Errorf("got %q, want %q while the upstream waits", got, want)
		}
		next <- struct{}{}
	}
	mustPass(t, <-done)
}

func TestBurstOfChunksIsOneFlush(t *testing.T) {
	text := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("5\r\nhello\r\n", 100) + "0\r\nX-Sum: 7\r\n\r\n"
	r := newRig(t, to(answers(t, text)))
	w, v := r.get("/")
	mustPass(t, v)
	if len(w.sent) != 500 || w.trailer.Get("X-Sum") != "7" {
		t.Fatalf("%d bytes, trailer %v", len(w.sent), w.trailer)
	}
	if w.flushes > 3 { // the text may arrive in more than one piece, but never in a hundred
		t.Errorf("%d flushes", w.flushes)
	}
}

func TestTimeouts(t *testing.T) {
	const short = policy.Duration(40 * time.Millisecond)
	silent := raw(t, func(_ int, c net.Conn) { io.Copy(io.Discard, c) })
	stalls := raw(t, func(_ int, c net.Conn) {
		readHead(c)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
		io.Copy(io.Discard, c)
	})
	for _, c := range []struct {
		name   string
		url    string
		limits policy.UpstreamTimeouts
		phase  string
		begun  bool
	}{
		{"first byte", silent, policy.UpstreamTimeouts{FirstByte: short}, phaseFirstByte, false},
		{"between reads", stalls, policy.UpstreamTimeouts{Read: short}, phaseRead, true},
		{"total before the answer", silent, policy.UpstreamTimeouts{Total: short}, phaseTotal, false},
		{"total in the answer", stalls, policy.UpstreamTimeouts{Total: short}, phaseTotal, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			u := to(c.url)
			u.Timeouts = c.limits
			r := newRig(t, u)
			x := r.exchange("POST", "/")
			_, v := r.send(x)
			mustRefuse(t, v, decision.UpstreamTimeout)
			facts := map[string]decision.Fact{}
			for _, f := range v.Facts() {
				facts[f.Name] = f
			}
			if facts["phase"].Want != c.phase || facts["limit"].Want != "40ms" || facts["target"].Public != decision.ToOperator || facts["upstream"].Want != "orders" {
				t.Errorf("facts %+v", v.Facts())
			}
			if x.Result.Truncated != c.begun {
				t.Errorf("truncated %v", x.Result.Truncated)
			}
		})
	}
}

func TestCannotBeReached(t *testing.T) {
	closed := refusing(t)
	for _, c := range []struct {
		name, url string
		want      *decision.Reason
	}{
		{"nobody listens", closed, decision.UpstreamUnreachable},
		{"no such name", "http://no-such-host.invalid:80", decision.UpstreamDNS},
		{"closes at once", raw(t, func(_ int, c net.Conn) {}), decision.UpstreamUnreachable},
		{"resets", raw(t, func(_ int, c net.Conn) { readHead(c); c.(*net.TCPConn).SetLinger(0) }), decision.UpstreamUnreachable},
		{"plain where TLS is due", strings.Replace(raw(t, func(_ int, c net.Conn) {
			io.WriteString(c, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
		}), "http:", "https:", 1), decision.UpstreamTLS},
	} {
		t.Run(c.name, func(t *testing.T) {
			u := to(c.url)
			u.Timeouts.Connect = policy.Duration(2 * time.Second)
			r := newRig(t, u)
			x := r.exchange("POST", "/")
			_, v := r.send(x)
			mustRefuse(t, v, c.want)
			if x.Result.Origin != gate.FromUnreachable || x.Result.Fault == "" || len(x.Result.Attempts) != 1 || x.Result.Attempts[0].Reason != c.want {
				t.Errorf("%+v", x.Result)
			}
			if said := v.Render(decision.ToAnyone); strings.Contains(said.Detail, "127.0.0.1") || strings.Contains(strings.Join(said.Remedies, " "), "127.0.0.1") {
				t.Errorf("an anonymous caller is told the target: %+v", said)
			}
		})
	}
}
