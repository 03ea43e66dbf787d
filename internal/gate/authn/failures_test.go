package authn_test

import (
	"net/netip"
	"testing"
	"time"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/gate/authn"
	"postern/internal/gatetest"
)

func TestRepeatedFailuresAreTurnedAway(t *testing.T) {
	g := authn.Failures(newGate(), 3, time.Minute, rule)
	now := gatetest.Now
	try := func(key, from string, more ...func(*gate.Exchange)) *decision.Reason {
		x := gatetest.Exchange(append(more, with("X-API-Key", key), func(x *gate.Exchange) {
			x.Client = netip.MustParseAddr(from)
			x.Env.Now = func() time.Time { return now }
		})...)
		v := g.Check(ctx, x)
		if v.Reason() == decision.TooManyFailures && (x.RetryAfter <= 0 || x.RetryAfter > time.Minute || x.Principal.Proven) {
			t.Errorf("retry after %s, proven %v", x.RetryAfter, x.Principal.Proven)
		}
		return v.Reason()
	}
	expect := func(what string, got, want *decision.Reason) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	for range 50 {
		expect("a simulation", try("wrong", "203.0.113.9", gatetest.Dry), decision.CredentialRejected)
		expect("no credential", try("", "203.0.113.9"), decision.CredentialMissing)
	}
	for range 3 {
		expect("a failure", try("wrong", "203.0.113.9"), decision.CredentialRejected)
	}
	expect("after three", try("wrong", "203.0.113.9"), decision.TooManyFailures)
	expect("a good key from there", try(key, "203.0.113.9"), decision.TooManyFailures)
	expect("a good key from elsewhere", try(key, "203.0.113.10"), nil)
	now = now.Add(time.Minute)
	expect("a minute later", try(key, "203.0.113.9"), nil)
	for i, from := range []string{"2001:db8::1", "2001:db8::2", "2001:db8::3"} {
		if i == 2 {
			expect("within one /64", try("wrong", from), decision.CredentialRejected)
			expect("within one /64, after three", try("wrong", from), decision.TooManyFailures)
			continue
		}
		expect("within one /64", try("wrong", from), decision.CredentialRejected)
	}
	guess := gatetest.OtherKeyText
	for _, from := range []string{"192.0.2.1", "192.0.2.2", "192.0.2.3"} {
		expect("guesses from everywhere", try(guess, from), decision.CredentialRejected)
	}
	expect("a guess that begins alike", try(guess[:len(guess)-1]+"x", "192.0.2.4"), decision.TooManyFailures)
}
