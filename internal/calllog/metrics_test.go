package calllog

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestEveryDropIsShown(t *testing.T) {
	l := &Log{}
	l.stats.written.Store(7)
	l.stats.droppedAllowed.Store(3)
	l.stats.droppedRefused.Store(2)
	l.stats.lost.Store(1)
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(l)
	want := `
# HELP postern_records_dropped_total Call records that were not kept, by cause: the queue was full (for allowed calls, or also for refusals), or the store failed for too long.
# TYPE postern_records_dropped_total counter
postern_records_dropped_total{cause="full_allowed"} 3
postern_records_dropped_total{cause="full_refused"} 2
postern_records_dropped_total{cause="store"} 1
# HELP postern_records_written_total Call records written.
# TYPE postern_records_written_total counter
postern_records_written_total 7
`
	if err := testutil.GatherAndCompare(r, strings.NewReader(want), "postern_records_dropped_total", "postern_records_written_total"); err != nil {
		t.Error(err)
	}
}
