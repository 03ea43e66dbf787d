// Package llm is the vendor-neutral vocabulary of calls to language models: what was used and what it costs.
package llm

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strings"
)

// Usage is what one call consumed, in tokens, as the provider reported it. Classes do not overlap: cached input is not
// counted in Input again, reasoning is not counted in Output again. Total is their sum.
type Usage struct {
	Input       int64 `json:"input"`
	CachedInput int64 `json:"cached_input,omitempty"`
	Output      int64 `json:"output"`
	Reasoning   int64 `json:"reasoning,omitempty"`
	Estimated   bool  `json:"estimated,omitempty"` // the provider reported nothing; counted by Postern
}

// Total is the sum of all classes.
func (u Usage) Total() int64 { return u.Input + u.CachedInput + u.Output + u.Reasoning }

// Zero reports whether nothing was used.
func (u Usage) Zero() bool { return u.Total() == 0 }

// Money is an amount in 10⁻¹² of a currency unit. With it, every published price per million tokens down to a
// ten-thousandth of a cent is a whole number per token, so charges are exact; one value holds up to ±9.2 million units.
type Money int64

// Unit is one whole unit of the currency.
const Unit Money = 1_000_000_000_000

// ErrMoneyRange says that an amount does not fit.
var ErrMoneyRange = errors.New("amount of money out of range")

// String writes the amount as a decimal without loss, such as "0.0000375".
func (m Money) String() string {
	sign, u := "", uint64(m)
	if m < 0 {
		sign, u = "-", -u
	}
	s := fmt.Sprintf("%s%d.%012d", sign, u/uint64(Unit), u%uint64(Unit))
	s = strings.TrimRight(s, "0")
	return strings.TrimSuffix(s, ".")
}

// ParseMoney reads a decimal such as "0.15". More than 12 digits after the point are refused, not rounded.
func ParseMoney(s string) (Money, error) {
	body, neg := strings.CutPrefix(s, "-")
	whole, frac, _ := strings.Cut(body, ".")
	if len(frac) > 12 || whole == "" || len(whole) > 7 || strings.Trim(whole+frac, "0123456789") != "" || strings.HasSuffix(body, ".") {
		return 0, fmt.Errorf("%q is no amount of money: write digits, at most 7 before and 12 after the point", s)
	}
	var n uint64
	for _, c := range whole + frac + strings.Repeat("0", 12-len(frac)) {
		n = n*10 + uint64(c-'0')
	}
	if n > math.MaxInt64 {
		return 0, fmt.Errorf("%q: %w", s, ErrMoneyRange)
	}
	if neg {
		return -Money(n), nil
	}
	return Money(n), nil
}

// Add returns the sum, or ErrMoneyRange.
func (m Money) Add(o Money) (Money, error) {
	s := m + o
	if (m > 0 && o > 0 && s < 0) || (m < 0 && o < 0 && s >= 0) {
		return 0, ErrMoneyRange
	}
	return s, nil
}

// Price is what a model costs per token, in one version of the price list. A price of a call is looked up once, and the
// record keeps the version, so that history can be priced again.
type Price struct {
	Version     string `json:"version"`
	Currency    string `json:"currency"` // ISO 4217
	Input       Money  `json:"input"`    // per token
	CachedInput Money  `json:"cached_input"`
	Output      Money  `json:"output"`
	Reasoning   Money  `json:"reasoning"`
}

// Charge returns the exact cost of a usage, or ErrMoneyRange, or an error when a class is negative.
func (p *Price) Charge(u Usage) (Money, error) {
	var sum Money
	for _, c := range [...]struct {
		n    int64
		each Money
	}{{u.Input, p.Input}, {u.CachedInput, p.CachedInput}, {u.Output, p.Output}, {u.Reasoning, p.Reasoning}} {
		if c.n < 0 || c.each < 0 {
			return 0, fmt.Errorf("negative usage or price: %d tokens at %s", c.n, c.each)
		}
		hi, lo := bits.Mul64(uint64(c.n), uint64(c.each))
		if hi != 0 || lo > math.MaxInt64 {
			return 0, ErrMoneyRange
		}
		var err error
		if sum, err = sum.Add(Money(lo)); err != nil {
			return 0, err
		}
	}
	return sum, nil
}
