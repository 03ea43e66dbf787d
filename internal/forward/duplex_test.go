package forward

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/policy"
)

func TestEarlyAnswerEndsTheRequest(t *testing.T) {
	// A server that answers at once, reads nothing and keeps the connection open would block a client that only writes.
	hold := make(chan struct{})
	url := raw(t, func(_ int, c net.Conn) {
		readHead(c)
		io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 8\r\n\r\ntoo much")
		<-hold
	})
	t.Cleanup(func() { close(hold) })
	for _, c := range []struct {
		name string
		body func() (gate.Body, io.Closer)
	}{
		{"a body without end", func() (gate.Body, io.Closer) { return streamOf(endless{}), io.NopCloser(nil) }},
		{"a large body", func() (gate.Body, io.Closer) {
			return &body{r: io.LimitReader(endless{}, 1<<30), length: 1 << 30, broken: make(chan struct{})}, io.NopCloser(nil)
		}},
		{"a silent sender", func() (gate.Body, io.Closer) { r, w := io.Pipe(); return streamOf(r), w }},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, to(url))
			x := r.exchange("POST", "/")
			b, closer := c.body()
			defer closer.Close()
			x.Body = b
			w, v := r.send(x)
			mustPass(t, v)
			if w.status != 413 || string(w.sent) != "too much" {
				t.Errorf("%d %q", w.status, w.sent)
			}
			if r.pools.Status()[0].Targets[0].Idle != 0 {
				t.Error("the connection was kept with half a request on it")
			}
		})
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestStreamsBothWays(t *testing.T) {
	url := server(t, func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		rc.EnableFullDuplex()
		w.WriteHeader(200)
		rc.Flush()
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
	echoBothWays(t, newRig(t, to(url)))
}

// echoBothWays sends a part of the request only after the echo of the last one has come back.
func echoBothWays(t *testing.T, r *rig) {
	t.Helper()
	in, client := io.Pipe()
	x := r.exchange("POST", "/")
	x.Body = streamOf(in)
	w := &recorder{progress: make(chan string, 10)}
	done := make(chan decision.Verdict, 1)
	go func() { done <- r.f.Forward(context.Background(), x, w) }()
	for _, s := range []string{"one", "two", "three"} {
		io.WriteString(client, s)
		if got := <-w.progress; got != s {
			t.Errorf("sent %q, got back %q", s, got)
		}
	}
	client.Close()
	mustPass(t, <-done)
}

func TestClientGone(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer string // what the upstream sends before it falls silent
		body   bool   // the request body never ends
	}{
		{"before the answer", "", false},
		{"while sending", "", true},
		{"in the answer", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			closed, reading := make(chan struct{}), make(chan struct{})
			url := raw(t, func(_ int, nc net.Conn) {
				readHead(nc)
				io.WriteString(nc, c.answer)
				close(reading)
				io.Copy(io.Discard, nc) // returns when the gateway closes
				close(closed)
			})
			r := newRig(t, to(url))
			x := r.exchange("POST", "/")
			w := &recorder{}
			if c.body {
				in, client := io.Pipe()
				x.Body = streamOf(in)
				go func() { io.WriteString(client, "begun") }()
				defer client.Close()
			}
			done := make(chan decision.Verdict, 1)
			go func() { done <- r.f.Forward(context.Background(), x, w) }()
			<-reading
			w.leave()
			mustRefuse(t, <-done, decision.ClientGone)
			<-closed
			if s := r.pools.Status()[0].Targets[0]; s.Failures != 0 || s.InFlight != 0 || s.Idle != 0 {
				t.Errorf("the target is blamed or its connection kept: %+v", s)
			}
		})
	}
	t.Run("cannot be written to", func(t *testing.T) {
		r := newRig(t, to(answers(t, ok3)))
		w := &recorder{refuse: io.ErrClosedPipe}
		v := r.f.Forward(context.Background(), r.exchange("GET", "/"), w)
		mustRefuse(t, v, decision.ClientGone)
	})
}

