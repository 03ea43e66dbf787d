package forward

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/header"
	"postern/internal/llm"
	"postern/internal/policy"
	"postern/internal/provider"
)

// upper is a translator that writes the body in capitals and counts the bytes of the answer as output tokens.
type upper struct{ fail error }

func (u upper) Prepare(x *gate.Exchange) (string, error) {
	if u.fail != nil {
		return "", u.fail
	}
	b, _, err := x.Body.Peek(context.Background(), 1<<20)
	if err != nil {
		return "", err
	}
	x.Body.Replace([]byte(strings.ToUpper(string(b)) + "!"))
	return "/v1/chat", nil
}

func (u upper) Answer(_ *gate.Exchange, status int, contentType string) provider.Answer {
	return &counted{stream: contentType == "text/event-stream" && status == 200}
}

type counted struct {
	stream bool
	n      int64
}

func (c *counted) Next(p []byte) []byte {
	c.n += int64(len(p))
	return p
}

func (c *counted) End() []byte {
	if c.stream {
		return []byte("data: end\n\n")
	}
	return nil
}

func (c *counted) Abort(said decision.Said, id decision.TraceID) []byte {
	if !c.stream {
		return nil
	}
	return []byte("data: error " + said.Reason.Code + " " + said.Detail + " " + id.String() + "\n\n")
}

func (c *counted) Usage() (llm.Usage, bool) { return llm.Usage{Output: c.n}, c.n > 0 }
func (c *counted) SameLength() bool         { return !c.stream }

func llmRig(t *testing.T, u policy.Upstream, tr provider.Translator) *rig {
	r := newRig(t, u)
	r.f = New(Options{Logger: quiet, Translators: func(dialect string) provider.Translator {
		if dialect == "openai" {
			return tr
		}
		return nil
	}})
	return r
}

func (r *rig) chat(text string) *gate.Exchange {
	x := r.exchange("POST", "/v1/chat/completions")
	x.RawQuery = "key=secret"
	x.Header = header.List{{Name: "Accept-Encoding", Value: "gzip"}, {Name: "Content-Type", Value: "application/json"}, {Name: "Authorization", Value: "Bearer " + canary}}
	x.Principal.Field = "Authorization"
	x.Body = bodyOf(text)
	x.Model = &gate.Model{Name: "m", Upstream: r.up}
	x.Op = &gate.Operation{Dialect: "openai", LLM: "chat", KeepCredential: true}
	return x
}

func TestModelCall(t *testing.T) {
	for _, protocol := range []string{"http1", "h2c"} {
		t.Run(protocol, func(t *testing.T) {
			h := func(w http.ResponseWriter, r *http.Request) {
				b, _ := io.ReadAll(r.Body)
				if string(b) != "HELLO"+strings.Repeat("X", 100_000)+"!" || r.URL.RequestURI() != "/base/v1/chat" || r.Header.Get("Accept-Encoding") != "identity" || strings.Contains(r.Header.Get("Authorization"), canary) {
					t.Errorf("%d bytes, %s, %v", len(b), r.URL.RequestURI(), r.Header)
				}
				w.Header().Set("Content-Type", "application/json")
				io.WriteString(w, "{1}")
			}
			url := ""
			if protocol == "h2c" {
				url = h2cServer(t, h)
			} else {
				url = server(t, h)
			}
			u := to(url + "/base")
			u.Protocol = protocol
			r := llmRig(t, u, upper{})
			x := r.chat("hello" + strings.Repeat("x", 100_000))
			w, v := r.send(x)
			mustPass(t, v)
			if string(w.sent) != "{1}" || w.length != 3 || x.Usage.Output != 3 {
				t.Errorf("%q, length %d, usage %+v", w.sent, w.length, x.Usage)
			}
		})
	}
}

func TestModelStreamThatEndsWell(t *testing.T) {
	r := llmRig(t, to(answers(t, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 9\r\n\r\ndata: a\n\n")), upper{})
	x := r.chat("hi")
	w, v := r.send(x)
	mustPass(t, v)
	if string(w.sent) != "data: a\n\ndata: end\n\n" || w.length != -1 || x.Usage.Output != 9 {
		t.Errorf("%q, length %d, usage %+v", w.sent, w.length, x.Usage)
	}
}

func TestModelStreamThatBreaksOff(t *testing.T) {
	seen := make(chan struct{})
	r := llmRig(t, to(raw(t, func(_ int, c net.Conn) {
		readHead(c)
		io.ReadFull(c, make([]byte, 3))
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: a\n\n\r\n")
		<-seen
	})), upper{})
	x := r.chat("hi")
	w := &recorder{progress: make(chan string, 10)}
	done := make(chan decision.Verdict, 1)
	go func() { done <- r.f.Forward(context.Background(), x, w) }()
	if got := <-w.progress; got != "data: a\n\n" {
		t.Errorf("%q", got)
	}
	close(seen)
	v := <-done
	mustRefuse(t, v, decision.UpstreamUnreachable)
	want := "data: a\n\ndata: error upstream.unreachable " + v.Render(decision.ToAnyone).Detail + " " + x.ID.String() + "\n\n"
	if string(w.sent) != want || !w.ended || !x.Result.Truncated || x.Usage.Output != 9 {
		t.Errorf("%q, ended %v, result %+v, usage %+v", w.sent, w.ended, x.Result, x.Usage)
	}
	if s := r.pools.Status()[0].Targets[0]; s.Failures != 1 {
		t.Errorf("%d failures counted", s.Failures)
	}
}

func TestModelRequestThatCannotBeSent(t *testing.T) {
	url := answers(t, ok3)
	t.Run("cannot be translated", func(t *testing.T) {
		r := llmRig(t, to(url), upper{fail: io.ErrNoProgress})
		_, v := r.send(r.chat("hi"))
		mustRefuse(t, v, decision.PromptUnreadable)
	})
	t.Run("the body is at fault", func(t *testing.T) {
		r := llmRig(t, to(url), upper{fail: &gate.BodyError{Reason: decision.RequestTooLarge}})
		_, v := r.send(r.chat("hi"))
		mustRefuse(t, v, decision.RequestTooLarge)
	})
	t.Run("no such dialect", func(t *testing.T) {
		r := llmRig(t, to(url), upper{})
		x := r.chat("hi")
		x.Op.Dialect = "klingon"
		_, v := r.send(x)
		mustRefuse(t, v, decision.GatewayFault)
	})
}
