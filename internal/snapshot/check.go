package snapshot

import (
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"postern/internal/gate/route"
	"postern/internal/header"
	"postern/internal/policy"
)

// checkDocument checks what no gate is made of: the settings that edge and forward read.
func (b *builder) checkDocument() {
	if b.doc.Format != 0 && b.doc.Format != 1 {
		b.problem("/postern", "write postern: 1", "format %d of the document is not known to this version", b.doc.Format)
	}
	if s := b.doc.PortalURL; s != "" {
		u, err := url.Parse(s)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
			b.problem("/portal_url", "write one such as https://developers.example.com", "%q is no address of a portal", s)
		}
	}
	b.checkListeners()
	for _, name := range slices.Sorted(maps.Keys(b.doc.Upstreams)) {
		b.checkUpstream("/upstreams/"+policy.EscapePointer(name), b.doc.Upstreams[name])
	}
}

func (b *builder) checkListeners() {
	names, addresses := make(map[string]int), make(map[string]int)
	for i, l := range b.doc.Listeners {
		at := "/listeners/" + strconv.Itoa(i)
		if first, ok := names[l.Name]; ok {
			b.problem(at+"/name", "give each listener its own name", "the listener %q is also item %d of the list", l.Name, first)
		}
		names[l.Name] = i
		if first, ok := addresses[l.Address]; ok && !strings.HasSuffix(l.Address, ":0") {
			b.problem(at+"/address", "use another port", "the address %s is also that of listener %d", l.Address, first)
		}
		addresses[l.Address] = i
		if _, port, err := net.SplitHostPort(l.Address); err != nil || !portNumber(port) {
			b.problem(at+"/address", "write host:port, such as 127.0.0.1:8080 or :8080", "%q is no address to listen on", l.Address)
		}
		b.oneOf(at+"/engine", l.Engine, "fast", "standard")
		b.prefixes(at+"/proxy_protocol", l.ProxyProtocol)
		b.checkListenerTLS(at+"/tls", l)
		b.counts(at+"/limits", map[string]int{"header_bytes": l.Limits.HeaderBytes, "header_count": l.Limits.HeaderCount,
			"connections": l.Limits.Connections, "h2_streams": l.Limits.H2Streams})
		if l.Limits.BodyBytes < -1 {
			b.problem(at+"/limits/body_bytes", "write a number of bytes, or -1 for no limit", "%d is no size", l.Limits.BodyBytes)
		}
		b.notNegative(at+"/timeouts", map[string]policy.Duration{
			"header": l.Timeouts.Header, "body": l.Timeouts.Body, "write": l.Timeouts.Write, "idle": l.Timeouts.Idle, "drain": l.Timeouts.Drain})
	}
}

func (b *builder) checkListenerTLS(at string, l policy.Listener) {
	if l.TLS == nil {
		return
	}
	if l.H2C {
		b.problem(strings.TrimSuffix(at, "tls")+"h2c", "remove h2c: HTTP/2 is offered by ALPN there", "h2c is HTTP/2 without TLS, and this listener has TLS")
	}
	b.oneOf(at+"/min_version", l.TLS.MinVersion, "1.2", "1.3")
	b.oneOf(at+"/client_certificates", l.TLS.ClientCertificates, "none", "request", "require")
	if len(l.TLS.Certificates) == 0 && l.TLS.ACME == nil {
		b.problem(at, "list certificates, or configure acme", "there is nowhere to get a certificate from")
	}
	for i, c := range l.TLS.Certificates {
		if c.Cert == "" || c.Key == "" {
			b.problem(at+"/certificates/"+strconv.Itoa(i), "write {cert: chain.pem, key: key.pem}", "a certificate needs both the file of the chain and that of the key")
		}
	}
	if a := l.TLS.ACME; a != nil && len(a.Domains) == 0 {
		b.problem(at+"/acme/domains", "list the host names to get certificates for", "there is no domain")
	}
}

