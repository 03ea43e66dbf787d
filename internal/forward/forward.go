package forward

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/header"
	"postern/internal/http1"
	"postern/internal/provider"
)

// Options are what a Forwarder needs. Zero fields mean defaults.
type Options struct {
	Logger *slog.Logger // default: slog.Default()
	// Translators returns the translator for a caller's dialect ("openai"), or nil when there is none.
	Translators func(dialect string) provider.Translator
	Via         string // pseudonym in the Via field; default "postern"
}

// Forwarder sends judged requests to the upstream their operation or model leads to. It is safe for concurrent use.
type Forwarder struct {
	log         logger
	translators func(string) provider.Translator
	name        string
	via10       string
	via11       string
	via2        string
	calls       sync.Pool
}

// New returns a Forwarder.
func New(o Options) *Forwarder {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Via == "" {
		o.Via = "postern"
	}
	f := &Forwarder{log: o.Logger, translators: o.Translators, name: o.Via, via10: "1.0 " + o.Via, via11: "1.1 " + o.Via, via2: "2.0 " + o.Via}
	f.calls.New = func() any { return &call{text: make([]byte, 0, 512)} }
	return f
}

// via returns the Via value for the protocol a request came by (RFC 9110 section 7.6.3).
func (f *Forwarder) via(proto string) string {
	switch proto {
	case "HTTP/1.0":
		return f.via10
	case "HTTP/2.0":
		return f.via2
	}
	return f.via11
}

// Forward sends x to its upstream and passes the answer to w. It returns when the exchange is over: nothing of x, w or the
// request body is used afterwards.
//
// It passes when an answer was passed on, whatever its status; x.Result says what came. It refuses when there is none: the
// reason is upstream.unreachable, .timeout, .tls, .dns, .bad_answer, .none_healthy, .circuit_open, .credential or
// .client_gone, or what a fault of the request body deserves. If w was committed by then, x.Result.Truncated is set and the
// engine must break the caller's connection, unless End was called: a stream of a language model that breaks off is ended with
// an event that says so.
//
// Cancelling ctx ends the wait for a connection and calls over HTTP/2; otherwise the engine's watcher ends a call (see
// Sink.Watch).
func (f *Forwarder) Forward(ctx context.Context, x *gate.Exchange, w Sink) decision.Verdict {
	var to gate.Upstream
	if x.Model != nil {
		to = x.Model.Upstream
	} else if x.Op != nil {
		to = x.Op.Upstream
	}
	up, ok := to.(*Upstream)
	if !ok {
		x.Result.Origin = gate.FromGateway
		x.Result.Fault = fmt.Sprintf("the operation leads to no upstream that can be called (%T)", to)
		return decision.Refuse(decision.GatewayFault, nil, decision.Fact{Name: "fault", Want: x.Result.Fault})
	}
	c := f.calls.Get().(*call)
	c.f, c.ctx, c.x, c.w, c.up = f, ctx, x, w, up
	v := c.run()
	c.reset()
	f.calls.Put(c)
	return v
}

// call is one Forward at work. It is pooled.
type call struct {
	f   *Forwarder
	ctx context.Context
	x   *gate.Exchange
	w   Sink
	up  *Upstream

	fields header.List // of the request, without Host and framing
	text   []byte      // what was written for this request; strings are views into it
	path   string      // below the target's prefix, with the query

	body       []byte // the whole request body, if it is at hand
	whole      bool   // body is all of it
	consumed   bool   // reading the body from the caller has begun: it cannot be sent again
	idempotent bool
	grpc       bool
	total      int64 // deadline in ticks; zero: none

	out    *http1.Buffer // head and small body, until they are sent
	tried  []*target
	answer provider.Answer // of an LLM call, once its head came
	handed bool            // the sink has the head: no further attempt
	status int             // received
	sinkIs error           // what the sink said when it failed

	ended    time.Time // of the last attempt
	leave    permit    // of the attempt under way
	trialled bool      // it was a trial and has been reported
}

