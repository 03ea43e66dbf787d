package policy

// WAF is the web application firewall: the OWASP Core Rule Set over what callers send. What an operation leaves out it takes
// from its version; exclusions and rules of both add up. Answers are not inspected.
type WAF struct {
	// Mode is off (default), detect (report what would be refused) or block.
	Mode string `json:"mode,omitempty"`
	// Profile is default, or llm: text that people write to a model is not taken for an attack, all else is inspected. An API
	// of kind llm has llm unless it says otherwise.
	Profile   string `json:"profile,omitempty"`
	Paranoia  int    `json:"paranoia,omitempty"`  // 1 (default) to 4: how suspicious the rules are
	Threshold int    `json:"threshold,omitempty"` // score at which a request is refused; default 5, one critical rule
	// Body says how much of a body is inspected, and what becomes of one that is not.
	Body *WAFBody `json:"body,omitempty"`
	Time WAFTime  `json:"time,omitzero"`
	// Exclusions are rules that do not apply here, as narrow as possible.
	Exclusions []WAFExclusion `json:"exclusions,omitempty"`
	// Rules are your own, in SecLang: SecRule, SecAction and SecMarker, and directives that remove or change rules.
	Rules string `json:"rules,omitempty"`
}

// WAFBody bounds the inspection of bodies. A body is inspected whole or not at all.
type WAFBody struct {
	Bytes int    `json:"bytes,omitempty"` // the largest body that is inspected; default 128 KiB
	Over  string `json:"over,omitempty"`  // a larger one, or one with more than 1000 arguments: refuse (default) or pass
	// Types are the media types that are inspected, such as application/json, text/* or *+json. Default: forms, multipart, JSON
	// and XML. A body without a type is always inspected.
	Types []string `json:"types,omitempty"`
	Other string   `json:"other,omitempty"` // a body of another type, or a compressed one: refuse (default) or pass
}

// WAFTime bounds how long one inspection may take.
type WAFTime struct {
	Inspection Duration `json:"inspection,omitempty"` // default 1s
	Over       string   `json:"over,omitempty"`       // when it takes longer: refuse (default) or pass
}

// WAFExclusion keeps rules from applying. Exactly one of Rule and Tag is set.
type WAFExclusion struct {
	Rule int    `json:"rule,omitempty"` // id, such as 942100
	Tag  string `json:"tag,omitempty"`  // every rule with this tag, such as attack-sqli
	// Variable is the part of the request they no longer look at, such as ARGS:q, REQUEST_COOKIES or ARGS:/^json\.filter\./;
	// without it they do not apply at all.
	Variable string `json:"variable,omitempty"`
	Reason   string `json:"reason"` // why that is safe; for whoever reads it next year
}
