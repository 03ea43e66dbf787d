package diagnose

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"postern/internal/fingerprint"
)

// most is how many causes a report names.
const most = 5

// conclude turns the board into a verdict.
func (c *theCase) conclude() {
	r := c.report
	if c.counted {
		switch {
		case len(r.Causes) > 0:
			r.Verdict = Refused
		case c.refusals > 0:
			r.Verdict, r.Causes = CannotTell, []Cause{}
			r.Needs = append(r.Needs, "the error log beside the access log: a status alone names no cause")
		default:
			r.Verdict, r.Causes = Allowed, []Cause{}
		}
		return
	}
	if c.allowed() {
		r.Verdict = Allowed
		r.Causes = []Cause{{ID: "none", Layer: "backend", Title: title("none"), Confidence: 0.95, Caller: "Nothing to do: the answer is no refusal.", Operator: "Nothing to do."}}
		c.step("verdict", OK, "nothing is refused")
		return
	}
	list := c.board.rank()
	for _, h := range list {
		if len(r.Causes) == most || len(r.Causes) > 0 && h.share < 0.01 {
			break
		}
		if h.sum() <= 0 && len(r.Causes) > 1 {
			continue
		}
		k, _ := fingerprint.CauseOf(h.cause)
		out := Cause{ID: h.cause, Title: k.Title, Layer: c.layer(h, k), Confidence: math.Round(h.share*100) / 100, Caller: k.Caller, Operator: k.Operator}
		facts := slices.Clone(h.facts)
		slices.SortStableFunc(facts, func(a, b Evidence) int { return cmp.Compare(math.Abs(b.Weight), math.Abs(a.Weight)) })
		for _, f := range facts {
			switch {
			case f.Weight > 0 && len(out.For) < 6:
				out.For = append(out.For, f)
			case f.Weight < 0 && len(out.Against) < 4:
				out.Against = append(out.Against, f)
			}
		}
		r.Causes = append(r.Causes, out)
	}
	c.verdict()
}

func (c *theCase) verdict() {
	r := c.report
	refused := refusing(c.status) || c.status >= 300 && c.status < 400 || c.in.Answer != nil
	top, strongest := 0.0, 0.0
	if len(r.Causes) > 0 {
		top = r.Causes[0].Confidence
		for _, e := range r.Causes[0].For {
			strongest = max(strongest, e.Weight)
		}
	}
	switch {
	case top >= enough && (refused || len(r.LogLines) > 0),
		top >= 0.6 && strongest >= 3: // no refusal was seen, but a fault that would bring one about

		r.Verdict = Refused
	default:
		r.Verdict = CannotTell
	}
	if r.Causes == nil {
		r.Causes = []Cause{}
	}
	c.tellApart()
	if r.Verdict == CannotTell || top < 0.6 {
		c.needs()
	}
	text := r.Verdict
	if len(r.Causes) > 0 {
		text += ": " + r.Causes[0].Title
	}
	c.step("verdict", Info, text)
}

// allowed reports whether the answer refuses nothing.
func (c *theCase) allowed() bool {
	if c.status < 200 || c.status >= 300 {
		return false
	}
	for _, h := range c.board { // a page cannot read the answer, or a challenge stands in its place
		if h.groups["cors"] >= 3 || h.groups["words"] >= 2.4 {
			return false
		}
	}
	return true
}

// layer says which layer decided: what the evidence names, else what the cause and the server make of it.
func (c *theCase) layer(h ranked, k fingerprint.Cause) string {
	best, weight := k.Layer, 1.9
	for l, w := range h.layers {
		if w > weight || w == weight && l < best {
			best, weight = l, w
		}
	}
	web := slices.Contains([]string{"nginx", "apache", "openresty", "caddy", "litespeed", "lighttpd"}, c.family)
	switch {
	case c.ownPage && web && !slices.Contains([]string{"backend", "waf", "tls", "dns", "cors", "app-server", "proxy"}, best):
		return "web-server" // whatever the rule is about, the server itself carried it out
	case best != k.Layer:
		return best
	case best == "web-server" && (c.family == "haproxy" || c.family == "squid"):
		return "proxy"
	case c.family == "caddy" && slices.Contains([]string{"ip_denied", "server_config_deny", "bot_ua_block", "server_method_limit"}, k.ID):
		return "proxy"
	case slices.Contains([]string{"credential_missing", "credential_invalid", "key_disabled"}, k.ID) && c.behind:
		return "gateway"
	case best == "auth" && c.behind && slices.Contains([]string{"account_suspended", "role_insufficient", "quota_exceeded"}, k.ID):
		return "backend"
	case best == "auth" && c.appServer() && !strings.HasPrefix(k.ID, "token_"):
		return "backend"
	}
	return best
}

