package forward

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"postern/internal/gate"
	"postern/internal/header"
	"postern/internal/policy"
)

// requestSeen sends x and returns the request head as the upstream received it, byte for byte.
func requestSeen(t *testing.T, u policy.Upstream, change func(x *gate.Exchange)) (line string, fields header.List) {
	t.Helper()
	seen := make(chan string, 1)
	url := raw(t, func(_ int, c net.Conn) {
		head, _ := readHead(c)
		seen <- head
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		io.Copy(io.Discard, c)
	})
	u.Targets = []policy.Target{{URL: url + "/base/"}}
	pools := NewPools(PoolOptions{Logger: quiet})
	t.Cleanup(pools.Close)
	set, err := pools.Prepare(map[string]policy.Upstream{"orders": u}, func(s string) (string, error) { return strings.ReplaceAll(s, "${env:TOKEN}", "sesame"), nil })
	if err != nil {
		t.Fatal(err)
	}
	set.Commit()
	r := &rig{t: t, f: New(Options{Logger: quiet}), pools: pools, up: set.Upstream("orders"), clock: newClock().Now}
	x := r.exchange("GET", "/orders")
	change(x)
	_, v := r.send(x)
	mustPass(t, v)
	lines := strings.Split(strings.TrimSuffix(<-seen, "\r\n\r\n"), "\r\n")
	for _, l := range lines[1:] {
		name, value, _ := strings.Cut(l, ": ")
		fields.Add(name, value)
	}
	return lines[0], fields
}

const canary = "postern_canarycanarycanarycanary123456"

