package lab_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"postern/internal/counter"
	"postern/internal/decision"
	"postern/internal/directory"
	"postern/internal/gate"
	"postern/internal/lab"
	"postern/internal/snapshot"
)

// Whoever adds a reason to a gate says what could be changed about it, or why nothing can.
func TestEveryReasonHasCandidatesOrAWhyNot(t *testing.T) {
	for _, r := range decision.Catalogue() {
		if !slices.Contains(snapshot.Order(), r.Gate) {
			continue // no request that is judged meets it
		}
		sought, whyNot := lab.Proposals(r.Code)
		if !sought && whyNot == "" {
			t.Errorf("%s: propose a change in internal/lab/propose_%s.go, or say there why none can be tried", r.Code, r.Gate)
		}
		if strings.HasSuffix(whyNot, ".") {
			t.Errorf("%s: the why-not is the end of a sentence: %q", r.Code, whyNot)
		}
	}
}

// liveCounters fail the test when anything is taken from or returned to them.
type liveCounters struct {
	t testing.TB
	*counter.Counters
}

func (c liveCounters) Take(context.Context, time.Time, []gate.Take) (int, error) {
	c.t.Error("asking took from a live counter")
	return -1, nil
}

func (c liveCounters) Return(context.Context, time.Time, []gate.Take) {
	c.t.Error("asking returned to a live counter")
}

// asks simulates the request of a life and wants its fixes.
func (l *life) asks(t testing.TB) (*snapshot.Snapshot, *gate.Env, *lab.Prover, lab.Result) {
	t.Helper()
	snap := l.compile(t)
	env := &gate.Env{Now: func() time.Time { return l.now }, Directory: l.people, Counters: liveCounters{t, l.counters(t)}}
	prover := &lab.Prover{Time: time.Minute, Holders: func(_ context.Context, role string) (n int, err error) {
		for _, a := range l.people.Applications {
			if slices.Contains(a.Roles, role) {
				n++
			}
		}
		return n, nil
	}, Key: func(_ context.Context, id string) (directory.Key, error) {
		for _, k := range l.people.Keys {
			if k.ID == id {
				return k, nil
			}
		}
		return directory.Key{}, errors.New("no such key")
	}}
	return snap, env, prover, lab.Simulate(t.Context(), snap, env, l.req, lab.Proven(prover))
}

// passes carries the changes of a fix out and lets the request arrive.
func (l *life) passes(t testing.TB, f lab.Fix) (bool, string) {
	t.Helper()
	counters := l.counters(t) // what was counted before was counted under the old configuration
	n := l.clone()
	for _, c := range f.Changes {
		n.make(t, c)
	}
	x, err := lab.Exchange(n.req)
	if err != nil {
		t.Fatal(err)
	}
	if lab.Unreadable(n.req, n.doc) {
		return false, "the head cannot be read"
	}
	x.Env = &gate.Env{Now: func() time.Time { return n.now }, Directory: n.people, Counters: counters}
	v := n.compile(t).Judge(t.Context(), x, gate.StopAtFirst)
	if op := x.Op; op != nil && op.BodyBytes > 0 && int64(len(n.req.Body)) > op.BodyBytes {
		return false, "the body is too large, which no gate looks at"
	}
	if v.Passed() || v.Outcome() == decision.OutcomeAnswer {
		return true, ""
	}
	return false, v.Reason().Code + ": " + v.Render(decision.ToOperator).Detail
}

// check proves one life: every fix that is called verified lets the request pass when it is carried out for real, and no
// part of it does. It says whether the request was refused and how the first fix stands.
func (l *life) check(t testing.TB) (refused bool, result lab.Result) {
	t.Helper()
	before := cloned(l.people.Subscriptions)
	snap, env, _, r := l.asks(t)
	x, err := lab.Exchange(l.req)
	if err != nil {
		t.Fatal(err)
	}
	if len(before) != len(l.people.Subscriptions) {
		t.Error("asking changed the directory")
	}
	x.Env = &gate.Env{Now: env.Now, Directory: l.people, Counters: l.counters(t)}
	if live := snap.Judge(t.Context(), x, gate.StopAtFirst); !lab.Unreadable(l.req, l.doc) && live.Passed() != (r.Verdict == lab.Allowed) && r.Reason != decision.RequestTooLarge.Code {
		t.Errorf("the lab says %s %s, live it is %s", r.Verdict, r.Reason, live.Outcome())
	}
	if r.Verdict != lab.Refused {
		return false, r
	}
	for _, f := range r.Fixes {
		if !f.Verified {
			continue
		}
		if ok, why := l.passes(t, f); !ok {
			t.Errorf("%s %s: called verified, and it is refused for real: %s\n%s", l.req.Method, r.Reason, why, list(f))
		}
		for i := range f.Changes {
			if part := slices.Delete(slices.Clone(f.Changes), i, i+1); len(part) > 0 {
				if ok, _ := l.passes(t, lab.Fix{Changes: part}); ok {
					t.Errorf("%s: a part of the fix is enough: without %q\n%s", r.Reason, f.Changes[i].Text, list(f))
				}
			}
		}
	}
	return true, r
}

