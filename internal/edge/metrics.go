package edge

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"postern/internal/decision"
	"postern/internal/gate"
)

// shardCount spreads the counters of concurrent requests over cache lines.
const shardCount = 16

var (
	latencyBounds = [...]time.Duration{
		time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
		100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2500 * time.Millisecond, 5 * time.Second,
		10 * time.Second, 30 * time.Second, 60 * time.Second,
	}
	reasons     = decision.Catalogue()
	reasonIndex = func() map[*decision.Reason]int {
		m := make(map[*decision.Reason]int, len(reasons))
		for i, r := range reasons {
			m[r] = i
		}
		return m
	}()
	statusClasses = [...]string{"none", "1xx", "2xx", "3xx", "4xx", "5xx"}
	origins       = [...]gate.Origin{gate.FromGateway, gate.FromUpstream, gate.FromUnreachable}
)

// shard is one share of the counters. All of them are sums, so that reading them needs no lock.
type shard struct {
	inFlight    atomic.Int64
	connections atomic.Int64
	accepted    atomic.Int64
	bytesIn     atomic.Int64
	bytesOut    atomic.Int64
	truncated   atomic.Int64
	answers     [len(statusClasses)][len(origins)]atomic.Int64
	refusals    []atomic.Int64 // by place in the catalogue, a refusal nobody catalogued last
	latency     [len(latencyBounds) + 1]atomic.Int64
	latencySum  atomic.Int64
	_           [64]byte
}

// observe counts a finished exchange.
func (s *shard) observe(x *gate.Exchange) {
	s.answers[classOf(x.Result.Status)][originIndex(x.Result.Origin)].Add(1)
	if o := x.Verdict.Outcome(); o == decision.OutcomeRefuse || o == decision.OutcomeAbstain {
		i, ok := reasonIndex[x.Verdict.Reason()]
		if !ok {
			i = len(reasons)
		}
		s.refusals[i].Add(1)
	}
	if x.Result.BytesIn > 0 {
		s.bytesIn.Add(x.Result.BytesIn)
	}
	if x.Result.BytesOut > 0 {
		s.bytesOut.Add(x.Result.BytesOut)
	}
	if x.Result.Truncated {
		s.truncated.Add(1)
	}
	i := 0
	for i < len(latencyBounds) && x.Result.Done > latencyBounds[i] {
		i++
	}
	s.latency[i].Add(1)
	s.latencySum.Add(int64(x.Result.Done))
}

func classOf(status int) int {
	if status < 100 || status > 599 {
		return 0
	}
	return status / 100
}

func originIndex(o gate.Origin) int {
	switch o {
	case gate.FromUpstream:
		return 1
	case gate.FromUnreachable:
		return 2
	}
	return 0
}

var (
	answersDesc     = prometheus.NewDesc("postern_requests_total", "Finished requests by class of the status sent (none: nobody was left to answer) and by who spoke: gateway, upstream or unreachable.", []string{"status", "origin"}, nil)
	refusalsDesc    = prometheus.NewDesc("postern_refusals_total", "Refused or failed requests by gate and reason code.", []string{"gate", "reason"}, nil)
	inFlightDesc    = prometheus.NewDesc("postern_requests_in_flight", "Requests in progress.", nil, nil)
	connectionsDesc = prometheus.NewDesc("postern_connections", "Open client connections.", nil, nil)
	acceptedDesc    = prometheus.NewDesc("postern_connections_accepted_total", "Accepted client connections.", nil, nil)
	rejectedDesc    = prometheus.NewDesc("postern_connections_rejected_total", "Client connections closed at once, by cause.", []string{"cause"}, nil)
	bytesInDesc     = prometheus.NewDesc("postern_request_body_bytes_total", "Bytes of request bodies received.", nil, nil)
	bytesOutDesc    = prometheus.NewDesc("postern_response_body_bytes_total", "Bytes of answer bodies sent.", nil, nil)
	truncatedDesc   = prometheus.NewDesc("postern_truncated_answers_total", "Answers that broke off after they had begun.", nil, nil)
	latencyDesc     = prometheus.NewDesc("postern_request_duration_seconds", "Time from the first byte of a request to the end of its answer.", nil, nil)
)

// Describe implements prometheus.Collector.
func (s *Server) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{answersDesc, refusalsDesc, inFlightDesc, connectionsDesc, acceptedDesc, rejectedDesc, bytesInDesc, bytesOutDesc, truncatedDesc, latencyDesc} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (s *Server) Collect(ch chan<- prometheus.Metric) {
	sum := func(f func(*shard) *atomic.Int64) float64 {
		var n int64
		for i := range s.shards {
			n += f(&s.shards[i]).Load()
		}
		return float64(n)
	}
	put := func(d *prometheus.Desc, t prometheus.ValueType, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, t, v, labels...)
	}
	for c, class := range statusClasses {
		for o, origin := range origins {
			if n := sum(func(s *shard) *atomic.Int64 { return &s.answers[c][o] }); n > 0 {
				put(answersDesc, prometheus.CounterValue, n, class, string(origin))
			}
		}
	}
	for i := 0; i <= len(reasons); i++ {
		if n := sum(func(s *shard) *atomic.Int64 { return &s.refusals[i] }); n > 0 {
			gateName, code := "policy", "uncatalogued"
			if i < len(reasons) {
				gateName, code = reasons[i].Gate, reasons[i].Code
			}
			put(refusalsDesc, prometheus.CounterValue, n, gateName, code)
		}
	}
	put(inFlightDesc, prometheus.GaugeValue, sum(func(s *shard) *atomic.Int64 { return &s.inFlight }))
	put(connectionsDesc, prometheus.GaugeValue, sum(func(s *shard) *atomic.Int64 { return &s.connections }))
	put(acceptedDesc, prometheus.CounterValue, sum(func(s *shard) *atomic.Int64 { return &s.accepted }))
	put(rejectedDesc, prometheus.CounterValue, float64(s.rejected.limit.Load()), "limit")
	put(rejectedDesc, prometheus.CounterValue, float64(s.rejected.proxy.Load()), "proxy_protocol")
	put(rejectedDesc, prometheus.CounterValue, float64(s.rejected.tls.Load()), "tls_handshake")
	put(bytesInDesc, prometheus.CounterValue, sum(func(s *shard) *atomic.Int64 { return &s.bytesIn }))
	put(bytesOutDesc, prometheus.CounterValue, sum(func(s *shard) *atomic.Int64 { return &s.bytesOut }))
	put(truncatedDesc, prometheus.CounterValue, sum(func(s *shard) *atomic.Int64 { return &s.truncated }))

	buckets, count := make(map[float64]uint64, len(latencyBounds)), uint64(0)
	for i, bound := range latencyBounds {
		count += uint64(sum(func(s *shard) *atomic.Int64 { return &s.latency[i] }))
		buckets[bound.Seconds()] = count
	}
	count += uint64(sum(func(s *shard) *atomic.Int64 { return &s.latency[len(latencyBounds)] }))
	total := sum(func(s *shard) *atomic.Int64 { return &s.latencySum }) / float64(time.Second)
	ch <- prometheus.MustNewConstHistogram(latencyDesc, count, total, buckets)
}

// rejections counts connections that never became a request.
type rejections struct{ limit, proxy, tls atomic.Int64 }
