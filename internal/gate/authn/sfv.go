package authn

import (
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
)

// The part of Structured Fields (RFC 9651) that signatures are written in: dictionaries whose members are inner lists of
// strings, or byte sequences, with parameters.

// inner is an inner list with its parameters, and its text as it was received: that text is what was signed.
type inner struct {
	items  []component
	params map[string]string // strings and tokens as text, integers as digits
	text   string
}

// component is one member of a signature's list.
type component struct {
	name   string
	params bool // it has parameters
}

var errField = errors.New("it is no dictionary of inner lists (RFC 9651)")

const (
	maxSignatures = 8
	maxComponents = 64
	maxSignField  = 8 << 10
)

type sfv struct {
	s string
	i int
}

func (p *sfv) peek() byte {
	if p.i < len(p.s) {
		return p.s[p.i]
	}
	return 0
}

func (p *sfv) spaces() {
	for p.peek() == ' ' {
		p.i++
	}
}

func (p *sfv) take(c byte) bool {
	if p.peek() != c || p.i >= len(p.s) {
		return false
	}
	p.i++
	return true
}

func lower(c byte) bool { return c >= 'a' && c <= 'z' }
func digit(c byte) bool { return c >= '0' && c <= '9' }

func (p *sfv) key() (string, error) {
	from := p.i
	if c := p.peek(); !lower(c) && c != '*' {
		return "", errField
	}
	for c := p.peek(); lower(c) || digit(c) || c == '_' || c == '-' || c == '.' || c == '*'; c = p.peek() {
		p.i++
	}
	return p.s[from:p.i], nil
}

func (p *sfv) str() (string, error) {
	if !p.take('"') {
		return "", errField
	}
	var b strings.Builder
	for p.i < len(p.s) {
		c := p.s[p.i]
		p.i++
		switch {
		case c == '"':
			return b.String(), nil
		case c == '\\':
			if c = p.peek(); c != '"' && c != '\\' {
				return "", errField
			}
			p.i++
		case c < 0x20 || c > 0x7e:
			return "", errField
		}
		b.WriteByte(c)
	}
	return "", errField
}

func (p *sfv) bytes() ([]byte, error) {
	if !p.take(':') {
		return nil, errField
	}
	end := strings.IndexByte(p.s[p.i:], ':')
	if end < 0 || strings.ContainsAny(p.s[p.i:p.i+end], "\r\n") {
		return nil, errField
	}
	b, err := base64.StdEncoding.Strict().DecodeString(p.s[p.i : p.i+end])
	p.i += end + 1
	return b, err
}

// bare reads a string, integer, token, boolean or byte sequence as text.
func (p *sfv) bare() (string, error) {
	switch c := p.peek(); {
	case c == '"':
		return p.str()
	case c == ':':
		b, err := p.bytes()
		return string(b), err
	case c == '?':
		p.i++
		if c = p.peek(); c != '0' && c != '1' {
			return "", errField
		}
		p.i++
		return string(c), nil
	case digit(c) || c == '-':
		from := p.i
		p.i++
		for digit(p.peek()) {
			p.i++
		}
		if n := p.s[from:p.i]; n != "-" && len(n) <= 16 {
			return n, nil
		}
		return "", errField
	case lower(c) || c >= 'A' && c <= 'Z' || c == '*':
		from := p.i
		for c := p.peek(); c > 0x20 && c < 0x7f && strings.IndexByte(`"(),;<=>?@[\]{}`, c) < 0; c = p.peek() {
			p.i++
		}
		return p.s[from:p.i], nil
	}
	return "", errField
}

func (p *sfv) params() (map[string]string, error) {
	var out map[string]string
	for p.take(';') {
		p.spaces()
		k, err := p.key()
		if err != nil {
			return nil, err
		}
		v := "1"
		if p.take('=') {
			if v, err = p.bare(); err != nil {
				return nil, err
			}
		}
		if out == nil {
			out = map[string]string{}
		}
		if _, twice := out[k]; twice {
			return nil, errField // RFC 9651 would let the last win; here two readers could take two
		}
		out[k] = v
	}
	return out, nil
}

func (p *sfv) list() (l inner, err error) {
	from := p.i
	if !p.take('(') {
		return l, errField
	}
	for {
		p.spaces()
		if p.take(')') {
			break
		}
		var c component
		if c.name, err = p.str(); err != nil {
			return l, err
		}
		params, err := p.params()
		if err != nil {
			return l, err
		}
		c.params = params != nil
		if l.items = append(l.items, c); len(l.items) > maxComponents {
			return l, errField
		}
		if b := p.peek(); b != ' ' && b != ')' {
			return l, errField
		}
	}
	if l.params, err = p.params(); err != nil {
		return l, err
	}
	l.text = p.s[from:p.i]
	return l, nil
}

// dictionary reads "name=value, name=value" with a reader for the values.
func dictionary[T any](s string, value func(*sfv) (T, error)) (names []string, values []T, err error) {
	if len(s) > maxSignField {
		return nil, nil, errField
	}
	p := &sfv{s: strings.Trim(s, " ")}
	for p.i < len(p.s) {
		name, err := p.key()
		if err != nil || !p.take('=') {
			return nil, nil, errField
		}
		v, err := value(p)
		if err != nil {
			return nil, nil, errField
		}
		for _, n := range names {
			if n == name {
				return nil, nil, errField
			}
		}
		if names, values = append(names, name), append(values, v); len(names) > maxSignatures {
			return nil, nil, errField
		}
		for p.peek() == ' ' || p.peek() == '\t' {
			p.i++
		}
		if p.i == len(p.s) {
			return names, values, nil
		}
		if !p.take(',') {
			return nil, nil, errField
		}
		for p.peek() == ' ' || p.peek() == '\t' {
			p.i++
		}
		if p.i == len(p.s) {
			return nil, nil, errField
		}
	}
	return nil, nil, errField
}

// seconds reads a parameter that is a time.
func seconds(params map[string]string, name string) (n int64, there, ok bool) {
	v, there := params[name]
	if !there {
		return 0, false, false
	}
	n, err := strconv.ParseInt(v, 10, 64)
	return n, true, err == nil && n >= 0 && n <= 253402300799
}