func TestRequestFields(t *testing.T) {
	type want map[string]string // "": absent
	key := func(x *gate.Exchange) { x.Principal.Field = "X-API-Key"; x.Header.Add("X-API-Key", canary) }
	for _, c := range []struct {
		name   string
		u      policy.Upstream
		change func(x *gate.Exchange)
		want   want
	}{
		{"end-to-end fields pass", policy.Upstream{}, func(x *gate.Exchange) {
			x.Header = header.List{{Name: "Accept", Value: "*/*"}, {Name: "X-Own", Value: "1"}, {Name: "Authorization", Value: "Bearer theirs"}}
		}, want{"Accept": "*/*", "X-Own": "1", "Authorization": "Bearer theirs"}},
		{"hop-by-hop fields do not", policy.Upstream{}, func(x *gate.Exchange) {
			x.Header = header.List{{Name: "Connection", Value: "close, X-Private"}, {Name: "X-Private", Value: "1"}, {Name: "Keep-Alive", Value: "5"}, {Name: "TE", Value: "trailers"},
				{Name: "Upgrade", Value: "h2c"}, {Name: "HTTP2-Settings", Value: "x"}, {Name: "Proxy-Connection", Value: "x"}, {Name: "Proxy-Authorization", Value: "x"}, {Name: "Expect", Value: "100-continue"}}
		}, want{"Connection": "", "X-Private": "", "Keep-Alive": "", "TE": "", "Upgrade": "", "HTTP2-Settings": "", "Proxy-Connection": "", "Proxy-Authorization": "", "Expect": ""}},
		{"Connection cannot strip what counts", policy.Upstream{}, func(x *gate.Exchange) {
			x.Header = header.List{{Name: "Connection", Value: "Authorization, Content-Type, X-Forwarded-For, Host, Cookie"}, {Name: "Authorization", Value: "Bearer a"}, {Name: "Content-Type", Value: "text/x"}, {Name: "Cookie", Value: "a=b"}}
		}, want{"Authorization": "Bearer a", "Content-Type": "text/x", "X-Forwarded-For": "192.0.2.7", "Cookie": "a=b"}},
		{"the credential is removed", policy.Upstream{}, key, want{"X-API-Key": ""}},
		{"also in other spellings and copies", policy.Upstream{}, func(x *gate.Exchange) {
			key(x)
			x.Header = append(x.Header, header.Field{Name: "X_API_Key", Value: "q"}, header.Field{Name: "x.api.key", Value: "q"}, header.Field{Name: "Authorization", Value: "Bearer " + canary},
				header.Field{Name: "Cookie", Value: "k=" + canary + "; a=b"})
		}, want{"X_API_Key": "", "x.api.key": "", "Authorization": "", "Cookie": ""}},
		{"unless it is kept", policy.Upstream{KeepCredential: true}, key, want{"X-API-Key": canary}},
		{"the upstream's credential replaces any", policy.Upstream{Credential: &policy.UpstreamCredential{Header: "Authorization", Value: "Bearer ${env:TOKEN}"}}, func(x *gate.Exchange) {
			x.Header = header.List{{Name: "authorization", Value: "Bearer mine"}}
		}, want{"Authorization": "Bearer sesame", "authorization": "Bearer sesame"}},
		{"forwarding fields of strangers are replaced", policy.Upstream{}, func(x *gate.Exchange) {
			for _, n := range []string{"X-Forwarded-For", "X_Forwarded_For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "X-Real-IP", "Forwarded", "X-Forwarded-Prefix"} {
				x.Header.Add(n, "6.6.6.6")
			}
		}, want{"X-Forwarded-For": "192.0.2.7", "X_Forwarded_For": "", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "api.example.com", "X-Forwarded-Port": "", "X-Real-IP": "", "Forwarded": "", "X-Forwarded-Prefix": ""}},
		{"the chain of a trusted proxy goes on", policy.Upstream{}, func(x *gate.Exchange) {
			x.Client = netip.MustParseAddr("198.51.100.9")
			x.Header = header.List{{Name: "X-Forwarded-For", Value: "1.1.1.1, 198.51.100.9"}, {Name: "X-Forwarded-Host", Value: "shop.example"}, {Name: "X-Forwarded-Port", Value: "443"}, {Name: "Forwarded", Value: "for=198.51.100.9"}}
		}, want{"X-Forwarded-For": "1.1.1.1, 198.51.100.9, 192.0.2.7", "X-Forwarded-Host": "shop.example", "X-Forwarded-Port": "443"}},
		{"a chain that was not the believed one does not", policy.Upstream{}, func(x *gate.Exchange) {
			x.Client = netip.MustParseAddr("2001:db8::9")
			x.Header = header.List{{Name: "X-Forwarded-For", Value: "6.6.6.6"}}
		}, want{"X-Forwarded-For": "2001:db8::9, 192.0.2.7"}},
		{"Postern's own fields cannot be forged", policy.Upstream{}, func(x *gate.Exchange) {
			x.Header = header.List{{Name: "Postern-Trace", Value: "fake"}, {Name: "postern_trace", Value: "fake"}, {Name: "Postern-Debug", Value: "1"}}
		}, want{"postern_trace": "", "Postern-Debug": ""}},
		{"Via is continued", policy.Upstream{}, func(x *gate.Exchange) {
			x.Proto = "HTTP/2.0"
			x.Header = header.List{{Name: "Via", Value: "1.0 old"}}
		}, want{"Via": "1.0 old"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, got := requestSeen(t, c.u, c.change)
			for name, value := range c.want {
				if v, n := got.Lookup(name); v != value || value == "" && n > 0 {
					t.Errorf("%s is %q, want %q; all: %v", name, v, value, got)
				}
			}
			if got.Has("postern-trace") && len(got.Get("Postern-Trace")) != 26 {
				t.Errorf("Postern-Trace %q", got.Get("Postern-Trace"))
			}
			vias := got.Values(nil, "Via")
			if last := vias[len(vias)-1]; !strings.HasSuffix(last, " postern") {
				t.Errorf("Via %v", vias)
			}
			for _, name := range []string{"Host", "X-Forwarded-For", "Postern-Trace", "Authorization", "X-Forwarded-Host", "X-Forwarded-Proto"} {
				if _, n := got.Lookup(name); n > 1 {
					t.Errorf("%s is there %d times", name, n)
				}
			}
		})
	}
}

