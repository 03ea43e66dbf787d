package origin

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// Script is what an Actor answers to one request.
type Script struct {
	Segments []string
	End      string // close, hold, again (for ever), or "": go on with the next request
}

// Actor is an origin that plays parts: requests for a path it has a script for get the script's bytes, all others an
// ordinary 200 that repeats the path.
type Actor struct {
	Address string

	mu      sync.Mutex
	scripts map[string]Script
	open    map[net.Conn]bool
}

// NewActor starts an actor on loopback, for the length of the test.
func NewActor(t testing.TB) *Actor {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := &Actor{Address: l.Addr().String(), scripts: map[string]Script{}, open: map[net.Conn]bool{}}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			a.mu.Lock()
			a.open[nc] = true
			a.mu.Unlock()
			running.Go(func() {
				a.serve(nc)
				_ = nc.Close()
				a.mu.Lock()
				delete(a.open, nc)
				a.mu.Unlock()
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		a.mu.Lock()
		for nc := range a.open {
			_ = nc.Close()
		}
		a.mu.Unlock()
		running.Wait()
	})
	return a
}

// Play sets what a path is answered with.
func (a *Actor) Play(path string, s Script) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.scripts[path] = s
}

func (a *Actor) serve(nc net.Conn) {
	var pending []byte
	buf := make([]byte, 16<<10)
	for {
		end := bytes.Index(pending, []byte("\r\n\r\n"))
		if end < 0 {
			n, err := nc.Read(buf)
			if err != nil {
				return
			}
			pending = append(pending, buf[:n]...)
			continue
		}
		line, _, _ := strings.Cut(string(pending[:end]), "\r\n")
		pending = pending[end+4:]
		method, rest, _ := strings.Cut(line, " ")
		path, _, _ := strings.Cut(rest, " ")
		a.mu.Lock()
		s, ok := a.scripts[path]
		a.mu.Unlock()
		if !ok {
			s = ordinary(method, path)
		}
		if !perform(nc, s) {
			return
		}
	}
}

func ordinary(method, path string) Script {
	body := fmt.Sprintf("{\"target\":%q}", path)
	head := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", len(body))
	if method == "HEAD" {
		body = ""
	}
	return Script{Segments: []string{head + body}}
}

// perform plays a script and reports whether the connection goes on.
func perform(nc net.Conn, s Script) bool {
	for {
		for i, text := range s.Segments {
			if i > 0 {
				time.Sleep(50 * time.Millisecond)
			}
			if _, err := nc.Write([]byte(text)); err != nil {
				return false
			}
		}
		switch s.End {
		case "again":
			continue
		case "hold": // until the gateway gives up, or the test ends
			b := make([]byte, 1)
			for {
				if _, err := nc.Read(b); err != nil {
					return false
				}
			}
		case "close":
			return false
		}
		return true
	}
}
