package http1

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// pieces is a connection that delivers the given pieces, one a read, then err (io.EOF if nil).
type pieces struct {
	list []string
	err  error
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.list) == 0 {
		if p.err != nil {
			return 0, p.err
		}
		return 0, io.EOF
	}
	n := copy(b, p.list[0])
	if p.list[0] = p.list[0][n:]; p.list[0] == "" {
		p.list = p.list[1:]
	}
	return n, nil
}

// outcome is everything that a reader of requests can observe of a connection, as text, so that two ways of delivery compare.
func outcome(src io.Reader, limits Limits) string {
	r := NewReader(src, limits)
	defer r.Release()
	var req Request
	var out strings.Builder
	for range 20 {
		if err := r.ReadRequest(&req); err != nil {
			fmt.Fprintf(&out, "error %s\n", describe(err))
			break
		}
		body, err := io.ReadAll(req.Body)
		fmt.Fprintf(&out, "%s %s %d form=%d scheme=%s host=%s path=%s query=%s kind=%d length=%d close=%v expect=%v upgrade=%s head=%d %q body=%q trailer=%q err=%s\n",
			req.Method, req.Target, req.Minor, req.Form, req.Scheme, req.Host, req.Path, req.Query, req.Kind, req.ContentLength, req.Close,
			req.Expect100, req.Upgrade, req.HeadBytes, req.Header, body, req.Body.Trailer(), describe(err))
		if err != nil {
			break
		}
	}
	return out.String()
}

func describe(err error) string {
	var pe *ParseError
	switch {
	case err == nil:
		return "none"
	case errors.As(err, &pe):
		return fmt.Sprintf("%s/%d", pe.Code, pe.Status)
	}
	return err.Error()
}

// parse reads one request and its body.
func parse(t *testing.T, message string) (*Request, string, error) {
	t.Helper()
	r := NewReader(strings.NewReader(message), Limits{})
	req := new(Request)
	if err := r.ReadRequest(req); err != nil {
		return req, "", err
	}
	body, err := io.ReadAll(req.Body)
	return req, string(body), err
}

func TestReadRequestAccepts(t *testing.T) {
	for _, c := range accepted {
		t.Run(c.name, func(t *testing.T) {
			req, body, err := parse(t, c.message)
			if c.check == nil {
				if !errors.Is(err, io.ErrUnexpectedEOF) || req.ContentLength != 1<<63-1 {
					t.Fatalf("err = %v, length %d", err, req.ContentLength)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !c.check(req, body) {
				t.Errorf("got %+v, body %q", req, body)
			}
		})
	}
}

func TestReadRequestRefuses(t *testing.T) {
	for _, c := range refused {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := parse(t, c.message)
			var pe *ParseError
			if !errors.As(err, &pe) {
				t.Fatalf("err = %v, want a ParseError", err)
			}
			if pe.Code != c.code || pe.Status != c.status {
				t.Errorf("got %s %d (%s), want %s %d", pe.Code, pe.Status, pe.Detail, c.code, c.status)
			}
			for i := 0; i < len(pe.Detail); i++ {
				if pe.Detail[i] < ' ' || pe.Detail[i] == 0x7f {
					t.Errorf("the detail %q contains a control character", pe.Detail)
				}
			}
		})
	}
}

// However the bytes arrive, the outcome is the same.
func TestReadRequestAtEverySplit(t *testing.T) {
	var messages []string
	for _, c := range accepted {
		if c.check != nil {
			messages = append(messages, c.message+"GET /next HTTP/1.1\r\n"+host+"\r\n")
		}
	}
	for _, c := range refused {
		messages = append(messages, c.message)
	}
	for _, m := range messages {
		want := outcome(strings.NewReader(m), Limits{})
		if got := outcome(iotest.OneByteReader(strings.NewReader(m)), Limits{}); got != want {
			t.Errorf("%s one byte at a time:\n got %s\nwant %s", quote(m), got, want)
		}
		if got := outcome(iotest.DataErrReader(strings.NewReader(m)), Limits{}); got != want {
			t.Errorf("%s with the error beside the data:\n got %s\nwant %s", quote(m), got, want)
		}
		if len(m) > 1000 {
			continue
		}
		for i := 1; i < len(m); i++ {
			if got := outcome(&pieces{list: []string{m[:i], m[i:]}}, Limits{}); got != want {
				t.Errorf("%s split at %d:\n got %s\nwant %s", quote(m), i, got, want)
			}
		}
	}
}

// A connection that ends anywhere but between messages is never taken for a complete message.
func TestReadRequestCutAtEveryByte(t *testing.T) {
	for _, c := range accepted {
		if c.check == nil {
			continue
		}
		for i := range len(c.message) {
			_, _, err := parse(t, c.message[:i])
			switch {
			case i == 0 || c.message[:i] == "\r\n":
				if err != io.EOF {
					t.Errorf("%s: closed without a request: %v", c.name, err)
				}
			case !errors.Is(err, io.ErrUnexpectedEOF):
				t.Errorf("%s cut at %d (%q): %v", c.name, i, c.message[:i], err)
			}
		}
	}
}

