package forward

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/header"
	"postern/internal/policy"
)

// h2cServer speaks HTTP/2 with prior knowledge.
func h2cServer(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	return s.URL
}

// tlsServer speaks TLS, with or without HTTP/2, and returns its address and a file with its certificate.
func tlsServer(t *testing.T, h2 bool, change func(*httptest.Server), h http.HandlerFunc) (url, ca string) {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.EnableHTTP2 = h2
	s.Config.ErrorLog = nil
	s.TLS = &tls.Config{}
	if change != nil {
		change(s)
	}
	s.Config.ErrorLog = quietLog
	s.StartTLS()
	t.Cleanup(s.Close)
	ca = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return s.URL, ca
}

func overTLS(url, ca string) policy.Upstream {
	u := to(url)
	u.TLS = &policy.UpstreamTLS{CAFile: ca, ServerName: "example.com"}
	return u
}

func describe(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	w.Header().Set("X-Proto", r.Proto)
	w.Header().Set("X-Host", r.Host)
	w.Header().Set("X-Uri", r.RequestURI)
	w.Header().Set("Trailer", "X-Sum")
	w.Write(b)
	w.Header().Set("X-Sum", "7")
}

func TestProtocols(t *testing.T) {
	tls1, ca1 := tlsServer(t, false, nil, describe)
	tls2, ca2 := tlsServer(t, true, nil, describe)
	clear2 := h2cServer(t, describe)
	for _, c := range []struct {
		name     string
		upstream policy.Upstream
		protocol string
		want     string
	}{
		{"h2c", to(clear2), "h2c", "HTTP/2.0"},
		{"https without h2, auto", overTLS(tls1, ca1), "", "HTTP/1.1"},
		{"https with h2, auto", overTLS(tls2, ca2), "", "HTTP/2.0"},
		{"https with h2, http1 wanted", overTLS(tls2, ca2), "http1", "HTTP/1.1"},
		{"https with h2, h2 wanted", overTLS(tls2, ca2), "h2", "HTTP/2.0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.upstream.Protocol = c.protocol
			r := newRig(t, c.upstream)
			for i, text := range []string{"", "short", strings.Repeat("long", 50_000)} {
				x := r.exchange("POST", "/a%2Fb/c")
				x.RawQuery = "q=%20&r"
				if text != "" {
					x.Body = bodyOf(text)
				}
				w, v := r.send(x)
				mustPass(t, v)
				if string(w.sent) != text || w.status != 200 || !w.ended {
					t.Errorf("call %d: status %d, %d bytes of %d", i, w.status, len(w.sent), len(text))
				}
				if w.head.Get("X-Proto") != c.want || x.Result.Protocol != c.want || w.head.Get("X-Uri") != "/a%2Fb/c?q=%20&r" {
					t.Errorf("call %d: fields %v, protocol %s", i, w.head, x.Result.Protocol)
				}
				if w.head.Get("X-Host") == "" || w.trailer.Get("X-Sum") != "7" {
					t.Errorf("call %d: host %q, trailer %v", i, w.head.Get("X-Host"), w.trailer)
				}
				if x.Result.BytesIn != int64(len(text)) || x.Result.BytesOut != int64(len(text)) {
					t.Errorf("call %d: %d in, %d out", i, x.Result.BytesIn, x.Result.BytesOut)
				}
			}
		})
	}
}

func TestTLSFaults(t *testing.T) {
	url, ca := tlsServer(t, false, nil, describe)
	refusing := raw(t, func(_ int, c net.Conn) { c.Read(make([]byte, 10)) })
	mute := raw(t, func(_ int, c net.Conn) { io.Copy(io.Discard, c) })
	for _, c := range []struct {
		name string
		u    policy.Upstream
		want *decision.Reason
	}{
		{"unknown authority", to(url), decision.UpstreamTLS},
		{"other name", func() policy.Upstream { u := overTLS(url, ca); u.TLS.ServerName = "other.test"; return u }(), decision.UpstreamTLS},
		{"closes in the handshake", to(strings.Replace(refusing, "http:", "https:", 1)), decision.UpstreamTLS},
		{"no h2 where h2 is wanted", func() policy.Upstream { u := overTLS(url, ca); u.Protocol = "h2"; return u }(), decision.UpstreamTLS},
		{"silent in the handshake", func() policy.Upstream {
			u := to(strings.Replace(mute, "http:", "https:", 1))
			u.Timeouts.Connect = policy.Duration(50 * time.Millisecond)
			return u
		}(), decision.UpstreamTimeout},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, c.u)
			_, v := r.get("/")
			mustRefuse(t, v, c.want)
		})
	}
	t.Run("insecure accepts all", func(t *testing.T) {
		u := to(url)
		u.TLS = &policy.UpstreamTLS{Insecure: true}
		_, v := newRig(t, u).get("/")
		mustPass(t, v)
	})
	t.Run("client certificate", func(t *testing.T) {
		var shown atomic.Int32
		url, ca := tlsServer(t, true, func(s *httptest.Server) { s.TLS.ClientAuth = tls.RequireAnyClientCert }, func(w http.ResponseWriter, r *http.Request) {
			shown.Store(int32(len(r.TLS.PeerCertificates)))
		})
		u := overTLS(url, ca)
		u.TLS.CertFile, u.TLS.KeyFile = clientCertificate(t)
		_, v := newRig(t, u).get("/")
		mustPass(t, v)
		if shown.Load() != 1 {
			t.Error("no certificate was shown")
		}
		_, v = newRig(t, overTLS(url, ca)).get("/")
		if v.Passed() {
			t.Error("passed without a certificate")
		}
	})
}

