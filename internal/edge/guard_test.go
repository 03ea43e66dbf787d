package edge

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"

	"postern/internal/http1"
	"postern/internal/policy"
)

// FuzzGuard: whatever comes in, what comes out of the guard is what net/http and the strict parser both understand, and
// they understand the same.
func FuzzGuard(f *testing.F) {
	f.Add(post("/a?b", "body") + get("/c"))
	f.Add("GET / HTTP/1.0\r\n\r\n")
	f.Add(chunkedPost("5;x=y\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n") + get("/"))
	f.Add("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nraw \x00 bytes")
	for _, message := range doubtful {
		f.Add(message + smuggled)
	}
	set, _ := newSettings(policy.Listener{})
	f.Fuzz(func(t *testing.T, stream string) {
		g := newGuard(&lease{set: set}, &memoryOnce{r: strings.NewReader(stream)}, nil).(*guard)
		out, err := io.ReadAll(io.LimitReader(g, 1<<20))
		if err == nil && g.raw.Load() {
			return
		}
		clean := bufio.NewReader(strings.NewReader(string(out)))
		strict := http1.NewReader(strings.NewReader(stream), set.head)
		var want http1.Request
		for {
			got, err := http.ReadRequest(clean)
			if err != nil {
				return
			}
			refused := got.RequestURI == refusedTarget
			if err := strict.ReadRequest(&want); refused != (err != nil) {
				t.Fatalf("refused %v, strictly %v: %q became %q", refused, err, stream, out)
			} else if refused {
				if _, err := clean.ReadByte(); err != io.EOF {
					t.Fatalf("something follows a refused message: %q", out)
				}
				return
			}
			if got.Method != want.Method || got.RequestURI != want.Target || (got.Host != want.Host && want.Form == http1.OriginForm) {
				t.Fatalf("%q became %q", stream, out)
			}
			gotBody, gotErr := io.ReadAll(got.Body)
			wantBody, wantErr := io.ReadAll(want.Body)
			if wantErr == nil && (gotErr != nil || string(gotBody) != string(wantBody)) {
				t.Fatalf("body %q (%v) became %q (%v)", wantBody, wantErr, gotBody, gotErr)
			}
			if wantErr != nil {
				if gotErr == nil {
					t.Fatalf("a broken body (%v) became a whole one: %q", wantErr, out)
				}
				return
			}
		}
	})
}

// memoryOnce is a connection that brings a stream and ends.
type memoryOnce struct {
	memoryConn
	r io.Reader
}

func (m *memoryOnce) Read(p []byte) (int, error) { return m.r.Read(p) }
