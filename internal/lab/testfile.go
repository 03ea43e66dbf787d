package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	yaml "go.yaml.in/yaml/v4"

	"postern/internal/directory"
	"postern/internal/gate"
)

// TestFile is a file of policy tests: what requests must be decided as, under a configuration and a directory of its own.
type TestFile struct {
	Config    Names      `yaml:"config"` // files or folders, relative to this file
	Now       time.Time  `yaml:"now"`    // default: the time of the run
	Host      string     `yaml:"host"`   // of requests that name none
	Directory PeopleFile `yaml:"directory"`
	Tests     []Test     `yaml:"tests"`
	Tables    []Table    `yaml:"tables"`
}

// Names is one name or a list.
type Names []string

// UnmarshalYAML implements yaml.Unmarshaler.
func (n *Names) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode {
		*n = Names{node.Value}
		return nil
	}
	return node.Decode((*[]string)(n))
}

// Test is one request and what is expected of it.
type Test struct {
	Name    string            `yaml:"name"`
	As      string            `yaml:"as"`      // a role, an application, key:ID, or nobody; empty: the request's own credential
	Request string            `yaml:"request"` // "POST /orders", a curl command or a raw HTTP message
	Headers map[string]string `yaml:"headers"`
	Body    string            `yaml:"body"`
	From    string            `yaml:"from"`
	Earlier int               `yaml:"earlier"` // how many times the same request came before
	Expect  string            `yaml:"expect"`  // allowed, refused, unknown, a status, a reason, or a status and a reason
	Remedy  string            `yaml:"remedy"`  // kind, or part of the text, of a verified remedy
	Header  map[string]string `yaml:"header"`  // of the refusal: part of WWW-Authenticate, Allow or Retry-After

	line int
}

// Table is operations by callers: each cell is an expectation.
type Table struct {
	Name string              `yaml:"name"`
	As   []string            `yaml:"as"`   // the columns
	Rows map[string][]string `yaml:"rows"` // "GET /orders" to an expectation for each column
	From string              `yaml:"from"`
}

// PeopleFile is a directory as tests write it. Standing is active and state approved unless said.
type PeopleFile struct {
	Tenants []struct {
		ID       string             `yaml:"id"`
		Standing directory.Standing `yaml:"standing"`
	} `yaml:"tenants"`
	Applications []struct {
		ID       string             `yaml:"id"`
		Tenant   string             `yaml:"tenant"`
		Standing directory.Standing `yaml:"standing"`
		Roles    []string           `yaml:"roles"`
	} `yaml:"applications"`
	Keys []struct {
		ID          string    `yaml:"id"`
		Application string    `yaml:"application"`
		Key         string    `yaml:"key"` // in plain text: a test key, never a real one
		Scopes      []string  `yaml:"scopes"`
		Expires     time.Time `yaml:"expires"`
		Revoked     time.Time `yaml:"revoked"`
		ReplacedBy  string    `yaml:"replaced_by"`
	} `yaml:"keys"`
	Subscriptions []struct {
		ID          string                      `yaml:"id"`
		Application string                      `yaml:"application"`
		API         string                      `yaml:"api"`
		Version     string                      `yaml:"version"`
		Plan        string                      `yaml:"plan"`
		State       directory.SubscriptionState `yaml:"state"`
		Comment     string                      `yaml:"comment"`
		Expires     time.Time                   `yaml:"expires"`
	} `yaml:"subscriptions"`
}

// UnmarshalYAML implements yaml.Unmarshaler: a test is a mapping, or a sentence such as
// "as viewer, POST /orders: expect 403 authz.permission_missing".
func (t *Test) UnmarshalYAML(node *yaml.Node) error {
	t.line = node.Line
	if node.Kind != yaml.ScalarNode {
		type plain Test
		if err := known(node, testFields); err != nil {
			return err
		}
		return node.Decode((*plain)(t))
	}
	m := sentence.FindStringSubmatch(node.Value)
	if m == nil {
		return fmt.Errorf("line %d: %q is no test: write one such as %q", node.Line, node.Value, "as viewer, POST /orders: expect 403 authz.permission_missing")
	}
	t.Name, t.As, t.Request, t.Expect = node.Value, m[1], m[2], m[3]
	return nil
}

var sentence = regexp.MustCompile(`^(?:as (\S+), )?([A-Z]+ \S+): expect (.+)$`)

var testFields = strings.Fields("name as request headers body from earlier expect remedy header")

// known refuses fields that there are not: a mistyped expectation would otherwise expect nothing.
func known(node *yaml.Node, fields []string) error {
	for i := 0; i+1 < len(node.Content); i += 2 {
		found := false
		for _, f := range fields {
			found = found || node.Content[i].Value == f
		}
		if !found {
			return fmt.Errorf("line %d: a test has no field %q; it has %s", node.Content[i].Line, node.Content[i].Value, words(fields))
		}
	}
	return nil
}

