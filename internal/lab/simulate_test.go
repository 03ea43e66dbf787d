package lab_test

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"postern/internal/directory"
	"postern/internal/gate"
	"postern/internal/gatetest"
	"postern/internal/header"
	"postern/internal/lab"
	"postern/internal/policy"
	"postern/internal/reqtext"
	"postern/internal/snapshot"
)

// Without a directory or counters nothing is guessed: who calls and what is left are unknown.
func TestSimulateWithoutItsWorldIsUnknown(t *testing.T) {
	p := newPast(t)
	req := lab.Request{Method: "POST", URL: "http://api.example.com/orders/", Header: header.List{{Name: "X-API-Key", Value: gatetest.KeyText}}}
	got := lab.Simulate(t.Context(), p.snap, &gate.Env{Now: func() time.Time { return gatetest.Now }}, req)
	if got.Verdict != lab.Unknown || got.ExitCode() != 3 || got.Status != 0 {
		t.Errorf("%s %d\n%s", got.Verdict, got.Status, outcomes(got.Gates))
	}
	for _, row := range got.Gates {
		if row.Outcome == "refuse" {
			t.Errorf("%s refuses for want of what the simulation has not: %s", row.Gate, row.Reason)
		}
	}
	if got := lab.Simulate(t.Context(), p.snap, nil, req); got.Verdict != lab.Unknown {
		t.Errorf("without an Env: %s", got.Verdict)
	}
}

func TestSimulateShowsNoCredential(t *testing.T) {
	p := newPast(t)
	req := lab.Request{Method: "POST", URL: "http://api.example.com/orders/?api_key=" + gatetest.KeyText + "&q=" + gatetest.KeyText + "&token=abc&item=tea",
		Header: header.List{{Name: "Authorization", Value: "Bearer " + gatetest.KeyText}}, Body: []byte("password=hunter2")}
	got := lab.Simulate(t.Context(), p.snap, p.env, req)
	b, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{gatetest.KeyText, "abc", "hunter2"} {
		if strings.Contains(string(b), secret) {
			t.Errorf("the result shows %q: %s", secret, b)
		}
	}
	if !strings.Contains(got.URL, "item=tea") {
		t.Errorf("what is no secret is hidden: %s", got.URL)
	}
}

func TestTextCannotBeForged(t *testing.T) {
	p := newPast(t)
	req := lab.Request{Method: "POST", URL: "http://api.example.com/orders/x\u009b31m\u202e", Name: "\x1b[2Jtitle\nALLOWED", Notes: []string{"\x07"}}
	var b strings.Builder
	if err := lab.Simulate(t.Context(), p.snap, p.env, req).WriteText(&b, false); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(b.String(), "\x1b\x07\u009b\u202e") || strings.Contains(b.String(), "\nALLOWED") {
		t.Errorf("%q", b.String())
	}
}

func TestSimulateARequestThatCannotBeSent(t *testing.T) {
	p := newPast(t)
	got := lab.Simulate(t.Context(), p.snap, p.env, lab.Request{Method: "GET", URL: "nowhere"})
	if got.ExitCode() != 3 || len(got.Notes) != 1 {
		t.Errorf("%+v", got)
	}
}

// A body over its limit is refused live when it is read, which no gate decides; the lab must not call it allowed.
func TestSimulateKnowsTheBodyLimit(t *testing.T) {
	p := newPast(t)
	p.dir.Subscribe("orders", "v1", directory.Subscription{ID: "s_1", State: directory.Approved})
	p.dir.Applications["shop-web"] = directory.Application{ID: "shop-web", Tenant: "acme", Standing: directory.Active, Roles: []string{"order-writer"}}
	for _, c := range []struct {
		name, limits string
		size         int
		reason       string
	}{
		{"within the operation's", "body_bytes: 10, ", 10, ""},
		{"over the operation's", "body_bytes: 10, ", 11, "request.too_large"},
		{"without a limit", "body_bytes: -1, ", 100, ""},
		{"over all listeners'", "", 101, "request.too_large"},
		{"within one listener's", "", 100, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			doc, err := policy.Parse("f", []byte(strings.Replace(ordersAPI, "{name: create-order, ", "{name: create-order, "+c.limits, 1)+
				"listeners:\n  - {name: a, address: \":1\", limits: {body_bytes: 50}}\n  - {name: b, address: \":2\", limits: {body_bytes: 100}}\n"))
			if err != nil {
				t.Fatal(err)
			}
			snap, err := snapshot.Compile(doc, 1, snapshot.Deps{})
			if err != nil {
				t.Fatal(err)
			}
			req := lab.Request{Method: "POST", URL: "http://a/orders/", Header: header.List{{Name: "X-API-Key", Value: gatetest.KeyText}}, Body: make([]byte, c.size), Client: netip.MustParseAddr("198.51.100.7")}
			if got := lab.Simulate(t.Context(), snap, p.env, req); got.Reason != c.reason || (got.Verdict == lab.Allowed) != (c.reason == "") {
				t.Errorf("%s %s\n%s", got.Verdict, got.Reason, outcomes(got.Gates))
			}
		})
	}
}

