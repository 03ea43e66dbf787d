package forward

import "sync"

// bodyBuffer is the size of the buffers bodies are copied through where there is no view to pass on.
const bodyBuffer = 32 << 10

var bodyBuffers = sync.Pool{New: func() any { return new([bodyBuffer]byte) }}
