package edge

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"testing"

	"postern/internal/decision"
	"postern/internal/forward"
	"postern/internal/gate"
)

// head reads the head of a response; its body is read by the test.
func (c *client) head() *http.Response {
	c.t.Helper()
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		c.t.Fatalf("no answer: %v", err)
	}
	return resp
}

// pingPong answers every piece of the body, in capitals, before it reads the next.
func pingPong(t *testing.T) func(context.Context, *gate.Exchange, forward.Sink) decision.Verdict {
	return func(_ context.Context, x *gate.Exchange, s forward.Sink) decision.Verdict {
		_ = s.Head(200, nil, -1)
		_ = s.Flush()
		buf := make([]byte, 4)
		for {
			n, err := io.ReadFull(x.Body, buf)
			if n > 0 {
				_, _ = s.Write(bytes.ToUpper(buf[:n]))
				_ = s.Flush()
			}
			if err == io.EOF {
				_ = s.End(nil)
				return decision.Pass(nil)
			}
			if err != nil {
				t.Errorf("the body ended with %v", err)
				return refusalOf(err)
			}
		}
	}
}
