package framing

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Reply is what an origin answers, and what the caller may see of it. Its file has the form of a case, with other words:
//
//	method NAME             of the request; default GET
//	> | --- with            as in a case, but sent by the origin
//	close                   the origin closes behind it
//	hold                    the origin says no more and keeps the connection open
//	again                   the bytes are repeated for ever
//	expect STATUS [BODY]    the caller gets this; BODY is a quoted Go string
//	expect broken           the caller gets a 5xx of the gateway, or an answer that is plainly not whole
//	has, lacks, not         about fields of the caller's answer, as in a case
//	says TEXT               its Proxy-Status contains this
type Reply struct {
	Name, Why, Method string
	Segments          []string
	End               string // close, hold, again or "" to go on
	Status            string
	Body              *string
	Broken            bool
	Has, Not, Lacks   []string
	Says              string
}

// LoadReplies reads testdata/answers/.
func LoadReplies() ([]Reply, error) {
	files, err := filepath.Glob(filepath.Join("testdata", "answers", "*.txt"))
	if err != nil {
		return nil, err
	}
	var all []Reply
	for _, f := range files {
		src, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		blocks, err := split(f, string(src))
		if err != nil {
			return nil, err
		}
		for _, b := range blocks {
			r, err := reply(f, b)
			if err != nil {
				return nil, err
			}
			all = append(all, r)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("testdata/answers has no cases")
	}
	return all, nil
}

func reply(file string, b block) (Reply, error) {
	r := Reply{Method: "GET"}
	var segment strings.Builder
	for _, l := range b.lines {
		word, rest, _ := strings.Cut(l.text, " ")
		var err error
		switch word {
		case "case":
			r.Name = rest + b.suffix
		case "#":
			r.Why = strings.TrimSpace(r.Why + " " + rest)
		case "with", "":
		case "method":
			r.Method = rest
		case ">", "|":
			var text string
			text, err = unescape(strings.ReplaceAll(rest, "{}", b.variant))
			segment.WriteString(text)
			if word == ">" {
				segment.WriteString("\r\n")
			}
		case "---":
			r.Segments = append(r.Segments, segment.String())
			segment.Reset()
		case "close", "hold", "again":
			r.End = word
		case "expect":
			err = r.expect(rest)
		case "has":
			r.Has = append(r.Has, rest)
		case "not":
			r.Not = append(r.Not, rest)
		case "lacks":
			r.Lacks = append(r.Lacks, rest)
		case "says":
			r.Says = rest
		default:
			err = fmt.Errorf("unknown directive %q", word)
		}
		if err != nil {
			return r, fmt.Errorf("%s:%d: %w", file, l.n, err)
		}
	}
	r.Segments = append(r.Segments, segment.String())
	if r.Status == "" && !r.Broken || r.Why == "" {
		return r, fmt.Errorf("%s: %s expects nothing or does not say why", file, r.Name)
	}
	return r, nil
}

func (r *Reply) expect(s string) error {
	if s == "broken" {
		r.Broken = true
		return nil
	}
	status, body, found := strings.Cut(s, " ")
	r.Status = status
	if !found {
		return nil
	}
	b, err := strconv.Unquote(body)
	r.Body = &b
	return err
}

// JudgeReply compares what the caller got with what it may get.
func JudgeReply(r Reply, a Answer, err error) (wrong []string) {
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	if r.Broken {
		if err == nil && a.Status < 500 {
			say("the caller got a whole answer: %d %.100q", a.Status, a.Body)
		}
		if strings.Contains(a.Body, "poison") {
			say("the caller got what was not meant for it: %.100q", a.Body)
		}
		return wrong
	}
	if err != nil {
		say("the caller got no whole answer: %v (%d %.100q)", err, a.Status, a.Body)
		return wrong
	}
	if !statusFits(r.Status, a.Status) {
		say("the caller got %d, want %s: %.200s", a.Status, r.Status, a.Body)
	}
	if r.Body != nil && a.Body != *r.Body {
		say("the caller got the body %.200q, want %q", a.Body, *r.Body)
	}
	if strings.Contains(a.Body, "poison") {
		say("the caller got what was not meant for it: %.100q", a.Body)
	}
	if a.Status == 502 || a.Status == 504 {
		judgeRefusal(a, false, say)
	}
	for _, f := range r.Has {
		if name, value, _ := strings.Cut(f, ": "); a.Header.Get(name) != value {
			say("%s is %q, want %q", name, a.Header.Get(name), value)
		}
	}
	for _, f := range r.Not {
		if name, value, _ := strings.Cut(f, ": "); a.Header.Get(name) == value {
			say("%s is %q", name, value)
		}
	}
	for _, name := range r.Lacks {
		if v := a.Header.Values(name); len(v) > 0 {
			say("%s: %q was passed on", name, v)
		}
	}
	if r.Says != "" && !strings.Contains(a.Header.Get("Proxy-Status"), r.Says) {
		say("Proxy-Status is %q, want it to contain %s", a.Header.Get("Proxy-Status"), r.Says)
	}
	return wrong
}
