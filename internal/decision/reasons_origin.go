package decision

// Reasons of the gate origin.
var (
	CORSDenied = &Reason{
		Code: "origin.cors_denied", Gate: "origin", Status: 403, Public: ToAnyone,
		Title:  "Origin not allowed",
		Detail: "The origin {origin.got|of the page} may not call this API from a browser{why||: %}.",
		Means:  "The Origin field names an origin that the CORS rules of the route do not accept, or is not one origin.",
		Advice: []Advice{
			{ByCaller, "Call the API from an accepted origin, or from a server."},
			{ByOperator, "{fix|Add the origin to `cors.origins`}."},
		},
	}
	PreflightDenied = &Reason{
		Code: "origin.preflight_denied", Gate: "origin", Status: 403, Public: ToAnyone,
		Title:  "Preflight denied",
		Detail: "Pages of {origin.got|other origins} may call this API, but not with {asked.got|such a request}.",
		Means:  "A browser asked beforehand, by a CORS preflight, whether a page may send a request with this method and these header fields. The origin is accepted; the method or a field is not.",
		Advice: []Advice{
			{ByCaller, "Send the request without {asked.got|what is not accepted}."},
			{ByOperator, "Add it to `{setting|cors.methods or cors.headers}`."},
		},
	}
	CrossSite = &Reason{
		Code: "origin.cross_site", Gate: "origin", Status: 403, Public: ToAnyone,
		Title:  "Cross-site request",
		Detail: "A browser sent this request on behalf of another site{site.got|| (Sec-Fetch-Site: %)}.",
		Means:  "Sec-Fetch-Site, which pages cannot set, says that a page of another site or origin started the request, on a route that authenticates by cookie.",
		Advice: []Advice{
			{ByCaller, "Send the request from a page of the site itself."},
			{ByOperator, "If the page{origin.got|| of %} is yours, add its origin to `csrf.trusted_origins`."},
		},
	}
	WrongOrigin = &Reason{
		Code: "origin.wrong_origin", Gate: "origin", Status: 403, Public: ToAnyone,
		Title:  "Request of another origin",
		Detail: "{source|Origin} says that the request comes from {origin.got|another origin}, and this is {origin|not it}{why|| (%)}.",
		Means:  "On a route that authenticates by cookie, Origin or Referer name another scheme, host or port than the caller used, and no trusted one. Behind a proxy that ends TLS the cause is often a scheme that was not forwarded, or not believed.",
		Advice: []Advice{
			{ByCaller, "Send the request from a page of the site itself."},
			{ByOperator, "{fix|Add the origin to `csrf.trusted_origins` if it is yours}."},
		},
	}
	OriginUnproven = &Reason{
		Code: "origin.unproven", Gate: "origin", Status: 403, Public: ToAnyone,
		Title:  "Origin of the request not known",
		Detail: "Nothing says which site this request comes from: it has neither Sec-Fetch-Site nor Origin nor Referer.",
		Means:  "The route authenticates by cookie, so a request that may change something must show that the site itself sent it. Browsers do; this request does not say.",
		Advice: []Advice{
			{ByCaller, "Send an Origin field with the address of this API."},
			{ByOperator, "Check that no proxy removes these fields; for programs without cookies set `csrf.unproven: pass`."},
		},
	}
	CSRFMissing = &Reason{
		Code: "origin.csrf_missing", Gate: "origin", Status: 403, Public: ToAnyone,
		Title:  "CSRF token missing",
		Detail: "This route needs a CSRF token in {place|a header}, and {absent|none was sent}.",
		Means:  "The route authenticates by cookie and asks for a token that another site cannot know.",
		Advice: []Advice{
			{ByCaller, "Read the token from {cookie|its cookie|the cookie %} and send it with the request."},
			{ByOperator, "Check that the page receives the token: its cookie is set on requests that change nothing, and browsers keep it only over https."},
		},
	}
	CSRFInvalid = &Reason{
		Code: "origin.csrf_invalid", Gate: "origin", Status: 403, Public: ToAnyone,
		Title:  "CSRF token invalid",
		Detail: "The CSRF token does not belong to this session.",
		Means:  "The token is not the one issued for the session, or its signature does not verify.",
		Advice: []Advice{
			{ByCaller, "Fetch a new token and send it."},
			{ByOperator, "See why it was not accepted{fault||: %}; all nodes must share the signing keys."},
		},
	}
	CSRFExpired = &Reason{
		Code: "origin.csrf_expired", Gate: "origin", Status: 403, Public: ToAnyone,
		Title:  "CSRF token expired",
		Detail: "The CSRF token expired {expired|some time ago|at %}.",
		Means:  "The token was genuine but older than allowed.",
		Advice: []Advice{
			{ByCaller, "Fetch a new token and repeat the request."},
			{ByOperator, "Raise `csrf.token.lifetime` if pages stay open longer."},
		},
	}
)
