package reqtext

import (
	"fmt"
	"strings"

	"postern/internal/header"
)

// parseRaw reads one HTTP/1 request message. A pasted one has lost its CR characters, and its Content-Length seldom fits,
// so that lines may end either way and the body is what follows the empty line.
func parseRaw(text string) ([]Request, error) {
	text = trimBlankLines(text)
	head, body, _ := cutHead(text)
	lines := strings.Split(head, "\n")
	start := strings.Fields(lines[0])
	if len(start) != 3 || !strings.HasPrefix(start[2], "HTTP/") {
		return nil, fmt.Errorf("line 1: %q is no request line; write a method, a path and HTTP/1.1", clip(strings.TrimSpace(lines[0])))
	}
	r := Request{Method: start[0]}
	for i, line := range lines[1:] {
		line = strings.TrimSuffix(line, "\r")
		if line == "" {
			continue
		}
		if line[0] == ' ' || line[0] == '\t' {
			return nil, fmt.Errorf("line %d: begins with a space: HTTP/1.1 has no folded header fields", i+2)
		}
		f, ok := field(line)
		if !ok {
			return nil, fmt.Errorf("line %d: %q is no header field; an empty line ends the header", i+2, clip(line))
		}
		if name, _, _ := strings.Cut(line, ":"); name != f.Name {
			return nil, fmt.Errorf("line %d: there is a space before the colon, which a gateway refuses", i+2)
		}
		r.Header = append(r.Header, f)
	}
	if err := r.locate(start[1], "http"); err != nil {
		return nil, err
	}
	if l, err := SplitURL(r.URL); err == nil && !header.EqualFold(l.Authority, r.Header.Get("Host")) && r.Header.Has("Host") {
		return nil, fmt.Errorf("line 1 names the host %q and the Host field %q; the gateway answers such a message with 400 request.malformed",
			clip(l.Authority), clip(r.Header.Get("Host")))
	}
	r.setBody(body)
	return []Request{r}, nil
}

// cutHead splits a message at its first empty line.
func cutHead(text string) (head, body string, found bool) {
	at := 0
	for {
		i := strings.IndexByte(text[at:], '\n')
		if i < 0 {
			return text, "", false
		}
		if strings.TrimSuffix(text[at:at+i], "\r") == "" {
			return strings.TrimRight(text[:at], "\r\n"), text[at+i+1:], true
		}
		at += i + 1
	}
}

// locate sets the URL from a request target: absolute, or a path on the host of the Host field.
func (r *Request) locate(target, scheme string) error {
	host := r.Header.Get("Host")
	switch {
	case strings.Contains(target, "://"):
		r.URL = target
	case host == "":
		return fmt.Errorf("the request names no host: add a Host field, or write the whole address in place of %q", clip(target))
	case strings.HasPrefix(target, "/"):
		r.URL = scheme + "://" + host + target
	case target == "*" && r.Method == "OPTIONS":
		return fmt.Errorf("OPTIONS * asks about the server itself; it is not a request to an API")
	default:
		return fmt.Errorf("%q is no target of a request: write a path that begins with /, or a whole address", clip(target))
	}
	return nil
}

// setBody takes the text behind the empty line as the body. Where the message says how long it is, a line end that an
// editor added is dropped, and a length that does not fit is noted and corrected, as a client would send it.
func (r *Request) setBody(body string) {
	if r.Header.Has("Transfer-Encoding") && !r.Header.Has("Content-Length") && strings.TrimSpace(body) != "" {
		if plain, ok := unchunk(body); ok && strings.EqualFold(r.Header.Get("Transfer-Encoding"), "chunked") {
			body = plain
			r.Header.Del("Transfer-Encoding")
			r.Header.Set("Content-Length", fmt.Sprint(len(body)))
		} else {
			r.Notes = append(r.Notes, "the body is not chunked as Transfer-Encoding says; it is taken as it is")
			r.Body = []byte(body)
			return
		}
	}
	declared, n := r.Header.Lookup("Content-Length")
	if n > 1 || n == 1 && r.Header.Has("Transfer-Encoding") { // two lengths: what the gateway makes of that is the question
		r.Body = []byte(body)
		return
	}
	if trimmed := strings.TrimRight(body, "\r\n"); n == 1 && declared == fmt.Sprint(len(trimmed)) {
		body = trimmed
	} else if n == 0 {
		body = trimmed
	}
	if body != "" {
		r.Body = []byte(body)
	}
	switch {
	case n == 0 && body != "":
		r.Header = append(r.Header, header.Field{Name: "Content-Length", Value: fmt.Sprint(len(body))})
	case n > 0 && body == "" && declared != "0":
		r.BodyUnknown = true
		r.Notes = append(r.Notes, "Content-Length announces a body that is not here; what depends on it is unknown")
	case n > 0 && body != "" && declared != fmt.Sprint(len(body)):
		r.Notes = append(r.Notes, fmt.Sprintf("Content-Length says %s and the body has %d bytes; %d is taken", clip(declared), len(body), len(body)))
		r.Header.Set("Content-Length", fmt.Sprint(len(body)))
	}
}

// unchunk decodes a chunked body whose lines may have lost their CR characters.
func unchunk(s string) (string, bool) {
	var b strings.Builder
	for {
		line, rest, ok := strings.Cut(s, "\n")
		size, _, _ := strings.Cut(strings.TrimSpace(line), ";")
		n, good := hex(strings.TrimSpace(size))
		if !good || !ok && n > 0 {
			return "", false
		}
		if n == 0 {
			return b.String(), true
		}
		if n > len(rest) {
			return "", false
		}
		b.WriteString(rest[:n])
		s = strings.TrimPrefix(rest[n:], "\r")
		if s, ok = strings.CutPrefix(s, "\n"); !ok {
			return "", false
		}
	}
}

func hex(s string) (n int, ok bool) {
	if s == "" || len(s) > 7 {
		return 0, false
	}
	for _, c := range []byte(s) {
		d := strings.IndexByte("0123456789abcdef", c|0x20)
		if c < '0' || d < 0 {
			return 0, false
		}
		n = n<<4 | d
	}
	return n, true
}
