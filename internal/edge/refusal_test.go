package edge

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/header"
)

// worded renders a verdict for an exchange and returns status, fields and body.
func worded(t *testing.T, v decision.Verdict, portal string, change func(*gate.Exchange)) (int, header.List, string) {
	t.Helper()
	s := New(Options{})
	cl := takeCall()
	begin(&cl.x, &gate.Env{Now: func() time.Time { return time.UnixMilli(1700000000000) }})
	cl.current.PortalURL = portal
	if change != nil {
		change(&cl.x)
	}
	status := s.word(cl, v)
	return status, slices.Clone(cl.fields), string(cl.text)
}

type problem struct {
	Type, Title, Detail, Reason, Gate, Origin, Trace string
	Status                                           int
	Remedies                                         []string
}

func proven(x *gate.Exchange) { x.Principal.Proven = true }

var missingPermission = decision.Refuse(decision.PermissionMissing, &decision.Rule{ID: "secret-rule", Pointer: "/secret/pointer"},
	decision.Fact{Name: "application", Want: "shop-web", Public: decision.ToProven},
	decision.Fact{Name: "permission", Want: "orders:create", Public: decision.ToProven},
	decision.Fact{Name: "internal", Want: "operators-only"})

func TestProblemForAProvenCaller(t *testing.T) {
	status, f, body := worded(t, missingPermission, "", proven)
	var p problem
	if err := json.Unmarshal([]byte(body), &p); err != nil {
		t.Fatal(err, body)
	}
	if status != 403 || p.Status != 403 || p.Type != "urn:postern:reason:authz.permission_missing" || p.Reason != "authz.permission_missing" || p.Gate != "authz" ||
		p.Origin != "gateway" || p.Title != "Permission missing" || !strings.Contains(p.Detail, "shop-web") || len(p.Remedies) == 0 || len(p.Trace) != decision.TraceIDLen {
		t.Fatalf("%d %+v", status, p)
	}
	if got := f.Get("Proxy-Status"); got != `postern; error=http_request_denied; details="authz.permission_missing"` {
		t.Errorf("Proxy-Status %s", got)
	}
	if f.Get("Content-Type") != "application/problem+json" || f.Get("Cache-Control") != "no-store" {
		t.Errorf("%v", f)
	}
	for _, secret := range []string{"secret-rule", "/secret/pointer", "operators-only"} {
		if strings.Contains(body+fmt.Sprint(f), secret) {
			t.Errorf("%q leaked", secret)
		}
	}
}

func TestTypeWithPortal(t *testing.T) {
	_, _, body := worded(t, missingPermission, "https://portal.example.com", proven)
	if !strings.Contains(body, `"type":"https://portal.example.com/reasons/authz.permission_missing"`) {
		t.Fatal(body)
	}
}

// TestAnonymousCallersLearnNothingElse goes through the whole catalogue: nothing on the wire names a reason that an
// anonymous caller may not be told, in any dialect.
func TestAnonymousCallersLearnNothingElse(t *testing.T) {
	dialects := map[string]func(*gate.Exchange){
		"problem": nil,
		"openai":  func(x *gate.Exchange) { x.Op = &gate.Operation{Dialect: "openai"} },
		"grpc": func(x *gate.Exchange) {
			x.Header = header.List{{Name: "content-type", Value: "application/grpc+proto"}}
		},
	}
	for _, r := range decision.Catalogue() {
		v := decision.Refuse(r, &decision.Rule{ID: "canary-rule"}, decision.Fact{Name: "fault", Want: "canary-fact"}, decision.Fact{Name: "check", Got: "canary-fact"})
		for name, change := range dialects {
			status, f, body := worded(t, v, "", func(x *gate.Exchange) {
				if change != nil {
					change(x)
				}
				x.Challenge = `Bearer error="canary-challenge"`
				x.Result.Fault = "canary: certificate of 10.1.2.3 refused"
			})
			all := body + fmt.Sprint(f)
			if strings.Contains(all, "canary") && (r.Public != decision.ToAnyone || !strings.Contains(f.Get("WWW-Authenticate"), "canary-challenge") || strings.Count(all, "canary") > 1) {
				t.Errorf("%s as %s leaks: %s", r.Code, name, all)
			}
			told := r.Told(decision.ToAnyone)
			if r != told && strings.Contains(all, r.Code) {
				t.Errorf("%s as %s is named to anyone: %s", r.Code, name, all)
			}
			if !strings.Contains(all, told.Code) {
				t.Errorf("%s as %s does not say %s: %s", r.Code, name, told.Code, all)
			}
			if name != "grpc" && r.Status >= 400 && r.Status < 600 && status != r.Status {
				t.Errorf("%s as %s: status %d, want %d", r.Code, name, status, r.Status)
			}
			if name != "grpc" && !json.Valid([]byte(body)) {
				t.Errorf("%s as %s is no JSON: %s", r.Code, name, body)
			}
			if status == 401 && f.Get("WWW-Authenticate") == "" {
				t.Errorf("%s: a 401 without a challenge", r.Code)
			}
		}
	}
}

