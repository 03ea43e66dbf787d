// Command bench compares Postern with nginx, HAProxy and a tuned standard-library reverse proxy, all in one run: CPU time
// per request of the gateway's processes, throughput, and added latency, as ratios to nginx.
//
// The gateway is pinned to core 0; the load generator and the origin share core 1. Rounds of the systems alternate, so
// that a machine whose speed drifts does not favour one, and medians are printed. Absolute figures mean little on a
// shared machine; ratios of one run are what counts. All traffic stays on loopback, and everything stops by itself.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	if len(os.Args) > 2 && os.Args[1] == "-stdlib-proxy" {
		serveStdlibProxy(os.Args[2], os.Args[3])
		return
	}
	var o options
	flag.IntVar(&o.rounds, "rounds", 5, "rounds of each system")
	flag.DurationVar(&o.round, "round", 1500*time.Millisecond, "length of a round")
	flag.IntVar(&o.connections, "connections", 64, "keep-alive connections")
	flag.StringVar(&o.only, "only", "", "comma-separated scenarios (plain, guarded, completion, stream, paced), or waf alone")
	flag.StringVar(&o.systems, "systems", "", "comma-separated systems")
	flag.StringVar(&o.postern, "postern", os.Getenv("POSTERN"), "the Postern binary (default $POSTERN)")
	flag.StringVar(&o.before, "before", "", "another Postern binary, to compare with in the same rounds")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type options struct {
	rounds, connections    int
	round                  time.Duration
	only, systems, postern string
	before                 string
}

func (o options) wants(list, name string) bool {
	return list == "" || slices.Contains(strings.Split(list, ","), name)
}

func run(ctx context.Context, o options) error {
	if o.postern == "" {
		return fmt.Errorf("no Postern binary: set POSTERN or run `make bench`")
	}
	binary, err := filepath.Abs(o.postern)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "postern-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := pinSelf(); err != nil {
		fmt.Println("note: cores could not be pinned:", err)
	}
	origin, err := startOrigin()
	if err != nil {
		return err
	}
	if o.only == "waf" { // never part of the rest: a request costs up to a tenth of a second
		return compareWAF(ctx, dir, binary, origin, o)
	}
	all, err := startSystems(ctx, dir, binary, origin, o)
	defer stopAll(all)
	if err != nil {
		return err
	}
	fmt.Printf("%d cores, %s, %d connections, %d rounds of %s, medians\n", runtime.NumCPU(), runtime.Version(), o.connections, o.rounds, o.round)
	for _, s := range scenarios {
		if o.wants(o.only, s.name) {
			if o.before != "" {
				s.addBefore()
			}
			if err := s.compare(ctx, all, origin, o); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
		}
	}
	fmt.Println("\nmemory, resident MB: when ready → after load")
	for _, s := range all {
		fmt.Printf("  %-28s %4d → %d\n", s.name, s.idleRSS>>20, residentBytes(s.pids())>>20)
	}
	return nil
}

// pinSelf puts this process, which is load generator and origin, on the last core.
func pinSelf() error {
	runtime.GOMAXPROCS(1)
	var set unix.CPUSet
	set.Set(runtime.NumCPU() - 1)
	for _, tid := range threads() {
		if err := unix.SchedSetaffinity(tid, &set); err != nil {
			return err
		}
	}
	return nil
}
