package snapshot

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/gate/ip"
	"postern/internal/gate/origin"
	"postern/internal/gate/route"
	"postern/internal/policy"
)

// version is a version of an API while it is compiled: what its operations share.
type version struct {
	*policy.Version
	api       *policy.API
	pointer   string
	id        string // "orders/v1"
	state     string
	base      string // base path, normalised, without a slash at its end
	slashes   route.Slashes
	limits    []*gate.Limit
	rules     []ip.Rules
	link      lifecycle
	authn     gate.Gate // made by the first operation that does not replace it
	ip        gate.Gate
	origin    *origin.Gate
	subscribe gate.Gate
	waf       gate.Gate
	walled    bool // waf is made, or off
}

// operation is an operation while it is compiled: what its gates are made of.
type operation struct {
	op      *gate.Operation
	v       *version
	id      string // "orders/v1/create-order"
	pointer string
	own     *policy.Operation // nil for an operation that Postern generates

	authn        *policy.Authn // that applies; nil: the default
	authnPointer string
	open         bool // anybody may call it
	permission   string
	scopes       []string
	limits       []*gate.Limit
	cors         *policy.CORS // by which the gateway answers preflights; nil: it does not
}

func (b *builder) compileAPIs() {
	names := make(map[string]int, len(b.doc.APIs))
	for i := range b.doc.APIs {
		api, at := &b.doc.APIs[i], "/apis/"+strconv.Itoa(i)
		if fault := nameFault(api.Name); fault != "" {
			b.problem(at+"/name", "use 1 to 63 lower-case letters, digits and hyphens, such as orders", "the name of the API %s", fault)
		} else if first, ok := names[api.Name]; ok {
			b.problem(at+"/name", "rename one of them, or make them two versions of one API", "there is already an API %q at /apis/%d", api.Name, first)
		}
		names[api.Name] = i
		b.oneOf(at+"/kind", api.Kind, "http", "llm")
		if len(api.Versions) == 0 {
			b.problem(at+"/versions", "add a version, such as {version: v1, operations: […]}", "the API %q has no version", api.Name)
		}
		seen := make(map[string]int, len(api.Versions))
		for j := range api.Versions {
			v := &version{Version: &api.Versions[j], api: api, pointer: at + "/versions/" + strconv.Itoa(j)}
			if first, ok := seen[v.Version.Version]; ok {
				b.problem(v.pointer+"/version", "give each version its own name", "version %q of this API is also item %d of the list", v.Version.Version, first)
			}
			seen[v.Version.Version] = j
			b.compileVersion(v)
		}
	}
}

// nameFault says what is wrong with the name of an API, or "".
func nameFault(s string) string {
	switch {
	case s == "":
		return "is missing"
	case len(s) > 63:
		return "is longer than 63 characters"
	case strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") != "":
		return fmt.Sprintf("(%q) has characters that are not allowed", s)
	}
	return ""
}

// wordFault says what is wrong with the name of a version or operation, which stands in ids between slashes, or "".
func wordFault(s string) string {
	switch {
	case s == "":
		return "is missing"
	case len(s) > 100:
		return "is longer than 100 characters"
	case strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._") != "":
		return fmt.Sprintf("(%q) has characters that are not allowed", s)
	}
	return ""
}

