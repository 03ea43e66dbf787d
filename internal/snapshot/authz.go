package snapshot

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/gate/authz"
	"postern/internal/pdp"
	"postern/internal/policy"
)

// rulebook is the attribute rules of a document. Policies can name any operation, so all of them are read before the first
// operation is compiled.
type rulebook struct {
	model    *authz.Model
	document *pdp.Set
	sets     map[string]*pdp.Set // by pointer of a version or operation: what applies there
	subjects map[string]authz.Subject
	names    map[string]string // of texts: where each is
}

// compileRules makes the rulebook. A document without attribute rules has none and pays nothing.
func (b *builder) compileRules() {
	used := len(b.doc.Policies) > 0
	b.eachVersion(func(_ *policy.API, v *policy.Version, _ string) {
		used = used || v.Authz != nil || slices.ContainsFunc(v.Operations, func(o policy.Operation) bool { return o.Authz != nil })
	})
	if !used {
		return
	}
	r := &rulebook{sets: map[string]*pdp.Set{}, subjects: map[string]authz.Subject{}, names: map[string]string{}}
	var all []authz.Subject
	within := map[string][]authz.Subject{} // by pointer of the version
	b.eachVersion(func(api *policy.API, v *policy.Version, at string) {
		for _, s := range b.subjectsOf(api, v, at) {
			r.subjects[at+"/"+s.Name] = s
			within[at] = append(within[at], s)
			all = append(all, s)
		}
	})
	model, err := authz.NewModel(b.doc.Roles, b.attributeNames(), all)
	if b.problemsOf("", err) {
		return
	}
	r.model = model
	r.document = b.policySet(r, "/policies", b.doc.Policies, all)
	b.eachVersion(func(_ *policy.API, v *policy.Version, at string) {
		set := r.document
		if v.Authz != nil && len(v.Authz.Policies) > 0 {
			set = pdp.Join(set, b.policySet(r, at+"/authz/policies", v.Authz.Policies, within[at]))
		}
		r.sets[at] = set
		for i := range v.Operations {
			o := &v.Operations[i]
			if o.Authz == nil || len(o.Authz.Policies) == 0 {
				continue
			}
			pointer := at + "/operations/" + strconv.Itoa(i)
			own := []authz.Subject{r.subjects[at+"/"+o.Name]}
			r.sets[pointer] = pdp.Join(set, b.policySet(r, pointer+"/authz/policies", o.Authz.Policies, own))
		}
	})
	b.rules = r
}

func (b *builder) eachVersion(fn func(api *policy.API, v *policy.Version, pointer string)) {
	for i := range b.doc.APIs {
		api := &b.doc.APIs[i]
		for j := range api.Versions {
			fn(api, &api.Versions[j], fmt.Sprintf("/apis/%d/versions/%d", i, j))
		}
	}
}

// subjectsOf lists the operations of a version as policies see them.
func (b *builder) subjectsOf(api *policy.API, v *policy.Version, at string) (all []authz.Subject) {
	s := authz.Subject{Tenant: api.Tenant, API: api.Name, Version: v.Version}
	b.checkBodyFields(at+"/authz/body", v.Authz)
	if api.Kind == "llm" {
		if v.LLM != nil {
			s.Permission = v.LLM.Permission
		}
		s.Pointer, s.Body = at, merge(v.Authz, nil).Body
		for _, own := range llmOperations {
			s.Name, s.Method, s.Template = own.name, own.method, v.BasePath+own.path
			all = append(all, s)
		}
		return all
	}
	for i := range v.Operations {
		o := &v.Operations[i]
		s.Name, s.Permission, s.Method, s.Template = o.Name, o.Permission, o.Method, v.BasePath+o.Path
		s.Params, s.Body, s.Pointer = paramsOf(s.Template), merge(v.Authz, o.Authz).Body, at+"/operations/"+strconv.Itoa(i)
		b.checkBodyFields(s.Pointer+"/authz/body", o.Authz)
		all = append(all, s)
	}
	return all
}

// paramsOf returns the names of the parameters of a path template.
func paramsOf(template string) (names []string) {
	for segment := range strings.SplitSeq(template, "/") {
		if strings.HasPrefix(segment, "{") && strings.HasSuffix(segment, "}") {
			names = append(names, strings.TrimSuffix(segment[1:len(segment)-1], "..."))
		}
	}
	return names
}