func (b *builder) checkUpstream(at string, u policy.Upstream) {
	if len(u.Targets) == 0 {
		b.problem(at+"/targets", "add a target, such as {url: http://127.0.0.1:9000}", "the upstream has no target")
	}
	for i, t := range u.Targets {
		b.checkTarget(fmt.Sprintf("%s/targets/%d", at, i), t, u)
	}
	b.checkIdentity(at+"/identity", u)
	b.oneOf(at+"/protocol", u.Protocol, "auto", "http1", "h2", "h2c")
	balance := b.oneOf(at+"/balance", u.Balance, "round_robin", "least_request", "consistent_hash")
	if u.HashOn != "" {
		kind, name, named := strings.Cut(u.HashOn, ":")
		switch {
		case named && (kind == "header" || kind == "cookie"):
			b.checkFieldName(at+"/hash_on", name)
		case u.HashOn != "address" && u.HashOn != "application" && u.HashOn != "path":
			b.unknownWord(at+"/hash_on", u.HashOn, []string{"address", "application", "path", "header:<name>", "cookie:<name>"})
		case balance != "consistent_hash":
			b.problem(at+"/hash_on", "set balance: consistent_hash, or remove hash_on", "nothing is hashed with balance: %s", balance)
		}
	}
	if u.Host != "" && u.Host != "target" && u.Host != "pass" {
		if _, _, fault := route.NormaliseHost(u.Host); fault != nil {
			b.problem(at+"/host", "write target, pass, or a host name", "%s", fault.Text)
		}
	}
	if u.TLS != nil && (u.TLS.CertFile == "") != (u.TLS.KeyFile == "") {
		b.problem(at+"/tls", "give both cert_file and key_file, or neither", "a client certificate needs the file of the chain and that of the key")
	}
	b.checkResilience(at, u)
	if c := u.Credential; c != nil {
		b.checkFieldName(at+"/credential/header", c.Header)
		if c.Value == "" {
			b.problem(at+"/credential/value", `write one such as "Bearer ${env:TOKEN}"`, "the credential is empty")
		} else if err := policy.CheckReferences(c.Value); err != nil {
			b.problem(at+"/credential/value", "refer to the secret as ${env:NAME} or ${file:/path}", "%v", err)
		}
	}
	t := u.Timeouts
	b.notNegative(at+"/timeouts", map[string]policy.Duration{
		"connect": t.Connect, "write": t.Write, "first_byte": t.FirstByte, "read": t.Read, "idle": t.Idle, "total": t.Total})
}

func (b *builder) checkTarget(at string, t policy.Target, u policy.Upstream) {
	parsed, err := url.Parse(t.URL)
	switch {
	case err != nil || parsed.Host == "" || parsed.Scheme != "http" && parsed.Scheme != "https":
		b.problem(at+"/url", "write one such as http://127.0.0.1:9000 or https://orders.internal", "%q is no http or https address", t.URL)
		return
	case parsed.User != nil:
		b.problem(at+"/url", "use the credential of the upstream, with ${env:…}", "the address contains a password or user name")
	case parsed.RawQuery != "" || parsed.Fragment != "" || parsed.ForceQuery:
		b.problem(at+"/url", "remove the query and fragment", "the address of a target is a host with an optional path")
	case parsed.Port() != "" && !portNumber(parsed.Port()):
		b.problem(at+"/url", "write a port from 1 to 65535", "%q has no possible port", t.URL)
	case parsed.Scheme == "https" && u.Protocol == "h2c":
		b.problem(at+"/url", "use http, or protocol: h2", "h2c is HTTP/2 without TLS, and the target is https")
	case parsed.Scheme == "http" && u.Protocol == "h2":
		b.problem(at+"/url", "use https, or protocol: h2c", "h2 is HTTP/2 over TLS, and the target is http")
	}
	if t.Weight < 0 {
		b.problem(at+"/weight", "write 1 or more, or leave it out", "a weight cannot be negative")
	}
}

