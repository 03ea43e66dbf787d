package gatetest_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/gatetest"
	"postern/internal/llm"
)

// flawed is a gate that refuses requests with a header X-Refuse and does one thing wrong.
type flawed struct{ flaw string }

// Flawed can be made by anybody, and its zero value passes.
type Flawed struct{ flawed }

var kept []byte

func (g flawed) Check(ctx context.Context, x *gate.Exchange) decision.Verdict {
	switch g.flaw {
	case "allocates":
		kept = make([]byte, 100)
	case "writes when asked":
		if live := gatetest.CountersOf(x); x.Env.Dry {
			live.Take(ctx, gatetest.Now, []gate.Take{{Limit: &gate.Limit{ID: "x", Kind: gate.LimitQuota, Max: 1 << 40}}})
		}
	case "passes once":
		if len(x.Readings) > 0 || cap(x.Readings) > 0 {
			return decision.Refuse(decision.TenantSuspended, nil)
		}
		x.Readings = append(x.Readings, gate.LimitReading{})
	}
	if x.Header.Has("X-Outage") {
		if g.flaw == "denies in an outage" {
			return refuse(decision.TenantSuspended)
		}
		if g.flaw != "does not say when to come back" {
			x.RetryAfter = 1
		}
		return decision.Refuse(decision.AccountUnavailable, nil, decision.Fact{Name: "dependency", Want: "the directory", Got: "down"})
	}
	if !x.Header.Has("X-Refuse") {
		return decision.Pass(nil)
	}
	switch g.flaw {
	case "passes all":
		return decision.Pass(nil)
	case "borrows a reason":
		return refuse(decision.PermissionMissing)
	case "gives no facts":
		return decision.Refuse(decision.TenantSuspended, nil)
	case "leaks":
		return decision.Refuse(decision.TenantSuspended, nil, decision.Fact{Name: "tenant", Want: "acme", Got: "sent " + x.Header.Get("X-Refuse")})
	case "leaks in the challenge":
		x.Challenge = "Bearer " + x.Header.Get("X-Refuse")
	case "fills a secret fact":
		return decision.Refuse(decision.TenantSuspended, nil, decision.Fact{Name: "tenant", Want: "acme"}, decision.Fact{Name: "key", Got: "abc", Secret: true})
	case "refuses when asked only":
		if x.Env.Dry {
			return decision.Pass(nil)
		}
	}
	return refuse(decision.TenantSuspended)
}

func (flawed) Settle(context.Context, *gate.Exchange, llm.Usage) {}

func refuse(r *decision.Reason) decision.Verdict {
	return decision.Refuse(r, nil, decision.Fact{Name: "tenant", Want: "acme"}, decision.Fact{Name: "application", Want: "shop-web"},
		decision.Fact{Name: "action", Want: "x"}, decision.Fact{Name: "permission", Want: "x"}, decision.Fact{Name: "holders", Want: "x"})
}

const flawVariable = "POSTERN_GATETEST_FLAW"

// TestFlawedGate is run by TestTheSuiteFindsFlaws in a process of its own, once for each flaw.
func TestFlawedGate(t *testing.T) {
	flaw, set := os.LookupEnv(flawVariable)
	if !set {
		t.Skip("run by TestTheSuiteFindsFlaws")
	}
	s := gatetest.Suite{
		Name: "account",
		New:  func() gate.Gate { return flawed{flaw} },
		Pass: func(*gate.Exchange) {},
		Refusals: []gatetest.Case{
			{Name: "header", Setup: gatetest.Header("X-Refuse", gatetest.KeyText), Reason: decision.TenantSuspended},
		},
		Outages: []gatetest.Case{
			{Name: "outage", Setup: gatetest.Header("X-Outage", "1"), Reason: decision.AccountUnavailable},
		},
	}
	switch flaw {
	case "zero value":
		s.New = func() gate.Gate { return Flawed{flawed{"none"}} }
	case "borrows a reason":
		s.Refusals[0].Reason = decision.PermissionMissing
	case "denies in an outage":
		s.Outages[0].Reason = decision.TenantSuspended
	}
	gatetest.Run(t, s)
}

func TestTheSuiteFindsFlaws(t *testing.T) {
	for flaw, says := range map[string]string{
		"none":                           "",
		"zero value":                     "the zero value of gatetest_test.Flawed passes",
		"passes all":                     "want refuse account.tenant_suspended",
		"allocates":                      "allocations, want at most 0",
		"writes when asked":              "units were taken or returned",
		"passes once":                    "passed once, and then refuse",
		"borrows a reason":               `reason authz.permission_missing belongs to gate "authz"`,
		"gives no facts":                 "no fact fills {tenant}",
		"leaks":                          "a secret shows up in \"sent <CANARY>\"",
		"leaks in the challenge":         "a secret shows up in \"Bearer <CANARY>\"",
		"fills a secret fact":            "the secret fact key has a value",
		"refuses when asked only":        "asked dry: got pass",
		"denies in an outage":            "a dependency's failure is no denial",
		"does not say when to come back": "an outage without saying when to try again",
	} {
		t.Run(flaw, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "-test.run=^TestFlawedGate$", "-test.count=1")
			cmd.Env = append(os.Environ(), flawVariable+"="+flaw)
			out, err := cmd.CombinedOutput()
			if says == "" {
				if err != nil {
					t.Errorf("a sound gate fails:\n%s", out)
				}
				return
			}
			if err == nil || !strings.Contains(string(out), says) {
				t.Errorf("%v, without saying %q:\n%s", err, says, out)
			}
		})
	}
}

func TestBodies(t *testing.T) {
	b := gatetest.Body([]byte("hello"))
	if p, whole, err := b.Peek(t.Context(), 3); string(p) != "hel" || whole || err != nil {
		t.Errorf("peeked %q, %v, %v", p, whole, err)
	}
	if p, whole, err := b.Peek(t.Context(), 5); string(p) != "hello" || !whole || err != nil {
		t.Errorf("peeked %q, %v, %v", p, whole, err)
	}
	if _, err := b.Read(make([]byte, 2)); err != nil {
		t.Error(err)
	}
	if _, _, err := b.Peek(t.Context(), 5); err == nil {
		t.Error("peeked after it was read")
	}
	if n := gatetest.StreamedBody(nil).Length(); n != -1 {
		t.Errorf("a streamed body of length %d", n)
	}
}
