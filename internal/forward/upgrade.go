package forward

import (
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"postern/internal/decision"
	"postern/internal/header"
)

// switchProtocols passes a 101 on and then carries raw bytes both ways until both sides are done.
func (c *call) switchProtocols(cn *conn, s *sender) *fault {
	resp, x := &cn.resp, c.x
	if x.Upgrade == "" || s != nil || !offered(x.Upgrade, resp.Upgrade) {
		return &fault{reason: decision.UpstreamBadAnswer, err: errors.New("the target switched to a protocol that was not asked for")}
	}
	c.handed = true
	r := &x.Result
	r.ReceivedStatus, r.Status, r.FirstByte = 101, 101, c.now().Sub(x.Started)
	c.trial(101)
	c.w.Watch(nil) // from here on the caller's connection is ours
	client, err := c.w.Upgrade(101, append(endToEnd(resp.Header), header.Field{Name: "Upgrade", Value: resp.Upgrade}))
	if err != nil {
		return goneFault()
	}
	defer client.Close() //nolint:errcheck // the tunnel is over
	t := &tunnel{idle: cn.target.pool.limits.read, total: c.total}
	t.active.Store(ticks())
	cn.rolling, cn.sink = 0, nil
	up := tunnelEnd{cn.nc, cn.rd}
	down := tunnelEnd{client, client}
	done := make(chan int64, 1)
	go func() { done <- t.carry(up, down) }()
	r.BytesOut = t.carry(down, up)
	r.BytesIn = <-done
	return nil
}

// offered reports whether the protocol that was chosen is one of those that the request named.
func offered(asked, chosen string) bool {
	chosen = strings.Trim(chosen, " \t")
	return chosen != "" && !strings.Contains(chosen, ",") && (header.List{{Name: "Upgrade", Value: asked}}).HasToken("Upgrade", chosen)
}

// tunnel is two directions that share their idle time: a side that only listens is not idle while the other one speaks.
type tunnel struct {
	idle   time.Duration
	total  int64        // ticks; zero: none
	active atomic.Int64 // ticks of the last byte in either direction
	over   atomic.Bool
}

// tunnelEnd is one side: its connection, and where to read from, which includes what was read ahead.
type tunnelEnd struct {
	net.Conn
	from io.Reader
}

// carry copies from src to dst and returns how many bytes. The end of src is passed on as the end of dst's sending half; the
// other direction goes on. Anything else that ends a direction ends both.
func (t *tunnel) carry(dst, src tunnelEnd) (n int64) {
	buf := bodyBuffers.Get().(*[bodyBuffer]byte)
	defer bodyBuffers.Put(buf)
	for {
		m, err := t.read(src, buf[:])
		if m > 0 {
			dst.SetWriteDeadline(time.Now().Add(t.idle)) //nolint:errcheck // a closed connection says so at the write
			w, werr := dst.Write(buf[:m])
			n += int64(w)
			if werr != nil {
				break
			}
		}
		if err == io.EOF {
			if h, ok := dst.Conn.(interface{ CloseWrite() error }); ok && h.CloseWrite() == nil {
				return n
			}
			break
		}
		if err != nil {
			break
		}
	}
	t.over.Store(true)
	src.SetDeadline(epoch) //nolint:errcheck // wakes the other direction
	dst.SetDeadline(epoch) //nolint:errcheck // as above
	return n
}

// read reads once, for as long as either direction is active.
func (t *tunnel) read(src tunnelEnd, buf []byte) (int, error) {
	for {
		now := ticks()
		by := t.active.Load() + int64(t.idle)
		if t.total != 0 {
			by = min(by, t.total)
		}
		if by <= now {
			return 0, errTunnelIdle
		}
		src.SetReadDeadline(atTick(by)) //nolint:errcheck // a closed connection says so at the read
		if t.over.Load() {
			return 0, errTunnelIdle
		}
		m, err := src.from.Read(buf)
		if m > 0 {
			t.active.Store(ticks())
			return m, err
		}
		if err == nil || isTimeout(err) && !t.over.Load() {
			continue
		}
		return 0, err
	}
}

var errTunnelIdle = errors.New("nothing was said for too long")