func TestRequestTargetAndHost(t *testing.T) {
	query := func(q string) func(*gate.Exchange) {
		return func(x *gate.Exchange) {
			x.Principal.Field = "Authorization"
			x.Header.Add("Authorization", "Bearer "+canary)
			x.RawQuery = q
			x.Target = "/orders?" + q
		}
	}
	kept := func(x *gate.Exchange) {
		query("key=" + canary)(x)
		x.Op.KeepCredential = true
	}
	escaped := "%70ostern%5f" + strings.ReplaceAll(canary[8:], "a", "%61")
	for _, c := range []struct {
		name   string
		host   string
		change func(x *gate.Exchange)
		line   string
		wantTo string // Host; empty: the target's
	}{
		{"prefix in front", "", func(x *gate.Exchange) {}, "GET /base/orders HTTP/1.1", ""},
		{"query untouched", "", func(x *gate.Exchange) { x.RawQuery = "a=%2f&&b" }, "GET /base/orders?a=%2f&&b HTTP/1.1", ""},
		{"empty query untouched", "", func(x *gate.Exchange) { x.Target = "/orders?" }, "GET /base/orders? HTTP/1.1", ""},
		{"question mark in a query", "", func(x *gate.Exchange) { x.Target, x.RawQuery = "/orders??", "?" }, "GET /base/orders?? HTTP/1.1", ""},
		{"the key in the query is removed", "", query("a=1&api_key=" + canary + "&b=2"), "GET /base/orders?a=1&b=2 HTTP/1.1", ""},
		{"wherever it stands in a parameter", "", query(canary + "&a=x" + canary + "y&" + canary + "=1&b=2&&"), "GET /base/orders?b=2&& HTTP/1.1", ""},
		{"and nothing is left", "", query("api_key=" + canary), "GET /base/orders HTTP/1.1", ""},
		{"the key in escapes is removed", "", query("a=%20&k=" + escaped), "GET /base/orders?a=%20 HTTP/1.1", ""},
		{"another key is the upstream's", "", query("k=postern_other&a=%5"), "GET /base/orders?k=postern_other&a=%5 HTTP/1.1", ""},
		{"the key in the query is kept where keys are", "", kept, "GET /base/orders?key=" + canary + " HTTP/1.1", ""},
		{"base path stripped", "", func(x *gate.Exchange) { x.Op.StripPrefix = "/orders" }, "GET /base/ HTTP/1.1", ""},
		{"only whole segments are stripped", "", func(x *gate.Exchange) { x.Op.StripPrefix = "/ord" }, "GET /base/orders HTTP/1.1", ""},
		{"host passed", "pass", func(x *gate.Exchange) {}, "GET /base/orders HTTP/1.1", "api.example.com"},
		{"literal host", "inner.test", func(x *gate.Exchange) {}, "GET /base/orders HTTP/1.1", "inner.test"},
		{"what was received is never forwarded", "", func(x *gate.Exchange) { x.RawPath, x.Target = "/../admin", "/../admin" }, "GET /base/orders HTTP/1.1", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			line, fields := requestSeen(t, policy.Upstream{Host: c.host}, c.change)
			if line != c.line {
				t.Errorf("%q, want %q", line, c.line)
			}
			if h := fields.Get("Host"); c.wantTo != "" && h != c.wantTo || c.wantTo == "" && !strings.HasPrefix(h, "127.0.0.1:") {
				t.Errorf("Host %q", h)
			}
		})
	}
}

func TestAnswerFields(t *testing.T) {
	r := newRig(t, to(answers(t, "HTTP/1.1 200 OK\r\nX-Hop: 1\r\nConnection: x-hop, set-cookie\r\nConnection: X-Two\r\nX-Two: 2\r\nSet-Cookie: a=b\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: x\r\nX-End: 3\r\nContent-Length: 0\r\n\r\n")))
	w, v := r.get("/")
	mustPass(t, v)
	if len(w.head) != 2 || w.head.Get("Set-Cookie") != "a=b" || w.head.Get("X-End") != "3" {
		t.Errorf("%v", w.head)
	}
}

func TestUpstreamCredentialMissing(t *testing.T) {
	pools := NewPools(PoolOptions{Logger: quiet})
	defer pools.Close()
	u := to("http://127.0.0.1:1")
	u.Credential = &policy.UpstreamCredential{Header: "Authorization", Value: "${env:NONE}"}
	for _, resolve := range []func(string) (string, error){
		func(string) (string, error) { return "", io.EOF },
		func(string) (string, error) { return "", nil },
		func(string) (string, error) { return "two\r\nlines: smuggled", nil },
	} {
		set, err := pools.Prepare(map[string]policy.Upstream{"orders": u}, resolve)
		if err != nil {
			t.Fatal(err)
		}
		s := set.Upstream("orders").State(newClock().Now())
		if s.CredentialError == "" || strings.Contains(s.CredentialError, "smuggled") {
			t.Errorf("state %+v", s)
		}
	}
}