func TestStatusFields(t *testing.T) {
	for name, c := range map[string]struct {
		v       decision.Verdict
		change  func(*gate.Exchange)
		field   string
		want    string
		missing bool
	}{
		"allow":               {decision.Refuse(decision.MethodNotAllowed, nil), func(x *gate.Exchange) { x.Allow = "GET, HEAD" }, "Allow", "GET, HEAD", false},
		"challenge":           {decision.Refuse(decision.CredentialMissing, nil), func(x *gate.Exchange) { x.Challenge = "Bearer realm=x" }, "WWW-Authenticate", "Bearer realm=x", false},
		"default challenge":   {decision.Refuse(decision.CredentialMissing, nil), nil, "WWW-Authenticate", `Bearer realm="postern"`, false},
		"stand-in challenge":  {decision.Refuse(decision.KeyRevoked, nil), func(x *gate.Exchange) { x.Challenge = `Bearer error="revoked"` }, "WWW-Authenticate", `Bearer realm="postern"`, false},
		"scope":               {decision.Refuse(decision.ScopeInsufficient, nil), func(x *gate.Exchange) { proven(x); x.Challenge = `Bearer scope="a"` }, "WWW-Authenticate", `Bearer scope="a"`, false},
		"retry rounds up":     {decision.Refuse(decision.LimitRate, nil), func(x *gate.Exchange) { x.RetryAfter = 1200 * time.Millisecond }, "Retry-After", "2", false},
		"no retry on 403":     {missingPermission, func(x *gate.Exchange) { x.RetryAfter = time.Second }, "Retry-After", "", true},
		"refused connection":  {decision.Refuse(decision.UpstreamUnreachable, nil), func(x *gate.Exchange) { x.Result.Fault = "dial tcp: connection refused" }, "Proxy-Status", `postern; error=connection_refused; details="upstream.unreachable"`, false},
		"connect timeout":     {decision.Refuse(decision.UpstreamTimeout, nil, decision.Fact{Name: "phase", Want: "connect"}), nil, "Proxy-Status", `postern; error=connection_timeout; details="upstream.timeout"`, false},
		"first byte timeout":  {decision.Refuse(decision.UpstreamTimeout, nil), nil, "Proxy-Status", `postern; error=http_response_timeout; details="upstream.timeout"`, false},
		"certificate":         {decision.Refuse(decision.UpstreamTLS, nil), func(x *gate.Exchange) { x.Result.Fault = "x509: unknown authority" }, "Proxy-Status", `postern; error=tls_certificate_error; details="upstream.tls"`, false},
		"name":                {decision.Refuse(decision.UpstreamDNS, nil), nil, "Proxy-Status", `postern; error=dns_error; details="upstream.dns"`, false},
		"none healthy":        {decision.Refuse(decision.UpstreamNoneHealthy, nil), nil, "Proxy-Status", `postern; error=destination_unavailable; details="upstream.none_healthy"`, false},
		"malformed":           {decision.Refuse(decision.RequestMalformed, nil), nil, "Proxy-Status", `postern; error=http_request_error; details="request.malformed"`, false},
		"empty verdict":       {decision.Verdict{}, nil, "Proxy-Status", `postern; error=proxy_internal_error; details="policy.unexplained"`, false},
		"address list hidden": {decision.Refuse(decision.IPDenied, nil), proven, "Proxy-Status", `postern; error=http_request_denied; details="policy.refused"`, false},
	} {
		_, f, _ := worded(t, c.v, "", c.change)
		if got := f.Get(c.field); got != c.want || f.Has(c.field) == c.missing {
			t.Errorf("%s: %s is %q, want %q", name, c.field, got, c.want)
		}
	}
}

