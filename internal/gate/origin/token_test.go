package origin_test

import (
	"bytes"
	"mime/multipart"
	"strings"
	"testing"
	"time"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/gate/origin"
	"postern/internal/gatetest"
	"postern/internal/policy"
)

// session is rules for signed tokens with the named keys, the first of which signs.
func session(keys ...string) *policy.CSRFToken {
	p := &policy.CSRFToken{Kind: "session", Session: "session", Field: "csrf"}
	refs := map[string]string{"k1": "${env:ONE}", "k2": "${env:TWO}"}
	for _, k := range keys {
		p.Keys = append(p.Keys, policy.CSRFKey{ID: k, Secret: refs[k]})
	}
	return p
}

// issued lets a gate set its cookie on a GET and returns the token in it and the whole field.
func issued(t testing.TB, g *origin.Gate, cookies string) (token, field string) {
	t.Helper()
	x := gatetest.Exchange()
	x.Method = "GET"
	if cookies != "" {
		x.Header.Add("Cookie", cookies)
	}
	if v := g.Check(ctx, x); !v.Passed() {
		t.Fatalf("a GET: %s", v.Reason().Code)
	}
	field = x.Browser.Cookie
	token, _, _ = strings.Cut(field, ";")
	_, token, _ = strings.Cut(token, "=")
	return token, field
}

// post is a POST of the site's own page.
func post(cookies, header string) func(*gate.Exchange) {
	return func(x *gate.Exchange) {
		x.Header.Add("Origin", "https://api.example.com")
		if cookies != "" {
			x.Header.Add("Cookie", cookies)
		}
		if header != "" {
			x.Header.Add("X-CSRF-Token", header)
		}
	}
}

func TestDoubleSubmitKeepsTheHouseRules(t *testing.T) {
	g := csrf(t, policy.CSRF{Token: &policy.CSRFToken{Field: "csrf"}})
	tok, field := issued(t, g, "")
	if field != "__Host-csrf="+tok+"; Path=/; Secure; SameSite=Lax" || len(tok) != 32 {
		t.Fatalf("the cookie is %q", field)
	}
	other, _ := issued(t, g, "")
	if other == tok {
		t.Fatal("two callers get one token")
	}
	gatetest.Run(t, gatetest.Suite{
		Name: "origin", New: func() gate.Gate { return g },
		Pass:     post("a=b; __Host-csrf="+tok+"; c=d", tok),
		Canaries: []string{tok, other},
		Refusals: []gatetest.Case{
			{Name: "no token", Setup: post("__Host-csrf="+tok, ""), Reason: decision.CSRFMissing},
			{Name: "no cookie", Setup: post("", tok), Reason: decision.CSRFMissing},
			{Name: "another token", Setup: post("__Host-csrf="+tok, other), Reason: decision.CSRFInvalid},
			{Name: "two cookies", Setup: post("__Host-csrf="+tok+"; __Host-csrf="+tok, tok), Reason: decision.CSRFInvalid},
			{Name: "two tokens", Setup: func(x *gate.Exchange) {
				post("__Host-csrf="+tok, tok)(x)
				x.Header.Add("x-csrf-token", tok)
			}, Reason: decision.CSRFInvalid},
			{Name: "both the attacker's", Setup: post("__Host-csrf=x", "x"), Reason: decision.CSRFInvalid},
			{Name: "both empty", Setup: post("__Host-csrf=", ""), Reason: decision.CSRFMissing},
			{Name: "a form without it", Setup: func(x *gate.Exchange) {
				post("__Host-csrf="+tok, "")(x)
				gatetest.Content("application/x-www-form-urlencoded", "a=b&Csrf="+tok)(x)
			}, Reason: decision.CSRFMissing},
		},
		Unknown: []gatetest.Case{
			{Name: "a record", Setup: post(decision.Redacted, decision.Redacted), Reason: decision.CSRFInvalid},
		},
	})
}

