package lab

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"postern/internal/counter"
	"postern/internal/decision"
	"postern/internal/directory"
	"postern/internal/gate"
	"postern/internal/header"
	"postern/internal/reqtext"
	"postern/internal/snapshot"
)

// TestReport is what became of the tests of a file. Its JSON is stable.
type TestReport struct {
	File    string        `json:"file"`
	Results []TestResult  `json:"results"`
	Took    time.Duration `json:"took_ns"`
	// Coverage is how many of the rules decided: a rule is a gate of an operation, and it decided when it was the first to
	// refuse a request of a test.
	Rules       int      `json:"rules"`
	Decided     int      `json:"decided"`
	Undecided   []string `json:"undecided,omitempty"`   // rules that no test made decide
	Unrequested []string `json:"unrequested,omitempty"` // operations that no test reached
}

// TestResult is one test.
type TestResult struct {
	Name    string        `json:"name"`
	Line    int           `json:"line,omitempty"`
	Passed  bool          `json:"passed"`
	Want    string        `json:"want"`
	Got     string        `json:"got"`
	Problem string        `json:"problem,omitempty"` // how it failed, in a sentence
	Trace   string        `json:"trace,omitempty"`   // the table of gates, of a test that failed
	Took    time.Duration `json:"took_ns"`
}

// Failed counts the tests that failed.
func (r TestReport) Failed() (n int) {
	for _, t := range r.Results {
		if !t.Passed {
			n++
		}
	}
	return n
}

// ruleSeen remembers what tests made decide.
type ruleSeen struct{ refused, reached map[string]bool }

// RunTests runs the tests of a file against a compiled configuration.
func RunTests(ctx context.Context, name string, f *TestFile, snap *snapshot.Snapshot) (TestReport, error) {
	begun := time.Now()
	out := TestReport{File: name, Results: []TestResult{}}
	seen := ruleSeen{map[string]bool{}, map[string]bool{}}
	now := f.Now
	if now.IsZero() {
		now = begun
	}
	for i := range f.Tests {
		if err := ctx.Err(); err != nil {
			return out, err
		}
		t := &f.Tests[i]
		start := time.Now()
		r, err := t.run(ctx, f, snap, now, seen)
		if err != nil {
			r = TestResult{Problem: err.Error(), Got: "an error"}
		}
		r.Name, r.Line, r.Want, r.Took = t.Name, t.line, t.Expect, time.Since(start)
		out.Results = append(out.Results, r)
	}
	out.cover(snap, seen)
	out.Took = time.Since(begun)
	return out, nil
}

func (t *Test) run(ctx context.Context, f *TestFile, snap *snapshot.Snapshot, now time.Time, seen ruleSeen) (r TestResult, err error) {
	req, err := t.request(f.Host)
	if err != nil {
		return r, err
	}
	counters := counter.New(counter.Options{})
	dir := f.Directory.memory()
	env := &gate.Env{Now: func() time.Time { return now }, Directory: dir, Counters: counters.Dry(), Dry: true}
	w := newWorld(still(situation{snap: snap, env: env, blind: map[string]string{}, req: req, id: decision.NewTraceID(now)}))
	if t.From != "" {
		w.peer = netip.AddrPortFrom(netip.MustParseAddr(t.From), 0)
	}
	if err := t.cast(w, snap, dir); err != nil {
		return r, err
	}
	for range t.Earlier {
		x, err := exchange(w.req, w.peer)
		if err != nil {
			return r, err
		}
		x.Env = &gate.Env{Now: env.Now, Directory: w.people, Counters: counters}
		if w.ifs.none() {
			snap.Judge(ctx, x, gate.StopAtFirst)
		} else {
			snap.JudgeWhatIf(ctx, x, w.ifs.chain)
		}
	}
	a, err := w.run(ctx, nil)
	if err != nil {
		return r, err
	}
	seen.note(a)
	res := Result{Method: req.Method, URL: redactURL(req.URL), Generation: snap.Generation, Gates: a.rows()}
	res.conclude(a.x)
	r.Got = got(res)
	if r.Problem = t.judge(ctx, res, w, a); r.Problem != "" {
		var b strings.Builder
		if err := res.WriteText(&b, false); err != nil {
			return r, err
		}
		r.Trace = b.String()
	}
	r.Passed = r.Problem == ""
	return r, nil
}

// got words a result as expectations are written.
func got(r Result) string {
	if r.Verdict == Refused {
		return strconv.Itoa(r.Status) + " " + r.Reason
	}
	if r.Reason != "" {
		return r.Verdict + " " + r.Reason
	}
	return r.Verdict
}