// appServer reports whether an application's own server signed the answer.
func (c *theCase) appServer() bool {
	if c.in.Answer == nil {
		return false
	}
	server := strings.ToLower(c.in.Answer.Header.Get("Server"))
	return c.in.Answer.Header.Has("X-Powered-By") || containsAny(server, "gunicorn", "werkzeug", "uvicorn", "kestrel", "puma", "jetty", "tomcat", "waitress", "hypercorn", "wsgi", "cowboy")
}

// apart says what would tell two causes apart.
var apart = map[string]string{
	"server_config_deny":       "ask for the same path with GET and another User-Agent: a rule for the place refuses all of them",
	"ip_denied":                "send the request from another address, or compare the client address in the server's log with its lists",
	"server_method_limit":      "GET the same path: if only the method decides, it answers",
	"bot_ua_block":             "send the same with another User-Agent",
	"referer_rejected":         "send the same without Referer",
	"origin_rejected":          "send the same without Origin",
	"cors_preflight":           "send the request itself without Origin, from a program that is no browser",
	"waf_rule":                 "send a harmless body of the same shape: a firewall lets it pass",
	"credential_missing":       "send the same without and with the credential, and compare",
	"credential_invalid":       "send the same with an invented credential: the same answer means that yours is as unknown",
	"role_insufficient":        "send the same without the credential: 401 then means that yours is known and lacks rights; try another operation with it",
	"scope_insufficient":       "decode the token and compare its scopes with what the operation needs",
	"token_revoked":            "only the issuer's or the application's store knows: introspect the token (RFC 7662), or sign in again",
	"token_expired":            "decode the token and compare exp with the clock",
	"csrf_missing":             "fetch a page first, and send its cookie and token with the request",
	"csrf_invalid":             "fetch a fresh token and its cookie, and send both",
	"rate_limited":             "wait out the window, then send one request",
	"quota_exceeded":           "look at the usage of this period",
	"host_not_served":          "ask the same address with another Host",
	"client_cert_missing":      "see whether the TLS handshake asks for a client certificate (openssl s_client)",
	"tls_required":             "ask the same over https",
	"server_file_permission":   "ask for a neighbouring name that does not exist: 404 means that only the file is closed",
	"server_directory_listing": "ask for a name below the directory: 404 means that only the listing is closed",
	"credential_stripped":      "send to the last address of the redirects, with the credential in Authorization",
	"method_changed":           "look at the first answer: a redirect 301, 302 or 303 turns POST into GET",
	"backend_policy":           "look whether the proxy's log names an upstream status, or ask the backend directly",
	"gateway_policy":           "look for the rule in the gateway's log by time and request id",
	"proxy_in_between":         "send without the proxy",
}

func (c *theCase) tellApart() {
	r := c.report
	if len(r.Causes) < 2 || r.Causes[0].Confidence >= 0.85 {
		return
	}
	for _, k := range r.Causes[:2] {
		if text := apart[k.ID]; text != "" {
			r.TellApart = append(r.TellApart, k.Title+": "+text)
		}
	}
}

// needs says what input would help most.
func (c *theCase) needs() {
	r := c.report
	if c.in.Request == nil {
		r.Needs = append(r.Needs, "the request (a curl command, a HAR file)")
	}
	if c.in.Answer == nil && c.status == 0 {
		r.Needs = append(r.Needs, "the answer: --response FILE with what curl -i prints")
	} else if c.in.Answer != nil && c.in.Answer.Status == 0 {
		r.Needs = append(r.Needs, "the whole answer, with its status and header fields")
	}
	if len(c.in.Logs) == 0 {
		what := "the log of the server that answered: --logs FILE"
		if c.report.AnsweredBy != nil && c.report.AnsweredBy.Sure > 0.5 {
			what = "the error log of " + strings.TrimSpace(c.report.AnsweredBy.System) + ": --logs FILE"
		}
		r.Needs = append(r.Needs, what)
	}
	if r.Probes == nil && c.in.Request != nil {
		r.Needs = append(r.Needs, "leave to ask the server: --probe (--plan shows what would be sent)")
	}
}
