package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"postern/internal/decision"
	"postern/internal/edge"
	"postern/internal/forward"
	"postern/internal/gate"
	"postern/internal/header"
	"postern/internal/policy"
)

// stage is a data plane that gives the verdict it is told to.
type stage struct {
	server  *edge.Server
	address string
	reason  atomic.Pointer[decision.Reason]
}

func newStage(ctx context.Context) (*stage, error) {
	s := &stage{}
	s.server = edge.New(edge.Options{
		Current:   func() edge.Current { return edge.Current{Judge: s, Generation: 1} },
		Forwarder: s,
		Env:       &gate.Env{Now: time.Now},
		Logger:    slog.New(slog.DiscardHandler),
	})
	if err := s.server.Start(ctx, []policy.Listener{{Name: "example", Address: "127.0.0.1:0"}}); err != nil {
		return nil, err
	}
	s.address = s.server.Addresses()["example"].String()
	return s, nil
}

func (s *stage) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = s.server.Shutdown(ctx)
}

// onTheWay reports whether a reason arises after the gates, when the request is sent on.
func onTheWay(r *decision.Reason) bool {
	return slices.Contains([]*decision.Reason{decision.UpstreamUnreachable, decision.UpstreamBadAnswer, decision.UpstreamTimeout,
		decision.UpstreamTLS, decision.UpstreamDNS, decision.UpstreamRefused}, r)
}

// proven reports whether the caller of the example has proven who it is by the time of the refusal.
func proven(r *decision.Reason) bool {
	switch r.Gate {
	case "route", "ip", "origin", "waf", "policy":
		return false
	case "authn":
		return r.Public == decision.ToProven
	}
	return true
}

// Judge implements edge.Judge.
func (s *stage) Judge(_ context.Context, x *gate.Exchange, _ gate.Mode) decision.Verdict {
	r := s.reason.Load()
	x.Principal.Proven = proven(r)
	x.Path, x.Hostname, x.Client = x.RawPath, "api.example.com", x.Peer.Addr()
	x.Op = &gate.Operation{API: "orders", Version: "v1", Name: "create-order", Title: "create orders"}
	if r.Gate == "guardrail" {
		x.Op.Dialect = "openai"
	}
	if onTheWay(r) {
		x.Verdict = decision.Pass(nil)
		return x.Verdict
	}
	switch {
	case r == decision.MethodNotAllowed:
		x.Allow = "GET, HEAD"
	case r == decision.ScopeInsufficient:
		x.Challenge = `Bearer realm="postern", error="insufficient_scope", scope="orders:write"`
	case r == decision.CredentialMissing:
		x.Challenge = `Bearer realm="postern"`
	case r == decision.CredentialMisplaced:
		x.Challenge = `Bearer realm="postern", error="invalid_request"`
	case r.Status == 401:
		x.Challenge = `Bearer realm="postern", error="invalid_token"`
	case r == decision.LimitRate:
		x.RetryAfter = 12 * time.Second
	case r == decision.LimitQuota:
		x.RetryAfter = 30 * time.Minute
	case strings.HasSuffix(r.Code, ".unavailable"), r == decision.UpstreamCircuitOpen:
		x.RetryAfter = 5 * time.Second
	}
	x.Verdict = verdict(r)
	x.Trace.Add(r.Gate, x.Verdict)
	return x.Verdict
}

// Forward implements edge.Forwarder.
func (s *stage) Forward(_ context.Context, x *gate.Exchange, w forward.Sink) decision.Verdict {
	if r := s.reason.Load(); r != decision.UpstreamRefused {
		x.Result.Origin, x.Result.Fault = gate.FromUnreachable, "connection refused"
		return verdict(r)
	}
	const body = `{"error": "this customer is blocked"}`
	x.Result.Origin, x.Result.Status, x.Result.ReceivedStatus = gate.FromUpstream, 403, 403
	if err := w.Head(403, header.List{{Name: "Content-Type", Value: "application/json"}}, int64(len(body))); err == nil {
		if _, err = w.Write([]byte(body)); err == nil {
			_ = w.End(nil)
		}
	}
	return decision.Pass(nil)
}

