package forward

import (
	"fmt"
	"math"
	"net/netip"
	"testing"

	"postern/internal/header"
	"postern/internal/policy"
)

func weighted(weights ...int) policy.Upstream {
	u := policy.Upstream{}
	for i, w := range weights {
		u.Targets = append(u.Targets, policy.Target{URL: fmt.Sprintf("http://10.0.0.%d:80", i+1), Weight: w})
	}
	return u
}

func TestRoundRobinIsSmooth(t *testing.T) {
	r := newRig(t, weighted(5, 1, 1))
	p := r.up.(*Upstream).pool
	got := ""
	for range 14 {
		got += p.balance.pick(r.exchange("GET", "/"), 0, nil).addr[7:8]
	}
	if got != "11213111121311" {
		t.Errorf("order %s", got)
	}
}

func TestBalanceDistribution(t *testing.T) {
	const calls = 30_000
	for _, c := range []struct {
		balance string
		share   func(w int) float64
		off     float64 // allowed relative deviation
	}{
		{"round_robin", func(w int) float64 { return float64(w) / 10 }, 0.001},
		{"consistent_hash", func(w int) float64 { return float64(w) / 10 }, 0.25},
	} {
		t.Run(c.balance, func(t *testing.T) {
			u := weighted(1, 2, 3, 4)
			u.Balance, u.HashOn = c.balance, "header:X-User"
			r := newRig(t, u)
			p := r.up.(*Upstream).pool
			n := map[*target]int{}
			for i := range calls {
				x := r.exchange("GET", "/")
				x.Header.Add("X-User", fmt.Sprint("user-", i))
				n[p.balance.pick(x, 0, nil)]++
			}
			for _, tg := range p.targets {
				if got, want := float64(n[tg])/calls, c.share(tg.weight); math.Abs(got-want) > c.off*want {
					t.Errorf("weight %d got %.3f of the calls, want %.3f", tg.weight, got, want)
				}
			}
		})
	}
}

func TestLeastRequestPrefersTheFree(t *testing.T) {
	u := weighted(1, 1, 1)
	u.Balance = "least_request"
	r := newRig(t, u)
	p := r.up.(*Upstream).pool
	p.targets[0].inflight.Store(50)
	n := map[*target]int{}
	for range 3000 {
		n[p.balance.pick(r.exchange("GET", "/"), 0, nil)]++
	}
	if n[p.targets[0]] != 0 || n[p.targets[1]] < 1200 || n[p.targets[2]] < 1200 {
		t.Errorf("busy %d, free %d and %d", n[p.targets[0]], n[p.targets[1]], n[p.targets[2]])
	}
}

// TestConsistentHashMovesLittle: keys stay where they are when another target goes, and come back when it returns.
func TestConsistentHashMovesLittle(t *testing.T) {
	for _, on := range []string{"", "address", "application", "path", "header:X-User", "cookie:user"} {
		u := weighted(1, 1, 1, 1)
		u.Balance, u.HashOn = "consistent_hash", on
		r := newRig(t, u)
		p := r.up.(*Upstream).pool
		pick := func(i int) *target {
			x := r.exchange("GET", fmt.Sprint("/", i))
			x.Client = netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})
			x.Principal.Application.ID = fmt.Sprint("app", i)
			x.Header = header.List{{Name: "X-User", Value: fmt.Sprint(i)}, {Name: "Cookie", Value: fmt.Sprintf("a=b; user=%d; c=d", i)}}
			return p.balance.pick(x, 0, nil)
		}
		before := map[int]*target{}
		used := map[*target]bool{}
		for i := range 500 {
			before[i] = pick(i)
			used[before[i]] = true
		}
		if len(used) != 4 {
			t.Errorf("%s: only %d targets are used", on, len(used))
		}
		p.targets[1].sick.Store(true)
		for i := range 500 {
			now := pick(i)
			if before[i] != p.targets[1] && now != before[i] || now == p.targets[1] {
				t.Fatalf("%s: key %d moved without need, or to a target that is out", on, i)
			}
		}
		p.targets[1].sick.Store(false)
		for i := range 500 {
			if pick(i) != before[i] {
				t.Fatalf("%s: key %d did not come back", on, i)
			}
		}
	}
}
