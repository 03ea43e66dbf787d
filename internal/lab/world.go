package lab

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"time"

	"postern/internal/decision"
	"postern/internal/directory"
	"postern/internal/gate"
	"postern/internal/header"
	"postern/internal/policy"
	"postern/internal/reqtext"
	"postern/internal/snapshot"
)

// situation is a request and everything it is judged by, as it is: nothing in it is changed by asking.
type situation struct {
	snap  *snapshot.Snapshot
	env   *gate.Env // dry, with a clock that stands still
	blind map[string]string
	req   Request
	peer  netip.AddrPort
	id    decision.TraceID
	ifs   whatIf
}

// still returns the situation with its clock stopped, so that all its runs see one moment.
func still(s situation) situation {
	now := s.env.Now()
	env := *s.env
	env.Now = func() time.Time { return now }
	s.env = &env
	return s
}

// world is a copy of a situation in which things may be changed.
type world struct {
	situation
	people *people
	doc    *policy.Document // nil: that of the snapshot
	wait   time.Duration
	health map[string]gate.UpstreamState // of upstreams that are put right
	parts  string                        // which changes made the configuration; names it in a cache
}

func newWorld(s situation) *world {
	w := &world{situation: s}
	w.req.Header = slices.Clone(s.req.Header)
	w.people = &people{under: s.env.Directory}
	return w
}

// run asks every gate about the request of the world. cache holds configurations that were compiled.
func (w *world) run(ctx context.Context, cache map[string]*snapshot.Snapshot) (*asked, error) {
	snap := w.snap
	if w.parts != "" {
		if snap = cache[w.parts]; snap == nil {
			var err error
			if snap, err = w.compile(); err != nil {
				return nil, err
			}
			cache[w.parts] = snap
		}
	}
	x, err := exchange(w.req, w.peer)
	if err != nil {
		return nil, err
	}
	env := *w.env
	env.Directory = w.people
	if w.wait > 0 {
		now := w.env.Now().Add(w.wait)
		env.Now = func() time.Time { return now }
	}
	x.Env, x.ID, x.Started = &env, w.id, env.Now()
	return ask(ctx, snap, x, w.blind, w.ifs), nil
}

// compile makes the configuration of the world. Upstreams keep the state they are in.
func (w *world) compile() (*snapshot.Snapshot, error) {
	doc := w.document()
	known := upstreamsOf(w.snap)
	return w.snap.Variant(doc, func(name string) (gate.Upstream, bool) {
		if is, ok := w.health[name]; ok {
			return presumed{name, is}, true
		}
		if u := known[name]; u != nil {
			return u, true
		}
		_, ok := doc.Upstreams[name]
		return presumed{name, gate.UpstreamState{Targets: 1, Healthy: 1}}, ok
	})
}

// upstreamsOf returns the upstreams that operations of a snapshot lead to.
func upstreamsOf(snap *snapshot.Snapshot) map[string]gate.Upstream {
	all := map[string]gate.Upstream{}
	add := func(u gate.Upstream) {
		if u != nil && all[u.Name()] == nil {
			all[u.Name()] = u
		}
	}
	for _, op := range snap.Operations() {
		add(op.Operation.Upstream)
		for _, m := range op.Models {
			add(m.Upstream)
		}
	}
	return all
}

// presumed is an upstream in a state that is supposed.
type presumed struct {
	name string
	is   gate.UpstreamState
}

// Name implements gate.Upstream.
func (p presumed) Name() string { return p.name }

// State implements gate.Upstream.
func (p presumed) State(time.Time) gate.UpstreamState { return p.is }

func (w *world) document() *policy.Document {
	if w.doc != nil {
		return w.doc
	}
	return w.snap.Document
}

// edit changes the document of a world at a pointer. The id names the change for the cache.
func edit[T any](w *world, id, pointer string, fn func(*T) error) error {
	doc, err := editAt(w.document(), pointer, fn)
	if err != nil {
		return err
	}
	w.doc = doc
	w.parts += id + "\x01"
	return nil
}

// mend supposes an upstream in good order.
func (w *world) mend(name, id string) {
	w.health = maps.Clone(w.health)
	if w.health == nil {
		w.health = map[string]gate.UpstreamState{}
	}
	w.health[name] = gate.UpstreamState{Targets: 1, Healthy: 1}
	w.parts += id + "\x01"
}

