// Package gatetest is the conformance suite that every gate passes, and the fakes to test gates with. It is for tests only.
//
// A test of a gate describes an exchange that passes and one for each way to be refused; Run checks on all of them what
// the house promises of any gate: reasons of its own, facts for every sentence, nothing secret in any of them, no
// allocation when it passes, nothing written when it only answers a question.
package gatetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"sync"
	"time"

	"postern/internal/directory"
	"postern/internal/gate"
	"postern/internal/header"
)

// Now is the time in every exchange that Exchange makes: a Wednesday, noon.
var Now = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// KeyText is the live key of application shop-web, which every Directory of NewDirectory knows. It is also the canary:
// Run fails when it, or any canary of a suite, shows up in what is told or traced.
var KeyText = MakeKey(1)

// OtherKeyText has the form and checksum of a key and was never issued.
var OtherKeyText = MakeKey(2)

// MakeKey returns a well-formed key, always the same for a seed.
func MakeKey(seed byte) string {
	text, err := directory.NewKeyText(bytes.NewReader(bytes.Repeat([]byte{seed, 17, 5, 60, 33, 2, 48, 9}, 16)))
	if err != nil {
		panic(err)
	}
	return text
}

// Directory is a gate.Directory in memory. Set Err to make it fail. It is safe for concurrent look-ups.
type Directory struct {
	Keys          map[[32]byte]directory.Key
	Applications  map[string]directory.Application
	Tenants       map[string]directory.Tenant
	Subscriptions map[[3]string]directory.Subscription // application, API, version
	Err           error                                // every look-up fails with it
}

// NewDirectory returns a directory with tenant acme, its application shop-web in role order-reader, and the key KeyText.
func NewDirectory() *Directory {
	d := &Directory{
		Keys:          map[[32]byte]directory.Key{},
		Applications:  map[string]directory.Application{},
		Tenants:       map[string]directory.Tenant{},
		Subscriptions: map[[3]string]directory.Subscription{},
	}
	d.Tenants["acme"] = directory.Tenant{ID: "acme", Name: "Acme", Standing: directory.Active}
	d.Applications["shop-web"] = directory.Application{ID: "shop-web", Tenant: "acme", Name: "Shop", Standing: directory.Active, Roles: []string{"order-reader"}}
	d.AddKey(KeyText, directory.Key{ID: "k_live", Application: "shop-web", Name: "live"})
	return d
}

// AddKey stores a key under the hash of its text.
func (d *Directory) AddKey(text string, k directory.Key) {
	k.Hash = directory.HashKey(text)
	d.Keys[k.Hash] = k
}

// Subscribe stores a subscription of shop-web.
func (d *Directory) Subscribe(api, version string, s directory.Subscription) {
	s.Application, s.API, s.Version = "shop-web", api, version
	d.Subscriptions[[3]string{"shop-web", api, version}] = s
}

// Key implements gate.Directory.
func (d *Directory) Key(hash *[32]byte, into *directory.Key) (bool, error) {
	return find(d, d.Keys, *hash, into)
}

// Application implements gate.Directory.
func (d *Directory) Application(id string, into *directory.Application) (bool, error) {
	return find(d, d.Applications, id, into)
}

// Tenant implements gate.Directory.
func (d *Directory) Tenant(id string, into *directory.Tenant) (bool, error) {
	return find(d, d.Tenants, id, into)
}

// Subscription implements gate.Directory.
func (d *Directory) Subscription(application, api, version string, into *directory.Subscription) (bool, error) {
	ok, err := find(d, d.Subscriptions, [3]string{application, api, version}, into)
	if ok || err != nil {
		return ok, err
	}
	return find(d, d.Subscriptions, [3]string{application, api, "*"}, into)
}

func find[K comparable, V any](d *Directory, rows map[K]V, k K, into *V) (bool, error) {
	if d.Err != nil {
		return false, d.Err
	}
	row, ok := rows[k]
	if ok {
		*into = row
	}
	return ok, nil
}

// Counters is a gate.Counters that gives Max units of every limit (Burst of a rate) and never gets any back by time. Set
// Err to make it fail.
type Counters struct {
	Err error

	mu     sync.Mutex
	used   map[counted]int64
	writes int
	dry    bool
	live   *Counters
}

type counted struct {
	limit   string
	subject gate.Subject
}

// NewCounters returns counters that have counted nothing.
func NewCounters() *Counters { return &Counters{used: map[counted]int64{}} }

// Dry returns a view that answers and never writes.
func (c *Counters) Dry() *Counters { return &Counters{dry: true, live: c} }

// Used returns how many units of a limit were taken for a subject.
func (c *Counters) Used(limit string, s gate.Subject) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.used[counted{limit, s}]
}

// Writes returns how many times something was taken or returned.
func (c *Counters) Writes() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.writes
}

