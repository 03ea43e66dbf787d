package decision

// Reasons of the gate waf.
var (
	WAFBlocked = &Reason{
		Code: "waf.blocked", Gate: "waf", Status: 403, Public: ToOperator,
		Title:  "Blocked by the web application firewall",
		Detail: "The request scored {score.got|too high}{score|| against a threshold of %} in the firewall rules{rules||: %}.",
		Means:  "The OWASP Core Rule Set found patterns of an attack, and their scores add up to the blocking threshold.",
		Advice: []Advice{
			{ByCaller, "Quote the trace id to the operator of this API."},
			{ByOperator, "If the request is benign, exclude {rules|the rule|rule %} for {variable|the variable it matched} on this operation."},
		},
	}
	WAFUnavailable = &Reason{
		Code: "waf.unavailable", Gate: "waf", Status: 503, Public: ToAnyone,
		Title:  "Firewall failed",
		Detail: "The firewall could not finish inspecting the request.",
		Means:  "The inspection engine reported an error. An uninspected request is refused rather than passed.",
		Advice: []Advice{
			{ByCaller, "Try again later."},
			{ByOperator, "Search the gateway log for the trace id."},
		},
	}
)
