package decision

// Reasons of the gate token, the gateway's own token endpoint.
var (
	TokenGrant = &Reason{
		Code: "token.grant_unsupported", Gate: "token", Status: 400, Public: ToAnyone,
		Title:  "Token request not understood",
		Detail: "The token endpoint cannot answer this request: {fault|it is no token request}.",
		Means:  "The body is not a form with grant_type=client_credentials (RFC 6749 section 4.4), which is the only grant that applications have here.",
		Advice: []Advice{
			{ByCaller, "POST a form with grant_type=client_credentials and, if wanted, scope."},
			{ByOperator, "Nothing to configure: people sign in at an identity provider, not here."},
		},
	}
	TokenScope = &Reason{
		Code: "token.scope_refused", Gate: "token", Status: 400, Public: ToProven,
		Title:  "Scope cannot be had",
		Detail: "The client may not have the scope {scope|asked for}; it may have {scope.got|none}.",
		Means:  "A token gets no scope that the client's credential does not have.",
		Advice: []Advice{
			{ByCaller, "Ask for fewer scopes, or for none to get all that the client may have."},
			{ByOwner, "Ask for a credential with the scope {scope|needed}."},
			{ByOperator, "Create a credential with the scope {scope|needed}."},
		},
	}
)