func (c *call) reset() {
	clear(c.fields)
	clear(c.tried)
	*c = call{fields: c.fields[:0], text: c.text[:0], tried: c.tried[:0]}
	if cap(c.text) > 16<<10 {
		c.text = make([]byte, 0, 512)
	}
}

func (c *call) now() time.Time { return c.x.Env.Now() }

func (c *call) run() decision.Verdict {
	x, p := c.x, c.up.pool
	x.Result.Upstream = p.name
	if c.up.missing != "" {
		return c.refuse(decision.Refuse(decision.UpstreamCredential, nil, decision.Fact{Name: "reference", Want: c.up.missing}), gate.FromGateway, c.up.missing)
	}
	if p.limits.total != 0 {
		c.total = ticks() + int64(p.limits.total)
	}
	c.idempotent = idempotent(x.Method)
	if f := c.prepare(); f != nil {
		return c.failed(f, nil)
	}
	c.outgoing()
	p.budget.earn()
	var last *fault
	var lastTarget *target
	for {
		start := c.now()
		leave, until, ok := p.circuit.enter(start)
		if !ok {
			if last != nil {
				return c.failed(last, lastTarget)
			}
			return c.circuitOpen(until.Sub(start), until)
		}
		t := p.balance.pick(x, start.UnixNano(), c.tried)
		if t == nil {
			p.circuit.cancelled(leave)
			if last != nil {
				return c.failed(last, lastTarget)
			}
			return c.noneHealthy(start)
		}
		if last != nil {
			t.retries.Add(1)
		}
		c.tried = append(c.tried, t)
		f := c.judged(t, leave, start)
		if f == nil {
			return c.passed()
		}
		if !f.repeat && !c.again(f) {
			return c.failed(f, t)
		}
		last, lastTarget = f, t
	}
}

// attempt makes one call to a target, over the protocol it speaks.
func (c *call) attempt(t *target) *fault {
	t.calls.Add(1)
	t.inflight.Add(1)
	defer t.inflight.Add(-1)
	c.x.Result.Target, c.x.Result.Protocol, c.x.Result.Connect, c.status = t.name, "HTTP/1.1", 0, 0
	switch p := t.pool; {
	case p.protocol == "h2c", p.protocol == "h2", t.speaks.Load() == 2 && c.x.Upgrade == "":
		return c.overHTTP2(t)
	default:
		return c.overHTTP1(t)
	}
}

// judged makes an attempt, records it, and teaches target and circuit. A panic must not keep the place of a trial.
func (c *call) judged(t *target, leave permit, start time.Time) *fault {
	c.leave, c.trialled = leave, false
	over := false
	defer func() {
		if !over && !c.trialled {
			t.pool.circuit.cancelled(leave)
		}
	}()
	f := c.attempt(t)
	over = true
	c.note(t, f, start)
	return f
}

// trial reports a trial of a half-open circuit as soon as the head of a good answer is there: a stream may last for hours.
func (c *call) trial(status int) {
	if p := c.up.pool; c.leave.trial && !p.failing(status) {
		p.circuit.done(c.leave, c.now(), false)
		c.leave, c.trialled = permit{}, true
	}
}

func (c *call) note(t *target, f *fault, start time.Time) {
	p, end := t.pool, c.now()
	c.ended = end
	a := gate.Attempt{Target: t.name, Took: end.Sub(start)}
	if f != nil {
		a.Reason, a.Fault = f.reason, f.Error()
		if f.verdict != nil {
			a.Reason = f.verdict.Reason()
		}
	}
	c.x.Result.Attempts = append(c.x.Result.Attempts, a)
	if f != nil && f.ours {
		p.circuit.cancelled(c.leave)
		return
	}
	bad := f != nil || p.failing(c.status)
	if bad || !c.trialled {
		p.circuit.done(c.leave, end, bad)
	}
	if bad {
		t.failed(end)
	} else {
		t.succeeded()
	}
}

