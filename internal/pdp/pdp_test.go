package pdp

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cedar-policy/cedar-go/types"
)

func parse(t testing.TB, text string) *Set {
	t.Helper()
	s, err := Parse(Text{Name: "house", Cedar: text, Pointer: "/policies/0/cedar"})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestParseSaysWhereAndWhat(t *testing.T) {
	for text, want := range map[string]string{
		"permit(principal, action, resource)\n  where { true };": `line 2, column 9: before "{" stands "where", and ";" was expected`,
		"":             "has no policy",
		"// nothing\n": "has no policy",
		`@id("a") permit(principal,action,resource); @id("a") forbid(principal,action,resource);`:                            "house/a at house:1:45 is also at house:1:1",
		"permit(principal, action, resource) when {\n" + strings.Repeat("(", 200) + "true" + strings.Repeat(")", 200) + "};": "deeper than 100 levels in line 2",
		"permit(principal, action, resource) when { " + strings.Repeat("!", 1000) + "true };":                                "deeper than 100 levels",
		"permit(principal, action, resource) when { " + strings.Repeat("if ", 1000) + "true };":                              "deeper than 100 levels",
		"permit(principal, action, resource) when { " + strings.Repeat("- ", 1000) + "1 == 1 };":                             "deeper than 100 levels",
		strings.Repeat(" ", MaxText+1):                                  "longer than 1024 KiB",
		`permit(principal, action == Action::"a\u{110000}", resource);`: "bad unicode escape",
	} {
		_, err := Parse(Text{Name: "house", Cedar: text, Pointer: "/policies/0/cedar"})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "/policies/0/cedar: ") {
			t.Errorf("%.60q: got %v, want %q", text, err, want)
		}
	}
}

func TestNestingCountsBracketsOnly(t *testing.T) {
	for _, text := range []string{
		`permit(principal, action, resource) when { "` + strings.Repeat("(", 500) + `" == "\"((" };`,
		"// " + strings.Repeat("(", 500) + "\npermit(principal, action, resource);",
		"permit(principal, action, resource) when { " + strings.Repeat("(true) && ", 500) + "true };",
		"permit(principal, action, resource) when { " + strings.Repeat("1 - ", 500) + "1 == 0 };",
	} {
		if line := tooNested(text); line != 0 {
			t.Errorf("%.60q nests too deep in line %d", text, line)
		}
	}
}

