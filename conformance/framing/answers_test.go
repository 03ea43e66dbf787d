package framing

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"postern/conformance/gateway"
	"postern/conformance/origin"
)

const answerDocument = `
postern: 1
listeners:
  - name: plain
    address: %[1]s
    timeouts: {header: 5s, body: 5s, write: 5s, idle: 5s}
upstreams:
  origin:
    targets: [{url: "http://%[2]s"}]
    retry: {attempts: 1}
    passive: {failures: 1000000}
    timeouts: {first_byte: 1s, read: 1s, idle: 30s}
apis:
  - name: open
    versions:
      - version: v1
        upstream: origin
        subscription: none
        authn: {none: true}
        operations:
          - {name: open, method: "*", path: "/open/{rest...}"}
`

// ask sends one request on a connection of its own.
func ask(address, method, path string) (Answer, error) {
	nc, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return Answer{}, err
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(patience))
	if _, err := fmt.Fprintf(nc, "%s %s HTTP/1.1\r\nHost: gw.test\r\nConnection: close\r\n\r\n", method, path); err != nil {
		return Answer{}, err
	}
	in := bufio.NewReader(nc)
	a, err := readAnswer(in, method == "HEAD")
	if err != nil {
		return a, err
	}
	rest, _ := io.ReadAll(in)
	if len(rest) > 0 {
		return a, fmt.Errorf("%.100q behind the answer", rest)
	}
	return a, nil
}

func TestAnswers(t *testing.T) {
	replies, err := LoadReplies()
	if err != nil {
		t.Fatal(err)
	}
	for _, engine := range []string{"fast", "standard"} {
		t.Run(engine, func(t *testing.T) {
			actor := origin.NewActor(t)
			address := gateway.FreeAddress(t)
			document := strings.Replace(answerDocument, "address: %[1]s", "address: %[1]s\n    engine: "+engine, 1)
			gateway.Start(t, gateway.Options{Config: fmt.Sprintf(document, address, actor.Address)})
			for i, r := range replies {
				t.Run(r.Name, func(t *testing.T) {
					path := fmt.Sprintf("/open/case/%d", i)
					actor.Play(path, origin.Script{Segments: r.Segments, End: r.End})
					a, err := ask(address, r.Method, path)
					for _, w := range JudgeReply(r, a, err) {
						t.Errorf("%s\n  the origin sends %.300q\n  - %s", r.Why, strings.Join(r.Segments, "---"), w)
					}
					// Whatever is left over must be nobody's answer. What comes before the next request is sent can be told from its
					// answer, what comes later cannot by anybody: so late segments are let arrive first.
					time.Sleep(time.Duration(len(r.Segments)-1) * 100 * time.Millisecond)
					for n := range 2 {
						next := fmt.Sprintf("/open/next/%d/%d", i, n)
						a, err := ask(address, "GET", next)
						if err != nil || !echoes(a, next) {
							t.Errorf("%s\n  the next request got another's answer: %v %d %.200q", r.Why, err, a.Status, a.Body)
						}
					}
				})
			}
			t.Logf("%d answers", len(replies))
		})
	}
}
