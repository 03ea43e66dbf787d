package http1

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func open(t *testing.T, src io.Reader) (*Reader, *Request) {
	t.Helper()
	r, req := NewReader(src, Limits{}), new(Request)
	if err := r.ReadRequest(req); err != nil {
		t.Fatal(err)
	}
	return r, req
}

func TestSmallBodyIsThereWithItsHead(t *testing.T) {
	_, req := open(t, strings.NewReader(cl(" 5")))
	p, ok := req.Body.Whole()
	if !ok || string(p) != "hello" || req.Body.Done() || req.Body.Buffered() != 5 || req.Body.Remaining() != 5 {
		t.Fatalf("Whole = %q, %v", p, ok)
	}
	q, err := req.Body.Next()
	if err != nil || string(q) != "hello" || !req.Body.Done() || &p[0] != &q[0] {
		t.Errorf("Next = %q, %v: the same bytes, not copied", q, err)
	}
	if _, err := req.Body.Next(); err != io.EOF {
		t.Errorf("then %v", err)
	}
	if p, ok := req.Body.Whole(); !ok || len(p) != 0 {
		t.Errorf("Whole of nothing = %q, %v", p, ok)
	}
	_, req = open(t, iotest.OneByteReader(strings.NewReader(cl(" 5"))))
	if _, ok := req.Body.Whole(); ok {
		t.Error("Whole without the bytes")
	}
}

func TestEndOfChunkedBodyIsSeenWithTheLastData(t *testing.T) {
	r, req := open(t, strings.NewReader(chunks("5\r\nhello\r\n0\r\n\r\nGET")))
	if p, err := req.Body.Next(); string(p) != "hello" || err != nil || !req.Body.Done() || r.Buffered() != 3 {
		t.Errorf("Next = %q, %v, done %v, %d buffered", p, err, req.Body.Done(), r.Buffered())
	}
}

// A reader that fails the test when it is asked for more than it has.
type finite struct {
	t *testing.T
	io.Reader
	left int
}

func (f *finite) Read(p []byte) (int, error) {
	if f.left == 0 {
		f.t.Error("waited for the connection with the answer in hand")
		return 0, io.EOF
	}
	n, err := f.Reader.Read(p)
	f.left -= n
	return n, err
}

func TestNothingWaitsForBytesThatAreNotNeeded(t *testing.T) {
	for _, m := range []string{cl(" 5"), chunks("5\r\nhello\r\n0\r\n\r\n"), chunks("5\r\nhello\r\n0\r\nA: b\r\n\r\n"), field("A: b"), "\r\n" + field("A: b")} {
		_, req := open(t, &finite{t, strings.NewReader(m), len(m)})
		if _, err := io.ReadAll(req.Body); err != nil {
			t.Error(err)
		}
	}
	m := chunks("5\r\nhello")
	_, req := open(t, &finite{t, strings.NewReader(m), len(m)})
	if p, err := req.Body.Next(); string(p) != "hello" || err != nil {
		t.Errorf("Next = %q, %v", p, err)
	}
}

func TestEveryWayToReadABodyAgrees(t *testing.T) {
	data := make([]byte, 200_000)
	for i := range data {
		data[i] = byte(i*7 + i>>8)
	}
	var chunked []byte
	for rest, n := data, 1; len(rest) > 0; n = n*3%9973 + 1 {
		n := min(n, len(rest))
		chunked, rest = AppendChunk(chunked, rest[:n]), rest[n:]
	}
	var tiny []byte
	for i := 0; i < len(data); i += 5 {
		tiny = AppendChunk(tiny, data[i:i+5])
	}
	messages := map[string]string{
		"tiny chunks": chunks(string(AppendLastChunk(tiny, nil))),
		"length":      "POST / HTTP/1.1\r\n" + host + "Content-Length: 200000\r\n\r\n" + string(data),
		"chunked":     chunks(string(AppendLastChunk(chunked, nil))),
	}
	ways := map[string]func(*Body) ([]byte, error){
		"ReadAll":   func(b *Body) ([]byte, error) { return io.ReadAll(struct{ io.Reader }{b}) },
		"small":     func(b *Body) ([]byte, error) { return io.ReadAll(iotest.OneByteReader(b)) },
		"AppendAll": func(b *Body) ([]byte, error) { return b.AppendAll(nil, 200_000) },
		"WriteTo":   func(b *Body) ([]byte, error) { var w bytes.Buffer; _, err := b.WriteTo(&w); return w.Bytes(), err },
		"large": func(b *Body) ([]byte, error) {
			var out []byte
			p := make([]byte, 10_000)
			for {
				n, err := b.Read(p)
				if out = append(out, p[:n]...); err != nil {
					if err == io.EOF {
						err = nil
					}
					return out, err
				}
			}
		},
	}
	for kind, m := range messages {
		for way, read := range ways {
			for name, src := range map[string]io.Reader{"whole": strings.NewReader(m), "half": iotest.HalfReader(strings.NewReader(m)), "error beside data": iotest.DataErrReader(strings.NewReader(m))} {
				r, req := open(t, src)
				got, err := read(req.Body)
				if n, end := req.Body.Read(nil); n != 0 || end != nil {
					t.Errorf("Read of nothing: %d, %v", n, end)
				}
				if err != nil || !bytes.Equal(got, data) || req.Body.BytesRead() != int64(len(data)) || !req.Body.Done() || req.Path != "/" {
					t.Errorf("%s, %s, %s: %d bytes, %v", kind, way, name, len(got), err)
				}
				r.Release()
			}
			for _, missing := range []int{1, 8, 90_000} {
				r, req := open(t, strings.NewReader(m[:len(m)-missing]))
				got, err := read(req.Body)
				if !errors.Is(err, io.ErrUnexpectedEOF) || !bytes.HasPrefix(data, got) {
					t.Errorf("%s, %s, cut short by %d: %d bytes, %v", kind, way, missing, len(got), err)
				}
				r.Release()
			}
		}
	}
}

