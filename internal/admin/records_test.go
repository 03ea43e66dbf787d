package admin_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"postern/internal/admin"
	"postern/internal/decision"
	"postern/internal/record"
)

// refusedCall is the record of a call that a list of addresses refused.
func refusedCall() record.Record {
	return record.Record{
		Method: "POST", Host: "api.example.com", Path: "/orders", Proto: "HTTP/1.1", Client: "198.51.100.1", Peer: "10.0.0.1",
		Tenant: "acme", CallerTenant: "globex", API: "orders", Application: "globex-shop", Outcome: "refused", Origin: "gateway", Status: 403,
		Reason: "ip.denied", Gate: "ip", Rule: "secret-rule", Pointer: "/apis/0/ip/deny/3", Upstream: "internal-orders", Target: "10.1.2.3:80", Fault: "inner fault",
		Fields: []record.Name{{Name: "X-Internal", Value: "field-value"}},
		Steps: []record.Step{{Gate: "route", Outcome: "pass"}, {Gate: "ip", Outcome: "refuse", Reason: "ip.denied", Rule: "secret-rule", Pointer: "/apis/0/ip/deny/3",
			Facts: []decision.Fact{{Name: "range", Want: "198.51.100.0/24", Got: "198.51.100.1"}}}},
	}
}

func TestWhoIsToldWhatOfACall(t *testing.T) {
	l := &laboratory{}
	w := populated(t, func(o *admin.Options) { o.Lab = l })
	_, boss := w.user(w.boot, "boss@example.com", "", "admin")
	_, viewer := w.user(boss, "v@example.com", "", "viewer")
	_, publisher := w.user(boss, "p@acme.example", "acme", "operator")
	_, subscriber := w.user(boss, "s@globex.example", "globex", "operator")
	id := w.recorded(refusedCall()).String()
	secrets := []string{"ip.denied", "secret-rule", "/apis/0", "198.51.100.0/24", "internal-orders", "10.1.2.3", "inner fault", "field-value", "10.0.0.1"}

	for name, c := range map[string]struct {
		session string
		whole   bool
		asker   decision.Disclosure
	}{
		"administrator":              {boss, true, decision.ToOperator},
		"operator of the publisher":  {publisher, true, decision.ToOperator},
		"viewer":                     {viewer, false, decision.ToOwner},
		"operator of the subscriber": {subscriber, false, decision.ToOwner},
	} {
		t.Run(name, func(t *testing.T) {
			body := string(w.get(c.session, "/api/v1/records/"+id).want(200).body)
			for _, s := range secrets {
				if strings.Contains(body, s) != c.whole {
					t.Errorf("%q told: %v, want %v\n%s", s, !c.whole, c.whole, body)
				}
			}
			if !strings.Contains(body, "198.51.100.1") {
				t.Errorf("the caller's own address is missing: %s", body)
			}
			w.get(c.session, "/api/v1/explain/"+id).want(200)
			if l.asker != c.asker {
				t.Errorf("explained to %s, want %s", l.asker, c.asker)
			}
		})
	}
	// A filter on what is not told finds nothing, rather than telling it.
	if got := w.get(viewer, "/api/v1/records?reason=ip.denied").items("trace"); len(got) != 0 {
		t.Errorf("a viewer finds %v by a reason that is not told", got)
	}
	if got := w.get(boss, "/api/v1/records?reason=ip.denied").items("trace"); !slices.Equal(got, []string{id}) {
		t.Errorf("an administrator finds %v", got)
	}
	// Each tenant lists its part: the publisher calls to its API, the subscriber those of its application.
	for session, want := range map[string][]string{publisher: {id}, subscriber: {}} {
		if got := w.get(session, "/api/v1/records").items("trace"); !slices.Equal(got, want) {
			t.Errorf("records %v, want %v", got, want)
		}
	}
	mine := w.get(subscriber, "/api/v1/records?application=globex-shop")
	if !slices.Equal(mine.items("trace"), []string{id}) || strings.Contains(string(mine.body), "ip.denied") {
		t.Errorf("the subscriber's own calls: %s", mine.body)
	}
	if got := w.get(publisher, "/api/v1/records?application=globex-shop").items("reason"); !slices.Equal(got, []string{"ip.denied"}) {
		t.Errorf("the publisher sees of its subscriber's calls: %v", got)
	}
	if got := w.get(subscriber, "/api/v1/records?application=acme-shop").items("trace"); len(got) != 0 {
		t.Errorf("the subscriber sees another's calls: %v", got)
	}
	// A tenant that has nothing to do with the call cannot tell it from one that never was.
	w.post(boss, "/api/v1/tenants", map[string]any{"id": "initech"}).want(201)
	_, stranger := w.user(boss, "x@initech.example", "initech", "operator")
	there := w.get(stranger, "/api/v1/records/"+id)
	absent := w.get(stranger, "/api/v1/records/"+decision.NewTraceID(w.clock()).String())
	there.refused(404, "not_found")
	if string(there.body) != string(absent.body) {
		t.Errorf("answers differ:\n%s\n%s", there.body, absent.body)
	}
	w.get(stranger, "/api/v1/explain/"+id).refused(404, "not_found")
	w.get(boss, "/api/v1/records/nonsense").refused(422, "trace_malformed")
}