func TestSessionTokensKeepTheHouseRules(t *testing.T) {
	g := csrf(t, policy.CSRF{Token: session("k1", "k2")})
	cookies := "session=" + sessionCanary
	tok, field := issued(t, g, cookies)
	if !strings.HasPrefix(tok, "1.k1.1772625600.") || !strings.HasSuffix(field, "; Path=/; Secure; SameSite=Lax; Max-Age=43200") {
		t.Fatalf("the cookie is %q", field)
	}
	anonymous, _ := issued(t, g, "")
	of := func(other *origin.Gate, cookies string) string { tok, _ := issued(t, other, cookies); return tok }
	at := func(d time.Duration, tok string) func(*gate.Exchange) {
		return func(x *gate.Exchange) {
			post(cookies, tok)(x)
			x.Env.Now = func() time.Time { return gatetest.Now.Add(d) }
		}
	}
	flip := func(i int) string {
		b := []byte(tok)
		if b[i]++; b[i] == '.' || b[i] == ':' || b[i] == '[' || b[i] == '{' || b[i] == '`' {
			b[i] = 'A'
		}
		return string(b)
	}
	gatetest.Run(t, gatetest.Suite{
		Name: "origin", New: func() gate.Gate { return g },
		Pass:       post(cookies, tok), // its own cookie may have been renewed or dropped meanwhile
		Canaries:   []string{tok, sessionCanary, secretCanary, anonymous},
		PassAllocs: signedAllocs,
		Refusals: []gatetest.Case{
			{Name: "missing", Setup: post(cookies, ""), Reason: decision.CSRFMissing},
			{Name: "no session and no cookie", Setup: post("", anonymous), Reason: decision.CSRFMissing},
			{Name: "of another session", Setup: post("session=other", tok), Reason: decision.CSRFInvalid},
			{Name: "of no session", Setup: post(cookies, anonymous), Reason: decision.CSRFInvalid},
			{Name: "of a session that ended", Setup: post("__Host-csrf="+tok, tok), Reason: decision.CSRFInvalid},
			{Name: "another time", Setup: post(cookies, flip(10)), Reason: decision.CSRFInvalid},
			{Name: "another nonce", Setup: post(cookies, flip(20)), Reason: decision.CSRFInvalid},
			{Name: "another signature", Setup: post(cookies, flip(len(tok)-5)), Reason: decision.CSRFInvalid},
			{Name: "unknown key", Setup: post(cookies, strings.Replace(tok, ".k1.", ".k9.", 1)), Reason: decision.CSRFInvalid},
			{Name: "key of another name", Setup: post(cookies, strings.Replace(tok, ".k1.", ".k2.", 1)), Reason: decision.CSRFInvalid},
			{Name: "no form", Setup: post(cookies, "hello"), Reason: decision.CSRFInvalid},
			{Name: "endless", Setup: post(cookies, tok+strings.Repeat("A", 100000)), Reason: decision.CSRFInvalid},
			{Name: "two sessions", Setup: post(cookies+"; session=other", tok), Reason: decision.CSRFInvalid},
			{Name: "expired", Setup: at(12*time.Hour, tok), Reason: decision.CSRFExpired, Check: func(t *testing.T, _ *gate.Exchange, v decision.Verdict) {
				if said := v.Render(decision.ToAnyone); said.Detail != "The CSRF token expired at 2026-03-05T00:00:00Z." {
					t.Error(said.Detail)
				}
			}},
			{Name: "from the future", Setup: at(-time.Hour, tok), Reason: decision.CSRFInvalid},
		},
		Unknown: []gatetest.Case{{Name: "without keys", New: func() gate.Gate {
			c, problems := origin.CompileCSRF(&policy.CSRF{Token: session("k1")}, csrfRule, nil)
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			return origin.New(origin.Config{CSRF: c})
		}, Setup: post(cookies, tok), Reason: decision.CSRFInvalid}},
	})
	// A node whose clock is a little behind, keys in rotation, and a page to sign in.
	for name, c := range map[string]struct {
		g     *origin.Gate
		setup func(*gate.Exchange)
	}{
		"skew":                       {g, at(-time.Minute, tok)},
		"last moment":                {g, at(12*time.Hour-time.Nanosecond, tok)},
		"signed by the next key":     {g, post(cookies, of(csrf(t, policy.CSRF{Token: session("k2")}), cookies))},
		"signed by the previous key": {csrf(t, policy.CSRF{Token: session("k2", "k1")}), post(cookies, tok)},
		"before a session":           {g, post("__Host-csrf="+anonymous, anonymous)},
	} {
		x := gatetest.Exchange(c.setup)
		if v := c.g.Check(ctx, x); !v.Passed() {
			t.Errorf("%s: %s: %s", name, v.Reason().Code, v.Render(decision.ToOperator).Remedies)
		}
	}
	if v := csrf(t, policy.CSRF{Token: session("k2")}).Check(ctx, gatetest.Exchange(post(cookies, tok))); v.Reason() != decision.CSRFInvalid ||
		!strings.Contains(strings.Join(v.Render(decision.ToOperator).Remedies, " "), "it names the key k1, and the keys are k2") {
		t.Error("a retired key counts, or is not named")
	}
}