// ParseTestFile reads a file of tests. name is its path: the configuration is looked for beside it.
func ParseTestFile(name string, src []byte) (*TestFile, error) {
	var f TestFile
	if err := yaml.Load(src, &f, yaml.WithKnownFields()); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(f.Config) == 0 {
		return nil, fmt.Errorf("%s: say which configuration is tested, such as config: postern.yaml", name)
	}
	for i, c := range f.Config {
		if !filepath.IsAbs(c) {
			f.Config[i] = filepath.Join(filepath.Dir(name), c)
		}
	}
	for i := range f.Tables {
		tests, err := f.Tables[i].tests()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		f.Tests = append(f.Tests, tests...)
	}
	if len(f.Tests) == 0 {
		return nil, fmt.Errorf("%s: the file has no tests", name)
	}
	for i := range f.Tests {
		if err := f.Tests[i].check(); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, f.Tests[i].line, err)
		}
	}
	return &f, nil
}

func (t *Table) tests() (out []Test, err error) {
	for _, row := range sortedKeys(t.Rows) {
		if len(t.Rows[row]) != len(t.As) {
			return nil, fmt.Errorf("the row %q of the table %q has %d cells, and there are %d columns", row, t.Name, len(t.Rows[row]), len(t.As))
		}
		for i, expect := range t.Rows[row] {
			out = append(out, Test{Name: strings.TrimSpace(t.Name + " " + row + " as " + t.As[i]), As: t.As[i], Request: row, From: t.From, Expect: expect})
		}
	}
	return out, nil
}

func (t *Test) check() error {
	if t.Name == "" {
		t.Name = strings.TrimSpace(t.As + " " + strings.SplitN(t.Request, "\n", 2)[0])
	}
	switch {
	case t.Request == "":
		return fmt.Errorf("the test %q has no request", t.Name)
	case t.Expect == "":
		return fmt.Errorf("the test %q expects nothing: write expect: allowed, or a status and a reason", t.Name)
	}
	if t.From != "" {
		if _, err := netip.ParseAddr(t.From); err != nil {
			return fmt.Errorf("from: %q is no IP address", t.From)
		}
	}
	_, err := t.expected()
	return err
}

// expectation is what Expect says.
type expectation struct {
	verdict string // "" when a status or a reason says it
	status  int
	reason  string
}

func (t *Test) expected() (e expectation, err error) {
	for _, w := range strings.Fields(t.Expect) {
		switch {
		case w == Allowed || w == Refused || w == Unknown || w == Answered:
			e.verdict = w
		case len(w) == 3 && strings.Trim(w, "0123456789") == "":
			_, _ = fmt.Sscan(w, &e.status)
		case strings.Contains(w, "."):
			if proposals[w].find == nil && proposals[w].whyNot == "" {
				return e, fmt.Errorf("expect: there is no reason %s", w)
			}
			e.reason = w
		default:
			return e, errors.New("expect: write allowed, refused, unknown, answered, a status such as 403, a reason such as authz.permission_missing, or both")
		}
	}
	return e, nil
}

// memory is the directory of a test.
func (p *PeopleFile) memory() *people {
	d := &people{under: nobody{}, keys: map[[32]byte]directory.Key{}, applications: map[string]directory.Application{},
		tenants: map[string]directory.Tenant{}, subscriptions: map[[3]string]directory.Subscription{}}
	for _, t := range p.Tenants {
		d.tenants[t.ID] = directory.Tenant{ID: t.ID, Standing: orElse(t.Standing, directory.Active)}
	}
	for _, a := range p.Applications {
		if _, ok := d.tenants[a.Tenant]; !ok && a.Tenant != "" && len(p.Tenants) == 0 {
			d.tenants[a.Tenant] = directory.Tenant{ID: a.Tenant, Standing: directory.Active} // tests about tenants list them
		}
		d.applications[a.ID] = directory.Application{ID: a.ID, Tenant: a.Tenant, Standing: orElse(a.Standing, directory.Active), Roles: a.Roles}
	}
	for _, k := range p.Keys {
		h := directory.HashKey(k.Key)
		d.keys[h] = directory.Key{ID: k.ID, Application: k.Application, Hash: h, Scopes: k.Scopes, Expires: k.Expires, Revoked: k.Revoked, ReplacedBy: k.ReplacedBy}
	}
	for i, s := range p.Subscriptions {
		d.putSubscription(directory.Subscription{ID: orElse(s.ID, fmt.Sprintf("s_%d", i+1)), Application: s.Application, API: s.API, Version: s.Version, Plan: s.Plan,
			State: orElse(s.State, directory.Approved), Comment: s.Comment, Expires: s.Expires})
	}
	return d
}

func orElse[T ~string](v, otherwise T) T {
	if v == "" {
		return otherwise
	}
	return v
}

// nobody is an empty directory.
type nobody struct{}

func (nobody) Key(*[32]byte, *directory.Key) (bool, error)              { return false, nil }
func (nobody) Application(string, *directory.Application) (bool, error) { return false, nil }
func (nobody) Tenant(string, *directory.Tenant) (bool, error)           { return false, nil }
func (nobody) Subscription(_, _, _ string, _ *directory.Subscription) (bool, error) {
	return false, nil
}

var _ gate.Directory = nobody{}
