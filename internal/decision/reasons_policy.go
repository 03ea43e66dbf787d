package decision

// Stand-ins told instead of what an asker may not know, and faults of the gateway itself.
var (
	PolicyRefused = &Reason{
		Code: "policy.refused", Gate: "policy", Status: 403, Public: ToAnyone,
		Title:  "Refused by policy",
		Detail: "The request was refused by a policy of this gateway.",
		Means:  "A rule refused the request, and the caller is not told which: either nobody has proven who is asking, or the rule belongs to a security layer (address lists, WAF) whose details would help an attacker. The operator sees the exact reason under the trace id.",
		Advice: []Advice{
			{ByCaller, "Quote the trace id to the operator of this API: it leads to the exact reason."},
			{ByOperator, "Look the trace id up with `postern explain`."},
		},
	}
	Unexplained = &Reason{
		Code: "policy.unexplained", Gate: "policy", Status: 500, Public: ToAnyone,
		Title:  "Refused without a reason",
		Detail: "A gate refused without saying why, which is a defect of the gateway.",
		Means:  "A gate returned an empty verdict. Empty verdicts refuse, so that a defect never opens a door.",
		Advice: []Advice{
			{ByCaller, "Quote the trace id to the operator of this API."},
			{ByOperator, "Report this defect with the trace: no gate may refuse without a reason."},
		},
	}
	GatewayFault = &Reason{
		Code: "policy.fault", Gate: "policy", Status: 500, Public: ToAnyone,
		Title:  "Gateway fault",
		Detail: "The gateway met a fault of its own while it handled the request.",
		Means:  "Postern itself failed: a panic or an internal error. The request was not forwarded, or its answer could not be finished.",
		Advice: []Advice{
			{ByCaller, "Try again later; if it happens again, quote the trace id to the operator."},
			{ByOperator, "Search the gateway log for the trace id and report the defect."},
		},
	}
)
