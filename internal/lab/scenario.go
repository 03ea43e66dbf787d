package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
	yaml "go.yaml.in/yaml/v4"

	"postern/internal/counter"
	"postern/internal/directory"
	"postern/internal/gate"
	"postern/internal/policy"
	"postern/internal/reqtext"
	"postern/internal/snapshot"
)

// scenarioFiles are the files that an archive of scenarios/ may have and this reader understands; scenarios/README.md says
// what they mean.
type scenarioFiles struct {
	config, request string
	people          PeopleFile
	now             time.Time
	from            netip.Addr
	earlier         int
	upstreams       map[string]upstreamFile
	outage          []string
	trace, response string
}

type upstreamFile struct {
	Targets     int       `yaml:"targets"`
	Healthy     int       `yaml:"healthy"`
	CircuitOpen bool      `yaml:"circuit_open"`
	Until       time.Time `yaml:"until"`
	Credential  string    `yaml:"credential"`
}

func readScenario(src []byte) (s scenarioFiles, err error) {
	s.now = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	for _, f := range txtar.Parse(src).Files {
		text := strings.TrimSpace(string(f.Data))
		switch f.Name {
		case "config.yaml":
			s.config = string(f.Data)
		case "directory.yaml":
			err = yaml.Load(f.Data, &s.people, yaml.WithKnownFields())
		case "upstreams.yaml":
			err = yaml.Load(f.Data, &s.upstreams, yaml.WithKnownFields())
		case "now":
			s.now, err = time.Parse(time.RFC3339, text)
		case "request":
			s.request = string(f.Data)
		case "from":
			s.from, err = netip.ParseAddr(text)
		case "earlier":
			s.earlier, err = strconv.Atoi(text)
		case "outage":
			s.outage = strings.Fields(text)
		case "trace":
			s.trace = string(f.Data)
		case "response":
			s.response = string(f.Data)
		case "fixes":
		default:
			err = errors.New("this reader does not know such a file")
		}
		if err != nil {
			return s, fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	if s.config == "" || s.request == "" {
		return s, errors.New("a scenario has config.yaml and request")
	}
	return s, nil
}

// RunScenario runs an archive as scenarios/ holds them: one request, and what every gate says about it.
func RunScenario(ctx context.Context, name string, src []byte) (TestReport, error) {
	begun := time.Now()
	s, err := readScenario(src)
	if err != nil {
		return TestReport{}, fmt.Errorf("%s: %w", name, err)
	}
	r := TestResult{Name: name, Want: firstLine(s.response), Line: 0}
	result, err := s.play(ctx)
	if err != nil {
		return TestReport{}, fmt.Errorf("%s: %w", name, err)
	}
	var trace strings.Builder
	if err := result.WriteText(&trace, false); err != nil {
		return TestReport{}, err
	}
	response := ""
	if t := result.Told; t != nil {
		response = fmt.Sprintf("%d %s\n%s\n%s\n", t.Status, t.Reason, t.Detail, strings.Join(t.Remedies, "\n"))
	}
	r.Got = got(result)
	if s.response == "" {
		r.Want = "what the trace says"
	}
	switch {
	case s.trace != "" && trace.String() != s.trace:
		r.Problem = "the gates say something else: " + difference(s.trace, trace.String())
	case s.response != "" && response != s.response:
		r.Problem = "the caller is told something else: " + difference(s.response, response)
	}
	if r.Passed = r.Problem == ""; !r.Passed {
		r.Trace = trace.String()
	}
	r.Took = time.Since(begun)
	return TestReport{File: name, Results: []TestResult{r}, Took: r.Took}, nil
}

func firstLine(s string) string { line, _, _ := strings.Cut(s, "\n"); return line }

// difference is the first line that differs.
func difference(want, got string) string {
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(a), len(b)) {
		var x, y string
		if i < len(a) {
			x = a[i]
		}
		if i < len(b) {
			y = b[i]
		}
		if x != y {
			return fmt.Sprintf("line %d: want %q, got %q", i+1, strings.TrimSpace(x), strings.TrimSpace(y))
		}
	}
	return "nothing"
}

func (s *scenarioFiles) play(ctx context.Context) (r Result, err error) {
	doc, err := policy.Parse("config.yaml", []byte(s.config))
	if err != nil {
		return r, err
	}
	snap, err := snapshot.Compile(doc, 1, snapshot.Deps{Secret: scenarioSecret, Upstream: func(name string) (gate.Upstream, bool) {
		_, known := doc.Upstreams[name]
		is := gate.UpstreamState{Targets: 1, Healthy: 1}
		if u, ok := s.upstreams[name]; ok {
			is = gate.UpstreamState{Targets: u.Targets, Healthy: u.Healthy, CircuitOpen: u.CircuitOpen, Until: u.Until, CredentialError: u.Credential}
		}
		return presumed{name, is}, known
	}})
	if err != nil {
		return r, err
	}
	all, err := reqtext.Parse([]byte(s.request), "")
	if err != nil {
		return r, err
	}
	if len(all) != 1 {
		return r, fmt.Errorf("a scenario has one request, and this has %d", len(all))
	}
	req := all[0]
	req.Client = s.from
	env := &gate.Env{Now: func() time.Time { return s.now }, Directory: s.people.memory(), Counters: counter.New(counter.Options{})}
	for _, o := range s.outage {
		switch o {
		case "directory":
			env.Directory = brokenDirectory{}
		case "counters":
			env.Counters = brokenCounters{}
		}
	}
	for range s.earlier {
		x, err := Exchange(req)
		if err != nil {
			return r, err
		}
		if !x.Peer.IsValid() {
			x.Peer = netip.MustParseAddrPort("127.0.0.1:40000")
		}
		x.Env = env
		snap.Judge(ctx, x, gate.StopAtFirst)
	}
	return Simulate(ctx, snap, env, req), nil
}

// scenarioSecret gives every variable of the environment a value, the same on every machine.
func scenarioSecret(ref string) (string, error) {
	return policy.Resolve(ref, func(name string) (string, bool) { return "a scenario's value of " + name + ", long enough", true }, os.ReadFile)
}

// brokenDirectory fails as the tests of the outage say.
type brokenDirectory struct{}

var errIndex = errors.New("the index is not loaded")

func (brokenDirectory) Key(*[32]byte, *directory.Key) (bool, error) { return false, errIndex }
func (brokenDirectory) Application(string, *directory.Application) (bool, error) {
	return false, errIndex
}
func (brokenDirectory) Tenant(string, *directory.Tenant) (bool, error) { return false, errIndex }
func (brokenDirectory) Subscription(_, _, _ string, _ *directory.Subscription) (bool, error) {
	return false, errIndex
}

type brokenCounters struct{}

var errOutage = errors.New("the counters do not answer")

func (brokenCounters) Take(context.Context, time.Time, []gate.Take) (int, error) {
	return -1, errOutage
}
func (brokenCounters) Return(context.Context, time.Time, []gate.Take) {}
func (b brokenCounters) Dry() gate.Counters                           { return b }
