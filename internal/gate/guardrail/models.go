package guardrail

import (
	"context"
	"encoding/json"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/header"
)

// NewModels makes the gate that answers the list of models in the OpenAI form
// (https://platform.openai.com/docs/api-reference/models/list). It is the last gate of its operation, so only callers whom
// every other gate let through are answered.
func NewModels(models []*gate.Model, rule *decision.Rule) gate.Gate {
	type entry struct {
		ID      string `json:"id"`
		Object  string `json:"object"`
		Created int64  `json:"created"` // when the price list begins; 0 when that is not known
		OwnedBy string `json:"owned_by"`
	}
	list := struct {
		Object string  `json:"object"`
		Data   []entry `json:"data"`
	}{"list", []entry{}}
	for _, m := range models {
		e := entry{ID: m.Name, Object: "model", OwnedBy: m.Owner}
		if e.OwnedBy == "" {
			e.OwnedBy = "postern"
		}
		if len(m.Prices) > 0 && !m.Prices[0].From.IsZero() {
			e.Created = m.Prices[0].From.Unix()
		}
		list.Data = append(list.Data, e)
	}
	body, err := json.Marshal(list)
	if err != nil {
		panic("guardrail: a list of strings and numbers cannot be written as JSON: " + err.Error())
	}
	return &answer{rule: rule, reply: &gate.Reply{
		Status: 200,
		Header: header.List{{Name: "Content-Type", Value: "application/json"}},
		Body:   append(body, '\n'),
	}}
}

// answer is the gate. Its zero value refuses.
type answer struct {
	rule  *decision.Rule
	reply *gate.Reply // shared by all requests, never changed
}

// Check implements gate.Gate.
func (g *answer) Check(_ context.Context, x *gate.Exchange) decision.Verdict {
	if g.reply == nil {
		return decision.Verdict{}
	}
	x.Reply = g.reply
	return decision.Answered(g.rule)
}
