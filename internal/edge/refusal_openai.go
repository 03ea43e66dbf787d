package edge

import (
	"strings"

	"postern/internal/decision"
	"postern/internal/header"
)

// openAI writes the error envelope of the OpenAI API: {"error":{message, type, param, code}}. The official SDKs choose the
// exception class by status and show message; code is the reason, and the facts of problem+json are under "postern".
func (r *refusal) openAI(f header.List, b []byte, status int) (header.List, []byte) {
	f = append(f, header.Field{Name: "Content-Type", Value: "application/json"})
	if !retryHelps(r.said.Reason) {
		// The SDKs repeat 429 and 5xx by themselves unless this says no. A quota is not refilled by waiting half a second.
		f = append(f, header.Field{Name: "X-Should-Retry", Value: "false"})
	}
	b = append(b, `{"error":{"message":`...)
	b = appendJSON(b, r.message())
	b = append(b, `,"type":`...)
	b = appendJSON(b, openAIType(r.said.Reason, status))
	b = append(b, `,"param":`...)
	switch r.said.Reason {
	case decision.ModelUnknown, decision.ModelNotAllowed, decision.Unpriced:
		b = append(b, `"model"`...)
	default:
		b = append(b, "null"...)
	}
	b = append(b, `,"code":`...)
	b = appendJSON(b, r.said.Reason.Code)
	b = append(b, `,"postern":{`...)
	b = r.appendMembers(b, status)
	return f, append(b, "}}}\n"...)
}

// message is all that many programs show of an error: what happened, the first remedy, and where to ask.
func (r *refusal) message() string {
	var m strings.Builder
	m.WriteString(r.said.Detail)
	if len(r.said.Remedies) > 0 {
		m.WriteByte(' ')
		m.WriteString(r.said.Remedies[0])
	}
	m.WriteString(" (trace ")
	m.WriteString(r.trace)
	m.WriteByte(')')
	return m.String()
}

func retryHelps(r *decision.Reason) bool {
	switch r {
	case decision.LimitQuota, decision.LimitBudget, decision.Unexplained, decision.GatewayFault, decision.UpstreamCredential:
		return false
	}
	return true
}

// openAIType is the type that OpenAI itself gives for such a failure.
func openAIType(r *decision.Reason, status int) string {
	switch {
	case r == decision.LimitQuota || r == decision.LimitBudget:
		return "insufficient_quota"
	case status == 401:
		return "authentication_error"
	case status == 403:
		return "permission_error"
	case status == 429:
		return "rate_limit_error"
	case status >= 500:
		return "server_error"
	}
	return "invalid_request_error"
}
