package edge

import (
	"context"
	"net"
	"sync"
	"time"

	"postern/internal/decision"
	"postern/internal/forward"
	"postern/internal/gate"
	"postern/internal/header"
	"postern/internal/http1"
)

// call is everything that one request needs, pooled together.
type call struct {
	x    gate.Exchange
	req  http1.Request // fast engine
	body body
	fast fastSink

	current Current
	fields  header.List // of a refusal
	text    []byte      // body of a refusal
	vector  struct {    // for writing two pieces at once
		parts [2][]byte
		list  net.Buffers
	}
}

var calls = sync.Pool{New: func() any { return new(call) }}

func takeCall() *call { return calls.Get().(*call) }

// release readies the call for another request. One whose body was given up is left to the garbage collector: a reader
// may still hold it.
func (cl *call) release() {
	if !cl.body.release() {
		return
	}
	cl.x.Reset()
	cl.x.Header = nil // it belongs to req
	cl.current = Current{}
	cl.fast.c, cl.fast.x = nil, nil
	cl.req.Body = nil
	calls.Put(cl)
}

// begin starts an exchange: from here on it has a trace id.
func begin(x *gate.Exchange, env *gate.Env) {
	x.Env = env
	x.Started = env.Now()
	x.ID = decision.NewTraceID(x.Started)
	x.Body = gate.NoBody
}

// engineSink is what the lifecycle needs of an engine.
type engineSink interface {
	forward.Sink
	abort()                            // what was sent must not pass for a whole answer
	forwarding()                       // an answer may begin before the request has ended
	setOwn()                           // the answer is the gateway's own
	isEnded() bool                     // End or Upgrade succeeded
	result() (status int, bytes int64) // what was sent; zero when nothing was
}

// run takes one readable request through its life: judge, forward or answer, settle, account.
func (s *Server) run(ctx context.Context, cl *call, w engineSink, set *settings, sh *shard) {
	sh.inFlight.Add(1)
	s.attempt(ctx, cl, w, set)
	cl.body.quiesce()
	s.finish(cl, w, sh)
	sh.inFlight.Add(-1)
}

// refuseUnread answers a request that could not be read far enough to be judged.
func (s *Server) refuseUnread(cl *call, w engineSink, v decision.Verdict, sh *shard) {
	sh.inFlight.Add(1)
	cl.current = s.opts.Current()
	cl.x.Trace.Add("route", v)
	s.refuse(cl, w, v)
	s.finish(cl, w, sh)
	sh.inFlight.Add(-1)
}

// attempt judges and forwards. A panic below it becomes a refusal, so that a defect in one gate costs one request.
func (s *Server) attempt(ctx context.Context, cl *call, w engineSink, set *settings) {
	x := &cl.x
	defer func() {
		if p := recover(); p != nil {
			s.log.panicked(x, p)
			s.fault(cl, w)
		}
	}()
	cl.current = s.opts.Current()
	if v, ok := precheck(x, set); !ok {
		x.Trace.Add("route", v)
		x.Result.Decided = elapsed(x)
		s.refuse(cl, w, v)
		return
	}
	if reply := s.acme.challenge(x); reply != nil {
		x.Reply, x.Verdict = reply, decision.Answered(nil)
		x.Trace.Add("route", x.Verdict)
		s.answer(cl, w)
		return
	}
	v := cl.current.Judge.Judge(ctx, x, gate.StopAtFirst)
	x.Verdict = v
	x.Result.Decided = elapsed(x)
	switch {
	case v.Passed():
		s.pass(ctx, cl, w)
	case v.Outcome() == decision.OutcomeAnswer && x.Reply != nil:
		s.answer(cl, w)
	default:
		if fault, ok := cl.body.refusal(); ok { // the body went wrong under a gate that looked into it: that is the reason
			x.Trace.Add("route", fault)
			v = fault
		}
		s.refuse(cl, w, v)
	}
}

// precheck decides what can be decided before routing.
func precheck(x *gate.Exchange, set *settings) (decision.Verdict, bool) {
	if set.strictSNI && x.TLS != nil && x.TLS.ServerName != "" && !sameHost(x.Host, x.TLS.ServerName) {
		return decision.Refuse(decision.Misdirected, nil,
			decision.Fact{Name: "host", Want: x.TLS.ServerName, Got: x.Host},
		), false
	}
	return decision.Verdict{}, true
}