func TestWhenTokensAreSet(t *testing.T) {
	double, signed := csrf(t, policy.CSRF{Token: &policy.CSRFToken{SameSite: "strict"}}), csrf(t, policy.CSRF{Token: session("k1", "k2")})
	have, field := issued(t, double, "")
	if !strings.HasSuffix(field, "; SameSite=Strict") {
		t.Error(field)
	}
	mine, _ := issued(t, signed, "session=a")
	old, _ := issued(t, csrf(t, policy.CSRF{Token: session("k2")}), "session=a")
	for _, c := range []struct {
		name    string
		g       *origin.Gate
		cookies string
		later   time.Duration
		set     bool
	}{
		{"has one", double, "__Host-csrf=" + have, 0, false},
		{"has none", double, "session=a", 0, true},
		{"has something else", double, "__Host-csrf=1", 0, true},
		{"has two", double, "__Host-csrf=" + have + "; __Host-csrf=" + have, 0, true},
		{"has one for the session", signed, "session=a; __Host-csrf=" + mine, 0, false},
		{"signed in anew", signed, "session=b; __Host-csrf=" + mine, 0, true},
		{"signed out", signed, "__Host-csrf=" + mine, 0, true},
		{"is half over", signed, "session=a; __Host-csrf=" + mine, 6 * time.Hour, true},
		{"of an older key", signed, "session=a; __Host-csrf=" + old, 0, true},
	} {
		for _, dry := range []bool{false, true} {
			x := gatetest.Exchange(gatetest.Header("Cookie", c.cookies))
			x.Method = "GET"
			x.Env.Now = func() time.Time { return gatetest.Now.Add(c.later) }
			if dry {
				gatetest.Dry(x)
			}
			c.g.Check(ctx, x)
			if set := x.Browser.Cookie != ""; set != (c.set && !dry) {
				t.Errorf("%s (dry %v): set %v", c.name, dry, set)
			}
		}
	}
	x := gatetest.Exchange(post("", ""))
	double.Check(ctx, x)
	if x.Browser.Cookie != "" {
		t.Error("a refused POST gets a token")
	}
}

