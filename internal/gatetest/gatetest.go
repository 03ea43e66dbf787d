package gatetest

import (
	"context"
	"go/token"
	"reflect"
	"strings"
	"sync"
	"testing"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/llm"
)

// Suite describes a gate to Run.
type Suite struct {
	Name string           // of the gate in traces: its package's folder
	New  func() gate.Gate // a compiled gate

	Pass     func(x *gate.Exchange) // makes a fresh Exchange one that passes
	Refusals []Case                 // at least one for each reason that the gate refuses with
	Unknown  []Case                 // an input is missing: the gate abstains
	Outages  []Case                 // a dependency fails: the gate refuses with a 5xx reason, never with a denial

	// Canaries are secrets planted by the cases; KeyText and OtherKeyText always are.
	Canaries []string
	// PassAllocs is how many allocations a pass may cost, for a gate that states why it needs them.
	PassAllocs float64
}

// Case is one way not to pass.
type Case struct {
	Name   string
	New    func() gate.Gate       // nil: the suite's
	Setup  func(x *gate.Exchange) // starts from a fresh Exchange, not from one that passes
	Reason *decision.Reason
	// Without names facts that the reason's templates could show and this case does not have.
	Without []string
	// Check looks further; it may be nil.
	Check func(t *testing.T, x *gate.Exchange, v decision.Verdict)
}

var ctx = context.Background()

// Run checks that a gate keeps what the house promises of every gate.
func Run(t *testing.T, s Suite) {
	t.Helper()
	t.Run("zero value", s.zeroValue)
	t.Run("pass", s.pass)
	for _, c := range s.Refusals {
		t.Run("refuse/"+c.Name, func(t *testing.T) { s.run(t, c, decision.OutcomeRefuse) })
	}
	for _, c := range s.Unknown {
		t.Run("unknown/"+c.Name, func(t *testing.T) { s.run(t, c, decision.OutcomeAbstain) })
	}
	for _, c := range s.Outages {
		t.Run("outage/"+c.Name, func(t *testing.T) {
			s.run(t, c, decision.OutcomeRefuse)
			s.outage(t, c)
		})
	}
	if s.Pass != nil {
		t.Run("concurrent", s.concurrent)
	}
}

// zeroValue: whoever can make a gate without compiling it gets one that does not pass.
func (s Suite) zeroValue(t *testing.T) {
	typ := reflect.TypeOf(s.New())
	base := typ
	if base.Kind() == reflect.Pointer {
		base = base.Elem()
	}
	if !token.IsExported(base.Name()) {
		return // it cannot be made outside of its package
	}
	zero := reflect.New(base)
	if typ.Kind() != reflect.Pointer {
		zero = zero.Elem()
	}
	x := Exchange()
	if s.Pass != nil {
		s.Pass(x)
	}
	if v := zero.Interface().(gate.Gate).Check(ctx, x); v.Passed() {
		t.Errorf("the zero value of %s passes", typ)
	}
}

func (s Suite) pass(t *testing.T) {
	if s.Pass == nil {
		t.Skip("the gate never passes")
	}
	g := s.New()
	x := Exchange()
	s.Pass(x)
	v := gate.Chain{{Name: s.Name, Gate: g}}.Run(ctx, x, gate.StopAtFirst)
	if v.Outcome() != decision.OutcomePass {
		t.Fatalf("got %s %s, want pass", v.Outcome(), describe(v))
	}
	s.silent(t, x, v)

	dry := Exchange()
	s.Pass(dry)
	Dry(dry)
	c := gate.Chain{{Name: s.Name, Gate: g}}
	if v := c.Run(ctx, dry, gate.Exhaust); v.Outcome() != decision.OutcomePass {
		t.Errorf("asked dry: got %s %s, want pass", v.Outcome(), describe(v))
	}
	c.Settle(ctx, dry, llm.Usage{})
	unwritten(t, dry)

	// Warmed up, so that slices on the exchange and counters have what they keep.
	x = Exchange()
	s.Pass(x)
	before := *x
	g.Check(ctx, x)
	before.Readings, before.Takes = x.Readings[:0], x.Takes[:0]
	if n := testing.AllocsPerRun(100, func() {
		*x = before
		if v := g.Check(ctx, x); !v.Passed() {
			t.Errorf("passed once, and then %s %s", v.Outcome(), describe(v))
		}
	}); n > s.PassAllocs {
		t.Errorf("a pass costs %v allocations, want at most %v", n, s.PassAllocs)
	}
}

func (s Suite) run(t *testing.T, c Case, want decision.Outcome) {
	if c.New == nil {
		c.New = s.New
	}
	x := Exchange()
	c.Setup(x)
	v := gate.Chain{{Name: s.Name, Gate: c.New()}}.Run(ctx, x, gate.StopAtFirst)
	if v.Outcome() != want || v.Reason() != c.Reason {
		t.Fatalf("got %s %s, want %s %s", v.Outcome(), describe(v), want, c.Reason.Code)
	}
	if steps := x.Trace.Steps(); len(steps) != 1 || steps[0].Gate != s.Name {
		t.Errorf("the trace has %d steps, want one of %s", len(steps), s.Name)
	}
	if c.Reason.Gate != s.Name {
		t.Errorf("reason %s belongs to gate %q", c.Reason.Code, c.Reason.Gate)
	}
	if want == decision.OutcomeAbstain && len(v.Facts()) == 0 {
		t.Error("unknown without naming the input that is missing")
	}
	if want == decision.OutcomeRefuse {
		s.sentences(t, c, v)
	}
	s.remedies(t, v)
	s.silent(t, x, v)
	if c.Check != nil {
		c.Check(t, x, v)
	}
	s.dry(t, c, want)
	s.shadow(t, c)
}

