package policy

// Policies is a text of policies in the Cedar language. Those of the document apply to every operation, those of a version or
// operation to it alone. A forbid always wins; a permit grants like a role does.
type Policies struct {
	Name  string `json:"name"`            // unique in the document; the ids of its policies begin with it
	Cedar string `json:"cedar,omitempty"` // the text
	// File is read into cedar when the document is read from files; a relative path begins at the file that names it.
	File   string `json:"file,omitempty"`
	Shadow bool   `json:"shadow,omitempty"` // report what they would do, and do nothing
}

// Authz says who may use an operation, beyond permission and scopes. Policies of a version and of its operation add up; of the
// rest, what an operation writes replaces what its version says.
type Authz struct {
	// Require says what a caller needs: permission (default; a role or a permit, where the operation names a permission) or
	// permit (a grant in every case: where no permission is named, only a permit of a policy is one).
	Require  string     `json:"require,omitempty"`
	Policies []Policies `json:"policies,omitempty"`
	// Body lists fields of a JSON body that policies may read, as context.body.<name>.
	Body     map[string]BodyField `json:"body,omitempty"`
	TimeZone string               `json:"time_zone,omitempty"` // IANA name, for context.time; default UTC
	Owner    *Owner               `json:"owner,omitempty"`     // only the owner may call
	// DecisionPoint is asked besides, by OpenID AuthZEN. It can only refuse.
	DecisionPoint *DecisionPoint `json:"decision_point,omitempty"`
}

// BodyField is one value in a JSON body.
type BodyField struct {
	Pointer string `json:"pointer"`        // RFC 6901, such as /customer/id; numbers count items of a list
	Type    string `json:"type,omitempty"` // string (default), long, bool or strings
}

// Owner is how the owner of a resource is found, and who may be one. Whoever is not proven to be the owner is refused.
type Owner struct {
	From string `json:"from"`           // path, body, claim or http; none, for an operation of a version that has an owner
	Name string `json:"name,omitempty"` // path: the parameter; claim: the attribute of the caller that names the owner
	// Pointer leads to the owner in the JSON body, or in the answer of url (RFC 6901).
	Pointer string `json:"pointer,omitempty"`
	// URL is asked for the owner by GET, such as https://orders.internal/owners/{id}, with parameters of the path in braces.
	URL     string   `json:"url,omitempty"`
	Timeout Duration `json:"timeout,omitempty"` // of url; default 1s
	Cache   Duration `json:"cache,omitempty"`   // how long an owner from url is remembered; default 30s
	Is      string   `json:"is,omitempty"`      // what of the caller is compared: user (default), application, tenant or attribute:<name>
	Exempt  []string `json:"exempt,omitempty"`  // roles whose holders may act on what others own
}

// DecisionPoint is an external policy decision point that speaks OpenID AuthZEN.
type DecisionPoint struct {
	URL     string   `json:"url"`               // of its evaluation endpoint, such as https://pdp.internal/access/v1/evaluation
	Timeout Duration `json:"timeout,omitempty"` // default 1s
	Cache   Duration `json:"cache,omitempty"`   // how long an answer is remembered; default none
	// Authorization is sent in the field of that name, by ${env:NAME} or ${file:PATH}.
	Authorization string `json:"authorization,omitempty"`
}

// DecisionSet is policies by which Postern decides for other programs, who ask by OpenID AuthZEN. They have nothing to do with the
// APIs of the document. POST /decisions/<name>/access/v1/evaluation on the management listener asks the set of that name, and
// POST /access/v1/evaluation the set named default.
type DecisionSet struct {
	Name     string `json:"name"`               // unique in the document
	Cedar    string `json:"cedar"`              // policies
	Schema   string `json:"schema,omitempty"`   // in the Cedar schema language; policies are checked against it
	Entities string `json:"entities,omitempty"` // subjects, resources and groups that are known, in Cedar's JSON format
}
