package forward

import (
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/policy"
)

const ok3 = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes"

// TestStaleConnection: the server closes a kept connection. What the socket already shows costs nothing; what only shows
// after sending is repeated for idempotent requests and never for a POST.
func TestStaleConnection(t *testing.T) {
	t.Run("closed while idle is noticed before sending, even for a POST", func(t *testing.T) {
		closed := make(chan struct{}, 10)
		url := raw(t, func(_ int, c net.Conn) {
			readHead(c)
			io.WriteString(c, ok3)
			c.Close()
			closed <- struct{}{}
		})
		r := newRig(t, to(url))
		for range 3 {
			w, v := r.send(r.exchange("POST", "/"))
			mustPass(t, v)
			if string(w.sent) != "yes" {
				t.Fatal(w.sent)
			}
			<-closed
			for _, tg := range r.up.(*Upstream).pool.targets { // as if it had been idle for long
				for _, c := range tg.idle.conns {
					c.idleFrom -= int64(time.Minute / 2)
				}
			}
		}
	})
	for _, c := range []struct {
		method string
		want   int32 // requests that reached the server in the second call
	}{{"GET", 2}, {"PUT", 2}, {"DELETE", 2}, {"POST", 1}, {"PATCH", 1}} {
		t.Run("closed on receipt of a "+c.method, func(t *testing.T) {
			var received atomic.Int32
			url := raw(t, func(n int, nc net.Conn) {
				for i := 0; ; i++ {
					if _, err := readHead(nc); err != nil {
						return
					}
					received.Add(1)
					if n == 1 && i == 1 {
						return // after having received it: nobody knows whether it was handled
					}
					io.WriteString(nc, ok3)
				}
			})
			r := newRig(t, to(url))
			_, v := r.send(r.exchange(c.method, "/"))
			mustPass(t, v)
			received.Store(0)
			x := r.exchange(c.method, "/")
			w, v := r.send(x)
			if c.want == 2 {
				mustPass(t, v)
				if string(w.sent) != "yes" || len(x.Result.Attempts) != 1 {
					t.Errorf("%q after %d attempts", w.sent, len(x.Result.Attempts))
				}
			} else {
				mustRefuse(t, v, decision.UpstreamUnreachable)
			}
			if received.Load() != c.want {
				t.Errorf("the server received it %d times, want %d", received.Load(), c.want)
			}
		})
	}
}

// TestAnswerNobodyAskedFor: a second answer on a kept connection would be taken for the answer to the next request, which may
// be another caller's. It must not be, whatever the method, and nothing may be sent into such a connection.
func TestAnswerNobodyAskedFor(t *testing.T) {
	for _, method := range []string{"GET", "POST"} {
		t.Run(method, func(t *testing.T) {
			extra, written := make(chan struct{}), make(chan struct{})
			var requests atomic.Int32
			url := raw(t, func(n int, c net.Conn) {
				readHead(c)
				requests.Add(1)
				io.WriteString(c, ok3)
				if n == 1 {
					<-extra
					io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
					close(written)
				}
				for {
					if _, err := readHead(c); err != nil {
						return
					}
					requests.Add(1)
				}
			})
			r := newRig(t, to(url))
			_, v := r.send(r.exchange(method, "/"))
			mustPass(t, v)
			close(extra)
			<-written
			w, v := r.send(r.exchange(method, "/"))
			mustPass(t, v)
			if string(w.sent) != "yes" || requests.Load() != 2 {
				t.Errorf("got %q, %d requests arrived", w.sent, requests.Load())
			}
		})
	}
}

// TestServerThatSpeaksFirst: what is there before the request was written must wake the reader all the same.
func TestServerThatSpeaksFirst(t *testing.T) {
	r := newRig(t, to(raw(t, func(_ int, c net.Conn) {
		io.WriteString(c, "HTTP/1.1 503 Full\r\nContent-Length: 4\r\nConnection: close\r\n\r\nfull")
		io.Copy(io.Discard, c)
	})))
	for range 50 {
		w, v := r.send(r.exchange("POST", "/"))
		mustPass(t, v)
		if w.status != 503 || string(w.sent) != "full" {
			t.Fatalf("%d %q", w.status, w.sent)
		}
	}
}

