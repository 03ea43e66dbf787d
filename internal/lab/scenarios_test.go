package lab_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
	yaml "go.yaml.in/yaml/v4"

	"postern/internal/counter"
	"postern/internal/decision"
	"postern/internal/directory"
	"postern/internal/gate"
	"postern/internal/gatetest"
	"postern/internal/jose"
	"postern/internal/lab"
	"postern/internal/policy"
	"postern/internal/snapshot"
)

var update = flag.Bool("update", false, "write the expected parts of scenarios/*.txtar anew")

// scenario is one archive of scenarios/: see scenarios/README.md for what its files mean.
type scenario struct {
	config, request string
	directory       people
	now             time.Time
	from            netip.Addr
	earlier         int
	outage          []string
	upstreams       map[string]state
	keys            *jose.Set // of every token issuer; nil: not fetched
	credentials     *gatetest.Credentials
}

type people struct {
	Tenants []struct {
		ID       string             `yaml:"id"`
		Standing directory.Standing `yaml:"standing"`
	} `yaml:"tenants"`
	Applications []struct {
		ID       string             `yaml:"id"`
		Tenant   string             `yaml:"tenant"`
		Standing directory.Standing `yaml:"standing"`
		Roles    []string           `yaml:"roles"`
	} `yaml:"applications"`
	Keys []struct {
		ID          string    `yaml:"id"`
		Application string    `yaml:"application"`
		Key         string    `yaml:"key"`
		Scopes      []string  `yaml:"scopes"`
		Expires     time.Time `yaml:"expires"`
		Revoked     time.Time `yaml:"revoked"`
		ReplacedBy  string    `yaml:"replaced_by"`
	} `yaml:"keys"`
	Subscriptions []struct {
		ID          string                      `yaml:"id"`
		Application string                      `yaml:"application"`
		API         string                      `yaml:"api"`
		Version     string                      `yaml:"version"`
		Plan        string                      `yaml:"plan"`
		State       directory.SubscriptionState `yaml:"state"`
		Comment     string                      `yaml:"comment"`
		Expires     time.Time                   `yaml:"expires"`
	} `yaml:"subscriptions"`
}

type state struct {
	Targets     int       `yaml:"targets"`
	Healthy     int       `yaml:"healthy"`
	CircuitOpen bool      `yaml:"circuit_open"`
	Until       time.Time `yaml:"until"`
	Credential  string    `yaml:"credential"`
}

func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("../../scenarios/*.txtar")
	if err != nil || len(files) < 25 {
		t.Fatalf("%d scenarios: %v", len(files), err)
	}
	reasons := map[string]bool{}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if len(bytes.TrimSpace(a.Comment)) == 0 {
				t.Error("the archive does not begin with words for the reader")
			}
			trace, response, code := play(t, readScenario(t, a))
			reasons[code] = true
			expect(t, a, "trace", trace)
			expect(t, a, "response", response)
			expect(t, a, "fixes", fixesOf(t, readScenario(t, a)))
			if *update {
				if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
	// Every reason that a gate can give by now has a scenario. Those of forwarding and of framing are tested where they arise.
	for _, code := range strings.Fields(`route.not_found route.method_not_allowed api.retired request.malformed ip.denied ip.not_allowed ip.unclear
		origin.cors_denied origin.preflight_denied origin.cross_site origin.wrong_origin origin.csrf_missing origin.csrf_invalid origin.csrf_expired
		authn.credential_missing authn.credential_misplaced authn.credential_rejected authn.key_expired authn.key_revoked authn.unavailable
		authn.token_expired authn.token_not_yet_valid authn.token_audience authn.token_issuer authn.token_key_unknown authn.token_signature
		authn.token_algorithm authn.token_claim authn.application_unknown authn.credential_revoked authn.credential_expired
		authn.too_many_failures authn.signature_invalid authn.signature_time authn.signature_coverage authn.digest_mismatch
		account.tenant_suspended account.application_suspended subscription.missing subscription.pending
		subscription.rejected subscription.suspended subscription.revoked subscription.expired authz.scope_insufficient
		waf.blocked waf.uninspected authz.permission_missing authz.not_permitted authz.not_owner authz.forbidden authz.input_unusable authz.unavailable limit.rate limit.quota limit.unavailable guardrail.model_unknown guardrail.model_not_allowed
		guardrail.unpriced guardrail.unreadable upstream.none_healthy upstream.circuit_open upstream.credential`) {
		if !reasons[code] {
			t.Errorf("no scenario refuses with %s", code)
		}
	}
}