// FuzzFieldsKeepTheirPromises: whatever a caller sends, no forged origin, no credential and no Postern field gets through.
func FuzzFieldsKeepTheirPromises(f *testing.F) {
	f.Add("X-Forwarded-For", "6.6.6.6", "Connection", "x-forwarded-for")
	f.Add("X_Forwarded-For", "6.6.6.6", "x-api_key", "abc")
	f.Add("POSTERN.Trace", "1", "Forwarded", "for=1")
	pools := NewPools(PoolOptions{Logger: quiet})
	set, err := pools.Prepare(map[string]policy.Upstream{"u": to("http://127.0.0.1:1")}, nil)
	if err != nil {
		f.Fatal(err)
	}
	fw := New(Options{Logger: quiet})
	f.Fuzz(func(t *testing.T, n1, v1, n2, v2 string) {
		r := &rig{f: fw, up: set.Upstream("u"), clock: newClock().Now}
		x := r.exchange("GET", "/")
		x.Principal.Field = "X-API-Key"
		x.Header = header.List{{Name: "X-API-Key", Value: canary}, {Name: n1, Value: v1}, {Name: n2, Value: v2}}
		c := &call{f: fw, x: x, up: r.up.(*Upstream), ctx: context.Background()}
		c.outgoing()
		forwardedFor := 0
		for _, fd := range c.fields {
			name := strings.ToLower(strings.Map(func(r rune) rune {
				if r < 0x80 && (r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z') {
					return r
				}
				return '-'
			}, fd.Name))
			switch name {
			case "x-forwarded-for":
				forwardedFor++
				if fd.Value != "192.0.2.7" {
					t.Errorf("forged: %q", fd.Value)
				}
			case "x-api-key", "forwarded", "x-real-ip", "connection", "transfer-encoding", "content-length", "host":
				t.Errorf("%q got through", fd.Name)
			case "postern-trace":
				if fd.Value != x.ID.String() {
					t.Errorf("forged trace %q", fd.Value)
				}
			}
			if fd.Value == canary {
				t.Error("the credential got through")
			}
		}
		if forwardedFor != 1 {
			t.Errorf("%d X-Forwarded-For", forwardedFor)
		}
	})
}

func TestWebSocket(t *testing.T) {
	url := server(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "websocket" || r.Header.Get("Connection") != "Upgrade" {
			w.WriteHeader(426)
			return
		}
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\nhello ")
		io.Copy(c, rw) // until the client's end; then half-closed the other way round
		io.WriteString(c, " bye")
	})
	r := newRig(t, to(url))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	served, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	x := r.exchange("GET", "/")
	x.Upgrade = "websocket"
	w := &recorder{upgraded: served}
	done := make(chan bool)
	go func() { v := r.f.Forward(context.Background(), x, w); done <- v.Passed() }()
	big := bytes.Repeat([]byte("ping"), 100_000)
	go func() {
		client.Write(big)
		client.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(client)
	if want := "hello " + string(big) + " bye"; err != nil || string(got) != want {
		t.Errorf("%d bytes back, want %d: %v", len(got), len(want), err)
	}
	if !<-done {
		t.Error("refused")
	}
	if x.Result.Status != 101 || x.Result.BytesIn != int64(len(big)) || x.Result.BytesOut != int64(len(big)+10) || w.head.Get("Upgrade") != "websocket" || w.head.Get("Sec-WebSocket-Accept") != "x" {
		t.Errorf("%+v %v", x.Result, w.head)
	}
	t.Run("an ordinary answer instead", func(t *testing.T) {
		r := newRig(t, to(answers(t, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")))
		x := r.exchange("GET", "/")
		x.Upgrade = "websocket"
		w, v := r.send(x)
		mustPass(t, v)
		if w.status != 403 || string(w.sent) != "no" {
			t.Errorf("%d %q", w.status, w.sent)
		}
	})
}

func TestTunnelEndsWhenIdle(t *testing.T) {
	url := raw(t, func(_ int, c net.Conn) {
		readHead(c)
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		io.Copy(io.Discard, c)
	})
	u := to(url)
	u.Timeouts.Read = policy.Duration(50e6)
	r := newRig(t, u)
	here, there := net.Pipe()
	defer there.Close()
	x := r.exchange("GET", "/")
	x.Upgrade = "websocket"
	v := r.f.Forward(context.Background(), x, &recorder{upgraded: here})
	mustPass(t, v)
	if _, err := there.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the caller's connection is still open: %v", err)
	}
}