// merge is what applies to an operation: policies aside, what it writes replaces what its version says.
func merge(version, own *policy.Authz) (m policy.Authz) {
	if version != nil {
		m = *version
	}
	if own == nil {
		return m
	}
	m.Require, m.TimeZone = cmp.Or(own.Require, m.Require), cmp.Or(own.TimeZone, m.TimeZone)
	m.Owner, m.DecisionPoint = cmp.Or(own.Owner, m.Owner), cmp.Or(own.DecisionPoint, m.DecisionPoint)
	if own.Body != nil {
		m.Body = own.Body
	}
	return m
}

func (b *builder) checkBodyFields(at string, a *policy.Authz) {
	if a == nil {
		return
	}
	if name, fault := authz.BodyFault(a.Body); fault != "" {
		b.problem(at+"/"+policy.EscapePointer(name), "write {pointer: /customer/id, type: string}", "the field %q %s", name, fault)
	}
}

// attributeNames lists what credentials can vouch for.
func (b *builder) attributeNames() (names []string) {
	add := func(a *policy.Authn) {
		if a == nil {
			return
		}
		for i := range a.JWT {
			names = slices.AppendSeq(names, maps.Keys(a.JWT[i].Claims.Attributes))
		}
	}
	b.eachVersion(func(_ *policy.API, v *policy.Version, _ string) {
		add(v.Authn)
		for i := range v.Operations {
			add(v.Operations[i].Authn)
		}
	})
	return names
}

// policySet reads texts and checks them against the operations they apply to.
func (b *builder) policySet(r *rulebook, at string, list []policy.Policies, subjects []authz.Subject) *pdp.Set {
	var texts []pdp.Text
	for i, p := range list {
		pointer := at + "/" + strconv.Itoa(i)
		if fault := wordFault(p.Name); fault != "" {
			b.problem(pointer+"/name", "use letters, digits, '-', '.' and '_', such as office-hours", "the name of the policies %s", fault)
			continue
		}
		if first, ok := r.names[p.Name]; ok {
			b.problem(pointer+"/name", "give each text of policies a name of its own", "there are already policies %q at %s", p.Name, first)
			continue
		}
		r.names[p.Name] = pointer
		if p.Cedar == "" && p.File != "" {
			b.problem(pointer+"/file", "write the text as cedar, or apply the document from files",
				"the file %q is read only when the document is read from files", p.File)
			continue
		}
		texts = append(texts, pdp.Text{Name: p.Name, Cedar: p.Cedar, File: p.File, Pointer: pointer + "/cedar", Shadow: p.Shadow})
	}
	set, err := pdp.Parse(texts...)
	if b.problemsOf(at, err) {
		return nil
	}
	b.problems = append(b.problems, r.model.Check(set, subjects)...)
	return set
}

// ruled makes the gate of an operation in a document with attribute rules.
func (b *builder) ruled(o *operation, c authz.Config) gate.Gate {
	r := b.rules
	own := (*policy.Authz)(nil)
	if o.own != nil {
		own = o.own.Authz
	}
	a := merge(o.v.Authz, own)
	place := func(mine bool, field string) string { // where a setting is written
		if own != nil && mine {
			return o.pointer + "/authz" + field
		}
		return o.v.pointer + "/authz" + field
	}
	set := r.sets[o.pointer]
	if set == nil {
		set = r.sets[o.v.pointer]
	}
	rules := authz.Rules{Model: r.model, Policies: set, Subject: r.subjects[o.v.pointer+"/"+o.op.Name], Open: o.open}
	rules.Require = b.oneOf(place(own != nil && own.Require != "", "/require"), a.Require, "permission", "permit") == "permit"
	if a.TimeZone != "" {
		zone, err := time.LoadLocation(a.TimeZone)
		if err != nil || a.TimeZone == "Local" {
			b.problem(place(own != nil && own.TimeZone != "", "/time_zone"), "write an IANA name such as Europe/Paris", "%q is no time zone", a.TimeZone)
		}
		rules.Zone = zone
	}
	if a.Owner != nil && a.Owner.From != "none" {
		rules.Owner = b.owner(place(own != nil && own.Owner != nil, "/owner"), o.id, a.Owner, rules.Subject.Params)
	}
	if a.DecisionPoint != nil {
		rules.Point = b.point(place(own != nil && own.DecisionPoint != nil, "/decision_point"), o.id, a.DecisionPoint)
	}
	if o.open && (rules.Require || rules.Owner != nil || rules.Point != nil) {
		b.problem(o.pointer, "ask for a credential, or for an operation in it write authz: {require: permission, owner: {from: none}}",
			"the operation %s is open to anyone, so nobody can be the owner or be permitted", o.id)
	}
	return authz.Attributed(c, rules)
}

