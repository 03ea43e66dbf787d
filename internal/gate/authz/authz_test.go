package authz_test

import (
	"strings"
	"testing"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/gate/authz"
	"postern/internal/gatetest"
	"postern/internal/policy"
)

var rule = &decision.Rule{ID: "orders/v1/create-order#permission", Pointer: "/apis/0/versions/0/operations/0/permission"}

func roles(t testing.TB) *authz.Roles {
	t.Helper()
	r, err := authz.CompileRoles(map[string]policy.Role{
		"order-reader": {Permissions: []string{"orders:read"}},
		"order-writer": {Permissions: []string{"orders:create"}, Inherits: []string{"order-reader"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// in makes shop-web the caller in these roles, with a key limited to these scopes.
func in(roles, scopes string) func(*gate.Exchange) {
	return func(x *gate.Exchange) {
		gatetest.Proven(x)
		x.Principal.Application.Roles = strings.Fields(roles)
		x.Principal.Scopes = strings.Fields(scopes)
	}
}

func config(t testing.TB) authz.Config {
	return authz.Config{Roles: roles(t), Permission: "orders:create", Scopes: []string{"orders", "write"}, Title: "create orders", Rule: rule}
}

func says(sentence, remedy string) func(*testing.T, *gate.Exchange, decision.Verdict) {
	return func(t *testing.T, x *gate.Exchange, v decision.Verdict) {
		t.Helper()
		said := v.Render(x.Asker())
		if said.Detail != sentence || said.Remedies[0] != remedy {
			t.Errorf("the caller is told\n%s\n%s\nwant\n%s\n%s", said.Detail, said.Remedies[0], sentence, remedy)
		}
		if got := v.Render(decision.ToAnyone).Reason; got != decision.PolicyRefused {
			t.Errorf("anyone is told %s", got.Code)
		}
	}
}

func TestAuthz(t *testing.T) {
	gatetest.Run(t, gatetest.Suite{
		Name: "authz",
		New:  func() gate.Gate { return authz.New(config(t)) },
		Pass: in("order-reader order-writer", "read write orders"),
		Refusals: []gatetest.Case{
			{Name: "permission", Setup: in("order-reader", "orders write"), Reason: decision.PermissionMissing, Check: says(
				"Application 'shop-web' may not create orders: none of its roles grants 'orders:create'.",
				"Ask an administrator of tenant 'acme' to grant 'shop-web' a role with 'orders:create' (order-writer has it).")},
			{Name: "no roles", Setup: in("", "orders write"), Reason: decision.PermissionMissing},
			{Name: "roles in another case", Setup: in("Order-Writer", ""), Reason: decision.PermissionMissing, Check: operatorHears("unknown_roles", "Order-Writer")},
			{Name: "roles that do not exist", Setup: in("order-reader gone lost", ""), Reason: decision.PermissionMissing, Check: operatorHears("unknown_roles", "gone, lost")},
			{Name: "scope", Setup: in("order-writer", "orders read"), Reason: decision.ScopeInsufficient, Check: says(
				"The credential lacks the scope 'write'; it has orders read.",
				"Use a credential with the scope 'write'.")},
			{Name: "both scopes", Setup: in("order-writer", "other"), Reason: decision.ScopeInsufficient, Check: challenges(`Bearer realm="postern", error="insufficient_scope", scope="orders write"`)},
			{Name: "scopes in another case", Setup: in("order-writer", "Orders Write"), Reason: decision.ScopeInsufficient},
			{Name: "scope and permission", Setup: in("order-reader", "read"), Reason: decision.ScopeInsufficient, Check: operatorHears("roles", "order-reader")},
			{Name: "a token without scopes", Setup: func(x *gate.Exchange) {
				in("order-writer", "")(x)
				x.Principal.Method = "jwt"
			}, Reason: decision.ScopeInsufficient},
		},
		Unknown: []gatetest.Case{
			{Name: "nobody is proven", Setup: func(*gate.Exchange) {}, Reason: decision.PermissionMissing, Check: operatorHears("principal", "")},
			{Name: "nobody is proven, scopes only", Setup: func(*gate.Exchange) {}, Reason: decision.ScopeInsufficient,
				New: func() gate.Gate { return authz.New(authz.Config{Scopes: []string{"orders"}}) }, Check: operatorHears("principal", "")},
		},
	})
}

func operatorHears(fact, got string) func(*testing.T, *gate.Exchange, decision.Verdict) {
	return func(t *testing.T, _ *gate.Exchange, v decision.Verdict) {
		t.Helper()
		for _, f := range v.Facts() {
			if f.Name == fact && f.Got == got {
				return
			}
		}
		t.Errorf("no fact %s with %q in %+v", fact, got, v.Facts())
	}
}

func challenges(want string) func(*testing.T, *gate.Exchange, decision.Verdict) {
	return func(t *testing.T, x *gate.Exchange, _ decision.Verdict) {
		t.Helper()
		if x.Challenge != want {
			t.Errorf("challenge %s, want %s", x.Challenge, want)
		}
	}
}

func TestAKeyWithoutScopesIsNotLimited(t *testing.T) {
	x := gatetest.Exchange(in("order-writer", ""))
	if v := authz.New(config(t)).Check(t.Context(), x); v.Outcome() != decision.OutcomePass || v.Rule() != rule {
		t.Errorf("got %v", v.Outcome())
	}
}

func TestAnOperationThatAsksForNothingIsOpen(t *testing.T) {
	if v := authz.New(authz.Config{}).Check(t.Context(), gatetest.Exchange()); v.Outcome() != decision.OutcomePass {
		t.Errorf("got %v", v.Outcome())
	}
}

func TestWithoutRolesInTheDocumentNobodyHoldsAPermission(t *testing.T) {
	g := authz.New(authz.Config{Permission: "orders:create", Rule: rule})
	if v := g.Check(t.Context(), gatetest.Exchange(in("order-writer", ""))); v.Reason() != decision.PermissionMissing {
		t.Errorf("got %v", v.Outcome())
	}
}

func TestAScopeThatCannotBeQuotedIsLeftOutOfTheChallenge(t *testing.T) {
	g := authz.New(authz.Config{Scopes: []string{"a\"\r\nSet-Cookie: x"}, Rule: rule})
	x := gatetest.Exchange(in("", "b"))
	if g.Check(t.Context(), x); x.Challenge != `Bearer realm="postern", error="insufficient_scope"` {
		t.Errorf("challenge %q", x.Challenge)
	}
}

func BenchmarkCheck(b *testing.B) {
	g, x := authz.New(config(b)), gatetest.Exchange(in("order-reader order-writer", "orders write"))
	b.ReportAllocs()
	for b.Loop() {
		g.Check(b.Context(), x)
	}
}
