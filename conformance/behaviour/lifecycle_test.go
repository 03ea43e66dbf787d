package behaviour

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"postern/conformance/gateway"
)

// TestSIGTERMDrains: what was begun is answered, nothing new is taken, and the process ends with 0.
func TestSIGTERMDrains(t *testing.T) {
	started, finish := make(chan struct{}, 8), make(chan struct{})
	w := newWorld(t, http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		started <- struct{}{}
		<-finish
		_, _ = io.WriteString(rw, "whole")
	}), "")
	type answer struct {
		name, body string
		status     int
		err        error
	}
	answers := make(chan answer, 8)
	clients := w.clients(t)
	for name, c := range clients {
		go func() {
			res, err := c.Get(c.base + "/open/slow")
			if err != nil {
				answers <- answer{name: name, err: err}
				return
			}
			b, err := io.ReadAll(res.Body)
			_ = res.Body.Close()
			answers <- answer{name, string(b), res.StatusCode, err}
		}()
		within(t, "the request at the backend", started)
	}
	idle, err := net.Dial("tcp", w.plain) // a connection without a request must not hold the end up
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	w.process.Signal(syscall.SIGTERM)
	deadline := time.Now().Add(patience)
	for {
		c, err := net.Dial("tcp", w.plain)
		if err != nil {
			break
		}
		_ = c.Close()
		if time.Now().After(deadline) {
			t.Fatal("the listener still takes connections")
		}
		time.Sleep(10 * time.Millisecond)
	}
	select {
	case <-w.process.Done():
		t.Fatal("the process ended before its requests did")
	default:
	}
	close(finish)
	for range clients {
		if a := within(t, "an answer", answers); a.err != nil || a.status != 200 || a.body != "whole" {
			t.Errorf("%s: %d %q, %v", a.name, a.status, a.body, a.err)
		}
	}
	if code := w.process.Wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestSIGHUPAtStart: a process that says it is ready is not ended by the signal to reload, nor while it is getting there.
func TestSIGHUPAtStart(t *testing.T) {
	for range 8 {
		w := &world{plain: gateway.FreeAddress(t), secure: gateway.FreeAddress(t), cert: gateway.NewCertificate(t)}
		p := gateway.Start(t, gateway.Options{Config: w.document("127.0.0.1:9", "")})
		p.Signal(syscall.SIGHUP)
		p.BootstrapToken()
		if code := p.Stop(); code != 0 {
			t.Fatalf("SIGHUP right after /readyz said 200: exit code %d\n%s", code, p.Output())
		}
	}
}

// TestReloadDropsNothing: the configuration changes under load, and not one request fails or is answered by a half-made state.
func TestReloadDropsNothing(t *testing.T) {
	backend := serve(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		_, _ = rw.Write(b)
	}))
	w := newWorld(t, http.NotFoundHandler(), "")
	base := w.document(backend, "")
	w.process.BootstrapToken() // the last thing a start prints
	w.process.WriteConfig(base)
	w.process.Signal(syscall.SIGHUP)
	var stop atomic.Bool
	var sent atomic.Int64
	var load sync.WaitGroup
	wait := make(chan struct{})
	for name, c := range w.clients(t) {
		load.Go(func() {
			<-wait
			for !stop.Load() {
				res, err := c.Post(c.base+"/open/load", "text/plain", strings.NewReader("payload"))
				if err != nil {
					t.Errorf("%s: %v", name, err)
					return
				}
				b, err := io.ReadAll(res.Body)
				_ = res.Body.Close()
				if err != nil || res.StatusCode != 200 || string(b) != "payload" {
					t.Errorf("%s: %d %.200q, %v", name, res.StatusCode, b, err)
					return
				}
				sent.Add(1)
			}
		})
	}
	answers := func(path string) int {
		res, err := http.Get("http://" + w.plain + path)
		if err != nil {
			return 0
		}
		_ = res.Body.Close()
		return res.StatusCode
	}
	become := func(path string, status int) {
		t.Helper()
		for deadline := time.Now().Add(patience); answers(path) != status; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s answers %d, want %d", path, answers(path), status)
			}
		}
	}
	become("/open/load", 200)
	close(wait)
	rounds := 12
	if testing.Short() {
		rounds = 4
	}
	for i := range rounds {
		path := fmt.Sprintf("/round-%d", i)
		w.process.WriteConfig(strings.Replace(base, "operations: [{name: any, method: \"*\", path: \"/open/{rest...}\"}]",
			"operations: [{name: any, method: \"*\", path: \"/open/{rest...}\"}, {name: round, method: GET, path: "+path+"}]", 1))
		w.process.Signal(syscall.SIGHUP)
		become(path, 200)
		if i > 0 {
			become(fmt.Sprintf("/round-%d", i-1), 404)
		}
	}
	// A configuration that does not compile leaves the old one serving.
	w.process.WriteConfig(base + "\nnonsense: true\n")
	w.process.Signal(syscall.SIGHUP)
	for deadline := time.Now().Add(patience); !strings.Contains(w.process.Output(), "nonsense"); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("nothing is said about the broken configuration:\n%s", w.process.Output())
		}
	}
	become(fmt.Sprintf("/round-%d", rounds-1), 200)
	stop.Store(true)
	load.Wait()
	if sent.Load() < 100 {
		t.Errorf("only %d requests were sent", sent.Load())
	}
	t.Logf("%d requests over %d reloads", sent.Load(), rounds+2)
}

// TestDirectoryActsAtOnce: a key works right after it was made, and does not right after it was revoked.
func TestDirectoryActsAtOnce(t *testing.T) {
	w := newWorld(t, http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusNoContent) }), "")
	m := w.process.Manage()
	m.Tenant("acme")
	m.Application("shop", "acme", []string{"writer"}, []string{"orders"}, "")
	ask := func(key string) int {
		req, err := http.NewRequest("POST", "http://"+w.plain+"/orders", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-API-Key", key)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		return res.StatusCode
	}
	for range 5 {
		id, key := m.Key("shop")
		if got := ask(key); got != 204 {
			t.Errorf("a new key is answered %d", got)
		}
		m.Do("DELETE", "/api/v1/keys/"+id, nil, nil)
		if got := ask(key); got != 401 {
			t.Errorf("a revoked key is answered %d", got)
		}
	}
	m.Do("PATCH", "/api/v1/applications/shop", map[string]any{"standing": "suspended"}, nil)
	_, key := m.Key("shop")
	if got := ask(key); got != 403 {
		t.Errorf("a suspended application is answered %d", got)
	}
}

// TestHalfClose: a client may close its sending side behind a request (RFC 9112 section 9.6) and still gets its answer.
func TestHalfClose(t *testing.T) {
	w := newWorld(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(rw, "answered")
	}), "")
	c, err := net.Dial("tcp", w.plain)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, "POST /open/x HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 4\r\n\r\nbody"); err != nil {
		t.Fatal(err)
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(c)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) || !strings.HasPrefix(string(b), "HTTP/1.1 200 ") || !strings.Contains(string(b), "answered") {
		t.Errorf("%q, %v", b, err)
	}
}
