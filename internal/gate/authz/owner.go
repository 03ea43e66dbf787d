package authz

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"postern/internal/decision"
	"postern/internal/gate"
)

// Owner lets only the owner of a resource pass. Exactly one source is set.
//
// Whatever is not one plain, non-empty name on both sides is nobody's: a list that has the caller in it among others, an
// object, true, null, a number with a fraction.
type Owner struct {
	Param   string // path parameter that names the owner
	Pointer string // of the body, or of the answer when URL is set (RFC 6901)
	Claim   string // attribute of the caller's credential that names the owner
	URL     string // asked by GET, with {param} for parameters of the path
	Timeout time.Duration
	Cache   time.Duration
	Is      string   // user, application, tenant or attribute:<name>
	Exempt  []string // roles
	Rule    *decision.Rule
}

// check returns nil when the caller is the owner.
func (o *Owner) check(ctx context.Context, x *gate.Exchange, g *attributed) *decision.Verdict {
	if o.exempt(&x.Principal, g.model) {
		return nil
	}
	caller, fault := o.caller(&x.Principal)
	if fault != "" {
		return o.refuse(x, g, "", fault)
	}
	owner, fault, v := o.find(ctx, x)
	switch {
	case v != nil:
		return v
	case fault != "":
		return o.refuse(x, g, fault, caller)
	case owner != caller:
		return o.refuse(x, g, owner, caller)
	}
	return nil
}

func (o *Owner) exempt(p *gate.Principal, m *Model) bool {
	for _, list := range [2][]string{p.Application.Roles, p.Roles} {
		for _, name := range list {
			for _, above := range m.above[name] {
				if slices.Contains(o.Exempt, string(above.ID)) {
					return true
				}
			}
		}
	}
	return false
}

// caller returns what of the caller is compared, or why there is nothing.
func (o *Owner) caller(p *gate.Principal) (name, fault string) {
	switch o.Is {
	case "application":
		name = p.Application.ID
	case "tenant":
		name = p.Application.Tenant
	case "user":
		if name = p.Subject; name == "" {
			return "", "the caller acts for no user"
		}
	default:
		return one(p, strings.TrimPrefix(o.Is, "attribute:"))
	}
	if name == "" {
		return "", "the caller has no " + o.Is
	}
	return name, ""
}

// one returns an attribute that the caller has once.
func one(p *gate.Principal, attribute string) (string, string) {
	value, n := "", 0
	for i := range p.Attributes {
		if p.Attributes[i].Name == attribute {
			value, n = p.Attributes[i].Value, n+1
		}
	}
	switch {
	case n == 0 || n == 1 && value == "":
		return "", "the caller has no attribute " + attribute
	case n > 1:
		return "", "the caller has several values of the attribute " + attribute
	}
	return value, ""
}

// find looks for the owner. fault says why there is none; a verdict ends the check: the owner is not known.
func (o *Owner) find(ctx context.Context, x *gate.Exchange) (owner, fault string, v *decision.Verdict) {
	switch {
	case o.URL != "":
		return o.ask(ctx, x)
	case o.Param != "":
		owner = x.Param(o.Param)
	case o.Claim != "":
		owner, fault = one(&x.Principal, o.Claim)
	default:
		found, known, v := bodyValues(ctx, x, o.Rule, [][]string{pointerTokens(o.Pointer)})
		if v != nil {
			return "", "", v
		}
		if !known {
			abstained := decision.Abstain(decision.NotOwner, o.Rule, decision.Fact{
				Name: "body", Want: "the JSON body, which names the owner at " + o.Pointer, Public: decision.ToProven})
			return "", "", &abstained
		}
		owner, fault = nameOf(found[0])
	}
	if owner == "" && fault == "" {
		fault = "no owner is named"
	}
	return owner, fault, nil
}

// nameOf takes a JSON value for a name: a string, or a whole number as it is written.
func nameOf(v value) (name, fault string) {
	switch {
	case v.kind == text && v.text != "":
		return v.text, ""
	case v.kind == number && strings.Trim(v.text, "0123456789") == "":
		return v.text, ""
	case v.kind == absent || v.kind == null || v.kind == text:
		return "", "no owner is named"
	}
	return "", "the owner is " + v.kind.String() + ", not one name"
}

