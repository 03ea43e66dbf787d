package snapshot_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/gatetest"
	"postern/internal/policy"
	"postern/internal/snapshot"
)

const pages = `
postern: 1
upstreams:
  u: {targets: [{url: "http://127.0.0.1:9000"}]}
flood_guard: [{name: flood, rate: {requests: 100, per: 1s}}]
apis:
- name: a
  versions:
  - version: v1
    upstream: u
    authn: {api_key: {header: X-Shop-Key}}
    cors: {origins: ["https://app.example.com"], credentials: true}
    csrf: {token: {}}
    operations:
    - {name: plain, method: POST, path: /plain}
    - {name: same, method: PUT, path: /plain}
    - {name: closed, method: POST, path: /closed, cors: {none: true}, csrf: {none: true}}
    - {name: wide, method: POST, path: /wide, cors: {origins: ["*"]}, csrf: {none: true}}
    - {name: tried, method: POST, path: /tried, shadow: [origin]}
    - {name: key, method: POST, path: /key, authn: {api_key: {header: X-Other}}}
  - version: v0
    upstream: u
    state: retired
    cors: {origins: ["https://app.example.com"]}
    operations:
    - {name: old, method: POST, path: /old}
`

func browserSnapshot(t *testing.T, text string) *snapshot.Snapshot {
	t.Helper()
	doc, err := policy.Parse("pages.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	s, err := snapshot.Compile(doc, 1, snapshot.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func browse(method, path string, fields ...string) *gate.Exchange {
	x := gatetest.Exchange()
	x.Op, x.Hostname, x.Path = nil, "", ""
	x.Method, x.Target, x.RawPath = method, path, path
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		x.Header.Add(name, value)
	}
	return x
}

func TestRulesForBrowsers(t *testing.T) {
	s := browserSnapshot(t, pages)
	const app, evil = "Origin: https://app.example.com", "Origin: https://evil.example"
	for _, c := range []struct {
		method, path, fields string
		outcome              decision.Outcome
		reason               string
		inCharge             bool
		note                 string // Access-Control-Allow-Headers of a preflight
	}{
		{"OPTIONS", "/plain", app + "|Access-Control-Request-Method: PUT|Access-Control-Request-Headers: x-shop-key,x-csrf-token", decision.OutcomeAnswer, "", true, "x-shop-key, x-csrf-token"},
		{"OPTIONS", "/plain", app + "|Access-Control-Request-Method: POST|Access-Control-Request-Headers: x-api-key", decision.OutcomeRefuse, "origin.preflight_denied", true, ""},
		{"OPTIONS", "/key", app + "|Access-Control-Request-Method: POST|Access-Control-Request-Headers: x-other", decision.OutcomeAnswer, "", true, "x-other"},
		{"OPTIONS", "/plain", evil + "|Access-Control-Request-Method: POST", decision.OutcomeRefuse, "origin.cors_denied", true, ""},
		{"OPTIONS", "/wide", evil + "|Access-Control-Request-Method: POST", decision.OutcomeAnswer, "", true, ""},
		{"OPTIONS", "/closed", app + "|Access-Control-Request-Method: POST", decision.OutcomeRefuse, "route.method_not_allowed", false, ""},
		{"OPTIONS", "/tried", app + "|Access-Control-Request-Method: POST", decision.OutcomeRefuse, "route.method_not_allowed", false, ""},
		{"POST", "/old", app, decision.OutcomeRefuse, "api.retired", true, ""},
		{"POST", "/plain", evil, decision.OutcomeRefuse, "origin.cors_denied", true, ""},
		{"POST", "/plain", app, decision.OutcomeRefuse, "origin.wrong_origin", true, ""}, // CORS lets it call, CSRF does not trust it
		{"POST", "/plain", "Sec-Fetch-Site: same-origin", decision.OutcomeRefuse, "origin.csrf_missing", true, ""},
		{"POST", "/closed", evil, decision.OutcomeRefuse, "authn.credential_missing", false, ""},
		{"POST", "/wide", evil, decision.OutcomeRefuse, "authn.credential_missing", true, ""},
		{"POST", "/tried", evil, decision.OutcomeRefuse, "authn.credential_missing", false, ""},
	} {
		x := browse(c.method, c.path, strings.Split(c.fields, "|")...)
		v := s.Judge(context.Background(), x, gate.StopAtFirst)
		code := ""
		if v.Reason() != nil {
			code = v.Reason().Code
		}
		if v.Outcome() != c.outcome || code != c.reason || x.Browser.InCharge != c.inCharge {
			t.Errorf("%s %s with %s: %s %s, in charge %v", c.method, c.path, c.fields, v.Outcome(), code, x.Browser.InCharge)
		}
		if x.Reply != nil && x.Reply.Header.Get("Access-Control-Allow-Headers") != c.note {
			t.Errorf("%s %s: %+v", c.method, c.path, x.Reply.Header)
		}
		if c.path == "/tried" && c.method == "POST" {
			if step, ok := x.Trace.First(decision.OutcomeShadow); !ok || step.Gate != "origin" {
				t.Error("in shadow nothing is reported")
			}
		}
	}
}