// play asks the lab, then lets the same request arrive for real, and checks that the two agree.
func play(t *testing.T, s scenario) (trace, response, code string) {
	t.Helper()
	ctx := context.Background()
	w := setUp(t, s)
	snap, env, req := w.snap, w.env, w.req

	result := lab.Simulate(ctx, snap, env, req)
	again := lab.Simulate(ctx, snap, env, req)
	if result.Verdict != again.Verdict || result.Reason != again.Reason {
		t.Errorf("simulating changed the answer: %s %s, then %s %s", result.Verdict, result.Reason, again.Verdict, again.Reason)
	}
	var b strings.Builder
	if err := result.WriteText(&b, false); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), "H5yX2m9") {
		t.Error("the table shows a key")
	}

	x := live(t, req)
	x.Env = env
	v := snap.Judge(ctx, x, gate.StopAtFirst)
	switch {
	case result.Verdict == lab.Unknown: // live, what cannot be decided is refused; the lab says that it does not know
		if v.Passed() {
			t.Errorf("the lab does not know and the request passes")
		}
		return b.String(), "", ""
	case v.Passed() != (result.Verdict == lab.Allowed):
		t.Fatalf("the lab says %s, and the request itself got %s", result.Verdict, v.Outcome())
	case v.Passed(), v.Outcome() == decision.OutcomeAnswer:
		return b.String(), "", ""
	}
	if v.Reason().Code != result.Reason {
		t.Errorf("the lab says %s, and the request itself was refused for %s", result.Reason, v.Reason().Code)
	}
	said := v.Render(x.Asker())
	if said.Reason.Code != result.Told.Reason || said.Detail != result.Told.Detail {
		t.Errorf("the lab says that the caller is told %q, and it is told %q", result.Told.Detail, said.Detail)
	}
	response = fmt.Sprintf("%d %s\n%s\n%s\n", v.Reason().Status, said.Reason.Code, said.Detail, strings.Join(said.Remedies, "\n"))
	return b.String(), response, v.Reason().Code
}

