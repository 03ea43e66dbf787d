package edge

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"postern/internal/decision"
	"postern/internal/forward"
	"postern/internal/gate"
	"postern/internal/header"
	"postern/internal/policy"
)

func TestKeepAlive(t *testing.T) {
	engines(t, func(t *testing.T, engine func(*policy.Listener)) {
		w := newWorld(t, engine)
		c := w.dial()
		for i := range 5 {
			want := fmt.Sprintf(`{"order":%d}`, i)
			c.send(post("/orders", want))
			resp, body := c.answer("POST")
			if resp.StatusCode != 200 || body != want {
				t.Fatalf("answer %d: %d %q", i, resp.StatusCode, body)
			}
			trace := resp.Header.Values("Postern-Trace")
			if len(trace) != 1 || len(trace[0]) != decision.TraceIDLen {
				t.Fatalf("Postern-Trace %q, want one trace id of this gateway", trace)
			}
			if resp.Header.Get("Date") == "" || resp.Header.Get("Proxy-Status") != "" {
				t.Fatalf("fields %v", resp.Header)
			}
			if got := w.records(i + 1)[i]; got.trace != trace[0] || got.status != 200 || got.origin != gate.FromUpstream || got.in != int64(len(want)) ||
				got.out != int64(len(want)) || got.generation != 7 {
				t.Fatalf("record %+v", got)
			}
		}
	})
}

func TestPipelining(t *testing.T) {
	engines(t, func(t *testing.T, engine func(*policy.Listener)) {
		w := newWorld(t, engine)
		c := w.dial()
		var all strings.Builder
		for i := range 20 {
			all.WriteString(post(fmt.Sprintf("/%d", i), fmt.Sprintf("body %d", i)))
			all.WriteString(get(fmt.Sprintf("/only/%d", i)))
		}
		c.send(all.String())
		for i := range 20 {
			if _, body := c.answer("POST"); body != fmt.Sprintf("body %d", i) {
				t.Fatalf("answer %d: %q", i, body)
			}
			if _, body := c.answer("GET"); body != fmt.Sprintf("GET /only/%d", i) {
				t.Fatalf("answer %d: %q", i, body)
			}
		}
	})
}

func TestByteByByte(t *testing.T) {
	engines(t, func(t *testing.T, engine func(*policy.Listener)) {
		w := newWorld(t, engine)
		c := w.dial()
		for _, b := range []byte("POST /slow HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n") {
			c.send(string(b))
		}
		if _, body := c.answer("POST"); body != "abcde" {
			t.Fatalf("got %q", body)
		}
	})
}