func TestTokensInForms(t *testing.T) {
	g := csrf(t, policy.CSRF{Token: &policy.CSRFToken{Field: "csrf token"}})
	tok, _ := issued(t, g, "")
	multi := func(build func(w *multipart.Writer)) (kind, body string) {
		var b bytes.Buffer
		w := multipart.NewWriter(&b)
		build(w)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return w.FormDataContentType(), b.String()
	}
	add := func(w *multipart.Writer, name, value string) {
		if err := w.WriteField(name, value); err != nil {
			t.Fatal(err)
		}
	}
	kind, with := multi(func(w *multipart.Writer) { add(w, "a", "b"); add(w, "csrf token", tok) })
	kind2, twice := multi(func(w *multipart.Writer) { add(w, "csrf token", tok); add(w, "csrf token", "x") })
	kind3, file := multi(func(w *multipart.Writer) {
		p, err := w.CreateFormFile("csrf token", "f")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Write([]byte(tok)); err != nil {
			t.Fatal(err)
		}
	})
	const urlencoded = "application/x-www-form-urlencoded"
	big := strings.Repeat("x", 70<<10)
	for name, c := range map[string]struct {
		kind, body string
		want       *decision.Reason
	}{
		"urlencoded":              {urlencoded + "; charset=UTF-8", "a=b&csrf+token=" + tok, nil},
		"percent-encoded":         {urlencoded, "csrf%20token=" + strings.Replace(tok, tok[:1], "%"+hex(tok[0]), 1), nil},
		"before a large field":    {urlencoded, "csrf+token=" + tok + "&a=" + big, nil},
		"behind a large field":    {urlencoded, "a=" + big + "&csrf+token=" + tok, decision.CSRFMissing},
		"cut in the middle":       {urlencoded, "a=" + strings.Repeat("x", 64<<10-20) + "&csrf+token=" + tok, decision.CSRFMissing},
		"twice":                   {urlencoded, "csrf+token=" + tok + "&csrf+token=" + tok, decision.CSRFInvalid},
		"broken encoding":         {urlencoded, "csrf+token=%zz" + tok, decision.CSRFMissing},
		"semicolons":              {urlencoded, "a=b;csrf+token=" + tok, decision.CSRFMissing},
		"empty":                   {urlencoded, "", decision.CSRFMissing},
		"multipart":               {kind, with, nil},
		"multipart twice":         {kind2, twice, decision.CSRFInvalid},
		"multipart file":          {kind3, file, decision.CSRFMissing},
		"multipart cut":           {kind, with[:len(with)/3], decision.CSRFMissing},
		"multipart, no boundary":  {"multipart/form-data", with, decision.CSRFMissing},
		"json":                    {"application/json", `{"csrf token":"` + tok + `"}`, decision.CSRFMissing},
		"a type that is none":     {";;", "csrf+token=" + tok, decision.CSRFMissing},
		"text that looks like it": {"text/plain", "csrf+token=" + tok, decision.CSRFMissing},
	} {
		x := gatetest.Exchange(post("__Host-csrf="+tok, ""), gatetest.Content(c.kind, c.body))
		v := g.Check(ctx, x)
		if c.want == nil && !v.Passed() || c.want != nil && v.Reason() != c.want {
			t.Errorf("%s: %s", name, v.Outcome())
		}
		rest, _, err := x.Body.Peek(ctx, 1<<20)
		if err != nil || string(rest) != c.body {
			t.Errorf("%s: the body is not what it was", name)
		}
	}
	x := gatetest.Exchange(post("__Host-csrf="+tok, ""), gatetest.Header("Content-Type", urlencoded))
	gatetest.Dry(x)
	if v := g.Check(ctx, x); v.Outcome() != decision.OutcomeAbstain || v.Reason() != decision.CSRFMissing {
		t.Errorf("simulated without its body: %s", v.Outcome())
	}
	x = gatetest.Exchange(post("__Host-csrf="+tok, ""), gatetest.Content(urlencoded, "csrf+token="+tok), gatetest.Header("Content-Encoding", "gzip"))
	if v := g.Check(ctx, x); v.Reason() != decision.CSRFMissing {
		t.Errorf("compressed: %s", v.Outcome())
	}
	fault := &gate.BodyError{Reason: decision.RequestTooLarge}
	x = gatetest.Exchange(post("__Host-csrf="+tok, ""), gatetest.Header("Content-Type", urlencoded))
	x.Body = gatetest.BrokenBody([]byte("a=b"), 100, fault)
	if v := g.Check(ctx, x); v.Reason() != decision.RequestTooLarge {
		t.Errorf("a body that is at fault: %s", v.Outcome())
	}
}

func hex(b byte) string {
	const digits = "0123456789ABCDEF"
	return string(digits[b>>4]) + string(digits[b&15])
}
