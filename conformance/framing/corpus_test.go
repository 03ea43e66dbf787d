package framing

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/conformance/gateway"
	"postern/conformance/origin"
)

// document puts everything under /open and /smuggled before the origin for anybody, /orders and the private host behind a
// key, and leaves /internal unpublished. /smuggled is open so that a request that was smuggled past the gateway's
// understanding arrives, and is counted.
const document = `
postern: 1
listeners:
  - name: plain
    address: %[1]s
    engine: %[3]s
    limits: {header_bytes: 32768, header_count: 100, body_bytes: 1048576}
    timeouts: {header: 1s, body: 1s, write: 5s, idle: 5s}
upstreams:
  origin:
    targets: [{url: "http://%[2]s"}]
    host: pass
    retry: {attempts: 1}
    timeouts: {first_byte: 5s, read: 5s, idle: 30s}
apis:
  - name: open
    versions:
      - version: v1
        upstream: origin
        subscription: none
        authn: {none: true}
        operations:
          - {name: open, method: "*", path: "/open/{rest...}"}
          - {name: smuggled, method: "*", path: "/smuggled/{rest...}"}
          - {name: probe, method: GET, path: "/probe/{id}"}
  - name: orders
    versions:
      - version: v1
        upstream: origin
        operations:
          - {name: all-orders, method: "*", path: /orders}
          - {name: one-order, method: "*", path: "/orders/{id}"}
  - name: private
    versions:
      - version: v1
        upstream: origin
        hosts: [private.test]
        operations:
          - {name: private, method: "*", path: /private}
`

// guarded must not be reached by any case: none has a key.
var guarded = []string{"/orders", "/internal", "/private"}

// mostBytely bounds the cases that are also delivered byte by byte: a write is a system call.
const mostBytely = 2 << 10

func TestCorpus(t *testing.T) {
	cases, err := Load("*.txt")
	if err != nil {
		t.Fatal(err)
	}
	r := origin.NewRecorder(t)
	address := gateway.FreeAddress(t)
	gateway.Start(t, gateway.Options{Config: fmt.Sprintf(document, address, r.Address, "fast")})
	// One at a time, so that what arrives at the origin belongs to the case.
	expected := 0
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			for _, d := range []Delivery{Whole, Bytely} {
				if d == Bytely && (len(c.Bytes()) > mostBytely || waits(c)) {
					continue
				}
				expected += runCase(t, address, r, c, d)
			}
		})
	}
	judgeAll(t, r, expected)
	t.Logf("%d cases", len(cases))
}

// TestStandardEngine runs the corpus against the engine that is built on net/http. Its parser repairs much of what the
// corpus demands to be refused, and answers without our words; those expectations are not asked of it. What is asked: whatever
// it makes of a case, the origin receives whole, unambiguous messages or nothing, and nothing guarded.
func TestStandardEngine(t *testing.T) {
	cases, err := Load("*.txt")
	if err != nil {
		t.Fatal(err)
	}
	r := origin.NewRecorder(t)
	address := gateway.FreeAddress(t)
	gateway.Start(t, gateway.Options{Config: fmt.Sprintf(document, address, r.Address, "standard")})
	for _, c := range cases {
		if waits(c) {
			continue
		}
		c.End = "either"
		if _, err := Converse(address, c, Whole, ""); err != nil {
			t.Fatalf("%s: the gateway is gone: %v", c.Name, err)
		}
		seen := r.Settled(2 * time.Millisecond)
		for _, f := range seen.Faults {
			t.Errorf("%s: the origin received what can be read in two ways: %v", c.Name, f)
		}
		if seen.Open > 0 {
			t.Errorf("%s: the beginning of a request lies open at the origin: %.300q", c.Name, seen.Unfinished[0])
		}
		for _, m := range seen.Messages {
			if reading, leads := Leads(m.Target, guarded...); leads {
				t.Errorf("%s: the origin received %s %s, which can be read as %s", c.Name, m.Method, m.Target, reading)
			}
			if f := Surplus(m); len(f) > 0 {
				t.Errorf("%s: the origin received hop-by-hop fields: %v", c.Name, f)
			}
		}
	}
}

// waits reports whether a case only ends by a time limit of the gateway. Such cases are tried once: they cost a second each.
func waits(c Case) bool {
	return slices.ContainsFunc(c.Answers, func(a string) bool { return strings.Contains(a, "408") })
}

// runCase returns how many requests reached the origin by right.
func runCase(t *testing.T, address string, r *origin.Recorder, c Case, d Delivery) int {
	probe := fmt.Sprintf("GET /probe/%d HTTP/1.1\r\nHost: gw.test\r\n\r\n", time.Now().UnixNano())
	talk, err := Converse(address, c, d, probe)
	if err != nil {
		t.Fatalf("the gateway is gone: %v", err)
	}
	seen := r.Settled(4 * time.Millisecond)
	if wrong := Judge(c, d, talk, seen, probe); len(wrong) > 0 {
		t.Errorf("%s\n  sent %s: %.400q\n  - %s", c.Why, d, c.Bytes(), strings.Join(wrong, "\n  - "))
	}
	return len(seen.Messages)
}

// judgeAll looks once more at everything that ever arrived: nothing may have come late, and nothing may lead where no case
// has a right to be.
func judgeAll(t *testing.T, r *origin.Recorder, expected int) {
	if late := r.Settled(200 * time.Millisecond); late.Bytes > 0 {
		t.Errorf("%d bytes reached the origin after the case they belong to: %q %v", late.Bytes, late.Unfinished, late.Messages)
	}
	all := r.All()
	if len(all) != expected {
		t.Errorf("the origin received %d requests in all, the cases account for %d", len(all), expected)
	}
	for _, m := range all {
		if reading, leads := Leads(m.Target, guarded...); leads {
			t.Errorf("the origin received %s %s, which can be read as %s", m.Method, m.Target, reading)
		}
		if strings.HasPrefix(m.Target, "/smuggled") {
			t.Errorf("a smuggled request reached the origin: %.200q", m.Raw)
		}
	}
}