func TestExpectContinue(t *testing.T) {
	engines(t, func(t *testing.T, engine func(*policy.Listener)) {
		w := newWorld(t, engine)
		t.Run("asked for when the body is wanted", func(t *testing.T) {
			c := w.dial()
			c.send("PUT /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
			if line, _ := c.r.ReadString('\n'); line != "HTTP/1.1 100 Continue\r\n" {
				t.Fatalf("interim answer %q", line)
			}
			c.r.ReadString('\n')
			c.send("hello")
			if resp, body := c.answer("PUT"); resp.StatusCode != 200 || body != "hello" {
				t.Fatalf("%d %q", resp.StatusCode, body)
			}
			c.send(get("/again"))
			if resp, _ := c.answer("GET"); resp.StatusCode != 200 {
				t.Fatal(resp.Status)
			}
		})
		t.Run("not asked for by a refusal", func(t *testing.T) {
			w.judge = refuseWith(decision.CredentialMissing)
			defer func() { w.judge = nil }()
			c := w.dial()
			c.send("PUT /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 500000\r\n\r\n")
			resp, _ := c.answer("PUT")
			if resp.StatusCode != 401 || resp.Header.Get("Connection") != "close" && !resp.Close {
				t.Fatalf("%d %v", resp.StatusCode, resp.Header)
			}
			c.closed()
		})
		t.Run("another expectation", func(t *testing.T) {
			c := w.dial()
			c.send("PUT /x HTTP/1.1\r\nHost: a\r\nExpect: tea\r\nContent-Length: 5\r\n\r\n")
			if resp, _ := c.answer("PUT"); resp.StatusCode != 417 {
				t.Fatal(resp.Status)
			}
			c.closed()
		})
	})
}

func refuseWith(r *decision.Reason, facts ...decision.Fact) func(context.Context, *gate.Exchange) decision.Verdict {
	return func(_ context.Context, x *gate.Exchange) decision.Verdict {
		v := decision.Refuse(r, nil, facts...)
		x.Trace.Add(r.Gate, v)
		return v
	}
}

func TestHead(t *testing.T) {
	engines(t, func(t *testing.T, engine func(*policy.Listener)) {
		w := newWorld(t, engine)
		c := w.dial()
		c.send("HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n" + get("/y"))
		resp, _ := c.answer("HEAD")
		if resp.StatusCode != 200 || resp.ContentLength != int64(len("HEAD /x")) {
			t.Fatalf("%d, length %d", resp.StatusCode, resp.ContentLength)
		}
		if _, body := c.answer("GET"); body != "GET /y" {
			t.Fatalf("the answer to HEAD had a body: %q", body)
		}
		w.judge = refuseWith(decision.RouteNotFound)
		c.send("HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n" + get("/y"))
		if resp, _ := c.answer("HEAD"); resp.StatusCode != 404 || resp.ContentLength <= 0 {
			t.Fatalf("%d, length %d", resp.StatusCode, resp.ContentLength)
		}
		if resp, body := c.answer("GET"); resp.StatusCode != 404 || !strings.Contains(body, "route.not_found") {
			t.Fatalf("%d %q", resp.StatusCode, body)
		}
	})
}

func TestHTTP10(t *testing.T) {
	w := newWorld(t)
	t.Run("closes", func(t *testing.T) {
		c := w.dial()
		c.send("GET /x HTTP/1.0\r\n\r\n")
		if resp, body := c.answer("GET"); resp.StatusCode != 200 || body != "GET /x" {
			t.Fatalf("%d %q", resp.StatusCode, body)
		}
		c.closed()
	})
	t.Run("stays on request", func(t *testing.T) {
		c := w.dial()
		for range 3 {
			c.send("GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
			if resp, _ := c.answer("GET"); resp.Header.Get("Connection") != "keep-alive" {
				t.Fatalf("%v", resp.Header)
			}
		}
	})
	t.Run("gets no chunks", func(t *testing.T) {
		w.forward = streamOf("one ", "two ", "three")
		defer func() { w.forward = nil }()
		c := w.dial()
		c.send("GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
		resp, body := c.answer("GET")
		if len(resp.TransferEncoding) > 0 || body != "one two three" {
			t.Fatalf("%v %q", resp.TransferEncoding, body)
		}
		c.closed()
	})
}

// streamOf answers with pieces of unknown total length, each flushed.
func streamOf(pieces ...string) func(context.Context, *gate.Exchange, forward.Sink) decision.Verdict {
	return func(_ context.Context, x *gate.Exchange, s forward.Sink) decision.Verdict {
		x.Result.Origin = gate.FromUpstream
		_ = s.Head(200, header.List{{Name: "Content-Type", Value: "text/event-stream"}}, -1)
		for _, p := range pieces {
			_, _ = s.Write([]byte(p))
			_ = s.Flush()
		}
		_ = s.End(header.List{{Name: "X-Sum", Value: "42"}})
		return decision.Pass(nil)
	}
}

func TestStreamAndTrailers(t *testing.T) {
	engines(t, func(t *testing.T, engine func(*policy.Listener)) {
		w := newWorld(t, engine)
		w.forward = streamOf("one ", "two ", "three")
		c := w.dial()
		c.send(get("/x"))
		resp, body := c.answer("GET")
		if body != "one two three" || resp.Trailer.Get("X-Sum") != "42" {
			t.Fatalf("%q, trailers %v", body, resp.Trailer)
		}
	})
}

func TestLargeAnswer(t *testing.T) {
	engines(t, func(t *testing.T, engine func(*policy.Listener)) {
		big := strings.Repeat("0123456789abcdef", 20_000)
		for _, length := range []int64{int64(len(big)), -1} {
			w := newWorld(t, engine)
			w.forward = func(_ context.Context, x *gate.Exchange, s forward.Sink) decision.Verdict {
				_ = s.Head(200, nil, length)
				for rest := big; rest != ""; {
					n := min(len(rest), 33_333)
					if _, err := s.Write([]byte(rest[:n])); err != nil {
						t.Error(err)
					}
					rest = rest[n:]
				}
				_ = s.End(nil)
				return decision.Pass(nil)
			}
			c := w.dial()
			c.send(get("/x") + get("/x"))
			for range 2 {
				if _, body := c.answer("GET"); body != big {
					t.Fatalf("length %d: got %d bytes, want %d", length, len(body), len(big))
				}
			}
		}
	})
}

func TestAbortedAnswer(t *testing.T) {
	engines(t, func(t *testing.T, engine func(*policy.Listener)) {
		w := newWorld(t, engine)
		w.forward = func(_ context.Context, x *gate.Exchange, s forward.Sink) decision.Verdict {
			_ = s.Head(200, nil, -1)
			_, _ = s.Write([]byte("half an ans"))
			_ = s.Flush()
			x.Result.Origin = gate.FromUnreachable
			return decision.Refuse(decision.UpstreamUnreachable, nil)
		}
		c := w.dial()
		c.send(get("/"))
		resp, err := http.ReadResponse(c.r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(resp.Body); err == nil {
			t.Fatal("a truncated answer ended as if it were whole")
		}
		if r := w.records(1)[0]; !r.truncated || r.reason != "upstream.unreachable" {
			t.Fatalf("record %+v", r)
		}
	})
}

// TestHeldHeadIsReplaced: what the upstream began but of which nothing was sent makes room for the refusal.
func TestHeldHeadIsReplaced(t *testing.T) {
	engines(t, func(t *testing.T, engine func(*policy.Listener)) {
		w := newWorld(t, engine)
		w.forward = func(_ context.Context, x *gate.Exchange, s forward.Sink) decision.Verdict {
			_ = s.Head(200, header.List{{Name: "X-Secret", Value: "upstream"}}, 100)
			return decision.Refuse(decision.UpstreamBadAnswer, nil)
		}
		c := w.dial()
		c.send(get("/"))
		resp, body := c.answer("GET")
		if resp.StatusCode != 502 || resp.Header.Get("X-Secret") != "" || resp.Header.Get("Proxy-Status") != `postern; error=http_protocol_error; details="upstream.bad_answer"` {
			t.Fatalf("%d %v %s", resp.StatusCode, resp.Header, body)
		}
		var p map[string]any
		if err := json.Unmarshal([]byte(body), &p); err != nil || p["origin"] != "unreachable" {
			t.Fatalf("%v %v", err, p)
		}
	})
}

func TestUpstreamRefusalIsStamped(t *testing.T) {
	engines(t, func(t *testing.T, engine func(*policy.Listener)) {
		w := newWorld(t, engine)
		w.forward = func(_ context.Context, x *gate.Exchange, s forward.Sink) decision.Verdict {
			x.Result.Origin, x.Result.ReceivedStatus = gate.FromUpstream, 403
			_ = s.Head(403, header.List{{Name: "Content-Type", Value: "text/html"}, {Name: "Proxy-Status", Value: "cdn; received-status=403"}}, 9)
			_, _ = s.Write([]byte("<b>no</b>"))
			_ = s.End(nil)
			return decision.Pass(nil)
		}
		c := w.dial()
		c.send(get("/"))
		resp, body := c.answer("GET")
		status := resp.Header.Values("Proxy-Status")
		if resp.StatusCode != 403 || body != "<b>no</b>" || len(status) != 2 || status[1] != "postern; received-status=403" {
			t.Fatalf("%d %q %q", resp.StatusCode, body, status)
		}
	})
}

func TestInterimAnswers(t *testing.T) {
	engines(t, func(t *testing.T, engine func(*policy.Listener)) {
		w := newWorld(t, engine)
		w.forward = func(ctx context.Context, x *gate.Exchange, s forward.Sink) decision.Verdict {
			_ = s.Interim(103, header.List{{Name: "Link", Value: "</a.css>; rel=preload"}})
			return echo(ctx, x, s)
		}
		c := w.dial()
		c.send(get("/"))
		early, err := http.ReadResponse(c.r, nil)
		if err != nil || early.StatusCode != 103 || early.Header.Get("Link") == "" {
			t.Fatalf("%v %v", early, err)
		}
		resp, body := c.answer("GET")
		if resp.StatusCode != 200 || body != "GET /" || resp.Header.Get("Link") != "" {
			t.Fatalf("%d %q %v", resp.StatusCode, body, resp.Header)
		}
	})
}

// TestWebSocket lets raw bytes through both ways after 101, those sent early included.
func TestWebSocket(t *testing.T) {
	engines(t, func(t *testing.T, engine func(*policy.Listener)) {
		w := newWorld(t, engine)
		w.forward = func(_ context.Context, x *gate.Exchange, s forward.Sink) decision.Verdict {
			if x.Upgrade != "websocket" {
				t.Errorf("Upgrade %q", x.Upgrade)
			}
			nc, err := s.Upgrade(101, header.List{{Name: "Upgrade", Value: "websocket"}, {Name: "Sec-WebSocket-Accept", Value: "abc"}})
			if err != nil {
				t.Error(err)
				return decision.Refuse(decision.ClientGone, nil)
			}
			defer nc.Close()
			_, _ = io.Copy(nc, nc)
			return decision.Pass(nil)
		}
		c := w.dial()
		c.send("GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\nearly")
		resp, err := http.ReadResponse(c.r, nil)
		if err != nil || resp.StatusCode != 101 || resp.Header.Get("Upgrade") != "websocket" || resp.Header.Get("Connection") != "Upgrade" || resp.Header.Get("Sec-WebSocket-Accept") != "abc" {
			t.Fatalf("%v %v", resp, err)
		}
		want := "early"
		for i := range 3 {
			msg := fmt.Sprintf(" and message %d\r\n\r\n", i)
			c.send(msg)
			want += msg
		}
		c.Conn.(*net.TCPConn).CloseWrite()
		if got, _ := io.ReadAll(c.r); string(got) != want {
			t.Fatalf("echoed %q, want %q", got, want)
		}
		if r := w.records(1)[0]; r.status != 101 {
			t.Fatalf("record %+v", r)
		}
	})
}

func TestH2CUpgradeIsIgnored(t *testing.T) {
	engines(t, func(t *testing.T, engine func(*policy.Listener)) {
		w := newWorld(t, engine)
		w.forward = func(ctx context.Context, x *gate.Exchange, s forward.Sink) decision.Verdict {
			if x.Upgrade != "" {
				t.Errorf("an upgrade to %q would be passed on", x.Upgrade)
			}
			return echo(ctx, x, s)
		}
		c := w.dial()
		c.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n")
		if resp, _ := c.answer("GET"); resp.StatusCode != 200 {
			t.Fatal(resp.Status)
		}
	})
}