func TestMentions(t *testing.T) {
	for text, want := range map[string]string{
		`context.query.status.contains("a") && context has body && context.body has amount`: "[context.body context.body.amount context.query.status] []",
		`principal == resource && principal in Role::"a"`:                                   "[] []",
		`principal.roles.contains("a") || resource has owner.name`:                          "[principal.roles resource.owner resource.owner.name] []",
		`context == {}`: "[] [context]",
		`(if true then principal else principal).a`: "[] [context principal resource]",
		`{c: context}.c.a == 1`:                     "[] [context principal resource]",
		`context["a.b"].c == 1`:                     "[] [context principal resource]",
		`principal.hasTag("a")`:                     "[] [context principal resource]",
	} {
		p := parse(t, "permit(principal, action, resource) when { "+text+" };").Policies()[0]
		if got := fmt.Sprint(p.mentions.Paths, p.mentions.Whole); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}

func TestUnknownInputsAreNotGuessed(t *testing.T) {
	user := types.NewEntityUID("User", "ann")
	for name, c := range map[string]struct {
		text                       string
		forbid, permit, mayF, mayP bool
	}{
		"does not matter":           {`permit(principal, action, resource) when { context.method == "GET" };`, false, true, false, false},
		"could permit":              {`permit(principal, action, resource) when { context.body.a == 1 };`, false, false, false, true},
		"cannot permit any more":    {`permit(principal, action, resource) when { context.method == "PUT" && context.body.a == 1 };`, false, false, false, false},
		"could forbid":              {`forbid(principal, action, resource) when { context.body.a == 1 };`, false, false, true, false},
		"cannot forbid":             {`forbid(principal is Robot, action, resource) when { context.body.a == 1 };`, false, false, false, false},
		"forbids whatever is in it": {`forbid(principal, action, resource) when { context.body.a == 1 }; forbid(principal, action, resource);`, true, false, true, false},
	} {
		sel := parse(t, c.text).For(Object{UID: types.NewEntityUID("Action", "a")}, Object{UID: types.NewEntityUID("R", "r")})
		a := sel.Decide(&Query{Principal: user, Action: types.NewEntityUID("Action", "a"), Resource: types.NewEntityUID("R", "r"), Entities: types.EntityMap{},
			Context: types.NewRecord(types.RecordMap{"method": types.String("GET"), "body": types.Record{}}), Unknown: []string{"context.body"}})
		if got := [4]bool{len(a.Forbids) > 0, len(a.Permits) > 0, len(a.MaybeForbids) > 0, len(a.MaybePermits) > 0}; got != [4]bool{c.forbid, c.permit, c.mayF, c.mayP} {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

// The nearest permit is the one with the fewest conditions failing; of equal ones that with more met.
func TestNearest(t *testing.T) {
	s := parse(t, `
		@id("far") permit(principal in Role::"a", action, resource) when { context.x == 2 && context.y == 2 };
		@id("near") permit(principal, action, resource) when { context.x == 1 && context.y == 2 } unless { context.z > 7 };
		@id("nearer") permit(principal, action, resource) when { context.x == 1 && context.z == 8 && context.y > 2 };
		@id("fails") permit(principal, action, resource) when { context.missing == 1 };`)
	o := Object{UID: types.NewEntityUID("T", "t")}
	near, skipped := s.For(o, o).Nearest(&Query{Principal: o.UID, Action: o.UID, Resource: o.UID, Entities: types.EntityMap{},
		Context: types.NewRecord(types.RecordMap{"x": types.Long(1), "y": types.Long(1), "z": types.Long(8)})}, 3)
	var got []string
	for _, n := range near {
		for _, c := range n.Failed {
			got = append(got, n.Policy.ID+": "+c.Text+": "+c.Values)
		}
	}
	want := []string{
		"house/nearer: context.y > 2: context.y is 1",
		"house/fails: context.missing == 1: record does not have the attribute `missing`",
		"house/near: context.y == 2: context.y is 1", "house/near: !(context.z > 7): context.z is 8"}
	if skipped != 0 || len(got) != len(want) || !slices.Equal(got[2:], want[2:]) || got[0] != want[0] || !strings.HasPrefix(got[1], "house/fails: context.missing == 1: ") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestARefusalLooksAtFewPermits(t *testing.T) {
	s := parse(t, strings.Repeat(`permit(principal, action, resource) when { context.x == 2 };`, 500))
	o := Object{UID: types.NewEntityUID("T", "t")}
	near, skipped := s.For(o, o).Nearest(&Query{Principal: o.UID, Action: o.UID, Resource: o.UID, Entities: types.EntityMap{}, Context: types.Record{}}, 3)
	if len(near) != 3 || skipped != 500-examined {
		t.Errorf("%d near, %d skipped", len(near), skipped)
	}
}

func TestEqualSelectionsAreShared(t *testing.T) {
	s := parse(t, `permit(principal, action, resource); permit(principal, action == Action::"a", resource);`)
	object := func(typ types.EntityType, id types.String) Object { return Object{UID: types.NewEntityUID(typ, id)} }
	a, b, c := s.For(object("Action", "b"), object("R", "1")), s.For(object("Action", "c"), object("R", "2")), s.For(object("Action", "a"), object("R", "1"))
	if a != b || a == c || len(a.Policies()) != 1 || len(c.Policies()) != 2 {
		t.Errorf("%d, %d and %d policies", len(a.Policies()), len(b.Policies()), len(c.Policies()))
	}
}

func TestEvaluate(t *testing.T) {
	s, err := NewService(parse(t, `
		permit(principal in Group::"staff", action == Action::"read", resource) when { resource has level && resource.level <= 3 };
		permit(principal, action, resource) when { resource == principal };`),
		`[{"uid":{"type":"user","id":"ann"},"attrs":{},"parents":[{"type":"Group","id":"tea"}]},{"uid":{"type":"Group","id":"tea"},"attrs":{},"parents":[{"type":"Group","id":"staff"}]},
		  {"uid":{"type":"doc","id":"secret"},"attrs":{"level":9},"parents":[]}]`)
	if err != nil {
		t.Fatal(err)
	}
	for question, want := range map[string]string{
		`{"subject":{"type":"user","id":"ann"},"action":{"name":"read"},"resource":{"type":"doc","id":"a","properties":{"level":3}}}`:                     "true",
		`{"subject":{"type":"user","id":"ann"},"action":{"name":"read"},"resource":{"type":"doc","id":"a","properties":{"level":"3"}}}`:                   "false",
		`{"subject":{"type":"user","id":"ann"},"action":{"name":"read"},"resource":{"type":"doc","id":"secret","properties":{"level":1}}}`:                "false",
		`{"subject":{"type":"user","id":"bob"},"action":{"name":"read"},"resource":{"type":"doc","id":"a","properties":{"level":3}}}`:                     "false",
		`{"subject":{"type":"user","id":"bob"},"action":{"name":"write"},"resource":{"type":"user","id":"bob"}}`:                                          "true",
		`{"subject":{"type":"user","id":"ann"},"action":{"name":"write"},"resource":{"type":"doc","id":"a","properties":{"level":3}}}`:                    "false",
		`{"subject":{"type":"user"},"action":{"name":"read"},"resource":{"type":"doc","id":"a"}}`:                                                         "subject needs an id",
		`{"subject":{"type":"a user","id":"ann"},"action":{"name":"read"},"resource":{"type":"doc","id":"a"}}`:                                            "subject needs an id, and a type",
		`{"subject":{"type":"user","id":"ann"},"action":{},"resource":{"type":"doc","id":"a"}}`:                                                           "action.name is missing",
		`{"subject":{"type":"user","id":"ann"},"action":{"name":"read"},"resource":{"type":"doc","id":"a","properties":{"level":1e99}}}`:                  "resource.properties.level is a number that Cedar does not have",
		`{"subject":{"type":"user","id":"ann","properties":{"a":1}},"action":{"name":"read"},"resource":{"type":"user","id":"ann","properties":{"a":2}}}`: "with different properties",
	} {
		var e Evaluation
		d := json.NewDecoder(strings.NewReader(question))
		d.UseNumber()
		if err := d.Decode(&e); err != nil {
			t.Fatal(err)
		}
		allowed, _, err := s.Evaluate(&e)
		got := fmt.Sprint(allowed)
		if err != nil {
			got = err.Error()
		}
		if !strings.HasPrefix(got, want) && !strings.HasSuffix(got, want) {
			t.Errorf("%s: got %s, want %s", question, got, want)
		}
	}
}

// Whatever is written as a policy, reading it ends, and what was read can be decided and explained.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`permit(principal, action, resource);`,
		`@id("a") forbid(principal in Role::"a", action in [Action::"a", Action::"b"], resource is API in Tenant::"t") when { context.a.b has c.d && !(1 + 2 * -3 <= 4) } unless { ip("1.2.3.4").isLoopback() };`,
		`permit(principal == User::"\u{1F600}", action, resource) when { if context has x then [1, "a", {b: true}].contains(context.x) else "x" like "a*\*" };`,
		`permit(principal, action, resource) when { context["\0"].x.getTag("y") == decimal("1.23") };`,
	} {
		f.Add(seed)
	}
	o := Object{UID: types.NewEntityUID("Action", "a")}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse(Text{Name: "fuzz", Cedar: text})
		if err != nil {
			return
		}
		sel := s.For(o, o)
		q := &Query{Principal: o.UID, Action: o.UID, Resource: o.UID, Entities: types.EntityMap{}, Context: types.Record{}}
		a := sel.Decide(q)
		sel.Nearest(q, 3)
		for _, p := range a.Forbids {
			sel.Met(p, q)
		}
		q.Unknown = []string{"context.body"}
		sel.Decide(q)
	})
}
