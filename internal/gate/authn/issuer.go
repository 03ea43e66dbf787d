package authn

import (
	"context"
	"slices"
	"strings"
	"time"

	"postern/internal/decision"
	"postern/internal/directory"
	"postern/internal/gate"
	"postern/internal/jose"
	"postern/internal/policy"
)

const keyPrefix = directory.KeyPrefix

// IssuerConfig says which tokens of an issuer are accepted, and what their claims mean.
type IssuerConfig struct {
	Issuer      string
	Source      gate.KeySource
	Algorithms  []string // pinned; asymmetric ones only
	Audience    []string // one of them is needed
	AnyAudience bool
	Types       []string // accepted typ values, "" for none
	Skew        time.Duration
	MaxAge      time.Duration // since iat; 0: not asked
	Required    []RequiredClaim
	Claims      ClaimMap
	Method      string // of the principal; default jwt
}

// RequiredClaim is a claim that must be there and have, if any are listed, one of the values.
type RequiredClaim struct {
	Name   string
	Values []string
}

// ClaimMap says what claims mean. A claim is a name, or a path of names joined by dots.
type ClaimMap struct {
	Application  []string          // the first of these that is there names the application
	Applications map[string]string // what it says, to the application meant; nil: it is the application's id
	Fixed        string            // every token is of this application
	User         string
	Scopes       []string
	Roles        string            // empty: no role comes from a token
	RoleMap      map[string]string // what the claim says, to a role of the document; others are passed over
	Attributes   []Attribute
}

// Attribute is an attribute of the principal and the claim it comes from.
type Attribute struct{ Name, Claim string }

// Issuer is a compiled issuer with the memory of the tokens it has verified. Operations share it.
type Issuer struct {
	c      IssuerConfig
	method string
	cache  cache
}

// NewIssuer compiles an issuer.
func NewIssuer(c IssuerConfig) *Issuer {
	i := &Issuer{c: c, method: c.Method}
	if i.method == "" {
		i.method = "jwt"
	}
	return i
}

func (i *Issuer) accepts(alg string) bool {
	return jose.IsAsymmetric(alg) && slices.Contains(i.c.Algorithms, alg)
}

func (i *Issuer) keys(ctx context.Context, x *gate.Exchange, missing string) (*jose.Set, error) {
	if x.Env.KeySets == nil {
		return nil, gate.ErrKeysNotFetched
	}
	return x.Env.KeySets.Keys(ctx, &i.c.Source, missing, x.Env.Dry)
}

// origin says where the keys come from.
func (i *Issuer) origin() string {
	s := &i.c.Source
	for _, o := range [...]string{s.URL, s.File, s.Discovery} {
		if o != "" {
			return o
		}
	}
	return "this gateway"
}

// verified is what a good token says. It is shared by requests and never changes, but for the set, see Check.
type verified struct {
	application, subject string
	scopes, roles        []string
	attributes           []gate.Attribute
	expires, notBefore   time.Time
	set                  *jose.Set
	key                  [32]byte // thumbprint of the key that signed it

	// Of an introspected token: when the answer is asked for again, that it is not active, or what is wrong with it.
	until    time.Time
	inactive bool
	fault    *fault
}

// fault is a claim that does not let the token pass.
type fault struct {
	reason *decision.Reason
	facts  []decision.Fact
}

// read takes from the claims what the configuration maps, and checks what does not depend on the time. Every claim that is
// wrong is among the facts: the first gives the reason, the others are added as "also".
func (i *Issuer) read(t *jose.Token, c jose.Claims) (*verified, *fault) {
	v := &verified{}
	var first *fault
	note := func(r *decision.Reason, facts ...decision.Fact) {
		if first == nil {
			first = &fault{r, facts}
			return
		}
		first.facts = append(first.facts, decision.Fact{Name: "also", Want: r.Code, Got: facts[0].Name + " " + facts[0].Want + ": " + facts[0].Got, Public: decision.ToProven})
	}
	claim := func(name, need, got string) {
		note(decision.TokenClaim, decision.Fact{Name: "claim", Want: name, Got: got, Public: decision.ToProven},
			decision.Fact{Name: "need", Want: need, Public: decision.ToProven})
	}
	if !slices.ContainsFunc(i.c.Types, func(typ string) bool { return mediaType(typ) == mediaType(t.Type) }) {
		claim("typ", "one of "+quoted(i.c.Types), or(clip(t.Type), "missing"))
	}
	i.times(v, c, claim)
	if !i.c.AnyAudience {
		if aud := c.Texts("aud"); !slices.ContainsFunc(aud, func(a string) bool { return slices.Contains(i.c.Audience, a) }) {
			note(decision.TokenAudience, decision.Fact{Name: "audience", Want: strings.Join(i.c.Audience, ", "),
				Got: or(clip(strings.Join(aud, ", ")), "nobody (no aud claim)"), Public: decision.ToProven})
		}
	}
	for _, r := range i.c.Required {
		got := c.Texts(r.Name)
		switch {
		case !c.Has(r.Name):
			claim(r.Name, or(strings.Join(r.Values, " or "), "present"), "missing")
		case len(r.Values) > 0 && !slices.ContainsFunc(got, func(g string) bool { return slices.Contains(r.Values, g) }):
			claim(r.Name, strings.Join(r.Values, " or "), "'"+clip(strings.Join(got, " "))+"'")
		}
	}
	i.identify(v, c, claim)
	return v, first
}

