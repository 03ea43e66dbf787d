package decision

// Reasons of the gate waf.
var (
	WAFBlocked = &Reason{
		Code: "waf.blocked", Gate: "waf", Status: 403, Public: ToOperator,
		Title:  "Blocked by the web application firewall",
		Detail: "The request matches the firewall rules{rules|| %}{score.got|| and scored %}{score||, where % is too much}.",
		Means:  "Rules of the OWASP Core Rule Set found patterns of an attack and their scores add up to the blocking threshold, or a rule that refuses on its own matched.",
		Advice: []Advice{
			{ByCaller, "Quote the trace id to the operator of this API."},
			{ByOperator, "If the request is benign, exclude {exclude|the rules for the variables they matched} on this operation: the lines for its `waf.exclusions` are in the trace."},
		},
	}
	WAFUninspected = &Reason{
		Code: "waf.uninspected", Gate: "waf", Status: 403, Public: ToProven,
		Title:  "Not inspected by the firewall",
		Detail: "The request could not be inspected: {uninspected|it is beyond what is inspected here}.",
		Means:  "The body is larger than what is inspected, of another type, or the inspection took longer than it may, and the operator chose that such a request is refused.",
		Advice: []Advice{
			{ByCaller, "Send a smaller body, uncompressed, in a media type that this API documents."},
			{ByOperator, "Raise the bound under `waf`{setting|| (%)}, or choose pass there for what need not be inspected."},
		},
	}
	WAFUnavailable = &Reason{
		Code: "waf.unavailable", Gate: "waf", Status: 503, Public: ToAnyone,
		Title:  "Firewall failed",
		Detail: "The firewall could not finish inspecting the request.",
		Means:  "The inspection engine reported an error. An uninspected request is refused rather than passed.",
		Advice: []Advice{
			{ByCaller, "Try again later."},
			{ByOperator, "Report what the engine said{fault|: search the gateway log for the trace id|: %}."},
		},
	}
)
