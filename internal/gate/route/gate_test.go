package route

import (
	"testing"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/gatetest"
)

func TestRouterKeepsWhatIsPromisedOfGates(t *testing.T) {
	r := compiled(t,
		on("POST /orders/v1/orders"),
		on("GET /old", state(Retired), func(e *Entry) { e.RetiredOn, e.Successor = " on 1 May 2026", "v2" }))
	to := func(target string) func(*gate.Exchange) { return gatetest.Target("GET", target) }
	gatetest.Run(t, gatetest.Suite{
		Name: "route",
		New:  func() gate.Gate { return r },
		Pass: func(*gate.Exchange) {},
		Refusals: []gatetest.Case{
			{Name: "no route", Setup: to("/nowhere"), Reason: decision.RouteNotFound, Without: []string{"nearest"}},
			{Name: "wrong method", Setup: to("/orders/v1/orders"), Reason: decision.MethodNotAllowed},
			{Name: "retired", Setup: to("/old"), Reason: decision.APIRetired},
			{Name: "dot segment", Setup: to("/a/../b"), Reason: decision.RequestMalformed},
		},
	})
}
