package authz

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"postern/internal/policy"
)

func TestInheritanceAndStars(t *testing.T) {
	r, err := CompileRoles(map[string]policy.Role{
		"reader": {Permissions: []string{"orders:read"}},
		"writer": {Permissions: []string{"orders:create", "orders:read"}, Inherits: []string{"reader"}},
		"lead":   {Inherits: []string{"writer", "reader"}},
		"orders": {Permissions: []string{"orders:*"}},
		"items":  {Permissions: []string{"orders:items:*"}},
		"root":   {Permissions: []string{"*"}},
		"nobody": {},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		permission string
		holders    string // narrowest first
	}{
		{"orders:read", "reader lead writer orders root"},
		{"orders:create", "lead writer orders root"},
		{"orders:items:read", "items orders root"},
		{"orders:items", "orders root"},
		{"orders", "root"},
		{"ordersx:read", "root"},
		{"Orders:read", "root"},
		{"billing:read", "root"},
	} {
		if got := strings.Join(r.Holders(c.permission), " "); got != c.holders {
			t.Errorf("%s is held by %s, want %s", c.permission, got, c.holders)
		}
	}
	if got := r.Granted("lead"); !slices.Equal(got, []string{"orders:create", "orders:read"}) {
		t.Errorf("lead grants %v", got)
	}
	if r.Granted("nobody") == nil == r.has("nobody") && r.Granted("no such role") != nil {
		t.Error("a role without permissions and none at all are the same")
	}
	var none *Roles
	if none.Granted("x") != nil || none.Holders("x") != nil || none.has("x") {
		t.Error("no roles grant something")
	}
}

func TestMistakesInRolesAreAllFound(t *testing.T) {
	_, err := CompileRoles(map[string]policy.Role{
		"a":    {Inherits: []string{"b"}},
		"b":    {Inherits: []string{"c", "missing"}},
		"c":    {Inherits: []string{"a"}},
		"self": {Inherits: []string{"self"}},
		"p/q": {Permissions: []string{"", "orders:*:read", "*:read", "or ders", ":x", "x:", "a::b", "ok:fine", "*", "x:*", "\"", "naïve", ":*", "**",
			strings.Repeat("x", 201)}},
	})
	var problems policy.Problems
	if !errors.As(err, &problems) {
		t.Fatalf("got %v", err)
	}
	want := []string{
		"/roles/b/inherits/1", "/roles/c/inherits/0", "/roles/self/inherits/0",
	}
	for _, i := range []int{0, 1, 2, 3, 4, 5, 6, 10, 11, 12, 13, 14} {
		want = append(want, fmt.Sprintf("/roles/p~1q/permissions/%d", i))
	}
	var got []string
	for _, p := range problems {
		got = append(got, p.Pointer)
		if p.Message == "" || p.Remedy == "" {
			t.Errorf("%s: %q, %q", p.Pointer, p.Message, p.Remedy)
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if !strings.Contains(err.Error(), "a → b → c → a") {
		t.Errorf("the circle is not named: %v", err)
	}
}

func TestDeepInheritanceIsRefusedAndWideIsNot(t *testing.T) {
	deep, diamond := map[string]policy.Role{}, map[string]policy.Role{}
	for i := range 3000 {
		r := policy.Role{Permissions: []string{fmt.Sprintf("p%d:x", i)}}
		if i > 0 {
			r.Inherits = []string{fmt.Sprintf("r%d", i-1)}
		}
		deep[fmt.Sprintf("r%d", i)] = r
	}
	if _, err := CompileRoles(deep); err == nil || !strings.Contains(err.Error(), "levels") {
		t.Errorf("got %v", err)
	}
	// Thirty layers of two that each inherit from both below: a billion paths, sixty roles.
	for layer := range 30 {
		for side := range 2 {
			r := policy.Role{Permissions: []string{fmt.Sprintf("p%d:%d", layer, side)}}
			if layer > 0 {
				r.Inherits = []string{fmt.Sprintf("l%d-0", layer-1), fmt.Sprintf("l%d-1", layer-1)}
			}
			diamond[fmt.Sprintf("l%d-%d", layer, side)] = r
		}
	}
	r, err := CompileRoles(diamond)
	if err != nil || len(r.Granted("l29-0")) != 59 {
		t.Errorf("got %v, %d permissions", err, len(r.Granted("l29-0")))
	}
}

func TestHint(t *testing.T) {
	for n, want := range map[string]string{
		"":          "",
		"a":         " (a has it)",
		"a b":       " (a and b have it)",
		"a b c":     " (a, b and c have it)",
		"a b c d e": " (a, b, c and 2 more have it)",
	} {
		if got := hint(strings.Fields(n)); got != want {
			t.Errorf("%q: got %q, want %q", n, got, want)
		}
	}
}

func FuzzRoles(f *testing.F) {
	f.Add("a=orders:read<b;b=orders:*;c=*")
	f.Add("a<a")
	f.Add("a=x<b;b<c;c<a")
	f.Fuzz(func(t *testing.T, s string) {
		roles := map[string]policy.Role{}
		for line := range strings.SplitSeq(s, ";") {
			left, parents, _ := strings.Cut(line, "<")
			name, permissions, _ := strings.Cut(left, "=")
			roles[name] = policy.Role{Permissions: strings.Fields(permissions), Inherits: strings.Fields(parents)}
		}
		r, err := CompileRoles(roles)
		if err != nil {
			return
		}
		for name := range roles {
			for _, p := range r.Granted(name) {
				if p != "*" && !strings.HasSuffix(p, ":*") && !slices.Contains(r.Holders(p), name) {
					t.Fatalf("%q grants %q and is no holder of it", name, p)
				}
			}
		}
	})
}
