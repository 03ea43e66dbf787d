package decision

// Reasons of the gate origin.
var (
	CORSDenied = &Reason{
		Code: "origin.cors_denied", Gate: "origin", Status: 403, Public: ToAnyone,
		Title:  "Origin not allowed",
		Detail: "The origin {origin.got|of the page} may not call this API from a browser.",
		Means:  "The Origin field names an origin that the CORS rules of the route do not accept.",
		Advice: []Advice{
			{ByCaller, "Call the API from an accepted origin, or from a server."},
			{ByOperator, "Add the origin to `cors.origins`."},
		},
	}
	CrossSite = &Reason{
		Code: "origin.cross_site", Gate: "origin", Status: 403, Public: ToAnyone,
		Title:  "Cross-site request",
		Detail: "A browser sent this request on behalf of another site ({origin.got|its origin differs}).",
		Means:  "Sec-Fetch-Site, Origin or Referer show that the request was started by a page of another site, on a route that authenticates by cookie.",
		Advice: []Advice{
			{ByCaller, "Send the request from a page of the site itself."},
			{ByOperator, "Add the origin to the trusted origins, or check that the proxy in front forwards scheme and host."},
		},
	}
	CSRFMissing = &Reason{
		Code: "origin.csrf_missing", Gate: "origin", Status: 403, Public: ToAnyone,
		Title:  "CSRF token missing",
		Detail: "This route needs a CSRF token in {field|a header} and none was sent.",
		Means:  "The route authenticates by cookie and asks for a token that another site cannot know.",
		Advice: []Advice{
			{ByCaller, "Read the token and send it with the request."},
			{ByOperator, "Check that the page receives the token."},
		},
	}
	CSRFInvalid = &Reason{
		Code: "origin.csrf_invalid", Gate: "origin", Status: 403, Public: ToAnyone,
		Title:  "CSRF token invalid",
		Detail: "The CSRF token does not belong to this session.",
		Means:  "The token is not the one issued for the session, or its signature does not verify.",
		Advice: []Advice{
			{ByCaller, "Fetch a new token and send it."},
			{ByOperator, "Check that all nodes share the signing keys."},
		},
	}
	CSRFExpired = &Reason{
		Code: "origin.csrf_expired", Gate: "origin", Status: 403, Public: ToAnyone,
		Title:  "CSRF token expired",
		Detail: "The CSRF token expired {expired|some time ago|at %}.",
		Means:  "The token was genuine but older than allowed.",
		Advice: []Advice{
			{ByCaller, "Fetch a new token and repeat the request."},
			{ByOperator, "Raise the lifetime of tokens if pages stay open longer."},
		},
	}
)
