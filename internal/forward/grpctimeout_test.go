package forward

import (
	"math"
	"testing"
	"time"
)

func TestGRPCTimeoutIsRead(t *testing.T) {
	for text, want := range map[string]time.Duration{"200m": 200 * time.Millisecond, "1S": time.Second, "99999999H": math.MaxInt64, "5u": 5 * time.Microsecond} {
		if got, ok := grpcTimeout(text); !ok || got != want {
			t.Errorf("%q: %v, %v; want %v", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "5", "m", "-1S", "+1S", "1 S", "1s", "123456789S", "0x1S"} {
		if got, ok := grpcTimeout(text); ok {
			t.Errorf("%q is read as %v", text, got)
		}
	}
}
