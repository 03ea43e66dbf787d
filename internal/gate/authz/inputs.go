package authz

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cedar-policy/cedar-go/types"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/header"
	"postern/internal/pdp"
	"postern/internal/policy"
)

// MaxBody is how much of a body is read for fields that decide. A longer one is refused: what is behind could contradict.
const MaxBody = 1 << 20

// inputs is what the policies of an operation read of a request, worked out when they are compiled.
type inputs struct {
	// of the principal
	application, tenant, user, issuer, method, roles, scopes bool

	attributes []string

	// of the context
	now, clock, address, verb, path, host, scheme bool

	params         []string
	query, headers []string
	body           []bodyInput
	zone           *time.Location

	minute             atomic.Pointer[minute]
	noQuery, noHeaders types.Record // of requests without what is read
}

// minute is context.time as it stays for a minute.
type minute struct {
	unix   int64 // minutes
	record types.Record
}

type bodyInput struct {
	name string
	typ  string
	at   []string
}

func inputsOf(reads *pdp.Mentions, attributes []string, s *Subject, zone *time.Location) *inputs {
	p := func(name string) bool { return reads.Reads("principal." + name) }
	c := func(name string) bool { return reads.Reads("context." + name) }
	in := &inputs{
		application: p("application"), tenant: p("tenant"), user: p("user"), issuer: p("issuer"), method: p("method"),
		roles: p("roles"), scopes: p("scopes"),
		now: c("now"), clock: c("time"), address: c("address"), verb: c("method"), path: c("path"), host: c("host"), scheme: c("scheme"),
		query: reads.Below("context.query"), headers: reads.Below("context.headers"), zone: zone,
	}
	in.noQuery, in.noHeaders = nothing(in.query), nothing(in.headers)
	if p("attributes") {
		in.attributes = attributes
	}
	if c("params") {
		in.params = s.Params
	}
	if c("body") {
		for _, name := range slices.Sorted(maps.Keys(s.Body)) {
			f := s.Body[name]
			in.body = append(in.body, bodyInput{name, f.Type, pointerTokens(f.Pointer)})
		}
	}
	return in
}

// attributesOf is the attributes of the caller that are read.
func (in *inputs) attributesOf(p *gate.Principal) types.Record {
	m := types.RecordMap{}
	set := func(wanted bool, name types.String, v string) {
		if wanted {
			m[name] = types.String(v)
		}
	}
	set(in.application, "application", p.Application.ID)
	set(in.tenant, "tenant", p.Application.Tenant)
	set(in.user, "user", p.Subject)
	set(in.issuer, "issuer", p.Issuer)
	set(in.method, "method", p.Method)
	if in.roles {
		m["roles"] = texts(slices.Concat(p.Application.Roles, p.Roles))
	}
	if in.scopes {
		m["scopes"] = texts(p.Scopes)
	}
	if in.attributes != nil {
		named := types.RecordMap{}
		for _, name := range in.attributes {
			var all []string
			for i := range p.Attributes {
				if p.Attributes[i].Name == name {
					all = append(all, p.Attributes[i].Value)
				}
			}
			named[types.String(name)] = texts(all)
		}
		m["attributes"] = types.NewRecord(named)
	}
	if len(m) == 0 {
		return types.Record{}
	}
	return types.NewRecord(m)
}

func texts(list []string) types.Set {
	values := make([]types.Value, len(list))
	for i, s := range list {
		values[i] = types.String(s)
	}
	return types.NewSet(values...)
}

// context builds what is read of the request. unknown names the parts that are not known. A verdict other than nil ends it.
func (in *inputs) context(ctx context.Context, x *gate.Exchange, rule *decision.Rule) (record types.Record, unknown []string, v *decision.Verdict) {
	m := types.RecordMap{}
	if in.now || in.clock {
		now := x.Env.Now()
		if in.now {
			m["now"] = types.NewDatetime(now)
		}
		if in.clock {
			m["time"] = in.clockAt(now)
		}
	}
	if in.address {
		if x.Client.IsValid() {
			a := x.Client.Unmap().WithZone("")
			m["address"] = types.IPAddr(netip.PrefixFrom(a, a.BitLen()))
		} else {
			unknown = append(unknown, "context.address")
		}
	}
	set := func(wanted bool, name types.String, v string) {
		if wanted {
			m[name] = types.String(v)
		}
	}
	set(in.verb, "method", x.Method)
	set(in.path, "path", x.Path)
	set(in.host, "host", x.Hostname)
	set(in.scheme, "scheme", x.Scheme)
	if in.params != nil {
		params := types.RecordMap{}
		for i := range x.NParams {
			params[types.String(x.Params[i].Name)] = types.String(x.Params[i].Value)
		}
		m["params"] = types.NewRecord(params)
	}
	if in.query != nil {
		if q, ok := in.queryOf(x); ok {
			m["query"] = q
		} else {
			refused := unusable(rule, "the query", "it is not encoded as a query", "name=value, joined by &, with %XX for other characters")
			return record, nil, &refused
		}
	}
	if in.headers != nil {
		fields, known := in.headersOf(x.Header, x.Principal.Field)
		m["headers"] = fields
		if !known {
			unknown = append(unknown, "context.headers")
		}
	}
	if in.body != nil {
		body, known, refused := in.bodyOf(ctx, x, rule)
		if refused != nil {
			return record, nil, refused
		}
		m["body"] = body
		if !known {
			unknown = append(unknown, "context.body")
		}
	}
	if len(m) == 0 {
		return types.Record{}, unknown, nil
	}
	return types.NewRecord(m), unknown, nil
}