// judge says how a result differs from what is expected, or "".
func (t *Test) judge(ctx context.Context, r Result, w *world, a *asked) string {
	e, err := t.expected()
	if err != nil {
		return err.Error()
	}
	switch {
	case e.verdict != "" && e.verdict != r.Verdict,
		e.reason != "" && e.reason != r.Reason,
		e.status != 0 && e.status >= 400 && e.status != r.Status,
		e.status != 0 && e.status < 400 && r.Verdict != Allowed && r.Verdict != Answered:
		return fmt.Sprintf("expected %s, got %s", t.Expect, got(r))
	}
	for _, name := range sortedKeys(t.Header) {
		value := map[string]string{"www-authenticate": a.x.Challenge, "allow": a.x.Allow}[strings.ToLower(name)]
		if strings.EqualFold(name, "Retry-After") && a.x.RetryAfter > 0 {
			value = strconv.FormatInt(int64((a.x.RetryAfter+time.Second-1)/time.Second), 10)
		}
		if value == "" || !strings.Contains(value, t.Header[name]) {
			return fmt.Sprintf("expected the field %s with %q, got %q", name, t.Header[name], value)
		}
	}
	if t.Remedy == "" {
		return ""
	}
	p := Prover{Holders: func(_ context.Context, role string) (n int, _ error) {
		for _, app := range w.people.applications {
			if slices.Contains(app.Roles, role) {
				n++
			}
		}
		return n, nil
	}}
	fixes, _ := p.fixes(ctx, w, a)
	var all []string
	for _, f := range fixes {
		for _, c := range f.Changes {
			if f.Verified && (c.Kind == t.Remedy || strings.Contains(c.Text, t.Remedy)) {
				return ""
			}
			all = append(all, c.Kind)
		}
	}
	return fmt.Sprintf("expected a verified remedy %q, got %s", t.Remedy, orElse(words(all), "none"))
}

// request reads the request of a test.
func (t *Test) request(host string) (Request, error) {
	method, target, ok := strings.Cut(t.Request, " ")
	var req Request
	if ok && !strings.ContainsAny(target, " \n") && method != "curl" {
		if strings.HasPrefix(target, "/") {
			target = "http://" + orElse(host, "any.invalid") + target
		}
		req = Request{Method: method, URL: target}
	} else {
		all, err := reqtext.Parse([]byte(t.Request), "")
		if err != nil {
			return req, err
		}
		if len(all) != 1 {
			return req, fmt.Errorf("a test is about one request, and this has %d", len(all))
		}
		req = all[0]
	}
	for _, name := range sortedKeys(t.Headers) {
		req.Header = append(req.Header, header.Field{Name: name, Value: t.Headers[name]})
	}
	if t.Body != "" {
		req.Body = []byte(t.Body)
	}
	if len(req.Body) > 0 && !req.Header.Has("Content-Type") {
		req.Header = append(req.Header, header.Field{Name: "Content-Type", Value: "application/json"})
	}
	return req, nil
}

// cast lets the request come from whom the test names. A role is played by an application that has it and no other, and
// that is subscribed to every API.
func (t *Test) cast(w *world, snap *snapshot.Snapshot, dir *people) error {
	kind, id, ok := strings.Cut(t.As, ":")
	if !ok {
		kind, id = "", t.As
	}
	if kind == "" {
		_, isRole := snap.Document.Roles[id]
		_, isApplication := dir.applications[id]
		switch {
		case id == "" || id == "nobody":
			return nil
		case isRole && isApplication:
			return fmt.Errorf("as: %s is a role and an application; write role:%s or application:%s", id, id, id)
		case isRole:
			kind = "role"
		default:
			kind = "application"
		}
	}
	switch kind {
	case "application":
		if _, ok := dir.applications[id]; !ok {
			return fmt.Errorf("as: %s is neither a role of the configuration nor an application of the directory", id)
		}
		w.ifs.caller = &caller{application: id}
	case "role":
		if _, ok := snap.Document.Roles[id]; !ok {
			return fmt.Errorf("as: the configuration has no role %s", id)
		}
		app := directory.Application{ID: "role-" + id, Tenant: "tests", Standing: directory.Active, Roles: []string{id}}
		w.people.applications = with(w.people.applications, app.ID, app)
		w.people.tenants = with(w.people.tenants, app.Tenant, directory.Tenant{ID: app.Tenant, Standing: directory.Active})
		for _, api := range snap.Document.APIs {
			w.people.putSubscription(directory.Subscription{ID: "s_tests", Application: app.ID, API: api.Name, Version: "*", State: directory.Approved})
		}
		w.ifs.caller = &caller{application: app.ID}
	case "key":
		for _, k := range dir.keys {
			if k.ID == id {
				field := "X-API-Key"
				if a, err := w.run(context.Background(), nil); err == nil && a.x.Op != nil {
					field = credentialField(snap.Document, a.x.Op)
				}
				w.holdKey(field, k)
				return nil
			}
		}
		return fmt.Errorf("as: the directory has no key %s", id)
	default:
		return fmt.Errorf("as: write a role, an application, key:ID or nobody, not %s", t.As)
	}
	return nil
}

// note remembers which gate of which operation decided.
func (s ruleSeen) note(a *asked) {
	op := a.x.Op
	if op == nil {
		return
	}
	id := op.API + "/" + op.Version + "/" + op.Name
	s.reached[id] = true
	if len(a.refusals) > 0 {
		s.refused[id+" "+a.refusals[0].Gate] = true
	}
}

// cover says which rules no test made decide. Gates that every operation has alike say little about one of them and are
// left out: what an upstream's health or a suspended account does is not a rule of the document.
func (r *TestReport) cover(snap *snapshot.Snapshot, seen ruleSeen) {
	for _, op := range snap.Operations() {
		if op.State != "published" && op.State != "deprecated" {
			continue
		}
		id := op.API + "/" + op.Version + "/" + op.Name
		if !seen.reached[id] {
			r.Unrequested = append(r.Unrequested, id)
		}
		for _, g := range slices.Compact(slices.Clone(op.Gates)) {
			if g == "route" || g == "upstream" || g == "account" {
				continue
			}
			r.Rules++
			if seen.refused[id+" "+g] {
				r.Decided++
			} else {
				r.Undecided = append(r.Undecided, id+" "+g)
			}
		}
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
