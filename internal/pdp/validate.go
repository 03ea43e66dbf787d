package pdp

import (
	"fmt"
	"strings"

	"github.com/cedar-policy/cedar-go/x/exp/schema"
	"github.com/cedar-policy/cedar-go/x/exp/schema/validate"
)

// Schema says which entities, attributes and actions there are.
type Schema struct{ v *validate.Validator }

// ParseSchema reads a schema in the Cedar schema language.
func ParseSchema(text string) (*Schema, error) {
	if len(text) > MaxText {
		return nil, fmt.Errorf("the schema is longer than %d KiB", MaxText>>10)
	}
	if line := tooNested(text); line > 0 {
		return nil, fmt.Errorf("the schema nests deeper than %d levels in line %d", maxNesting, line)
	}
	var s schema.Schema
	if err := s.UnmarshalCedar([]byte(text)); err != nil {
		return nil, fmt.Errorf("the schema cannot be read: %s", parserWords(err))
	}
	resolved, err := s.Resolve()
	if err != nil {
		return nil, fmt.Errorf("the schema is not consistent: %w", err)
	}
	return &Schema{validate.New(resolved, validate.WithStrict())}, nil
}

// Check says what is wrong with a policy by the schema, one line for each mistake, or nil.
func (s *Schema) Check(p *Policy) []string {
	err := s.v.Policy("", p.tree)
	if err == nil {
		return nil
	}
	var lines []string
	seen := map[string]bool{}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		if line = strings.TrimSpace(line); line != "" && !seen[line] {
			seen[line] = true
			lines = append(lines, bounded(line))
		}
	}
	return lines
}
