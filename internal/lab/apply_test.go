package lab_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"postern/internal/directory"
	"postern/internal/gate"
	"postern/internal/gatetest"
	"postern/internal/header"
	"postern/internal/lab"
	"postern/internal/policy"
)

// make carries a change out for real, from what the change says and from nothing else: to the document, the rows, the
// request or the clock of a life. That the lab's own copies behave alike is what the property test is about.
func (l *life) make(t testing.TB, c lab.Change) {
	t.Helper()
	name := func() string { _, n, _ := strings.Cut(c.Target, " "); return n }
	p := l.people
	application := func(id string, fn func(*directory.Application)) {
		a := p.Applications[id]
		fn(&a)
		p.Applications[id] = a
	}
	key := func(fn func(*directory.Key)) {
		for h, k := range p.Keys {
			if k.ID == name() {
				fn(&k)
				p.Keys[h] = k
			}
		}
	}
	subscription := func(fn func(*directory.Subscription)) {
		for k, s := range p.Subscriptions {
			if s.ID == name() {
				fn(&s)
				p.Subscriptions[k] = s
			}
		}
	}
	// send replaces whatever credential the request has.
	send := func(field, text string) {
		l.drop("Authorization")
		if header.EqualFold(field, "Authorization") {
			text = "Bearer " + text
		}
		l.set(field, text)
	}
	newKey := func(k directory.Key) {
		text := gatetest.MakeKey(77)
		p.AddKey(text, k)
		send(l.field(), text)
	}
	node := func(pointer string) (parent string, last string) {
		i := strings.LastIndexByte(pointer, '/')
		return pointer[:i], pointer[i+1:]
	}
	switch c.Kind {
	case "grant_role":
		application(name(), func(a *directory.Application) { a.Roles = append(slices.Clone(a.Roles), c.To) })
	case "create_role":
		role, permission, _ := strings.Cut(c.To, ": ")
		l.doc.Roles[role] = policy.Role{Permissions: []string{permission}}
		application(name(), func(a *directory.Application) { a.Roles = append(slices.Clone(a.Roles), role) })
	case "widen_role":
		role := strings.Split(c.Target, "/")[2]
		r := l.doc.Roles[role]
		r.Permissions = append(r.Permissions, c.To)
		l.doc.Roles[role] = r
	case "add_scope":
		key(func(k *directory.Key) { k.Scopes = append(slices.Clone(k.Scopes), strings.Fields(c.To)...) })
	case "extend_key":
		key(func(k *directory.Key) { k.Expires = time.Time{} })
	case "rotate_key", "create_key":
		k := p.Keys[directory.HashKey(keyText)]
		fresh := directory.Key{ID: "k_new", Application: k.Application, Scopes: k.Scopes}
		if _, scopes, ok := strings.Cut(c.To, "with the scope "); ok {
			fresh.Scopes = append(slices.Clone(fresh.Scopes), strings.Fields(scopes)...)
		}
		newKey(fresh)
	case "use_key":
		send(l.field(), spareText)
	case "move_credential":
		l.req.Header = slices.DeleteFunc(l.req.Header, func(f header.Field) bool { return strings.Contains(f.Value, keyText) })
		l.req.URL = strings.NewReplacer("?api_key="+keyText, "").Replace(l.req.URL)
		field := strings.TrimPrefix(c.Target, "header ")
		if header.EqualFold(field, "Authorization") {
			l.set(field, "Bearer "+keyText)
		} else {
			l.set(field, keyText)
		}
	case "send_credential":
		l.makeNewcomer(t, c)
		text := gatetest.MakeKey(78)
		p.AddKey(text, directory.Key{ID: "k_new", Application: "some-application", Scopes: strings.Fields(strings.NewReplacer(",", "", " and ", " ").Replace(after(c.To, "other scopes than ")))})
		send(strings.TrimPrefix(c.Target, "header "), text)
	case "make_public":
		op := at[policy.Operation](t, l.doc, strings.TrimSuffix(c.Target, "/authn"))
		op.Authn, op.Permission, op.Scopes = &policy.Authn{None: true}, "", nil
	case "remove_header":
		l.drop(strings.TrimPrefix(c.Target, "header "))
	case "set_header":
		l.set(strings.TrimPrefix(c.Target, "header "), c.To)
	case "resume_tenant":
		tenant := p.Tenants[name()]
		tenant.Standing = directory.Active
		p.Tenants[name()] = tenant
	case "resume_application":
		application(name(), func(a *directory.Application) { a.Standing = directory.Active })
	case "approve_subscription", "resume_subscription":
		subscription(func(s *directory.Subscription) { s.State = directory.Approved })
	case "extend_subscription":
		subscription(func(s *directory.Subscription) { s.Expires = time.Time{} })
	case "change_plan":
		subscription(func(s *directory.Subscription) { s.Plan = c.To })
	case "create_subscription":
		api, version, _ := strings.Cut(c.To, " ")
		for k := range p.Subscriptions { // a revoked one is deleted
			if k[0] == name() && k[1] == api {
				delete(p.Subscriptions, k)
			}
		}
		p.Subscriptions[[3]string{name(), api, version}] = directory.Subscription{ID: "s_fresh", Application: name(), API: api, Version: version, State: directory.Approved}
	case "wait":
		d, err := time.ParseDuration(c.To)
		if err != nil {
			t.Fatalf("wait %q: %v", c.To, err)
		}
		l.now = l.now.Add(d)
	case "restore_upstream", "provide_credential":
		l.upstreams[name()] = gate.UpstreamState{Targets: 1, Healthy: 1}
	case "raise_limit":
		lim := at[policy.Limit](t, l.doc, c.Target)
		if burst, ok := strings.CutPrefix(c.To, "burst "); ok {
			lim.Rate.Burst = number(t, burst)
		} else {
			lim.Quota.Requests = number(t, c.To)
		}
	case "raise_body_bytes":
		parent, _ := node(c.Target)
		at[policy.Operation](t, l.doc, parent).BodyBytes = number(t, c.To)
	case "narrow_deny", "remove_deny":
		parent, _ := node(c.Target)
		rules := at[policy.IPRules](t, l.doc, parent)
		from := netip.MustParsePrefix(c.From)
		rules.Deny = append(slices.DeleteFunc(rules.Deny, func(s string) bool {
			return s == c.From || from.IsSingleIP() && s == from.Addr().String()
		}), strings.Fields(c.To)...)
	case "allow_address":
		parent, _ := node(c.Target)
		rules := at[policy.IPRules](t, l.doc, parent)
		rules.Allow = append(rules.Allow, c.To)
	case "send_from":
		l.req.Client = netip.MustParsePrefix(c.To).Addr().Next()
		l.drop("X-Forwarded-For")
		l.drop("Forwarded")
	case "trust_proxy":
		l.doc.TrustedProxies = append(l.doc.TrustedProxies, c.To)
	case "use_path":
		scheme, rest, _ := strings.Cut(l.req.URL, "://")
		host, tail, _ := strings.Cut(rest, "/")
		_, query, has := strings.Cut(tail, "?")
		l.req.URL = scheme + "://" + host + c.To
		if has {
			l.req.URL += "?" + query
		}
	case "use_method":
		l.req.Method = c.To
	case "publish_version", "unretire_version":
		parent, _ := node(c.Target)
		at[policy.Version](t, l.doc, parent).State = c.To
	case "use_model":
		l.req.Body = []byte(strings.Replace(string(l.req.Body), `"model":"`+c.From+`"`, `"model":"`+c.To+`"`, 1))
	case "allow_model":
		parent, _ := node(c.Target)
		llm := at[policy.LLM](t, l.doc, parent)
		llm.Models = append(llm.Models, c.To)
	case "price_model":
		model := strings.Split(c.Target, "/")[2]
		m := l.doc.Models[model]
		m.Prices = append(m.Prices, policy.ModelPrice{Version: "new", Input: "3", Output: "4"})
		l.doc.Models[model] = m
	case "flag_unpriced":
		parent, _ := node(c.Target)
		at[policy.LLM](t, l.doc, parent).Unpriced = "flag"
	default:
		t.Fatalf("this test does not know how a change of kind %s is made: %+v", c.Kind, c)
	}
}