func (b *builder) compileVersion(v *version) {
	v.id = v.api.Name + "/" + v.Version.Version
	if fault := wordFault(v.Version.Version); fault != "" {
		b.problem(v.pointer+"/version", "use letters, digits, '-', '.' and '_', such as v1", "the name of the version %s", fault)
	}
	v.state = b.oneOf(v.pointer+"/state", v.State, "published", "draft", "deprecated", "retired")
	v.link = b.lifecycle(v)
	b.checkHosts(v)
	sound := b.basePath(v)
	if b.oneOf(v.pointer+"/encoded_slashes", v.EncodedSlashes, "refuse", "keep") == "keep" {
		v.slashes = route.KeepEncodedSlash
	}
	if h := v.ByHeader; h != nil {
		b.checkFieldName(v.pointer+"/by_header/name", h.Name)
		if strings.TrimSpace(h.Value) != h.Value || h.Value == "" {
			b.problem(v.pointer+"/by_header/value", "write the value as callers send it", "%q is no value of a header field", h.Value)
		}
	}
	b.checkAuthn(v.pointer+"/authn", v.Authn)
	if b.oneOf(v.pointer+"/subscription", v.Subscription, "required", "none"); v.Subscription == "required" && v.Authn != nil && v.Authn.None {
		b.problem(v.pointer+"/subscription", "ask for an API key, or set subscription: none", "a version that is open to anyone cannot require a subscription")
	}
	if v.IP != nil {
		v.rules = []ip.Rules{b.ipRules(v.id, v.pointer, v.IP)}
	}
	v.limits = b.limits(v.id, v.pointer+"/limits", v.Limits)
	b.checkShadow(v.pointer+"/shadow", v.Shadow)
	if v.api.Kind == "llm" {
		b.compileLLM(v, sound)
		return
	}
	b.compileOperations(v, sound)
}

func (b *builder) checkHosts(v *version) {
	seen := make(map[string]bool, len(v.Hosts))
	for i, h := range v.Hosts {
		at := v.pointer + "/hosts/" + strconv.Itoa(i)
		name, fault := route.ParseHostPattern(h)
		switch {
		case fault != nil:
			b.problem(at, fault.Remedy, "%s", fault.Text)
		case seen[name]:
			b.problem(at, "remove it", "the host %q is listed twice", h)
		}
		seen[name] = true
	}
}

// basePath normalises the base path, and reports whether operations can be put behind it.
func (b *builder) basePath(v *version) bool {
	if v.BasePath == "" || v.BasePath == "/" {
		return true
	}
	at := v.pointer + "/base_path"
	if strings.HasSuffix(v.BasePath, "/") {
		b.problem(at, "write "+strings.TrimRight(v.BasePath, "/"), "the base path ends with a slash, and paths of operations start with one")
		return false
	}
	path, fault := route.Normalise(v.BasePath, v.slashes)
	if fault != nil {
		b.problem(at, fault.Remedy, "%s", fault.Text)
		return false
	}
	v.base = path
	return true
}

func (b *builder) compileOperations(v *version, sound bool) {
	if v.LLM != nil {
		b.problem(v.pointer+"/llm", "set kind: llm on the API, or remove this", "an API of kind http cannot have models")
	}
	if len(v.Operations) == 0 && v.state != "draft" {
		b.problem(v.pointer+"/operations", "add an operation, such as {name: list-orders, method: GET, path: /orders}, or set state: draft", "the version %s has no operation", v.id)
	}
	b.checkUpstreamName(v.pointer+"/upstream", v.Upstream)
	names := make(map[string]int, len(v.Operations))
	for i := range v.Operations {
		own := &v.Operations[i]
		o := &operation{v: v, own: own, pointer: v.pointer + "/operations/" + strconv.Itoa(i), id: v.id + "/" + own.Name,
			permission: own.Permission, scopes: own.Scopes}
		if fault := wordFault(own.Name); fault != "" {
			b.problem(o.pointer+"/name", "use letters, digits, '-', '.' and '_', such as create-order", "the name of the operation %s", fault)
		} else if first, ok := names[own.Name]; ok {
			b.problem(o.pointer+"/name", "give each operation of the version its own name", "the operation %q is also item %d of this list", own.Name, first)
		}
		names[own.Name] = i
		b.compileOperation(o, sound)
	}
}

