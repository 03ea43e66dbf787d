//go:build race

package http1

// poison makes released buffers unreadable in race-enabled builds, so that tests find views that outlive their message.
const poison = true
