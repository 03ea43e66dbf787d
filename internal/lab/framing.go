package lab

import (
	"errors"
	"strings"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/http1"
	"postern/internal/policy"
)

// unreadable asks the strict reader of the data plane whether it would take the head of the request at all: two lengths, two
// hosts or a header too large end a request before any gate is asked, and the lab must not call such a one allowed.
func unreadable(x *gate.Exchange, d *policy.Document) (decision.Verdict, bool) {
	var head strings.Builder
	head.WriteString(x.Method + " " + x.Target + " HTTP/1.1\r\n")
	for _, f := range x.Header {
		head.WriteString(f.Name + ": " + f.Value + "\r\n")
	}
	head.WriteString("\r\n")
	r := http1.NewReader(strings.NewReader(head.String()), headLimits(d))
	defer r.Release()
	var req http1.Request
	bad, ok := errors.AsType[*http1.ParseError](r.ReadRequest(&req))
	if !ok {
		return decision.Verdict{}, false
	}
	fact := decision.Fact{Name: "fault", Want: bad.Detail, Public: decision.ToAnyone}
	switch {
	case bad.Status == 414 || bad.Status == 431:
		fact.Name = "limit"
		return decision.Refuse(decision.HeaderTooLarge, nil, fact), true
	case bad.Code == http1.BadExpectation:
		return decision.Refuse(decision.ExpectationFailed, nil, fact), true
	}
	return decision.Refuse(decision.RequestMalformed, nil, fact), true
}

// headLimits is the widest limits of the listeners, as mostBody is. Defaults are those of policy.MessageLimits.
func headLimits(d *policy.Document) (l http1.Limits) {
	const defaultBytes, defaultCount = 32 << 10, 100
	if d != nil {
		for _, listener := range d.Listeners {
			size, count := listener.Limits.HeaderBytes, listener.Limits.HeaderCount
			if size == 0 {
				size = defaultBytes
			}
			if count == 0 {
				count = defaultCount
			}
			l.HeaderBytes, l.HeaderCount = max(l.HeaderBytes, size), max(l.HeaderCount, count)
		}
	}
	if l.HeaderBytes == 0 {
		l.HeaderBytes, l.HeaderCount = defaultBytes, defaultCount
	}
	l.LineBytes, l.FieldBytes = l.HeaderBytes, l.HeaderBytes
	return l
}
