package behaviour

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// TestServerSentEvents: the second event is sent only after the caller has the first, so that a gateway that holds anything
// back never gets there.
func TestServerSentEvents(t *testing.T) {
	next := make(chan struct{})
	w := newWorld(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			fmt.Fprintf(rw, "data: %d\n\n", i)
			_ = http.NewResponseController(rw).Flush()
			select {
			case <-next:
			case <-r.Context().Done():
				return
			}
		}
	}), "")
	for name, c := range w.clients(t) {
		t.Run(name, func(t *testing.T) {
			res, err := c.Get(c.base + "/open/events")
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			in := bufio.NewReader(res.Body)
			for i := range 3 {
				l, err := in.ReadString('\n')
				if err != nil || l != fmt.Sprintf("data: %d\n", i) {
					t.Fatalf("event %d: %q, %v", i, l, err)
				}
				if _, err := in.ReadString('\n'); err != nil {
					t.Fatal(err)
				}
				next <- struct{}{}
			}
			if rest, err := io.ReadAll(in); err != nil || len(rest) > 0 {
				t.Errorf("behind the last event: %q, %v", rest, err)
			}
		})
	}
}

// TestRequestStreams: the backend sees the first part of a body before the caller has sent the second.
func TestRequestStreams(t *testing.T) {
	got := make(chan string)
	w := newWorld(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b := make([]byte, 100)
		for {
			n, err := r.Body.Read(b)
			if n > 0 {
				got <- string(b[:n])
			}
			if err != nil {
				return
			}
		}
	}), "")
	for name, c := range w.clients(t) {
		t.Run(name, func(t *testing.T) {
			out, in := io.Pipe()
			done := make(chan error, 1)
			go func() {
				res, err := c.Post(c.base+"/open/body", "text/plain", out)
				if err == nil {
					err = res.Body.Close()
				}
				done <- err
			}()
			for _, part := range []string{"one", "two", "three"} {
				if _, err := io.WriteString(in, part); err != nil {
					t.Fatal(err)
				}
				if g := within(t, "the part "+part+" at the backend", got); g != part {
					t.Errorf("the backend read %q, want %q", g, part)
				}
			}
			_ = in.Close()
			if err := within(t, "the answer", done); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestLargeBodies: 8 MiB each way arrive unchanged, on every way in.
func TestLargeBodies(t *testing.T) {
	w := newWorld(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(rw).EnableFullDuplex() // else net/http drops what it has not read when the answer begins
		_, _ = io.Copy(rw, r.Body)
	}), "")
	body := bytes.Repeat([]byte("0123456789abcdef"), 512<<10)
	want := sha256.Sum256(body)
	for name, c := range w.clients(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, known := range []bool{true, false} {
				var in io.Reader = bytes.NewReader(body)
				if !known {
					in = io.MultiReader(in) // net/http does not know its length then
				}
				res, err := c.Post(c.base+"/open/echo", "application/octet-stream", in)
				if err != nil {
					t.Fatal(err)
				}
				h := sha256.New()
				n, err := io.Copy(h, res.Body)
				_ = res.Body.Close()
				if err != nil || !bytes.Equal(h.Sum(nil), want[:]) {
					t.Errorf("length known %t: %d bytes came back of %d, %v", known, n, len(body), err)
				}
			}
		})
	}
}

func TestTrailers(t *testing.T) {
	got := make(chan string, 1)
	w := newWorld(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Trailer", "X-Answer-Sum")
		_, _ = io.Copy(rw, r.Body)
		got <- r.Trailer.Get("X-Request-Sum")
		rw.Header().Set("X-Answer-Sum", "7")
		rw.Header().Set(http.TrailerPrefix+"X-Unannounced", "8")
	}), "")
	for name, c := range w.clients(t) {
		t.Run(name, func(t *testing.T) {
			req, err := http.NewRequest("POST", c.base+"/open/trailers", io.MultiReader(strings.NewReader("body")))
			if err != nil {
				t.Fatal(err)
			}
			req.Trailer = http.Header{"X-Request-Sum": {"6"}}
			res, err := c.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(res.Body)
			_ = res.Body.Close()
			if err != nil || string(b) != "body" {
				t.Errorf("%q, %v", b, err)
			}
			if g := within(t, "the request's trailer", got); g != "6" {
				t.Errorf("the backend got the trailer %q", g)
			}
			if res.Trailer.Get("X-Answer-Sum") != "7" || res.Trailer.Get("X-Unannounced") != "8" {
				t.Errorf("the caller got the trailers %v", res.Trailer)
			}
		})
	}
}

// TestInterimAnswers: RFC 9110 section 15.2 has a proxy forward them.
func TestInterimAnswers(t *testing.T) {
	w := newWorld(t, http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Link", "</style.css>; rel=preload")
		rw.WriteHeader(http.StatusEarlyHints)
		rw.WriteHeader(http.StatusOK)
	}), "")
	for name, c := range w.clients(t) {
		t.Run(name, func(t *testing.T) {
			var hints atomic.Int32
			ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
				if code == http.StatusEarlyHints && h.Get("Link") != "" {
					hints.Add(1)
				}
				return nil
			}})
			req, err := http.NewRequestWithContext(ctx, "GET", c.base+"/open/hints", nil)
			if err != nil {
				t.Fatal(err)
			}
			res, err := c.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			if res.StatusCode != 200 || hints.Load() != 1 {
				t.Errorf("%d, and 103 came %d times", res.StatusCode, hints.Load())
			}
		})
	}
}

// TestCallerLeaves: a caller that is gone must not leave the backend working.
func TestCallerLeaves(t *testing.T) {
	started, cancelled := make(chan struct{}, 1), make(chan struct{}, 1)
	w := newWorld(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/open/streaming" {
			rw.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(rw).Flush()
		}
		started <- struct{}{}
		<-r.Context().Done()
		cancelled <- struct{}{}
	}), "")
	for name, c := range w.clients(t) {
		for _, path := range []string{"/open/waiting", "/open/streaming"} {
			t.Run(name+path, func(t *testing.T) {
				ctx, leave := context.WithCancel(t.Context())
				req, err := http.NewRequestWithContext(ctx, "GET", c.base+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				var wait sync.WaitGroup
				wait.Go(func() {
					if res, err := c.Do(req); err == nil {
						_, _ = io.Copy(io.Discard, res.Body)
						_ = res.Body.Close()
					}
				})
				within(t, "the request at the backend", started)
				leave()
				within(t, "the end of the backend's request", cancelled)
				wait.Wait()
			})
		}
	}
}
