package decision

// Reasons of the gate schema.
var (
	SchemaMediaType = &Reason{
		Code: "schema.media_type", Gate: "schema", Status: 415, Public: ToProven,
		Title:  "Media type not supported",
		Detail: "The body is {type.got|of another type}; this operation takes {type|others}.",
		Means:  "The Content-Type is none of those the operation declares.",
		Advice: []Advice{
			{ByCaller, "Send {type|a declared media type}, and say so in Content-Type."},
			{ByOperator, "Declare the media type on the operation."},
		},
	}
	SchemaBody = &Reason{
		Code: "schema.body", Gate: "schema", Status: 422, Public: ToProven,
		Title:  "Body does not match the schema",
		Detail: "{pointer|The body}{rule| does not match the schema|: %}.",
		Means:  "The body is well-formed but breaks the schema of the operation.",
		Advice: []Advice{
			{ByCaller, "Correct {pointer|the body}: {rule|see the API documentation}."},
			{ByOperator, "Relax the schema if the request is right."},
		},
	}
	SchemaParameter = &Reason{
		Code: "schema.parameter", Gate: "schema", Status: 400, Public: ToProven,
		Title:  "Parameter does not match the schema",
		Detail: "{parameter|A parameter|Parameter '%'}{rule| does not match the schema|: %}.",
		Means:  "A path, query, header or cookie parameter is missing or breaks its schema.",
		Advice: []Advice{
			{ByCaller, "Correct {parameter|the parameter|the parameter '%'}: {rule|see the API documentation}."},
			{ByOperator, "Relax the schema if the request is right."},
		},
	}
)
