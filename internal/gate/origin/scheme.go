package origin

import (
	"strings"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/header"
)

// schemeFacts explains a request that comes from the API's own host under another scheme. Nearly always TLS ends in front of
// the gateway, and what the proxy there says of the scheme is missing or not believed.
func schemeFacts(x *gate.Exchange, from tuple) []decision.Fact {
	peer := "the proxy in front"
	if x.Peer.IsValid() {
		peer += ", " + x.Peer.Addr().Unmap().String() + ","
	}
	field, scheme := forwardedScheme(x.Header)
	facts := []decision.Fact{{Name: "why", Public: decision.ToAnyone, Want: "the host is the same, but the request counts as " + x.Scheme + " and not as " + from.scheme}}
	switch {
	case from.scheme != "https" || x.Scheme != "http":
		return facts
	case field == "":
		return append(facts, decision.Fact{Name: "forwarded", Want: "X-Forwarded-Proto: https from a trusted proxy", Got: "no forwarded scheme"},
			decision.Fact{Name: "fix", Want: "If TLS ends in front of the gateway, let " + peer + " send `X-Forwarded-Proto: https`, and list its address in `trusted_proxies`"})
	case scheme == "http":
		return append(facts, decision.Fact{Name: "forwarded", Want: "https", Got: field + " says http"},
			decision.Fact{Name: "fix", Want: "Let " + peer + " forward the scheme that the caller used: its " + field + " says http"})
	}
	return append(facts, decision.Fact{Name: "forwarded", Want: x.Scheme, Got: field + " says " + scheme + ", and is not believed"},
		decision.Fact{Name: "fix", Want: "List " + peer + " in `trusted_proxies`: its " + field + " says " + scheme + ", and is not believed (`forwarded_by` names the field that is)"})
}

// forwardedScheme returns the first forwarding field that names a scheme, and the scheme nearest to the gateway. It is for
// explanations only: what is believed was decided before (gate/ip).
func forwardedScheme(l header.List) (field, scheme string) {
	for i := range l {
		switch {
		case header.EqualFold(l[i].Name, "X-Forwarded-Proto"):
			v := l[i].Value
			return "X-Forwarded-Proto", known(strings.ToLower(strings.TrimSpace(v[strings.LastIndexByte(v, ',')+1:])))
		case header.EqualFold(l[i].Name, "Forwarded"):
			v := strings.ToLower(l[i].Value)
			if at := strings.LastIndex(v, "proto="); at >= 0 {
				v = v[at+len("proto="):]
				if end := strings.IndexAny(v, ";, "); end >= 0 {
					v = v[:end]
				}
				return "Forwarded", known(strings.Trim(v, `"`))
			}
		}
	}
	return "", ""
}

func known(scheme string) string {
	if scheme == "http" || scheme == "https" {
		return scheme
	}
	return "something else"
}
