package decision

// Reasons of the gate authz that come of policies.
var (
	NotPermitted = &Reason{
		Code: "authz.not_permitted", Gate: "authz", Status: 403, Public: ToProven,
		Title:  "Not permitted by a policy",
		Detail: "No policy permits {application|the application|application '%'} to {action|do this}.",
		Means:  "The operation asks for a permit in every case, and no permit applies to this request. The trace names the nearest ones and the conditions that fail.",
		Advice: []Advice{
			{ByOwner, "Ask an administrator of {tenant|your tenant|tenant '%'} to permit it; the trace id leads to the policies."},
			{ByOperator, "Write a permit that applies to this request, or widen the nearest one{permit||: %}."},
		},
	}
	InputUnusable = &Reason{
		Code: "authz.input_unusable", Gate: "authz", Status: 400, Public: ToProven,
		Title:  "Input to authorization unusable",
		Detail: "Authorization depends on {input|a part of the request}, which cannot be used as it is: {input.got|it has another form}.",
		Means:  "A policy or an ownership rule reads a part of the request that is ambiguous or of another type than configured, such as a field that is given twice. Two readers could take it for different things, so that nothing is decided by it.",
		Advice: []Advice{
			{ByCaller, "Send {input|that part} once, {expected|in the form that is documented|as %}."},
			{ByOperator, "If callers are right, change its type under authz/body."},
		},
	}
)
