package crs

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coreruleset/ftw-tests-schema/v2/types"
	"github.com/coreruleset/go-ftw/v2/ftwhttp"
	"github.com/coreruleset/go-ftw/v2/test"
	"github.com/rs/zerolog"

	"postern/conformance/gateway"
)

// config takes the listener's address, the origin, and more settings of bodies. The own rule switches on what the tests
// presuppose, as the rule set's own continuous integration does.
const config = `
postern: 1
listeners:
  - name: main
    address: %s
    limits: {header_bytes: 65536, header_count: 1000}
    timeouts: {body: 2s, header: 2s}
upstreams:
  origin: {targets: [{url: %q}]}
apis:
  - name: crs
    versions:
      - version: v1
        upstream: origin
        encoded_slashes: keep
        authn: {none: true}
        subscription: none
        waf:
          mode: detect
          paranoia: 4
          threshold: 1
          body: {bytes: 1048576, over: pass%s}
          time: {inspection: 1m}
          rules: |
            SecAction "id:10001,phase:1,pass,nolog,\
                setvar:tx.crs_validate_utf8_encoding=1,setvar:tx.arg_name_length=100,setvar:tx.arg_length=400,\
                setvar:tx.total_arg_length=64000,setvar:tx.max_num_args=255,setvar:tx.max_file_size=64100,\
                setvar:tx.combined_file_sizes=65535,setvar:'tx.allowed_methods=GET HEAD POST OPTIONS'"
        operations:
          - {name: any, method: "*", path: "/{rest...}"}
          - {name: root, method: "*", path: "/"}
`

// target is a gateway under test.
type target struct {
	address string
	manager *gateway.Manager
}

const (
	mediaTypeRule = 920420
	scoreRule     = 949110 // adds up what the others found; the record has its sum instead of its id
)

// seen is what became of one request.
type seen struct {
	trace  string
	status int
	rules  []int
	atDoor bool   // refused before the firewall
	fault  string // the test could not be run
}

func init() { zerolog.SetGlobalLevel(zerolog.Disabled) } // the library tells every header it writes

// TestRegression judges every test of the rule set that is about requests.
func TestRegression(t *testing.T) {
	if testing.Short() {
		t.Skip("part of `run all`: several minutes of regular expressions")
	}
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "ok")
	}))
	defer origin.Close()
	// One gateway inspects bodies of any type. Media types are the gate's own business, so the tests of the rule about
	// them go to a gateway that inspects the default types only.
	start := func(more string) *target {
		address := gateway.FreeAddress(t)
		p := gateway.Start(t, gateway.Options{Config: fmt.Sprintf(config, address, origin.URL, more)})
		return &target{address, p.Manage()}
	}
	any, typed := start(`, types: ["*/*"]`), start("")
	to := func(c *types.Test) *target {
		if c.RuleId == mediaTypeRule {
			return typed
		}
		return any
	}

	all, answers, named := load(t)
	results := make([][]seen, len(all))
	var wg sync.WaitGroup
	next := make(chan int)
	for range 3 {
		wg.Go(func() {
			for i := range next {
				for _, stage := range all[i].Stages {
					results[i] = append(results[i], send(to(&all[i]).address, test.NewInput(&stage.Input)))
				}
			}
		})
	}
	for i := range all {
		next <- i
	}
	close(next)
	wg.Wait()

	tally, stopped := map[string]int{}, []string{}
	for i, c := range all {
		verdict, why := "", ""
		for j := range c.Stages {
			s := &results[i][j]
			if s.trace != "" {
				s.read(to(&c).manager)
			}
			if verdict, why = judge(&c.Stages[j].Output, s); verdict == failed {
				break
			}
		}
		tally[verdict]++
		switch verdict {
		case failed:
			t.Errorf("%s: %s", c.IdString(), why)
		case door:
			stopped = append(stopped, c.IdString())
		}
	}
	t.Logf("refused before any rule: %s", strings.Join(stopped, " "))
	t.Logf("CRS: %d tests about requests run: %d agree, %d refused before any rule, %d failed. Not run: %d about answers, %d excluded by name",
		len(all), tally[agrees], tally[door], tally[failed], answers, named)
	if len(all) < 4000 {
		t.Errorf("only %d tests were found", len(all))
	}
	if tally[door] > len(all)/20 {
		t.Errorf("%d requests came to no rule: the run proves too little", tally[door])
	}
}

