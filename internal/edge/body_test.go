package edge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"postern/internal/decision"
	"postern/internal/forward"
	"postern/internal/gate"
	"postern/internal/gatetest"
	"postern/internal/policy"
)

// TestArrived: a gate that looks at a body without waiting sees what came with the head, and the next reader gets all of it.
func TestArrived(t *testing.T) {
	for name, c := range map[string]struct {
		first, rest string
		seen        string
		whole       bool
	}{
		"all of it":  {"hello world", "", "hello world", true},
		"half of it": {"hello", " world", "hello", false},
		"nothing":    {"", "hello world", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			looked := make(chan string, 1)
			w.judge = func(_ context.Context, x *gate.Exchange) decision.Verdict {
				b, whole := x.Body.(gate.Arrived).Arrived()
				again, _ := x.Body.(gate.Arrived).Arrived()
				looked <- fmt.Sprintf("%s %t", b, whole)
				if string(again) != string(b) {
					t.Errorf("a second look shows %q", again)
				}
				return decision.Pass(nil)
			}
			conn := w.dial()
			conn.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n" + c.first)
			if got, want := <-looked, fmt.Sprintf("%s %t", c.seen, c.whole); got != want {
				t.Errorf("seen: %s, want %s", got, want)
			}
			conn.send(c.rest)
			if resp, body := conn.answer("POST"); resp.StatusCode != 200 || body != "hello world" || resp.Close {
				t.Errorf("%s %q", resp.Status, body)
			}
		})
	}
}

// TestArrivedFindsNoFault: whoever only looks does not turn a refusal for want of a credential into one for the body.
func TestArrivedFindsNoFault(t *testing.T) {
	w := newWorld(t, func(l *policy.Listener) { l.Limits.BodyBytes = 10 })
	w.judge = func(ctx context.Context, x *gate.Exchange) decision.Verdict {
		x.Body.(gate.Arrived).Arrived()
		return refuseWith(decision.CredentialMissing)(ctx, x)
	}
	c := w.dial()
	c.send(post("/", "hello world"))
	if resp, body := c.answer("POST"); resp.StatusCode != 401 {
		t.Errorf("%s %s", resp.Status, body)
	}
}

// TestArrivedDoesNotWait: a request that is refused although its body never comes is answered at once, not after the time
// limit of bodies, and for its own reason.
func TestArrivedDoesNotWait(t *testing.T) {
	engines(t, func(t *testing.T, engine func(*policy.Listener)) {
		w := newWorld(t, engine, func(l *policy.Listener) { l.Timeouts.Body = policy.Duration(time.Hour) })
		w.judge = func(ctx context.Context, x *gate.Exchange) decision.Verdict {
			if b, whole := x.Body.(gate.Arrived).Arrived(); len(b) > 0 || whole {
				t.Errorf("%q %v of a body that did not come", b, whole)
			}
			return refuseWith(decision.CredentialMissing)(ctx, x)
		}
		c := w.dial()
		c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n")
		if resp, _ := c.answer("POST"); resp.StatusCode != 401 {
			t.Error(resp.Status)
		}
	})
}

// TestPeekEndsWithItsContext: who waits for a body only so long gets an error then, and the body is given up.
func TestPeekEndsWithItsContext(t *testing.T) {
	engines(t, func(t *testing.T, engine func(*policy.Listener)) {
		w := newWorld(t, engine, func(l *policy.Listener) { l.Timeouts.Body = policy.Duration(time.Hour) })
		w.judge = func(ctx context.Context, x *gate.Exchange) decision.Verdict {
			ctx, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
			defer cancel()
			if b, whole, err := x.Body.Peek(ctx, 100); !errors.Is(err, context.DeadlineExceeded) || whole {
				t.Errorf("%q %v %v", b, whole, err)
			}
			return refuseWith(decision.CredentialMissing)(ctx, x)
		}
		c := w.dial()
		c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\nhello")
		if resp, _ := c.answer("POST"); resp.StatusCode != 401 || !resp.Close {
			t.Errorf("%s, close %v", resp.Status, resp.Close)
		}
	})
}

// TestPeekWithinItsContext: a time limit that does not strike changes nothing.
func TestPeekWithinItsContext(t *testing.T) {
	engines(t, func(t *testing.T, engine func(*policy.Listener)) {
		w := newWorld(t, engine)
		peeking := make(chan struct{}, 3)
		w.judge = func(ctx context.Context, x *gate.Exchange) decision.Verdict {
			ctx, cancel := context.WithTimeout(ctx, time.Hour)
			defer cancel()
			peeking <- struct{}{}
			if b, whole, err := x.Body.Peek(ctx, 100); err != nil || !whole || string(b) != "hello world" {
				t.Errorf("%q %v %v", b, whole, err)
			}
			return decision.Pass(nil)
		}
		w.forward = func(ctx context.Context, x *gate.Exchange, s forward.Sink) decision.Verdict {
			if _, err := io.ReadAll(io.LimitReader(x.Body, 0)); err != nil {
				t.Error(err)
			}
			return echo(ctx, x, s)
		}
		c := w.dial()
		for range 3 {
			c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhello")
			<-peeking
			c.send(" world")
			if resp, body := c.answer("POST"); resp.StatusCode != 200 || body != "hello world" || resp.Close {
				t.Fatalf("%s %q", resp.Status, body)
			}
		}
	})
}

// TestRealRefusalDoesNotWaitForABody: the gate that misses a credential looks for it in the body, but not longer than what is
// here.
func TestRealRefusalDoesNotWaitForABody(t *testing.T) {
	engines(t, func(t *testing.T, engine func(*policy.Listener)) {
		w := realWorld(t, "http://127.0.0.1:1", engine, func(l *policy.Listener) { l.Timeouts.Body = policy.Duration(time.Hour) })
		c := w.dial()
		c.send("POST /v1/orders HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 60\r\n\r\n")
		if resp, body := c.answer("POST"); resp.StatusCode != 401 || !strings.Contains(body, "authn.credential_missing") {
			t.Errorf("%s %s", resp.Status, body)
		}
		if r := w.records(1)[0]; r.reason != "authn.credential_missing" {
			t.Errorf("%+v", r)
		}
	})
	t.Run("misplaced", func(t *testing.T) {
		w := realWorld(t, "http://127.0.0.1:1")
		c := w.dial()
		c.send("POST /v1/orders HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 60\r\n\r\n" + `{"key":"` + gatetest.KeyText + `"`)
		if resp, body := c.answer("POST"); resp.StatusCode != 401 || !strings.Contains(body, "authn.credential_misplaced") {
			t.Errorf("%s %s", resp.Status, body)
		}
	})
}
