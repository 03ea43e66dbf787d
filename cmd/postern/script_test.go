package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"postern/internal/admin"
	"postern/internal/change"
	"postern/internal/counter"
	"postern/internal/decision"
	"postern/internal/directory"
	"postern/internal/gate"
	"postern/internal/lab"
	"postern/internal/policy"
	"postern/internal/record"
	"postern/internal/snapshot"
	"postern/internal/sqlite"
	"postern/internal/store"
)

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	testscript.Main(m, map[string]func(){"postern": main})
}

// TestScripts runs testdata/*.txtar: each is a session at a terminal with a management API of its own, whose address is in
// POSTERN_ADDRESS and whose bootstrap token is in the file boot. `record` stores call records.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			g, err := startGateway(e)
			if err != nil {
				return err
			}
			e.Values["gateway"] = g
			e.Setenv("HOME", e.WorkDir+"/home")
			e.Setenv("XDG_CONFIG_HOME", "")
			e.Setenv("NO_COLOR", "1")
			e.Setenv("TZ", "UTC")
			e.Setenv("POSTERN_ADDRESS", g.url)
			e.Setenv("ADDRESS", g.url)
			return os.WriteFile(e.WorkDir+"/boot", []byte(g.boot+"\n"), 0o600)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"record":   record1,
			"exitcode": exitcode,
			"tokenenv": tokenenv,
			"api":      callAPI,
			"firstkey": firstKey,
			"firstsub": firstSubscription,
		},
	})
}

// exitcode runs a command and wants this very exit code: exitcode 3 postern …
func exitcode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exitcode code command…")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	if err != nil {
		coded, ok := err.(interface{ ExitCode() int })
		if !ok {
			ts.Fatalf("%v", err)
		}
		code = coded.ExitCode()
	}
	if got := fmt.Sprint(code); got != args[0] {
		ts.Fatalf("exit code %s, want %s", got, args[0])
	}
}

// tokenenv signs in by the bootstrap token, as scripts of programs do: through the environment.
func tokenenv(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Setenv("POSTERN_TOKEN", strings.TrimSpace(ts.ReadFile("boot")))
}

// record1 stores call records: record outcome status application reason…
func record1(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 4 {
		ts.Fatalf("usage: record outcome status application reason")
	}
	g := ts.Value("gateway").(*gatewayUnderTest)
	r := record.Record{ID: decision.NewTraceID(time.Now()), Time: time.Now(), Generation: 1, Method: "POST", Scheme: "http", Host: "api.example.com", Path: "/orders/all", Client: "127.0.0.1", Peer: "127.0.0.1", Proto: "HTTP/1.1",
		Outcome: args[0], Origin: "gateway", Application: args[2], Took: 1500 * time.Microsecond}
	if _, err := fmt.Sscan(args[1], &r.Status); err != nil {
		ts.Fatalf("status: %v", err)
	}
	if args[3] != "-" {
		r.Reason = args[3]
		r.Gate, _, _ = strings.Cut(args[3], ".")
	}
	ts.Check(g.db.Records().AppendRecords(context.Background(), []record.Record{r}))
	ts.Setenv("TRACE", r.ID.String())
}

// callAPI sends what the command line has no verb for: api METHOD path body.
func callAPI(ts *testscript.TestScript, _ bool, args []string) {
	g := ts.Value("gateway").(*gatewayUnderTest)
	r, err := http.NewRequest(args[0], g.url+"/api/v1"+args[1], strings.NewReader(args[2]))
	ts.Check(err)
	r.Header.Set("Authorization", "Bearer "+g.boot)
	resp, err := http.DefaultClient.Do(r)
	ts.Check(err)
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode >= 300 {
		ts.Fatalf("%s %s: %s", args[0], args[1], resp.Status)
	}
}

// firstKey puts the id of the first key into KEY.
func firstKey(ts *testscript.TestScript, _ bool, _ []string) {
	keys, err := ts.Value("gateway").(*gatewayUnderTest).db.Keys(context.Background(), "", store.Page{Limit: 1})
	ts.Check(err)
	ts.Setenv("KEY", keys[0].ID)
}

