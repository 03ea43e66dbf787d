package snapshot

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"postern/internal/gate"
	"postern/internal/gate/guardrail"
	"postern/internal/gate/route"
	"postern/internal/llm"
	"postern/internal/policy"
)

// compileLLM makes the operations of an API of kind llm. They stand in the document as the version itself, so its pointer is
// theirs.
func (b *builder) compileLLM(v *version, sound bool) {
	at := v.pointer + "/llm"
	if len(v.Operations) > 0 {
		b.problem(v.pointer+"/operations", "remove them, or set kind: http on the API", "an API of kind llm has the operations of its dialect and no others")
	}
	if v.Upstream != "" {
		b.problem(v.pointer+"/upstream", "remove it: each model names its upstream", "an API of kind llm has no upstream of its own")
	}
	if v.LLM == nil {
		b.problem(at, "add llm: {dialect: openai}", "an API of kind llm needs to say which dialect it speaks")
		return
	}
	if v.LLM.Dialect == "" {
		b.problem(at+"/dialect", "write dialect: openai", "the dialect is missing")
	} else {
		b.oneOf(at+"/dialect", v.LLM.Dialect, "openai")
	}
	b.oneOf(at+"/unpriced", v.LLM.Unpriced, "refuse", "flag")
	models := b.modelsOf(v, at)
	for _, own := range llmOperations {
		o := &operation{v: v, id: v.id + "/" + own.name, pointer: v.pointer, permission: v.LLM.Permission, scopes: v.LLM.Scopes,
			authn: v.Authn, authnPointer: v.pointer + "/authn", limits: v.limits}
		o.op = &gate.Operation{Name: own.name, Title: own.title, Method: own.method, Template: v.base + own.path,
			Dialect: v.LLM.Dialect, LLM: own.kind, Models: models}
		if own.kind == "chat" {
			o.op.BodyBytes = guardrail.MaxBody
		}
		b.finish(o, "", sound)
	}
}

// llmOperations are the operations that Postern generates for an API of kind llm.
var llmOperations = [...]struct{ name, title, method, path, kind string }{
	{"chat", "request chat completions", "POST", "/chat/completions", "chat"},
	{"models", "list models", "GET", "/models", "models"},
	{"model", "retrieve a model", "GET", "/models/{" + guardrail.IDParam + "...}", "model"}, // names may have slashes
}

// modelsOf returns the models that may be used, sorted by name.
func (b *builder) modelsOf(v *version, at string) (models []*gate.Model) {
	all := slices.Sorted(maps.Keys(b.doc.Models))
	if len(all) == 0 {
		b.problem(at+"/models", "add a model under /models, such as gpt-4o: {upstream: openai}", "there is no model this API could offer")
	}
	names := v.LLM.Models
	if len(names) == 0 {
		names = all
	}
	seen := make(map[string]bool, len(names))
	for i, name := range names {
		switch m := b.models[name]; {
		case m == nil:
			remedy := "add it under /models, or remove it here"
			if near := policy.Suggest(name, all); near != "" {
				remedy = "did you mean " + near + "?"
			}
			b.problem(at+"/models/"+strconv.Itoa(i), remedy, "there is no model %q", name)
		case seen[name]:
			b.problem(at+"/models/"+strconv.Itoa(i), "remove it", "the model %q is listed twice", name)
		default:
			models = append(models, m)
		}
		seen[name] = true
	}
	slices.SortFunc(models, func(a, b *gate.Model) int { return cmp.Compare(a.Name, b.Name) })
	return models
}

// model compiles a model.
func (b *builder) model(name string, m policy.Model) *gate.Model {
	at := "/models/" + policy.EscapePointer(name)
	if name == "" || len(name) > 256 || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		b.problem(at, "use a name such as gpt-4o-mini", "%q is no name of a model", name)
	}
	if m.Upstream == "" {
		b.problem(at+"/upstream", "name an upstream that speaks the OpenAI dialect", "the model leads to no upstream")
	}
	b.checkUpstreamName(at+"/upstream", m.Upstream)
	path := m.Path
	switch {
	case path == "":
		path = "/v1"
	case path == "/":
		path = ""
	default:
		normal, fault := route.Normalise(path, route.RefuseEncodedSlash)
		if fault != nil {
			b.problem(at+"/path", fault.Remedy, "%s", fault.Text)
		} else if strings.HasSuffix(normal, "/") {
			b.problem(at+"/path", "write "+strings.TrimRight(normal, "/"), "the path ends with a slash")
		}
		path = normal
	}
	return &gate.Model{
		Name: name, Owner: m.Owner, UpstreamName: cmp.Or(m.Name, name), Path: path,
		Upstream: b.upstreams[m.Upstream], Prices: b.prices(at+"/prices", m.Prices),
	}
}

// prices compiles a price list, oldest first.
func (b *builder) prices(at string, list []policy.ModelPrice) (prices []gate.TimedPrice) {
	versions := make(map[string]int, len(list))
	for i, p := range list {
		at := at + "/" + strconv.Itoa(i)
		if p.Version == "" {
			b.problem(at+"/version", "name it, such as 2026-01: charges are recorded with it", "the price has no version")
		} else if first, ok := versions[p.Version]; ok {
			b.problem(at+"/version", "give each price its own version", "the version %q is also item %d of this list", p.Version, first)
		}
		versions[p.Version] = i
		currency := cmp.Or(p.Currency, "USD")
		if len(currency) != 3 || strings.Trim(currency, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
			b.problem(at+"/currency", "write an ISO 4217 code, such as EUR", "%q is no currency", currency)
		}
		input := b.perToken(at+"/input", p.Input)
		output := b.perToken(at+"/output", p.Output)
		t := gate.TimedPrice{From: b.time(at+"/from", p.From), Price: llm.Price{
			Version: p.Version, Currency: currency, Input: input, CachedInput: input, Output: output, Reasoning: output}}
		if p.CachedInput != "" {
			t.Price.CachedInput = b.perToken(at+"/cached_input", p.CachedInput)
		}
		if p.Reasoning != "" {
			t.Price.Reasoning = b.perToken(at+"/reasoning", p.Reasoning)
		}
		for j, other := range prices {
			if other.From.Equal(t.From) {
				b.problem(at+"/from", "let each price begin at its own time", "the price %q begins when %q does", p.Version, prices[j].Price.Version)
			}
		}
		prices = append(prices, t)
	}
	slices.SortStableFunc(prices, func(a, b gate.TimedPrice) int { return a.From.Compare(b.From) })
	return prices
}

// perToken turns an amount per million tokens into one per token, exactly.
func (b *builder) perToken(pointer, s string) llm.Money {
	const tokens = 1_000_000
	const remedy = `write a decimal per million tokens with at most 6 digits after the point, such as "0.15"`
	if s == "" {
		b.problem(pointer, remedy, "the price is missing")
		return 0
	}
	m, err := llm.ParseMoney(s)
	switch {
	case err != nil:
		b.problem(pointer, remedy, "%v", err)
	case m < 0:
		b.problem(pointer, remedy, "the price %s is negative", s)
	case m%tokens != 0:
		b.problem(pointer, remedy, "the price %s has more digits than can be counted exactly for one token", s)
	}
	return m / tokens
}
