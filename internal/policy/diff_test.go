package policy

import (
	"strings"
	"testing"
)

func TestDiff(t *testing.T) {
	base := `postern: 1
trusted_proxies: [10.0.0.0/8, 192.168.0.0/16]
roles: {clerk: {permissions: ["orders:read"]}}
upstreams:
  orders:
    targets: [{url: "http://a"}, {url: "http://b", weight: 2}]
    credential: {header: Authorization, value: "Bearer hunter2"}
apis:
  - {name: stock, versions: []}
  - name: orders
    versions:
      - version: v1
        operations:
          - {name: list, method: GET, path: /}
          - {name: create, method: POST, path: /}
`
	for _, c := range []struct{ name, old, new, want string }{
		{"nothing", "", "", ""},
		{"order of a set", "[10.0.0.0/8, 192.168.0.0/16]", "[192.168.0.0/16, 10.0.0.0/8]", ""},
		{"order of named items", "- {name: list, method: GET, path: /}\n          - {name: create, method: POST, path: /}",
			"- {name: create, method: POST, path: /}\n          - {name: list, method: GET, path: /}", ""},
		{"a value", "method: POST", "method: PUT", `changed /apis/orders/versions/v1/operations/create/method: "POST" -> "PUT"`},
		{"a value given", "method: POST", "method: POST, permission: \"orders:create\"", `added /apis/orders/versions/v1/operations/create/permission: "orders:create"`},
		{"a value taken away", ", weight: 2", "", `removed /upstreams/orders/targets/http:~1~1b/weight: 2`},
		{"an item added", "  - {name: stock, versions: []}", "  - {name: stock, versions: []}\n  - {name: new, versions: []}", `added /apis/new: {"name":"new"}`},
		{"an item removed", "  - {name: stock, versions: []}\n", "", `removed /apis/stock: {"name":"stock"}`},
		{"an item renamed", "name: stock", "name: store", `removed /apis/stock: {"name":"stock"}` + "\n" + `added /apis/store: {"name":"store"}`},
		{"a name added", "roles: {", "roles: {boss: {inherits: [clerk]}, ", `added /roles/boss: {"inherits":["clerk"]}`},
		{"an empty block says something", "- version: v1", "- version: v1\n        authn: {}", `added /apis/orders/versions/v1/authn: {}`},
		{"a literal secret", "Bearer hunter2", "Bearer hunter3", `changed /upstreams/orders/credential/value: "[literal]" -> "[literal]"`},
		{"a reference", "Bearer hunter2", "Bearer ${env:TOKEN}", `changed /upstreams/orders/credential/value: "[literal]" -> "Bearer ${env:TOKEN}"`},
		{"an upstream with a secret", "  orders:\n    targets: [{url: \"http://a\"}, {url: \"http://b\", weight: 2}]\n    credential: {header: Authorization, value: \"Bearer hunter2\"}\n",
			"  none: {targets: []}\n", `removed /upstreams/orders: {"credential":{"header":"Authorization","value":"[literal]"},"targets":[{"url":"http://a"},{"url":"http://b","weight":2}]}` + "\n" + `added /upstreams/none: {}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.old != "" && !strings.Contains(base, c.old) {
				t.Fatalf("the base does not contain %q", c.old)
			}
			a, err := Parse("a", []byte(base))
			if err != nil {
				t.Fatal(err)
			}
			b, err := Parse("b", []byte(strings.Replace(base, c.old, c.new, 1)))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, change := range Diff(a, b) {
				got = append(got, change.String())
			}
			if text := strings.Join(got, "\n"); text != c.want {
				t.Errorf("\n got %s\nwant %s", text, c.want)
			}
		})
	}
}

// Two items with one name cannot be told apart by it: then places count.
func TestDiffOfDuplicates(t *testing.T) {
	a := &Document{APIs: []API{{Name: "x"}, {Name: "x", Title: "old"}}}
	b := &Document{APIs: []API{{Name: "x"}, {Name: "x", Title: "new"}, {Name: "y"}}}
	got := Diff(a, b)
	if len(got) != 2 || got[0].String() != `changed /apis/1/title: "old" -> "new"` || got[1].String() != `added /apis/2: {"name":"y"}` {
		t.Errorf("got %v", got)
	}
}
