package gate

import (
	"context"
	"errors"
	"time"
)

// Asker asks other systems what a decision needs: who owns a resource, what a decision point says. It bounds time, size and
// how many are asked at once, and remembers answers as long as a question allows.
type Asker interface {
	// Ask returns what the system answered, whatever the status. An error means that the answer is not known, which is never a
	// denial; ErrNotRemembered that nothing was asked.
	Ask(ctx context.Context, q *Question) (Said, error)
}

// ErrNotRemembered says that an answer is not in memory, and that nothing else was to be tried.
var ErrNotRemembered = errors.New("the answer is not in memory, and nothing is sent to find out")

// Question is one thing to be asked by HTTP.
type Question struct {
	Method, URL string
	Body        []byte // JSON; nil: none
	// Authorization is the value of that field, by reference (${env:NAME}, ${file:PATH}); empty: none is sent.
	Authorization string
	Timeout       time.Duration
	Remember      time.Duration // how long the answer may be used again; 0: not at all
	// Remembered asks the memory only: nothing is sent.
	Remembered bool
}

// Said is an answer. The bytes are shared and never change.
type Said struct {
	Status int
	Body   []byte
}
