// Package framing throws raw bytes at the gateway: requests that two programs could read differently, paths that mean two
// things, clients that are slow or leave, and upstreams that answer badly. The cases are data (testdata/*.txt, form below),
// the rules they rest on are RFC 9110, RFC 9112 and RFC 3986, and the ideas come from public research into request
// smuggling. Each case says what the caller is to be answered and exactly what may reach the origin: normally nothing.
//
// # Form of a case
//
//	case NAME                     begins a case; what follows belongs to it
//	# text                        why it matters
//	with TEXT                     one variant: {} in the lines below stands for TEXT. Several lines make several cases
//	> TEXT                        bytes to send: TEXT and CRLF
//	| TEXT                        bytes to send: TEXT alone
//	---                           a pause: what is above is sent before what is below
//	fin                           after the bytes, the client closes its sending side
//	cut                           the message ends too early or goes wrong late: a beginning of it may have reached the origin,
//	                              but never a whole one, and not on a connection that is used again
//	late                          as cut, but only when delivered byte by byte
//	expect STATUS[, STATUS…] END  the answers in order: 400, 400/501 (either), 2xx (class), 200! (without a body), none (closed without
//	                              an answer); END is close, keep or either
//	origin nothing                not one byte reached the origin
//	origin METHOD TARGET [BODY]   exactly this request did, whole; BODY is a quoted Go string. Several lines: in this order
//	has NAME: VALUE               the request above had this field at the origin
//	not NAME: VALUE               it had not this field
//	lacks NAME                    it had none of this name, neither as a trailer
//
// In TEXT the escapes \r \n \t \0 \\ \xHH are known, and \{N*TEXT} repeats.
package framing

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Case is one exchange with the gateway.
type Case struct {
	Name, Why string
	Segments  []string // written one after the other
	Fin       bool
	Late, Cut bool
	Answers   []string
	End       string // close, keep or either
	Nothing   bool
	Origin    []Arrival
}

// Arrival is a request that must have reached the origin.
type Arrival struct {
	Method, Target, Body string
	AnyBody              bool
	Has                  []string // "Name: value"
	Not                  []string // "Name: value"
	Lacks                []string
}

// Bytes is all that the case sends.
func (c Case) Bytes() string { return strings.Join(c.Segments, "") }

// Load reads all cases below testdata/ that match a pattern, variants expanded.
func Load(pattern string) ([]Case, error) {
	files, err := filepath.Glob(filepath.Join("testdata", pattern))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("no file matches testdata/%s", pattern)
	}
	var all []Case
	for _, f := range files {
		src, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		cases, err := Parse(filepath.Base(f), string(src))
		if err != nil {
			return nil, err
		}
		all = append(all, cases...)
	}
	return all, nil
}

