package decision

// Reasons of the gate guardrail.
var (
	ModelUnknown = &Reason{
		Code: "guardrail.model_unknown", Gate: "guardrail", Status: 404, Public: ToProven,
		Title:  "Model unknown",
		Detail: "There is no model {model.got|of that name|'%'} here.",
		Means:  "The model in the request is no alias of this gateway.",
		Advice: []Advice{
			{ByCaller, "Use one of the models that GET /v1/models lists."},
			{ByOperator, "Add the model to `models` in the configuration."},
		},
	}
	ModelNotAllowed = &Reason{
		Code: "guardrail.model_not_allowed", Gate: "guardrail", Status: 403, Public: ToProven,
		Title:  "Model not allowed",
		Detail: "This application may not use {model.got|this model|the model '%'}.",
		Means:  "The model exists, but the route or the application is limited to others.",
		Advice: []Advice{
			{ByCaller, "Use one of the models that GET /v1/models lists."},
			{ByOperator, "Add the model to the allowed models of the API version."},
		},
	}
	GuardrailBlocked = &Reason{
		Code: "guardrail.blocked", Gate: "guardrail", Status: 403, Public: ToProven,
		Title:  "Blocked by a guardrail",
		Detail: "A rule about prompts or answers blocked this request.",
		Means:  "The prompt or the answer matched a rule of the operator.",
		Advice: []Advice{
			{ByCaller, "Change the part of the prompt that the rule objects to."},
			{ByOperator, "Narrow the guardrail{rule|| %}."},
		},
	}
	Unpriced = &Reason{
		Code: "guardrail.unpriced", Gate: "guardrail", Status: 403, Public: ToProven,
		Title:  "Model has no price",
		Detail: "{model.got|This model|The model '%'} has no price, and unpriced calls are refused here.",
		Means:  "Money is counted exactly, so a model without a price is refused or flagged, never counted as zero.",
		Advice: []Advice{
			{ByCaller, "Use a model with a price."},
			{ByOperator, "Give the model a price, or set `unpriced: flag`."},
		},
	}
	PromptUnreadable = &Reason{
		Code: "guardrail.unreadable", Gate: "guardrail", Status: 400, Public: ToAnyone,
		Title:  "Body cannot be read as a model request",
		Detail: "The body is not a valid request for a model: {fault|it cannot be read}.",
		Means:  "On an LLM route the gateway reads the model and the stream flag from the JSON body, and this body has none, has them twice, or is no JSON.",
		Advice: []Advice{
			{ByCaller, "Send one JSON object with one \"model\" string, as the API documentation shows."},
			{ByOperator, "Nothing to configure: the client has to change."},
		},
	}
)