// pass forwards a request that every gate let through.
func (s *Server) pass(ctx context.Context, cl *call, w engineSink) {
	x := &cl.x
	if x.Body != gate.NoBody {
		_ = cl.body.check()
		var gone error
		switch {
		case cl.body.length == 0: // HTTP/2: only the end of the stream says whether that is true
			_, _, gone = cl.body.Peek(ctx, 1)
		case cl.body.length < 0 && x.Proto != "HTTP/2.0":
			cl.body.hold()
		}
		if v, bad := cl.body.refusal(); bad {
			x.Trace.Add("route", v)
			s.refuse(cl, w, v)
			return
		}
		if gone != nil {
			v := decision.Refuse(decision.ClientGone, nil)
			x.Trace.Add("upstream", v)
			x.Verdict = v
			w.abort()
			return
		}
	}
	w.forwarding()
	v := s.opts.Forwarder.Forward(ctx, x, w)
	if v.Passed() {
		if !w.isEnded() { // a defect of the forwarder; the caller must not suffer a half answer
			if x.Result.Fault == "" {
				x.Result.Fault = "the forwarder returned before it ended the answer"
			}
			x.Result.Truncated = true
			w.abort()
		}
		return
	}
	if fault, bad := cl.body.refusal(); bad && !w.Committed() && !w.isEnded() {
		x.Trace.Add("route", fault) // what the caller sent is at fault, however the forwarder put it
		s.refuse(cl, w, fault)
		return
	}
	x.Trace.Add("upstream", v)
	x.Verdict = v
	switch {
	case w.isEnded(): // broken off, but ended in a way that says so (an error event in a stream)
	case w.Gone() || v.Reason() == decision.ClientGone:
		x.Verdict = decision.Refuse(decision.ClientGone, v.Rule(), v.Facts()...)
		x.Result.Truncated = w.Committed()
		w.abort()
	case w.Committed():
		x.Result.Truncated = true
		w.abort()
	default:
		s.refuse(cl, w, v)
	}
}

// answer sends the complete answer that a gate made.
func (s *Server) answer(cl *call, w engineSink) {
	x := &cl.x
	x.Result.Origin = gate.FromGateway
	w.setOwn()
	r := x.Reply
	if w.Head(r.Status, r.Header, int64(len(r.Body))) == nil {
		_, _ = w.Write(r.Body)
		_ = w.End(nil)
	}
	if !w.isEnded() {
		w.abort()
	}
}

// refuse words the verdict for this caller and sends it.
func (s *Server) refuse(cl *call, w engineSink, v decision.Verdict) {
	x := &cl.x
	x.Verdict = v
	x.Result.Origin = originOf(x, v.Reason())
	w.setOwn()
	status := s.word(cl, v)
	if w.Head(status, cl.fields, int64(len(cl.text))) == nil {
		_, _ = w.Write(cl.text)
		_ = w.End(nil)
	}
	if !w.isEnded() {
		w.abort()
	}
}

// fault answers after a panic.
func (s *Server) fault(cl *call, w engineSink) {
	defer func() {
		if p := recover(); p != nil { // wording or writing it failed too: only the connection is left to say so
			s.log.panicked(&cl.x, p)
			w.abort()
		}
	}()
	v := decision.Refuse(decision.GatewayFault, nil)
	cl.x.Trace.Add("policy", v)
	cl.x.Verdict = v
	cl.body.Interrupt() // whoever panicked may have left a reader behind
	if w.Committed() || w.isEnded() {
		cl.x.Result.Truncated = !w.isEnded()
		w.abort()
		return
	}
	s.refuse(cl, w, v)
}

// finish accounts for the exchange: exactly once, whatever happened before.
//
// Settlers get a context of their own: giving back what was reserved must not fail because the caller has left.
func (s *Server) finish(cl *call, w engineSink, sh *shard) {
	x := &cl.x
	defer func() {
		if p := recover(); p != nil {
			s.log.panicked(x, p)
		}
	}()
	status, sent := w.result()
	x.Result.Status, x.Result.BytesOut = status, sent
	if x.Result.Origin == "" {
		x.Result.Origin = gate.FromGateway
	}
	if x.Result.BytesIn == 0 {
		x.Result.BytesIn = cl.body.taken
	}
	if !x.Verdict.Passed() || x.Result.Done == 0 { // otherwise the forwarder has just looked at the clock
		x.Result.Done = elapsed(x)
	}
	if x.Op != nil {
		x.Op.Chain.Settle(context.Background(), x, x.Usage)
	}
	sh.observe(x)
	if s.opts.Recorder != nil {
		s.opts.Recorder.Record(x, cl.current.Generation)
	}
}

func elapsed(x *gate.Exchange) time.Duration { return x.Env.Now().Sub(x.Started) }

// originOf says who a refusal comes from.
func originOf(x *gate.Exchange, r *decision.Reason) gate.Origin {
	switch r {
	case decision.UpstreamUnreachable, decision.UpstreamTimeout, decision.UpstreamTLS, decision.UpstreamDNS,
		decision.UpstreamBadAnswer, decision.UpstreamNoneHealthy, decision.UpstreamCircuitOpen:
		return gate.FromUnreachable
	}
	return gate.FromGateway
}