func TestTLSTruncation(t *testing.T) {
	cert := httptest.NewUnstartedServer(nil)
	cert.StartTLS()
	defer cert.Close()
	config := cert.TLS.Clone()
	config.NextProtos = nil
	url := raw(t, func(_ int, c net.Conn) {
		tc := tls.Server(c, config)
		readHead(tc)
		io.WriteString(tc, "HTTP/1.1 200 OK\r\n\r\nall of it?") // and no close_notify: an attacker may have cut it
	})
	u := to(strings.Replace(url, "http:", "https:", 1))
	u.TLS = &policy.UpstreamTLS{Insecure: true}
	r := newRig(t, u)
	x := r.exchange("GET", "/")
	_, v := r.send(x)
	mustRefuse(t, v, decision.UpstreamUnreachable)
	if !x.Result.Truncated {
		t.Error("a body cut by a third party passes for whole")
	}
}

func grpcFrame(s string) string {
	var head [5]byte
	binary.BigEndian.PutUint32(head[1:], uint32(len(s)))
	return string(head[:]) + s
}

// TestGRPC speaks the protocol by hand: length-prefixed messages, TE: trailers, the status in the trailers.
func TestGRPC(t *testing.T) {
	url := h2cServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("TE") != "trailers" || r.Header.Get("Content-Type") != "application/grpc+proto" {
			t.Errorf("fields %v", r.Header)
		}
		w.Header().Set("Content-Type", "application/grpc+proto")
		if r.URL.Path == "/svc/Refused" { // trailers only
			w.Header().Set("Grpc-Status", "7")
			return
		}
		w.Header().Set("Trailer", "Grpc-Status")
		rc := http.NewResponseController(w)
		head := make([]byte, 5)
		for {
			if _, err := io.ReadFull(r.Body, head); err != nil {
				break
			}
			msg := make([]byte, binary.BigEndian.Uint32(head[1:]))
			io.ReadFull(r.Body, msg)
			io.WriteString(w, grpcFrame("echo "+string(msg)))
			rc.Flush()
		}
		w.Header().Set("Grpc-Status", "0")
	})
	u := to(url)
	u.Protocol = "h2c"
	r := newRig(t, u)
	call := func(path string, body gate.Body) *gate.Exchange {
		x := r.exchange("POST", path)
		x.Proto = "HTTP/2.0"
		x.Header = header.List{{Name: "Content-Type", Value: "application/grpc+proto"}, {Name: "TE", Value: "trailers"}}
		x.Body = body
		return x
	}
	t.Run("bidirectional stream", func(t *testing.T) {
		in, client := io.Pipe()
		w := &recorder{progress: make(chan string, 10)}
		done := make(chan decision.Verdict, 1)
		go func() { done <- r.f.Forward(context.Background(), call("/svc/Chat", streamOf(in)), w) }()
		for _, s := range []string{"one", "two", "three"} {
			io.WriteString(client, grpcFrame(s))
			want := grpcFrame("echo " + s)
			got := ""
			for len(got) < len(want) {
				got += <-w.progress
			}
			if got != want {
				t.Fatalf("%q, want %q", got, want)
			}
		}
		client.Close()
		mustPass(t, <-done)
		if w.trailer.Get("Grpc-Status") != "0" {
			t.Errorf("trailers %v", w.trailer)
		}
	})
	t.Run("unary", func(t *testing.T) {
		w, v := r.send(call("/svc/Say", bodyOf(grpcFrame("hi"))))
		mustPass(t, v)
		if string(w.sent) != grpcFrame("echo hi") || w.trailer.Get("Grpc-Status") != "0" {
			t.Errorf("%q %v", w.sent, w.trailer)
		}
	})
	t.Run("trailers only", func(t *testing.T) {
		w, v := r.send(call("/svc/Refused", bodyOf(grpcFrame("hi"))))
		mustPass(t, v)
		if w.head.Get("Grpc-Status") != "7" || len(w.sent) != 0 || w.flushes != 1 {
			t.Errorf("%v body %q flushes %d", w.head, w.sent, w.flushes)
		}
	})
}

func TestHTTP2BothWays(t *testing.T) {
	url := h2cServer(t, func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		b := make([]byte, 100)
		for {
			n, err := r.Body.Read(b)
			w.Write(b[:n])
			rc.Flush()
			if err != nil {
				return
			}
		}
	})
	u := to(url)
	u.Protocol = "h2c"
	echoBothWays(t, newRig(t, u))
}

