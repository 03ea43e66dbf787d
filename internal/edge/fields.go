package edge

import (
	"strconv"
	"time"

	"postern/internal/gate"
	"postern/internal/header"
	"postern/internal/http1"
)

// answerFields sorts the fields of an upstream's answer: what is the engine's business is left out.
type answerFields struct {
	own  bool // the answer is the gateway's own
	date bool // there was a Date
}

// keep reports whether a field is passed on. Framing is the engine's to write.
//
// RATIONALE: an upstream's Postern-Trace is replaced, since the trace of this gateway is the one a caller can ask about.
// Its RateLimit fields are kept when this gateway counted nothing, and replaced when it did: the nearer limit is the one
// that refuses first, and two limits under one name cannot be told apart.
func (a *answerFields) keep(x *gate.Exchange, f *header.Field) bool {
	if x.Browser.InCharge && !a.own && isCORS(f.Name) {
		return false
	}
	switch len(f.Name) {
	case 4:
		a.date = a.date || header.EqualFold(f.Name, "Date")
	case 7: // the Trailer field announces what the engine passes on
		return !header.EqualFold(f.Name, "Upgrade")
	case 9:
		return !header.EqualFold(f.Name, "RateLimit") || !counted(x)
	case 10, 17: // Connection, Keep-Alive, Transfer-Encoding
		return !header.HopByHop(f.Name)
	case 13:
		return !header.EqualFold(f.Name, "Postern-Trace")
	case 14:
		return !header.EqualFold(f.Name, "Content-Length")
	case 16:
		return !header.HopByHop(f.Name) && (!header.EqualFold(f.Name, "RateLimit-Policy") || !counted(x))
	}
	return true
}

// isCORS reports whether a field says what pages may do (https://fetch.spec.whatwg.org/#http-responses).
func isCORS(name string) bool {
	const prefix = "Access-Control-"
	return len(name) > len(prefix) && header.EqualFold(name[:len(prefix)], prefix)
}

// browserFields calls add for what the answer tells the browser.
func browserFields(x *gate.Exchange, add func(name, value string)) {
	b := &x.Browser
	for _, f := range [...]struct {
		on          bool
		name, value string
	}{
		{b.Vary, "Vary", "Origin"},
		{b.AllowOrigin != "", "Access-Control-Allow-Origin", b.AllowOrigin},
		{b.AllowOrigin != "" && b.Credentials, "Access-Control-Allow-Credentials", "true"},
		{b.AllowOrigin != "" && b.Expose != "", "Access-Control-Expose-Headers", b.Expose},
		{b.Cookie != "", "Set-Cookie", b.Cookie},
	} {
		if f.on {
			add(f.name, f.value)
		}
	}
}

// appendAnswerFields appends the fields that every answer carries: the trace, who spoke when the answer is an upstream's
// refusal, what is left of the limits, and the state of the version.
func appendAnswerFields(b []byte, x *gate.Exchange, status int, own bool) []byte {
	b = append(b, "Postern-Trace: "...)
	b, _ = x.ID.AppendText(b)
	b = append(b, "\r\n"...)
	if !own && status >= 400 {
		b = append(b, "Proxy-Status: "...)
		b = appendReceived(b, status)
		b = append(b, "\r\n"...)
	}
	if x.Browser != (gate.Browser{}) {
		browserFields(x, func(name, value string) { b = http1.AppendField(b, name, value) })
	}
	if counted(x) {
		b = append(b, "RateLimit-Policy: "...)
		b = appendRateLimitPolicy(b, x)
		b = append(b, "\r\nRateLimit: "...)
		b = appendRateLimit(b, x)
		b = append(b, "\r\n"...)
	}
	if op := x.Op; op != nil {
		if op.Deprecation != "" {
			b = http1.AppendField(b, "Deprecation", op.Deprecation)
		}
		if op.Sunset != "" {
			b = http1.AppendField(b, "Sunset", op.Sunset)
		}
		if op.Link != "" {
			b = http1.AppendField(b, "Link", op.Link)
		}
	}
	return b
}