func TestOpenAIDialect(t *testing.T) {
	type envelope struct {
		Error struct {
			Message, Type, Code string
			Param               *string
			Postern             problem
		}
	}
	for name, c := range map[string]struct {
		v             decision.Verdict
		status        int
		kind, code    string
		param, repeat string
	}{
		"key":       {decision.Refuse(decision.CredentialRejected, nil), 401, "authentication_error", "authn.credential_rejected", "", ""},
		"forbidden": {missingPermission, 403, "permission_error", "authz.permission_missing", "", ""},
		"rate":      {decision.Refuse(decision.LimitRate, nil), 429, "rate_limit_error", "limit.rate", "", ""},
		"quota":     {decision.Refuse(decision.LimitQuota, nil), 429, "insufficient_quota", "limit.quota", "", "false"},
		"model":     {decision.Refuse(decision.ModelUnknown, nil, decision.Fact{Name: "model", Got: "gpt-9", Public: decision.ToProven}), 404, "invalid_request_error", "guardrail.model_unknown", "model", ""},
		"upstream":  {decision.Refuse(decision.UpstreamUnreachable, nil), 502, "server_error", "upstream.unreachable", "", ""},
	} {
		status, f, body := worded(t, c.v, "", func(x *gate.Exchange) { proven(x); x.Op = &gate.Operation{Dialect: "openai"} })
		var e envelope
		if err := json.Unmarshal([]byte(body), &e); err != nil {
			t.Fatal(err, body)
		}
		param := ""
		if e.Error.Param != nil {
			param = *e.Error.Param
		}
		if status != c.status || e.Error.Type != c.kind || e.Error.Code != c.code || param != c.param || f.Get("X-Should-Retry") != c.repeat ||
			f.Get("Content-Type") != "application/json" || e.Error.Postern.Reason != c.code || e.Error.Postern.Status != c.status {
			t.Errorf("%s: %d %+v %v", name, status, e, f)
		}
		if p := e.Error.Postern; !strings.Contains(e.Error.Message, p.Trace) || !strings.Contains(e.Error.Message, p.Remedies[0]) || !strings.HasPrefix(e.Error.Message, p.Detail) {
			t.Errorf("%s: message %q", name, e.Error.Message)
		}
	}
}

func TestGRPCMessageIsEncoded(t *testing.T) {
	v := decision.Refuse(decision.RequestMalformed, nil, decision.Fact{Name: "fault", Want: "100% ümlaut", Public: decision.ToAnyone})
	status, f, body := worded(t, v, "", func(x *gate.Exchange) { x.Header = header.List{{Name: "Content-Type", Value: "application/grpc"}} })
	message, err := url.PathUnescape(f.Get("Grpc-Message"))
	if status != 200 || body != "" || f.Get("Grpc-Status") != "3" || err != nil || !strings.Contains(message, "100% ümlaut") {
		t.Fatalf("%d %q %v %v", status, body, f, err)
	}
	for _, other := range []string{"application/grpc-web", "application/grpcx", "application/json", ""} {
		if isGRPC(&gate.Exchange{Header: header.List{{Name: "Content-Type", Value: other}}}) {
			t.Errorf("%q is taken for gRPC", other)
		}
	}
}