// sentences: every placeholder of the reason's templates is filled for an operator.
func (s Suite) sentences(t *testing.T, c Case, v decision.Verdict) {
	texts := []string{c.Reason.Detail}
	for _, a := range c.Reason.Advice {
		texts = append(texts, a.Text)
	}
	without := strings.Join(c.Without, " ") + " "
	for _, text := range texts {
		for {
			_, rest, ok := strings.Cut(text, "{")
			if !ok {
				break
			}
			hole, after, ok := strings.Cut(rest, "}")
			if !ok {
				break
			}
			text = after
			name, _, _ := strings.Cut(hole, "|")
			if !strings.Contains(without, name+" ") && !filled(v, name) {
				t.Errorf("no fact fills {%s} in %s", name, c.Reason.Code)
			}
		}
	}
	if said := v.Render(decision.ToOperator); strings.Contains(said.Detail, "''") {
		t.Errorf("the sentence has a gap: %s", said.Detail)
	}
}

func filled(v decision.Verdict, name string) bool {
	name, got := strings.CutSuffix(name, ".got")
	for _, f := range v.Facts() {
		if f.Name == name {
			return got && f.Got != "" || !got && f.Want != ""
		}
	}
	return false
}

// remedies: whoever asks is told a reason of the same status and what to do.
func (s Suite) remedies(t *testing.T, v decision.Verdict) {
	for _, asker := range audiences {
		said := v.Render(asker)
		if said.Reason == nil || said.Detail == "" || len(said.Remedies) == 0 {
			t.Errorf("%s is told no reason, sentence or remedy: %+v", asker, said)
			continue
		}
		for _, r := range append(said.Remedies, said.Detail) {
			if strings.ContainsAny(r, "{}|") {
				t.Errorf("%s is told a broken sentence: %s", asker, r)
			}
		}
	}
}

var audiences = []decision.Disclosure{decision.ToOperator, decision.ToOwner, decision.ToProven, decision.ToAnyone}

// silent: no canary is in anything that is told, traced or sent.
func (s Suite) silent(t *testing.T, x *gate.Exchange, v decision.Verdict) {
	var told []string
	for _, asker := range audiences {
		said := v.Render(asker)
		told = append(append(told, said.Detail), said.Remedies...)
	}
	for _, f := range v.Facts() {
		told = append(told, f.Name, f.Want, f.Got)
		if f.Secret && (f.Want != "" || f.Got != "" && f.Got != decision.Redacted) {
			t.Errorf("the secret fact %s has a value", f.Name)
		}
	}
	if r := v.Rule(); r != nil {
		told = append(told, r.ID, r.Pointer)
	}
	told = append(told, x.Challenge, x.Allow, x.Result.Fault)
	for _, canary := range append([]string{KeyText, OtherKeyText}, s.Canaries...) {
		for _, text := range told {
			if canary != "" && strings.Contains(text, canary) {
				t.Errorf("a secret shows up in %q", strings.ReplaceAll(text, canary, "<CANARY>"))
			}
		}
	}
}

// dry: asked without spending, the gate says the same and writes nothing.
func (s Suite) dry(t *testing.T, c Case, want decision.Outcome) {
	x := Exchange()
	c.Setup(x)
	Dry(x)
	writes := CountersOf(x).Writes()
	chain := gate.Chain{{Name: s.Name, Gate: c.New()}}
	if v := chain.Run(ctx, x, gate.Exhaust); v.Outcome() != want || v.Reason() != c.Reason {
		t.Errorf("asked dry: got %s %s, want %s %s", v.Outcome(), describe(v), want, c.Reason.Code)
	}
	chain.Settle(ctx, x, llm.Usage{})
	if CountersOf(x).Writes() != writes {
		t.Error("asked dry: something was taken or returned")
	}
}

func unwritten(t *testing.T, x *gate.Exchange) {
	t.Helper()
	if n := CountersOf(x).Writes(); n != 0 {
		t.Errorf("asked dry: %d units were taken or returned", n)
	}
}

// shadow: mounted to report only, the gate lets the request on and the trace keeps the reason.
func (s Suite) shadow(t *testing.T, c Case) {
	x := Exchange()
	c.Setup(x)
	v := gate.Chain{{Name: s.Name, Gate: c.New(), Shadow: true}}.Run(ctx, x, gate.StopAtFirst)
	if !v.Passed() {
		t.Errorf("in shadow: got %s %s, want it to pass", v.Outcome(), describe(v))
	}
	if step, ok := x.Trace.First(decision.OutcomeShadow); !ok || step.Verdict.Reason() != c.Reason {
		t.Error("in shadow: the trace does not say what would have been refused")
	}
}

func (s Suite) outage(t *testing.T, c Case) {
	if c.Reason.Status < 500 {
		t.Errorf("an outage is answered %d: a dependency's failure is no denial", c.Reason.Status)
	}
	x := Exchange()
	c.Setup(x)
	newGate := c.New
	if newGate == nil {
		newGate = s.New
	}
	newGate().Check(ctx, x)
	if x.RetryAfter <= 0 {
		t.Error("an outage without saying when to try again")
	}
}

// concurrent: one compiled gate judges many exchanges at once; the race detector watches.
func (s Suite) concurrent(t *testing.T) {
	g := s.New()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				x := Exchange()
				s.Pass(x)
				if v := g.Check(ctx, x); !v.Passed() {
					t.Errorf("got %s %s, want pass", v.Outcome(), describe(v))
				}
			}
		})
	}
	wg.Wait()
}

func describe(v decision.Verdict) string {
	if r := v.Reason(); r != nil {
		return r.Code + ": " + v.Render(decision.ToOperator).Detail
	}
	return "without a reason"
}