func TestFaultOfTheRequestBody(t *testing.T) {
	seen := make(chan string, 1)
	url := raw(t, func(_ int, c net.Conn) {
		b, _ := io.ReadAll(c)
		seen <- string(b)
	})
	r := newRig(t, to(url))
	for _, c := range []struct {
		name string
		err  error
		want *decision.Reason
	}{
		{"too large", &gate.BodyError{Reason: decision.RequestTooLarge}, decision.RequestTooLarge},
		{"malformed", &gate.BodyError{Reason: decision.RequestMalformed}, decision.RequestMalformed},
		{"broke off", io.ErrUnexpectedEOF, decision.ClientGone},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := r.exchange("POST", "/")
			x.Body = streamOf(io.MultiReader(strings.NewReader("begin"), failing{c.err}))
			_, v := r.send(x)
			mustRefuse(t, v, c.want)
			if got := <-seen; strings.HasSuffix(got, "0\r\n\r\n") {
				t.Errorf("the upstream may take the request for complete: %q", got)
			}
			if s := r.pools.Status()[0].Targets[0]; s.Failures != 0 {
				t.Error("the target is blamed for it")
			}
		})
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// TestUpstreamThatDoesNotRead: the request cannot be sent, and no answer comes.
func TestUpstreamThatDoesNotRead(t *testing.T) {
	hold := make(chan struct{})
	url := raw(t, func(_ int, c net.Conn) { <-hold })
	t.Cleanup(func() { close(hold) })
	u := to(url)
	u.Timeouts.Write = policy.Duration(50 * time.Millisecond)
	for _, b := range []gate.Body{streamOf(endless{}), &body{r: endless{}, length: 1 << 40, broken: make(chan struct{})}} {
		r := newRig(t, u)
		x := r.exchange("PUT", "/")
		x.Body = b
		_, v := r.send(x)
		mustRefuse(t, v, decision.UpstreamTimeout)
		if !strings.Contains(x.Result.Fault, phaseWrite) || len(x.Result.Attempts) != 1 {
			t.Errorf("fault %q, %d attempts", x.Result.Fault, len(x.Result.Attempts))
		}
	}
}

// TestUploadKeepsTheCaller: an answer that comes as soon as the request is complete must not cost the caller its connection,
// nor the gateway its own, however the two goroutines are scheduled.
func TestUploadKeepsTheCaller(t *testing.T) {
	url := server(t, func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		io.WriteString(w, strings.Repeat("x", int(n%7)))
	})
	h2c := h2cServer(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })
	text := strings.Repeat("y", mostBuffered+1)
	for _, protocol := range []string{"http1", "h2c"} {
		u := to(url)
		if protocol == "h2c" {
			u = to(h2c)
		}
		u.Protocol = protocol
		r := newRig(t, u)
		for i := range 200 {
			b := bodyOf(text)
			if i%2 == 0 {
				b = streamOf(strings.NewReader(text))
			}
			x := r.exchange("POST", "/")
			x.Body = b
			_, v := r.send(x)
			mustPass(t, v)
			select {
			case <-b.broken:
				t.Fatalf("%s: call %d interrupted a body that had been sent", protocol, i)
			default:
			}
		}
		if s := r.pools.Status()[0].Targets[0]; protocol == "http1" && s.Idle != 1 {
			t.Errorf("%d connections kept", s.Idle)
		}
	}
}

// TestAnswerBeforeTheLastChunk: a server that has read what it needs answers while the end of the request is on its way.
func TestAnswerBeforeTheLastChunk(t *testing.T) {
	defer func(was time.Duration) { grace = was }(grace)
	grace = time.Minute
	url := raw(t, func(_ int, c net.Conn) {
		for {
			if _, err := readHead(c); err != nil {
				return
			}
			io.ReadFull(c, make([]byte, len("4\r\ndata\r\n")))
			io.WriteString(c, ok3)
			io.ReadFull(c, make([]byte, len("0\r\n\r\n")))
		}
	})
	r := newRig(t, to(url))
	for range 3 {
		in, client := io.Pipe()
		b := streamOf(in)
		x := r.exchange("POST", "/")
		x.Body = b
		w := &recorder{progress: make(chan string)}
		go func() {
			io.WriteString(client, "data")
			<-w.progress // the caller has the answer
			client.Close()
		}()
		mustPass(t, r.f.Forward(context.Background(), x, w))
		select {
		case <-b.broken:
			t.Fatal("the body was interrupted")
		default:
		}
	}
	if s := r.pools.Status()[0].Targets[0]; s.Idle != 1 || s.Attempts != 3 {
		t.Errorf("the connection was not kept: %+v", s)
	}
}