func (b *builder) compileOperation(o *operation, sound bool) {
	v, own := o.v, o.own
	o.op = &gate.Operation{
		Name: own.Name, Title: own.Title, Method: own.Method, Template: v.base + own.Path, BodyBytes: own.BodyBytes,
	}
	if o.op.Title == "" {
		o.op.Title = strings.ReplaceAll(own.Name, "-", " ")
	}
	b.checkMethod(o.pointer+"/method", own.Method)
	if own.BodyBytes < -1 {
		b.problem(o.pointer+"/body_bytes", "write a number of bytes, or -1 for no limit", "%d is no size", own.BodyBytes)
	}
	if own.Path == "" && v.base == "" || own.Path != "" && own.Path[0] != '/' {
		b.problem(o.pointer+"/path", "start it with /", "the path %q does not start with a slash", own.Path)
		sound = false
	}
	name := own.Upstream
	if name != "" {
		b.checkUpstreamName(o.pointer+"/upstream", name)
	} else if name = v.Upstream; name == "" {
		b.problem(o.pointer+"/upstream", "name an upstream here or on the version", "the operation %q leads to no upstream", own.Name)
	}
	o.op.Upstream = b.upstreams[name]
	o.op.KeepCredential = b.doc.Upstreams[name].KeepCredential
	if v.StripBasePath {
		o.op.StripPrefix = v.base
	}
	o.authn, o.authnPointer = v.Authn, v.pointer+"/authn"
	if own.Authn != nil {
		b.checkAuthn(o.pointer+"/authn", own.Authn)
		o.authn, o.authnPointer = own.Authn, o.pointer+"/authn"
	}
	o.limits = slices.Concat(v.limits, b.limits(o.id, o.pointer+"/limits", own.Limits))
	b.checkShadow(o.pointer+"/shadow", own.Shadow)
	b.finish(o, name, sound)
}

// finish completes an operation with its chain and its route.
func (b *builder) finish(o *operation, upstream string, routable bool) {
	v := o.v
	o.open = o.authn != nil && o.authn.None
	if o.open && (o.permission != "" || len(o.scopes) > 0) {
		b.problem(o.pointer, "ask for an API key, or drop permission and scopes", "the operation %s is open to anyone, so nobody's permission or scopes can be asked for", o.id)
	}
	op := o.op
	op.Tenant, op.API, op.Version, op.Pointer = v.api.Tenant, v.api.Name, v.Version.Version, o.pointer
	op.Deprecation, op.Sunset, op.Link = v.link.deprecation, v.link.sunset, v.link.link
	op.Chain = b.chain(o)
	listed := Operation{
		Operation: op, State: v.state, Hosts: v.Hosts, Upstream: upstream,
		Open: o.open, Permission: o.permission, Scopes: o.scopes,
	}
	for _, l := range op.Chain {
		listed.Gates = append(listed.Gates, l.Name)
	}
	b.listed = append(b.listed, listed)
	if !routable {
		return
	}
	slashes := v.slashes
	if op.LLM == "model" {
		slashes = route.KeepEncodedSlash // clients escape the name of the model as one segment, and no upstream gets the path
	}
	e := route.Entry{Op: op, Hosts: v.Hosts, Header: v.ByHeader, Slashes: slashes, Open: o.open, CORS: o.cors, Successor: v.Successor, RetiredOn: v.link.retiredOn}
	switch v.state {
	case "draft":
		e.State = route.Draft
	case "retired":
		e.State = route.Retired
	}
	b.entries = append(b.entries, e)
}

// chain mounts the gates in their order.
func (b *builder) chain(o *operation) (chain gate.Chain) {
	shadow := o.v.Shadow
	if o.own != nil {
		shadow = slices.Concat(shadow, o.own.Shadow)
	}
	for _, r := range order {
		if r.mount == nil {
			continue
		}
		if g := r.mount(b, o); g != nil {
			chain = append(chain, gate.Link{Name: r.name, Gate: g, Shadow: !r.firm && slices.Contains(shadow, r.name)})
		}
	}
	if len(chain) >= decision.MaxSteps { // one step is the router's
		b.problem(o.pointer, "report this: the order of gates outgrew the trace", "the operation has %d gates, and a trace holds %d", len(chain)+1, decision.MaxSteps)
	}
	return chain
}
