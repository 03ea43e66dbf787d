package gate

// Browser is what every answer to an exchange, refusals included, tells the caller's browser. gate/origin fills it and
// edge writes it. The zero value says nothing and leaves an upstream's own fields as they are.
type Browser struct {
	// InCharge says that the gateway answers for CORS here: Access-Control- fields of the upstream are replaced by these.
	InCharge    bool
	AllowOrigin string // Access-Control-Allow-Origin; empty: the page may not read the answer
	Credentials bool   // Access-Control-Allow-Credentials: true
	Expose      string // Access-Control-Expose-Headers; empty: none
	Vary        bool   // the answer depends on the Origin field
	Cookie      string // a whole Set-Cookie value; empty: none
}

// BrowserRules decides what the answers of an operation tell browsers, apart from whether the request may pass.
//
// RATIONALE: this is no part of Check, because gates in front of gate/origin refuse too (an address, the flood guard), and a
// page cannot read a refusal without these fields.
type BrowserRules interface {
	// Mark sets x.Browser. It is called once, when the operation is known and before its chain runs.
	Mark(x *Exchange)
}
