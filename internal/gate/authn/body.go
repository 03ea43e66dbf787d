package authn

import (
	"context"
	"errors"
	"strconv"

	"postern/internal/decision"
	"postern/internal/gate"
)

const defaultSignedBody = 1 << 20

// wholeBody returns a body whose digest was signed. When it is larger than most, or faulty, the verdict says so.
func wholeBody(ctx context.Context, x *gate.Exchange, rule *decision.Rule, most int) ([]byte, decision.Verdict) {
	b, whole, err := x.Body.Peek(ctx, most)
	if fault, ok := errors.AsType[*gate.BodyError](err); ok {
		return nil, fault.Verdict()
	}
	if err != nil || !whole {
		got := "longer than the " + strconv.Itoa(most) + " bytes that are checked"
		if err != nil {
			got = "broken off"
		}
		return nil, decision.Refuse(decision.DigestMismatch, rule, decision.Fact{Name: "digest", Want: "the body is " + got, Public: decision.ToProven})
	}
	return b, decision.Pass(nil)
}
