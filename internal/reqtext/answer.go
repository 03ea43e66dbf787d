package reqtext

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"postern/internal/header"
)

// Answer is an HTTP answer as people have it.
type Answer struct {
	Status int // 0: not known, there is only a body
	Header header.List
	Body   []byte
	// Earlier are the statuses of answers in front of it in the same text: redirects, 100, a proxy's 200 to CONNECT.
	Earlier []int
}

var statusLine = regexp.MustCompile(`^(?:<\s+)?HTTP/[0-9.]+[ \t]+([1-9][0-9]{2})(?:\s|$)`)

// ErrNoAnswer is wrapped by errors about text that is no answer.
var ErrNoAnswer = errors.New("this is no HTTP answer: give what curl -i or curl -v prints, a HAR file, or the body alone")

// ParseAnswer reads an HTTP answer: a raw message, what `curl -i` or `curl -v` printed (of several the last one counts), a
// HAR file (the first refused entry, else the last), a JSON object with status, headers and body, or only a body.
func ParseAnswer(src []byte) (Answer, error) {
	if len(src) > MaxSource {
		return Answer{}, fmt.Errorf("the answer is larger than %d MiB", MaxSource>>20)
	}
	text := strings.TrimPrefix(string(src), "\ufeff")
	trimmed := strings.TrimLeft(text, " \t\r\n")
	if trimmed == "" {
		return Answer{}, fmt.Errorf("the answer is empty: %w", ErrNoAnswer)
	}
	if strings.HasPrefix(trimmed, "{") {
		if a, ok := answerJSON([]byte(trimmed)); ok {
			return a, nil
		}
		return Answer{Body: []byte(trimmed)}, nil
	}
	if a, ok := answerVerbose(trimmed); ok {
		return a, nil
	}
	if statusLine.MatchString(trimmed) {
		return answerRaw(trimmed)
	}
	return Answer{Body: []byte(text)}, nil
}

// answerRaw reads messages one after the other, as curl -i -L prints them.
func answerRaw(text string) (Answer, error) {
	var a Answer
	var earlier []int
	for {
		head, body, _ := cutHead(text)
		lines := strings.Split(head, "\n")
		m := statusLine.FindStringSubmatch(lines[0])
		if m == nil {
			return a, fmt.Errorf("%q is no status line: %w", clip(lines[0]), ErrNoAnswer)
		}
		a = Answer{Body: []byte(body), Earlier: earlier}
		a.Status, _ = strconv.Atoi(m[1])
		for _, line := range lines[1:] {
			if f, ok := field(strings.TrimSuffix(line, "\r")); ok {
				a.Header = append(a.Header, f)
			}
		}
		// The next head begins right behind an interim answer, or behind the body of a redirect.
		rest := strings.TrimLeft(body, "\r\n")
		if !statusLine.MatchString(rest) {
			i := strings.LastIndex(body, "\nHTTP/")
			if a.Status < 300 || a.Status > 399 || i < 0 || !statusLine.MatchString(body[i+1:]) {
				return a, nil
			}
			rest = body[i+1:]
		}
		if earlier = append(earlier, a.Status); len(earlier) > 50 {
			return a, fmt.Errorf("more than 50 answers in one text: %w", ErrNoAnswer)
		}
		text = rest
	}
}

// answerVerbose reads what curl -v prints: lines of the answer's head behind "< ", the body without a mark.
func answerVerbose(text string) (Answer, bool) {
	var a Answer
	var body strings.Builder
	var earlier []int
	seen, inHead := false, false
	sc := bufio.NewScanner(strings.NewReader(text))
	sc.Buffer(nil, MaxSource+1)
	for sc.Scan() {
		line := strings.TrimSuffix(sc.Text(), "\r")
		switch {
		case strings.HasPrefix(line, "< HTTP/"):
			m := statusLine.FindStringSubmatch(line)
			if m == nil {
				return a, false
			}
			if seen {
				earlier = append(earlier, a.Status)
			}
			a = Answer{}
			a.Status, _ = strconv.Atoi(m[1])
			body.Reset()
			seen, inHead = true, true
		case inHead && strings.HasPrefix(line, "<"):
			if f, ok := field(strings.TrimSpace(line[1:])); ok {
				a.Header = append(a.Header, f)
			} else {
				inHead = false
			}
		case !seen || strings.HasPrefix(line, "* ") || strings.HasPrefix(line, "> ") || strings.HasPrefix(line, "{ [") || strings.HasPrefix(line, "} ["):
		default:
			inHead = false
			body.WriteString(line + "\n")
		}
	}
	a.Body, a.Earlier = []byte(body.String()), earlier
	return a, seen && sc.Err() == nil
}

// harAnswer is the answer of a HAR entry; its shape serves other tools' JSON as well.
type harAnswer struct {
	Status  int `json:"status"`
	Code    int `json:"code"` // Postman
	Headers any `json:"headers"`
	Header  any `json:"header"` // Postman
	Body    any `json:"body"`
	Content *struct {
		Text     string `json:"text"`
		Encoding string `json:"encoding"`
	} `json:"content"`
}

func (h *harAnswer) answer() (a Answer, ok bool) {
	a.Status = h.Status
	if a.Status == 0 {
		a.Status = h.Code
	}
	if a.Status < 100 || a.Status > 999 {
		return a, false
	}
	for _, list := range []any{h.Headers, h.Header} {
		a.Header = append(a.Header, pairs(list)...)
	}
	switch b := h.Body.(type) {
	case string:
		a.Body = []byte(b)
	case map[string]any, []any:
		a.Body, _ = json.Marshal(b)
	}
	if h.Content != nil {
		a.Body = []byte(h.Content.Text)
		if b, err := base64.StdEncoding.DecodeString(h.Content.Text); err == nil && h.Content.Encoding == "base64" {
			a.Body = b
		}
	}
	return a, true
}

// pairs reads header fields in the shapes tools write them: objects with name (or key) and value, pairs, or one object.
func pairs(v any) (list header.List) {
	add := func(name, value string) {
		if name != "" && !strings.HasPrefix(name, ":") {
			list.Add(name, strings.Trim(value, " \t\r\n"))
		}
	}
	text := func(v any) string { s, _ := v.(string); return s }
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			switch e := e.(type) {
			case map[string]any:
				if off, _ := e["disabled"].(bool); off {
					continue
				}
				name := text(e["name"])
				if name == "" {
					name = text(e["key"])
				}
				add(name, text(e["value"]))
			case []any:
				if len(e) == 2 {
					add(text(e[0]), text(e[1]))
				}
			}
		}
	case map[string]any:
		for name, value := range v {
			add(name, text(value))
		}
	}
	return list
}

func answerJSON(src []byte) (Answer, bool) {
	var f struct {
		Log *struct {
			Entries []struct {
				Response *harAnswer `json:"response"`
			} `json:"entries"`
		} `json:"log"`
		Response *harAnswer `json:"response"`
		harAnswer
	}
	if json.Unmarshal(src, &f) != nil {
		return Answer{}, false
	}
	if f.Log != nil {
		var last Answer
		found := false
		for _, e := range f.Log.Entries {
			if e.Response == nil {
				continue
			}
			if a, ok := e.Response.answer(); ok {
				last, found = a, true
				if a.Status >= 400 {
					break
				}
			}
		}
		return last, found
	}
	if f.Response != nil {
		return f.Response.answer()
	}
	if f.Headers == nil && f.Header == nil && f.Body == nil && f.Content == nil {
		return Answer{}, false // {"status": 403, "error": …} is a body
	}
	return f.answer()
}
