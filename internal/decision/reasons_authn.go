package decision

// Reasons of the gate authn.
var (
	CredentialMissing = &Reason{
		Code: "authn.credential_missing", Gate: "authn", Status: 401, Public: ToAnyone,
		Title:  "Credential missing",
		Detail: "This operation needs a credential and the request has none{where|}.",
		Means:  "No credential was found in any place this route accepts one.",
		Advice: []Advice{
			{ByCaller, "Send {accepts|a credential}."},
			{ByOperator, "Set `none: true` under `authn` of the operation if it is meant to be public."},
		},
	}
	CredentialMisplaced = &Reason{
		Code: "authn.credential_misplaced", Gate: "authn", Status: 401, Public: ToAnyone,
		Title:  "Credential in the wrong place",
		Detail: "A credential was found in {place.got|the wrong place}; this API reads it from {place|another place} only.",
		Means:  "Something of the form of an API key stands where keys are not read: the query string or the body, which end up in logs and histories, or another header. Whether that key is valid was not looked at.",
		Advice: []Advice{
			{ByCaller, "Send it in {place|the documented header}; and since addresses are logged, rotate a key that was in one."},
			{ByOperator, "Nothing to configure: keys in addresses are refused on purpose."},
		},
	}
	CredentialRejected = &Reason{
		Code: "authn.credential_rejected", Gate: "authn", Status: 401, Public: ToAnyone,
		Title:  "Credential rejected",
		Detail: "The credential was not accepted.",
		Means:  "The credential is unknown, malformed or was never issued here. The three are one answer, given in the same time, so that nobody can probe for valid ones.",
		Advice: []Advice{
			{ByCaller, "Check that the whole credential was copied, for this environment; otherwise ask for a new one."},
			{ByOperator, "The trace shows whether form, checksum or look-up failed: {check|see the facts}."},
		},
	}
	KeyExpired = &Reason{
		Code: "authn.key_expired", Gate: "authn", Status: 401, Public: ToProven,
		Title:  "API key expired",
		Detail: "The API key{key|| %} expired {expires|some time ago|at %}.",
		Means:  "The key is genuine but past its expiry.",
		Advice: []Advice{
			{ByCaller, "Use the current key."},
			{ByOwner, "Rotate the key in the portal: the new one works at once."},
			{ByOperator, "Rotate the key with `postern keys rotate {key|ID}` or extend its expiry."},
		},
	}
	KeyRevoked = &Reason{
		Code: "authn.key_revoked", Gate: "authn", Status: 401, Public: ToProven,
		Title:  "API key revoked",
		Detail: "The API key{key|| %} was revoked{revoked|}.",
		Means:  "The key is genuine but was withdrawn, by its owner or an operator, or by a rotation whose overlap has ended.",
		Advice: []Advice{
			{ByCaller, "Use the current key."},
			{ByOwner, "Create a new key in the portal."},
			{ByOperator, "Create a new key with `postern keys create`."},
		},
	}
	TokenExpired = &Reason{
		Code: "authn.token_expired", Gate: "authn", Status: 401, Public: ToProven,
		Title:  "Token expired",
		Detail: "The token expired {ago|some time} ago: it says {expires|a time that has passed}{expires.got||, and our clock says %}.",
		Means:  "The token is genuine, but its exp claim has passed by more than the allowed clock skew.",
		Advice: []Advice{
			{ByCaller, "Fetch a new token."},
			{ByOwner, "Check that the client renews its tokens."},
			{ByOperator, "Compare the clocks of issuer and gateway, or raise the allowed skew."},
		},
	}
	TokenNotYetValid = &Reason{
		Code: "authn.token_not_yet_valid", Gate: "authn", Status: 401, Public: ToProven,
		Title:  "Token not yet valid",
		Detail: "The token becomes valid {ahead|later|in %}: it says {nbf|a time to come}{nbf.got||, and our clock says %}.",
		Means:  "The nbf or iat claim lies in the future by more than the allowed clock skew.",
		Advice: []Advice{
			{ByCaller, "Wait, or fetch a token from an issuer whose clock is right."},
			{ByOwner, "Check the clock of the issuer."},
			{ByOperator, "Compare the clocks of issuer and gateway, or raise the allowed skew."},
		},
	}
	TokenSignature = &Reason{
		Code: "authn.token_signature", Gate: "authn", Status: 401, Public: ToOperator,
		Title:  "Token signature invalid",
		Detail: "The signature of the token does not verify{kid.got|| with the key %}.",
		Means:  "The token was changed after it was signed, or was signed by a key that is not the issuer's.",
		Advice: []Advice{
			{ByCaller, "Fetch a new token from the issuer of this API."},
			{ByOperator, "Check that the key set of the issuer has the key the token names{kid.got||: %}."},
		},
	}
	TokenIssuer = &Reason{
		Code: "authn.token_issuer", Gate: "authn", Status: 401, Public: ToOperator,
		Title:  "Token issuer not accepted",
		Detail: "The token was issued by {issuer.got|another issuer}; this API accepts {issuer|others}.",
		Means:  "The iss claim names an issuer that is not configured for this route.",
		Advice: []Advice{
			{ByCaller, "Fetch a token from an accepted issuer."},
			{ByOperator, "Add the issuer to the route."},
		},
	}
	TokenAudience = &Reason{
		Code: "authn.token_audience", Gate: "authn", Status: 401, Public: ToProven,
		Title:  "Token for another audience",
		Detail: "The token is meant for {audience.got|another audience}; this API is {audience|another}.",
		Means:  "The aud claim does not name this API, so that a token leaked by one service cannot be used at another.",
		Advice: []Advice{
			{ByCaller, "Ask the issuer for a token with this API as audience."},
			{ByOperator, "Add the audience to the route if the two are the same service."},
		},
	}
	AuthnUnavailable = &Reason{
		Code: "authn.unavailable", Gate: "authn", Status: 503, Public: ToAnyone,
		Title:  "Credentials cannot be checked now",
		Detail: "What is needed to check the credential is not available.",
		Means:  "The directory, a key set or an introspection endpoint did not answer. That is no denial: the credential may be good. The gateway fails closed.",
		Advice: []Advice{
			{ByCaller, "Try again in a few seconds."},
			{ByOperator, "Restore {dependency|the dependency named in the trace}{dependency.got||: %}."},
		},
	}
)