// clockAt is the time on the clocks of the zone. Whole minutes are the same everywhere but in zones of a century ago.
func (in *inputs) clockAt(now time.Time) types.Record {
	unix := now.Unix() / 60
	if m := in.minute.Load(); m != nil && m.unix == unix {
		return m.record
	}
	t := now.In(in.zone)
	record := types.NewRecord(types.RecordMap{
		"hour": types.Long(t.Hour()), "minute": types.Long(t.Minute()),
		"weekday": types.String(t.Weekday().String()), "date": types.String(t.Format(time.DateOnly))})
	in.minute.Store(&minute{unix, record})
	return record
}

// nothing is a record in which every name has no value.
func nothing(names []string) types.Record {
	m := types.RecordMap{}
	for _, name := range names {
		m[types.String(name)] = texts(nil)
	}
	return types.NewRecord(m)
}

// queryOf reads the query with every value of a name: whether the upstream takes the first, the last or all is not known. A
// query that cannot be decoded the same way by everybody is no basis to decide by; ";" is such a thing (it once joined too).
func (in *inputs) queryOf(x *gate.Exchange) (types.Record, bool) {
	if x.RawQuery == "" {
		return in.noQuery, true
	}
	all, err := url.ParseQuery(x.RawQuery)
	if err != nil {
		return types.Record{}, false
	}
	m := types.RecordMap{}
	for _, name := range in.query {
		m[types.String(name)] = texts(all[name])
	}
	return types.NewRecord(m), true
}

// headersOf reads fields, but for the one that the credential came in: what policies read is shown when they refuse.
func (in *inputs) headersOf(l header.List, credential string) (record types.Record, known bool) {
	if !slices.ContainsFunc(l, func(f header.Field) bool {
		return slices.ContainsFunc(in.headers, func(name string) bool { return header.EqualFold(f.Name, name) })
	}) {
		return in.noHeaders, true
	}
	m := types.RecordMap{}
	known = true
	for _, name := range in.headers {
		var all []string
		for i := range l {
			if header.EqualFold(l[i].Name, name) && !header.EqualFold(name, credential) {
				known = known && l[i].Value != decision.Redacted // a record keeps some fields out
				all = append(all, l[i].Value)
			}
		}
		m[types.String(name)] = texts(all)
	}
	return types.NewRecord(m), known
}

// bodyOf reads the fields of a JSON body. What is not there, or null, is left out; what is there with another type than
// configured is refused, as a forbid could otherwise be passed by sending a number as text.
func (in *inputs) bodyOf(ctx context.Context, x *gate.Exchange, rule *decision.Rule) (record types.Record, known bool, v *decision.Verdict) {
	at := make([][]string, len(in.body))
	for i := range in.body {
		at[i] = in.body[i].at
	}
	found, known, v := bodyValues(ctx, x, rule, at)
	if v != nil || !known {
		return types.Record{}, known, v
	}
	m := types.RecordMap{}
	for i, f := range found {
		b := &in.body[i]
		if f.kind == absent || f.kind == null {
			continue
		}
		value, ok := typed(f, b.typ)
		if !ok {
			refused := unusable(rule, "the field "+pointerOf(b.at)+" of the body", "it is "+f.kind.String(), wanted[b.typ])
			return record, true, &refused
		}
		m[types.String(b.name)] = value
	}
	return types.NewRecord(m), true, nil
}

var wanted = map[string]string{"": "a string", "string": "a string", "long": "a whole number of at most 64 bits", "bool": "true or false", "strings": "a list of strings"}

func typed(v value, as string) (types.Value, bool) {
	switch {
	case (as == "" || as == "string") && v.kind == text:
		return types.String(v.text), true
	case as == "long" && v.kind == number:
		n, err := strconv.ParseInt(v.text, 10, 64)
		return types.Long(n), err == nil
	case as == "bool" && v.kind == boolean:
		return types.Boolean(v.yes), true
	case as == "strings" && v.kind == strings_:
		return texts(v.list), true
	}
	return nil, false
}

func pointerOf(tokens []string) string {
	var b strings.Builder
	for _, t := range tokens {
		b.WriteString("/" + policy.EscapePointer(t))
	}
	return b.String()
}

// bodyValues reads values out of the body. known is false for a body that is not here.
func bodyValues(ctx context.Context, x *gate.Exchange, rule *decision.Rule, at [][]string) (found []value, known bool, v *decision.Verdict) {
	if x.Body == gate.AbsentBody {
		return nil, false, nil
	}
	limit := int64(MaxBody)
	if x.Op != nil && x.Op.BodyBytes > 0 {
		limit = min(limit, x.Op.BodyBytes)
	}
	body, whole, err := x.Body.Peek(ctx, int(limit))
	if err != nil {
		refused := decision.Refuse(decision.ClientGone, rule)
		if fault, ok := errors.AsType[*gate.BodyError](err); ok {
			refused = fault.Verdict()
		}
		return nil, true, &refused
	}
	if !whole {
		refused := unusable(rule, "the body", "it is longer than is read to decide", "at most "+strconv.FormatInt(limit, 10)+" bytes")
		return nil, true, &refused
	}
	if len(body) == 0 {
		return make([]value, len(at)), true, nil
	}
	found, fault := valuesAt(body, at)
	if fault != "" {
		refused := unusable(rule, "the body", fault, "JSON in which no name stands twice")
		return nil, true, &refused
	}
	return found, true, nil
}

func unusable(rule *decision.Rule, input, got, expected string) decision.Verdict {
	return decision.Refuse(decision.InputUnusable, rule,
		decision.Fact{Name: "input", Want: input, Got: got, Public: decision.ToProven},
		decision.Fact{Name: "expected", Want: expected, Public: decision.ToProven})
}
