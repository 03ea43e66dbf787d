package edge

import (
	"strings"

	"postern/internal/decision"
)

// proxyStatus is the Proxy-Status of a refusal (RFC 9209): the error type that fits, and the code as told.
func (r *refusal) proxyStatus(v decision.Verdict) string {
	kind := "http_request_denied"
	if r.exact {
		kind = proxyError(v, r.x.Result.Fault)
	}
	return "postern; error=" + kind + `; details="` + r.said.Reason.Code + `"`
}

// proxyError is the registered error type (RFC 9209 section 2.3) of a reason.
func proxyError(v decision.Verdict, fault string) string {
	switch v.Reason() {
	case decision.UpstreamUnreachable:
		switch {
		case strings.Contains(fault, "refused"):
			return "connection_refused"
		case strings.Contains(fault, "no route to host"), strings.Contains(fault, "unreachable"):
			return "destination_ip_unroutable"
		}
		return "connection_terminated"
	case decision.UpstreamTimeout:
		switch phaseOf(v) {
		case "connect", "tls":
			return "connection_timeout"
		case "write":
			return "connection_write_timeout"
		case "read":
			return "connection_read_timeout"
		}
		return "http_response_timeout"
	case decision.UpstreamDNS:
		return "dns_error"
	case decision.UpstreamTLS:
		if strings.Contains(fault, "certificate") || strings.Contains(fault, "x509") {
			return "tls_certificate_error"
		}
		return "tls_protocol_error"
	case decision.UpstreamBadAnswer:
		return "http_protocol_error"
	case decision.UpstreamNoneHealthy, decision.UpstreamCircuitOpen:
		return "destination_unavailable"
	case decision.RequestMalformed, decision.RequestTooLarge, decision.HeaderTooLarge, decision.RequestTimeout, decision.ExpectationFailed:
		return "http_request_error"
	case decision.UpstreamCredential:
		return "proxy_configuration_error"
	case decision.GatewayFault, decision.Unexplained:
		return "proxy_internal_error"
	}
	return "http_request_denied"
}

func phaseOf(v decision.Verdict) string {
	for _, f := range v.Facts() {
		if f.Name == "phase" {
			return f.Want
		}
	}
	return ""
}
