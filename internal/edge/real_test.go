package edge

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"postern/internal/counter"
	"postern/internal/forward"
	"postern/internal/gate"
	"postern/internal/gatetest"
	"postern/internal/policy"
	"postern/internal/snapshot"
)

// realWorld is an edge with the real gates and the real forwarder in front of an upstream.
func realWorld(t testing.TB, target string, change ...func(*policy.Listener)) *world {
	t.Helper()
	doc := &policy.Document{
		Format:    1,
		Roles:     map[string]policy.Role{"order-reader": {Permissions: []string{"orders:read", "orders:create"}}},
		Upstreams: map[string]policy.Upstream{"orders": {Targets: []policy.Target{{URL: target}}}},
		APIs: []policy.API{{Name: "orders", Tenant: "acme", Versions: []policy.Version{{
			Version: "v1", BasePath: "/v1", Upstream: "orders", Subscription: "none",
			Limits: []policy.Limit{{Name: "burst", Rate: &policy.Rate{Requests: 1_000_000, Per: policy.Duration(time.Second)}}},
			Operations: []policy.Operation{
				{Name: "create", Method: "POST", Path: "/orders", Permission: "orders:create"},
				{Name: "open", Method: "*", Path: "/open/{rest...}", Authn: &policy.Authn{None: true}},
			},
		}}}},
	}
	return serving(t, doc, change...)
}

// serving is an edge with the real gates and the real forwarder under a document.
func serving(t testing.TB, doc *policy.Document, change ...func(*policy.Listener)) *world {
	t.Helper()
	pools := forward.NewPools(forward.PoolOptions{})
	t.Cleanup(pools.Close)
	prepared, err := pools.Prepare(doc.Upstreams, nil)
	if err != nil {
		t.Fatal(err)
	}
	prepared.Commit()
	snap, err := snapshot.Compile(doc, 3, snapshot.Deps{Upstream: func(name string) (gate.Upstream, bool) {
		u := prepared.Upstream(name)
		return u, u != nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{env: &gate.Env{Now: time.Now, Directory: gatetest.NewDirectory(), Counters: counter.New(counter.Options{})}}
	w.t, _ = t.(*testing.T)
	current := Current{Judge: snap, Generation: snap.Generation}
	w.s = New(Options{Current: func() Current { return current }, Forwarder: forward.New(forward.Options{}), Env: w.env, Recorder: w})
	l := policy.Listener{Name: "public", Address: "127.0.0.1:0"}
	for _, f := range change {
		f(&l)
	}
	if err := w.s.Start(context.Background(), []policy.Listener{l}); err != nil {
		t.Fatal(err)
	}
	w.addr = w.s.Addresses()["public"].String()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = w.s.Shutdown(ctx)
	})
	return w
}

func TestRealRequest(t *testing.T) {
	engines(t, func(t *testing.T, engine func(*policy.Listener)) {
		got := make(chan *http.Request, 10)
		upstream := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			got <- r
			rw.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(rw, `{"got":%q}`, b)
		}))
		defer upstream.Close()
		w := realWorld(t, upstream.URL, engine)
		c := w.dial()
		c.send("POST /v1/orders HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 2\r\n\r\n{}")
		resp, body := c.answer("POST")
		var p problem
		if err := json.Unmarshal([]byte(body), &p); err != nil || resp.StatusCode != 401 || p.Reason != "authn.credential_missing" {
			t.Fatalf("%d %s", resp.StatusCode, body)
		}
		for range 3 {
			c.send("POST /v1/orders HTTP/1.1\r\nHost: api.example.com\r\nX-API-Key: " + gatetest.KeyText + "\r\nContent-Length: 2\r\n\r\n{}")
			resp, body = c.answer("POST")
			if resp.StatusCode != 200 || body != `{"got":"{}"}` || !strings.HasPrefix(resp.Header.Get("RateLimit"), `"burst";r=`) {
				t.Fatalf("%d %v %s", resp.StatusCode, resp.Header, body)
			}
			r := <-got
			if r.Header.Get("X-API-Key") != "" || r.Header.Get("Postern-Trace") != resp.Header.Get("Postern-Trace") || r.Header.Get("X-Forwarded-For") != "127.0.0.1" {
				t.Fatalf("upstream got %v", r.Header)
			}
		}
		c.send("POST /v1/open/x HTTP/1.1\r\nHost: api.example.com\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
		if resp, body := c.answer("POST"); resp.StatusCode != 200 || body != `{"got":"hello"}` {
			t.Fatalf("%d %s", resp.StatusCode, body)
		}
		if r := <-got; r.ContentLength != 5 {
			t.Fatalf("a small chunked body was sent with length %d", r.ContentLength)
		}
		c.send("GET /v1/nothing HTTP/1.1\r\nHost: api.example.com\r\n\r\n")
		if resp, _ := c.answer("GET"); resp.StatusCode != 404 {
			t.Fatal(resp.Status)
		}
		records := w.records(6)
		if records[0].reason != "authn.credential_missing" || records[1].reason != "" || records[1].status != 200 || records[1].origin != gate.FromUpstream || records[1].in != 2 || records[5].reason != "route.not_found" {
			t.Fatalf("%+v", records)
		}
	})
}

