package behaviour

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"
)

func TestWebSocket(t *testing.T) {
	ended := make(chan websocket.StatusCode, 32)
	w := newWorld(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(rw, r, &websocket.AcceptOptions{Subprotocols: []string{"echo"}})
		if err != nil {
			return
		}
		defer c.CloseNow()
		c.SetReadLimit(8 << 20)
		for {
			kind, b, err := c.Read(r.Context())
			if err != nil {
				ended <- websocket.CloseStatus(err)
				return
			}
			if string(b) == "bye" {
				_ = c.Close(4321, "as you wish")
				return
			}
			if err := c.Write(r.Context(), kind, b); err != nil {
				return
			}
		}
	}), "")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	dial := func(t *testing.T, path string) *websocket.Conn {
		c, res, err := websocket.Dial(ctx, "ws://"+w.plain+path, &websocket.DialOptions{Subprotocols: []string{"echo"}})
		if err != nil {
			t.Fatalf("%v (%v)", err, res)
		}
		c.SetReadLimit(8 << 20)
		if c.Subprotocol() != "echo" {
			t.Errorf("subprotocol %q", c.Subprotocol())
		}
		return c
	}
	t.Run("echo", func(t *testing.T) {
		var all sync.WaitGroup
		for n := range 8 {
			all.Go(func() {
				c := dial(t, fmt.Sprintf("/open/ws/%d", n))
				defer c.CloseNow()
				for _, size := range []int{0, 1, 125, 126, 65535, 65536, 1 << 20} {
					sent := bytes.Repeat([]byte{byte(n)}, size)
					if err := c.Write(ctx, websocket.MessageBinary, sent); err != nil {
						t.Error(err)
						return
					}
					_, got, err := c.Read(ctx)
					if err != nil || !bytes.Equal(got, sent) {
						t.Errorf("%d of %d bytes came back, %v", len(got), size, err)
						return
					}
				}
			})
		}
		all.Wait()
	})
	t.Run("the backend ends it", func(t *testing.T) {
		c := dial(t, "/open/ws")
		defer c.CloseNow()
		if err := c.Write(ctx, websocket.MessageText, []byte("bye")); err != nil {
			t.Fatal(err)
		}
		_, _, err := c.Read(ctx)
		if websocket.CloseStatus(err) != 4321 {
			t.Errorf("%v, want the backend's close code 4321", err)
		}
	})
	for len(ended) > 0 {
		<-ended
	}
	t.Run("the caller ends it", func(t *testing.T) {
		c := dial(t, "/open/ws")
		if err := c.Close(4444, "enough"); err != nil {
			t.Logf("close: %v", err)
		}
		if code := within(t, "the end at the backend", ended); code != 4444 {
			t.Errorf("the backend got the close code %d, want 4444", code)
		}
	})
	t.Run("the caller vanishes", func(t *testing.T) {
		c := dial(t, "/open/ws")
		_ = c.CloseNow()
		within(t, "the end at the backend", ended)
	})
	t.Run("the gates come first", func(t *testing.T) {
		_, res, err := websocket.Dial(ctx, "ws://"+w.plain+"/orders", nil)
		if err == nil || res == nil || res.StatusCode != 401 || !strings.HasPrefix(res.Header.Get("Content-Type"), "application/problem+json") {
			t.Errorf("%v, %v; want a 401 that explains itself", err, res)
		}
	})
}
