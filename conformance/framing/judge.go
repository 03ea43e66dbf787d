package framing

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"postern/conformance/origin"
)

// Judge compares what happened with what a case demands and returns every difference.
func Judge(c Case, d Delivery, talk Talk, seen origin.Seen, probe string) []string {
	var wrong []string
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	if talk.Fault != nil {
		say("the gateway's answer is malformed: %v", talk.Fault)
	}
	judgeAnswers(c, talk, probe, say)
	judgeOrigin(c, d, seen, probe, say)
	return wrong
}

func judgeAnswers(c Case, talk Talk, probe string, say func(string, ...any)) {
	want := len(c.Answers)
	if c.Answers[0] == "none" {
		want = 0
	}
	for i, a := range talk.Answers {
		if i >= want {
			break
		}
		if !statusFits(c.Answers[i], a.Status) {
			say("answer %d is %d, want %s: %.200s", i+1, a.Status, c.Answers[i], a.Body)
		}
		if own := a.Header.Get("Proxy-Status") != "" && !strings.Contains(a.Header.Get("Proxy-Status"), "received-status"); own {
			judgeRefusal(a, i == want-1 && c.End == "close", say)
		} else if a.Status >= 400 && want > 0 && a.Header.Get("X-Origin-Sequence") == "" {
			say("answer %d (%d) does not say that the gateway refused: no Proxy-Status", i+1, a.Status)
		}
	}
	if len(talk.Answers) < want {
		say("%d answers, want %d", len(talk.Answers), want)
		return
	}
	if talk.Extra != "" {
		say("behind the last answer comes %.200q", talk.Extra)
	}
	switch c.End {
	case "close":
		if !talk.Closed {
			say("the connection was kept, want it closed")
		}
	case "keep":
		if talk.Closed {
			say("the connection was closed, want it kept")
		} else if last := talk.Answers[len(talk.Answers)-1]; len(talk.Answers) != want+1 || !echoes(last, target(probe)) {
			say("a further request on the connection got another one's answer: %d %.200s", last.Status, last.Body)
		}
	}
}

// judgeRefusal checks that a refusal explains itself (DESIGN section 6).
func judgeRefusal(a Answer, last bool, say func(string, ...any)) {
	var p struct {
		Reason, Origin, Trace string
		Remedies              []string
	}
	if ct := a.Header.Get("Content-Type"); !strings.HasPrefix(ct, "application/problem+json") {
		say("a refusal of type %q, want application/problem+json", ct)
	} else if a.Body != "" {
		if err := json.Unmarshal([]byte(a.Body), &p); err != nil {
			say("a refusal that is not JSON: %v: %.200s", err, a.Body)
		} else if p.Reason == "" || p.Origin != "gateway" && p.Origin != "unreachable" || len(p.Remedies) == 0 || p.Trace == "" {
			say("a refusal without reason, origin, remedy or trace: %.300s", a.Body)
		}
	}
	if a.Header.Get("Postern-Trace") == "" {
		say("a refusal without Postern-Trace")
	}
	// A connection that is kept at first, and closed because the rest of a refused body never came, cannot say so.
	if doubt := a.Status != 401 && a.Status != 404; last && doubt && !strings.EqualFold(a.Header.Get("Connection"), "close") {
		say("the last answer before the end does not say Connection: close (RFC 9112 section 9.6)")
	}
}

func judgeOrigin(c Case, d Delivery, seen origin.Seen, probe string, say func(string, ...any)) {
	for _, f := range seen.Faults {
		say("the origin received what can be read in two ways: %v", f)
	}
	messages := seen.Messages
	if n := len(messages); n > 0 && c.End == "keep" && messages[n-1].Target == target(probe) {
		messages = messages[:n-1]
	}
	if c.Nothing {
		if len(messages) > 0 {
			say("the origin received %d request(s), want nothing; the first: %.300q", len(messages), messages[0].Raw)
		}
		switch {
		case len(seen.Unfinished) == 0:
		case c.Cut || c.Late && d == Bytely:
			if seen.Open > 0 {
				say("a beginning of the request lies open at the origin: the connection was not closed")
			}
		default:
			say("the origin received a beginning of the request, want nothing: %.300q", seen.Unfinished[0])
		}
		return
	}
	if len(seen.Unfinished) > 0 {
		say("the origin received a beginning of a further request: %.300q", seen.Unfinished[0])
	}
	if len(messages) != len(c.Origin) {
		say("the origin received %d requests, want %d: %s", len(messages), len(c.Origin), summary(messages))
		return
	}
	for i, want := range c.Origin {
		judgeArrival(want, messages[i], say)
	}
}

func judgeArrival(want Arrival, m origin.Message, say func(string, ...any)) {
	if m.Method != want.Method || m.Target != want.Target {
		say("the origin received %s %s, want %s %s", m.Method, m.Target, want.Method, want.Target)
	}
	if !want.AnyBody && m.Body != want.Body {
		say("the origin received the body %.200q, want %.200q", m.Body, want.Body)
	}
	for _, f := range want.Has {
		name, value, _ := strings.Cut(f, ":")
		if got := m.Get(name); got != strings.TrimSpace(value) {
			say("at the origin %s is %q, want %q", name, got, strings.TrimSpace(value))
		}
	}
	for _, f := range want.Not {
		if name, value, _ := strings.Cut(f, ":"); m.Get(name) == strings.TrimSpace(value) {
			say("at the origin %s is %q", name, m.Get(name))
		}
	}
	for _, f := range want.Lacks {
		if m.Has(f) {
			say("at the origin there is %s: %s, want none", f, m.Get(f))
		}
	}
	for _, f := range Surplus(m) {
		say("the origin received a hop-by-hop field: %s", f)
	}
}

// Surplus lists fields that belong to the caller's connection and must not be forwarded (RFC 9110 section 7.6.1).
func Surplus(m origin.Message) (out []string) {
	for _, f := range m.Fields {
		switch strings.ToLower(f.Name) {
		case "keep-alive", "proxy-connection", "http2-settings":
			out = append(out, f.Name)
		case "te":
			if !strings.EqualFold(f.Value, "trailers") {
				out = append(out, "TE: "+f.Value)
			}
		case "connection":
			for _, option := range strings.Split(f.Value, ",") {
				switch o := strings.ToLower(strings.TrimSpace(option)); o {
				case "close", "keep-alive", "upgrade", "te":
				default:
					out = append(out, "Connection: "+f.Value)
				}
			}
		}
	}
	return out
}

func statusFits(want string, got int) bool {
	for _, w := range strings.Split(strings.TrimSuffix(want, "!"), "/") {
		if len(w) == 3 && w[1:] == "xx" {
			if got/100 == int(w[0]-'0') {
				return true
			}
		} else if n, err := strconv.Atoi(w); err == nil && n == got {
			return true
		}
	}
	return false
}

// echoes reports whether an answer of the recorder is the one to a request for the target.
func echoes(a Answer, target string) bool {
	var said struct{ Target string }
	return a.Status == 200 && json.Unmarshal([]byte(a.Body), &said) == nil && said.Target == target
}

func target(request string) string {
	_, rest, _ := strings.Cut(request, " ")
	t, _, _ := strings.Cut(rest, " ")
	return t
}

func summary(messages []origin.Message) string {
	var b strings.Builder
	for _, m := range messages {
		fmt.Fprintf(&b, "%s %s (%d bytes); ", m.Method, m.Target, len(m.Body))
	}
	return b.String()
}