// facts of the examples, by name: what is wanted, what was got.
var facts = map[string][2]string{
	"path": {"/orders"}, "method": {"POST"}, "host": {"api.example.com"}, "allow": {"GET, HEAD"}, "nearest": {" Did you mean /orders/?"},
	"version": {"v1"}, "on": {""}, "successor": {"v2"}, "limit": {"100"}, "fault": {"it has both Content-Length and Transfer-Encoding"},
	"remedy": {"send one of the two"}, "address": {"", "203.0.113.9"}, "range": {"203.0.113.0/24"}, "peer": {"10.0.0.2"}, "field": {"X-Forwarded-For"},
	"origin": {"https://shop.example.com", "https://evil.example"}, "expired": {"2026-03-04T11:00:00Z"}, "rules": {"942100"}, "exclude": {"rule 942100 for ARGS:q"}, "uninspected": {"the body is larger than 131072 bytes"}, "setting": {"body.bytes"}, "score": {"5", "15"},
	"variable": {"ARGS:q"}, "accepts": {"the API key in header X-API-Key or as Authorization: Bearer"},
	"place": {"the header X-API-Key or Authorization: Bearer", "the query string, as api_key"}, "check": {"checksum: at least one character is wrong or missing"},
	"key": {"k_7f3a"}, "expires": {"2026-03-04T00:00:00Z", "2026-03-04T12:00:00Z"}, "revoked": {" at 2026-03-01T00:00:00Z and replaced by key k_9c2d"},
	"nbf": {"2026-03-04T12:30:00Z"}, "kid": {"", "2026-02"}, "issuer": {"https://id.example.com", "https://other.example"}, "audience": {"orders", "stock"},
	"dependency": {"the directory", "it is not loaded yet"}, "tenant": {"acme"}, "application": {"shop-web"}, "api": {"orders"}, "subscription": {"s_51"},
	"scope": {"orders:write", "orders:read"}, "permission": {"orders:create"}, "action": {"create orders"}, "holders": {" (order-writer has it)"},
	"rule": {"no-exports"}, "permit": {"orders/own-region at orders:3:1"}, "input": {"the body", "it has the member \"owner\" twice"}, "expected": {"JSON in which no name stands twice"}, "per": {" per minute"}, "period": {"day"}, "retry": {"12 seconds"}, "name": {"burst"}, "resets": {"2026-03-05T00:00:00Z"},
	"type": {"application/json", "text/plain"}, "pointer": {"/items/0/quantity"}, "parameter": {"limit"}, "model": {"", "gpt-9"}, "upstream": {"orders"},
	"target": {"http://10.0.3.7:9001"}, "targets": {"2 of 2 are out"}, "until": {"2026-03-04T12:00:05Z"}, "phase": {"first byte"},
	"status": {"403"},
	"ago":    {"40 seconds"}, "ahead": {"30 minutes"}, "algorithm": {"RS256, ES256", "HS256"}, "claim": {"azp", "missing"}, "need": {"shop-web"},
	"identity": {"c_7f3a"}, "signed": {`"@method": POST`}, "moment": {"2026-03-04T12:00:00Z", "2026-03-04T11:40:00Z"}, "window": {"5 minutes"},
	"missing": {"content-digest"}, "digest": {"sha-256"}, "certificate": {"CN=shop-web"}, "whose": {"from this address"}, "counted": {"25 failures from 203.0.113.9"},
	"keyset":    {"https://id.example.com/keys, fetched 2026-03-04T11:58:00Z"},
	"reference": {"${env:ORDERS_TOKEN}: the environment variable is not set"},
}

