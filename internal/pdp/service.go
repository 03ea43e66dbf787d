package pdp

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/cedar-policy/cedar-go/types"
)

// Service decides for others than the gateway: subjects, actions and resources of any type, as OpenID AuthZEN has them.
//
// Types are Cedar entity types, and action NAME is Action::"NAME". What Entities knows of a subject or resource counts more than the
// properties that come with a question; of others the properties are the attributes.
type Service struct {
	set      *Set
	entities types.EntityMap
}

// NewService takes entities as Cedar's JSON: a list of {uid, attrs, parents}; empty: none.
func NewService(set *Set, entities string) (*Service, error) {
	s := &Service{set: set, entities: types.EntityMap{}}
	if strings.TrimSpace(entities) == "" {
		return s, nil
	}
	if err := json.Unmarshal([]byte(entities), &s.entities); err != nil {
		return nil, fmt.Errorf("the entities cannot be read: %w", err)
	}
	return s, nil
}

// Party is the subject or resource of a question.
type Party struct {
	Type       string         `json:"type"`
	ID         string         `json:"id"`
	Properties map[string]any `json:"properties,omitempty"` // JSON values, numbers as json.Number
}

// Evaluation is a question: may the subject do the action to the resource?
type Evaluation struct {
	Subject Party `json:"subject"`
	Action  struct {
		Name       string         `json:"name"`
		Properties map[string]any `json:"properties,omitempty"`
	} `json:"action"`
	Resource Party          `json:"resource"`
	Context  map[string]any `json:"context,omitempty"`
}

// Evaluate answers. An error is a mistake in the question, and says which.
func (s *Service) Evaluate(e *Evaluation) (allowed bool, a Answer, err error) {
	known := &overlay{base: s.entities}
	subject, err := known.add("subject", &e.Subject)
	if err != nil {
		return false, a, err
	}
	resource, err := known.add("resource", &e.Resource)
	if err != nil {
		return false, a, err
	}
	if e.Action.Name == "" {
		return false, a, errors.New("action.name is missing")
	}
	context, err := recordOf("context", e.Context)
	if err != nil {
		return false, a, err
	}
	action := types.NewEntityUID("Action", types.String(e.Action.Name))
	sel := s.set.choose(Object{action, known.above(action)}, Object{resource, known.above(resource)})
	a = sel.Decide(&Query{Principal: subject, In: known.above(subject), Action: action, Resource: resource, Context: context, Entities: known})
	return len(a.Forbids) == 0 && len(a.Permits) > 0, a, nil
}

// overlay is entities with those of one question.
type overlay struct {
	base types.EntityMap
	own  [2]types.Entity
	n    int
}

// Get implements types.EntityGetter.
func (o *overlay) Get(id types.EntityUID) (types.Entity, bool) {
	if e, ok := o.base[id]; ok {
		return e, true
	}
	for i := range o.n {
		if o.own[i].UID == id {
			return o.own[i], true
		}
	}
	return types.Entity{}, false
}

func (o *overlay) add(name string, p *Party) (types.EntityUID, error) {
	typ, err := types.NewEntityType(p.Type)
	if err != nil || p.ID == "" {
		return types.EntityUID{}, fmt.Errorf("%s needs an id, and a type that is a name such as user", name)
	}
	id := types.NewEntityUID(typ, types.String(p.ID))
	attributes, err := recordOf(name+".properties", p.Properties)
	if err != nil {
		return id, err
	}
	if o.n == 1 && o.own[0].UID == id && attributes.Len() > 0 && o.own[0].Attributes.Len() > 0 && !attributes.Equal(o.own[0].Attributes) {
		return id, errors.New("subject and resource are the same, with different properties")
	}
	if o.n == 1 && o.own[0].UID == id && o.own[0].Attributes.Len() == 0 {
		o.n = 0 // the same, and only this time with properties
	}
	o.own[o.n] = types.Entity{UID: id, Attributes: attributes}
	o.n++
	return id, nil
}

// above lists what an entity is in, each once.
func (o *overlay) above(id types.EntityUID) (all []types.EntityUID) {
	seen := map[types.EntityUID]bool{id: true}
	for todo := []types.EntityUID{id}; len(todo) > 0; {
		e, _ := o.Get(todo[0])
		todo = todo[1:]
		for p := range e.Parents.All() {
			if !seen[p] {
				seen[p] = true
				all, todo = append(all, p), append(todo, p)
			}
		}
	}
	return all
}

// recordOf turns JSON into a record. null is left out: Cedar has no such value.
func recordOf(at string, m map[string]any) (types.Record, error) {
	if len(m) == 0 {
		return types.Record{}, nil
	}
	r := make(types.RecordMap, len(m))
	for name, v := range m {
		if v == nil {
			continue
		}
		value, err := valueOf(at+"."+name, v)
		if err != nil {
			return types.Record{}, err
		}
		r[types.String(name)] = value
	}
	return types.NewRecord(r), nil
}

func valueOf(at string, v any) (types.Value, error) {
	switch v := v.(type) {
	case string:
		return types.String(v), nil
	case bool:
		return types.Boolean(v), nil
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return types.Long(n), nil
		}
		if d, err := types.ParseDecimal(v.String()); err == nil {
			return d, nil
		}
		return nil, fmt.Errorf("%s is a number that Cedar does not have: write 64 bits, or up to 4 digits after the point", at)
	case map[string]any:
		return recordOf(at, v)
	case []any:
		values := make([]types.Value, 0, len(v))
		for _, item := range v {
			value, err := valueOf(at, item)
			if err != nil {
				return nil, err
			}
			values = append(values, value)
		}
		return types.NewSet(values...), nil
	}
	return nil, fmt.Errorf("%s has a value that policies cannot read", at)
}