func list(f lab.Fix) string {
	var b strings.Builder
	for _, c := range f.Changes {
		fmt.Fprintf(&b, "  %s [%s → %s] %s\n", c.Kind, c.Target, c.To, c.Text)
	}
	return b.String()
}

// Whatever the configuration, the directory and the request: what is called verified holds, and asking changes nothing.
func TestVerifiedFixesHold(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		l := randomLife(t, func(n int, what string) int { return rapid.IntRange(0, n-1).Draw(rt, what) })
		l.check(t)
		if t.Failed() {
			rt.Fatalf("%s %s", l.req.Method, l.req.URL)
		}
	})
}

var refusals = flag.Int("refusals", 250, "how many random refusals to prove fixes for; the figures in docs/ are of 2000")

// TestFixesOfManyRefusals reports the figures: how often the first fix is verified, and how often it is the smallest there
// is, by trying every set of changes.
func TestFixesOfManyRefusals(t *testing.T) {
	want, compareEach := *refusals, 10
	r := rand.New(rand.NewPCG(5, 14))
	var refused, verified, fixable, compared, same int
	reasons := map[string]int{}
	var took []time.Duration
	for n := 0; refused < want; n++ {
		l := randomLife(t, func(n int, _ string) int { return r.IntN(n) })
		yes, got := l.check(t)
		if t.Failed() {
			t.Fatalf("case %d: %s %s %s", n, l.req.Method, l.req.URL, got.Reason)
		}
		if !yes {
			continue
		}
		refused++
		reasons[got.Reason]++
		if len(got.Fixes) > 0 {
			fixable++
			if got.Fixes[0].Verified {
				verified++
			}
		}
		snap := l.compile(t)
		env := &gate.Env{Now: func() time.Time { return l.now }, Directory: l.people, Counters: l.counters(t)}
		begun := time.Now()
		lab.Simulate(t.Context(), snap, env, l.req, lab.Proven(&lab.Prover{}))
		took = append(took, time.Since(begun))
		if refused%compareEach != 0 {
			continue
		}
		_, _, prover, _ := l.asks(t)
		if c, small := lab.Compare(t.Context(), snap, env, l.req, prover); small {
			compared++
			if c.Same {
				same++
			} else {
				t.Errorf("case %d %s: the search found %q, trying all %d candidates found %q", n, got.Reason, c.Cost, c.Candidates, c.Best)
			}
		}
	}
	slices.Sort(took)
	t.Logf("%d refusals of %d reasons; %d with a fix or a part of one, %d (%.1f %%) with a verified one first; of %d compared by brute force %d are minimal; p50 %s, p99 %s",
		refused, len(reasons), fixable, verified, 100*float64(verified)/float64(refused), compared, same, took[len(took)/2], took[len(took)*99/100])
	if verified*100 < refused*80 {
		t.Errorf("only %d of %d refusals have a verified fix", verified, refused)
	}
}

// The scenarios run for users as they do here: `postern test scenarios/*.txtar`.
func TestScenariosRunForUsers(t *testing.T) {
	for name, change := range map[string]struct {
		old, new string
		passes   bool
	}{
		"as it is":            {"", "", true},
		"another decision":    {"roles: [order-reader]", "roles: [order-writer]", false},
		"another expectation": {"403 authz.permission_missing\nApplication", "403 authz.permission_missing\nSomething", false},
	} {
		t.Run(name, func(t *testing.T) {
			src, err := os.ReadFile("../../scenarios/permission-missing.txtar")
			if err != nil {
				t.Fatal(err)
			}
			text := string(src)
			if change.old != "" {
				if text = strings.Replace(text, change.old, change.new, -1); text == string(src) {
					t.Fatal("nothing was changed")
				}
			}
			r, err := lab.RunScenario(t.Context(), "x.txtar", []byte(text))
			if err != nil || len(r.Results) != 1 || r.Results[0].Passed != change.passes {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
}