// Take implements gate.Counters.
func (c *Counters) Take(_ context.Context, _ time.Time, takes []gate.Take) (int, error) {
	dry := c.dry
	if dry {
		c = c.live
	}
	if c.Err != nil {
		return -1, c.Err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	refused := -1
	for i := range takes {
		if most(takes[i].Limit)-c.used[counted{takes[i].Limit.ID, takes[i].Subject}] < 1 {
			refused = i
			break
		}
	}
	for i := range takes {
		t := &takes[i]
		k := counted{t.Limit.ID, t.Subject}
		if refused < 0 && !dry {
			c.used[k]++
			c.writes++
		}
		t.Reading = gate.LimitReading{Limit: t.Limit, Remaining: most(t.Limit) - c.used[k], Reset: time.Hour}
		if t.Reading.Remaining < 1 {
			t.Reading.Retry = 90 * time.Second
		}
	}
	return refused, nil
}

// Return implements gate.Counters.
func (c *Counters) Return(_ context.Context, _ time.Time, takes []gate.Take) {
	if c.dry {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range takes {
		c.used[counted{takes[i].Limit.ID, takes[i].Subject}]--
		c.writes++
	}
}

func most(l *gate.Limit) int64 {
	if l.Kind == gate.LimitRate {
		return l.Burst
	}
	return l.Max
}

// Upstream is a gate.Upstream in a given state. It has nothing that could be called.
type Upstream struct {
	Label string
	Is    gate.UpstreamState
}

// Name implements gate.Upstream.
func (u *Upstream) Name() string { return u.Label }

// State implements gate.Upstream.
func (u *Upstream) State(time.Time) gate.UpstreamState { return u.Is }

// Exchange returns a routed POST /orders/v1/orders to API orders v1, without a credential, in a world of its own:
// NewDirectory and NewCounters behind Env, and a healthy upstream. Options change it, in their order.
func Exchange(options ...func(*gate.Exchange)) *gate.Exchange {
	x := new(gate.Exchange)
	x.Reset()
	x.Env = &gate.Env{Now: func() time.Time { return Now }, Directory: NewDirectory(), Counters: NewCounters()}
	x.Started = Now
	x.Method, x.Target, x.RawPath, x.Path = "POST", "/orders/v1/orders", "/orders/v1/orders", "/orders/v1/orders"
	x.Host, x.Hostname, x.Scheme, x.Proto = "api.example.com", "api.example.com", "https", "HTTP/1.1"
	x.Peer = netip.MustParseAddrPort("198.51.100.7:40000")
	x.Client = x.Peer.Addr()
	x.Header.Add("Host", "api.example.com")
	x.Header.Add("User-Agent", "gatetest/1")
	x.Op = &gate.Operation{Tenant: "acme", API: "orders", Version: "v1", Name: "create-order", Title: "create orders",
		Method: "POST", Template: "/orders/v1/orders", Pointer: "/apis/0/versions/0/operations/0",
		Upstream: &Upstream{Label: "orders", Is: gate.UpstreamState{Targets: 1, Healthy: 1}}}
	for _, o := range options {
		o(x)
	}
	return x
}

// Header adds a header field.
func Header(name, value string) func(*gate.Exchange) {
	return func(x *gate.Exchange) { x.Header.Add(name, value) }
}

// Target sets method and request-target.
func Target(method, target string) func(*gate.Exchange) {
	return func(x *gate.Exchange) {
		x.Method, x.Target = method, target
		x.RawPath, x.RawQuery, _ = strings.Cut(target, "?")
		x.Path = x.RawPath
	}
}

// Content sets the body and its Content-Type.
func Content(contentType, body string) func(*gate.Exchange) {
	return func(x *gate.Exchange) {
		x.Header.Add("Content-Type", contentType)
		x.Header.Add("Content-Length", fmt.Sprint(len(body)))
		x.Body = Body([]byte(body))
	}
}

// Proven makes shop-web the proven caller, as authn would.
func Proven(x *gate.Exchange) {
	d := DirectoryOf(x)
	p := &x.Principal
	*p = gate.Principal{Proven: true, Method: "api_key", Field: "X-API-Key"}
	p.Key = d.Keys[directory.HashKey(KeyText)]
	p.Application = d.Applications[p.Key.Application]
	p.Tenant = d.Tenants[p.Application.Tenant]
	p.Scopes = p.Key.Scopes
}

// DirectoryOf returns the directory of an exchange made by Exchange.
func DirectoryOf(x *gate.Exchange) *Directory { return x.Env.Directory.(*Directory) }

// CountersOf returns the live counters of an exchange made by Exchange.
func CountersOf(x *gate.Exchange) *Counters {
	c := x.Env.Counters.(*Counters)
	if c.dry {
		return c.live
	}
	return c
}

// Dry makes an exchange one that only asks: nothing may be spent or written.
func Dry(x *gate.Exchange) {
	x.Env.Dry = true
	x.Env.Counters = CountersOf(x).Dry()
}

// ErrOutage is what dependencies fail with in tests.
var ErrOutage = errors.New("gatetest: the dependency does not answer")

// Outage makes directory and counters fail.
func Outage(x *gate.Exchange) {
	DirectoryOf(x).Err = ErrOutage
	CountersOf(x).Err = ErrOutage
}

// Body returns a body whose length is declared.
func Body(b []byte) gate.Body { return &body{rest: b, length: int64(len(b))} }

// StreamedBody returns a body whose length is not known before its end.
func StreamedBody(b []byte) gate.Body { return &body{rest: b, length: -1} }

// BrokenBody returns a body of a declared length whose sender breaks off after some bytes.
func BrokenBody(b []byte, length int64, err error) gate.Body {
	return &body{rest: b, length: length, err: err}
}

type body struct {
	rest   []byte
	length int64
	err    error // at the end; nil: io.EOF
	read   bool
}

func (b *body) Read(p []byte) (int, error) {
	b.read = true
	if len(b.rest) == 0 {
		if b.err != nil {
			return 0, b.err
		}
		return 0, io.EOF
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

func (b *body) Peek(ctx context.Context, max int) ([]byte, bool, error) {
	switch {
	case b.read:
		return nil, false, errors.New("gatetest: Peek after Read")
	case len(b.rest) > max:
		return b.rest[:max:max], false, nil
	case b.err != nil:
		return b.rest, false, b.err
	}
	return b.rest, true, ctx.Err()
}

func (b *body) Length() int64        { return b.length }
func (b *body) Replace(n []byte)     { b.rest, b.length = n, int64(len(n)) }
func (b *body) Trailer() header.List { return nil }
