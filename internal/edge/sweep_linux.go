package edge

import (
	"net"

	"golang.org/x/sys/unix"
)

// presence asks the kernel whether the peer has closed, without reading: bytes of a next request may be waiting.
func presence(c *net.TCPConn) peerState {
	raw, err := c.SyscallConn()
	if err != nil {
		return peerGone
	}
	state := peerThere
	err = raw.Control(func(fd uintptr) {
		p := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		if n, err := unix.Poll(p[:], 0); err != nil || n == 0 {
			return
		}
		switch e := p[0].Revents; {
		case e&(unix.POLLERR|unix.POLLHUP|unix.POLLNVAL) != 0:
			state = peerGone
		case e&unix.POLLRDHUP != 0:
			state = peerFinished
		}
	})
	if err != nil {
		return peerGone
	}
	return state
}
