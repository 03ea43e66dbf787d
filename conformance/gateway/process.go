// Package gateway starts the real Postern binary for a test, waits until it is ready, reads what it prints, and ends it by
// its process id. Nothing of Postern is linked in: the suites see what a user sees, a command, a file and two ports.
package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Patience bounds every wait for the process: starting, becoming ready, ending.
const Patience = 20 * time.Second

// Options say how the binary is started. The zero value of a field means what its comment says.
type Options struct {
	Config string            // the YAML document, written to a file of its own
	Data   string            // data folder; a new one
	Admin  string            // address of the management API; a free port on loopback
	Env    map[string]string // besides PATH and HOME
	Args   []string          // further arguments of serve
}

// Process is a running gateway.
type Process struct {
	Data, ConfigFile, Admin string

	t    testing.TB
	cmd  *exec.Cmd
	out  output
	done chan struct{} // closed when the process has ended
	err  error         // of Wait; read after done
}

// Binary is the path of the binary under test.
func Binary(t testing.TB) string {
	t.Helper()
	p := os.Getenv("POSTERN")
	if p == "" {
		t.Fatal("POSTERN does not name the binary under test: run `make quick-conformance`, or POSTERN=/path/to/postern ./run quick")
	}
	if _, err := os.Stat(p); err != nil {
		t.Fatalf("POSTERN: %v: build it with `make build`", err)
	}
	return p
}

// Start runs `postern serve` and waits until it is ready. The test's end stops it.
func Start(t testing.TB, o Options) *Process {
	t.Helper()
	p := Launch(t, o)
	if err := p.Ready(); err != nil {
		t.Fatalf("postern serve: %v\n%s", err, p.Output())
	}
	return p
}

// Launch runs `postern serve` without waiting.
func Launch(t testing.TB, o Options) *Process {
	t.Helper()
	p := &Process{t: t, Data: o.Data, Admin: o.Admin, done: make(chan struct{})}
	if p.Data == "" {
		p.Data = filepath.Join(t.TempDir(), "data")
	}
	if p.Admin == "" {
		p.Admin = FreeAddress(t)
	}
	p.ConfigFile = filepath.Join(t.TempDir(), "postern.yaml")
	p.WriteConfig(o.Config)
	p.cmd = exec.Command(Binary(t), append([]string{"serve", "--data", p.Data, "--config", p.ConfigFile, "--admin", p.Admin}, o.Args...)...)
	p.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "TZ=UTC"}
	for k, v := range o.Env {
		p.cmd.Env = append(p.cmd.Env, k+"="+v)
	}
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	// A test binary that is killed must not leave gateways behind.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", p.cmd.Path, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.Stop()
		if t.Failed() {
			t.Logf("what the gateway printed:\n%s", tail(p.Output(), 8<<10))
		}
	})
	return p
}

// WriteConfig replaces the file that the gateway was started with, whole and at once.
func (p *Process) WriteConfig(doc string) {
	p.t.Helper()
	next := p.ConfigFile + ".next"
	if err := os.WriteFile(next, []byte(doc), 0o600); err != nil {
		p.t.Fatal(err)
	}
	if err := os.Rename(next, p.ConfigFile); err != nil {
		p.t.Fatal(err)
	}
}

// Ready waits until /readyz answers 200, or says why that will not happen.
func (p *Process) Ready() error {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	last := errors.New("no answer")
	for {
		select {
		case <-p.done:
			return fmt.Errorf("ended before it was ready: %v", p.err)
		case <-ctx.Done():
			return fmt.Errorf("not ready within %v: %w", Patience, last)
		case <-time.After(10 * time.Millisecond):
		}
		req, err := http.NewRequestWithContext(ctx, "GET", "http://"+p.Admin+"/readyz", nil)
		if err != nil {
			return err
		}
		res, err := client.Do(req)
		if err != nil {
			last = err
			continue
		}
		_ = res.Body.Close()
		if res.StatusCode == http.StatusOK {
			return nil
		}
		last = fmt.Errorf("/readyz answers %s", res.Status)
	}
}

// PID is the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Signal sends a signal.
func (p *Process) Signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Fatalf("signal %v: %v", s, err)
	}
}

// Kill ends the process at once, as a crash would, and waits until it is gone.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// Stop asks the process to end, and insists after Patience. It returns the exit code.
func (p *Process) Stop() int {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(Patience):
		p.t.Errorf("the gateway did not end within %v of SIGTERM", Patience)
		p.Kill()
	}
	return p.cmd.ProcessState.ExitCode()
}

// Wait returns the exit code of a process that is expected to end by itself.
func (p *Process) Wait() int {
	p.t.Helper()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(Patience):
		p.t.Fatalf("the gateway did not end within %v\n%s", Patience, p.Output())
		return -1
	}
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Output is everything printed so far, on both streams.
func (p *Process) Output() string { return p.out.String() }

var tokenLine = regexp.MustCompile(`bootstrap token:\s*(\S+)`)

// BootstrapToken is the one-time token of the first start. It waits for the line.
func (p *Process) BootstrapToken() string {
	p.t.Helper()
	for deadline := time.Now().Add(Patience); ; time.Sleep(5 * time.Millisecond) {
		if m := tokenLine.FindStringSubmatch(p.Output()); m != nil {
			return m[1]
		}
		select {
		case <-p.done:
			p.t.Fatalf("the process ended (%v) before it printed `bootstrap token: …`:\n%s", p.err, p.Output())
		default:
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("no line `bootstrap token: …` was printed:\n%s", p.Output())
		}
	}
}

// FreeAddress is an address on loopback on which nothing listens now.
func FreeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// output collects what a process prints.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func tail(s string, n int) string {
	if len(s) <= n {
		return s
	}
	s = s[len(s)-n:]
	if i := strings.IndexByte(s, '\n'); i >= 0 {
		s = s[i+1:]
	}
	return "…\n" + s
}
