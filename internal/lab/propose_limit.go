package lab

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"postern/internal/decision"
	"postern/internal/directory"
	"postern/internal/gate"
	"postern/internal/policy"
)

// limitProposals are candidates for the gate limit.
var limitProposals = map[string]proposal{
	decision.LimitRate.Code:        {find: (*question).moreRoom},
	decision.LimitQuota.Code:       {find: (*question).moreRoom},
	decision.LimitBudget.Code:      {find: (*question).waitOut, whyNot: "how much the call may cost is not known before it is made"},
	decision.LimitConcurrency.Code: {whyNot: "when one of the requests in progress ends is not known; a request ends, and the next may begin"},
	decision.LimitUnavailable.Code: {find: (*question).uncounted},
}

// waitOut proposes to wait as long as the limit says.
func (q *question) waitOut() []Change {
	wait := q.retry()
	if wait <= 0 {
		return nil
	}
	return []Change{waitFor((wait + time.Second - 1).Truncate(time.Second))}
}

// waitFor waits.
func waitFor(d time.Duration) Change {
	size := 1
	for _, long := range []time.Duration{time.Minute, time.Hour, 24 * time.Hour} {
		if d > long {
			size++
		}
	}
	return Change{
		Kind: "wait", Who: byCaller, Target: "time", To: policy.Duration(d).String(), Risk: RiskNone, size: size, public: decision.ToAnyone, wait: d,
		Text:  "Wait " + policy.Duration(d).String() + " and send the request again.",
		apply: func(w *world) error { w.wait += d; return nil },
	}
}

// retry is how long until there is room. Only the gate that refused knows; later gates may have said something else.
func (q *question) retry() time.Duration {
	if r := q.v.Rule(); r != nil {
		for _, reading := range q.a.x.Readings {
			if reading.Limit.ID == r.ID && reading.Retry > 0 {
				return reading.Retry
			}
		}
	}
	return q.a.x.RetryAfter
}

// moreRoom proposes to wait, to move the subscription to another plan, and to raise the limit.
func (q *question) moreRoom() []Change {
	out := q.waitOut()
	at := q.pointer()
	if plan, ok := strings.CutPrefix(at, "/plans/"); ok {
		plan, _, _ = strings.Cut(plan, "/")
		out = append(out, q.otherPlans(tokens("/" + plan)[0])...)
	}
	l, ok := valueAt[policy.Limit](q.w.document(), at)
	if !ok {
		return out
	}
	c := Change{Kind: "raise_limit", Who: byOperator, Target: at, Risk: RiskSeveral}
	var raise func(*policy.Limit)
	switch {
	case l.Rate != nil:
		r := *l.Rate
		burst := r.Burst
		if burst == 0 {
			burst = r.Requests
		}
		used := burst + 1 // one more at once than now
		c.From, c.To = fmt.Sprintf("burst %d", burst), fmt.Sprintf("burst %d", used)
		c.Text = fmt.Sprintf("Raise the burst of the limit %s from %d to %d, or its rate.", l.Name, burst, used)
		raise = func(l *policy.Limit) { r := *l.Rate; r.Burst = used; l.Rate = &r }
	case l.Quota != nil:
		n := l.Quota.Requests
		c.From, c.To = strconv.FormatInt(n, 10), strconv.FormatInt(n+1, 10)
		c.Text = fmt.Sprintf("Raise the quota of the limit %s: it has %d a %s, and one more is enough for this request.", l.Name, n, l.Quota.Per)
		raise = func(l *policy.Limit) { quota := *l.Quota; quota.Requests = n + 1; l.Quota = &quota }
	default:
		return out
	}
	c.apply = func(w *world) error {
		return edit(w, c.id(), at, func(l *policy.Limit) error { raise(l); return nil })
	}
	return append(out, c)
}

const mostPlans = 3

// otherPlans proposes plans that would count the application by other limits.
func (q *question) otherPlans(now string) (out []Change) {
	s := q.principal().Subscription
	if s.ID == "" {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(q.w.document().Plans)) {
		if name == now || len(out) == mostPlans {
			continue
		}
		out = append(out, Change{
			Kind: "change_plan", Who: byOperator, Target: "subscription " + s.ID, From: now, To: name, Risk: RiskOne,
			Text: fmt.Sprintf("Give the subscription %s the plan %s in place of %s.", s.ID, name, now),
			apply: func(w *world) error {
				var row directory.Subscription
				if ok, err := w.people.Subscription(s.Application, s.API, s.Version, &row); err != nil || !ok {
					return errGone
				}
				row.Plan = name
				w.people.putSubscription(row)
				return nil
			},
		})
	}
	return out
}

// uncounted proposes to let requests pass while nothing counts them.
func (q *question) uncounted() []Change {
	at := q.pointer()
	l, ok := valueAt[policy.Limit](q.w.document(), at)
	if !ok {
		return nil
	}
	c := Change{
		Kind: "pass_uncounted", Who: byOperator, Target: at + "/on_unavailable", To: "pass", Risk: RiskSeveral,
		Text: "Restore the counters, or choose `on_unavailable: pass` for the limit " + l.Name + ": requests pass uncounted while they do not answer.",
	}
	c.apply = func(w *world) error {
		return edit(w, c.id(), at, func(l *policy.Limit) error { l.OnUnavailable = "pass"; return nil })
	}
	return []Change{c}
}

// upstreamProposals are candidates for the gate upstream.
var upstreamProposals = map[string]proposal{
	decision.UpstreamNoneHealthy.Code: {find: func(q *question) []Change {
		return q.mend("restore_upstream", "Bring a target of the upstream %s back: its health check has to pass.")
	}},
	decision.UpstreamCredential.Code: {find: func(q *question) []Change {
		return q.mend("provide_credential", "Provide the secret that the credential of the upstream %s refers to, and reload.")
	}},
	decision.UpstreamCircuitOpen.Code: {find: func(q *question) []Change {
		var out []Change
		if u := q.upstream(); u != nil {
			now := q.a.x.Env.Now()
			if wait := u.State(now).Until.Sub(now); wait > 0 {
				wait = (wait + time.Second - 1).Truncate(time.Second)
				c := waitFor(wait)
				c.Text = "Wait " + c.To + " and send the request again: the circuit then lets a trial through, and stays closed if the backend answers."
				out = append(out, c)
			}
		}
		return append(out, q.mend("restore_upstream", "Put right why calls to the upstream %s fail; the circuit closes by itself.")...)
	}},
}

func (q *question) upstream() gate.Upstream {
	switch x := q.a.x; {
	case x.Model != nil:
		return x.Model.Upstream
	case x.Op != nil:
		return x.Op.Upstream
	}
	return nil
}

func (q *question) mend(kind, text string) []Change {
	u := q.upstream()
	if u == nil {
		return nil
	}
	name := u.Name()
	c := Change{Kind: kind, Who: byOperator, Target: "upstream " + name, Risk: RiskNone, size: 3, Text: fmt.Sprintf(text, name)}
	c.apply = func(w *world) error { w.mend(name, c.id()); return nil }
	return []Change{c}
}
