package calllog

import (
	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/record"
)

// Bounds of what one record keeps of what a caller sent.
const (
	maxMethod   = 32
	maxHost     = 255
	maxPath     = 2048
	maxQuery    = 2048
	maxAgent    = 512
	maxFault    = 1024
	maxFact     = 1024
	maxFields   = 40
	maxFieldSum = 4096
)

// memory is where the strings and slices of records come from. Whoever fills a record holds its lock.
type memory struct {
	text     arena
	host     usual
	agent    usual
	names    slab[record.Name]
	steps    slab[record.Step]
	facts    slab[decision.Fact]
	attempts slab[record.Attempt]
}

// notable says that a call is one people ask about: refused, failed, or refused by the upstream.
func notable(x *gate.Exchange) bool {
	return !x.Verdict.Passed() && x.Verdict.Outcome() != decision.OutcomeAnswer || x.Result.Status >= 400 ||
		x.Result.Truncated || x.Result.Origin == gate.FromUnreachable
}

// fill makes r, which is empty, the record of x. Everything it keeps is copied: what is in x is a view into buffers that others will use.
// Names from the compiled configuration and the catalogue never change and are kept as they are.
func fill(r *record.Record, x *gate.Exchange, generation uint64, fields bool, m *memory) {
	a := &m.text
	r.ID, r.Time, r.Generation = x.ID, x.Started.UTC(), generation
	r.Method, r.Scheme, r.Proto = word(a, x.Method, maxMethod), word(a, x.Scheme, maxMethod), word(a, x.Proto, maxMethod)
	r.Host, r.Query = m.host.text(a, x.Host, maxHost), a.bounded(redactQuery(x.RawQuery), maxQuery)
	r.Client, r.Peer = a.addr(x.Client), a.addrPort(x.Peer)
	r.Agent = m.agent.text(a, x.Header.Get("User-Agent"), maxAgent)
	r.BytesIn, r.BytesOut = x.Result.BytesIn, x.Result.BytesOut

	r.Application, r.Key = a.keep(x.Principal.Application.ID), a.keep(x.Principal.Key.ID)
	r.Proven, r.CallerTenant = x.Principal.Proven, a.keep(x.Principal.Tenant.ID)

	r.Origin, r.Status, r.ReceivedStatus = string(x.Result.Origin), x.Result.Status, x.Result.ReceivedStatus
	r.Upstream, r.Target = a.keep(x.Result.Upstream), a.keep(x.Result.Target)
	r.Decided, r.FirstByte, r.Took = x.Result.Decided, x.Result.FirstByte, x.Result.Done
	r.Truncated, r.Fault = x.Result.Truncated, a.bounded(redactText(x.Result.Fault), maxFault)
	if path := x.Path; path != "" {
		r.Path = a.bounded(redactText(path), maxPath)
	} else {
		r.Path = a.bounded(redactText(x.RawPath), maxPath)
	}
	if r.Client == "" {
		r.Client = a.addr(x.Peer.Addr().Unmap())
	}
	if r.Key != "" && r.Application == "" {
		r.Application = a.keep(x.Principal.Key.Application) // refused before the application was looked up
	}
	if r.CallerTenant == "" {
		r.CallerTenant = a.keep(x.Principal.Application.Tenant)
	}
	if r.Origin == "" {
		r.Origin = string(gate.FromGateway)
	}
	if op := x.Op; op != nil {
		r.Tenant, r.API, r.Version, r.Operation = op.Tenant, op.API, op.Version, op.Name
	}
	fillVerdict(r, x, m)
	fillAttempts(r, x, m)
	fillModel(r, x, m)
	if fields {
		fillFields(r, x, m)
	}
}

// word keeps short words of the protocol without copying them where they are the usual ones.
func word(a *arena, s string, most int) string {
	switch s {
	case "GET":
		return "GET"
	case "POST":
		return "POST"
	case "PUT":
		return "PUT"
	case "PATCH":
		return "PATCH"
	case "DELETE":
		return "DELETE"
	case "HEAD":
		return "HEAD"
	case "OPTIONS":
		return "OPTIONS"
	case "http":
		return "http"
	case "https":
		return "https"
	case "HTTP/1.1":
		return "HTTP/1.1"
	case "HTTP/2.0":
		return "HTTP/2.0"
	}
	return a.bounded(redactText(s), most)
}

