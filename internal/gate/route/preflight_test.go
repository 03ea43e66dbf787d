package route

import (
	"strings"
	"testing"

	"postern/internal/decision"
	"postern/internal/policy"
)

var anyPage = &policy.CORS{Origins: []string{"*"}}

func cors(c *policy.CORS) func(*Entry) { return func(e *Entry) { e.CORS = c } }

// A preflight belongs to the operation that it asks about; all other OPTIONS requests to that of their own method.
func TestPreflights(t *testing.T) {
	r := compiled(t,
		on("GET a/orders", cors(anyPage)), on("POST a/orders", cors(anyPage)), on("OPTIONS a/orders"), on("DELETE a/orders"),
		on("GET a/orders/{id}", cors(anyPage)), on("* a/any/{rest...}", cors(anyPage)), on("OPTIONS a/open"), on("POST a/open"),
		on("POST a/v", cors(anyPage), when("X-Version", "1")), on("POST a/v", cors(anyPage), when("X-Version", "2")), on("POST a/v"),
		on("POST a/draft", cors(anyPage), state(Draft)), on("POST a/old", cors(anyPage), state(Retired)), on("GET b/slash/{x}", cors(anyPage), keep))
	const origin = "Origin: https://app.example.com"
	for _, c := range []struct {
		spec, fields string
		op, asks     string // the operation found and x.Preflight; or the refusal
	}{
		{"OPTIONS a/orders", origin + "|Access-Control-Request-Method: POST", "POST a/orders", "POST"},
		{"OPTIONS a/orders", origin + "|access-control-request-method: GET", "GET a/orders", "GET"},
		{"OPTIONS a/orders", origin + "|Access-Control-Request-Method: HEAD", "GET a/orders", "HEAD"},
		{"OPTIONS a/orders/7", origin + "|Access-Control-Request-Method: GET", "GET a/orders/{id}", "GET"},
		{"OPTIONS a/any/x/y", origin + "|Access-Control-Request-Method: PURGE", "* a/any/{rest...}", "PURGE"},
		{"OPTIONS a/any/x", origin, "* a/any/{rest...}", ""},
		// No preflight, or nobody answers it here: OPTIONS itself.
		{"OPTIONS a/orders", origin, "OPTIONS a/orders", ""},
		{"OPTIONS a/orders", "Access-Control-Request-Method: POST", "OPTIONS a/orders", ""},
		{"OPTIONS a/orders", origin + "|Access-Control-Request-Method: ", "OPTIONS a/orders", ""},
		{"OPTIONS a/orders", origin + "|Access-Control-Request-Method: DELETE", "OPTIONS a/orders", ""},
		{"OPTIONS a/orders", origin + "|Access-Control-Request-Method: post", "OPTIONS a/orders", ""},
		{"OPTIONS a/open", origin + "|Access-Control-Request-Method: POST", "OPTIONS a/open", ""},
		{"POST a/orders", origin + "|Access-Control-Request-Method: GET", "POST a/orders", ""},
		{"GET a/orders", origin + "|Access-Control-Request-Method: POST", "GET a/orders", ""},
		{"OPTIONS a/any/x", origin + "|Access-Control-Request-Method: TRACE", "* a/any/{rest...}", ""},
		{"OPTIONS a/orders/7", origin + "|Access-Control-Request-Method: PUT", "route.method_not_allowed", ""},
		{"OPTIONS a/draft", origin + "|Access-Control-Request-Method: POST", "route.not_found", ""},
		{"OPTIONS a/old", origin + "|Access-Control-Request-Method: POST", "route.not_found", ""},
		{"OPTIONS a/orders/../orders", origin + "|Access-Control-Request-Method: POST", "request.malformed", ""},
		{"OPTIONS a/orders/a%2Fb", origin + "|Access-Control-Request-Method: GET", "request.malformed", "GET"},
		{"OPTIONS b/slash/a%2Fb", origin + "|Access-Control-Request-Method: GET", "GET b/slash/{x}", "GET"},
		// A field that selects the version is announced, not sent.
		{"OPTIONS a/v", origin + "|Access-Control-Request-Method: POST|Access-Control-Request-Headers: content-type, x-version", "POST a/v", "POST"},
		{"OPTIONS a/v", origin + "|Access-Control-Request-Method: POST|Access-Control-Request-Headers: content-type", "route.method_not_allowed", ""},
	} {
		x, v := ask(r, c.spec, strings.Split(c.fields, "|")...)
		got := ""
		if v.Outcome() == decision.OutcomePass {
			got = x.Op.Name
		} else if v.Reason() != nil {
			got = v.Reason().Code
		}
		if got != c.op || x.Preflight != c.asks {
			t.Errorf("%s with %s: %q asks %q, want %q asks %q", c.spec, c.fields, got, x.Preflight, c.op, c.asks)
		}
	}
}

// Versions told apart by the value of a field cannot be told apart by their preflights, so these must be answered alike.
func TestVersionsByHeaderAnswerPreflightsAlike(t *testing.T) {
	same := func() *policy.CORS { return &policy.CORS{Origins: []string{"https://a.example"}} }
	for name, c := range map[string]struct {
		one, two *policy.CORS
		bad      bool
	}{
		"alike":           {same(), same(), false},
		"none":            {nil, nil, false},
		"different":       {same(), anyPage, true},
		"only one of two": {nil, anyPage, true},
	} {
		_, problems := Compile([]Entry{on("POST a/v", cors(c.one), when("X-Version", "1")), on("POST a/v", cors(c.two), when("x-version", "2"))})
		if bad := len(problems) > 0; bad != c.bad {
			t.Errorf("%s: %v", name, problems)
		}
	}
	if _, problems := Compile([]Entry{on("POST a/v", cors(anyPage), when("X-Version", "1")), on("POST a/v")}); problems != nil {
		t.Errorf("beside a version without a condition: %v", problems)
	}
}
