package guardrail

import (
	"context"
	"encoding/json"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/header"
)

// IDParam is the path parameter of NewModel's operation: the name of the model, which may contain slashes.
const IDParam = "id"

// entry is a model as callers are told of it (https://platform.openai.com/docs/api-reference/models/object).
type entry struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"` // when the price list begins; 0 when that is not known
	OwnedBy string `json:"owned_by"`
}

func entryOf(m *gate.Model) entry {
	e := entry{ID: m.Name, Object: "model", OwnedBy: m.Owner}
	if e.OwnedBy == "" {
		e.OwnedBy = "postern"
	}
	if len(m.Prices) > 0 && !m.Prices[0].From.IsZero() {
		e.Created = m.Prices[0].From.Unix()
	}
	return e
}

// NewModels makes the gate that answers the list of models in the OpenAI form
// (https://platform.openai.com/docs/api-reference/models/list). It is the last gate of its operation, so only callers whom
// every other gate let through are answered.
func NewModels(models []*gate.Model, rule *decision.Rule) gate.Gate {
	list := struct {
		Object string  `json:"object"`
		Data   []entry `json:"data"`
	}{"list", []entry{}}
	for _, m := range models {
		list.Data = append(list.Data, entryOf(m))
	}
	return &answer{rule: rule, reply: replyOf(list)}
}

// NewModel makes the gate that answers what there is to tell of one model, which the path parameter IDParam names
// (https://platform.openai.com/docs/api-reference/models/retrieve). Like NewModels it is the last gate of its operation.
// It refuses with the reasons of a chat with that model: guardrail.model_unknown and guardrail.model_not_allowed.
func NewModel(c Config) gate.Gate {
	g := &oneModel{models: c.Models, replies: make(map[string]*gate.Reply, len(c.Allowed)), rule: c.Rule}
	for _, m := range c.Allowed {
		g.replies[m.Name] = replyOf(entryOf(m))
	}
	return g
}

// replyOf makes the answer with v, a value of strings and numbers, as JSON.
func replyOf(v any) *gate.Reply {
	body, err := json.Marshal(v)
	if err != nil {
		panic("guardrail: strings and numbers cannot be written as JSON: " + err.Error())
	}
	return &gate.Reply{
		Status: 200,
		Header: header.List{{Name: "Content-Type", Value: "application/json"}},
		Body:   append(body, '\n'),
	}
}

// answer is the gate of the list. Its zero value refuses.
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

// oneModel is the gate of a single model. Its zero value knows no model and refuses.
type oneModel struct {
	models  map[string]*gate.Model
	replies map[string]*gate.Reply // of the allowed ones; shared by all requests, never changed
	rule    *decision.Rule
}

// Check implements gate.Gate.
func (g *oneModel) Check(_ context.Context, x *gate.Exchange) decision.Verdict {
	name := x.Param(IDParam)
	if reply := g.replies[name]; reply != nil {
		x.Reply = reply
		return decision.Answered(g.rule)
	}
	asked := decision.Fact{Name: "model", Got: name, Public: decision.ToProven}
	if g.models[name] == nil {
		return decision.Refuse(decision.ModelUnknown, g.rule, asked)
	}
	return decision.Refuse(decision.ModelNotAllowed, g.rule, asked)
}
