package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// scenario is one comparison. Variants of a system differ in the path they are asked for.
type scenario struct {
	name, title string
	variants    []variant
	per         int // what a request is divided by: 1, or the events of a stream
	unit        string
	pace        time.Duration // between two requests of a connection; 0: closed loop
	connections int           // 0: as the option says
}

// variant is a system with what it does in this scenario. The first of a scenario is the base of all ratios.
type variant struct {
	system, does string
	path, model  string
}

const lowRate = 2000 // requests a second at a fixed rate

var scenarios = []scenario{
	{name: "plain", title: "Plain proxy: POST 512 B JSON, 200 with 256 B", per: 1, unit: "request", variants: []variant{
		{"nginx", "proxy", "/plain/x", ""},
		{"nginx", "proxy + access log", "/logged/x", ""},
		{"HAProxy", "proxy", "/plain/x", ""},
		{"Go net/http + ReverseProxy", "proxy", "/plain/x", ""},
		{"Postern", "proxy + decision record", "/plain/x", ""},
	}},
	{name: "guarded", title: "Guarded: the same with key, role, rate limit and record", per: 1, unit: "request", variants: []variant{
		{"nginx", "proxy + access log (the target)", "/logged/x", ""},
		{"nginx", "key map + limit_req + log", "/guarded/x", ""},
		{"HAProxy", "key map + stick table + log", "/guarded/x", ""},
		{"Go net/http + ReverseProxy", "proxy only", "/plain/x", ""},
		{"Postern", "key + role + rate + record", "/guarded/x", ""},
	}},
	{name: "latency", title: fmt.Sprintf("Guarded at a fixed %d requests a second", lowRate), per: 1, unit: "request", pace: 64 * time.Second / lowRate, connections: 64, variants: []variant{
		{"nginx", "key map + limit_req + log", "/guarded/x", ""},
		{"HAProxy", "key map + stick table + log", "/guarded/x", ""},
		{"Go net/http + ReverseProxy", "proxy only", "/plain/x", ""},
		{"Postern", "key + role + rate + record", "/guarded/x", ""},
	}},
	{name: "completion", title: "Chat completion, same dialect", per: 1, unit: "request", variants: []variant{
		{"nginx", "proxy, buffering off", "/chat/x", ""},
		{"HAProxy", "proxy", "/chat/x", ""},
		{"Go net/http + ReverseProxy", "proxy", "/chat/x", ""},
		{"Postern", "key, role, limit, usage, cost", "/v1/chat/completions", "bench-chat"},
	}},
	{name: "stream", title: fmt.Sprintf("Stream of %d chunks in a burst", chunks), per: chunks, unit: "chunk", variants: []variant{
		{"nginx", "proxy, buffering off", "/stream/x", ""},
		{"HAProxy", "proxy", "/stream/x", ""},
		{"Go net/http + ReverseProxy", "proxy", "/stream/x", ""},
		{"Postern", "key, role, limit, usage, cost", "/v1/chat/completions", "bench-stream"},
	}},
	{name: "paced", title: fmt.Sprintf("Stream of %d chunks, 5 ms apart", pacedChunks), per: pacedChunks, unit: "chunk", variants: []variant{
		{"nginx", "proxy, buffering off", "/paced/x", ""},
		{"HAProxy", "proxy", "/paced/x", ""},
		{"Go net/http + ReverseProxy", "proxy", "/paced/x", ""},
		{"Postern", "key, role, limit, usage, cost", "/v1/chat/completions", "bench-paced"},
	}},
}

// request builds the bytes a connection sends over and over.
func (v variant) request(key string) []byte {
	body := `{"item":"espresso beans","qty":2,"note":"` + strings.Repeat("n", 512-44) + `"}`
	if v.model != "" || strings.HasPrefix(v.path, "/chat") || strings.HasPrefix(v.path, "/stream") || strings.HasPrefix(v.path, "/paced") {
		stream := v.model != "bench-chat" && !strings.HasPrefix(v.path, "/chat")
		body = fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":%q}],"stream":%v}`, v.model, strings.Repeat("tell me a story ", 40), stream)
	}
	return []byte(fmt.Sprintf("POST %s HTTP/1.1\r\nHost: bench.local\r\nUser-Agent: bench/1\r\nAccept: */*\r\nX-API-Key: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", v.path, key, len(body), body))
}

