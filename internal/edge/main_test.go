package edge

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain fails the run when a goroutine outlives its server. certmagic keeps one for each certificate authority it ever
// spoke to and offers no way to stop it.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/caddyserver/certmagic.(*RingBufferRateLimiter).loop"))
}
