//go:build unix && !linux

package edge

import (
	"net"

	"golang.org/x/sys/unix"
)

// presence peeks at the socket: systems without POLLRDHUP see the end only when no bytes are waiting before it.
func presence(c *net.TCPConn) peerState {
	raw, err := c.SyscallConn()
	if err != nil {
		return peerGone
	}
	state := peerThere
	err = raw.Control(func(fd uintptr) {
		var b [1]byte
		n, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		switch {
		case n == 0 && err == nil:
			state = peerFinished
		case err != nil && err != unix.EAGAIN && err != unix.EINTR:
			state = peerGone
		}
	})
	if err != nil {
		return peerGone
	}
	return state
}