// checkResilience checks health checks, circuit breaker and retries.
func (b *builder) checkResilience(at string, u policy.Upstream) {
	if h := u.Health; h != nil {
		if h.Path == "" || h.Path[0] != '/' {
			b.problem(at+"/health/path", "write one such as /healthz", "%q is no path to ask for", h.Path)
		}
		b.notNegative(at+"/health", map[string]policy.Duration{"interval": h.Interval, "timeout": h.Timeout})
		b.counts(at+"/health", map[string]int{"healthy": h.Healthy, "unhealthy": h.Unhealthy})
		b.statuses(at+"/health/status", h.Status)
	}
	if p := u.Passive; p != nil {
		b.notNegative(at+"/passive", map[string]policy.Duration{"for": p.For})
		b.counts(at+"/passive", map[string]int{"failures": p.Failures})
		b.statuses(at+"/passive/status", p.Status)
	}
	if c := u.Circuit; c != nil {
		b.notNegative(at+"/circuit", map[string]policy.Duration{"window": c.Window, "open": c.Open})
		b.counts(at+"/circuit", map[string]int{"min_requests": c.MinRequests, "trials": c.Trials})
		b.share(at+"/circuit/failure_rate", c.FailureRate)
	}
	if r := u.Retry; r != nil {
		b.counts(at+"/retry", map[string]int{"attempts": r.Attempts})
		b.statuses(at+"/retry/status", r.Status)
		b.share(at+"/retry/budget", r.Budget)
	}
	b.counts(at, map[string]int{"connections": u.Connections})
}

func (b *builder) notNegative(at string, fields map[string]policy.Duration) {
	for name, d := range fields {
		if d < 0 {
			b.problem(at+"/"+name, "write a duration such as 10s, or leave it out for the default", "%s is negative", d)
		}
	}
}

func (b *builder) counts(at string, fields map[string]int) {
	for name, n := range fields {
		if n < 0 {
			b.problem(at+"/"+name, "write a positive number, or leave it out for the default", "%d is negative", n)
		}
	}
}

func (b *builder) statuses(at string, list []int) {
	for i, s := range list {
		if s < 100 || s > 599 {
			b.problem(at+"/"+strconv.Itoa(i), "write a status from 100 to 599", "%d is no HTTP status", s)
		}
	}
}

func (b *builder) share(at string, f float64) {
	if !(f >= 0 && f <= 1) {
		b.problem(at, "write a number from 0 to 1, such as 0.5", "%v is no share", f)
	}
}

func portNumber(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && (n > 0 || s == "0")
}

// checkUpstreamName checks a reference to an upstream; an empty one is somebody else's to judge.
func (b *builder) checkUpstreamName(pointer, name string) {
	if _, ok := b.doc.Upstreams[name]; ok || name == "" {
		return
	}
	remedy := "add it under /upstreams"
	if near := policy.Suggest(name, slices.Sorted(maps.Keys(b.doc.Upstreams))); near != "" {
		remedy = "did you mean " + near + "? Otherwise " + remedy
	}
	b.problem(pointer, remedy, "there is no upstream %q", name)
}

// checkFieldName checks the name of a field that configuration lets callers or the gateway set.
func (b *builder) checkFieldName(pointer, name string) {
	const tchar = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~"
	switch {
	case name == "" || strings.Trim(name, tchar) != "":
		b.problem(pointer, "use a name such as X-API-Key", "%q is no name of a header field", name)
	case header.HopByHop(name), header.EqualFold(name, "Host"), header.EqualFold(name, "Content-Length"), header.EqualFold(name, "Expect"):
		b.problem(pointer, "use another field", "the field %s belongs to the connection or the message itself", name)
	}
}

func (b *builder) checkMethod(pointer, m string) {
	const tchar = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'+-.^_`|~"
	known := []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"}
	switch upper := strings.ToUpper(m); {
	case m == "*" || slices.Contains(known, m):
	case m == "":
		b.problem(pointer, "write a method such as GET, or * for any", "the method is missing")
	case upper == "CONNECT":
		b.problem(pointer, "remove the operation", "CONNECT opens a tunnel and is never routed")
	case slices.Contains(known, upper):
		b.problem(pointer, "write "+upper, "methods are case-sensitive (RFC 9110 section 9.1), and %q is not %s", m, upper)
	case strings.Trim(m, tchar) != "":
		b.problem(pointer, "write a method such as GET, or * for any", "%q is no method", m)
	case policy.Suggest(m, known) != "":
		b.problem(pointer, "did you mean "+policy.Suggest(m, known)+"?", "%q is no known method", m)
	}
}

func (b *builder) checkShadow(pointer string, names []string) {
	for i, name := range names {
		at := pointer + "/" + strconv.Itoa(i)
		switch {
		case slices.Contains(shadowable(), name):
		case slices.ContainsFunc(order[:], func(r row) bool { return r.name == name }):
			b.problem(at, "remove it", "the gate %s cannot be set to report only: without its answer there is nowhere to send a request", name)
		default:
			b.unknownWord(at, name, shadowable())
		}
	}
}