// Asked for everything, a preflight has no further refusals: no other gate is asked about it.
func TestPreflightsEndAtTheirGate(t *testing.T) {
	s := browserSnapshot(t, pages)
	for _, origin := range []string{"https://app.example.com", "https://evil.example"} {
		x := browse("OPTIONS", "/plain", "Origin: "+origin, "Access-Control-Request-Method: POST")
		s.Judge(context.Background(), x, gate.Exhaust)
		var names []string
		for _, step := range x.Trace.Steps() {
			names = append(names, step.Gate)
		}
		if got := strings.Join(names, " "); got != "route limit origin" {
			t.Errorf("from %s: %s", origin, got)
		}
	}
}

func TestBrowserMistakesCannotBeSaved(t *testing.T) {
	for name, c := range map[string]struct{ from, to, at, says string }{
		"everybody with credentials":   {`["https://app.example.com"], credentials`, `["*"], credentials`, "/apis/0/versions/0/cors/origins/0", "every page on the web"},
		"any text with credentials":    {`origins: ["https://app.example.com"], credentials`, `origin_patterns: [".*"], credentials`, "/apis/0/versions/0/cors/origin_patterns/0", "origins of others"},
		"of an operation":              {`cors: {origins: ["*"]}`, `cors: {origins: ["*"], credentials: true}`, "/apis/0/versions/0/operations/3/cors/origins/0", "every page"},
		"none and something":           {`cors: {none: true}`, `cors: {none: true, origins: ["*"]}`, "/apis/0/versions/0/operations/2/cors", "turns CORS off"},
		"no protection and a token":    {`csrf: {none: true}`, `csrf: {none: true, token: {}}`, "/apis/0/versions/0/operations/2/csrf", "turns the protection off"},
		"a key without its reference":  {`csrf: {token: {}}`, `csrf: {token: {kind: session, session: sid, keys: [{id: k, secret: hello}]}}`, "/apis/0/versions/0/csrf/token/keys/0/secret", "does not belong"},
		"a key that cannot be had":     {`csrf: {token: {}}`, `csrf: {token: {kind: session, session: sid, keys: [{id: k, secret: "${env:GONE}"}]}}`, "/apis/0/versions/0/csrf/token/keys/0/secret", "not there"},
		"a word that does not exist":   {`csrf: {token: {}}`, `csrf: {token: {kind: magic}}`, "/apis/0/versions/0/csrf/token/kind", "double_submit"},
		"a setting of another version": {`csrf: {token: {}}`, `csrf: {unproven: maybe}`, "/apis/0/versions/0/csrf/unproven", "refuse or pass"},
	} {
		text := strings.Replace(pages, c.from, c.to, 1)
		if text == pages {
			t.Fatalf("%s: the document is as before", name)
		}
		doc, err := policy.Parse("pages.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		_, err = snapshot.Compile(doc, 1, snapshot.Deps{Secret: func(string) (string, error) { return "", errors.New("not there") }})
		problems, ok := errors.AsType[policy.Problems](err)
		if !ok {
			t.Errorf("%s: %v", name, err)
			continue
		}
		found := false
		for _, p := range problems {
			found = found || p.Pointer == c.at && strings.Contains(p.Message+" "+p.Remedy, c.says) && p.Line > 0
		}
		if !found || len(problems) != 1 {
			t.Errorf("%s:\n got %v\nwant %s: %s", name, problems, c.at, c.says)
		}
	}
}
