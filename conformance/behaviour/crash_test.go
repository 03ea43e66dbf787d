package behaviour

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/conformance/gateway"
)

// TestKill: the process is killed while writes run; what was acknowledged is there afterwards, every time.
func TestKill(t *testing.T) {
	rounds := 25
	if testing.Short() {
		rounds = 5
	}
	data := filepath.Join(t.TempDir(), "data")
	w := &world{plain: gateway.FreeAddress(t), secure: gateway.FreeAddress(t), cert: gateway.NewCertificate(t)}
	config := w.document(serve(t, http.NotFoundHandler()), "")
	start := func() *gateway.Process { return gateway.Start(t, gateway.Options{Config: config, Data: data}) }
	p := start()
	m := p.Manage()
	m.Tenant("acme")
	m.Application("shop", "acme", nil, nil, "")
	seed := rand.New(rand.NewPCG(1, uint64(time.Now().UnixNano())))
	var acknowledged []string
	for round := range rounds {
		var mu sync.Mutex
		var writers sync.WaitGroup
		for writer := range 4 {
			client := p.ManageAs(m.Token()) // a Manager is for one goroutine
			writers.Go(func() {
				for n := 0; ; n++ {
					id := fmt.Sprintf("app-%d-%d-%d", round, writer, n)
					status, _, err := client.Try("POST", "/api/v1/applications", map[string]any{"id": id, "tenant": "acme"})
					if err != nil {
						return // killed
					}
					if status == http.StatusCreated {
						mu.Lock()
						acknowledged = append(acknowledged, id)
						mu.Unlock()
					}
				}
			})
		}
		time.Sleep(50*time.Millisecond + time.Duration(seed.IntN(150))*time.Millisecond)
		p.Kill()
		writers.Wait()
		p = start()
		m = p.Manage()
		var last string
		for _, id := range acknowledged[max(0, len(acknowledged)-40):] { // the newest are those in danger
			if status, b, err := m.Try("GET", "/api/v1/applications/"+id, nil); err != nil || status != http.StatusOK {
				t.Fatalf("round %d: %s was acknowledged, and is gone: %d %v %s", round, id, status, err, b)
			}
			last = id
		}
		// The audit trail is written in the same transaction.
		if _, b, _ := m.Try("GET", "/api/v1/audit?limit=1000", nil); last != "" && !strings.Contains(string(b), "application/"+last) {
			t.Errorf("round %d: %s has no line in the audit trail", round, last)
		}
	}
	for _, id := range acknowledged {
		if status, _, err := m.Try("GET", "/api/v1/applications/"+id, nil); err != nil || status != http.StatusOK {
			t.Fatalf("%s was acknowledged, and is gone: %d %v", id, status, err)
		}
	}
	if len(acknowledged) < rounds {
		t.Errorf("only %d writes were acknowledged", len(acknowledged))
	}
	t.Logf("%d acknowledged writes survived %d kills", len(acknowledged), rounds)
}

