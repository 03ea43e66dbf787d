package decision

// Reasons of the gate route.
var (
	RouteNotFound = &Reason{
		Code: "route.not_found", Gate: "route", Status: 404, Public: ToAnyone,
		Title:  "No such route",
		Detail: "No API of this gateway answers {method|this method} {path|this path} on {host|this host|host %}.{nearest|}",
		Means:  "No published API version has this combination of host and path. Draft versions are not routable.",
		Advice: []Advice{
			{ByCaller, "Check host, path and version against the API documentation; a trailing slash and upper or lower case in the path count."},
			{ByOperator, "Publish an API version whose hosts, base path and operations cover this request."},
		},
	}
	MethodNotAllowed = &Reason{
		Code: "route.method_not_allowed", Gate: "route", Status: 405, Public: ToAnyone,
		Title:  "Method not allowed",
		Detail: "{path|This path} exists, but not for {method|this method}; it allows {allow|other methods}.",
		Means:  "The path belongs to an API, but no operation of it takes this method. The Allow field lists those that exist.",
		Advice: []Advice{
			{ByCaller, "Use one of the methods in the Allow field: {allow|see the answer}."},
			{ByOperator, "Add an operation for this method to the API version."},
		},
	}
	APIRetired = &Reason{
		Code: "api.retired", Gate: "route", Status: 410, Public: ToAnyone,
		Title:  "API version retired",
		Detail: "{version|This version|Version %} of this API was retired{on|}.",
		Means:  "The version reached the end of its life and is no longer served; where the operator named a successor, the Link field points to it.",
		Advice: []Advice{
			{ByCaller, "Move to the successor version: {successor|ask the operator for it}."},
			{ByOperator, "Set the version back to deprecated to keep serving it, or name a successor."},
		},
	}
	RequestMalformed = &Reason{
		Code: "request.malformed", Gate: "route", Status: 400, Public: ToAnyone,
		Title:  "Malformed request",
		Detail: "The request cannot be read without guessing: {fault|its form is invalid}.",
		Means:  "The message breaks the rules of HTTP in a way that two programs could read differently. Postern refuses every such doubt, closes the connection and forwards nothing, because a guess is how requests are smuggled past a gateway.",
		Advice: []Advice{
			{ByCaller, "Follow RFC 9110 and RFC 9112: {remedy|one Host, one framing (Content-Length or chunked), a normal path}."},
			{ByOperator, "If a trusted client needs an encoded slash, allow it on the API version with `encoded_slashes: keep`."},
		},
	}
	RequestTooLarge = &Reason{
		Code: "request.too_large", Gate: "route", Status: 413, Public: ToAnyone,
		Title:  "Request body too large",
		Detail: "The body is larger than {limit|what is|the % bytes} allowed here.",
		Means:  "The declared length, or the bytes that arrived, exceed the body limit of the listener or the operation.",
		Advice: []Advice{
			{ByCaller, "Send a smaller body, or split the request."},
			{ByOperator, "Raise `body_bytes` on the operation or the listener."},
		},
	}
	HeaderTooLarge = &Reason{
		Code: "request.header_too_large", Gate: "route", Status: 431, Public: ToAnyone,
		Title:  "Request header too large",
		Detail: "The request line and header fields exceed what is accepted: {limit|the configured size or count}.",
		Means:  "One field, all fields together, or their number exceed the limits of the listener.",
		Advice: []Advice{
			{ByCaller, "Send fewer or shorter header fields; large cookies are the usual cause."},
			{ByOperator, "Raise `header_bytes` or `header_count` on the listener."},
		},
	}
	RequestTimeout = &Reason{
		Code: "request.timeout", Gate: "route", Status: 408, Public: ToAnyone,
		Title:  "Request arrived too slowly",
		Detail: "The request was not complete within {limit|the time allowed}.",
		Means:  "The client opened a request and did not finish sending it in time. Slow senders hold resources, so each phase has a limit.",
		Advice: []Advice{
			{ByCaller, "Send the request without pausing."},
			{ByOperator, "Raise the header or body timeout of the listener if the clients are honestly slow."},
		},
	}
	ExpectationFailed = &Reason{
		Code: "request.expectation", Gate: "route", Status: 417, Public: ToAnyone,
		Title:  "Expectation not supported",
		Detail: "The Expect field asks for something other than 100-continue.",
		Means:  "RFC 9110 section 10.1.1 defines one expectation, 100-continue; any other is answered 417.",
		Advice: []Advice{
			{ByCaller, "Remove the Expect field."},
			{ByOperator, "Nothing to configure: the client has to change."},
		},
	}
	Misdirected = &Reason{
		Code: "request.misdirected", Gate: "route", Status: 421, Public: ToAnyone,
		Title:  "Misdirected request",
		Detail: "{host|This host|The host %} is not served on this connection.",
		Means:  "The TLS server name of the connection and the host of the request differ, and the listener requires that they agree.",
		Advice: []Advice{
			{ByCaller, "Open a new connection for this host."},
			{ByOperator, "Set `strict_sni: false` on the listener if this is intended."},
		},
	}
)
