package pdp

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"

	"postern/internal/policy"
)

// MaxText is how many bytes of policies one text may have.
const MaxText = 1 << 20

// maxNesting bounds brackets within brackets and runs of prefix operators: the parser calls itself for each.
const maxNesting = 100

// Text is a piece of Cedar source.
type Text struct {
	Name    string // unique; the ids of its policies begin with it
	Cedar   string
	File    string // shown in positions; empty: Name is
	Pointer string // where the text stands in the configuration (RFC 6901)
	Shadow  bool   // its policies report what they would do
}

// Policy is one policy of a set. It never changes.
type Policy struct {
	ID           string // "NAME/ANNOTATED" by its annotation @id, otherwise "NAME#3", counted from 1
	Forbid       bool   // otherwise it permits
	Shadow       bool
	Line, Column int // where it begins in its text, from 1
	Text         *Text

	compiled   *cedar.Policy
	tree       *ast.Policy
	conditions []ast.IsNode // that a permit needs met, action and resource aside
	mentions   Mentions
}

// At says where the policy is written: "office.cedar:3:1".
func (p *Policy) At() string {
	name := p.Text.File
	if name == "" {
		name = p.Text.Name
	}
	return fmt.Sprintf("%s:%d:%d", name, p.Line, p.Column)
}

// Mentions is what the conditions of the policy read.
func (p *Policy) Mentions() *Mentions { return &p.mentions }

// Set is policies that decide together. It never changes and may be used by several goroutines.
type Set struct {
	policies []*Policy
	byID     map[string]*Policy
	index    index

	mu         sync.Mutex
	selections map[string]*Selection // made so far, by their policies
}

// Parse reads texts. The error is a policy.Problems with a pointer for every text that is wrong; positions inside a text are
// in the message.
func Parse(texts ...Text) (*Set, error) {
	s := &Set{byID: map[string]*Policy{}}
	var problems policy.Problems
	for i := range texts {
		problems = append(problems, s.parse(&texts[i])...)
	}
	if err := problems.Err(); err != nil {
		return nil, err
	}
	s.index = indexed(s.policies)
	return s, nil
}

// Join returns a set of the policies of several.
func Join(sets ...*Set) *Set {
	s := &Set{byID: map[string]*Policy{}}
	for _, from := range sets {
		if from == nil {
			continue
		}
		for _, p := range from.policies {
			if s.byID[p.ID] == nil {
				s.byID[p.ID] = p
				s.policies = append(s.policies, p)
			}
		}
	}
	s.index = indexed(s.policies)
	return s
}

// Policies returns the policies of the set in the order of the texts. The list is shared.
func (s *Set) Policies() []*Policy {
	if s == nil {
		return nil
	}
	return s.policies
}

const grammar = "correct it; the grammar is at https://docs.cedarpolicy.com/policies/syntax-grammar.html"

func (s *Set) parse(t *Text) policy.Problems {
	wrong := func(remedy, message string, args ...any) policy.Problems {
		return policy.Problems{{Pointer: t.Pointer, Message: fmt.Sprintf(message, args...), Remedy: remedy}}
	}
	if len(t.Cedar) > MaxText {
		return wrong("divide it", "the policies %s are longer than %d KiB", t.Name, MaxText>>10)
	}
	if line := tooNested(t.Cedar); line > 0 {
		return wrong("write it as several policies", "the policies %s nest deeper than %d levels in line %d", t.Name, maxNesting, line)
	}
	list, err := cedar.NewPolicyListFromBytes(t.File, []byte(t.Cedar))
	if err != nil {
		return wrong(grammar, "the policies %s cannot be read: %s", t.Name, parserWords(err))
	}
	if len(list) == 0 {
		return wrong("write a policy, such as permit(principal, action, resource);", "the text %s has no policy", t.Name)
	}
	var problems policy.Problems
	for i, c := range list {
		at := c.Position()
		p := &Policy{ID: t.Name + "#" + strconv.Itoa(i+1), Forbid: c.Effect() == cedar.Forbid, Shadow: t.Shadow,
			Line: at.Line, Column: at.Column, Text: t, compiled: c, tree: (*ast.Policy)(c.AST())}
		if id, ok := c.Annotations()["id"]; ok && id != "" {
			p.ID = t.Name + "/" + string(id)
		}
		if first := s.byID[p.ID]; first != nil {
			problems = append(problems, wrong("give each policy an @id of its own",
				"the policy %s at %s is also at %s", p.ID, p.At(), first.At())...)
			continue
		}
		p.mentions.read(p.tree)
		p.conditions = conditionsOf(p.tree)
		s.byID[p.ID] = p
		s.policies = append(s.policies, p)
	}
	return problems
}

var (
	parserPosition = regexp.MustCompile(`^parse error at <input>:(\d+):(\d+) `)
	parserExact    = regexp.MustCompile(`: ("(?s:.*)"): exact got (.+) want (.+)$`)
)

// parserWords turns "parser error: parse error at <input>:3:7 …" into "line 3, column 7: …".
func parserWords(err error) string {
	s := strings.TrimPrefix(err.Error(), "parser error: ")
	s = parserPosition.ReplaceAllString(s, "line $1, column $2: ")
	s = parserExact.ReplaceAllString(s, `: before $1 stands "$2", and "$3" was expected`)
	const most = 300
	if len(s) > most {
		s = s[:most] + "…"
	}
	return s
}

// tooNested returns the line where brackets, or prefix operators in a row, go deeper than maxNesting; 0 when they do not.
// Text in strings and comments does not count.
func tooNested(text string) int {
	line, depth, prefixes := 1, 0, 0
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch c {
		case '\n':
			line++
			continue
		case ' ', '\t', '\r':
			continue
		case '"':
			for i++; i < len(text) && text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				} else if text[i] == '\n' {
					line++
				}
			}
			prefixes = 0
			continue
		case '/':
			if strings.HasPrefix(text[i:], "//") {
				end := strings.IndexByte(text[i:], '\n')
				if end < 0 {
					return 0
				}
				i += end - 1
				continue
			}
		case '(', '[', '{':
			depth++
		case ')', ']', '}':
			depth--
		case 'i': // "if if if": the condition of a condition
			if strings.HasPrefix(text[i:], "if") && (i+2 == len(text) || strings.IndexByte(" \t\r\n(!-", text[i+2]) >= 0) {
				prefixes++
				i++
				if prefixes > maxNesting {
					return line
				}
				continue
			}
		}
		if c == '!' || c == '-' {
			prefixes++
		} else if c != '(' {
			prefixes = 0
		}
		if depth > maxNesting || prefixes > maxNesting {
			return line
		}
	}
	return 0
}

// uid is short for what appears everywhere.
type uid = types.EntityUID
