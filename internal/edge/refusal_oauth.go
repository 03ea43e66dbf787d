package edge

import (
	"postern/internal/header"
)

// oauth writes a refusal of the token endpoint: the error of RFC 6749 section 5.2, which clients read, and the members of a
// problem, which people do.
func (r *refusal) oauth(f header.List, b []byte, status int) (header.List, []byte) {
	f = append(f, header.Field{Name: "Content-Type", Value: "application/json"}, header.Field{Name: "Pragma", Value: "no-cache"})
	b = append(b, `{"error":"`...)
	b = append(b, oauthError(r.said.Reason.Code, status)...)
	b = append(b, `","error_description":`...)
	b = appendJSON(b, r.said.Detail)
	b = append(b, ',')
	b = r.appendMembers(b, status)
	return f, append(b, "}\n"...)
}

// oauthError is the code of RFC 6749 section 5.2 that comes nearest.
func oauthError(code string, status int) string {
	switch {
	case code == "token.scope_refused":
		return "invalid_scope"
	case code == "token.grant_unsupported":
		return "unsupported_grant_type"
	case status == 401:
		return "invalid_client"
	case status == 403:
		return "unauthorized_client"
	case status == 429 || status >= 500:
		return "temporarily_unavailable"
	}
	return "invalid_request"
}
