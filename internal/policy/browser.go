package policy

// CORS says which pages of other origins may call from a browser, what they may send, and what they may read. Where it is
// given the gateway answers preflights itself and replaces the upstream's own Access-Control- fields. Requests without an
// Origin field, and pages of the API's own origin, need no permission.
type CORS struct {
	// None turns CORS off for an operation of a version that has it: the upstream answers for itself.
	None bool `json:"none,omitempty"`
	// Origins that may call: https://app.example.com exactly; *.example.com or https://*.example.com for every name below
	// (https and its own port unless written; a port of * is any port); "null" for pages without an origin; * for any page.
	Origins []string `json:"origins,omitempty"`
	// OriginPatterns are RE2 expressions that a whole origin must match, such as https://pr-[0-9]+\.example\.com.
	OriginPatterns []string `json:"origin_patterns,omitempty"`
	Methods        []string `json:"methods,omitempty"` // default: every method that has an operation
	// Headers that pages may send besides those that are always allowed; * for any. Default: Content-Type, Authorization, and
	// those the gateway asks for (API key, CSRF token).
	Headers []string `json:"headers,omitempty"`
	// Expose lists answer fields that pages may read, besides Postern-Trace, the RateLimit fields, Retry-After and WWW-Authenticate.
	Expose []string `json:"expose,omitempty"`
	// Credentials lets pages send cookies and read the answers. It cannot be combined with origins that may be anybody.
	Credentials    bool     `json:"credentials,omitempty"`
	MaxAge         Duration `json:"max_age,omitempty"`         // how long browsers remember a preflight; default 10m
	PrivateNetwork bool     `json:"private_network,omitempty"` // public pages may call an address of a private network
	// Enforce says which requests of other pages are refused, instead of leaving it to the browser to hide the answer: writes
	// (default; every method but GET, HEAD and OPTIONS, and WebSocket), all or none.
	Enforce string `json:"enforce,omitempty"`
}

// CSRF protects callers who are known by a cookie from pages of other sites, which a browser lets send it too. Requests that
// may change something must come from the API's own origin or a trusted one.
type CSRF struct {
	None           bool     `json:"none,omitempty"`            // off, for an operation of a version that has it
	TrustedOrigins []string `json:"trusted_origins,omitempty"` // written as in cors, but neither "null" nor *
	// Unproven says what becomes of requests that have neither a cookie nor any of Sec-Fetch-Site, Origin and Referer, as
	// programs send them: refuse (default), or pass, also without a token.
	Unproven string     `json:"unproven,omitempty"`
	Token    *CSRFToken `json:"token,omitempty"` // ask for a token besides; default: none
}

// CSRFToken is a secret that only pages of the API's own origin can read. The gateway sets it in a cookie on requests that
// change nothing, and asks for it on the others.
type CSRFToken struct {
	// Kind is double_submit (default: the token equals its cookie) or session (signed, bound to the session cookie, expires).
	Kind   string `json:"kind,omitempty"`
	Header string `json:"header,omitempty"` // field that carries the token; default X-CSRF-Token
	Field  string `json:"field,omitempty"`  // form field that may carry it instead; default: none
	// Cookie is the name of the token's cookie, which begins with __Host-, so that no other host can set it; default __Host-csrf.
	Cookie   string    `json:"cookie,omitempty"`
	SameSite string    `json:"same_site,omitempty"` // of that cookie: lax (default) or strict
	Session  string    `json:"session,omitempty"`   // kind session: name of the session cookie
	Keys     []CSRFKey `json:"keys,omitempty"`      // kind session: the first signs, all verify
	Lifetime Duration  `json:"lifetime,omitempty"`  // kind session: default 12h
}

// CSRFKey signs tokens.
type CSRFKey struct {
	ID     string `json:"id"`     // stands in the token; letters, digits, - and _
	Secret string `json:"secret"` // 32 bytes or more, by ${env:NAME} or ${file:PATH}
}
