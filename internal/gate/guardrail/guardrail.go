// Package guardrail is the gate of model calls: it reads from the body which model is asked for and whether the answer is to
// be streamed, and decides whether this caller may have that model at this price. It also answers the list of models.
//
// The body is judged exactly as strictly as it must be for the gateway and the model server to read the same request: it is
// valid JSON, an object, with one "model". Everything else in it belongs to the dialect and is passed on.
package guardrail

import (
	"context"
	"errors"
	"strconv"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/header"
)

// MaxBody is how many bytes a model request may have when its operation sets no limit: prompts with images are large, but
// the body has to be read whole before it is judged.
const MaxBody = 16 << 20

// Config is what an operation asks of model calls.
type Config struct {
	Models         map[string]*gate.Model // every model of the document, by the name callers use
	Allowed        []*gate.Model          // those that may be used here
	RefuseUnpriced bool
	Rule           *decision.Rule
}

// New makes the gate of a chat operation. When it passes, x.Model and x.Stream are set. It refuses with
// guardrail.unreadable, guardrail.model_unknown, guardrail.model_not_allowed and guardrail.unpriced, and with the reason the
// body gives (gate.BodyError) when it cannot be had. A simulated request without a body is unknown.
func New(c Config) gate.Gate {
	g := &chat{models: c.Models, allowed: make(map[string]bool, len(c.Allowed)), priced: c.RefuseUnpriced, rule: c.Rule}
	for _, m := range c.Allowed {
		g.allowed[m.Name] = true
	}
	return g
}

// chat is the gate. Its zero value knows no model and refuses.
type chat struct {
	models  map[string]*gate.Model
	allowed map[string]bool
	priced  bool
	rule    *decision.Rule
}

// Check implements gate.Gate.
func (g *chat) Check(ctx context.Context, x *gate.Exchange) decision.Verdict {
	if x.Env.Dry && x.Body.Length() == 0 {
		return decision.Abstain(decision.PromptUnreadable, g.rule,
			decision.Fact{Name: "body", Want: "the JSON body, which names the model", Public: decision.ToAnyone})
	}
	if coding := x.Header.Get("Content-Encoding"); coding != "" && !header.EqualFold(coding, "identity") {
		return g.unreadable("it is compressed (Content-Encoding), and a model request must not be")
	}
	limit := x.Op.BodyBytes
	if limit <= 0 || limit > MaxBody {
		limit = MaxBody
	}
	body, whole, err := x.Body.Peek(ctx, int(limit))
	if err != nil {
		if fault, ok := errors.AsType[*gate.BodyError](err); ok {
			return fault.Verdict()
		}
		return decision.Refuse(decision.ClientGone, g.rule)
	}
	if !whole {
		return decision.Refuse(decision.RequestTooLarge, g.rule,
			decision.Fact{Name: "limit", Want: strconv.FormatInt(limit, 10), Public: decision.ToAnyone})
	}
	call, fault := readCall(body)
	if fault != "" {
		return g.unreadable(fault)
	}
	x.Stream = call.stream
	return g.judge(x, call.model)
}

// judge decides about a model by name. x.Model is set as soon as it is known, so that a shadowed refusal can be sent on.
func (g *chat) judge(x *gate.Exchange, name string) decision.Verdict {
	asked := decision.Fact{Name: "model", Got: name, Public: decision.ToProven}
	m := g.models[name]
	if m == nil {
		return decision.Refuse(decision.ModelUnknown, g.rule, asked)
	}
	x.Model = m
	if !g.allowed[name] {
		return decision.Refuse(decision.ModelNotAllowed, g.rule, asked)
	}
	if g.priced && m.PriceAt(x.Env.Now()) == nil {
		return decision.Refuse(decision.Unpriced, g.rule, asked)
	}
	return decision.Pass(g.rule)
}

func (g *chat) unreadable(fault string) decision.Verdict {
	return decision.Refuse(decision.PromptUnreadable, g.rule, decision.Fact{Name: "fault", Want: fault, Public: decision.ToAnyone})
}
