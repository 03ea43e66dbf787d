package snapshot

import (
	"slices"

	"postern/internal/gate"
)

// row is one gate in the order.
type row struct {
	name string // in traces; the gate's folder
	why  string // it stands where it stands
	// mount makes the gate for an operation, or nil when the operation asks nothing of it. The router has none: it runs
	// before the operation is known.
	mount func(*builder, *operation) gate.Gate
	// firm gates cannot be set to report only by an API: what they find is needed to go on, or protects others.
	firm bool
}

// order is the gates as every request meets them. Cheap questions come before dear ones, who before what, and nothing is
// counted or read that an earlier refusal would have made pointless.
var order = [...]row{
	{name: "route", firm: true,
		why: "all the rest belongs to an operation, and the path has to be one path before anything is decided by it"},
	{name: "ip", mount: (*builder).mountIP,
		why: "needs nothing but the connection, and keeps strangers from trying keys"},
	{name: "limit", mount: (*builder).mountFloodGuard, firm: true,
		why: "the flood guard: counts by address, before a key costs a hash and a look-up; it protects the gateway, so no API can turn it off"},
	{name: "origin", mount: (*builder).mountOrigin,
		why: "which site's pages the browser speaks for; answers preflights, which have no credential, so it comes before anybody asks for one"},
	{name: "authn", mount: (*builder).mountAuthn,
		why: "who calls; from here on exact reasons may be told"},
	{name: "account", mount: (*builder).mountAccount,
		why: "a suspended tenant or application has no subscriptions or permissions worth reading"},
	{name: "subscription", mount: (*builder).mountSubscription,
		why: "whether the application may use this API at all, and under which plan: limit needs the plan"},
	{name: "authz", mount: (*builder).mountAuthz,
		why: "what the caller may do there; a forbidden call must not use up a limit"},
	{name: "limit", mount: (*builder).mountLimit,
		why: "counts only what would be allowed, and comes before anything that reads the body"},
	{name: "waf", mount: (*builder).mountWAF,
		why: "inspecting costs hundreds of times what forwarding does: only requests that nothing cheaper refuses get that far, and within limits"},
	{name: "guardrail", mount: (*builder).mountGuardrail,
		why: "reads the body, so it comes after all that can refuse without it; it finds the model, and so the upstream"},
	{name: "upstream", mount: (*builder).mountUpstream, firm: true,
		why: "last, because only here is it known where the request would go"},
}

// Order returns the names of the gates in the order in which a request meets them; one that is mounted twice occurs twice.
func Order() []string {
	names := make([]string, len(order))
	for i, r := range order {
		names[i] = r.name
	}
	return names
}

// Why returns, for each name in Order, why the gate stands there.
func Why() []string {
	whys := make([]string, len(order))
	for i, r := range order {
		whys[i] = r.why
	}
	return whys
}

// shadowable returns the names of the gates that may be set to report only.
func shadowable() (names []string) {
	for _, r := range order {
		if !r.firm && !slices.Contains(names, r.name) {
			names = append(names, r.name)
		}
	}
	return names
}