var failingStatus = []int{502, 503, 504}

// failing reports whether an answer counts as a failure of the target.
func (p *pool) failing(status int) bool {
	if status < 400 {
		return false
	}
	if p.passive != nil {
		return slices.Contains(p.passive.status, status)
	}
	return slices.Contains(failingStatus, status)
}

// idempotent reports whether repeating a request has no further effect (RFC 9110 section 9.2.2).
func idempotent(method string) bool {
	switch method {
	case "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE":
		return true
	}
	return false
}

// repeatable reports whether the request could be sent another time in full.
func (c *call) repeatable() bool { return c.whole || !c.consumed }

// again decides whether a failed attempt is followed by another one.
func (c *call) again(f *fault) bool {
	switch {
	case f.ours || c.handed || f.phase == phaseTotal || !c.repeatable():
		return false
	case !f.unsent && !c.idempotent:
		return false
	}
	return c.another()
}

// another takes one retry from the budget, if there is a target to spend it on.
func (c *call) another() bool {
	p := c.up.pool
	if len(c.tried) >= p.attempts || c.w.Gone() {
		return false
	}
	now := c.now().UnixNano()
	for _, t := range p.targets {
		if fit(t, now, c.tried) {
			return p.budget.spend()
		}
	}
	return false
}

// repeats reports whether an answer with that status is left for another attempt.
func (c *call) repeats(status int) bool {
	p := c.up.pool
	return len(p.repeat) > 0 && c.idempotent && c.repeatable() && slices.Contains(p.repeat, status) && c.another()
}

// passed closes the books on an exchange whose answer was passed on.
func (c *call) passed() decision.Verdict {
	r := &c.x.Result
	r.Origin = gate.FromUpstream
	r.Done = c.ended.Sub(c.x.Started)
	return decision.Pass(nil)
}

// failed closes the books on an exchange without an answer, or with a broken one.
func (c *call) failed(f *fault, t *target) decision.Verdict {
	target, origin := "", gate.FromUnreachable
	if t != nil {
		target = t.name
	}
	if f.ours {
		origin = gate.FromGateway
	}
	return c.refuse(f.word(c.up.pool.name, target), origin, f.Error())
}

func (c *call) refuse(v decision.Verdict, from gate.Origin, fault string) decision.Verdict {
	r := &c.x.Result
	r.Origin, r.Fault, r.Done = from, fault, c.now().Sub(c.x.Started)
	if r.Truncated = c.w.Committed(); !r.Truncated {
		r.Status = 0
	}
	return v
}

func (c *call) circuitOpen(left time.Duration, until time.Time) decision.Verdict {
	c.x.RetryAfter = max(left, 0)
	return c.refuse(decision.Refuse(decision.UpstreamCircuitOpen, nil,
		decision.Fact{Name: "upstream", Want: c.up.pool.name, Public: decision.ToProven},
		decision.Fact{Name: "until", Want: until.UTC().Format(time.RFC3339), Public: decision.ToProven},
	), gate.FromGateway, "the circuit is open")
}

func (c *call) noneHealthy(now time.Time) decision.Verdict {
	p := c.up.pool
	var names []string
	wait := time.Duration(0)
	for _, t := range p.targets {
		names = append(names, t.name)
		if left := time.Duration(t.ejected.Load() - now.UnixNano()); left > 0 && (wait == 0 || left < wait) {
			wait = left
		}
	}
	if p.check != nil && wait == 0 {
		wait = p.check.Interval.Or(defaultInterval)
	}
	c.x.RetryAfter = wait
	return c.refuse(decision.Refuse(decision.UpstreamNoneHealthy, nil,
		decision.Fact{Name: "upstream", Want: p.name, Public: decision.ToProven},
		decision.Fact{Name: "targets", Want: strings.Join(names, ", ")},
	), gate.FromGateway, "no target is healthy")
}