// TestStartsThatCannotSucceed: each says what is wrong, where, and what to do, and ends with an exit code that is not 0.
func TestStartsThatCannotSucceed(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	good := func() string {
		w := &world{plain: gateway.FreeAddress(t), secure: gateway.FreeAddress(t), cert: gateway.NewCertificate(t)}
		return w.document("127.0.0.1:9", "")
	}
	file := filepath.Join(t.TempDir(), "not-a-folder")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	corrupt := filepath.Join(t.TempDir(), "data")
	if err := os.MkdirAll(corrupt, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(corrupt, "postern.db"), []byte(strings.Repeat("this is no database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		start gateway.Options
		says  []string
	}{
		{"gateway port in use", gateway.Options{Config: strings.Replace(good(), "address: 127.0.0.1", "address: "+busy.Addr().String()+" #", 1)}, []string{busy.Addr().String(), "in use"}},
		{"management port in use", gateway.Options{Config: good(), Admin: busy.Addr().String()}, []string{busy.Addr().String(), "in use"}},
		{"data folder is a file", gateway.Options{Config: good(), Data: file}, []string{file}},
		{"data folder cannot be made", gateway.Options{Config: good(), Data: filepath.Join(file, "data")}, []string{file}},
		{"database is none", gateway.Options{Config: good(), Data: corrupt}, []string{"postern.db"}},
		{"unknown field", gateway.Options{Config: good() + "\nlisteners_: []\n"}, []string{"listeners_", "listeners", "postern.yaml:"}},
		{"wrong type", gateway.Options{Config: strings.Replace(good(), "h2c: true", "h2c: [yes]", 1)}, []string{"h2c", "postern.yaml:"}},
		{"dangling upstream", gateway.Options{Config: strings.Replace(good(), "upstream: backend", "upstream: bakend", 1)}, []string{"bakend", "backend", "postern.yaml:"}},
		{"two APIs on one route", gateway.Options{Config: strings.Replace(good(), "path: /orders,", "path: \"/open/{rest...}\",", 1)}, []string{"/open/", "postern.yaml:"}},
		{"no YAML", gateway.Options{Config: "postern: 1\n  listeners: ]["}, []string{"postern.yaml:"}},
		{"empty", gateway.Options{Config: ""}, []string{"postern.yaml"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := gateway.Launch(t, c.start)
			code := p.Wait()
			out := p.Output()
			if code == 0 {
				t.Errorf("exit code 0: %s", out)
			}
			for _, want := range c.says {
				if !strings.Contains(out, want) {
					t.Errorf("the message does not contain %q:\n%s", want, out)
				}
			}
			if strings.Contains(out, "goroutine ") || strings.Contains(out, "panic:") {
				t.Errorf("a crash instead of a message:\n%s", out)
			}
			t.Logf("exit code %d: %s", code, out)
		})
	}
	// Nothing of what was in the way is gone.
	if b, err := os.ReadFile(filepath.Join(corrupt, "postern.db")); err != nil || !strings.HasPrefix(string(b), "this is no database") {
		t.Errorf("the file that is no database was touched: %v", err)
	}
}

// TestMissingSecret: a reference that leads to nothing takes one upstream out, not the gateway, and the answer says whose fault it is.
func TestMissingSecret(t *testing.T) {
	w := &world{plain: gateway.FreeAddress(t), secure: gateway.FreeAddress(t), cert: gateway.NewCertificate(t)}
	config := w.document(serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("reached the backend without a credential") })), "")
	backend := `{targets: [{url: "`
	config = strings.Replace(config, "backend: "+backend, `backend: {credential: {header: X-Key, value: "${env:NOT_SET_ANYWHERE}"}, targets: [{url: "`, 1)
	p := gateway.Start(t, gateway.Options{Config: config})
	res, err := http.Get("http://" + w.plain + "/open/x")
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if status := res.Header.Get("Proxy-Status"); res.StatusCode != http.StatusServiceUnavailable || !strings.Contains(status, "upstream.credential") {
		t.Errorf("%d, Proxy-Status %q; want 503 for upstream.credential", res.StatusCode, status)
	}
	m := p.Manage()
	trace := res.Header.Get("Postern-Trace")
	m.Record(trace)
	if _, b, err := m.Try("GET", "/api/v1/records/"+trace, nil); err != nil || !strings.Contains(string(b), "NOT_SET_ANYWHERE") {
		t.Errorf("the operator is not told which reference leads to nothing: %v %s", err, b)
	}
}

// TestTwoOnOneFolder: a second process on the same data folder is refused, and the first goes on.
func TestTwoOnOneFolder(t *testing.T) {
	w := newWorld(t, http.NotFoundHandler(), "")
	second := gateway.Launch(t, gateway.Options{Config: (&world{plain: gateway.FreeAddress(t), secure: gateway.FreeAddress(t), cert: w.cert}).document("127.0.0.1:9", ""), Data: w.process.Data})
	if code := second.Wait(); code == 0 || !strings.Contains(second.Output(), w.process.Data) {
		t.Errorf("exit code %d: %s", code, second.Output())
	}
	if err := w.process.Ready(); err != nil {
		t.Errorf("the first one: %v", err)
	}
}
