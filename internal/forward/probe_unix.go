//go:build unix

package forward

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// probeSocket sets dead when the idle socket is readable, which can only mean its end or an unsolicited message. It never waits.
func (c *conn) probeSocket(fd uintptr) {
	fds := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds[:], 0)
	c.dead = err == nil && n > 0
}

// stepSocket is what exchange does with the socket each time the poller calls: first the check and the request, then, when
// there is something to read, the answer. It returns false to be called again when the socket is readable. The socket is
// non-blocking. An event between the check and the waiting is not lost: the poller was armed before the check.
func (c *conn) stepSocket(fd uintptr) bool {
	r := &c.raw
	if r.state == rawIdle {
		if c.reused {
			if _, err := retry(func() (int, error) { return syscall.Read(int(fd), r.p) }); err != syscall.EAGAIN {
				r.state = rawDead
				return true
			}
		}
		n, err := retry(func() (int, error) { return syscall.Write(int(fd), c.out) })
		r.sent = max(n, 0)
		if r.sent < len(c.out) {
			if r.state = rawBlocked; err != syscall.EAGAIN {
				r.err = err
			}
			return true
		}
		r.state = rawWaiting
		if c.reused {
			return false // nothing had arrived before, so what arrives now wakes the poller
		}
	}
	n, err := retry(func() (int, error) { return syscall.Read(int(fd), r.p) })
	if err == syscall.EAGAIN {
		return false
	}
	return r.result(n, err)
}

// retry repeats a system call that a signal interrupted.
func retry(call func() (int, error)) (int, error) {
	for {
		if n, err := call(); err != syscall.EINTR {
			return n, err
		}
	}
}
