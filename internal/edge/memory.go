package edge

import "sync"

// Request bodies that a gate looks into are collected in pooled buffers of a few sizes. Larger ones are left to the garbage
// collector, so that a burst of huge prompts does not stay in memory.
var memorySizes = [...]int{4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20}

var memory [len(memorySizes)]sync.Pool

// takeMemory returns an empty slice with room for at least n bytes.
func takeMemory(n int) []byte {
	for i, size := range memorySizes {
		if n <= size {
			if p, ok := memory[i].Get().(*[]byte); ok {
				return (*p)[:0]
			}
			return make([]byte, 0, size)
		}
	}
	return make([]byte, 0, n)
}

// giveMemory returns a slice to its pool. Nobody may hold a view of it any more.
func giveMemory(b []byte) {
	for i, size := range memorySizes {
		if cap(b) == size {
			b = b[:0]
			memory[i].Put(&b)
			return
		}
	}
}
