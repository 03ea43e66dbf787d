package forward

import (
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// PoolStatus is an upstream as operators see it.
type PoolStatus struct {
	Name     string         `json:"name"`
	Circuit  string         `json:"circuit"`        // off, closed, open or half_open
	Until    time.Time      `json:"until,omitzero"` // of an open circuit
	Healthy  int            `json:"healthy"`        // targets that take calls
	Targets  []TargetStatus `json:"targets"`        // in the order of the configuration
	InFlight int64          `json:"in_flight"`      // calls now
	Protocol string         `json:"protocol"`       // auto, http1, h2 or h2c
}

// TargetStatus is one address of an upstream.
type TargetStatus struct {
	Target   string    `json:"target"`
	Healthy  bool      `json:"healthy"`
	Why      string    `json:"why,omitempty"` // why it is not: checks or ejected
	Until    time.Time `json:"until,omitzero"`
	Weight   int       `json:"weight"`
	InFlight int64     `json:"in_flight"`
	Idle     int       `json:"idle_connections"`
	Attempts int64     `json:"attempts"` // since the pool was built
	Failures int64     `json:"failures"`
	Retries  int64     `json:"retries"`
}

// Status returns every pool in service, by name.
func (p *Pools) Status() []PoolStatus {
	now := p.now()
	p.mu.Lock()
	out := make([]PoolStatus, 0, len(p.live))
	for _, l := range p.live {
		out = append(out, l.status(now))
	}
	p.mu.Unlock()
	slices.SortFunc(out, func(a, b PoolStatus) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func (p *pool) status(now time.Time) PoolStatus {
	s := PoolStatus{Name: p.name, Circuit: p.circuit.state(now), Protocol: p.protocol}
	s.Until, _ = p.circuit.isOpen(now)
	for _, t := range p.targets {
		ts := TargetStatus{
			Target: t.name + t.prefix, Healthy: t.usable(now.UnixNano()), Weight: t.weight, InFlight: t.inflight.Load(), Idle: t.idle.len(),
			Attempts: t.calls.Load(), Failures: t.faults.Load(), Retries: t.retries.Load(),
		}
		switch {
		case t.sick.Load():
			ts.Why = "checks"
		case !ts.Healthy:
			ts.Why, ts.Until = "ejected", time.Unix(0, t.ejected.Load())
		}
		if ts.Healthy {
			s.Healthy++
		}
		s.InFlight += ts.InFlight
		s.Targets = append(s.Targets, ts)
	}
	return s
}

// Metrics describes the pools to Prometheus. It reads Status when asked and costs calls nothing.
type Metrics struct{ pools *Pools }

// Collector returns the metrics of the pools.
func (p *Pools) Collector() prometheus.Collector { return Metrics{p} }

var (
	targetLabels   = []string{"upstream", "target"}
	attemptsDesc   = prometheus.NewDesc("postern_upstream_attempts_total", "Calls sent to a target, retries included.", targetLabels, nil)
	failuresDesc   = prometheus.NewDesc("postern_upstream_failures_total", "Attempts that failed: no answer, a broken one, or a failing status.", targetLabels, nil)
	retriesDesc    = prometheus.NewDesc("postern_upstream_retries_total", "Attempts that followed a failed one.", targetLabels, nil)
	inFlightDesc   = prometheus.NewDesc("postern_upstream_in_flight", "Calls now on their way.", targetLabels, nil)
	idleDesc       = prometheus.NewDesc("postern_upstream_idle_connections", "Kept HTTP/1.1 connections.", targetLabels, nil)
	healthyDesc    = prometheus.NewDesc("postern_upstream_healthy", "1 if the target takes calls.", targetLabels, nil)
	circuitDesc    = prometheus.NewDesc("postern_upstream_circuit_open", "1 while calls to the upstream are suspended.", []string{"upstream"}, nil)
	allMetricDescs = []*prometheus.Desc{attemptsDesc, failuresDesc, retriesDesc, inFlightDesc, idleDesc, healthyDesc, circuitDesc}
)

// Describe implements prometheus.Collector.
func (m Metrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range allMetricDescs {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (m Metrics) Collect(out chan<- prometheus.Metric) {
	for _, p := range m.pools.Status() {
		send := func(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
			out <- prometheus.MustNewConstMetric(d, kind, v, labels...)
		}
		send(circuitDesc, prometheus.GaugeValue, flag(p.Circuit == "open"), p.Name)
		for _, t := range p.Targets {
			send(attemptsDesc, prometheus.CounterValue, float64(t.Attempts), p.Name, t.Target)
			send(failuresDesc, prometheus.CounterValue, float64(t.Failures), p.Name, t.Target)
			send(retriesDesc, prometheus.CounterValue, float64(t.Retries), p.Name, t.Target)
			send(inFlightDesc, prometheus.GaugeValue, float64(t.InFlight), p.Name, t.Target)
			send(idleDesc, prometheus.GaugeValue, float64(t.Idle), p.Name, t.Target)
			send(healthyDesc, prometheus.GaugeValue, flag(t.Healthy), p.Name, t.Target)
		}
	}
}

func flag(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
