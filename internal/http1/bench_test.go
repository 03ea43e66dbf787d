package http1

import (
	"io"
	"strings"
	"testing"
	"time"
)

// loop delivers the same message over and over, one a read, as a connection under load does.
type loop struct{ message string }

func (l *loop) Read(p []byte) (int, error) { return copy(p, l.message), nil }

var (
	ordinary = "POST /v1/orders?source=web HTTP/1.1\r\nHost: api.example.com\r\nUser-Agent: shop/2.1 (linux; amd64)\r\nAccept: application/json\r\n" +
		"Content-Type: application/json\r\nX-Api-Key: pst_live_0123456789abcdefghijklmnopqrstuv\r\nAccept-Encoding: gzip\r\nContent-Length: 512\r\n\r\n" + strings.Repeat("j", 512)
	answer = "HTTP/1.1 200 OK\r\nServer: orders\r\nDate: Sun, 22 Nov 2026 07:09:10 GMT\r\nContent-Type: application/json\r\nContent-Length: 256\r\n\r\n" + strings.Repeat("k", 256)
	stream = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("3f\r\ndata: {\"choices\":[{\"delta\":{\"content\":\"hello world 12345\"}}]}\n\n\r\n", 20) + "0\r\n\r\n"
)

func readOrdinary(r *Reader, req *Request) error {
	if err := r.ReadRequest(req); err != nil {
		return err
	}
	_, err := req.Body.Next()
	return err
}

func readStream(r *Reader, resp *Response) error {
	if err := r.ReadResponse(resp, "POST"); err != nil {
		return err
	}
	for !resp.Body.Done() {
		if _, err := resp.Body.Next(); err != nil {
			return err
		}
	}
	return nil
}

func BenchmarkReadRequest(b *testing.B) {
	r, req := NewReader(&loop{ordinary}, Limits{}), new(Request)
	b.ReportAllocs()
	b.SetBytes(int64(len(ordinary)))
	for b.Loop() {
		if err := readOrdinary(r, req); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReadResponse(b *testing.B) {
	r, resp := NewReader(&loop{answer}, Limits{}), new(Response)
	b.ReportAllocs()
	b.SetBytes(int64(len(answer)))
	for b.Loop() {
		if err := r.ReadResponse(resp, "POST"); err != nil {
			b.Fatal(err)
		}
		if _, err := resp.Body.Next(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReadStreamOf20Chunks(b *testing.B) {
	r, resp := NewReader(&loop{stream}, Limits{}), new(Response)
	b.ReportAllocs()
	b.SetBytes(int64(len(stream)))
	for b.Loop() {
		if err := readStream(r, resp); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWriteHead(b *testing.B) {
	r, req := NewReader(&loop{ordinary}, Limits{}), new(Request)
	if err := readOrdinary(r, req); err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = AppendRequestLine(buf[:0], req.Method, req.Target)
		buf = AppendEnd(AppendFields(buf, req.Header))
	}
}

// An ordinary message costs no allocation, in either direction.
func TestNoAllocations(t *testing.T) {
	if poison {
		t.Skip("sync.Pool drops items at random under the race detector")
	}
	chunked := strings.Replace(ordinary, "Content-Length: 512\r\n\r\n"+strings.Repeat("j", 512), "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 1\r\n\r\n", 1)
	now := time.Unix(1790000000, 0)
	for name, prepare := range map[string]func() func() error{
		"request": func() func() error {
			r, req := NewReader(&loop{ordinary}, Limits{}), new(Request)
			return func() error { return readOrdinary(r, req) }
		},
		"chunked request with trailer": func() func() error {
			r, req := NewReader(&loop{chunked}, Limits{}), new(Request)
			return func() error {
				if err := r.ReadRequest(req); err != nil {
					return err
				}
				return req.Body.Discard(10)
			}
		},
		"IPv6 and absolute-form": func() func() error {
			r, req := NewReader(&loop{"GET http://[2001:db8::1]:80/x HTTP/1.1\r\nHost: [2001:db8::1]:80\r\nConnection: keep-alive, foo\r\n\r\n"}, Limits{}), new(Request)
			return func() error { return r.ReadRequest(req) }
		},
		"stream": func() func() error {
			r, resp := NewReader(&loop{stream}, Limits{}), new(Response)
			return func() error { return readStream(r, resp) }
		},
		"head that needs a large buffer": func() func() error {
			r, req := NewReader(&loop{"GET / HTTP/1.1\r\n" + host + "A: " + strings.Repeat("a", 3950) + "\r\n\r\n"}, Limits{}), new(Request)
			return func() error { return r.ReadRequest(req) }
		},
		"head and date written": func() func() error {
			buf := make([]byte, 0, 4096)
			return func() error {
				buf = AppendStatusLine(buf[:0], 200)
				buf = AppendDate(AppendField(AppendContentLength(buf, 12), "A", "b"), now)
				buf = AppendLastChunk(AppendChunk(buf, []byte("x")), nil)
				return nil
			}
		},
		"reset for another connection": func() func() error {
			r, req, src := NewReader(nil, Limits{}), new(Request), &loop{ordinary}
			return func() error { r.Reset(src); err := readOrdinary(r, req); r.Release(); return err }
		},
	} {
		step := prepare()
		if err := step(); err != nil && err != io.EOF {
			t.Fatalf("%s: %v", name, err)
		}
		if n := testing.AllocsPerRun(200, func() {
			if err := step(); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
