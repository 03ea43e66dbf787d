package counter

import (
	"math/big"
	"testing"
	"time"

	"postern/internal/gate"
	"postern/internal/store"
)

// FuzzRate compares a rate with GCRA written down in fractions of unlimited size.
func FuzzRate(f *testing.F) {
	f.Add(uint64(7), int64(time.Second), uint64(3), []byte{0, 0, 0, 0, 200, 9, 9, 255})
	f.Add(uint64(1<<50), int64(1), uint64(1<<50), []byte{0, 1, 2})
	f.Add(uint64(1), int64(366*24*time.Hour), uint64(1), []byte{0, 255, 255})
	f.Add(uint64(1_000_000), int64(24*time.Hour), uint64(1_000_000), []byte{0, 0, 1, 3, 7})
	f.Fuzz(func(t *testing.T, n uint64, per int64, burst uint64, steps []byte) {
		l := &gate.Limit{ID: "r", Max: int64(n%(1<<50)) + 1, Period: time.Duration(per & (1<<54 - 1)), Burst: int64(burst%(1<<50)) + 1}
		if l.Period < 1 {
			l.Period = 1
		}
		share := new(big.Rat).SetFrac64(int64(l.Period), l.Max)
		most := new(big.Rat).Mul(share, new(big.Rat).SetInt64(l.Burst))
		if most.Cmp(new(big.Rat).SetInt64(int64(366*24*time.Hour))) > 0 {
			return // Compile refuses such a limit
		}
		now := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
		var s state
		debt := new(big.Rat) // owed at now
		for _, b := range steps {
			// A step is a share's 0 to 4 fold, in 64ths; or, for the largest, nearly a year.
			d := new(big.Rat).Mul(share, big.NewRat(int64(b), 64))
			step := new(big.Int).Quo(d.Num(), d.Denom()).Int64()
			if b == 255 {
				step = int64(360 * 24 * time.Hour)
			}
			now = now.Add(time.Duration(step))
			debt.Sub(debt, new(big.Rat).SetInt64(step))
			if debt.Sign() < 0 {
				debt.SetInt64(0)
			}
			want := new(big.Rat).Add(debt, share).Cmp(most) <= 0
			s.roll(l, now)
			before := s.reading(l, now)
			if got := s.take(l, now); got != want {
				t.Fatalf("%d per %v, burst %d: take says %v, exact arithmetic %v", l.Max, l.Period, l.Burst, got, want)
			}
			if want {
				debt.Add(debt, share)
			}
			left := new(big.Rat).Sub(most, debt)
			left.Quo(left, share)
			r := s.reading(l, now)
			if exact := new(big.Int).Quo(left.Num(), left.Denom()); exact.Int64() != r.Remaining {
				t.Fatalf("remaining %d, exactly %v", r.Remaining, exact)
			}
			if (before.Retry == 0) != want {
				t.Fatalf("told to wait %v, and the take says %v", before.Retry, want)
			}
			if r.Remaining == 0 {
				copied, then := s, now.Add(r.Retry)
				copied.roll(l, then)
				if !copied.take(l, then) {
					t.Fatalf("refused after waiting %v as told", r.Retry)
				}
				if r.Retry > 1 {
					copied, then = s, now.Add(r.Retry-1)
					if copied.take(l, then) {
						t.Fatalf("told to wait %v, and a nanosecond less would do", r.Retry)
					}
				}
			}
			if copied, then := s, now.Add(r.Reset+1); !copied.whole(gate.LimitRate, then.UnixNano()) || copied.reading(l, then).Remaining != l.Burst {
				t.Fatalf("not whole after %v, as told", r.Reset)
			}
		}
	})
}

// FuzzRow: a row that is read makes the key that writes it again.
func FuzzRow(f *testing.F) {
	for _, s := range []string{"r*", "d=shop-web", "s@2001:db8::", "m@192.0.2.1", "h=", "w@fe80::1%eth0", "o=@", "x", ""} {
		f.Add("orders/v1#daily", s)
	}
	f.Fuzz(func(t *testing.T, limit, subject string) {
		k, ok := keyOfRow(&store.CounterRow{Limit: limit, Subject: subject})
		if !ok {
			return
		}
		row := rowOf(&entry{key: k})
		again, ok := keyOfRow(&row)
		if !ok || again != k || row.Limit != limit {
			t.Fatalf("%q became %q", subject, row.Subject)
		}
	})
}
