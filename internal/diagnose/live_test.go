package diagnose

import (
	"os"
	"testing"
	"time"
)

// TestLive measures the diagnosis by probing, against a bed of real servers that runs on loopback. DIAGNOSE_LIVE says that
// it does; logs are not read.
func TestLive(t *testing.T) {
	if os.Getenv("DIAGNOSE_LIVE") == "" {
		t.Skip("DIAGNOSE_LIVE=1 probes the servers of the bed, when they run")
	}
	for _, mode := range []struct {
		name   string
		answer bool
	}{{"request and answer", true}, {"request alone", false}} {
		var tuned, held score
		sent, unsafe, n := 0, 0, 0
		for _, c := range cases(t) {
			if n := len(c.ID); n == 0 || c.Captured.IsZero() || c.ID > "100" { // the captures' servers are not in the bed
				continue
			}
			in := c.input(t, false)
			if !mode.answer {
				in.Answer = nil
			}
			in.Now = time.Now()
			r, err := Diagnose(t.Context(), in, &Prober{Interval: time.Millisecond, Insecure: true, Timeout: 3 * time.Second})
			if err != nil {
				t.Fatalf("%s: %v", c.Name, err)
			}
			n++
			sent += r.Probes.Sent
			unsafe += r.Probes.Unsafe
			if heldOut(c) {
				held.add(c, r)
				continue
			}
			tuned.add(c, r)
			if os.Getenv("DIAGNOSE_MISSES") != "" && (len(r.Causes) == 0 || r.Causes[0].ID != c.Cause) {
				t.Logf("%s %s: want %s/%s, got %s %s", mode.name, c.Name, c.Cause, c.Layer, r.Verdict, show(r))
			}
		}
		t.Logf("%s, tuned half: %s", mode.name, &tuned)
		t.Logf("%s, held-out half: %s", mode.name, &held)
		t.Logf("%s: %.1f requests a case, %d with an unsafe method", mode.name, float64(sent)/float64(n), unsafe)
		if unsafe != 0 {
			t.Errorf("%d unsafe requests were sent without leave", unsafe)
		}
	}
}

func show(r *Report) (s string) {
	for _, k := range r.Causes[:min(3, len(r.Causes))] {
		s += k.ID + " "
	}
	for _, p := range r.Probes.Results {
		s += p.Name + "="
		s += string(rune('0'+p.Status/100)) + string(rune('0'+p.Status/10%10)) + string(rune('0'+p.Status%10)) + " "
	}
	return s
}