// setHeader makes a field the only one of its name.
func (w *world) setHeader(name, value string) {
	w.dropHeader(name)
	w.req.Header = append(w.req.Header, header.Field{Name: name, Value: value})
}

func (w *world) dropHeader(name string) {
	w.req.Header = slices.DeleteFunc(w.req.Header, func(f header.Field) bool { return header.EqualFold(f.Name, name) })
}

// setURL replaces the path, and with it the query when there is one in it.
func (w *world) setURL(change func(*parts)) error {
	l, err := reqtext.SplitURL(w.req.URL)
	if err != nil {
		return err
	}
	p := parts{l.Scheme, l.Authority, l.Path, l.Query}
	change(&p)
	w.req.URL = p.scheme + "://" + p.authority + p.path
	if p.query != "" {
		w.req.URL += "?" + p.query
	}
	return nil
}

// parts is an address taken apart.
type parts struct{ scheme, authority, path, query string }

// people is a directory in which some rows are others.
type people struct {
	under         gate.Directory
	keys          map[[32]byte]directory.Key
	applications  map[string]directory.Application
	tenants       map[string]directory.Tenant
	subscriptions map[[3]string]directory.Subscription
}

// Key implements gate.Directory.
func (p *people) Key(hash *[32]byte, into *directory.Key) (bool, error) {
	if k, ok := p.keys[*hash]; ok {
		*into = k
		return true, nil
	}
	return p.under.Key(hash, into)
}

// Application implements gate.Directory.
func (p *people) Application(id string, into *directory.Application) (bool, error) {
	if a, ok := p.applications[id]; ok {
		*into = a
		return true, nil
	}
	return p.under.Application(id, into)
}

// Tenant implements gate.Directory.
func (p *people) Tenant(id string, into *directory.Tenant) (bool, error) {
	if t, ok := p.tenants[id]; ok {
		*into = t
		return true, nil
	}
	return p.under.Tenant(id, into)
}

// Subscription implements gate.Directory. A subscription to the version itself comes before one to all versions, whichever
// of the two directories has it.
func (p *people) Subscription(application, api, version string, into *directory.Subscription) (bool, error) {
	if s, ok := p.subscriptions[[3]string{application, api, version}]; ok {
		*into = s
		return true, nil
	}
	ok, err := p.under.Subscription(application, api, version, into)
	if err != nil || ok && into.Version == version {
		return ok, err
	}
	if s, changed := p.subscriptions[[3]string{application, api, "*"}]; changed {
		*into = s
		return true, nil
	}
	return ok, nil
}

var errGone = errors.New("lab: the row is not there")

// editKey changes a key.
func (p *people) editKey(hash [32]byte, fn func(*directory.Key)) error {
	var k directory.Key
	if ok, err := p.Key(&hash, &k); err != nil || !ok {
		return errors.Join(errGone, err)
	}
	k.Hash = hash
	fn(&k)
	p.putKey(k)
	return nil
}

func (p *people) putKey(k directory.Key) {
	p.keys = with(p.keys, k.Hash, k)
}

// editApplication changes an application.
func (p *people) editApplication(id string, fn func(*directory.Application)) error {
	var a directory.Application
	if ok, err := p.Application(id, &a); err != nil || !ok {
		return errors.Join(errGone, err)
	}
	fn(&a)
	p.applications = with(p.applications, id, a)
	return nil
}

// editTenant changes a tenant.
func (p *people) editTenant(id string, fn func(*directory.Tenant)) error {
	var t directory.Tenant
	if ok, err := p.Tenant(id, &t); err != nil || !ok {
		return errors.Join(errGone, err)
	}
	fn(&t)
	p.tenants = with(p.tenants, id, t)
	return nil
}

func (p *people) putSubscription(s directory.Subscription) {
	p.subscriptions = with(p.subscriptions, [3]string{s.Application, s.API, s.Version}, s)
}

func with[K comparable, V any](rows map[K]V, k K, v V) map[K]V {
	out := maps.Clone(rows)
	if out == nil {
		out = map[K]V{}
	}
	out[k] = v
	return out
}

// copy returns a world of its own.
func (w *world) copy() *world {
	c := *w
	c.req.Header = slices.Clone(w.req.Header)
	p := *w.people // its maps are copied when they change
	c.people = &p
	return &c
}