// TestRetriesNeverDuplicate counts at the upstreams what arrives of requests that fail in every way.
func TestRetriesNeverDuplicate(t *testing.T) {
	closed := refusing(t)
	for _, c := range []struct {
		name, method string
		body         func() gate.Body
		answer       string // of every server; empty: it closes without one
		refused      bool   // the first target cannot be connected to
		arrive       int32
		pass         bool
	}{
		{"POST, no answer", "POST", nil, "", false, 1, false},
		{"POST with body, no answer", "POST", func() gate.Body { return bodyOf("abc") }, "", false, 1, false},
		{"GET, no answer", "GET", nil, "", false, 2, false},
		{"PUT with small body, no answer", "PUT", func() gate.Body { return bodyOf("abc") }, "", false, 2, false},
		{"PUT with a stream, no answer", "PUT", func() gate.Body { return streamOf(strings.NewReader("abc")) }, "", false, 1, false},
		{"POST, 503 is listed", "POST", nil, "HTTP/1.1 503 Down\r\nContent-Length: 0\r\n\r\n", false, 1, true},
		{"GET, 503 is listed", "GET", nil, "HTTP/1.1 503 Down\r\nContent-Length: 0\r\n\r\n", false, 2, true},
		{"GET, 500 is not", "GET", nil, "HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n", false, 1, true},
		{"POST, nothing was sent", "POST", func() gate.Body { return bodyOf("abc") }, ok3, true, 1, true},
		{"POST with a stream, nothing was sent", "POST", func() gate.Body { return streamOf(strings.NewReader("abc")) }, ok3, true, 1, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var arrived atomic.Int32
			serve := func(_ int, nc net.Conn) {
				head, err := readHead(nc)
				if err != nil {
					return
				}
				arrived.Add(1)
				if c.answer == "" {
					return
				}
				switch {
				case strings.Contains(head, "Content-Length: 3"):
					io.ReadFull(nc, make([]byte, 3))
				case strings.Contains(head, "chunked"):
					io.ReadFull(nc, make([]byte, len("3\r\nabc\r\n0\r\n\r\n")))
				}
				io.WriteString(nc, c.answer)
				io.Copy(io.Discard, nc)
			}
			urls := []string{raw(t, serve), raw(t, serve), raw(t, serve)}
			if c.refused {
				urls = []string{closed, urls[0]}
			}
			u := to(urls...)
			u.Retry = &policy.Retry{Status: []int{503}}
			r := newRig(t, u)
			x := r.exchange(c.method, "/")
			if c.body != nil {
				x.Body = c.body()
			}
			_, v := r.send(x)
			if v.Passed() != c.pass {
				t.Errorf("passed %v, fault %q", v.Passed(), x.Result.Fault)
			}
			if arrived.Load() != c.arrive {
				t.Errorf("%d requests arrived, want %d (attempts %+v)", arrived.Load(), c.arrive, x.Result.Attempts)
			}
			if n := len(x.Result.Attempts); n > 1 && (x.Result.Attempts[0].Reason == nil || x.Result.Attempts[0].Target == x.Result.Attempts[1].Target) {
				t.Errorf("attempts %+v", x.Result.Attempts)
			}
		})
	}
}

func TestNoRetryOnceCommitted(t *testing.T) {
	var calls atomic.Int32
	serve := func(_ int, c net.Conn) {
		readHead(c)
		calls.Add(1)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart")
	}
	u := to(raw(t, serve), raw(t, serve))
	u.Retry = &policy.Retry{Attempts: 5}
	r := newRig(t, u)
	_, v := r.get("/")
	mustRefuse(t, v, decision.UpstreamUnreachable)
	if calls.Load() != 1 {
		t.Errorf("%d calls", calls.Load())
	}
}

func TestRetryBudget(t *testing.T) {
	var calls atomic.Int32
	serve := func(_ int, c net.Conn) { readHead(c); calls.Add(1) }
	u := to(raw(t, serve), raw(t, serve))
	u.Retry = &policy.Retry{Attempts: 2, Budget: 0.1}
	r := newRig(t, u)
	for range 200 {
		r.get("/")
	}
	if retries := calls.Load() - 200; retries < 20 || retries > 35 { // a reserve of 10, and a tenth of 200
		t.Errorf("%d retries for 200 failing calls, want about 30", retries)
	}
}

func TestManyAtOnce(t *testing.T) {
	url := server(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Path", r.URL.Path)
		w.Write(b)
	})
	r := newRig(t, to(url))
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			text := strings.Repeat(string(rune('a'+i)), 100+i*5000)
			for range 30 {
				x := r.exchange("POST", "/"+text[:10])
				if i%2 == 0 {
					x.Body = bodyOf(text)
				} else {
					x.Body = streamOf(strings.NewReader(text))
				}
				w, v := r.send(x)
				if !v.Passed() || string(w.sent) != text || w.head.Get("X-Path") != "/"+text[:10] {
					t.Errorf("an answer of another request, or none: %v %d bytes", v.Passed(), len(w.sent))
					return
				}
			}
		})
	}
	wg.Wait()
}
