package forward

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"postern/internal/gate"
	"postern/internal/header"
	"postern/internal/policy"
)

// pool is one upstream at work: its targets and everything learned about them.
type pool struct {
	name    string
	key     string // the configuration it was built from; equal keys are the same pool
	log     logger
	now     func() time.Time
	targets []*target
	balance balancer

	protocol string // auto, http1, h2 or h2c
	host     string // target, pass or a literal name
	keep     int    // idle connections to each target
	limits   limits
	tls      *tls.Config // nil when no target is https
	h2       *http.Transport

	circuit  *circuit
	passive  *passive
	attempts int
	repeat   []int // statuses worth another try
	budget   budget
	ejecting sync.Mutex

	check   *policy.HealthCheck
	checks  context.CancelFunc // nil while they do not run; guarded by Pools.commit, as is retired
	running sync.WaitGroup
	retired bool
}

// limits are the timeouts of a call.
type limits struct{ connect, write, firstByte, read, idle, total time.Duration }

// passive says when failures seen in traffic take a target out.
type passive struct {
	failures int
	length   time.Duration
	status   []int
}

// newPool builds a pool. It opens files but no connection, and starts nothing.
func newPool(name, key string, u policy.Upstream, log logger, now func() time.Time) (*pool, error) {
	t := u.Timeouts
	p := &pool{
		name: name, key: key, log: log, now: now,
		protocol: u.Protocol, host: u.Host, keep: u.Connections, check: u.Health, circuit: newCircuit(u.Circuit),
		limits: limits{
			connect: t.Connect.Or(5 * time.Second), write: t.Write.Or(30 * time.Second), firstByte: t.FirstByte.Or(60 * time.Second),
			read: t.Read.Or(60 * time.Second), idle: t.Idle.Or(60 * time.Second), total: time.Duration(t.Total),
		},
		attempts: 2,
	}
	if p.protocol == "" {
		p.protocol = "auto"
	}
	if p.keep <= 0 {
		p.keep = 256
	}
	share := 0.2
	if r := u.Retry; r != nil {
		if r.Attempts > 0 {
			p.attempts = min(r.Attempts, maxAttempts)
		}
		if r.Budget > 0 {
			share = r.Budget
		}
		p.repeat = r.Status
	}
	p.budget.init(share)
	if u.Passive != nil {
		p.passive = &passive{failures: u.Passive.Failures, length: u.Passive.For.Or(10 * time.Second), status: u.Passive.Status}
		if p.passive.failures <= 0 {
			p.passive.failures = 5
		}
		if p.passive.status == nil {
			p.passive.status = []int{502, 503, 504}
		}
	}
	if err := p.addTargets(u); err != nil {
		return nil, err
	}
	p.balance = newBalancer(u, p.targets)
	return p, nil
}

func (p *pool) addTargets(u policy.Upstream) error {
	if len(u.Targets) == 0 {
		return fmt.Errorf("it has no targets: add at least one, such as {url: http://10.0.0.1:8080}")
	}
	https := false
	for i, pt := range u.Targets {
		t, err := parseTarget(pt)
		if err != nil {
			return fmt.Errorf("target %d: %w", i, err)
		}
		if t.https && p.protocol == "h2c" {
			return fmt.Errorf("target %d: h2c is HTTP/2 without TLS, but %s is https: write http://, or protocol h2", i, t.name)
		}
		if !t.https && p.protocol == "h2" {
			return fmt.Errorf("target %d: h2 needs https, but %s is http: write https://, or protocol h2c", i, t.name)
		}
		t.pool = p
		https = https || t.https
		p.targets = append(p.targets, t)
	}
	switch p.protocol {
	case "auto", "http1", "h2", "h2c":
	default:
		return fmt.Errorf("protocol %q is not known: write auto, http1, h2 or h2c", p.protocol)
	}
	if https {
		var err error
		if p.tls, err = tlsConfig(u.TLS); err != nil {
			return err
		}
	}
	if p.protocol == "h2c" || https && p.protocol != "http1" {
		p.h2 = newTransport(p)
	}
	if p.check != nil && !strings.HasPrefix(p.check.Path, "/") {
		return fmt.Errorf("health.path %q does not start with /: write the path to ask, such as /healthz", p.check.Path)
	}
	return validBalance(u)
}

