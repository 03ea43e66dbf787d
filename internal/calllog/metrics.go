package calllog

import "github.com/prometheus/client_golang/prometheus"

var (
	queuedDesc  = prometheus.NewDesc("postern_records_queued", "Call records waiting to be written.", nil, nil)
	bytesDesc   = prometheus.NewDesc("postern_records_queued_bytes", "Memory of the call records waiting to be written.", nil, nil)
	writtenDesc = prometheus.NewDesc("postern_records_written_total", "Call records written.", nil, nil)
	droppedDesc = prometheus.NewDesc("postern_records_dropped_total", "Call records that were not kept, by cause: the queue was full (for allowed calls, or also for refusals), or the store failed for too long.", []string{"cause"}, nil)
	accessDesc  = prometheus.NewDesc("postern_access_log_dropped_total", "Lines that the access log did not take.", nil, nil)
)

// Describe implements prometheus.Collector.
func (l *Log) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{queuedDesc, bytesDesc, writtenDesc, droppedDesc, accessDesc} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (l *Log) Collect(out chan<- prometheus.Metric) {
	s := l.Stats()
	gauge := func(d *prometheus.Desc, v int64) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v))
	}
	count := func(d *prometheus.Desc, v int64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge(queuedDesc, s.Queued)
	gauge(bytesDesc, s.QueuedBytes)
	count(writtenDesc, s.Written)
	count(droppedDesc, s.DroppedAllowed, "full_allowed")
	count(droppedDesc, s.DroppedRefused, "full_refused")
	count(droppedDesc, s.Lost, "store")
	count(accessDesc, s.AccessDropped)
}
