//go:build !unix

package forward

// probeSocket takes every socket for alive: without poll, only the read after the next write can tell.
func (c *conn) probeSocket(uintptr) {}

// stepSocket leaves the request to be written and the answer to be read in the ordinary way.
func (c *conn) stepSocket(uintptr) bool {
	c.raw.state = rawBlocked
	return true
}
