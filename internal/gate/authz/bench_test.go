package authz_test

import (
	"fmt"
	"strings"
	"testing"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/gate/authz"
	"postern/internal/gatetest"
	"postern/internal/pdp"
	"postern/internal/policy"
)

// BenchmarkPolicies asks one operation of a document with n policies about others: other actions, other APIs, other roles. Of
// any n, five can apply to the caller. "all apply" is what it would cost without an index: every policy is about everybody.
func BenchmarkPolicies(b *testing.B) {
	for _, n := range []int{10, 100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) { benchmark(b, n, spread) })
	}
	for _, n := range []int{10, 100, 1000} {
		b.Run(fmt.Sprintf("all apply/%d", n), func(b *testing.B) {
			benchmark(b, n, func(int) string {
				return `permit(principal, action, resource) when { principal.scopes.contains("none") };`
			})
		})
	}
}

func spread(i int) string {
	switch {
	case i == 0:
		return `permit(principal in Tenant::"acme", action == Action::"orders:create", resource in API::"api-0") when { principal.scopes.contains("write") };`
	case i < 3:
		return `forbid(principal, action, resource) when { context.headers["x-block"].contains("yes") };`
	case i < 5:
		return `forbid(principal is User, action, resource) unless { context.time.hour < 20 };`
	case i%3 == 0:
		return fmt.Sprintf(`permit(principal in Role::"role-%d", action == Action::"orders:create", resource) when { context.time.hour < 20 };`, i%50)
	case i%3 == 1:
		return fmt.Sprintf(`permit(principal, action == Action::"orders:create", resource in API::"api-%d") when { context.time.hour < 20 };`, 1+i%20)
	default:
		return fmt.Sprintf(`permit(principal, action == Action::"thing-%d:read", resource) when { context.time.hour < 20 };`, i%50)
	}
}

func benchmark(b *testing.B, n int, make func(i int) string) {
	g, _ := large(b, n, make)
	x := gatetest.Exchange(in("order-reader", "write"))
	want := decision.PermissionMissing
	if g.Check(b.Context(), x).Outcome() == decision.OutcomePass {
		want = nil
	}
	if want != nil { // no permit applies: a role grants, so that the cost of an explanation is not in it
		x.Principal.Application.Roles = []string{"order-writer"}
	}
	b.ReportAllocs()
	for b.Loop() {
		if v := g.Check(b.Context(), x); v.Outcome() != decision.OutcomePass {
			b.Fatalf("got %s %+v", v.Outcome(), v.Facts())
		}
	}
}

// large compiles n policies over 20 APIs and 51 permissions, and returns the gate of one operation.
func large(tb testing.TB, n int, make func(i int) string) (gate.Gate, policy.Problems) {
	tb.Helper()
	roles := map[string]policy.Role{"order-writer": {Permissions: []string{"orders:create"}}, "order-reader": {}}
	for i := range 50 {
		roles[fmt.Sprintf("role-%d", i)] = policy.Role{}
	}
	var subjects []authz.Subject
	for i := range 21 {
		subjects = append(subjects, authz.Subject{Tenant: "acme", API: fmt.Sprintf("api-%d", i), Version: "v1", Name: "create", Permission: "orders:create"})
	}
	for i := range 50 {
		subjects = append(subjects, authz.Subject{API: "things", Version: "v1", Name: fmt.Sprintf("read-%d", i), Permission: fmt.Sprintf("thing-%d:read", i)})
	}
	var text strings.Builder
	for i := range n {
		text.WriteString(make(i) + "\n")
	}
	set, err := pdp.Parse(pdp.Text{Name: "rules", Cedar: text.String()})
	if err != nil {
		tb.Fatal(err)
	}
	model, err := authz.NewModel(roles, nil, subjects)
	if err != nil {
		tb.Fatal(err)
	}
	problems := model.Check(set, subjects)
	if problems != nil {
		tb.Fatal(problems)
	}
	compiled, err := authz.CompileRoles(roles)
	if err != nil {
		tb.Fatal(err)
	}
	return authz.Attributed(authz.Config{Roles: compiled, Permission: "orders:create", Title: "create orders", Rule: rule},
		authz.Rules{Model: model, Policies: set, Subject: subjects[0]}), problems
}

// BenchmarkRefusal is what a refusal costs with its explanation: the nearest of a thousand permits.
func BenchmarkRefusal(b *testing.B) {
	g, _ := large(b, 1000, func(int) string {
		return `permit(principal in Role::"role-1", action, resource) when { principal.scopes.contains("none") && context.time.hour < 3 };`
	})
	x := gatetest.Exchange(in("order-reader", "write"))
	b.ReportAllocs()
	for b.Loop() {
		g.Check(b.Context(), x)
	}
}

func BenchmarkCompile(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		large(b, 1000, spread)
	}
}