func TestASecurityAdministratorIsSeenLooking(t *testing.T) {
	w := populated(t, func(o *admin.Options) { o.Lab = &laboratory{} })
	_, boss := w.user(w.boot, "boss@example.com", "", "admin")
	_, sec := w.user(boss, "sec@example.com", "", "security")
	id := w.recorded(refusedCall()).String()
	w.get(sec, "/api/v1/records?tenant=acme").want(200)
	w.get(sec, "/api/v1/records/"+id).want(200)
	w.get(sec, "/api/v1/explain/"+id).want(200)
	want := []string{"record.explain record/" + id, "record.read record/" + id, "record.find records"}
	if got := w.actions()[:3]; !slices.Equal(got, want) {
		t.Errorf("audit trail %v, want %v", got, want)
	}
	if e, err := w.db.AuditTrail(t.Context(), 0, 3); err != nil || e[2].Detail != `{"tenant":"acme"}` || e[2].Tenant != "acme" {
		t.Errorf("the entry of a search: %+v, %v", e[2], err)
	}
	before := len(w.actions())
	w.get(boss, "/api/v1/records/"+id).want(200)
	if got := len(w.actions()); got != before {
		t.Errorf("an administrator's look was audited")
	}
}

func TestRecordsArePagedAndFiltered(t *testing.T) {
	w := populated(t)
	var want []string
	for i := range 12 {
		w.pass(time.Second)
		r := record.Record{Method: "GET", Host: "h", Path: "/x", Proto: "HTTP/1.1", Outcome: "passed", Origin: "upstream", Status: 200 + i%2*204}
		want = append(want, w.recorded(r).String())
	}
	slices.Reverse(want)
	var got []string
	for after := ""; ; {
		a := w.get(w.boot, "/api/v1/records?limit=5&after="+after)
		got = append(got, a.items("trace")...)
		if after = a.text("next"); after == "" {
			break
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("pages gave %v, want %v", got, want)
	}
	if got := w.get(w.boot, "/api/v1/records?status=4").items("trace"); len(got) != 6 {
		t.Errorf("status=4 found %d", len(got))
	}
	since := w.clock().Add(-3 * time.Second).Format(time.RFC3339)
	if got := w.get(w.boot, "/api/v1/records?since="+since).items("trace"); len(got) != 4 {
		t.Errorf("since found %d", len(got))
	}
	w.get(w.boot, "/api/v1/records?status=7").refused(422, "invalid")
	w.get(w.boot, "/api/v1/records?since=yesterday").refused(422, "invalid")
	w.get(w.boot, "/api/v1/records?outcome=maybe").refused(422, "invalid")
}

func TestSimulations(t *testing.T) {
	l := &laboratory{}
	w := populated(t, func(o *admin.Options) { o.Lab = l })
	w.post(w.boot, "/api/v1/simulate", map[string]any{"request": "curl http://x", "hint": "curl", "client": "203.0.113.7", "config": document}).want(200)
	if l.asked.Request != "curl http://x" || l.asked.Hint != "curl" || l.asked.Client != "203.0.113.7" || string(l.asked.Config) != document {
		t.Errorf("asked %+v", l.asked)
	}
	w.post(w.boot, "/api/v1/simulate", map[string]any{"request": "nonsense"}).refused(422, "invalid")
	w.post(w.boot, "/api/v1/simulate", map[string]any{"request": "x", "client": "here"}).refused(422, "invalid")
	bare := populated(t)
	bare.post(bare.boot, "/api/v1/simulate", map[string]any{"request": "x"}).refused(503, "no_lab")
	bare.get(bare.boot, "/api/v1/explain/01JD0Z8C0M3V9W6T5Q4R2E1A7B").refused(503, "no_lab")
}