func TestErrorsRepeat(t *testing.T) {
	r := NewReader(strings.NewReader("GET / HTTP/1.1\r\nHost: a\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), Limits{})
	var req Request
	first := r.ReadRequest(&req)
	if second := r.ReadRequest(&req); second != first || first == nil {
		t.Errorf("first %v, then %v: a poisoned connection must not be read on", first, second)
	}
}

func TestTimeoutBetweenRequestsIsHarmless(t *testing.T) {
	timeout := errors.New("timeout")
	src := &pieces{err: timeout}
	r := NewReader(src, Limits{})
	var req Request
	if err := r.Wait(); err != timeout || r.Started() {
		t.Fatalf("Wait = %v, started %v", err, r.Started())
	}
	src.list = []string{"GET / HTTP/1.1\r\n", host, "\r\n"}
	if err := r.ReadRequest(&req); err != nil || req.Host != "a.example" {
		t.Fatalf("after the timeout: %v", err)
	}
	src.list = []string{"GET / HT"}
	if err := r.ReadRequest(&req); err != timeout || !r.Started() {
		t.Fatalf("in mid head: %v, started %v", err, r.Started())
	}
	src.list = []string{"TP/1.1\r\n", host, "\r\n"}
	if err := r.ReadRequest(&req); err != timeout {
		t.Fatalf("a head that broke off was resumed: %v", err)
	}
}

func TestHTTP2PrefaceIsHandedOverWhole(t *testing.T) {
	const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nframes"
	for _, src := range []io.Reader{strings.NewReader(preface), iotest.OneByteReader(strings.NewReader(preface))} {
		r := NewReader(src, Limits{})
		var req Request
		if err := r.ReadRequest(&req); err != error(ErrHTTP2Preface) {
			t.Fatalf("err = %v", err)
		}
		if got, err := io.ReadAll(r); string(got) != preface || err != nil {
			t.Errorf("handed over %q, %v", got, err)
		}
	}
}

func TestHeadStaysReadableWhileALargeBodyIsRead(t *testing.T) {
	for _, framing := range []string{"Content-Length: 300000\r\n\r\n" + strings.Repeat("x", 300000),
		"Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("7d0\r\n"+strings.Repeat("y", 2000)+"\r\n", 150) + "0\r\nT: " + strings.Repeat("z", 5000) + "\r\nU: v\r\n\r\n"} {
		message := "POST /path HTTP/1.1\r\n" + host + "A: " + strings.Repeat("a", 3000) + "\r\nB: " + strings.Repeat("b", 3000) + "\r\n" + framing + "GET /second HTTP/1.1\r\n" + host + "\r\n"
		for _, split := range []int{100, 1400, 4096, 20000, len(message)} {
			var list []string
			for rest := message; rest != ""; {
				n := min(split, len(rest))
				list, rest = append(list, rest[:n]), rest[n:]
			}
			r := NewReader(&pieces{list: list}, Limits{})
			var req Request
			if err := r.ReadRequest(&req); err != nil {
				t.Fatal(err)
			}
			var total int
			for {
				p, err := req.Body.Next()
				if err == io.EOF {
					break
				}
				if err != nil || len(p) == 0 {
					t.Fatalf("Next = %d bytes, %v", len(p), err)
				}
				total += len(p)
			}
			for _, size := range []int{smallSize, smallSize, largeSize, largeSize} { // another connection takes buffers and writes into them
				other := take(size)
				for i := range other {
					other[i] = '?'
				}
				defer give(other)
			}
			if total != 300000 || req.Path != "/path" || req.Header.Get("A") != strings.Repeat("a", 3000) || req.Header.Get("b") != strings.Repeat("b", 3000) {
				t.Errorf("split %d: %d bytes of body; the head changed: %q", split, total, req.Path)
			}
			if req.Kind == Chunked && (req.Body.Trailer().Get("T") != strings.Repeat("z", 5000) || req.Body.Trailer().Get("U") != "v") {
				t.Error("trailers changed")
			}
			if err := r.ReadRequest(&req); err != nil || req.Path != "/second" {
				t.Errorf("split %d: the pipelined request: %q, %v", split, req.Path, err)
			}
			r.Release()
		}
	}
}

func TestPipelining(t *testing.T) {
	var message strings.Builder
	for i := range 500 {
		fmt.Fprintf(&message, "POST /%d HTTP/1.1\r\n%sContent-Length: %d\r\n\r\n%s", i, host, i, strings.Repeat("p", i))
	}
	r := NewReader(strings.NewReader(message.String()), Limits{})
	var req Request
	for i := range 500 {
		if err := r.ReadRequest(&req); err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(req.Body)
		if err != nil || req.Path != fmt.Sprintf("/%d", i) || len(body) != i {
			t.Fatalf("request %d: %s, %d bytes, %v", i, req.Path, len(body), err)
		}
	}
	if err := r.ReadRequest(&req); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}

func TestBodyMustBeFinishedFirst(t *testing.T) {
	r := NewReader(strings.NewReader(cl(" 5")+field("A: b")), Limits{})
	var req Request
	if err := r.ReadRequest(&req); err != nil {
		t.Fatal(err)
	}
	if err := r.ReadRequest(&req); err != ErrBodyUnread {
		t.Fatalf("err = %v", err)
	}
	if err := req.Body.Discard(4); err != ErrBodyTooLarge {
		t.Fatalf("Discard(4) of 5 bytes: %v", err)
	}
	if err := req.Body.Discard(5); err != nil {
		t.Fatal(err)
	}
	if err := r.ReadRequest(&req); err != nil || !req.Header.Has("A") {
		t.Errorf("after Discard: %v", err)
	}
}

func TestDetailsNeverQuoteOrdinaryValues(t *testing.T) {
	_, _, err := parse(t, field("Authorization: Bearer s3cret\x01"))
	if err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("err = %v", err)
	}
	_, _, err = parse(t, target("/?key=s3cret#"))
	if err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("err = %v", err)
	}
}
