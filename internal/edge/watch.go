package edge

import (
	"sync"
	"sync/atomic"

	"postern/internal/forward"
)

// watch connects the caller's presence with what is waited for upstream.
type watch struct {
	mu      sync.Mutex
	watched forward.Deadliner
	gone    atomic.Bool
}

// Watch implements forward.Sink.
func (w *watch) Watch(c forward.Deadliner) {
	w.mu.Lock()
	w.watched = c
	if c != nil && w.gone.Load() {
		wake(c)
	}
	w.mu.Unlock()
}

// Gone implements forward.Sink.
func (w *watch) Gone() bool { return w.gone.Load() }

// leave notes that the caller is gone and ends the wait for the upstream.
func (w *watch) leave() {
	w.mu.Lock()
	w.gone.Store(true)
	if w.watched != nil {
		wake(w.watched)
	}
	w.mu.Unlock()
}
