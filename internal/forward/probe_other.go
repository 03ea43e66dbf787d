//go:build !unix

package forward

// probeSocket takes every socket for alive: without poll, only the read after the next write can tell.
func (c *conn) probeSocket(uintptr) {}
