package lab_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"postern/internal/gate"
	"postern/internal/gatetest"
	"postern/internal/header"
	"postern/internal/lab"
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
