package forward

import "testing"

func TestCrowdStandsAsideAsLongAsItPays(t *testing.T) {
	c := newCrowd(2)
	others := uint32(0) // that move while one stands aside
	aside := 0
	yield := func() { aside++; c.moves.Add(others) }
	ask := func(n int) int {
		aside = 0
		for range n {
			c.standAside(yield)
		}
		return aside
	}

	others = 3 // one for each processor, and one more: chance
	if n := ask(4 * rarest); n > 15 {
		t.Errorf("alone, %d of %d requests stood aside", n, 4*rarest)
	}
	if n := ask(10 * rarest); n < 5 || n > 10 {
		t.Errorf("alone for long, %d of %d requests stood aside", n, 10*rarest)
	}
	others = 4
	ask(rarest)
	if n := ask(100); n != 100 {
		t.Errorf("in a crowd, %d of 100 requests stood aside", n)
	}
	others = 0
	if n := ask(100); n > 7 {
		t.Errorf("when the crowd had gone, %d of 100 requests stood aside", n)
	}
	others = 10
	c.moves.Store(1<<32 - 3) // the count runs over
	ask(rarest)
	if n := ask(100); n != 100 {
		t.Errorf("in the next crowd, %d of 100 requests stood aside", n)
	}
}
