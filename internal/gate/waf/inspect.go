package waf

import (
	"context"
	"fmt"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/corazawaf/coraza/v3/experimental/plugins"
	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
	"github.com/corazawaf/coraza/v3/types"
	"github.com/corazawaf/coraza/v3/types/variables"

	"postern/internal/header"
)

const (
	deadlineVariable = "postern_deadline" // nanoseconds of Unix time, in the transaction's own variables
	overdueOperator  = "posternOverdue"
)

// overdue is the operator of checkpoints: its input is the deadline.
type overdue struct{}

func (overdue) Evaluate(_ plugintypes.TransactionState, deadline string) bool {
	at, err := strconv.ParseInt(deadline, 10, 64)
	return err != nil || time.Now().UnixNano() >= at
}

func init() {
	plugins.RegisterOperator(overdueOperator, func(plugintypes.OperatorOptions) (plugintypes.Operator, error) { return overdue{}, nil })
}

// transaction is what is asked of a Coraza transaction. The last two methods are exported by the implementation only: a
// version of Coraza without them makes every inspection fail, which tests would show.
type transaction interface {
	types.Transaction
	Variables() plugintypes.TransactionVariables
	RemoveRuleByID(id int)
	RemoveRuleTargetByID(id int, variable variables.RuleVariable, key string, pattern *regexp.Regexp)
}

// inspect implements engine. A panic in the engine is an error like any other.
func (s *ruleSet) inspect(ctx context.Context, q *question) (f finding, err error) {
	var tx transaction
	defer func() {
		if p := recover(); p != nil {
			// The transaction is left to the garbage collector: it must not go back to the pool in this state.
			f, err = finding{}, fmt.Errorf("panic: %v\n%s", p, debug.Stack())
			return
		}
		if closing := tx.Close(); closing != nil && err == nil {
			f, err = finding{}, closing
		}
	}()
	tx = s.waf.NewTransactionWithID(q.x.ID.String()).(transaction)
	prepare(tx, q)
	feed(tx, q)
	if tx.ProcessRequestHeaders() == nil {
		if err := ctx.Err(); err != nil {
			return finding{}, err
		}
		for _, a := range q.arguments {
			tx.AddPostRequestArgument(a.name, a.value)
		}
		if len(q.body) > 0 {
			if _, _, err := tx.WriteRequestBody(q.body); err != nil {
				return finding{}, fmt.Errorf("buffering the body: %w", err)
			}
		}
		if _, err := tx.ProcessRequestBody(); err != nil {
			return finding{}, fmt.Errorf("inspecting the body: %w", err)
		}
	}
	return conclude(tx, q), nil
}

// prepare tells a transaction how strict to be and what to leave out.
func prepare(tx transaction, q *question) {
	set := tx.Variables().TX().Set
	set("blocking_paranoia_level", []string{q.paranoia})
	set("detection_paranoia_level", []string{q.paranoia})
	set("inbound_anomaly_score_threshold", []string{q.threshold})
	set(deadlineVariable, []string{strconv.FormatInt(q.deadline.UnixNano(), 10)})
	if q.mediaType != "" {
		set("allowed_request_content_type", []string{"|" + q.mediaType + "|"})
	}
	for _, id := range q.without {
		tx.RemoveRuleByID(id)
	}
	for i := range q.exclusions {
		e := &q.exclusions[i]
		for _, id := range e.rules {
			if e.whole {
				tx.RemoveRuleByID(id)
			} else {
				tx.RemoveRuleTargetByID(id, e.variable, e.key, e.pattern)
			}
		}
	}
}

// feed gives a transaction everything of the request but its body.
func feed(tx transaction, q *question) {
	x := q.x
	client := ""
	if x.Client.IsValid() {
		client = x.Client.String()
	}
	tx.ProcessConnection(client, int(x.Peer.Port()), "", 0)
	uri := x.RawPath
	if x.RawQuery != "" {
		uri += "?" + x.RawQuery
	}
	tx.ProcessURI(uri, x.Method, x.Proto)
	host := false
	for i := range x.Header {
		tx.AddRequestHeader(x.Header[i].Name, x.Header[i].Value)
		host = host || header.EqualFold(x.Header[i].Name, "Host")
	}
	if !host && x.Host != "" {
		tx.AddRequestHeader("Host", x.Host) // HTTP/2 has it in a pseudo field
	}
	tx.SetServerName(x.Hostname)
}

// conclude reads what a transaction found. Everything it keeps is copied: the rest is views of the exchange's buffers.
func conclude(tx transaction, q *question) (f finding) {
	if in := tx.Interruption(); in != nil && in.Action != "allow" {
		if in.RuleID > firstCheckpoint {
			f.unfinished = true
		} else {
			f.refused, f.by = true, in.RuleID
		}
	}
	f.truncated = tx.Variables().ArgumentsLimitReached().Get() == "1"
	if score := tx.Variables().TX().Get("blocking_inbound_anomaly_score"); len(score) > 0 {
		f.score, _ = strconv.Atoi(score[0]) // it is a sum of integers
	}
	for _, r := range tx.MatchedRules() {
		if id := r.Rule().ID(); counts(r, id == f.by) && len(f.hits) < maxHits {
			f.hits = append(f.hits, newHit(id, r))
		}
	}
	return f
}

// counts reports whether a matched rule tells why a request is suspicious: it has a severity, by which it scored, or it
// refused by itself. The rules that set the stage and those that add up the score do not.
func counts(r types.MatchedRule, refused bool) bool {
	switch id := r.Rule().ID(); {
	case id >= 901000 && id < 902000, id >= 949000 && id < 950000, id >= 980000 && id < 990000, id > firstCheckpoint:
		return false
	}
	return refused || r.Rule().Severity() != types.RuleSeverityUnset && r.Message() != ""
}

func newHit(id int, r types.MatchedRule) hit {
	h := hit{rule: id, message: strings.Clone(bounded(r.Message(), 120))}
	whole := false
	for _, d := range r.MatchedDatas() {
		if d.ChainLevel() > 0 || d.Variable() == variables.Unknown {
			continue
		}
		if h.masked == "" {
			h.masked = maskData(matchedPart(d))
		}
		variable := d.Variable().Name()
		shown, exact := variable, variable
		if key := d.Key(); key != "" {
			masked := maskName(key)
			shown += ":" + masked
			if masked == key {
				exact = shown
			}
		}
		switch {
		case d.Variable() == variables.TX: // made by an earlier rule, and no part of the request
			whole = true
		case len(h.matched) >= maxMatched: // one variable with many names
			exact = variable
		}
		if !slices.Contains(h.matched, shown) && len(h.matched) < maxMatched {
			h.matched = append(h.matched, shown)
		}
		if !slices.Contains(h.exclude, exact) && !slices.Contains(h.exclude, variable) {
			h.exclude = append(h.exclude, exact)
		}
	}
	if whole {
		h.exclude = nil
	}
	return h
}

// matchedPart is what the rule says it found within the variable, or else the whole of it.
func matchedPart(d types.MatchData) string {
	if _, rest, ok := strings.Cut(d.Data(), "Matched Data: "); ok {
		if part, _, ok := strings.Cut(rest, " found within "); ok && strings.Contains(d.Value(), part) {
			return part
		}
	}
	return d.Value()
}