// fixesOf is what the lab says would let the request pass, as the command line prints it.
func fixesOf(t *testing.T, s scenario) string {
	t.Helper()
	w := setUp(t, s)
	r := lab.Simulate(t.Context(), w.snap, w.env, w.req, lab.Proven(&lab.Prover{Holders: w.holders, Time: time.Minute}))
	if r.Verdict != lab.Refused {
		return ""
	}
	var b strings.Builder
	if err := (lab.Result{Fixes: r.Fixes, WhyNot: r.WhyNot}).WriteFixes(&b, false); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// holders counts the applications of the scenario that have a role.
func (w played) holders(_ context.Context, role string) (n int, err error) {
	for _, a := range w.env.Directory.(*gatetest.Directory).Applications {
		if slices.Contains(a.Roles, role) {
			n++
		}
	}
	return n, nil
}

// played is a scenario ready to be asked about.
type played struct {
	doc  *policy.Document
	snap *snapshot.Snapshot
	env  *gate.Env
	req  lab.Request
}

func setUp(t *testing.T, s scenario) played {
	t.Helper()
	ctx := context.Background()
	doc, err := policy.Parse("config.yaml", []byte(s.config))
	if err != nil {
		t.Fatal(err)
	}
	snap, err := snapshot.Compile(doc, 1, snapshot.Deps{Secret: secretOf, Upstream: func(name string) (gate.Upstream, bool) {
		_, known := doc.Upstreams[name]
		u := pool{name, gate.UpstreamState{Targets: 1, Healthy: 1}}
		if is, ok := s.upstreams[name]; ok {
			u.is = gate.UpstreamState{Targets: is.Targets, Healthy: is.Healthy, CircuitOpen: is.CircuitOpen, Until: is.Until, CredentialError: is.Credential}
		}
		return u, known
	}})
	if err != nil {
		t.Fatal(err)
	}
	requests, err := lab.ParseRequest([]byte(s.request), "")
	if err != nil || len(requests) != 1 {
		t.Fatalf("%d requests: %v", len(requests), err)
	}
	req := requests[0]
	req.Client = s.from
	counters := counter.New(counter.Options{})
	env := &gate.Env{Now: func() time.Time { return s.now }, Directory: s.people(), Counters: counters}
	if s.credentials != nil {
		env.Credentials = &gatetest.Credentials{ByID: s.credentials.ByID}
	}
	if s.keys != nil {
		env.KeySets = &gatetest.KeySets{Set: s.keys}
	}
	for _, what := range s.outage {
		switch what {
		case "jwks":
			env.KeySets = &gatetest.KeySets{Err: errors.New("https://id.example.com/keys answers 502")}
		case "directory":
			env.Directory.(*gatetest.Directory).Err = errors.New("the index is not loaded")
			if c, ok := env.Credentials.(*gatetest.Credentials); ok {
				c.Err = errors.New("the index is not loaded")
			}
		case "counters":
			env.Counters = brokenCounters{}
		case "asker":
			env.Asker = brokenAsker{}
		default:
			t.Fatalf("there is no outage of %q", what)
		}
	}
	for range s.earlier {
		x := live(t, req)
		x.Env = env
		snap.Judge(ctx, x, gate.StopAtFirst)
	}
	return played{doc, snap, env, req}
}

// brokenAsker reaches nobody.
type brokenAsker struct{}

func (brokenAsker) Ask(context.Context, *gate.Question) (gate.Said, error) {
	return gate.Said{}, errors.New("it did not answer within 1s")
}

// secretOf follows references to secrets: every environment variable has a value.
func secretOf(ref string) (string, error) {
	return policy.Resolve(ref, func(name string) (string, bool) { return "a scenario's value of " + name + ", long enough", true }, os.ReadFile)
}

// live builds the exchange that an engine would build.
func live(t *testing.T, req lab.Request) *gate.Exchange {
	t.Helper()
	x, err := lab.Exchange(req)
	if err != nil {
		t.Fatal(err)
	}
	if !x.Peer.IsValid() {
		x.Peer = netip.MustParseAddrPort("127.0.0.1:40000")
	}
	return x
}

func (s scenario) people() *gatetest.Directory {
	d := &gatetest.Directory{
		Keys: map[[32]byte]directory.Key{}, Applications: map[string]directory.Application{},
		Tenants: map[string]directory.Tenant{}, Subscriptions: map[[3]string]directory.Subscription{},
	}
	for _, x := range s.directory.Tenants {
		d.Tenants[x.ID] = directory.Tenant{ID: x.ID, Standing: or(x.Standing, directory.Active)}
	}
	for _, a := range s.directory.Applications {
		d.Applications[a.ID] = directory.Application{ID: a.ID, Tenant: a.Tenant, Standing: or(a.Standing, directory.Active), Roles: a.Roles}
	}
	for _, k := range s.directory.Keys {
		d.AddKey(k.Key, directory.Key{ID: k.ID, Application: k.Application, Scopes: k.Scopes, Expires: k.Expires, Revoked: k.Revoked, ReplacedBy: k.ReplacedBy})
	}
	for i, b := range s.directory.Subscriptions {
		d.Subscriptions[[3]string{b.Application, b.API, b.Version}] = directory.Subscription{
			ID: or(b.ID, fmt.Sprintf("s_%d", i+1)), Application: b.Application, API: b.API, Version: b.Version, Plan: b.Plan,
			State: or(b.State, directory.Approved), Comment: b.Comment, Expires: b.Expires}
	}
	return d
}

func or[T ~string](v, otherwise T) T {
	if v == "" {
		return otherwise
	}
	return v
}

// brokenCounters do not answer, and nobody may take from them.
type brokenCounters struct{}

func (brokenCounters) Take(context.Context, time.Time, []gate.Take) (int, error) {
	return -1, errors.New("the counters do not answer")
}
func (brokenCounters) Return(context.Context, time.Time, []gate.Take) {}
func (b brokenCounters) Dry() gate.Counters                           { return b }

func readScenario(t *testing.T, a *txtar.Archive) scenario {
	t.Helper()
	s := scenario{now: time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)}
	for _, f := range a.Files {
		text := strings.TrimSpace(string(f.Data))
		var err error
		switch f.Name {
		case "config.yaml":
			s.config = string(f.Data)
		case "directory.yaml":
			err = yaml.Load(f.Data, &s.directory, yaml.WithKnownFields())
		case "credentials.yaml":
			s.credentials, err = readCredentials(f.Data)
		case "jwks.json":
			s.keys, err = jose.ParseSet(f.Data)
		case "upstreams.yaml":
			err = yaml.Load(f.Data, &s.upstreams, yaml.WithKnownFields())
		case "now":
			s.now, err = time.Parse(time.RFC3339, text)
		case "request":
			s.request = string(f.Data)
		case "from":
			s.from, err = netip.ParseAddr(text)
		case "earlier":
			s.earlier, err = strconv.Atoi(text)
		case "outage":
			s.outage = strings.Fields(text)
		case "trace", "response", "fixes":
		default:
			err = errors.New("the format has no such file")
		}
		if err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
	}
	return s
}

// expect compares a golden part, or writes it.
func expect(t *testing.T, a *txtar.Archive, name, got string) {
	t.Helper()
	for i := range a.Files {
		if a.Files[i].Name != name {
			continue
		}
		if *update {
			a.Files[i].Data = []byte(got)
		} else if string(a.Files[i].Data) != got {
			t.Errorf("%s:\n got\n%s\nwant\n%s(go test ./internal/lab -run Scenarios -update writes it)", name, got, a.Files[i].Data)
		}
		return
	}
	switch {
	case *update && got != "":
		a.Files = append(a.Files, txtar.File{Name: name, Data: []byte(got)})
	case got != "" && name == "trace":
		t.Error("the archive expects nothing: it has no trace")
	}
}
