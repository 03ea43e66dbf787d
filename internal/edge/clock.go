package edge

import (
	"net"
	"time"

	"postern/internal/forward"
)

// Deadlines of connections are input and output, not decisions: they follow the process's monotonic clock, counted from
// epoch because that costs one cheap read of it and no arithmetic on dates.
var epoch = time.Now()

// moment is a point in time as the duration since epoch. Zero means none.
type moment = time.Duration

func mono() moment { return time.Since(epoch) }

// deadline remembers what a connection's read or write deadline was set to, so that it is set about once a second and not
// once a read: setting one costs a timer.
type deadline struct{ at moment }

// extend makes sure that the deadline is about wait from now: at most an eighth of it, and at most a second, off.
func (d *deadline) extend(set func(time.Time) error, wait time.Duration) {
	want := mono() + wait
	slack := min(wait/8, time.Second)
	if off := d.at - want; off >= -slack && off <= slack {
		return
	}
	d.set(set, want)
}

func (d *deadline) set(set func(time.Time) error, at moment) {
	d.at = at
	_ = set(epoch.Add(at)) // fails on a closed connection only, which the next read or write reports
}

var (
	longAgo    = time.Unix(1, 0)
	noDeadline time.Time
)

// wake ends whatever waits for c.
func wake(c forward.Deadliner) { _ = c.SetDeadline(longAgo) }

// closeHard resets the connection, so that the peer cannot take what it got for a whole answer.
func closeHard(c net.Conn, below *net.TCPConn) {
	if below != nil {
		_ = below.SetLinger(0)
		_ = below.Close() // below TLS: no close_notify, which would say that all is well
	}
	_ = c.Close()
}