func (o *Owner) ask(ctx context.Context, x *gate.Exchange) (owner, fault string, v *decision.Verdict) {
	address, ok := fill(o.URL, x)
	if !ok {
		return "", "the path names no resource that could have an owner", nil
	}
	said, v := ask(ctx, x, &gate.Question{Method: "GET", URL: address, Timeout: o.Timeout, Remember: o.Cache}, decision.NotOwner, o.Rule,
		"the owner of the resource, which "+hostOf(o.URL)+" knows")
	if v != nil {
		return "", "", v
	}
	switch said.Status {
	case 200:
	case 404, 410:
		return "", hostOf(o.URL) + " knows no such resource", nil
	default:
		return "", "", unavailable(x, o.Rule, hostOf(o.URL), "it answered with status "+itoa(said.Status))
	}
	found, fault := valuesAt(said.Body, [][]string{pointerTokens(o.Pointer)})
	if fault != "" {
		return "", "", unavailable(x, o.Rule, hostOf(o.URL), "its answer cannot be used: "+fault)
	}
	owner, fault = nameOf(found[0])
	return owner, fault, nil
}

// fill puts parameters of the path into an address. A parameter can be nothing but one segment, or one value of the query.
func fill(address string, x *gate.Exchange) (string, bool) {
	var b strings.Builder
	for {
		before, after, ok := strings.Cut(address, "{")
		b.WriteString(before)
		if !ok {
			return b.String(), true
		}
		name, rest, _ := strings.Cut(after, "}")
		v := x.Param(name)
		if v == "" || v == "." || v == ".." {
			return "", false
		}
		b.WriteString(strings.ReplaceAll(url.QueryEscape(v), "+", "%20"))
		address = rest
	}
}

func (o *Owner) refuse(x *gate.Exchange, g *attributed, owner, caller string) *decision.Verdict {
	is := o.Is
	v := decision.Refuse(decision.NotOwner, o.Rule, append(g.who(x),
		decision.Fact{Name: "owner", Want: strings.Clone(owner), Got: strings.Clone(caller)},
		decision.Fact{Name: "compared", Want: is},
		decision.Fact{Name: "exempt", Want: strings.Join(o.Exempt, ", ")})...)
	return &v
}

// retryAfter is when a caller may try again after an outage.
const retryAfter = 5 * time.Second

// ask asks another system. A verdict other than nil says that the answer is not known: an outage, or, where nothing may be
// sent, that input.
func ask(ctx context.Context, x *gate.Exchange, q *gate.Question, reason *decision.Reason, rule *decision.Rule, what string) (gate.Said, *decision.Verdict) {
	host := hostOf(q.URL)
	if x.Env.Asker == nil {
		if x.Env.Dry {
			v := decision.Abstain(reason, rule, decision.Fact{Name: "answer", Want: what, Public: decision.ToProven})
			return gate.Said{}, &v
		}
		return gate.Said{}, unavailable(x, rule, host, "there is no way to ask it")
	}
	q.Remembered = x.Env.Dry
	said, err := x.Env.Asker.Ask(ctx, q)
	switch {
	case err == nil:
		return said, nil
	case x.Env.Dry && errors.Is(err, gate.ErrNotRemembered):
		v := decision.Abstain(reason, rule, decision.Fact{Name: "answer", Want: what, Public: decision.ToProven})
		return gate.Said{}, &v
	case ctx.Err() != nil && errors.Is(ctx.Err(), context.Canceled):
		v := decision.Refuse(decision.ClientGone, rule)
		return gate.Said{}, &v
	}
	return gate.Said{}, unavailable(x, rule, host, err.Error())
}

func unavailable(x *gate.Exchange, rule *decision.Rule, dependency, fault string) *decision.Verdict {
	x.RetryAfter = retryAfter
	v := decision.Refuse(decision.AuthzUnavailable, rule, decision.Fact{Name: "dependency", Want: dependency, Got: fault})
	return &v
}

// hostOf names the system behind an address, without what a caller put into it.
func hostOf(address string) string {
	if _, rest, ok := strings.Cut(address, "://"); ok {
		host, _, _ := strings.Cut(rest, "/")
		host, _, _ = strings.Cut(host, "?")
		return host
	}
	return "another system"
}
