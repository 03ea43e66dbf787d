//go:build unix

package forward

import "golang.org/x/sys/unix"

// probeSocket sets dead when the idle socket is readable, which can only mean its end or an unsolicited message. It never waits.
func (c *conn) probeSocket(fd uintptr) {
	fds := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds[:], 0)
	c.dead = err == nil && n > 0
}
