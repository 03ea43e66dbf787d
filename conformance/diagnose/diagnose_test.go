package diagnose

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// recorded is a case of ../shared/diagnose.
type recorded struct {
	Name     string   `json:"name"`
	Cause    string   `json:"cause"`
	Layer    string   `json:"layer"`
	Request  string   `json:"request"`
	LogLines []string `json:"log_lines"`
	Response struct {
		Status  int         `json:"status"`
		Line    string      `json:"status_line"`
		Headers [][2]string `json:"headers"`
		Body    string      `json:"body"`
	} `json:"response"`
}

type output struct {
	Results []struct {
		Verdict string `json:"verdict"`
		Causes  []struct {
			Cause      string  `json:"cause"`
			Layer      string  `json:"layer"`
			Confidence float64 `json:"confidence"`
		} `json:"causes"`
		Probes struct {
			Sent   int `json:"sent"`
			Unsafe int `json:"unsafe"`
		} `json:"probes"`
	} `json:"results"`
}

func binary(t *testing.T) string {
	name := os.Getenv("POSTERN")
	if name == "" {
		name = "../../bin/postern"
	}
	if _, err := os.Stat(name); err != nil {
		t.Skip("POSTERN names no program: make build")
	}
	return name
}

// run runs the program and returns what it printed and its exit code.
func run(t *testing.T, args ...string) (string, int) {
	t.Helper()
	cmd := exec.Command(binary(t), append([]string{"diagnose", "--output", "json"}, args...)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

func cases(t *testing.T) (list []recorded) {
	root := os.Getenv("DIAGNOSE_CASES")
	if root == "" {
		root = "../../../shared/diagnose"
	}
	for _, pattern := range []string{"bed/cases/*/case.json", "captures/*/case.json"} {
		names, _ := filepath.Glob(filepath.Join(root, pattern))
		for _, name := range names {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			var c recorded
			if err := json.Unmarshal(b, &c); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			list = append(list, c)
		}
	}
	if len(list) == 0 {
		t.Skip("the recorded cases are not here; DIAGNOSE_CASES names their folder")
	}
	return list
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	name = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestRecordedCases fails below what was reached when this was written; the log says what is reached now.
func TestRecordedCases(t *testing.T) {
	binary(t)
	for _, mode := range []struct {
		name         string
		logs         bool
		first, layer float64
	}{{"response alone", false, 0.7, 0.7}, {"with logs", true, 0.82, 0.8}} {
		n, first, second, layer, controls, right := 0, 0, 0, 0, 0, 0
		for _, c := range cases(t) {
			head := c.Response.Line
			for _, h := range c.Response.Headers {
				head += "\r\n" + h[0] + ": " + h[1]
			}
			args := []string{"--no-probe", "--response", write(t, "answer", head+"\r\n\r\n"+c.Response.Body)}
			if mode.logs && len(c.LogLines) > 0 {
				var text strings.Builder
				for _, l := range c.LogLines {
					if _, rest, ok := strings.Cut(l, ": "); ok {
						l = rest
					}
					text.WriteString(l + "\n")
				}
				args = append(args, "--logs", write(t, "server.log", text.String()))
			}
			text, code := run(t, append(args, write(t, "request.txt", c.Request))...)
			var out output
			if err := json.Unmarshal([]byte(text), &out); err != nil || len(out.Results) != 1 {
				t.Errorf("%s %s: exit code %d, %v: %.300s", mode.name, c.Name, code, err, text)
				continue
			}
			r := out.Results[0]
			if c.Cause == "none" {
				controls++
				if code == 0 && r.Verdict == "allowed" {
					right++
				}
				continue
			}
			n++
			for i, k := range r.Causes[:min(2, len(r.Causes))] {
				if k.Cause == c.Cause {
					second++
					if i == 0 {
						first++
					}
				}
			}
			if len(r.Causes) > 0 && r.Causes[0].Layer == c.Layer {
				layer++
			}
		}
		t.Logf("%s: cause top-1 %d/%d, top-2 %d/%d; layer top-1 %d/%d; controls %d/%d", mode.name, first, n, second, n, layer, n, right, controls)
		if float64(first) < mode.first*float64(n) || float64(layer) < mode.layer*float64(n) || right != controls {
			t.Errorf("%s: worse than it was", mode.name)
		}
	}
}

func TestProbingAtTheOrigin(t *testing.T) {
	var mu sync.Mutex
	methods := map[string]int{}
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		methods[r.Method]++
		mu.Unlock()
		http.Error(w, "no", http.StatusForbidden)
	}))
	defer origin.Close()
	const secret = "pl4nted-Secret-value"
	text, code := run(t, "--rate", "50", "--", "curl", "-X", "POST", origin.URL+"/orders?api_key="+secret, "-H", "Authorization: Bearer "+secret, "-d", "password="+secret, "-H", "Cookie: sid="+secret)
	sent := 0
	for m, n := range methods {
		sent += n
		if m != "GET" && m != "HEAD" && m != "OPTIONS" {
			t.Errorf("%d requests with %s", n, m)
		}
	}
	var out output
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		t.Fatalf("exit code %d: %v: %s", code, err, text)
	}
	if p := out.Results[0].Probes; p.Sent != sent || p.Unsafe != 0 || sent == 0 || sent > 12 {
		t.Errorf("said %+v, the origin saw %d", p, sent)
	}
	if strings.Contains(text, secret) {
		t.Error("the secret is in the output")
	}
	before := fmt.Sprint(methods)
	if text, code = run(t, "--plan", "--", "curl", "-X", "POST", origin.URL+"/orders?api_key="+secret); code != 0 || strings.Contains(text, secret) {
		t.Errorf("--plan: exit code %d: %s", code, text)
	}
	if fmt.Sprint(methods) != before {
		t.Error("--plan sent something")
	}
}
