package decision

// Further reasons of the gate authn: of tokens, certificates, signatures, and of too many failures.
var (
	TokenAlgorithm = &Reason{
		Code: "authn.token_algorithm", Gate: "authn", Status: 401, Public: ToOperator,
		Title:  "Token algorithm not accepted",
		Detail: "The token is signed with {algorithm.got|an algorithm} that is not accepted from its issuer; accepted is {algorithm|another}.",
		Means:  "The algorithms of every issuer are pinned in the configuration. A token with another one, or with none, is refused before any key is looked at: to let tokens choose is how signatures are forged.",
		Advice: []Advice{
			{ByCaller, "Fetch a new token from the issuer of this API."},
			{ByOperator, "If the issuer really changed its algorithm to {algorithm.got|another one}, add it to `algorithms`."},
		},
	}
	TokenKeyUnknown = &Reason{
		Code: "authn.token_key_unknown", Gate: "authn", Status: 401, Public: ToOperator,
		Title:  "Token signed with an unknown key",
		Detail: "The token names the key {kid.got|without a name}, which its issuer does not publish; published is {kid|no key that fits}.",
		Means:  "The token says which key signed it, and the issuer's key set does not have that key, also not after it was fetched anew. The token is from another environment, or older than the last rotation, or forged.",
		Advice: []Advice{
			{ByCaller, "Fetch a new token from the issuer of this API."},
			{ByOperator, "Compare the key id with the issuer's key set ({keyset|see the configuration}); after a rotation the old key must stay published until its last token has expired."},
		},
	}
	TokenClaim = &Reason{
		Code: "authn.token_claim", Gate: "authn", Status: 401, Public: ToProven,
		Title:  "Token lacks a claim",
		Detail: "The token is genuine, but {claim|a claim} is {claim.got|not what is asked for}.",
		Means:  "A claim that this API asks for is missing from the token, or has another value or form.",
		Advice: []Advice{
			{ByCaller, "Ask the issuer for a token in which {claim|the claim} is {need|as documented}."},
			{ByOperator, "Compare the token with `required_claims`, `typ` and `claims` of the issuer in the configuration."},
		},
	}
	ApplicationUnknown = &Reason{
		Code: "authn.application_unknown", Gate: "authn", Status: 403, Public: ToProven,
		Title:  "No application for this identity",
		Detail: "The identity is proven, but no application is registered for {application.got|it}.",
		Means:  "The credential verified, and what it names is not an application of the directory. Postern grants permissions and plans to applications, so it would not know what to allow.",
		Advice: []Advice{
			{ByCaller, "Ask the operator of this API to register an application for {application.got|your client}."},
			{ByOperator, "Create the application {application.got|it names}, or map the identity to an existing one under `claims` or `identities`."},
		},
	}
	CredentialExpired = &Reason{
		Code: "authn.credential_expired", Gate: "authn", Status: 401, Public: ToProven,
		Title:  "Credential expired",
		Detail: "The credential{identity|| %} expired {expires|some time ago|at %}.",
		Means:  "The credential is genuine but past its expiry.",
		Advice: []Advice{
			{ByCaller, "Use the current credential."},
			{ByOwner, "Create a new credential for the application."},
			{ByOperator, "Create a new credential for the application, or extend the expiry of this one."},
		},
	}
	CredentialRevoked = &Reason{
		Code: "authn.credential_revoked", Gate: "authn", Status: 401, Public: ToProven,
		Title:  "Credential revoked",
		Detail: "The credential{identity|| %} was revoked{revoked|}.",
		Means:  "The credential is genuine but was withdrawn, or the server that issued it says that it is not active any more.",
		Advice: []Advice{
			{ByCaller, "Use the current credential."},
			{ByOwner, "Create a new credential for the application."},
			{ByOperator, "Create a new credential for the application."},
		},
	}
	SignatureInvalid = &Reason{
		Code: "authn.signature_invalid", Gate: "authn", Status: 401, Public: ToOperator,
		Title:  "Request signature invalid",
		Detail: "The signature of the request does not verify with the key {key|it names}.",
		Means:  "What was signed is not what arrived: the request was changed on its way (a proxy that rewrites the path, the host or a signed field), it was signed with another secret, or it is forged.",
		Advice: []Advice{
			{ByCaller, "Compare what your client signs with what it sends, and check the secret."},
			{ByOperator, "Compare what was signed here with the client: {signed|see the facts}."},
		},
	}
	SignatureTime = &Reason{
		Code: "authn.signature_time", Gate: "authn", Status: 401, Public: ToProven,
		Title:  "Request signature too old or too new",
		Detail: "The request was signed at {moment.got|another time}; our clock says {moment|another}, and {window|less} is allowed between them.",
		Means:  "The signature is genuine, and its time is outside of the window in which requests are accepted. The window keeps a recorded request from being sent again.",
		Advice: []Advice{
			{ByCaller, "Sign each request when it is sent, and check your clock."},
			{ByOperator, "Compare the clocks of caller and gateway, or widen `window`."},
		},
	}
	SignatureCoverage = &Reason{
		Code: "authn.signature_coverage", Gate: "authn", Status: 401, Public: ToProven,
		Title:  "Request signature covers too little",
		Detail: "The signature does not cover {missing|all that has to be signed}.",
		Means:  "The signature is genuine, and leaves out a part of the request that this API asks to be signed; that part could have been changed by anybody.",
		Advice: []Advice{
			{ByCaller, "Sign {missing|the missing parts} as well."},
			{ByOperator, "Adjust `components` if the part may stay unsigned."},
		},
	}
	DigestMismatch = &Reason{
		Code: "authn.digest_mismatch", Gate: "authn", Status: 401, Public: ToProven,
		Title:  "Body does not match its digest",
		Detail: "The body is not the one whose digest was signed{digest|| (%)}.",
		Means:  "The signature vouches for a digest of the body, and the body that arrived has another one, or is longer than what is checked.",
		Advice: []Advice{
			{ByCaller, "Compute the digest over the bytes that are sent, after compression."},
			{ByOperator, "Look for a proxy that changes bodies, or raise `body_bytes`."},
		},
	}
	CertificateUntrusted = &Reason{
		Code: "authn.certificate_untrusted", Gate: "authn", Status: 401, Public: ToOperator,
		Title:  "Client certificate not trusted",
		Detail: "The client certificate {certificate|presented} is not trusted: {fault|see the facts}.",
		Means:  "The certificate was not signed by an authority that this API accepts, is outside of its validity, or is not meant for clients.",
		Advice: []Advice{
			{ByCaller, "Present a certificate of an accepted authority, with its intermediate certificates."},
			{ByOperator, "Add the authority to `ca_file` if its certificates are to be accepted."},
		},
	}
	CertificateExpired = &Reason{
		Code: "authn.certificate_expired", Gate: "authn", Status: 401, Public: ToProven,
		Title:  "Client certificate expired",
		Detail: "The client certificate{certificate|| %} was good until {expires|some time ago}{expires.got||, and our clock says %}.",
		Means:  "The certificate is of an accepted authority and past its validity.",
		Advice: []Advice{
			{ByCaller, "Present the renewed certificate."},
			{ByOperator, "Renew the certificate, or compare the clocks."},
		},
	}
	TooManyFailures = &Reason{
		Code: "authn.too_many_failures", Gate: "authn", Status: 429, Public: ToAnyone,
		Title:  "Too many failed attempts",
		Detail: "Too many credentials were refused lately{whose|| %}; the next attempt is possible in {retry|a while}.",
		Means:  "Someone is guessing, or a client goes on with a credential that does not work. Good credentials are turned away as well while it lasts, so that nothing can be learned from the answer.",
		Advice: []Advice{
			{ByCaller, "Stop, wait for {retry|the time in Retry-After}, and correct the credential first."},
			{ByOperator, "The trace shows what was counted{counted||: %}; adjust `failures` of the route if the threshold is too low."},
		},
	}
)
