// Package origin holds servers that stand behind the gateway in the suites. The Recorder keeps every byte it is sent and
// reads it with a parser of its own that takes nothing on trust: what the gateway forwards has to be one message whose
// beginning and end no two readers can disagree about. It shares no code with the gateway on purpose.
package origin

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Field is a header or trailer field.
type Field struct{ Name, Value string }

// Message is one request as it arrived.
type Message struct {
	Method, Target string
	Fields         []Field
	Body           string
	Chunked        bool
	Trailer        []Field
	Raw            string
}

// Get returns the values of a field, joined by ", ".
func (m Message) Get(name string) string {
	var v []string
	for _, f := range m.Fields {
		if strings.EqualFold(f.Name, name) {
			v = append(v, f.Value)
		}
	}
	return strings.Join(v, ", ")
}

// Has reports whether a field of that name arrived, in the head or as a trailer.
func (m Message) Has(name string) bool {
	named := func(f Field) bool { return strings.EqualFold(f.Name, name) }
	return slices.ContainsFunc(m.Fields, named) || slices.ContainsFunc(m.Trailer, named)
}

// errMore says that the message is not complete yet.
var errMore = errors.New("incomplete")

// head is a parsed head, and how its body is framed.
type head struct {
	m      Message
	size   int
	length int64
	expect bool
}

// parseHead reads a request head strictly: RFC 9112 without any of its leniencies.
func parseHead(b []byte) (h head, err error) {
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < 0 {
		if i := bytes.IndexByte(b, '\n'); i >= 0 && (i == 0 || b[i-1] != '\r') {
			return h, errors.New("a bare LF in the head")
		}
		return h, errMore
	}
	h.size = end + 4
	lines := strings.Split(string(b[:end]), "\r\n")
	if h.m.Method, h.m.Target, err = requestLine(lines[0]); err != nil {
		return h, err
	}
	for _, l := range lines[1:] {
		f, err := field(l)
		if err != nil {
			return h, err
		}
		h.m.Fields = append(h.m.Fields, f)
	}
	return h, h.framing()
}

func requestLine(l string) (method, target string, err error) {
	parts := strings.Split(l, " ")
	if len(parts) != 3 || parts[2] != "HTTP/1.1" {
		return "", "", fmt.Errorf("request line %q", l)
	}
	if !token(parts[0]) {
		return "", "", fmt.Errorf("method %q", parts[0])
	}
	for i := range len(parts[1]) {
		if c := parts[1][i]; c <= 0x20 || c >= 0x7f || c == '#' {
			return "", "", fmt.Errorf("target %q", parts[1])
		}
	}
	if parts[1] == "" {
		return "", "", errors.New("empty target")
	}
	return parts[0], parts[1], nil
}

func field(l string) (Field, error) {
	name, value, ok := strings.Cut(l, ":")
	if !ok || !token(name) {
		return Field{}, fmt.Errorf("field line %q", l)
	}
	for i := range len(value) {
		if c := value[i]; c < 0x20 && c != '\t' || c == 0x7f {
			return Field{}, fmt.Errorf("control character in field line %q", l)
		}
	}
	return Field{name, strings.Trim(value, " \t")}, nil
}

// framing demands what makes a message's end certain.
func (h *head) framing() error {
	var hosts, lengths, codings int
	for _, f := range h.m.Fields {
		switch plain := strings.ToLower(f.Name); plain {
		case "host":
			hosts++
		case "content-length":
			lengths++
			n, err := strconv.ParseUint(f.Value, 10, 63)
			if err != nil || strings.Trim(f.Value, "0123456789") != "" {
				return fmt.Errorf("Content-Length %q", f.Value)
			}
			h.length = int64(n)
		case "transfer-encoding":
			codings++
			if f.Value != "chunked" {
				return fmt.Errorf("Transfer-Encoding %q", f.Value)
			}
			h.m.Chunked = true
		case "expect":
			h.expect = strings.EqualFold(f.Value, "100-continue")
		default:
			// What a CGI-like server would take for a framing field.
			alike := strings.NewReplacer("_", "-", ".", "-").Replace(plain)
			if alike == "content-length" || alike == "transfer-encoding" || alike == "host" {
				return fmt.Errorf("the field %q may be taken for %s", f.Name, alike)
			}
		}
	}
	switch {
	case hosts != 1:
		return fmt.Errorf("%d Host fields", hosts)
	case lengths > 1 || codings > 1 || lengths+codings > 1:
		return fmt.Errorf("%d Content-Length and %d Transfer-Encoding fields", lengths, codings)
	}
	return nil
}

// parse reads one whole request. It returns errMore while there is not enough of it.
func parse(b []byte) (m Message, n int, err error) {
	h, err := parseHead(b)
	if err != nil {
		return m, 0, err
	}
	m, n = h.m, h.size
	if !m.Chunked {
		if int64(len(b)-n) < h.length {
			return m, 0, errMore
		}
		m.Body = string(b[n : n+int(h.length)])
		n += int(h.length)
	} else if n, err = chunks(b, n, &m); err != nil {
		return m, 0, err
	}
	m.Raw = string(b[:n])
	return m, n, agree(m)
}

// chunks reads a chunked body from b[n:]. Extensions are a fault: a gateway has no use for those of its caller.
func chunks(b []byte, n int, m *Message) (int, error) {
	line := func() (string, error) {
		i := bytes.IndexByte(b[n:], '\n')
		if i < 0 {
			return "", errMore
		}
		l := string(b[n : n+i])
		n += i + 1
		if !strings.HasSuffix(l, "\r") {
			return "", fmt.Errorf("chunked body: bare LF behind %q", l)
		}
		return l[:len(l)-1], nil
	}
	for {
		l, err := line()
		if err != nil {
			return 0, err
		}
		size, err := strconv.ParseUint(l, 16, 63)
		if err != nil || strings.Trim(l, "0123456789abcdefABCDEF") != "" {
			return 0, fmt.Errorf("chunk size %q", l)
		}
		if size == 0 {
			break
		}
		if uint64(len(b)-n) < size+2 {
			return 0, errMore
		}
		m.Body += string(b[n : n+int(size)])
		n += int(size)
		if string(b[n:n+2]) != "\r\n" {
			return 0, fmt.Errorf("%q behind a chunk", b[n:n+2])
		}
		n += 2
	}
	for {
		l, err := line()
		if err != nil {
			return 0, err
		}
		if l == "" {
			return n, nil
		}
		f, err := field(l)
		if err != nil {
			return 0, err
		}
		m.Trailer = append(m.Trailer, f)
	}
}

// agree reads the message once more with net/http: both have to see the same.
func agree(m Message) error {
	in := bufio.NewReader(strings.NewReader(m.Raw))
	r, err := http.ReadRequest(in)
	if err != nil {
		return fmt.Errorf("net/http does not read it: %w", err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return fmt.Errorf("net/http does not read its body: %w", err)
	}
	rest, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	if r.Method != m.Method || r.RequestURI != m.Target || string(body) != m.Body || len(rest) > 0 {
		return fmt.Errorf("net/http reads %s %s with %d bytes of body and leaves %d, not %s %s with %d", r.Method, r.RequestURI, len(body), len(rest), m.Method, m.Target, len(m.Body))
	}
	return nil
}

func token(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c <= 0x20 || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return s != ""
}
