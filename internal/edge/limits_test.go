package edge

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/policy"
)

func TestHeaderLimits(t *testing.T) {
	engines(t, func(t *testing.T, engine func(*policy.Listener)) {
		w := newWorld(t, engine, func(l *policy.Listener) { l.Limits.HeaderBytes, l.Limits.HeaderCount = 2000, 10 })
		for name, request := range map[string]string{
			"one huge field":  "GET / HTTP/1.1\r\nHost: a\r\nCookie: " + strings.Repeat("x", 5000) + "\r\n\r\n",
			"many fields":     "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X: y\r\n", 20) + "\r\n",
			"a long target":   "GET /" + strings.Repeat("x", 5000) + " HTTP/1.1\r\nHost: a\r\n\r\n",
			"an endless head": "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n", 100_000),
		} {
			t.Run(name, func(t *testing.T) {
				c := w.dial()
				go io.WriteString(c.Conn, request) // the server stops reading before the end
				resp, body := c.answer("GET")
				if resp.StatusCode != 431 || !strings.Contains(body, "request.header_too_large") {
					t.Fatalf("%d %s", resp.StatusCode, body)
				}
				c.closed()
			})
		}
		if n := w.reached.Load(); n != 0 {
			t.Fatalf("%d requests reached the upstream", n)
		}
	})
}

func TestBodyLimit(t *testing.T) {
	engines(t, func(t *testing.T, engine func(*policy.Listener)) {
		w := newWorld(t, engine, func(l *policy.Listener) { l.Limits.BodyBytes = 1000 })
		t.Run("declared", func(t *testing.T) {
			c := w.dial()
			c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n")
			resp, body := c.answer("POST")
			if resp.StatusCode != 413 || !strings.Contains(body, "1000 bytes") {
				t.Fatalf("%d %s", resp.StatusCode, body)
			}
			if w.reached.Load() != 0 {
				t.Fatal("it reached the upstream")
			}
		})
		t.Run("chunked", func(t *testing.T) {
			c := w.dial()
			c.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("64\r\n"+strings.Repeat("x", 100)+"\r\n", 11))
			resp, body := c.answer("POST")
			if resp.StatusCode != 413 || !strings.Contains(body, "request.too_large") {
				t.Fatalf("%d %s", resp.StatusCode, body)
			}
		})
		t.Run("exactly", func(t *testing.T) {
			c := w.dial()
			want := strings.Repeat("y", 1000)
			c.send(post("/", want))
			if resp, body := c.answer("POST"); resp.StatusCode != 200 || body != want {
				t.Fatal(resp.Status)
			}
		})
		t.Run("wider on the operation", func(t *testing.T) {
			w.judge = func(_ context.Context, x *gate.Exchange) decision.Verdict {
				x.Op = &gate.Operation{BodyBytes: 5000}
				return decision.Pass(nil)
			}
			defer func() { w.judge = nil }()
			c := w.dial()
			c.send(post("/", strings.Repeat("y", 4000)))
			if resp, _ := c.answer("POST"); resp.StatusCode != 200 {
				t.Fatal(resp.Status)
			}
		})
	})
}

// TestRefusalWithUnreadBody sends a body that nobody reads: the caller must be able to read the refusal, and a small
// body does not cost the connection.
func TestRefusalWithUnreadBody(t *testing.T) {
	engines(t, testRefusalWithUnreadBody)
}

func testRefusalWithUnreadBody(t *testing.T, engine func(*policy.Listener)) {
	w := newWorld(t, engine)
	w.judge = refuseWith(decision.PermissionMissing)
	t.Run("small", func(t *testing.T) {
		c := w.dial()
		for range 3 {
			c.send(post("/", strings.Repeat("x", 30_000)))
			if resp, _ := c.answer("POST"); resp.StatusCode != 403 || resp.Close {
				t.Fatal(resp.Status, resp.Close)
			}
		}
	})
	t.Run("huge", func(t *testing.T) {
		c := w.dial()
		go func() {
			io.WriteString(c.Conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 800000\r\n\r\n")
			io.WriteString(c.Conn, strings.Repeat("x", 800_000))
		}()
		if resp, _ := c.answer("POST"); resp.StatusCode != 403 || !resp.Close {
			t.Fatal(resp.Status, resp.Close)
		}
		c.closed()
	})
}

func TestSlowClients(t *testing.T) {
	w := newWorld(t, func(l *policy.Listener) {
		l.Timeouts.Header, l.Timeouts.Body, l.Timeouts.Idle = policy.Duration(100*time.Millisecond), policy.Duration(100*time.Millisecond), policy.Duration(time.Minute)
	})
	t.Run("head", func(t *testing.T) {
		c := w.dial()
		c.send("GET / HTTP/1.1\r\nHost: a\r\n")
		resp, body := c.answer("GET")
		if resp.StatusCode != 408 || !strings.Contains(body, "100ms for its header") {
			t.Fatalf("%d %s", resp.StatusCode, body)
		}
		c.closed()
	})
	t.Run("body", func(t *testing.T) {
		c := w.dial()
		c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
		resp, body := c.answer("POST")
		if resp.StatusCode != 408 || !strings.Contains(body, "request.timeout") {
			t.Fatalf("%d %s", resp.StatusCode, body)
		}
		c.closed()
	})
}

// TestSlowloris sends a byte of the head now and then: the time for a head does not start anew with each.
func TestSlowloris(t *testing.T) {
	w := newWorld(t, func(l *policy.Listener) { l.Timeouts.Header = policy.Duration(200 * time.Millisecond) })
	c := w.dial()
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		io.WriteString(c.Conn, "GET / HTTP/1.1\r\n")
		for {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
				if _, err := io.WriteString(c.Conn, "X: y\r\n"); err != nil {
					return
				}
			}
		}
	}()
	if resp, _ := c.answer("GET"); resp.StatusCode != 408 {
		t.Fatal(resp.Status)
	}
}

func TestIdleTimeout(t *testing.T) {
	w := newWorld(t, func(l *policy.Listener) { l.Timeouts.Idle = policy.Duration(50 * time.Millisecond) })
	c := w.dial()
	c.closed()
	c = w.dial()
	c.send(get("/"))
	c.answer("GET")
	c.closed()
	if n := len(w.records(1)); n != 1 {
		t.Fatalf("%d records: an idle connection is no request", n)
	}
}
