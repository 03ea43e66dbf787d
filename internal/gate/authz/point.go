package authz

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"postern/internal/decision"
	"postern/internal/gate"
)

func itoa(n int) string { return strconv.Itoa(n) }

// Point is an external policy decision point (OpenID AuthZEN Authorization API 1.0). It is asked last and can only refuse.
type Point struct {
	URL           string // of the evaluation endpoint
	Timeout       time.Duration
	Cache         time.Duration
	Authorization string // by reference
	Rule          *decision.Rule
}

type evaluation struct {
	Subject  party          `json:"subject"`
	Action   verb           `json:"action"`
	Resource party          `json:"resource"`
	Context  map[string]any `json:"context,omitempty"`
}

type party struct {
	Type       string         `json:"type"`
	ID         string         `json:"id"`
	Properties map[string]any `json:"properties,omitempty"`
}

type verb struct {
	Name       string         `json:"name"`
	Properties map[string]any `json:"properties,omitempty"`
}

// check returns nil when the decision point agrees.
func (d *Point) check(ctx context.Context, x *gate.Exchange, g *attributed) *decision.Verdict {
	host := hostOf(d.URL)
	body, err := json.Marshal(d.question(x, g))
	if err != nil {
		return unavailable(x, d.Rule, host, "the question cannot be written: "+err.Error())
	}
	said, v := ask(ctx, x, &gate.Question{Method: "POST", URL: d.URL, Body: body, Authorization: d.Authorization, Timeout: d.Timeout, Remember: d.Cache},
		decision.Forbidden, d.Rule, "the decision of "+host)
	if v != nil {
		return v
	}
	if said.Status != 200 {
		return unavailable(x, d.Rule, host, "it answered with status "+itoa(said.Status))
	}
	found, fault := valuesAt(said.Body, [][]string{{"decision"}, {"context", "reason_admin", "en"}, {"context", "reason"}})
	switch {
	case fault != "":
		return unavailable(x, d.Rule, host, "its answer cannot be used: "+fault)
	case found[0].kind != boolean:
		return unavailable(x, d.Rule, host, "its answer has no decision: it is "+found[0].kind.String())
	case found[0].yes:
		return nil
	}
	facts := append(g.who(x), decision.Fact{Name: "rule", Want: "of the decision point " + host})
	for _, why := range found[1:] {
		if why.kind == text {
			facts = append(facts, decision.Fact{Name: "reason", Want: clip(why.text)})
		}
	}
	refused := decision.Refuse(decision.Forbidden, d.Rule, facts...)
	return &refused
}

// question says who calls what. Strings are copied: the exchange is gone when a memory still has the question.
func (d *Point) question(x *gate.Exchange, g *attributed) evaluation {
	p, who := &x.Principal, principal(&x.Principal)
	e := evaluation{
		Subject: party{Type: strings.ToLower(string(who.Type)), ID: string(who.ID), Properties: map[string]any{
			"application": p.Application.ID, "tenant": p.Application.Tenant, "roles": append(append([]string{}, p.Application.Roles...), p.Roles...),
			"scopes": append([]string{}, p.Scopes...)}},
		Action:   verb{Name: string(g.action.ID), Properties: map[string]any{"method": x.Method}},
		Resource: party{Type: "operation", ID: string(g.resource.ID)},
	}
	for i := range p.Attributes {
		if _, taken := e.Subject.Properties[p.Attributes[i].Name]; !taken { // a claim cannot pass for what the gateway says
			e.Subject.Properties[p.Attributes[i].Name] = p.Attributes[i].Value
		}
	}
	if x.NParams > 0 {
		e.Resource.Properties = map[string]any{}
		for _, v := range x.Params[:x.NParams] {
			e.Resource.Properties[v.Name] = v.Value
		}
	}
	if x.Client.IsValid() {
		e.Context = map[string]any{"address": x.Client.String()}
	}
	return e
}

func clip(s string) string {
	const most = 200
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}
