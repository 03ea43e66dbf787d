package snapshot_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postern/internal/policy"
	"postern/internal/snapshot"
)

const ruled = `postern: 1
roles:
  writer: {permissions: ["orders:create"]}
upstreams:
  orders: {targets: [{url: "http://127.0.0.1:9001"}]}
%s
apis:
  - name: orders
    versions:
      - version: v1
        base_path: /orders
        upstream: orders
%s
        operations:
          - {name: create-order, method: POST, path: /, permission: "orders:create"}
          - {name: change-order, method: PUT, path: "/{id}"%s}
`

func problemsOf(t *testing.T, text string) string {
	t.Helper()
	doc, err := policy.Parse("postern.yaml", []byte(text))
	if err != nil {
		return err.Error()
	}
	_, err = snapshot.Compile(doc, 1, snapshot.Deps{})
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestMistakesInRules(t *testing.T) {
	cedar := func(text string) string { return "policies: [{name: house, cedar: '" + text + "'}]" }
	for name, c := range map[string]struct{ document, version, operation, want string }{
		"grammar":                  {cedar(`permit(principal);`), "", "", "postern.yaml:6:33: /policies/0/cedar: the policies house cannot be read: line 1, column 18"},
		"an action that is not":    {cedar(`permit(principal, action == Action::"orders:craete", resource);`), "", "", `there is no Action::"orders:craete"; did you mean orders:create?`},
		"a role that is not":       {cedar(`permit(principal in Role::"writr", action, resource);`), "", "", `there is no Role::"writr"; did you mean writer?`},
		"an API that is not":       {cedar(`permit(principal, action, resource in API::"order");`), "", "", `there is no API::"order"; did you mean orders?`},
		"an attribute that is not": {cedar(`permit(principal, action, resource) when { principal.tenat == "acme" };`), "", "", "the policy house#1 at house:1:1: attribute `tenat`"},
		"an attribute of nobody":   {cedar(`permit(principal, action, resource) when { principal.attributes.dept.contains("x") };`), "", "", "attribute `attributes.dept`"},
		"a type that does not fit": {cedar(`permit(principal, action, resource) when { principal.tenant == 1 };`), "", "", "are not compatible"},
		"a field that may be absent": {cedar(`permit(principal, action == Action::"orders:create", resource) when { context.body.amount > 1 };`),
			"        authz: {body: {amount: {pointer: /amount, type: long}}}", "", "unable to guarantee safety of access to optional attribute"},
		"a field that is not declared":   {cedar(`permit(principal, action, resource) when { context.body has amount && context.body.amount > 1 && context.body.amount < "a" };`), "", "", "there is no context.body.amount; declare it under authz/body"},
		"a credential":                   {cedar(`permit(principal, action, resource) when { context.headers["authorization"].contains("x") };`), "", "", "the field authorization carries credentials"},
		"an unknown type":                {cedar(`permit(principal is Person, action, resource);`), "", "", "unrecognized entity type `Person`"},
		"a name given twice":             {cedar(`permit(principal, action, resource);`), "        authz: {policies: [{name: house, cedar: 'permit(principal, action, resource);'}]}", "", `there are already policies "house" at /policies/0`},
		"a file that nobody reads":       {"policies: [{name: house, file: house.cedar}]", "", "", `the file "house.cedar" is read only when the document is read from files`},
		"a type of a field":              {"", "        authz: {body: {amount: {pointer: /amount, type: money}}}", "", `the field "amount" has the type "money"`},
		"a pointer of a field":           {"", "        authz: {body: {amount: {pointer: amount}}}", "", `does not begin with a slash`},
		"an owner without its parameter": {"", "        authz: {owner: {from: path, name: id}}", "", "the path of orders/v1/create-order has no parameter {id}"},
		"an owner of another kind":       {"", "", ", authz: {owner: {from: path, name: id, is: userr}}", `did you mean user?`},
		"an attribute as owner":          {"", "", ", authz: {owner: {from: claim, name: owner}}", `no credential vouches for an attribute "owner"`},
		"an exempt role":                 {"", "", ", authz: {owner: {from: path, name: id, exempt: [suport]}}", `there is no role "suport"`},
		"a host that callers choose":     {"", "", `, authz: {owner: {from: http, url: "https://{id}.internal/x", pointer: /owner}}`, "callers could choose which host is asked"},
		"an owner over plain http":       {"", "", `, authz: {owner: {from: http, url: "http://orders.internal/{id}", pointer: /owner}}`, "could be changed by anybody on the way"},
		"an open operation":              {"", "", `, authn: {none: true}, authz: {require: permit}}`, "is open to anyone"},
		"a zone":                         {"", "        authz: {time_zone: Europe/Atlantis}", "", `"Europe/Atlantis" is no time zone`},
		"a word":                         {"", "        authz: {require: permits}", "", "did you mean permit?"},
		"a literal secret":               {"", "        authz: {decision_point: {url: \"https://pdp.internal/e\", authorization: \"Bearer ${envv:X}\"}}", "", "refer to the secret as"},
		"a decision set":                 {`decision_sets: [{name: todo, cedar: 'permit(principal, action, resource);', entities: '[{'}]`, "", "", "the entities cannot be read"},
		"a decision set by its schema": {`decision_sets: [{name: todo, schema: 'entity user; action "read" appliesTo {principal: user, resource: user};', cedar: 'permit(principal, action == Action::"write", resource);'}]`,
			"", "", "unrecognized action `Action::\"write\"`"},
	} {
		t.Run(name, func(t *testing.T) {
			operation := strings.TrimSuffix(c.operation, "}}") + strings.Repeat("}", strings.Count(strings.TrimSuffix(c.operation, "}}"), "{")-strings.Count(strings.TrimSuffix(c.operation, "}}"), "}"))
			got := problemsOf(t, fmt.Sprintf(ruled, c.document, c.version, operation))
			if !strings.Contains(got, c.want) {
				t.Errorf("got\n%s\nwant %s", got, c.want)
			}
		})
	}
}

func TestRulesThatCompile(t *testing.T) {
	for name, c := range map[string]struct{ document, version, operation string }{
		"a parameter of some operations": {`policies: [{name: house, cedar: 'permit(principal, action, resource) when { context.params has id && context.params.id == "1" };'}]`, "", ""},
		"groups":                         {`policies: [{name: house, cedar: 'permit(principal, action in [Action::"orders:*", Action::"*"], resource);'}]`, "", ""},
		"an action in a condition":       {`policies: [{name: house, cedar: 'forbid(principal, action, resource) when { action == Action::"orders:create" || action in Action::"orders:*" };'}]`, "", ""},
		"no owner after all":             {"", "        authz: {owner: {from: http, url: \"https://orders.internal/x\", pointer: /owner}}", ", authz: {owner: {from: none}}"},
	} {
		if got := problemsOf(t, fmt.Sprintf(ruled, c.document, c.version, c.operation)); got != "" {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestPoliciesFromFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return filepath.Join(dir, name)
	}
	write("house.cedar", "forbid(principal, action, resource)\n  when { principal.tenat == \"x\" };\n")
	config := write("postern.yaml", fmt.Sprintf(ruled, "policies: [{name: house, file: house.cedar}]", "", ""))
	doc, err := policy.ParseFiles(config)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := snapshot.Compile(doc, 1, snapshot.Deps{}); err == nil || !strings.Contains(err.Error(), "the policy house#1 at house.cedar:1:1: ") {
		t.Errorf("got %v", err)
	}
	write("house.cedar", "forbid(principal, action, resource);")
	if doc, err = policy.ParseFiles(config); err != nil || doc.Policies[0].Cedar == "" {
		t.Fatalf("got %v", err)
	}
	text, err := policy.Marshal(doc) // what is stored has the text with it
	if err != nil {
		t.Fatal(err)
	}
	if again, err := policy.Parse("stored", text); err != nil || again.Policies[0].Cedar != doc.Policies[0].Cedar {
		t.Errorf("stored: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, "house.cedar")); err != nil {
		t.Fatal(err)
	}
	if _, err := policy.ParseFiles(config); err == nil || !strings.Contains(err.Error(), "postern.yaml:6:32: /policies/0/file: `house.cedar`: there is no such file") {
		t.Errorf("got %v", err)
	}
}

// Ten thousand operations under a thousand policies compile, and share what they have in common.
func TestManyPoliciesOverManyOperations(t *testing.T) {
	if testing.Short() {
		t.Skip("large")
	}
	doc := &policy.Document{Roles: map[string]policy.Role{"writer": {}}, Upstreams: map[string]policy.Upstream{"u": {Targets: []policy.Target{{URL: "http://127.0.0.1:1"}}}}}
	for i := range 100 {
		v := policy.Version{Version: "v1", BasePath: fmt.Sprintf("/a%d", i), Upstream: "u"}
		for j := range 100 {
			v.Operations = append(v.Operations, policy.Operation{Name: fmt.Sprintf("o%d", j), Method: "GET", Path: fmt.Sprintf("/o%d/{id}", j), Permission: fmt.Sprintf("p%d:o%d", i, j)})
		}
		doc.APIs = append(doc.APIs, policy.API{Name: fmt.Sprintf("api-%d", i), Versions: []policy.Version{v}})
	}
	var text strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&text, "forbid(principal in Role::\"writer\", action, resource in API::\"api-%d\") when { context.params.id == \"%d\" };\n", i%100, i)
	}
	doc.Policies = []policy.Policies{{Name: "house", Cedar: text.String()}}
	began := time.Now()
	if _, err := snapshot.Compile(doc, 1, snapshot.Deps{}); err != nil {
		t.Fatal(err)
	}
	t.Logf("10,000 operations under 1,000 policies compile in %s", time.Since(began))
}