// listAnswerFields is appendAnswerFields for the standard engine.
func listAnswerFields(x *gate.Exchange, status int, own bool, add func(name, value string)) {
	add("Postern-Trace", x.ID.String())
	if !own && status >= 400 {
		add("Proxy-Status", string(appendReceived(nil, status)))
	}
	browserFields(x, add)
	if counted(x) {
		add("RateLimit-Policy", string(appendRateLimitPolicy(nil, x)))
		add("RateLimit", string(appendRateLimit(nil, x)))
	}
	if op := x.Op; op != nil {
		for _, f := range [...]header.Field{{Name: "Deprecation", Value: op.Deprecation}, {Name: "Sunset", Value: op.Sunset}, {Name: "Link", Value: op.Link}} {
			if f.Value != "" {
				add(f.Name, f.Value)
			}
		}
	}
}

func appendReceived(b []byte, status int) []byte {
	b = append(b, "postern; received-status="...)
	return strconv.AppendInt(b, int64(status), 10)
}

// counted reports whether a limit that can refuse was asked. Shadow limits are not announced: they bind nobody.
func counted(x *gate.Exchange) bool {
	for i := range x.Readings {
		if l := x.Readings[i].Limit; l != nil && !l.Shadow {
			return true
		}
	}
	return false
}

// appendRateLimit appends a RateLimit value (draft-ietf-httpapi-ratelimit-headers-10 section 4): "name";r=left;t=seconds.
func appendRateLimit(b []byte, x *gate.Exchange) []byte {
	first := true
	for i := range x.Readings {
		r := &x.Readings[i]
		if r.Limit == nil || r.Limit.Shadow {
			continue
		}
		b = appendItem(b, r.Limit.Name, &first)
		b = append(b, ";r="...)
		b = strconv.AppendInt(b, max(r.Remaining, 0), 10)
		b = append(b, ";t="...)
		b = strconv.AppendInt(b, wholeSeconds(r.Reset), 10)
	}
	return b
}

// appendRateLimitPolicy appends a RateLimit-Policy value (section 3 there): "name";q=quota;w=seconds. A month has no fixed
// number of seconds, so its window is left out.
func appendRateLimitPolicy(b []byte, x *gate.Exchange) []byte {
	first := true
	for i := range x.Readings {
		l := x.Readings[i].Limit
		if l == nil || l.Shadow {
			continue
		}
		b = appendItem(b, l.Name, &first)
		quota, w := policyOf(l)
		b = append(b, ";q="...)
		b = strconv.AppendInt(b, quota, 10)
		if w > 0 {
			b = append(b, ";w="...)
			b = strconv.AppendInt(b, w, 10)
		}
	}
	return b
}

// policyOf returns a limit as its field announces it: so many units in so many seconds. A rate is announced by its burst and
// the time that takes to come back, since that is what r counts down from: the pace is the same.
func policyOf(l *gate.Limit) (quota, seconds int64) {
	if l.Kind == gate.LimitRate {
		if l.Burst <= 0 || l.Max <= 0 {
			return l.Max, wholeSeconds(l.Period)
		}
		return l.Burst, wholeSeconds(time.Duration(float64(l.Period) * float64(l.Burst) / float64(l.Max)))
	}
	switch l.Unit {
	case gate.Second:
		seconds = 1
	case gate.Minute:
		seconds = 60
	case gate.Hour:
		seconds = 3600
	case gate.Day:
		seconds = 86400
	case gate.Week:
		seconds = 7 * 86400
	}
	return l.Max, seconds
}

// wholeSeconds rounds up, so that nobody comes back too early.
func wholeSeconds(d time.Duration) int64 {
	if d <= 0 {
		return 0
	}
	return int64((d + time.Second - 1) / time.Second)
}

// appendItem appends a list separator and a structured string (RFC 9651 section 3.3.3). Other than printable ASCII has
// no place in one and becomes '?'.
func appendItem(b []byte, s string, first *bool) []byte {
	if !*first {
		b = append(b, ", "...)
	}
	*first = false
	return appendSFString(b, s)
}

func appendSFString(b []byte, s string) []byte {
	b = append(b, '"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < ' ' || c > '~':
			b = append(b, '?')
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}