// special are facts that read otherwise with one reason.
var special = map[string][2]string{
	"request.timeout limit": {"10s for its header"}, "request.too_large limit": {"1048576"}, "request.header_too_large limit": {"32768 bytes"},
	"limit.quota limit": {"1000 requests"}, "limit.budget limit": {"50 USD"}, "upstream.timeout limit": {"1m0s"},
	"schema.body rule": {"must be at least 1"}, "schema.parameter rule": {"must be a whole number"}, "limit.unavailable dependency": {"the counters", "connection refused"},
	"upstream.unreachable fault": {"connection refused"}, "upstream.bad_answer fault": {"Content-Length twice"}, "upstream.tls fault": {"the certificate has expired"},
	"upstream.dns fault": {"no such host"}, "guardrail.unreadable fault": {`it has no "model"`}, "guardrail.model_not_allowed model": {"", "large"},
	"guardrail.unpriced model":      {"", "trial"},
	"origin.preflight_denied asked": {"", "the header field X-Debug"}, "origin.preflight_denied setting": {"cors.headers"},
	"origin.cross_site site": {"same-origin", "cross-site"}, "origin.wrong_origin source": {"Origin"},
	"origin.cors_denied origin": {"", "https://shop.example.com"},
	"origin.cors_denied why":    {"the host is the same, but the request counts as http and not as https"}, "origin.cors_denied fix": {"Add the origin to `cors.origins`"},
	"origin.wrong_origin origin": {"http://shop.example.com", "https://shop.example.com"},
	"origin.wrong_origin why":    {"the host is the same, but the request counts as http and not as https"},
	"origin.wrong_origin fix":    {"If TLS ends in front of the gateway, let the proxy in front send `X-Forwarded-Proto: https`, and list its address in `trusted_proxies`"},
	"origin.csrf_missing absent": {"none was sent"},
	"origin.csrf_missing place":  {"the header field X-CSRF-Token"}, "origin.csrf_missing cookie": {"__Host-csrf"},
	"origin.csrf_invalid fault":   {"it was made for another session"},
	"authn.token_key_unknown kid": {"2026-03, 2026-04", "2026-02"}, "authn.application_unknown application": {"", "shop-web"},
	"authn.token_expired expires": {"2026-03-04T11:59:20Z", "2026-03-04T12:00:00Z"}, "authn.token_not_yet_valid nbf": {"2026-03-04T12:30:00Z", "2026-03-04T12:00:00Z"},
	"token.grant_unsupported fault": {"the grant type is password"}, "token.scope_refused scope": {"orders:write", "orders:read"},
	"authn.certificate_untrusted fault": {"it was signed by an unknown authority"},
}

// operatorOnly are facts that gates keep with the operator.
var operatorOnly = []string{"address", "range", "peer", "field", "rules", "score", "variable", "check", "dependency", "kid", "subscription", "target", "targets", "reference", "nearest", "permit", "fix"}

var placeholder = regexp.MustCompile(`\{([a-z]+)(?:\.got)?\|`)

// verdict builds a refusal with every fact that the words of the reason show.
func verdict(r *decision.Reason) decision.Verdict {
	texts := []string{r.Detail}
	for _, a := range r.Advice {
		texts = append(texts, a.Text)
	}
	var list []decision.Fact
	for _, m := range placeholder.FindAllStringSubmatch(strings.Join(texts, "\n"), -1) {
		name := m[1]
		if slices.ContainsFunc(list, func(f decision.Fact) bool { return f.Name == name }) {
			continue
		}
		v, ok := special[r.Code+" "+name]
		if !ok {
			v = facts[name]
		}
		public := decision.ToProven
		if !proven(r) {
			public = decision.ToAnyone
		}
		if slices.Contains(operatorOnly, name) || name == "fault" && onTheWay(r) {
			public = decision.ToOperator
		}
		list = append(list, decision.Fact{Name: name, Want: v[0], Got: v[1], Public: public})
	}
	return decision.Refuse(r, nil, list...)
}

// shown are the fields of an answer that have to do with the refusal.
var shown = []string{"Content-Type", "Postern-Trace", "Proxy-Status", "WWW-Authenticate", "Allow", "Retry-After"}

const exampleTrace = "01JD0Z8C0M3V9W6T5Q4R2E1A7B"

// example sends a request to the stage and writes the answer as it came, the trace id and the layout of the JSON apart.
func (s *stage) example(ctx context.Context, r *decision.Reason) (string, error) {
	if r == decision.ClientGone {
		return "Nobody was left to be answered: this reason is in the record of the call only.\n", nil
	}
	s.reason.Store(r)
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", s.address)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(conn, "POST /orders HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"); err != nil {
		return "", err
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: "POST"})
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return "", err
	}
	trace := answer.Header.Get("Postern-Trace")
	if _, err := decision.ParseTraceID(trace); err != nil {
		return "", fmt.Errorf("the answer has no trace: %q", trace)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "```http\nHTTP/1.1 %s\n", answer.Status)
	for _, name := range shown {
		for _, v := range answer.Header.Values(name) {
			fmt.Fprintf(&b, "%s: %s\n", name, v)
		}
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, bytes.TrimSpace(body), "", "  "); err != nil {
		return "", fmt.Errorf("the answer is no JSON: %w", err)
	}
	fmt.Fprintf(&b, "\n%s\n```\n", pretty.String())
	if r.Public == decision.ToOperator {
		fmt.Fprintf(&b, "\nThe operator reads under the trace id: %q\n", verdict(r).Render(decision.ToOperator).Detail)
	}
	return strings.ReplaceAll(b.String(), trace, exampleTrace), nil
}
