package edge

import (
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"

	"postern/internal/gate"
)

// limitedLog writes at most a few lines a second, so that a flood of faults does not become a flood of log lines. What was
// left out is counted and said with the next line.
type limitedLog struct {
	*slog.Logger
	second  atomic.Int64
	lines   atomic.Int64
	skipped atomic.Int64
}

const linesPerSecond = 10

func (l *limitedLog) warn(msg string, args ...any) {
	second := int64(mono() / time.Second)
	if old := l.second.Load(); old != second && l.second.CompareAndSwap(old, second) {
		l.lines.Store(0)
	}
	if l.lines.Add(1) > linesPerSecond {
		l.skipped.Add(1)
		return
	}
	if n := l.skipped.Swap(0); n > 0 {
		args = append(args, "skipped_lines", n)
	}
	l.Warn(msg, args...)
}

// panicked reports a defect of Postern. These lines are not limited: each is one to repair.
func (l *limitedLog) panicked(x *gate.Exchange, p any) {
	trace := ""
	if x != nil {
		trace = x.ID.String()
	}
	l.Error("a defect in Postern ended a request; please report it", "trace", trace, "panic", p, "stack", string(debug.Stack()))
}