func TestRealUpstreamDown(t *testing.T) {
	ln, _ := net.Listen("tcp", "127.0.0.1:0")
	target := "http://" + ln.Addr().String()
	ln.Close()
	w := realWorld(t, target)
	c := w.dial()
	c.send("GET /v1/open/x HTTP/1.1\r\nHost: a\r\n\r\n")
	resp, body := c.answer("GET")
	if resp.StatusCode != 502 || resp.Header.Get("Proxy-Status") != `postern; error=connection_refused; details="upstream.unreachable"` || !strings.Contains(body, `"origin":"unreachable"`) || strings.Contains(body, ln.Addr().String()) {
		t.Fatalf("%d %v %s", resp.StatusCode, resp.Header, body)
	}
}

// TestRealClientGone: the upstream learns that nobody waits any more.
func TestRealClientGone(t *testing.T) {
	arrived, left := make(chan struct{}), make(chan struct{})
	upstream := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
		close(left)
	}))
	defer upstream.Close()
	w := realWorld(t, upstream.URL)
	c := w.dial()
	c.send("GET /v1/open/x HTTP/1.1\r\nHost: a\r\n\r\n")
	<-arrived
	_ = c.Conn.(*net.TCPConn).SetLinger(0)
	c.Close()
	<-left
	if r := w.records(1)[0]; r.reason != "upstream.client_gone" || r.status != 0 {
		t.Fatalf("%+v", r)
	}
}

// TestRealEarlyAnswer: the upstream answers and closes while the client still sends, slowly.
func TestRealEarlyAnswer(t *testing.T) {
	engines(t, func(t *testing.T, engine func(*policy.Listener)) {
		upstream := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Connection", "close")
			http.Error(rw, "too much", http.StatusRequestEntityTooLarge)
		}))
		defer upstream.Close()
		w := realWorld(t, upstream.URL, engine)
		c := w.dial()
		c.send("POST /v1/open/x HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\nonly the beginning")
		resp, body := c.answer("POST")
		if resp.StatusCode != 413 || strings.TrimSpace(body) != "too much" || resp.Header.Get("Proxy-Status") != "postern; received-status=413" {
			t.Fatalf("%d %v %s", resp.StatusCode, resp.Header, body)
		}
		c.closed()
		if r := w.records(1)[0]; r.status != 413 || r.origin != gate.FromUpstream {
			t.Fatalf("%+v", r)
		}
	})
}

func TestRealWebSocket(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		nc, rest, err := http.NewResponseController(rw).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer nc.Close()
		_, _ = io.WriteString(nc, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		line, _ := rest.ReadString('\n')
		_, _ = io.WriteString(nc, "echo "+line)
	}))
	defer upstream.Close()
	engines(t, func(t *testing.T, engine func(*policy.Listener)) {
		w := realWorld(t, upstream.URL, engine)
		c := w.dial()
		c.send("GET /v1/open/chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n")
		if resp := c.head(); resp.StatusCode != 101 {
			t.Fatal(resp.Status)
		}
		c.send("hello\n")
		if line, _ := c.r.ReadString('\n'); line != "echo hello\n" {
			t.Fatalf("%q", line)
		}
		c.Close()
		if r := w.records(1)[0]; r.status != 101 {
			t.Fatalf("%+v", r)
		}
	})
}

// TestRealDoubtfulFraming: with the real forwarder behind, not even a connection is opened.
func TestRealDoubtfulFraming(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			line, _ := bufio.NewReader(c).ReadString('\n')
			t.Errorf("the upstream got a connection and %q", line)
			c.Close()
		}
	}()
	engines(t, func(t *testing.T, engine func(*policy.Listener)) {
		w := realWorld(t, "http://"+ln.Addr().String(), engine)
		for name, message := range doubtful {
			message = strings.Replace(message, " / HTTP", " /v1/open/x HTTP", 1)
			c := w.dial()
			c.send(message + smuggled)
			if resp, body := c.answer("GET"); resp.StatusCode != 400 {
				t.Errorf("%s: %d %s", name, resp.StatusCode, body)
			}
			c.closed()
		}
	})
}

// BenchmarkReal measures a whole request over loopback: client, edge with key, role and rate limit, upstream.
func BenchmarkReal(b *testing.B) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer ln.Close()
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				buf := make([]byte, 4096)
				for {
					if _, err := c.Read(buf); err != nil {
						return
					}
					if _, err := c.Write(answer); err != nil {
						return
					}
				}
			}()
		}
	}()
	w := realWorld(b, "http://"+ln.Addr().String())
	w.s.opts.Recorder = nil
	c, err := net.Dial("tcp", w.addr)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	request := []byte("POST /v1/orders HTTP/1.1\r\nHost: api.example.com\r\nX-API-Key: " + gatetest.KeyText + "\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
	buf := make([]byte, 4096)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Write(request); err != nil {
			b.Fatal(err)
		}
		n, err := c.Read(buf)
		if err != nil || !strings.HasPrefix(string(buf[:n]), "HTTP/1.1 200") {
			b.Fatalf("%v %s", err, buf[:n])
		}
	}
}