// times reads exp, nbf and iat. A token without an end is not accepted: it could never be taken back.
func (i *Issuer) times(v *verified, c jose.Claims, claim func(name, need, got string)) {
	for _, f := range [...]string{"exp", "nbf", "iat"} {
		at, there, ok := c.Time(f)
		switch {
		case there && !ok:
			claim(f, "a number of seconds since 1970", "of another form")
		case !there && (f == "exp" || f == "iat" && i.c.MaxAge > 0):
			claim(f, "present", "missing")
		case !there:
		case f == "exp":
			v.expires = at
		case f == "iat" && i.c.MaxAge > 0 && at.Add(i.c.MaxAge).Before(v.expires):
			v.expires = at.Add(i.c.MaxAge)
			fallthrough
		default:
			if at.After(v.notBefore) {
				v.notBefore = at
			}
		}
	}
}

// identify finds application, user, scopes, roles and attributes.
func (i *Issuer) identify(v *verified, c jose.Claims, claim func(name, need, got string)) {
	m := &i.c.Claims
	if m.User != "" {
		v.subject = c.Text(m.User)
	}
	v.application = m.Fixed
	if m.Fixed == "" {
		said := ""
		for _, name := range m.Application {
			if said = c.Text(name); said != "" {
				break
			}
		}
		v.application = said
		if m.Applications != nil && said != "" {
			if v.application = m.Applications[said]; v.application == "" {
				v.application = said // an unknown one: the directory says so
			}
		}
		if said == "" {
			claim(strings.Join(m.Application, " or "), "the id of an application", "missing")
		}
	}
	v.scopes = []string{}
	for _, name := range m.Scopes {
		if words := c.Words(name); len(words) > 0 {
			v.scopes = words
			break
		}
	}
	if m.Roles != "" {
		for _, r := range c.Words(m.Roles) {
			if role := m.RoleMap[r]; role != "" && !slices.Contains(v.roles, role) {
				v.roles = append(v.roles, role)
			}
		}
	}
	for _, a := range m.Attributes {
		if c.Has(a.Claim) {
			v.attributes = append(v.attributes, gate.Attribute{Name: a.Name, Value: strings.Join(c.Texts(a.Claim), " ")})
		}
	}
}

// late checks the times of a token against the clock, both ways with the allowed skew.
func (v *verified) late(i *Issuer, now time.Time) *fault {
	clock := func() string { return "our clock, with " + policy.Duration(i.c.Skew).String() + " allowed" }
	switch {
	case !now.Before(v.expires.Add(i.c.Skew)):
		return &fault{decision.TokenExpired, []decision.Fact{
			{Name: "expires", Want: stamp(v.expires), Got: stamp(now), Public: decision.ToProven},
			{Name: "ago", Want: span(now.Sub(v.expires)), Got: clock(), Public: decision.ToProven}}}
	case now.Add(i.c.Skew).Before(v.notBefore):
		return &fault{decision.TokenNotYetValid, []decision.Fact{
			{Name: "nbf", Want: stamp(v.notBefore), Got: stamp(now), Public: decision.ToProven},
			{Name: "ahead", Want: span(v.notBefore.Sub(now)), Got: clock(), Public: decision.ToProven}}}
	}
	return nil
}

// span words a length of time.
func span(d time.Duration) string {
	if d >= time.Minute {
		return policy.Duration(d.Round(time.Second)).String()
	}
	return d.Round(time.Millisecond).String()
}

// mediaType is a typ value the way RFC 7515 section 4.1.9 compares it: without case, and without "application/".
func mediaType(s string) string {
	return strings.TrimPrefix(strings.ToLower(s), "application/")
}

func quoted(list []string) string {
	var out []string
	for _, s := range list {
		out = append(out, or(s, "none"))
	}
	return strings.Join(out, ", ")
}
