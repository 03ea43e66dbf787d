package forward

import "time"

// Deadlines are kept as nanoseconds of the monotonic clock since this moment, so that comparing them costs nothing. They are
// the only use of real time here: what decides anything (health, circuits, records) uses gate.Env.Now.
var epoch = time.Now()

func ticks() int64 { return int64(time.Since(epoch)) }

func atTick(t int64) time.Time { return epoch.Add(time.Duration(t)) }

// slack is how much later than configured a time limit may strike, so that a busy connection's deadline is moved once in a
// while and not twice a request.
func slack(d time.Duration) time.Duration { return min(d/8, time.Second) }
