package lab

import (
	"slices"
	"strings"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/policy"
	"postern/internal/snapshot"
)

// proposal is how candidates for one reason are found. Every reason of the catalogue has either, and a test sees to it.
type proposal struct {
	find   func(*question) []Change
	whyNot string // why there can be no candidate, or why there may be none
}

// proposals holds what could be changed for each reason: the gate knows what is missing and says so in its facts, the lab
// knows how it can be had. A wrong proposal does no harm: it is not verified.
var proposals = map[string]proposal{}

func init() {
	for _, table := range []map[string]proposal{
		requestProposals, addressProposals, credentialProposals, accountProposals, subscriptionProposals, permissionProposals,
		limitProposals, originProposals, modelProposals, upstreamProposals, noProposals,
	} {
		for code, p := range table {
			proposals[code] = p
		}
	}
}

// question is one refusal in one world.
type question struct {
	s *search
	w *world
	a *asked
	v decision.Verdict
}

// propose returns candidates for the first refusal.
func (s *search) propose(w *world, a *asked) []Change {
	if len(a.refusals) == 0 || w == nil {
		return nil
	}
	return s.proposeFor(w, a, a.refusals[0].Verdict)
}

func (s *search) proposeFor(w *world, a *asked, v decision.Verdict) []Change {
	p := proposals[v.Reason().Code]
	if p.find == nil {
		return nil
	}
	out := p.find(&question{s, w, a, v})
	for i := range out {
		out[i].reason = v.Reason()
		if out[i].size == 0 {
			out[i].size = 1
		}
	}
	return out
}

// want and got return a fact of the refusal.
func (q *question) want(name string) string { w, _ := q.fact(name); return w }

func (q *question) fact(name string) (want, got string) {
	for _, f := range q.v.Facts() {
		if f.Name == name {
			return f.Want, f.Got
		}
	}
	return "", ""
}

func (q *question) pointer() string {
	if r := q.v.Rule(); r != nil {
		return r.Pointer
	}
	return ""
}

// principal is who calls, as far as authn found out.
func (q *question) principal() *gate.Principal { return &q.a.x.Principal }

// operation returns where the operation stands in the document.
func (q *question) operation() (place, bool) {
	if q.a.x.Op == nil {
		return place{}, false
	}
	return placeOf(q.a.x.Op.Pointer)
}

// listed returns the operation as the snapshot lists it.
func (q *question) listed() (snapshot.Operation, bool) {
	i := slices.IndexFunc(q.a.snap.Operations(), func(o snapshot.Operation) bool { return o.Operation == q.a.x.Op })
	if i < 0 {
		return snapshot.Operation{}, false
	}
	return q.a.snap.Operations()[i], true
}

// holders counts the applications with a role; 0 when that is not known.
func (q *question) holders(role string) int {
	n, known := q.s.holders[role]
	if known || q.s.p.Holders == nil {
		return n
	}
	n, err := q.s.p.Holders(q.s.ctx, role)
	if err != nil {
		n = 0
	}
	q.s.holders[role] = n
	return n
}

const (
	byCaller   = "caller"
	byOwner    = "owner"
	byOperator = "operator"
)

// credentialField is the header field in which an operation reads API keys.
func credentialField(doc *policy.Document, op *gate.Operation) string {
	const usual = "X-API-Key"
	p, ok := placeOf(op.Pointer)
	if !ok || doc == nil {
		return usual
	}
	for _, at := range []string{p.pointer, p.versionPointer()} {
		if a, ok := valueAt[policy.Authn](doc, at+"/authn"); ok {
			if a.APIKey != nil && a.APIKey.Header != "" {
				return a.APIKey.Header
			}
			return usual
		}
	}
	return usual
}

// words joins names for a sentence.
func words(names []string) string {
	switch n := len(names); n {
	case 0:
		return ""
	case 1:
		return names[0]
	default:
		return strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	}
}

// noProposals are reasons for which nothing can be tried.
var noProposals = map[string]proposal{
	decision.RequestTimeout.Code:      {whyNot: "how slowly a request arrives is not part of it; send it without pausing"},
	decision.Misdirected.Code:         {whyNot: "the TLS server name belongs to the connection, which is not part of the request"},
	"authz.not_permitted":             {whyNot: "what the policy asks for stands in its conditions; the facts name those that did not hold"},
	"authz.input_unusable":            {whyNot: "the input that a policy needs could not be read; what it should say is known to whoever sent it"},
	decision.SchemaMediaType.Code:     {whyNot: "what the body is in truth is known to the caller only"},
	decision.SchemaBody.Code:          {whyNot: "what the body was meant to say is known to the caller only; the facts name the place and the rule"},
	decision.SchemaParameter.Code:     {whyNot: "what the parameter was meant to be is known to the caller only; the facts name it and the rule"},
	decision.AuthnUnavailable.Code:    {whyNot: "what the directory or the issuer would answer is not known while it does not answer"},
	decision.AccountUnavailable.Code:  {whyNot: "what the directory would answer is not known while it does not answer"},
	decision.AuthzUnavailable.Code:    {whyNot: "what the dependency would answer is not known while it does not answer"},
	decision.WAFBlocked.Code:          {whyNot: "whether the rules that matched are wrong about this request is for a person to judge; the facts name them"},
	decision.WAFUninspected.Code:      {whyNot: "what may be left uninspected is for the operator to judge; the facts name the setting"},
	decision.WAFUnavailable.Code:      {whyNot: "what the firewall would find is not known when it fails"},
	decision.UpstreamUnreachable.Code: {whyNot: "it happened on the way to the backend, and nothing is sent to find out"},
	decision.UpstreamBadAnswer.Code:   {whyNot: "it is about the backend's answer, and nothing is sent to get another"},
	decision.UpstreamTimeout.Code:     {whyNot: "it happened on the way to the backend, and nothing is sent to find out"},
	decision.UpstreamTLS.Code:         {whyNot: "it happened on the way to the backend, and nothing is sent to find out"},
	decision.UpstreamDNS.Code:         {whyNot: "it happened on the way to the backend, and nothing is sent to find out"},
	decision.UpstreamRefused.Code:     {whyNot: "the backend itself refused, by rules that are not known here"},
	decision.ClientGone.Code:          {whyNot: "the caller went away before there was an answer"},
	decision.PolicyRefused.Code:       {whyNot: "it stands for a reason that is not told"},
	decision.Unexplained.Code:         {whyNot: "a defect of the gateway is mended in its code"},
	decision.GatewayFault.Code:        {whyNot: "a defect of the gateway is mended in its code"},
}