// Verdicts about a test.
const (
	agrees = "agrees"
	door   = "refused before any rule"
	failed = "failed"
)

// judge compares what was seen with what the test expects of the rules.
func judge(want *types.Output, s *seen) (verdict, why string) {
	if s.atDoor { // whatever the rules would say: nothing of it reached anything
		return door, ""
	}
	if s.fault != "" {
		return failed, s.fault
	}
	for _, id := range want.Log.ExpectIds {
		if !slices.Contains(s.rules, int(id)) {
			return failed, fmt.Sprintf("rule %d did not match, but %v (status %d)", id, s.rules, s.status)
		}
	}
	for _, id := range want.Log.NoExpectIds {
		if slices.Contains(s.rules, int(id)) {
			return failed, fmt.Sprintf("rule %d matched", id)
		}
	}
	return agrees, ""
}

// send sends the request of a stage over a connection of its own and reads the head of the answer.
func send(address string, in *test.Input) (s seen) {
	raw, err := build(in)
	if err != nil {
		return seen{fault: "the request cannot be built: " + err.Error()}
	}
	c, err := net.Dial("tcp", address)
	if err != nil {
		return seen{fault: err.Error()}
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(2 * time.Minute))
	go func() { _, _ = c.Write(raw) }()
	r := bufio.NewReader(c)
	for {
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			return seen{atDoor: true} // HTTP/0.9, or no HTTP at all
		}
		if res.StatusCode < 200 {
			continue
		}
		if s.status, s.trace = res.StatusCode, res.Header.Get("Postern-Trace"); s.trace == "" {
			s.fault = fmt.Sprintf("an answer with status %d and no trace", s.status)
		}
		return s
	}
}

func build(in *test.Input) ([]byte, error) {
	if in.EncodedRequest != "" {
		return base64.StdEncoding.DecodeString(in.EncodedRequest)
	}
	line := &ftwhttp.RequestLine{Method: in.GetMethod(), URI: in.GetURI(), Version: in.GetVersion()}
	headers := in.GetHeaders().Clone()
	complete := in.AutocompleteHeaders == nil || *in.AutocompleteHeaders
	return ftwhttp.BuildRequest(ftwhttp.NewRequest(line, headers, in.GetData(), complete))
}

// read fills in what the record of the call says: which rules matched, or who refused it before.
func (s *seen) read(m *gateway.Manager) {
	var record struct {
		Gate   string `json:"gate"`
		Reason string `json:"reason"`
		Fault  string `json:"fault"`
		Steps  []struct {
			Gate   string `json:"gate"`
			Reason string `json:"reason"`
			Facts  []struct {
				Name string `json:"name"`
				Want string `json:"want"`
				Got  string `json:"got"`
			} `json:"facts"`
		} `json:"steps"`
	}
	deadline := time.Now().Add(gateway.Patience)
	for { // records are written in batches, a little later than the answer
		status, b, err := m.Try("GET", "/api/v1/records/"+s.trace, nil)
		if err == nil && status == http.StatusOK {
			if err := json.Unmarshal(b, &record); err != nil {
				s.fault = err.Error()
				return
			}
			break
		}
		if time.Now().After(deadline) {
			s.fault = fmt.Sprintf("no record: %d %v", status, err)
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	if record.Gate == "route" || strings.HasPrefix(record.Reason, "request.") {
		s.atDoor = true
		return
	}
	for _, step := range record.Steps {
		if step.Gate != "waf" {
			continue
		}
		if step.Reason == "waf.unavailable" {
			s.fault = "the engine failed: " + record.Fault
		}
		for _, f := range step.Facts {
			switch {
			case f.Name == "score" && f.Got != "":
				s.rules = append(s.rules, scoreRule)
			case f.Name == "setting" && f.Want == "body.types":
				s.rules = append(s.rules, mediaTypeRule)
			case f.Name == "rules":
				for id := range strings.SplitSeq(f.Want, ", ") {
					n, _ := strconv.Atoi(id)
					s.rules = append(s.rules, n)
				}
			}
		}
	}
}