// firstSubscription puts the id of the first subscription into SUBSCRIPTION.
func firstSubscription(ts *testscript.TestScript, _ bool, _ []string) {
	all, err := ts.Value("gateway").(*gatewayUnderTest).db.Subscriptions(context.Background(), "", store.Page{Limit: 1})
	ts.Check(err)
	ts.Setenv("SUBSCRIPTION", all[0].ID)
}

// gatewayUnderTest is a management API over a real store. It compiles like a gateway, and serves no traffic.
type gatewayUnderTest struct {
	db   *sqlite.DB
	url  string
	boot string

	mu      sync.Mutex
	running *snapshot.Snapshot
	source  []byte
}

func startGateway(e *testscript.Env) (*gatewayUnderTest, error) {
	ctx := context.Background()
	db, err := sqlite.Open(ctx, e.WorkDir+"/.data", sqlite.Options{})
	if err != nil {
		return nil, err
	}
	e.Defer(func() { _ = db.Close() })
	g := &gatewayUnderTest{db: db}
	api, err := admin.New(admin.Options{Store: db, Records: db.Records(), Config: g, Lab: g, Now: time.Now, Version: "test"})
	if err != nil {
		return nil, err
	}
	if g.boot, err = api.EnsureBootstrap(ctx); err != nil {
		return nil, err
	}
	srv := httptest.NewServer(api.Handler())
	e.Defer(srv.Close)
	g.url = srv.URL
	return g, nil
}

// Current implements admin.Config.
func (g *gatewayUnderTest) Current() (*policy.Document, []byte, uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.running == nil {
		return nil, nil, 0
	}
	return g.running.Document, g.source, g.running.Generation
}

// Apply implements admin.Config.
func (g *gatewayUnderTest) Apply(ctx context.Context, base uint64, text []byte, actor, from, comment string, dry bool) (uint64, error) {
	doc, err := policy.Parse("", text)
	if err != nil {
		return 0, err
	}
	s, err := snapshot.Compile(doc, base+1, snapshot.Deps{Upstream: func(name string) (gate.Upstream, bool) {
		_, ok := doc.Upstreams[name]
		return idleUpstream(name), ok
	}})
	if err != nil {
		return 0, change.Located(doc, err)
	}
	if dry {
		return base, nil
	}
	entry := store.AuditEntry{Time: time.Now(), Actor: actor, From: from, Action: "config.apply", Target: "config"}
	if err := g.db.Update(ctx, entry, func(tx store.Tx) error {
		_, err := tx.AppendGeneration(ctx, base, store.Generation{Document: text, Actor: actor, Comment: comment, Created: time.Now()})
		return err
	}); err != nil {
		return 0, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running, g.source = s, text
	return base + 1, nil
}

// Simulate implements admin.Lab.
func (g *gatewayUnderTest) Simulate(ctx context.Context, r admin.SimulateRequest) (any, error) {
	index := directory.NewIndex()
	index.Begin().Commit()
	opts, err := supposed(ctx, g.db, r, g.running)
	if err != nil {
		return nil, err
	}
	return judged(ctx, g.running, &gate.Env{Now: time.Now, Directory: index, Counters: counter.New(counter.Options{})}, []byte(r.Request), r.Hint, netip.Addr{}, append(opts, lab.Proven(&lab.Prover{})))
}

// Matrix implements admin.Matrixer.
func (g *gatewayUnderTest) Matrix(ctx context.Context, _ admin.SimulateRequest) (any, error) {
	index := directory.NewIndex()
	load := index.Begin()
	if err := g.db.EachApplication(ctx, func(a directory.Application) error { load.PutApplication(a); return nil }); err != nil {
		return nil, err
	}
	if err := g.db.EachTenant(ctx, func(t directory.Tenant) error { load.PutTenant(t); return nil }); err != nil {
		return nil, err
	}
	load.Commit()
	return matrixOf(ctx, g.db, g.running, &gate.Env{Now: time.Now, Directory: index, Counters: counter.New(counter.Options{})}, netip.Addr{})
}

// Explain implements admin.Lab.
func (g *gatewayUnderTest) Explain(ctx context.Context, id decision.TraceID, asker decision.Disclosure) (any, error) {
	r, err := g.db.Records().Record(ctx, id)
	if err != nil {
		return nil, err
	}
	return lab.Explain(ctx, r, g.running, &gate.Env{Now: time.Now}, asker), nil
}
