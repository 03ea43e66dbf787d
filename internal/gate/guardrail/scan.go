package guardrail

import (
	"fmt"
	"strings"
)

// maxDepth is how deep a body may nest. Tool schemas nest a few dozen levels.
const maxDepth = 512

// scanner checks that a text is one JSON object (RFC 8259) and takes note of some of its members, in one pass without
// recursion.
//
// RATIONALE: gjson and encoding/json would do, but gjson's check recurses without a bound, so that a few megabytes of "["
// end the process; neither reports a name that occurs twice; and both together read the body three times.
type scanner struct {
	s       string
	i       int
	depth   int
	objects [maxDepth / 64]uint64 // for each level, whether it is an object
	seen    int
	found   call
}

func (s *scanner) invalid(what string) string {
	return fmt.Sprintf("it is no valid JSON: %s at byte %d", what, s.i)
}

func (s *scanner) space() {
	for s.i < len(s.s) {
		switch s.s[s.i] {
		case ' ', '\t', '\n', '\r':
			s.i++
		default:
			return
		}
	}
}

// next skips white space and returns the byte there, or 0 at the end.
func (s *scanner) next() byte {
	s.space()
	if s.i == len(s.s) {
		return 0
	}
	return s.s[s.i]
}

func (s *scanner) inObject() bool {
	return s.objects[(s.depth-1)/64]>>((s.depth-1)%64)&1 == 1
}

func (s *scanner) push(object bool) string {
	if s.depth == maxDepth {
		return fmt.Sprintf("it nests deeper than %d levels", maxDepth)
	}
	bit := uint64(1) << (s.depth % 64)
	if object {
		s.objects[s.depth/64] |= bit
	} else {
		s.objects[s.depth/64] &^= bit
	}
	s.depth++
	s.i++
	return ""
}

// document reads the whole text.
func (s *scanner) document() string {
	if c := s.next(); c != '{' {
		return "it is no JSON object"
	}
	for {
		// A value starts here.
		which := 0
		if s.depth > 0 && s.inObject() {
			var fault string
			if which, fault = s.key(); fault != "" {
				return fault
			}
		}
		opened, fault := s.element(which)
		if fault != "" {
			return fault
		}
		if opened {
			continue
		}
		if done, fault := s.end(); done || fault != "" {
			return fault
		}
	}
}

// element reads a scalar, an empty array or an empty object whole, or opens an array or object with something in it.
func (s *scanner) element(which int) (opened bool, fault string) {
	c := s.next()
	start := s.i
	switch {
	case c == '{' || c == '[':
		if which != 0 {
			return false, s.value(which, s.s[start:start+1])
		}
		if fault := s.push(c == '{'); fault != "" {
			return false, fault
		}
		if s.next() == c+2 { // in ASCII, } and ] stand two behind { and [
			s.i++
			s.depth--
			return false, ""
		}
		return true, ""
	case c == '"':
		if !s.text() {
			return false, s.invalid("a bad string")
		}
	case c == '-' || c >= '0' && c <= '9':
		if !s.number() {
			return false, s.invalid("a bad number")
		}
	default:
		word := ""
		for _, w := range [...]string{"true", "false", "null"} {
			if strings.HasPrefix(s.s[s.i:], w) {
				word = w
			}
		}
		if word == "" {
			return false, s.invalid("no value")
		}
		s.i += len(word)
	}
	if which != 0 {
		return false, s.value(which, s.s[start:s.i])
	}
	return false, ""
}

// end reads what follows a value: a comma, or the ends of what is open.
func (s *scanner) end() (done bool, fault string) {
	for s.depth > 0 {
		switch c := s.next(); {
		case c == ',':
			s.i++
			return false, ""
		case c == '}' && s.inObject() || c == ']' && !s.inObject():
			s.i++
			s.depth--
		default:
			return false, s.invalid("neither a comma nor an end")
		}
	}
	if s.next(); s.i < len(s.s) {
		return false, s.invalid("something behind the object")
	}
	return true, ""
}

// key reads the name of a member and the colon behind it.
func (s *scanner) key() (which int, fault string) {
	if s.next() != '"' {
		return 0, s.invalid("no name of a member")
	}
	start := s.i + 1
	if !s.text() {
		return 0, s.invalid("a bad string")
	}
	end := s.i - 1
	if s.next() != ':' {
		return 0, s.invalid("no colon")
	}
	s.i++
	if s.depth == 1 {
		return s.member(s.s[start:end])
	}
	return 0, ""
}

// text reads a string, from its quote to behind its last quote.
func (s *scanner) text() bool {
	for i := s.i + 1; i < len(s.s); i++ {
		switch plain[s.s[i]] {
		case 0:
			continue
		case '"':
			s.i = i + 1
			return true
		case '\\':
			n := escape(s.s[i:])
			if n == 0 {
				s.i = i
				return false
			}
			i += n - 1
		default:
			s.i = i
			return false
		}
	}
	s.i = len(s.s)
	return false
}

// plain is 0 for bytes that stand for themselves in a string.
var plain = func() (t [256]byte) {
	for c := range 0x20 {
		t[c] = 1
	}
	t['"'], t['\\'] = '"', '\\'
	return t
}()

// escape returns how long the escape at the start of s is, or 0 when it is none.
func escape(s string) int {
	if len(s) < 2 {
		return 0
	}
	if s[1] != 'u' {
		if strings.IndexByte(`"\/bfnrt`, s[1]) < 0 {
			return 0
		}
		return 2
	}
	if len(s) < 6 {
		return 0
	}
	for _, c := range []byte(s[2:6]) {
		if !(c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f') {
			return 0
		}
	}
	return 6
}

// number reads a number (RFC 8259 section 6).
func (s *scanner) number() bool {
	if s.s[s.i] == '-' {
		s.i++
	}
	if s.i < len(s.s) && s.s[s.i] == '0' {
		s.i++
	} else if !s.digits() {
		return false
	}
	if s.i < len(s.s) && s.s[s.i] == '.' {
		s.i++
		if !s.digits() {
			return false
		}
	}
	if s.i < len(s.s) && s.s[s.i]|0x20 == 'e' {
		s.i++
		if s.i < len(s.s) && (s.s[s.i] == '+' || s.s[s.i] == '-') {
			s.i++
		}
		return s.digits()
	}
	return true
}

func (s *scanner) digits() bool {
	start := s.i
	for s.i < len(s.s) && s.s[s.i] >= '0' && s.s[s.i] <= '9' {
		s.i++
	}
	return s.i > start
}