// makeNewcomer makes an application that has what the change says, and nothing else.
func (l *life) makeNewcomer(t testing.TB, c lab.Change) {
	t.Helper()
	a := directory.Application{ID: "some-application", Tenant: "umbra", Standing: directory.Active}
	says, _, _ := strings.Cut(c.To, ", not limited")
	if role := after(says, "has the role "); role != "" {
		a.Roles = []string{role}
	}
	if api := after(says, "is subscribed to "); api != "" {
		words := strings.Fields(api)
		l.people.Subscriptions[[3]string{"some-application", words[0], words[1]}] = directory.Subscription{ID: "s_n", Application: "some-application", API: words[0], Version: words[1], State: directory.Approved}
	}
	l.people.Applications["some-application"] = a
}

func after(s, words string) string {
	_, rest, _ := strings.Cut(s, words)
	return rest
}

func number(t testing.TB, s string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// field is where the operation that the request is for reads keys.
func (l *life) field() string {
	if a := l.doc.APIs[0].Versions[0].Authn; a != nil && strings.Contains(l.req.URL, "/orders/v1") {
		return a.APIKey.Header
	}
	return "X-API-Key"
}

func (l *life) drop(name string) {
	l.req.Header = slices.DeleteFunc(l.req.Header, func(f header.Field) bool { return header.EqualFold(f.Name, name) })
}

func (l *life) set(name, value string) {
	l.drop(name)
	l.req.Header = append(l.req.Header, header.Field{Name: name, Value: value})
}

// at finds a part of a document that this life owns, by the few pointers that changes have.
func at[T any](t testing.TB, d *policy.Document, pointer string) *T {
	t.Helper()
	var api, version, operation, item int
	var found any
	v := func() *policy.Version { return &d.APIs[api].Versions[version] }
	switch parts := strings.Split(pointer, "/"); {
	case scan(pointer, "/apis/%d/versions/%d/operations/%d/ip", &api, &version, &operation) && strings.HasSuffix(pointer, "/ip"):
		found = v().Operations[operation].IP
	case scan(pointer, "/apis/%d/versions/%d/operations/%d", &api, &version, &operation):
		found = &v().Operations[operation]
	case scan(pointer, "/apis/%d/versions/%d/limits/%d", &api, &version, &item):
		found = &v().Limits[item]
	case scan(pointer, "/apis/%d/versions/%d", &api, &version) && strings.HasSuffix(pointer, "/ip"):
		found = v().IP
	case scan(pointer, "/apis/%d/versions/%d", &api, &version) && strings.HasSuffix(pointer, "/llm"):
		found = v().LLM
	case scan(pointer, "/apis/%d/versions/%d", &api, &version):
		found = v()
	case scan(pointer, "/flood_guard/%d", &item):
		found = &d.FloodGuard[item]
	case parts[1] == "plans":
		found = &d.Plans[parts[2]].Limits[number(t, parts[4])]
	}
	out, ok := found.(*T)
	if !ok || out == nil {
		t.Fatalf("at %s there is %T", pointer, found)
	}
	return out
}

func scan(s, format string, into ...any) bool {
	n, _ := fmt.Sscanf(s, format, into...)
	return n == len(into)
}
