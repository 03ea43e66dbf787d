package diagnose

import (
	"cmp"
	"math"
	"slices"

	"postern/internal/fingerprint"
)

// board collects the evidence by cause.
type board map[string]*hypothesis

type hypothesis struct {
	groups map[string]float64 // the strongest of each group: several readings of one fact are one fact
	facts  []Evidence
	layers map[string]float64
}

// add puts evidence on the board. Facts of one group are readings of the same observation, of which only the strongest
// counts. An empty text is a prior: it counts, and is not shown. layer may be "".
func (b board) add(cause, group string, weight float64, layer string, e Evidence) {
	if cause == "" || cause == "unknown" || weight == 0 {
		return
	}
	h := b[cause]
	if h == nil {
		h = &hypothesis{groups: map[string]float64{}, layers: map[string]float64{}}
		b[cause] = h
	}
	if old, ok := h.groups[group]; !ok || math.Abs(weight) > math.Abs(old) {
		h.groups[group] = weight
	}
	if layer != "" && weight > 0 {
		h.layers[layer] = max(h.layers[layer], weight)
	}
	if e.Text != "" && !slices.ContainsFunc(h.facts, func(f Evidence) bool { return f.Text == e.Text }) {
		e.Weight = math.Round(weight*10) / 10
		h.facts = append(h.facts, e)
	}
}

// sum is the log-odds of a hypothesis.
func (h *hypothesis) sum() (s float64) {
	for _, w := range h.groups {
		s += w
	}
	return s
}

// ranked is a cause with its share of the belief.
type ranked struct {
	cause string
	share float64
	*hypothesis
}

// heat tempers the belief: facts of one case are less independent than their sum pretends. It was set so that the stated
// confidence agrees with how often the first cause is right in recorded cases (conformance/diagnose reports it).
const heat = 0.85

// rank turns the log-odds into shares.
func (b board) rank() []ranked {
	var list []ranked
	total := math.Exp(1.0 / heat) // what is not on the board
	narrower := map[string]bool{} // causes of which a special case is proven: the case is the better answer
	for id, h := range b {
		if k, ok := fingerprint.CauseOf(id); ok && k.Part != "" && h.sum() >= 2.5 {
			narrower[k.Part] = true
		}
	}
	for id, h := range b {
		s := h.sum()
		if narrower[id] {
			s -= 2.5
		}
		if k, ok := fingerprint.CauseOf(id); ok && k.Part != "" {
			if wider := b[k.Part]; wider != nil { // what speaks for the wider cause does not speak against its case
				if w := wider.groups["words"]; w > 0 && h.groups["words"] <= 0 {
					s += 0.5 * w
				}
			}
		}
		e := math.Exp(min(s, 30) / heat)
		total += e
		list = append(list, ranked{id, e, h})
	}
	for i := range list {
		list[i].share /= total
	}
	slices.SortFunc(list, func(x, y ranked) int {
		return cmp.Or(cmp.Compare(y.share, x.share), cmp.Compare(x.cause, y.cause))
	})
	return list
}