// Programs read this: names do not change, and what is new is added.
func TestTheJSONOfAResultIsStable(t *testing.T) {
	p := newPast(t)
	p.dir.Subscribe("orders", "v1", directory.Subscription{ID: "s_1", State: directory.Approved})
	req := lab.Request{Method: "POST", URL: "http://a/orders/", Header: header.List{{Name: "X-API-Key", Value: gatetest.KeyText}}, Client: netip.MustParseAddr("198.51.100.7")}
	got := lab.Simulate(t.Context(), p.snap, p.env, req)
	got.Gates = got.Gates[7:8]
	b, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"method":"POST","url":"http://a/orders/","generation":7,"operation":{"api":"orders","version":"v1","name":"create-order","title":"create orders","method":"POST","template":"/orders/","pointer":"/apis/0/versions/0/operations/0"},"verdict":"refused","status":403,"reason":"authz.permission_missing","gate":"authz","gates":[{"gate":"authz","outcome":"refuse","reason":"authz.permission_missing","status":403,"title":"Permission missing","detail":"Application 'shop-web' may not create orders: none of its roles grants 'orders:create'.","rule":"orders/v1/create-order#permission","pointer":"/apis/0/versions/0/operations/0/permission","at":"gateway.yaml:16:91","facts":[{"name":"application","want":"shop-web"},{"name":"tenant","want":"acme"},{"name":"action","want":"create orders"},{"name":"key","want":"k_live"},{"name":"permission","want":"orders:create"},{"name":"roles","want":"one that grants orders:create","got":"order-reader"},{"name":"holders","want":" (order-writer has it)"}],"remedies":[{"who":"owner","text":"Ask an administrator of tenant 'acme' to grant 'shop-web' a role with 'orders:create' (order-writer has it)."},{"who":"operator","text":"Grant application 'shop-web' a role with 'orders:create' (order-writer has it)."}]}],"told":{"status":403,"reason":"authz.permission_missing","gate":"authz","title":"Permission missing","detail":"Application 'shop-web' may not create orders: none of its roles grants 'orders:create'.","remedies":["Ask an administrator of tenant 'acme' to grant 'shop-web' a role with 'orders:create' (order-writer has it)."]}}`
	if string(b) != want {
		t.Errorf("\n got %s\nwant %s", b, want)
	}
}

// What the data plane would not even read, the lab must not call allowed.
func TestSimulateReadsAsStrictlyAsTheDataPlane(t *testing.T) {
	p := newPast(t)
	for _, c := range []struct{ name, message, reason string }{
		{"two lengths", "POST /orders/ HTTP/1.1\nHost: a\nContent-Length: 2\nContent-Length: 2\n\n{}", "request.malformed"},
		{"length and chunks", "POST /orders/ HTTP/1.1\nHost: a\nContent-Length: 2\nTransfer-Encoding: chunked\n\n0\n\n", "request.malformed"},
		{"unknown coding", "POST /orders/ HTTP/1.1\nHost: a\nTransfer-Encoding: gzip, chunked\n\nx", "request.malformed"},
		{"two hosts", "GET /orders/ HTTP/1.1\nHost: a\nHost: b\n\n", "request.malformed"},
		{"not ASCII", "GET /caf\u00e9 HTTP/1.1\nHost: a\n\n", "request.malformed"},
		{"a strange expectation", "POST /orders/ HTTP/1.1\nHost: a\nExpect: tea\nContent-Length: 2\n\n{}", "request.expectation"},
		{"a large header", "GET /orders/ HTTP/1.1\nHost: a\nCookie: " + strings.Repeat("x", 40_000) + "\n\n", "request.header_too_large"},
	} {
		t.Run(c.name, func(t *testing.T) {
			requests, err := lab.ParseRequest([]byte(c.message), reqtext.HintRaw)
			if err != nil {
				t.Fatal(err)
			}
			got := lab.Simulate(t.Context(), p.snap, p.env, requests[0])
			if got.Verdict != lab.Refused || got.Reason != c.reason || got.Gates[3].Outcome != lab.NotReached {
				t.Errorf("%s %s\n%s", got.Verdict, got.Reason, outcomes(got.Gates))
			}
		})
	}
}