func validBalance(u policy.Upstream) error {
	switch u.Balance {
	case "", "round_robin", "least_request", "consistent_hash":
	default:
		return fmt.Errorf("balance %q is not known: write round_robin, least_request or consistent_hash", u.Balance)
	}
	kind, name, named := strings.Cut(u.HashOn, ":")
	switch {
	case u.HashOn == "", !named && slices.Contains([]string{"address", "application", "path"}, kind):
	case named && name != "" && (kind == "header" || kind == "cookie"):
	default:
		return fmt.Errorf("hash_on %q is not known: write address, application, path, header:<name> or cookie:<name>", u.HashOn)
	}
	return nil
}

// eject takes a target out for a while after failures seen in traffic.
//
// RATIONALE: at most half of the targets are out by ejection at a time, and the only one never is. If all fail, the cause is
// likely to be shared (a database, a bad release), and sending everything to the last ones standing would finish them.
// Suspending an upstream as a whole is the circuit breaker's task.
func (p *pool) eject(t *target, now time.Time) {
	p.ejecting.Lock()
	defer p.ejecting.Unlock()
	n, out := now.UnixNano(), 0
	for _, o := range p.targets {
		if o.out(n) {
			out++
		}
	}
	if t.out(n) || (out+1)*2 > len(p.targets) {
		return
	}
	t.failures.Store(0)
	t.ejected.Store(n + int64(p.passive.length))
	p.log.Warn("upstream target taken out after failures in traffic", "upstream", p.name, "target", t.name, "for", p.passive.length)
}

// state is the health of the pool at one moment, without side effects.
func (p *pool) state(now time.Time) (s gate.UpstreamState) {
	s.Targets = len(p.targets)
	n := now.UnixNano()
	for _, t := range p.targets {
		if t.usable(n) {
			s.Healthy++
		}
	}
	s.Until, s.CircuitOpen = p.circuit.isOpen(now)
	return s
}

// start begins active checks. A pool that retired between a Prepare and its Commit comes back to life.
func (p *pool) start() {
	if p.retired {
		p.retired = false
		for _, t := range p.targets {
			t.idle.open()
		}
	}
	if p.check == nil || p.checks != nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.checks = cancel
	for _, t := range p.targets {
		p.running.Go(func() { p.watch(ctx, t) })
	}
}

// retire ends checks and closes idle connections. Calls in flight finish, and their connections are closed then.
func (p *pool) retire() {
	p.retired = true
	if p.checks != nil {
		p.checks()
		p.running.Wait()
		p.checks = nil
	}
	for _, t := range p.targets {
		t.idle.close()
		t.stash(nil)
	}
	if p.h2 != nil {
		p.h2.CloseIdleConnections()
	}
}

// inherit takes over what an older pool of the same name knows about targets that both have.
func (p *pool) inherit(old *pool) {
	for _, t := range p.targets {
		for _, o := range old.targets {
			if t.name == o.name && t.prefix == o.prefix {
				t.inherit(o)
				if p.check == nil {
					t.sick.Store(false) // nobody would ever find it well again
				}
			}
		}
	}
	p.circuit.inherit(old.circuit)
}

// Upstream is a pool with the credential of one configuration. It implements gate.Upstream.
type Upstream struct {
	pool       *pool
	credential header.Field // added to requests; no name: none
	missing    string       // why the credential cannot be used
	keepCaller bool         // pass the caller's own credential on
	identity   identity     // fields that tell who calls
}

// Name returns the upstream's name in the configuration.
func (u *Upstream) Name() string { return u.pool.name }

// State implements gate.Upstream.
func (u *Upstream) State(now time.Time) gate.UpstreamState {
	s := u.pool.state(now)
	s.CredentialError = u.missing
	return s
}
