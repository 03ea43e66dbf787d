package origin_test

import (
	"testing"

	"postern/internal/gate/origin"
	"postern/internal/gatetest"
	"postern/internal/policy"
)

// What a request that passes costs.
func BenchmarkPass(b *testing.B) {
	signed := csrf(b, policy.CSRF{Token: session("k1")})
	tok, _ := issued(b, signed, "session=4f1c9d")
	double := csrf(b, policy.CSRF{Token: &policy.CSRFToken{}})
	plain, _ := issued(b, double, "")
	for _, c := range []struct {
		name  string
		g     *origin.Gate
		lines []string
	}{
		{"cors-exact", cors(b, shop), []string{"Origin: https://app.example.com"}},
		{"cors-below", cors(b, shop), []string{"Origin: https://a.shop.example"}},
		{"cors-pattern", cors(b, shop), []string{"Origin: https://pr-7.preview.example.org"}},
		{"cors-none", cors(b, shop), nil},
		{"csrf-fetch-site", csrf(b, policy.CSRF{}), []string{"Sec-Fetch-Site: same-origin"}},
		{"csrf-origin", csrf(b, policy.CSRF{}), []string{"Origin: https://api.example.com"}},
		{"csrf-double-submit", double, []string{"Origin: https://api.example.com", "Cookie: a=b; __Host-csrf=" + plain, "X-CSRF-Token: " + plain}},
		{"csrf-session", signed, []string{"Origin: https://api.example.com", "Cookie: session=4f1c9d", "X-CSRF-Token: " + tok}},
	} {
		b.Run(c.name, func(b *testing.B) {
			x := gatetest.Exchange(fields(c.lines...))
			b.ReportAllocs()
			for b.Loop() {
				c.g.Mark(x)
				if v := c.g.Check(ctx, x); !v.Passed() {
					b.Fatal(v.Reason().Code)
				}
			}
		})
	}
}
