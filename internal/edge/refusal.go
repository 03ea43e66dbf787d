package edge

import (
	"strconv"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/header"
)

// refusal is a verdict as this caller is told it (DESIGN section 6). Everything shown comes from what is told: gate, code
// and Proxy-Status of a coarse stand-in are the stand-in's own.
type refusal struct {
	x      *gate.Exchange
	said   decision.Said
	exact  bool // told is the reason itself
	origin gate.Origin
	portal string
	trace  string
}

// word puts fields and body of the refusal into cl and returns the status to send.
func (s *Server) word(cl *call, v decision.Verdict) (status int) {
	x := &cl.x
	said := v.Render(x.Asker())
	if said.Reason == nil { // neither a refusal nor an unknown: nobody may get here, and nothing may pass for it
		said = decision.Refuse(nil, nil).Render(x.Asker())
	}
	r := refusal{x: x, said: said, exact: said.Reason == v.Reason(), origin: originOf(x, v.Reason()), portal: cl.current.PortalURL, trace: x.ID.String()}
	status = said.Reason.Status
	if reason := v.Reason(); reason != nil { // a stand-in hides the reason, never the status
		status = reason.Status
	}
	if status < 400 || status > 599 {
		status = 500
	}
	f, b := cl.fields[:0], cl.text[:0]
	f = append(f, header.Field{Name: "Cache-Control", Value: "no-store"})
	f = r.statusFields(f, v, status)
	switch {
	case isGRPC(x):
		f, b, status = r.grpc(f, b)
	case x.Op != nil && x.Op.Dialect == "openai":
		f, b = r.openAI(f, b, status)
	case x.Op != nil && x.Op.Dialect == "oauth":
		f, b = r.oauth(f, b, status)
	default:
		f, b = r.problem(f, b, status)
	}
	cl.fields, cl.text = f, b
	return status
}

// statusFields appends what goes with the status whatever the body looks like.
func (r *refusal) statusFields(f header.List, v decision.Verdict, status int) header.List {
	f = append(f, header.Field{Name: "Proxy-Status", Value: r.proxyStatus(v)})
	switch status {
	case 401:
		challenge := `Bearer realm="postern"` // RFC 9110 section 11.6.1: a 401 has a challenge
		if r.exact && r.x.Challenge != "" {
			challenge = r.x.Challenge
		}
		f = append(f, header.Field{Name: "WWW-Authenticate", Value: challenge})
	case 403: // RFC 6750 section 3.1: insufficient_scope
		if r.exact && r.x.Challenge != "" {
			f = append(f, header.Field{Name: "WWW-Authenticate", Value: r.x.Challenge})
		}
	case 405:
		f = append(f, header.Field{Name: "Allow", Value: r.x.Allow})
	}
	if r.x.RetryAfter > 0 && (status == 429 || status == 503 || status == 402) {
		f = append(f, header.Field{Name: "Retry-After", Value: strconv.FormatInt(wholeSeconds(r.x.RetryAfter), 10)})
	}
	return f
}

// typeURI identifies the reason told (RFC 9457 section 3.1.1).
func (r *refusal) typeURI() string {
	if r.portal != "" {
		return r.portal + "/reasons/" + r.said.Reason.Code
	}
	return "urn:postern:reason:" + r.said.Reason.Code
}

// problem writes application/problem+json (RFC 9457).
func (r *refusal) problem(f header.List, b []byte, status int) (header.List, []byte) {
	f = append(f, header.Field{Name: "Content-Type", Value: "application/problem+json"})
	b = append(b, '{')
	b = r.appendMembers(b, status)
	return f, append(b, "}\n"...)
}

// appendMembers appends the members that all JSON dialects share.
func (r *refusal) appendMembers(b []byte, status int) []byte {
	b = append(b, `"type":`...)
	b = appendJSON(b, r.typeURI())
	b = append(b, `,"title":`...)
	b = appendJSON(b, r.said.Reason.Title)
	b = append(b, `,"status":`...)
	b = strconv.AppendInt(b, int64(status), 10)
	b = append(b, `,"detail":`...)
	b = appendJSON(b, r.said.Detail)
	b = append(b, `,"reason":`...)
	b = appendJSON(b, r.said.Reason.Code)
	b = append(b, `,"gate":`...)
	b = appendJSON(b, r.said.Reason.Gate)
	b = append(b, `,"origin":`...)
	b = appendJSON(b, string(r.origin))
	b = append(b, `,"remedies":[`...)
	for i, remedy := range r.said.Remedies {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendJSON(b, remedy)
	}
	b = append(b, `],"trace":`...)
	return appendJSON(b, r.trace)
}