func TestRateLimitFields(t *testing.T) {
	x := &gate.Exchange{Readings: []gate.LimitReading{
		{Limit: &gate.Limit{Name: "burst", Max: 10, Burst: 20, Period: 1500 * time.Millisecond}, Remaining: 13, Reset: 1100 * time.Millisecond},
		{Limit: &gate.Limit{Name: `da"ily`, Kind: gate.LimitQuota, Max: 1000, Unit: gate.Day}, Remaining: -1, Reset: time.Hour},
		{Limit: &gate.Limit{Name: "tried", Shadow: true}},
		{Limit: &gate.Limit{Name: "monthly", Kind: gate.LimitQuota, Max: 5, Unit: gate.Month}, Remaining: 5},
	}}
	if got, want := string(appendRateLimit(nil, x)), `"burst";r=13;t=2, "da\"ily";r=0;t=3600, "monthly";r=5;t=0`; got != want {
		t.Errorf("RateLimit %s, want %s", got, want)
	}
	if got, want := string(appendRateLimitPolicy(nil, x)), `"burst";q=20;w=3, "da\"ily";q=1000;w=86400, "monthly";q=5`; got != want {
		t.Errorf("RateLimit-Policy %s, want %s", got, want)
	}
}

// TestUpstreamFields: what an upstream may and may not say.
func TestUpstreamFields(t *testing.T) {
	upstream := header.List{{Name: "RateLimit", Value: `"theirs";r=1`}, {Name: "ratelimit-policy", Value: `"theirs";q=1`}, {Name: "postern-trace", Value: "x"},
		{Name: "Content-Length", Value: "9"}, {Name: "Transfer-Encoding", Value: "chunked"}, {Name: "Connection", Value: "close"}, {Name: "Upgrade", Value: "x"},
		{Name: "Keep-Alive", Value: "x"}, {Name: "Set-Cookie", Value: "a=b"}, {Name: "Date", Value: "then"}}
	kept := func(x *gate.Exchange) string {
		var out []string
		var seen answerFields
		for i := range upstream {
			if seen.keep(x, &upstream[i]) {
				out = append(out, upstream[i].Name)
			}
		}
		return strings.Join(out, " ")
	}
	if got := kept(&gate.Exchange{}); got != "RateLimit ratelimit-policy Set-Cookie Date" {
		t.Errorf("without own limits: %s", got)
	}
	if got := kept(&gate.Exchange{Readings: []gate.LimitReading{{Limit: &gate.Limit{Name: "ours"}}}}); got != "Set-Cookie Date" {
		t.Errorf("with own limits: %s", got)
	}
}

func TestDeprecationFields(t *testing.T) {
	op := &gate.Operation{Deprecation: "@1688169599", Sunset: "Sun, 30 Jun 2024 23:59:59 GMT", Link: `</v2>; rel="successor-version"`}
	x := &gate.Exchange{Op: op}
	h := http.Header{}
	listAnswerFields(x, 200, false, h.Add)
	raw := string(appendAnswerFields(nil, x, 200, false))
	for name, want := range map[string]string{"Deprecation": op.Deprecation, "Sunset": op.Sunset, "Link": op.Link} {
		if h.Get(name) != want || !strings.Contains(raw, name+": "+want+"\r\n") {
			t.Errorf("%s: %q, %q", name, h.Get(name), raw)
		}
	}
}

func FuzzAppendJSON(f *testing.F) {
	for _, s := range []string{"", "plain", "\"\\\n\x00\x1f", "<script>&", "\xff\xfe", "\u2028\u2029é漢", "\xed\xa0\x80"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		b := appendJSON(nil, s)
		var back string
		if err := json.Unmarshal(b, &back); err != nil {
			t.Fatalf("%q: %v", b, err)
		}
		if want := strings.ToValidUTF8(s, "\ufffd"); utf8.ValidString(s) && back != want {
			t.Fatalf("%q came back as %q", s, back)
		}
		if strings.ContainsAny(string(b), "<>&") {
			t.Fatalf("markup in %q", b)
		}
	})
}