func TestExtensionsFollowTheGrammar(t *testing.T) {
	for ext, want := range map[string]bool{";a": true, ";a=b": true, "; a = b ;c": true, ";a;b;c=\"d;e=\\\"f\"": true, ";\ta": true, ";a=\"\"": true,
		";": false, ";;a": false, ";=b": false, ";a=": false, ";a=b c": false, ";a b": false, ";a=\"b": false, ";a=\"b\\": false, ";a=\"\x00\"": false,
		";a=\"\\\x01\"": false, ";a=\"b\"c": false, ";a ": false, ";a=b ": false, ";a\x00": false, ";a=b\r": false} {
		if validExtensions([]byte(ext)) != want {
			t.Errorf("%q: want %v", ext, want)
		}
	}
}

func TestBodyTellsWhatIsLeft(t *testing.T) {
	_, req := open(t, strings.NewReader(chunks("5\r\nhello\r\n0\r\n\r\n")))
	if b := req.Body; b.Kind() != Chunked || b.Remaining() != -1 || b.Buffered() != 0 {
		t.Errorf("before: kind %d, remaining %d, buffered %d", b.Kind(), b.Remaining(), b.Buffered())
	}
	if n, err := req.Body.Read(make([]byte, 2)); n != 2 || err != nil || req.Body.Buffered() != 3 || req.Body.BytesRead() != 2 {
		t.Errorf("Read = %d, %v, buffered %d", n, err, req.Body.Buffered())
	}
	if err := req.Body.Discard(3); err != nil || req.Body.Remaining() != 0 || req.Body.Buffered() != 0 {
		t.Errorf("after: %v, remaining %d", err, req.Body.Remaining())
	}
}

func TestBounds(t *testing.T) {
	for _, m := range []string{cl(" 5"), chunks("2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n")} {
		_, req := open(t, strings.NewReader(m))
		if _, err := req.Body.AppendAll(nil, 4); err != ErrBodyTooLarge {
			t.Errorf("AppendAll within 4: %v", err)
		}
		_, req = open(t, strings.NewReader(m))
		if got, err := req.Body.AppendAll([]byte(">"), 5); string(got) != ">hello" || err != nil {
			t.Errorf("AppendAll within 5: %q, %v", got, err)
		}
		_, req = open(t, strings.NewReader(m))
		if err := req.Body.Discard(4); err != ErrBodyTooLarge {
			t.Errorf("Discard within 4: %v", err)
		}
	}
}

func TestBodyErrorsRepeatAndSpoilTheConnection(t *testing.T) {
	reset := errors.New("connection reset")
	for name, src := range map[string]*pieces{
		"cut":    {list: []string{chunks("5\r\nhel")}},
		"reset":  {list: []string{cl(" 50")}, err: reset},
		"broken": {list: []string{chunks("5\r\nhelloX")}},
	} {
		r, req := open(t, src)
		_, err := io.ReadAll(req.Body)
		if err == nil || name == "reset" && err != reset {
			t.Errorf("%s: %v", name, err)
		}
		if _, again := req.Body.Next(); again != err {
			t.Errorf("%s: then %v", name, again)
		}
		if next := r.ReadRequest(req); next != err {
			t.Errorf("%s: the next request: %v", name, next)
		}
	}
}

type noProgress struct{}

func (noProgress) Read([]byte) (int, error) { return 0, nil }

func TestConnectionWithoutProgress(t *testing.T) {
	if err := NewReader(noProgress{}, Limits{}).Wait(); err != io.ErrNoProgress {
		t.Errorf("err = %v", err)
	}
}

func TestIdleReaderHoldsLittle(t *testing.T) {
	big := "POST / HTTP/1.1\r\n" + host + "A: " + strings.Repeat("a", 9000) + "\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("b", 100000)
	r, req := open(t, &pieces{list: []string{big}, err: errors.New("timeout")})
	if err := req.Body.Discard(1 << 20); err != nil {
		t.Fatal(err)
	}
	if err := r.Wait(); err == nil || len(r.buf) != smallSize || len(r.pinned) != 0 {
		t.Errorf("an idle connection keeps %d bytes and %d pinned buffers (%v)", len(r.buf), len(r.pinned), err)
	}
	if r.Release(); r.buf != nil {
		t.Error("Release keeps the buffer")
	}
	if err := r.Wait(); err == nil || err.Error() != "timeout" {
		t.Errorf("after Release: %v", err)
	}
}
