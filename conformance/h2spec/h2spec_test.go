package h2spec

import (
	"crypto/tls"
	"encoding/xml"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"postern/conformance/gateway"
)

const document = `
postern: 1
listeners:
  - name: secure
    address: %[1]s
    tls: {certificates: [{cert: "%[4]s", key: "%[5]s"}]}
    strict_sni: false
  - name: plain
    address: %[2]s
    h2c: true
upstreams:
  origin:
    targets: [{url: "http://%[3]s"}]
apis:
  - name: open
    versions:
      - version: v1
        upstream: origin
        subscription: none
        authn: {none: true}
        operations:
          - {name: root, method: "*", path: /}
          - {name: rest, method: "*", path: "/{rest...}"}
`

// report is the part of a JUnit report that counts.
type report struct {
	Suites []struct {
		Name  string `xml:"package,attr"`
		Cases []struct {
			Name    string    `xml:"classname,attr"`
			Package string    `xml:"package,attr"`
			Failure *struct{} `xml:"failure"`
			Error   *struct{} `xml:"error"`
			Skipped *struct{} `xml:"skipped"`
		} `xml:"testcase"`
	} `xml:"testsuite"`
}

// result is a run: which cases passed, failed and were skipped.
type result struct{ passed, failed, skipped []string }

func (r result) String() string {
	return fmt.Sprintf("%d cases: %d passed, %d failed, %d skipped", len(r.passed)+len(r.failed)+len(r.skipped), len(r.passed), len(r.failed), len(r.skipped))
}

// tool builds h2spec once: the module pins its version and checks its sum.
func tool(t *testing.T) string {
	bin := filepath.Join(t.TempDir(), "h2spec")
	out, err := exec.Command("go", "build", "-o", bin, "github.com/summerwind/h2spec/cmd/h2spec").CombinedOutput()
	if err != nil {
		t.Fatalf("build h2spec: %v\n%s", err, out)
	}
	return bin
}

func run(t *testing.T, bin, address string, secure bool) result {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "report.xml")
	args := []string{"-h", host, "-p", port, "-S", "-o", "2", "-j", file}
	if secure {
		args = append(args, "-t", "-k")
	}
	out, _ := exec.Command(bin, args...).CombinedOutput() // it ends with 1 when a case fails; the report says which
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("h2spec wrote no report: %v\n%s", err, out)
	}
	var rep report
	if err := xml.Unmarshal(src, &rep); err != nil {
		t.Fatal(err)
	}
	var r result
	for _, s := range rep.Suites {
		for _, c := range s.Cases {
			name := s.Name + ": " + c.Name
			switch {
			case c.Failure != nil || c.Error != nil:
				r.failed = append(r.failed, name)
			case c.Skipped != nil:
				r.skipped = append(r.skipped, name)
			default:
				r.passed = append(r.passed, name)
			}
		}
	}
	sort.Strings(r.failed)
	if len(r.passed)+len(r.failed)+len(r.skipped) < 140 {
		t.Fatalf("h2spec ran %v, want about 147\n%s", r, out)
	}
	return r
}

// answer is what the origin and Go's own server serve.
var answer = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain")
	_, _ = w.Write([]byte("hello, h2spec\n"))
})

func serve(t *testing.T, s *http.Server) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Handler, s.ReadHeaderTimeout, s.ErrorLog = answer, 10*time.Second, log.New(io.Discard, "", 0)
	go func() {
		if s.TLSConfig != nil {
			_ = s.ServeTLS(l, "", "")
		} else {
			_ = s.Serve(l)
		}
	}()
	t.Cleanup(func() { _ = s.Close() })
	return l.Addr().String()
}

func TestH2Spec(t *testing.T) {
	bin := tool(t)
	cert := gateway.NewCertificate(t)
	secure, plain := gateway.FreeAddress(t), gateway.FreeAddress(t)
	origin := serve(t, &http.Server{})
	gateway.Start(t, gateway.Options{Config: fmt.Sprintf(document, secure, plain, origin, cert.CertFile, cert.KeyFile)})

	var h2c http.Protocols
	h2c.SetUnencryptedHTTP2(true)
	h2c.SetHTTP1(true)
	goSecure := serve(t, &http.Server{TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert.Pair}, NextProtos: []string{"h2", "http/1.1"}}})
	goPlain := serve(t, &http.Server{Protocols: &h2c})

	for _, c := range []struct {
		name, postern, golang string
		secure                bool
	}{{"TLS", secure, goSecure, true}, {"h2c", plain, goPlain, false}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel() // most of a run is waiting for what must not come
			ours, theirs := run(t, bin, c.postern, c.secure), run(t, bin, c.golang, c.secure)
			t.Logf("Postern: %v; Go's own server: %v", ours, theirs)
			for _, f := range theirs.failed {
				t.Logf("Go's own server fails: %s", f)
			}
			for _, f := range ours.failed {
				t.Logf("Postern fails: %s", f)
				if slices.Contains(theirs.failed, f) {
					continue
				}
				// A case that waits for time may fail once on a busy machine: it has to fail twice.
				if again := run(t, bin, c.postern, c.secure); slices.Contains(again.failed, f) {
					t.Errorf("Postern fails what Go's own server passes: %s", f)
				}
			}
			if len(ours.passed) < len(theirs.passed) {
				t.Logf("what only Go's own server passes: %s", strings.Join(difference(theirs.passed, ours.passed), "; "))
			}
		})
	}
}

func difference(a, b []string) (out []string) {
	for _, x := range a {
		if !slices.Contains(b, x) {
			out = append(out, x)
		}
	}
	return out
}
