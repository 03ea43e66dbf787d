package admin

import "time"

// stamp is the present as stores keep it: UTC, to the millisecond, so that what a POST answers is what a GET reads.
func (s *Server) stamp() time.Time { return s.Now().UTC().Truncate(time.Millisecond) }

// stampOf brings a time that was sent into the same form.
func stampOf(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }
