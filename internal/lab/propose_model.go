package lab

import (
	"fmt"
	"slices"
	"strings"

	"postern/internal/decision"
	"postern/internal/policy"
)

// modelProposals are candidates for the gate guardrail.
var modelProposals = map[string]proposal{
	decision.ModelUnknown.Code: {find: (*question).otherModels},
	decision.ModelNotAllowed.Code: {find: func(q *question) []Change {
		out := q.otherModels()
		_, name := q.fact("model")
		at := strings.TrimSuffix(q.pointer(), "/models")
		c := Change{Kind: "allow_model", Who: byOperator, Target: at + "/models", To: name, Risk: RiskSeveral,
			Text: fmt.Sprintf("Add %s to the models of this API version: everyone who may call it may use it then.", name)}
		c.apply = func(w *world) error {
			return edit(w, c.id(), at, func(l *policy.LLM) error { l.Models = append(slices.Clip(l.Models), name); return nil })
		}
		return append(out, c)
	}},
	decision.Unpriced.Code: {find: func(q *question) []Change {
		out := q.otherModels()
		_, name := q.fact("model")
		price := Change{Kind: "price_model", Who: byOperator, Target: "/models/" + policy.EscapePointer(name) + "/prices", Risk: RiskSeveral,
			Text: fmt.Sprintf("Give the model %s a price that has begun; any price lets the request pass.", name)}
		price.apply = func(w *world) error {
			return edit(w, price.id(), "/models/"+policy.EscapePointer(name), func(m *policy.Model) error {
				// It may not begin when another does.
				from := w.env.Now().Add(w.wait).UTC().Format("2006-01-02T15:04:05Z07:00")
				m.Prices = append(slices.Clip(m.Prices), policy.ModelPrice{Version: "proposed", From: from, Input: "1", Output: "1"})
				return nil
			})
		}
		at := q.pointer()
		flag := Change{Kind: "flag_unpriced", Who: byOperator, Target: at + "/unpriced", From: "refuse", To: "flag", Risk: RiskOpen,
			Text: "Set `unpriced: flag` on this API version: calls to models without a price pass then, and cost nothing that is counted."}
		flag.apply = func(w *world) error {
			return edit(w, flag.id(), at, func(l *policy.LLM) error { l.Unpriced = "flag"; return nil })
		}
		return append(out, price, flag)
	}},
	decision.PromptUnreadable.Code: {whyNot: "what the body was meant to say is known to the caller only; the fact `fault` says what is wrong with it"},
	decision.GuardrailBlocked.Code: {whyNot: "what the prompt may say instead is for its author to decide"},
}

const mostModels = 3

// otherModels proposes models that the operation offers, at a price.
func (q *question) otherModels() (out []Change) {
	_, asked := q.fact("model")
	op := q.a.x.Op
	if op == nil || q.w.req.BodyUnknown {
		return nil
	}
	now := q.a.x.Env.Now()
	for _, m := range op.Models {
		if m.Name == asked || m.PriceAt(now) == nil || len(out) == mostModels {
			continue
		}
		out = append(out, Change{
			Kind: "use_model", Who: byCaller, Target: "body /model", From: asked, To: m.Name, Risk: RiskNone, size: 2, public: decision.ToProven,
			Text: fmt.Sprintf("Ask for the model %s, which this API offers.", m.Name),
			apply: func(w *world) (err error) {
				w.req.Body, err = setJSON(w.req.Body, "model", m.Name)
				return err
			},
		})
	}
	return out
}
