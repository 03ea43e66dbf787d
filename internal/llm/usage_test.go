package llm

import (
	"errors"
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestMoneyTextIsExact(t *testing.T) {
	for text, want := range map[string]Money{
		"0": 0, "1": Unit, "0.15": 150_000_000_000, "-2.5": -2_500_000_000_000, "0.000000000001": 1, "9223372.036854775807": math.MaxInt64,
	} {
		got, err := ParseMoney(text)
		if err != nil || got != want {
			t.Errorf("ParseMoney(%q) = %d, %v; want %d", text, got, err, want)
		}
		if got.String() != text {
			t.Errorf("%d prints as %q, want %q", got, got.String(), text)
		}
	}
	for _, bad := range []string{"", ".", "1.", ".5", "+1", "1e3", "0.0000000000001", "9223372.036854775808", "10000000", " 1", "1,5", "0x1", "--1", "NaN"} {
		if m, err := ParseMoney(bad); err == nil {
			t.Errorf("ParseMoney(%q) = %s, want an error", bad, m)
		}
	}
	if got := Money(math.MinInt64).String(); got != "-9223372.036854775808" {
		t.Errorf("the smallest amount prints as %s", got)
	}
}

func TestMoneyRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := Money(rapid.Int64Min(math.MinInt64+1).Draw(t, "amount"))
		if got, err := ParseMoney(m.String()); err != nil || got != m {
			t.Fatalf("%d became %s became %d (%v)", m, m, got, err)
		}
	})
}

func TestChargeIsExactAndNeverWraps(t *testing.T) {
	p := Price{Input: 37_500, CachedInput: 18_750, Output: 600_000, Reasoning: 600_000} // $0.0375 per million in
	got, err := p.Charge(Usage{Input: 1_000_000, CachedInput: 2, Output: 1, Reasoning: 1})
	if want := Money(37_500_000_000 + 37_500 + 1_200_000); err != nil || got != want {
		t.Errorf("charge %s, %v; want %s", got, err, want)
	}
	if _, err := p.Charge(Usage{Input: math.MaxInt64}); !errors.Is(err, ErrMoneyRange) {
		t.Errorf("a charge beyond the range: %v", err)
	}
	if _, err := (&Price{Input: math.MaxInt64, Output: math.MaxInt64}).Charge(Usage{Input: 1, Output: 1}); !errors.Is(err, ErrMoneyRange) {
		t.Errorf("a sum beyond the range: %v", err)
	}
	if _, err := p.Charge(Usage{Input: -1}); err == nil {
		t.Error("negative usage was charged")
	}
}

func TestChargeAddsUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := func(name string) int64 { return rapid.Int64Range(0, 1<<31).Draw(t, name) }
		p := Price{Input: Money(n("pi") % 1e6), CachedInput: Money(n("pc") % 1e6), Output: Money(n("po") % 1e6), Reasoning: Money(n("pr") % 1e6)}
		a := Usage{Input: n("ai"), CachedInput: n("ac"), Output: n("ao"), Reasoning: n("ar")}
		b := Usage{Input: n("bi"), CachedInput: n("bc"), Output: n("bo"), Reasoning: n("br")}
		sum := Usage{Input: a.Input + b.Input, CachedInput: a.CachedInput + b.CachedInput, Output: a.Output + b.Output, Reasoning: a.Reasoning + b.Reasoning}
		ca, _ := p.Charge(a)
		cb, _ := p.Charge(b)
		cs, err := p.Charge(sum)
		if err != nil || cs != ca+cb {
			t.Fatalf("%s + %s != %s (%v)", ca, cb, cs, err)
		}
	})
}