// fillVerdict tells how the call ended. "refused" is what a gate did; "failed" is what happened to a call that the gates had
// let through: no answer, half an answer, or a fault of Postern's own. A call that the upstream answered has "passed" whatever
// the answer was; a refusal of the upstream's own has the reason upstream.refused.
func fillVerdict(r *record.Record, x *gate.Exchange, m *memory) {
	v := x.Verdict
	switch v.Outcome() {
	case decision.OutcomeAnswer:
		r.Outcome = "answered"
	case decision.OutcomePass, decision.OutcomeShadow:
		switch {
		case x.Result.Truncated || x.Result.Origin == gate.FromUnreachable:
			r.Outcome = "failed"
		default:
			r.Outcome = "passed"
			if x.Result.Origin == gate.FromUpstream && x.Result.ReceivedStatus >= 400 {
				r.Reason, r.Gate = decision.UpstreamRefused.Code, decision.UpstreamRefused.Gate
			}
		}
	default:
		r.Outcome = "refused"
		reason := v.Reason()
		if reason == nil {
			reason = decision.Unexplained // an unknown without a reason is a defect of the gate
		}
		if x.Result.Origin == gate.FromUnreachable || x.Result.Truncated || reason == decision.GatewayFault ||
			reason.Gate == decision.UpstreamRefused.Gate && !refusedByGate(x) {
			r.Outcome = "failed"
		}
		r.Reason, r.Gate = reason.Code, reason.Gate
	}
	if rule := v.Rule(); rule != nil && r.Outcome != "passed" {
		r.Rule, r.Pointer = rule.ID, rule.Pointer
	}
	keep := r.Outcome == "refused" || r.Outcome == "failed"
	steps := x.Trace.Steps()
	for i := range steps {
		v := steps[i].Verdict
		keep = keep || v.Outcome() != decision.OutcomePass && v.Outcome() != decision.OutcomeAnswer || len(v.Facts()) > 0
	}
	if keep {
		fillSteps(r, steps, m)
	}
}

// refusedByGate reports whether a gate of the chain refused, as opposed to what forward found on the way.
func refusedByGate(x *gate.Exchange) bool {
	for _, s := range x.Trace.Steps() {
		if o := s.Verdict.Outcome(); o == decision.OutcomeRefuse || o == decision.OutcomeAbstain {
			return true
		}
	}
	return false
}

func fillSteps(r *record.Record, steps []decision.Step, m *memory) {
	r.Steps = m.steps.take(len(steps))
	for i := range steps {
		v := steps[i].Verdict
		s := record.Step{Gate: steps[i].Gate, Outcome: v.Outcome().String()}
		if reason := v.Reason(); reason != nil {
			s.Reason = reason.Code
		}
		if rule := v.Rule(); rule != nil {
			s.Rule, s.Pointer = rule.ID, rule.Pointer
		}
		facts := v.Facts()
		s.Facts = m.facts.take(len(facts))
		for j, f := range facts {
			f.Name = m.text.keep(f.Name)
			f.Want, f.Got = m.text.bounded(redactText(f.Want), maxFact), m.text.bounded(redactText(f.Got), maxFact)
			s.Facts[j] = f
		}
		r.Steps[i] = s
	}
}

// fillAttempts keeps the tries to reach a target when there is something to tell about them.
func fillAttempts(r *record.Record, x *gate.Exchange, m *memory) {
	tries := x.Result.Attempts
	if n := len(tries); n == 0 || n == 1 && tries[0].Reason == nil {
		return
	}
	r.Attempts = m.attempts.take(len(tries))
	for i := range tries {
		t := &tries[i]
		r.Attempts[i] = record.Attempt{Target: m.text.keep(t.Target), Fault: m.text.bounded(redactText(t.Fault), maxFault), Took: t.Took}
		if t.Reason != nil {
			r.Attempts[i].Reason = t.Reason.Code
		}
	}
}

// fillModel keeps what a call to a model used and prices it, by the price that applied when it began. A call without a
// price, or with a usage that cannot be priced, is marked and never counted as free.
func fillModel(r *record.Record, x *gate.Exchange, m *memory) {
	if x.Model == nil {
		return
	}
	r.Model, r.Stream = x.Model.Name, x.Stream
	u := x.Usage
	r.Input, r.CachedInput, r.Output, r.Reasoning, r.Estimated = u.Input, u.CachedInput, u.Output, u.Reasoning, u.Estimated
	if r.Outcome == "refused" || r.Outcome == "answered" || r.Outcome == "failed" && u.Zero() {
		return // nothing was bought
	}
	price := x.Model.PriceAt(x.Started)
	if price == nil {
		r.Unpriced = x.Cost == 0
		r.Cost = int64(x.Cost)
		return
	}
	if x.Cost == 0 {
		cost, err := price.Charge(u)
		if err != nil {
			r.Unpriced = true
			if r.Fault == "" {
				r.Fault = m.text.bounded("the usage cannot be priced: "+err.Error(), maxFault)
			}
			return
		}
		x.Cost = cost
	}
	r.Cost, r.Currency, r.PriceVersion = int64(x.Cost), price.Currency, price.Version
}

// fillFields keeps the request's header fields, so that the call can be judged again, without the secrets among them.
func fillFields(r *record.Record, x *gate.Exchange, m *memory) {
	sum, n := 0, 0
	r.Fields = m.names.take(min(len(x.Header), maxFields))
	for i := range x.Header {
		f := &x.Header[i]
		if n == len(r.Fields) || sum+len(f.Name) >= maxFieldSum {
			break
		}
		value := decision.Redacted
		if !secretField(f.Name, x.Principal.Field) {
			value = redactValue(f.Value)
		}
		name := m.text.bounded(f.Name, 256)
		value = m.text.bounded(value, maxFieldSum-sum-len(name))
		sum += len(name) + len(value)
		r.Fields[n] = record.Name{Name: name, Value: value}
		n++
	}
	r.Fields = r.Fields[:n]
	if n == 0 {
		r.Fields = nil
	}
}