func (b *builder) owner(at, id string, p *policy.Owner, params []string) *authz.Owner {
	o := &authz.Owner{Timeout: p.Timeout.Or(time.Second), Cache: p.Cache.Or(30 * time.Second), Is: cmp.Or(p.Is, "user"), Exempt: p.Exempt,
		Rule: &decision.Rule{ID: id + "#owner", Pointer: at}}
	b.notNegative(at, map[string]policy.Duration{"timeout": p.Timeout, "cache": p.Cache})
	param := func(pointer, name string) {
		if !slices.Contains(params, name) {
			b.problem(pointer, "name a parameter of the path, or write owner: {from: none} on the operation", "the path of %s has no parameter {%s}", id, name)
		}
	}
	jsonAt := func(where string) {
		if name, fault := authz.BodyFault(map[string]policy.BodyField{"owner": {Pointer: p.Pointer}}); fault != "" {
			b.problem(at+"/pointer", "write where in "+where+" the owner is, such as /owner", "the %s %s", name, fault)
		}
		o.Pointer = p.Pointer
	}
	switch b.oneOf(at+"/from", p.From, "path", "body", "claim", "http") {
	case "path":
		param(at+"/name", p.Name)
		o.Param = p.Name
	case "body":
		jsonAt("the body")
	case "claim":
		b.checkAttribute(at+"/name", p.Name)
		o.Claim = p.Name
	case "http":
		jsonAt("the answer")
		o.URL = p.URL
		plain := p.URL
		for _, name := range paramsIn(p.URL) {
			param(at+"/url", name)
			plain = strings.ReplaceAll(plain, "{"+name+"}", "x")
		}
		if _, rest, _ := strings.Cut(p.URL, "://"); strings.ContainsAny(strings.SplitN(rest, "/", 2)[0], "{}") {
			b.problem(at+"/url", "write the name of the host", "callers could choose which host is asked")
		}
		b.checkFetched(at+"/url", plain)
	}
	if name, ok := strings.CutPrefix(o.Is, "attribute:"); ok {
		b.checkAttribute(at+"/is", name)
	} else if o.Is != "user" && o.Is != "application" && o.Is != "tenant" {
		b.unknownWord(at+"/is", o.Is, []string{"user", "application", "tenant", "attribute:<name>"})
	}
	for i, name := range p.Exempt {
		if _, ok := b.doc.Roles[name]; !ok {
			b.problem(at+"/exempt/"+strconv.Itoa(i), "add it under /roles, or remove it here", "there is no role %q", name)
		}
	}
	return o
}

// paramsIn returns what stands in braces.
func paramsIn(s string) (names []string) {
	for {
		_, after, ok := strings.Cut(s, "{")
		if !ok {
			return names
		}
		name, rest, _ := strings.Cut(after, "}")
		names, s = append(names, name), rest
	}
}

func (b *builder) checkAttribute(at, name string) {
	if names := b.attributeNames(); !slices.Contains(names, name) {
		slices.Sort(names)
		b.problem(at, "write one of claims/attributes: "+orList(slices.Compact(names)), "no credential vouches for an attribute %q", name)
	}
}

func (b *builder) point(at, id string, p *policy.DecisionPoint) *authz.Point {
	b.checkFetched(at+"/url", p.URL)
	b.notNegative(at, map[string]policy.Duration{"timeout": p.Timeout, "cache": p.Cache})
	if p.Authorization != "" {
		if err := policy.CheckReferences(p.Authorization); err != nil {
			b.problem(at+"/authorization", "refer to the secret as ${env:NAME} or ${file:/path}", "%v", err)
		}
	}
	return &authz.Point{URL: p.URL, Timeout: p.Timeout.Or(time.Second), Cache: time.Duration(p.Cache), Authorization: p.Authorization,
		Rule: &decision.Rule{ID: id + "#decision_point", Pointer: at}}
}