func TestHTTP2ClientGone(t *testing.T) {
	begun, ended := make(chan struct{}), make(chan struct{})
	url := h2cServer(t, func(w http.ResponseWriter, r *http.Request) {
		close(begun)
		<-r.Context().Done()
		close(ended)
	})
	u := to(url)
	u.Protocol = "h2c"
	r := newRig(t, u)
	in, client := io.Pipe()
	defer client.Close()
	x := r.exchange("POST", "/")
	x.Body = streamOf(in)
	w := &recorder{}
	done := make(chan decision.Verdict, 1)
	go func() { done <- r.f.Forward(context.Background(), x, w) }()
	<-begun
	w.leave()
	mustRefuse(t, <-done, decision.ClientGone)
	<-ended
}

func TestHTTP2EarlyAnswerReturns(t *testing.T) {
	url := h2cServer(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(413) })
	u := to(url)
	u.Protocol = "h2c"
	r := newRig(t, u)
	in, client := io.Pipe()
	defer client.Close()
	x := r.exchange("POST", "/")
	x.Body = streamOf(in) // nobody ever writes: without Interrupt this would hang
	w, v := r.send(x)
	mustPass(t, v)
	if w.status != 413 {
		t.Error(w.status)
	}
}

func TestHTTP2Timeouts(t *testing.T) {
	hold := make(chan struct{})
	url := h2cServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/begun" {
			io.WriteString(w, "part")
			http.NewResponseController(w).Flush()
		}
		select {
		case <-hold:
		case <-r.Context().Done():
		}
	})
	t.Cleanup(func() { close(hold) })
	const short = policy.Duration(40 * time.Millisecond)
	for _, c := range []struct {
		path   string
		limits policy.UpstreamTimeouts
		phase  string
	}{
		{"/", policy.UpstreamTimeouts{FirstByte: short}, phaseFirstByte},
		{"/begun", policy.UpstreamTimeouts{Read: short}, phaseRead},
		{"/", policy.UpstreamTimeouts{Total: short}, phaseTotal},
	} {
		u := to(url)
		u.Protocol, u.Timeouts = "h2c", c.limits
		r := newRig(t, u)
		x := r.exchange("POST", c.path)
		_, v := r.send(x)
		mustRefuse(t, v, decision.UpstreamTimeout)
		if !strings.Contains(x.Result.Fault, c.phase) || x.Result.Truncated != (c.path == "/begun") {
			t.Errorf("%s: fault %q, truncated %v", c.phase, x.Result.Fault, x.Result.Truncated)
		}
	}
}

func TestHTTP2Interim(t *testing.T) {
	url := h2cServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</a>")
		w.WriteHeader(103)
		w.WriteHeader(200)
	})
	u := to(url)
	u.Protocol = "h2c"
	w, v := newRig(t, u).get("/")
	mustPass(t, v)
	if len(w.interim) != 1 || w.interim[0] != 103 {
		t.Errorf("interim %v", w.interim)
	}
}

func TestHTTP2PathIsNotRespelled(t *testing.T) {
	seen := make(chan string, 1)
	url := h2cServer(t, func(w http.ResponseWriter, r *http.Request) { seen <- r.RequestURI })
	u := to(url + "/base")
	u.Protocol = "h2c"
	r := newRig(t, u)
	for _, path := range []string{"/", "/a%2Fb", "/a|b[c]", "/a;x=y/'(z)'", "/%7Bid%7D", "/a:b@c", "/a%C3%A9", "//x"} {
		_, v := r.get(path)
		mustPass(t, v)
		if got := <-seen; got != "/base"+path {
			t.Errorf("%s arrived as %s", path, got)
		}
	}
}

func TestClientGoneWhileConnecting(t *testing.T) {
	mute := raw(t, func(_ int, c net.Conn) { io.Copy(io.Discard, c) })
	u := to(strings.Replace(mute, "http:", "https:", 1))
	for _, protocol := range []string{"http1", "h2"} {
		u.Protocol = protocol
		r := newRig(t, u)
		w := &recorder{waiting: make(chan struct{}, 1)}
		x := r.exchange("GET", "/")
		done := make(chan decision.Verdict, 1)
		go func() { done <- r.f.Forward(context.Background(), x, w) }()
		<-w.waiting
		w.leave()
		mustRefuse(t, <-done, decision.ClientGone)
		if s := r.pools.Status()[0].Targets[0]; s.Failures != 0 {
			t.Errorf("%s: the target is blamed", protocol)
		}
	}
}

// TestHTTP2KeptConnectionBreaks: it may do so at any moment, also while the next request is being written.
func TestHTTP2KeptConnectionBreaks(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(describe))
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	defer s.Close()
	u := to(s.URL)
	u.Protocol = "h2c"
	r := newRig(t, u)
	for range 30 {
		x := r.exchange("PUT", "/")
		x.Body = bodyOf("text")
		w, v := r.send(x)
		mustPass(t, v)
		if string(w.sent) != "text" {
			t.Errorf("%q", w.sent)
		}
		s.CloseClientConnections()
	}
}
