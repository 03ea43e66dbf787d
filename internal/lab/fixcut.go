package lab

import (
	"context"

	"postern/internal/decision"
	"postern/internal/record"
)

// proveRecorded says what becomes of the request now, and what would let it pass.
func (e *explainer) proveRecorded(ctx context.Context, rec record.Record, out *Explanation, w *world, a *asked, asker decision.Disclosure) {
	switch {
	case len(a.refusals) > 0:
		out.Now = Refused
		out.Fixes, out.WhyNot = e.prove.fixes(ctx, w, a)
		first := a.refusals[0].Verdict.Reason()
		if told := first.Told(asker); told != first {
			out.WhyNot = "" // it would tell the reason
		} else if !sameReason(a, rec.Reason) {
			e.notes = append(e.notes, "what refused it then does not refuse it now; what can be done is said for what does, "+first.Code)
		}
	case a.unknown != nil:
		out.Now = Unknown
		out.WhyNot = "no gate refuses the request now, but one cannot tell without what the record does not hold"
	default:
		out.Now = Allowed
		out.Fixes = []Fix{{Verified: true, Who: byCaller, Changes: []Change{{
			Kind: "send_again", Who: byCaller, Risk: RiskNone, Text: "Send it again: what refused it then does not refuse it now.", public: decision.ToAnyone}}}}
	}
}

func sameReason(a *asked, code string) bool {
	for _, r := range a.refusals {
		if r.Verdict.Reason().Code == code {
			return true
		}
	}
	return false
}

// cutFixes leaves what the asker may see: changes that callers and owners can make, for refusals that they are told of,
// in words that tell no more than the facts they may see.
func cutFixes(fixes []Fix, asker decision.Disclosure) (out []Fix) {
fixes:
	for _, f := range fixes {
		kept := f
		kept.Changes = nil
		for _, c := range f.Changes {
			if c.Who == byOperator || c.reason != nil && !c.reason.Public.VisibleTo(asker) {
				continue fixes
			}
			shown := Change{Kind: c.Kind, Who: c.Who, Risk: c.Risk, Text: c.Text}
			switch {
			case c.public.VisibleTo(asker):
				shown.Target, shown.From, shown.To = c.Target, c.From, c.To
			case c.terse == "":
				continue fixes
			default:
				shown.Text = c.terse
			}
			kept.Changes = append(kept.Changes, shown)
		}
		if f.Then != nil && f.Then.reason != nil {
			next := *f.Then
			if told := f.Then.reason.Told(asker); told != f.Then.reason {
				next = Next{Outcome: f.Then.Outcome, Gate: told.Gate, Reason: told.Code, Title: told.Title}
			}
			kept.Then = &next
		}
		out = append(out, kept)
	}
	return out
}