// Parse reads the cases of one file.
func Parse(file, src string) ([]Case, error) {
	blocks, err := split(file, src)
	if err != nil {
		return nil, err
	}
	out := make([]Case, len(blocks))
	for i, b := range blocks {
		if out[i], err = one(file, b.lines, b.variant, b.suffix); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// block is the text of one case, for one of its variants.
type block struct {
	lines           []numbered
	variant, suffix string
}

type numbered struct {
	n    int
	text string
}

// split cuts a file into cases and makes one block for each variant.
func split(file, src string) ([]block, error) {
	var out []block
	var lines []numbered
	flush := func() {
		variants := 0
		for _, l := range lines {
			if v, ok := strings.CutPrefix(l.text, "with "); ok || l.text == "with" {
				v = strings.TrimPrefix(v, "with")
				out = append(out, block{lines, v, " [" + v + "]"})
				variants++
			}
		}
		if variants == 0 && len(lines) > 0 {
			out = append(out, block{lines: lines})
		}
		lines = nil
	}
	sc := bufio.NewScanner(strings.NewReader(src))
	for n := 1; sc.Scan(); n++ {
		l := sc.Text()
		if strings.HasPrefix(l, "case ") {
			flush()
		} else if len(lines) == 0 {
			if l != "" && !strings.HasPrefix(l, "#") {
				return nil, fmt.Errorf("%s:%d: %q stands before the first case", file, n, l)
			}
			continue
		}
		lines = append(lines, numbered{n, l})
	}
	flush()
	return out, sc.Err()
}

func one(file string, lines []numbered, variant, suffix string) (Case, error) {
	topic := strings.TrimSuffix(file, ".txt")
	c := Case{}
	var segment strings.Builder
	for _, l := range lines {
		word, rest, _ := strings.Cut(l.text, " ")
		at := func(err error) error { return fmt.Errorf("%s:%d: %w", file, l.n, err) }
		switch word {
		case "case":
			c.Name = topic + ": " + rest + suffix
		case "#":
			c.Why = strings.TrimSpace(c.Why + " " + rest)
		case "with", "":
		case ">", "|":
			text, err := unescape(strings.ReplaceAll(rest, "{}", variant))
			if err != nil {
				return c, at(err)
			}
			segment.WriteString(text)
			if word == ">" {
				segment.WriteString("\r\n")
			}
		case "---":
			c.Segments = append(c.Segments, segment.String())
			segment.Reset()
		case "fin":
			c.Fin = true
		case "late":
			c.Late = true
		case "cut":
			c.Cut = true
		case "expect":
			i := strings.LastIndexByte(rest, ' ')
			if i < 0 {
				return c, at(fmt.Errorf("expect needs answers and an end"))
			}
			c.End = rest[i+1:]
			for _, a := range strings.Split(rest[:i], ",") {
				c.Answers = append(c.Answers, strings.TrimSpace(a))
			}
			if c.End != "close" && c.End != "keep" && c.End != "either" {
				return c, at(fmt.Errorf("the end is %q, not close, keep or either", c.End))
			}
		case "origin":
			v, err := unescape(variant)
			if err != nil {
				return c, at(err)
			}
			if strings.Contains(rest, "\\{") {
				if rest, err = unescape(rest); err != nil {
					return c, at(err)
				}
			}
			if err := c.arrival(strings.ReplaceAll(rest, "{}", v)); err != nil {
				return c, at(err)
			}
		case "has", "lacks", "not":
			if len(c.Origin) == 0 {
				return c, at(fmt.Errorf("%s needs an origin line above it", word))
			}
			a := &c.Origin[len(c.Origin)-1]
			rest = strings.ReplaceAll(rest, "{}", variant)
			switch word {
			case "has":
				a.Has = append(a.Has, rest)
			case "not":
				a.Not = append(a.Not, rest)
			default:
				a.Lacks = append(a.Lacks, rest)
			}
		default:
			return c, at(fmt.Errorf("unknown directive %q", word))
		}
	}
	if segment.Len() > 0 {
		c.Segments = append(c.Segments, segment.String())
	}
	switch {
	case len(c.Segments) == 0, len(c.Answers) == 0:
		return c, fmt.Errorf("%s: %s sends nothing or expects nothing", file, c.Name)
	case c.Nothing == (len(c.Origin) > 0):
		return c, fmt.Errorf("%s: %s: say either what the origin receives or nothing", file, c.Name)
	case c.Why == "":
		return c, fmt.Errorf("%s: %s does not say why", file, c.Name)
	}
	return c, nil
}

func (c *Case) arrival(s string) error {
	if s == "nothing" {
		c.Nothing = true
		return nil
	}
	parts := strings.SplitN(s, " ", 3)
	if len(parts) < 2 {
		return fmt.Errorf("origin %q is neither nothing nor METHOD TARGET [BODY]", s)
	}
	a := Arrival{Method: parts[0], Target: parts[1], AnyBody: len(parts) == 2}
	if len(parts) == 3 {
		body, err := strconv.Unquote(parts[2])
		if err != nil {
			return fmt.Errorf("body %s: %w", parts[2], err)
		}
		a.Body = body
	}
	c.Origin = append(c.Origin, a)
	return nil
}

// unescape reads the escapes of TEXT.
func unescape(s string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			continue
		}
		if i++; i == len(s) {
			return "", fmt.Errorf("a backslash ends %q", s)
		}
		switch s[i] {
		case 'r':
			b.WriteByte('\r')
		case 'n':
			b.WriteByte('\n')
		case 't':
			b.WriteByte('\t')
		case '0':
			b.WriteByte(0)
		case '\\':
			b.WriteByte('\\')
		case 'x':
			if i+2 >= len(s) {
				return "", fmt.Errorf(`\x needs two digits in %q`, s)
			}
			v, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
			if err != nil {
				return "", err
			}
			b.WriteByte(byte(v))
			i += 2
		case '{':
			times, text, n, err := repetition(s[i+1:])
			if err != nil {
				return "", err
			}
			b.WriteString(strings.Repeat(text, times))
			i += n
		default:
			return "", fmt.Errorf(`unknown escape \%c in %q`, s[i], s)
		}
	}
	return b.String(), nil
}

// repetition reads "N*TEXT}" and how long that is. TEXT may contain repetitions.
func repetition(s string) (times int, text string, n int, err error) {
	n = -1
	for i, depth := 0, 1; i < len(s) && depth > 0; i++ {
		switch {
		case s[i] == '{' && i > 0 && s[i-1] == '\\':
			depth++
		case s[i] == '}':
			if depth--; depth == 0 {
				n = i
			}
		}
	}
	count, text, ok := strings.Cut(s[:max(n, 0)], "*")
	if n < 0 || !ok {
		return 0, "", 0, fmt.Errorf(`a repetition is written \{N*TEXT}, not \{%s`, s)
	}
	if times, err = strconv.Atoi(count); err != nil {
		return 0, "", 0, err
	}
	if text, err = unescape(text); err != nil {
		return 0, "", 0, err
	}
	return times, text, n + 1, nil
}
