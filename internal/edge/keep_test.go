package edge

import (
	"context"
	"strings"
	"testing"

	"postern/internal/decision"
	"postern/internal/forward"
	"postern/internal/gate"
	"postern/internal/header"
	"postern/internal/policy"
)

// TestNothingBehindCONNECTIsServed: a client that hopes for a tunnel sends into it before it has read the answer. Those bytes
// are somebody else's conversation, even if they look like a request.
func TestNothingBehindCONNECTIsServed(t *testing.T) {
	engines(t, func(t *testing.T, engine func(*policy.Listener)) {
		w := newWorld(t, engine)
		w.judge = refuseWith(decision.RouteNotFound)
		c := w.dial()
		c.send("CONNECT private.example.com:443 HTTP/1.1\r\nHost: private.example.com:443\r\n\r\n" + smuggled)
		if resp, _ := c.answer("POST"); resp.StatusCode != 404 || !resp.Close { // POST, because ReadResponse gives a CONNECT no body
			t.Errorf("%s, close %v", resp.Status, resp.Close)
		}
		c.closed()
		if r := w.records(1); len(r) != 1 || r[0].method != "CONNECT" {
			t.Errorf("records %+v", r)
		}
	})
}

// TestClosingIsNoReset: a client that sent more than is answered can still read the answer.
func TestClosingIsNoReset(t *testing.T) {
	w := newWorld(t)
	for range 20 {
		c := w.dial()
		c.send("GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" + strings.Repeat(smuggled, 10))
		if resp, body := c.answer("GET"); body != "GET /x" {
			t.Fatalf("%s %q", resp.Status, body)
		}
		if b, err := c.r.ReadByte(); err == nil || strings.Contains(err.Error(), "reset") {
			t.Fatalf("%q, %v", b, err)
		}
	}
	if n := w.reached.Load(); n != 20 {
		t.Errorf("%d requests reached the upstream, want 20", n)
	}
}

// TestExpectedBodyThatIsHere: a client that does not wait for 100 (Continue) is not told to go on, and keeps its connection.
func TestExpectedBodyThatIsHere(t *testing.T) {
	const put = "PUT /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello"
	for name, judge := range map[string]func(context.Context, *gate.Exchange) decision.Verdict{
		"passed": nil, "refused": refuseWith(decision.CredentialMissing),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.judge = judge
			c := w.dial()
			for range 3 {
				c.send(put)
				resp, _ := c.answer("PUT")
				if want := map[bool]int{true: 200, false: 401}[judge == nil]; resp.StatusCode != want || resp.Close {
					t.Fatalf("%s, close %v", resp.Status, resp.Close)
				}
			}
		})
	}
}

// TestTrailersOfASmallAnswer: the answer is so small that nothing of it was flushed when its trailers come.
func TestTrailersOfASmallAnswer(t *testing.T) {
	engines(t, func(t *testing.T, engine func(*policy.Listener)) {
		for name, text := range map[string]string{"body": "ok", "empty": ""} {
			t.Run(name, func(t *testing.T) {
				w := newWorld(t, engine)
				w.forward = func(_ context.Context, _ *gate.Exchange, s forward.Sink) decision.Verdict {
					_ = s.Head(200, nil, -1)
					_, _ = s.Write([]byte(text))
					_ = s.End(header.List{{Name: "X-Sum", Value: "42"}})
					return decision.Pass(nil)
				}
				c := w.dial()
				for range 2 {
					c.send(get("/x"))
					resp, body := c.answer("GET")
					if body != text || resp.Trailer.Get("X-Sum") != "42" || resp.Close {
						t.Fatalf("%q, trailers %v, close %v", body, resp.Trailer, resp.Close)
					}
				}
			})
		}
	})
}