type samples struct{ cpu, rate, ratio, p50, p99, first []float64 }

func (s scenario) compare(ctx context.Context, all []*system, o *origin, opt options) error {
	fmt.Printf("\n%s\n", s.title)
	connections := opt.connections
	if s.connections > 0 {
		connections = s.connections
	}
	results := make([]samples, len(s.variants)+1) // the last is the origin asked directly
	for round := range opt.rounds + 1 {           // the first round warms up and is not counted
		var base float64
		for i, v := range s.variants {
			sys := find(all, v.system)
			if sys == nil || !opt.wants(opt.systems, v.system) && v.system != before {
				continue
			}
			l := load{address: sys.address, pace: s.pace}
			for _, k := range sys.keys[:min(len(sys.keys), connections)] {
				l.requests = append(l.requests, v.request(k))
			}
			pids := sys.pids()
			before, err := cpuTime(pids)
			if err != nil {
				return err
			}
			start := time.Now()
			m, err := l.run(ctx, connections, opt.round)
			if err != nil {
				return fmt.Errorf("%s (%s): %w", v.system, v.does, err)
			}
			took := time.Since(start)
			after, err := cpuTime(pids)
			if err != nil {
				return err
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			cpu := float64((after - before).Nanoseconds()) / 1000 / float64(m.requests*s.per)
			if i == 0 {
				base = cpu
			}
			if round > 0 {
				results[i].add(m, cpu, base, took)
			}
		}
		direct := load{address: o.address, pace: s.pace, requests: [][]byte{s.variants[0].request("none")}}
		m, err := direct.run(ctx, connections, opt.round/3)
		if err != nil {
			return fmt.Errorf("origin: %w", err)
		}
		if round > 0 {
			results[len(s.variants)].add(m, 0, 1, opt.round/3)
		}
	}
	s.print(results)
	return nil
}

func (r *samples) add(m measured, cpu, base float64, took time.Duration) {
	us := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }
	r.cpu = append(r.cpu, cpu)
	r.ratio = append(r.ratio, cpu/base)
	r.rate = append(r.rate, float64(m.requests)/took.Seconds())
	r.p50 = append(r.p50, us(percentile(m.latencies, 0.5)))
	r.p99 = append(r.p99, us(percentile(m.latencies, 0.99)))
	r.first = append(r.first, us(percentile(m.first, 0.5)))
}

func (s scenario) print(results []samples) {
	fmt.Printf("  %-28s %-33s %12s %8s %10s %11s %11s %13s\n", "system", "does", "CPU µs/"+s.unit, "× first", "requests/s", "p50 added", "p99 added", "first byte +")
	direct := results[len(results)-1]
	for i, v := range s.variants {
		r := results[i]
		if len(r.cpu) == 0 {
			continue
		}
		fmt.Printf("  %-28s %-33s %12.2f %8.2f %10.0f %9.0fµs %9.0fµs %11.0fµs\n", v.system, v.does, median(r.cpu), median(r.ratio), median(r.rate),
			median(r.p50)-median(direct.p50), median(r.p99)-median(direct.p99), median(r.first)-median(direct.first))
	}
}

// before is the name of a second Postern, usually an older one.
const before = "Postern before"

// addBefore lets the second Postern do what the first does.
func (s *scenario) addBefore() {
	for _, v := range slices.Clone(s.variants) {
		if v.system == "Postern" {
			v.system = before
			s.variants = append(s.variants, v)
		}
	}
}

func find(all []*system, name string) *system {
	for _, s := range all {
		if s.name == name {
			return s
		}
	}
	return nil
}
