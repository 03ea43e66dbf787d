package authn_test

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/internal/decision"
	"postern/internal/directory"
	"postern/internal/gate"
	"postern/internal/gate/authn"
	"postern/internal/gatetest"
)

var (
	rule = &decision.Rule{ID: "orders/v1#authn", Pointer: "/apis/0/versions/0/authn"}
	key  = gatetest.KeyText
	ctx  = context.Background()
)

func newGate() gate.Gate { return authn.New(authn.Config{Bearer: true, Rule: rule}) }

// with makes a set-up that adds header fields, given as name, value, name, value.
func with(fields ...string) func(*gate.Exchange) {
	return func(x *gate.Exchange) {
		for pair := range slices.Chunk(fields, 2) {
			x.Header.Add(pair[0], pair[1])
		}
	}
}

func all(options ...func(*gate.Exchange)) func(*gate.Exchange) {
	return func(x *gate.Exchange) {
		for _, o := range options {
			o(x)
		}
	}
}

// row changes the row of the live key.
func row(change func(k *directory.Key)) func(*gate.Exchange) {
	return func(x *gate.Exchange) {
		d := gatetest.DirectoryOf(x)
		k := d.Keys[directory.HashKey(key)]
		change(&k)
		d.AddKey(key, k)
	}
}

func misplaced(name string, setup func(*gate.Exchange), got string) gatetest.Case {
	return gatetest.Case{Name: name, Setup: setup, Reason: decision.CredentialMisplaced, Check: func(t *testing.T, x *gate.Exchange, v decision.Verdict) {
		t.Helper()
		f := v.Facts()[0]
		if f.Name != "place" || f.Got != got || f.Want != "the header X-API-Key or Authorization: Bearer" {
			t.Errorf("place is %q, want %q; reads from %q", f.Got, got, f.Want)
		}
		if x.Challenge != `Bearer realm="postern", error="invalid_request"` {
			t.Errorf("challenge %s", x.Challenge)
		}
		if said := v.Render(decision.ToAnyone); !strings.Contains(said.Detail, got) {
			t.Errorf("an anonymous caller is not told the place: %s", said.Detail)
		}
	}}
}

func rejected(name string, setup func(*gate.Exchange), check string) gatetest.Case {
	return gatetest.Case{Name: name, Setup: setup, Reason: decision.CredentialRejected, Check: func(t *testing.T, x *gate.Exchange, v decision.Verdict) {
		t.Helper()
		if f := v.Facts()[0]; f.Name != "check" || !strings.HasPrefix(f.Want, check) || f.Public != decision.ToOperator {
			t.Errorf("check %+v, want %s for the operator only", f, check)
		}
		if x.Principal.Proven || x.Principal.Key.ID != "" || x.Principal.Application.ID != "" {
			t.Error("a rejected credential left a principal behind")
		}
		anon := v.Render(decision.ToAnyone)
		if anon.Detail != decision.CredentialRejected.Detail {
			t.Errorf("anonymous callers are told more than that it was rejected: %s", anon.Detail)
		}
	}}
}

func missing(name string, setup func(*gate.Exchange), detail string) gatetest.Case {
	c := gatetest.Case{Name: name, Setup: setup, Reason: decision.CredentialMissing, Check: func(t *testing.T, x *gate.Exchange, v decision.Verdict) {
		t.Helper()
		if x.Challenge != `Bearer realm="postern"` {
			t.Errorf("challenge %s", x.Challenge)
		}
		said := v.Render(decision.ToAnyone)
		if want := "This operation needs a credential and the request has none" + detail + "."; said.Detail != want {
			t.Errorf("got %q, want %q", said.Detail, want)
		}
		if want := "Send the API key in header X-API-Key or as Authorization: Bearer."; said.Remedies[0] != want {
			t.Errorf("got %q, want %q", said.Remedies[0], want)
		}
	}}
	if detail == "" {
		c.Without = []string{"where"}
	}
	return c
}

func TestAPIKey(t *testing.T) {
	basic := func(s string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(s)) }
	wrongSum := key[:20] + string(key[20]^1) + key[21:]
	gatetest.Run(t, gatetest.Suite{
		Name: "authn",
		New:  newGate,
		Pass: with("X-API-Key", key),
		Refusals: []gatetest.Case{
			missing("nothing", with(), ""),
			missing("an empty field", with("X-API-Key", ""), ": the field X-API-Key is empty"),
			missing("bearer and nothing", with("Authorization", "Bearer"), ": Authorization says Bearer and nothing follows"),
			missing("bearer and spaces", with("authorization", "bearer   "), ": Authorization says Bearer and nothing follows"),
			missing("basic with a password", with("Authorization", basic("ada:secret")), " of a kind it accepts: Authorization has the scheme Basic"),
			missing("basic that is no base64", with("Authorization", "basic %%%"), " of a kind it accepts: Authorization has the scheme Basic"),
			missing("a scheme nobody knows", with("Authorization", "hunter2 x"), ""),
			missing("a large body", gatetest.Content("application/json", `{"k":"`+key+`"}`+strings.Repeat(" ", 4096)), ""),
			missing("a body of another kind", gatetest.Content("image/png", key), ""),
			missing("a body not yet sent", all(gatetest.Content("application/json", `{"k":"`+key+`"}`), with("Expect", "100-continue")), ""),
			missing("a streamed body", func(x *gate.Exchange) { x.Body = gatetest.StreamedBody([]byte(key)) }, ""),
			missing("a body that breaks off", all(with("Content-Type", "application/json"), func(x *gate.Exchange) {
				x.Body = gatetest.BrokenBody([]byte(`{"k":`), 100, io.ErrUnexpectedEOF)
			}), ""),
			missing("a body that has not come, and is not waited for", all(gatetest.Content("application/json", strings.Repeat("x", 46)), nothingYet), ""),
			missing("a key longer than keys are", with("Cookie", "k="+key+"x"), ""),

			misplaced("query", gatetest.Target("POST", "/orders?a=1&api_key="+key+"&b=2"), "the query string, as api_key"),
			misplaced("query, encoded", gatetest.Target("POST", "/orders?k="+strings.Replace(key, "_", "%5F", 1)), "the query string, as k"),
			misplaced("query without a name", gatetest.Target("POST", "/orders?"+key), "the query string"),
			misplaced("query under a name that is not repeated", gatetest.Target("POST", "/o?%22%3Cscript%3E="+key), "the query string"),
			misplaced("path", gatetest.Target("POST", "/orders/"+key), "the path"),
			misplaced("JSON body", gatetest.Content("application/json; charset=utf-8", `{"key":"`+key+`"}`), "the body"),
			misplaced("problem body", gatetest.Content("application/vnd.x+json", `{"key":"`+key+`"}`), "the body"),
			misplaced("form body", gatetest.Content("application/x-www-form-urlencoded", "a=b&key="+key), "the body"),
			misplaced("what has come of a body", all(gatetest.Content("application/json", `{"key":"`+key+`"}`), arrived), "the body"),
			misplaced("cookie", with("Cookie", "session=1; key="+key), "a cookie"),
			misplaced("another header", with("Api-Key", key), "the header Api-Key"),
			misplaced("underscores", with("X_API_Key", key), "the header X_API_Key"),
			misplaced("a header with a long name", with(strings.Repeat("n", 60), key), "another header"),
			misplaced("a key as the name of a header with a key", with(gatetest.OtherKeyText, key), "another header"),
			misplaced("basic password", with("Authorization", basic("x:"+key)), "Authorization: Basic"),
			misplaced("basic user", with("Authorization", basic(key+":")), "Authorization: Basic"),
			misplaced("no scheme", with("Authorization", key), "Authorization without the word Bearer"),
			misplaced("another scheme", with("Authorization", "Token "+key), "Authorization with another scheme"),
			misplaced("bearer twice", with("Authorization", "Bearer Bearer "+key), "the field Authorization with the word Bearer in front of the key once too often"),
			misplaced("bearer twice, no key", with("Authorization", "Bearer bearer x"), "the field Authorization with the word Bearer in front of the key once too often"),
			misplaced("bearer in the key header", with("X-API-Key", "Bearer "+key), "the field X-API-Key with the word Bearer in front of the key once too often"),
			misplaced("double quotes", with("X-API-Key", `"`+key+`"`), "the field X-API-Key with quotes or brackets around the key"),
			misplaced("single quotes", with("Authorization", `Bearer '`+key+`'`), "the field Authorization with quotes or brackets around the key"),
			misplaced("brackets", with("Authorization", `Bearer <`+key+`>`), "the field Authorization with quotes or brackets around the key"),
			misplaced("a space that is none", with("X-API-Key", key+"\u00a0"), "the field X-API-Key with other characters around the key"),
			misplaced("a list", with("X-API-Key", key+", "+gatetest.OtherKeyText), "the field X-API-Key with other characters around the key"),

			rejected("never issued", with("X-API-Key", gatetest.OtherKeyText), "look-up: well formed"),
			rejected("never issued, as bearer", with("Authorization", "BEARER "+gatetest.OtherKeyText), "look-up: well formed"),
			rejected("mistyped", with("X-API-Key", wrongSum), "checksum"),
			rejected("cut short", with("X-API-Key", key[:40]), "form: 40 bytes"),
			rejected("something else", with("X-API-Key", "hunter2"), "form: 7 bytes"),
			rejected("enormous", with("X-API-Key", strings.Repeat("postern_", 4000)), "form: 32000 bytes"),
			rejected("not text", with("X-API-Key", "\x80\xff"), "form: 2 bytes"),
			rejected("the field twice", with("X-API-Key", key, "x-api-key", key), "ambiguous: the field X-API-Key came 2 times"),
			rejected("bearer twice", with("Authorization", "Bearer "+key, "Authorization", "Bearer "+key), "ambiguous: Authorization: Bearer came 2 times"),
			rejected("two different keys", with("X-API-Key", key, "Authorization", "Bearer "+gatetest.OtherKeyText), "ambiguous: the field X-API-Key and Authorization"),
			rejected("no such application", all(with("X-API-Key", key), row(func(k *directory.Key) { k.Application = "gone" })),
				"look-up: key k_live belongs to application 'gone', which does not exist"),
			rejected("no such tenant", all(with("X-API-Key", key), func(x *gate.Exchange) { delete(gatetest.DirectoryOf(x).Tenants, "acme") }),
				"look-up: application 'shop-web' belongs to tenant 'acme', which does not exist"),
			rejected("no such application, expired", all(with("X-API-Key", key), row(func(k *directory.Key) { k.Application, k.Expires = "gone", gatetest.Now })),
				"look-up: key k_live"),

			{Name: "expired", Setup: all(with("X-API-Key", key), row(func(k *directory.Key) { k.Expires = gatetest.Now.Add(-time.Hour) })),
				Reason: decision.KeyExpired, Check: exactly("The API key k_live expired at 2026-03-04T11:00:00Z.")},
			{Name: "expires this moment", Setup: all(with("X-API-Key", key), row(func(k *directory.Key) { k.Expires = gatetest.Now })),
				Reason: decision.KeyExpired, Check: exactly("The API key k_live expired at 2026-03-04T12:00:00Z.")},
			{Name: "revoked", Setup: all(with("X-API-Key", key), row(func(k *directory.Key) { k.Revoked = gatetest.Now })),
				Reason: decision.KeyRevoked, Check: exactly("The API key k_live was revoked at 2026-03-04T12:00:00Z.")},
			{Name: "revoked wins over expired", Setup: all(with("X-API-Key", key), row(func(k *directory.Key) {
				k.Revoked, k.Expires, k.ReplacedBy = gatetest.Now.Add(-time.Second), gatetest.Now.Add(-time.Hour), "k_2"
			})), Reason: decision.KeyRevoked, Check: exactly("The API key k_live was revoked at 2026-03-04T11:59:59Z and replaced by key k_2.")},
		},
		Unknown: []gatetest.Case{
			unknown("the key of a record", with("X-API-Key", decision.Redacted), "header X-API-Key"),
			unknown("the bearer of a record", with("Authorization", "Bearer "+decision.Redacted), "header Authorization"),
			unknown("the whole authorization of a record", with("Authorization", decision.Redacted), "header Authorization"),
			unknown("both of a record", with("X-API-Key", decision.Redacted, "Authorization", decision.Redacted), "header X-API-Key"),
		},
		Outages: []gatetest.Case{
			{Name: "directory", Setup: all(with("X-API-Key", key), gatetest.Outage), Reason: decision.AuthnUnavailable, Check: unproven},
			{Name: "directory, unknown key", Setup: all(with("X-API-Key", "x"), gatetest.Outage), Reason: decision.AuthnUnavailable, Check: unproven},
			{Name: "no directory", Setup: all(with("X-API-Key", key), func(x *gate.Exchange) { x.Env.Directory = nil }), Reason: decision.AuthnUnavailable, Check: unproven},
			{Name: "applications only", Setup: all(with("X-API-Key", key), func(x *gate.Exchange) { x.Env.Directory = partly{x.Env.Directory, "application"} }),
				Reason: decision.AuthnUnavailable, Check: unproven},
			{Name: "tenants only", Setup: all(with("X-API-Key", key), func(x *gate.Exchange) { x.Env.Directory = partly{x.Env.Directory, "tenant"} }),
				Reason: decision.AuthnUnavailable, Check: unproven},
		},
	})
}

// here is a body that knows what has come, and fails the test when it is waited for.
type here struct {
	gate.Body
	b []byte
}

func (h here) Arrived() ([]byte, bool) { return h.b, false }

func (h here) Peek(context.Context, int) ([]byte, bool, error) {
	panic("waited for a body")
}

func arrived(x *gate.Exchange) {
	b, _, _ := x.Body.Peek(ctx, 4096)
	x.Body = here{x.Body, b}
}

func nothingYet(x *gate.Exchange) { x.Body = here{x.Body, nil} }

// partly fails one kind of look-up.
type partly struct {
	gate.Directory
	fails string
}

func (p partly) Application(id string, into *directory.Application) (bool, error) {
	if p.fails == "application" {
		return false, gatetest.ErrOutage
	}
	return p.Directory.Application(id, into)
}

func (p partly) Tenant(id string, into *directory.Tenant) (bool, error) {
	if p.fails == "tenant" {
		return false, gatetest.ErrOutage
	}
	return p.Directory.Tenant(id, into)
}

func unproven(t *testing.T, x *gate.Exchange, v decision.Verdict) {
	if x.Principal.Proven || x.Principal.Application.ID != "" {
		t.Error("an outage left a principal behind")
	}
	if x.Challenge != "" {
		t.Errorf("an outage asks for a credential: %s", x.Challenge)
	}
}

func unknown(name string, setup func(*gate.Exchange), input string) gatetest.Case {
	return gatetest.Case{Name: name, Setup: setup, Reason: decision.CredentialRejected, Check: func(t *testing.T, _ *gate.Exchange, v decision.Verdict) {
		if v.Facts()[0].Name != input {
			t.Errorf("the missing input is named %q, want %q", v.Facts()[0].Name, input)
		}
	}}
}

// exactly: the holder of a genuine key is proven and told the sentence; an anonymous asker hears that it was rejected.
func exactly(sentence string) func(*testing.T, *gate.Exchange, decision.Verdict) {
	return func(t *testing.T, x *gate.Exchange, v decision.Verdict) {
		t.Helper()
		if x.Asker() != decision.ToProven || x.Principal.Application.ID != "shop-web" || x.Principal.Tenant.ID != "acme" {
			t.Errorf("the principal is not proven: %+v", x.Principal)
		}
		if said := v.Render(x.Asker()); said.Detail != sentence {
			t.Errorf("got %q, want %q", said.Detail, sentence)
		}
		if said := v.Render(decision.ToAnyone); said.Reason != decision.CredentialRejected || strings.Contains(said.Detail, "k_live") {
			t.Errorf("an anonymous asker is told %+v", said)
		}
		if x.Challenge != `Bearer realm="postern", error="invalid_token"` {
			t.Errorf("challenge %s", x.Challenge)
		}
	}
}

func TestPassesAndRemembersWhereTheKeyStood(t *testing.T) {
	for _, c := range []struct {
		name   string
		config authn.Config
		fields []string
		field  string
	}{
		{"header", authn.Config{Bearer: true}, []string{"X-API-Key", key}, "X-API-Key"},
		{"header in another case", authn.Config{Bearer: true}, []string{"x-aPi-keY", key}, "X-API-Key"},
		{"bearer", authn.Config{Bearer: true}, []string{"Authorization", "Bearer " + key}, "Authorization"},
		{"bearer with spaces", authn.Config{Bearer: true}, []string{"authorization", "bEARER \t  " + key}, "Authorization"},
		{"empty header, bearer", authn.Config{Bearer: true}, []string{"X-API-Key", "", "Authorization", "Bearer " + key}, "Authorization"},
		{"both the same", authn.Config{Bearer: true}, []string{"Authorization", "Bearer " + key, "X-API-Key", key}, "X-API-Key"},
		{"basic is for the upstream", authn.Config{Bearer: true}, []string{"Authorization", "Basic eDp5", "X-API-Key", key}, "X-API-Key"},
		{"bearer off: it is for the upstream", authn.Config{}, []string{"Authorization", "Bearer other", "X-API-Key", key}, "X-API-Key"},
		{"another header", authn.Config{Header: "Api-Token"}, []string{"api-token", key}, "Api-Token"},
		{"Authorization bare", authn.Config{Header: "Authorization"}, []string{"Authorization", key}, "Authorization"},
		{"Authorization bare or bearer", authn.Config{Header: "Authorization", Bearer: true}, []string{"Authorization", "Bearer " + key}, "Authorization"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.config.Rule = rule
			x := gatetest.Exchange(with(c.fields...))
			v := authn.New(c.config).Check(ctx, x)
			if v.Outcome() != decision.OutcomePass || v.Rule() != rule {
				t.Fatalf("got %v: %s", v.Outcome(), v.Render(decision.ToOperator).Detail)
			}
			p := &x.Principal
			if p.Field != c.field {
				t.Errorf("read from %q, want %q", p.Field, c.field)
			}
			if !p.Proven || p.Method != "api_key" || p.Key.ID != "k_live" || p.Application.ID != "shop-web" || p.Tenant.ID != "acme" {
				t.Errorf("principal %+v", p)
			}
		})
	}
}

func TestWithoutBearerTheKeyThereIsMisplacedAndTheChallengeNamesTheHeader(t *testing.T) {
	g := authn.New(authn.Config{Header: "Api-Token", Rule: rule})
	x := gatetest.Exchange(with("Authorization", "Bearer "+key))
	v := g.Check(ctx, x)
	if v.Reason() != decision.CredentialMisplaced || v.Facts()[0].Got != "Authorization: Bearer" || v.Facts()[0].Want != "the header Api-Token" {
		t.Errorf("%+v", v.Facts())
	}
	x = gatetest.Exchange()
	g.Check(ctx, x)
	if x.Challenge != `ApiKey realm="postern", header="Api-Token"` {
		t.Errorf("challenge %s", x.Challenge)
	}
}

func TestRotationOverlapKeepsTheOldKeyAlive(t *testing.T) {
	x := gatetest.Exchange(with("X-API-Key", key), row(func(k *directory.Key) {
		k.Revoked, k.Expires, k.ReplacedBy, k.Scopes = gatetest.Now.Add(time.Nanosecond), gatetest.Now.Add(time.Nanosecond), "k_2", []string{"orders"}
	}))
	if v := newGate().Check(ctx, x); v.Outcome() != decision.OutcomePass {
		t.Errorf("refused before the overlap ended: %s", v.Render(decision.ToOperator).Detail)
	}
	if !slices.Equal(x.Principal.Scopes, []string{"orders"}) {
		t.Errorf("scopes %v", x.Principal.Scopes)
	}
}

// counting counts look-ups, to compare the work done for different keys.
type counting struct {
	gate.Directory
	calls  int
	hashes [][32]byte
}

func (c *counting) Key(hash *[32]byte, into *directory.Key) (bool, error) {
	c.calls++
	c.hashes = append(c.hashes, *hash)
	return c.Directory.Key(hash, into)
}

func (c *counting) Application(id string, into *directory.Application) (bool, error) {
	c.calls++
	return c.Directory.Application(id, into)
}

// TestEveryRejectedKeyCostsTheSameWork: whatever is wrong with a key, it is hashed whole and looked up once, and answered
// alike. Wall time is not measured: it would prove less and fail more.
func TestEveryRejectedKeyCostsTheSameWork(t *testing.T) {
	var answers []string
	for _, text := range []string{"x", "hunter2", key[:45], key[:45] + "0", gatetest.OtherKeyText, "postern_"} {
		x := gatetest.Exchange(with("X-API-Key", text))
		c := &counting{Directory: x.Env.Directory}
		x.Env.Directory = c
		v := newGate().Check(ctx, x)
		if c.calls != 1 || len(c.hashes) != 1 || c.hashes[0] != directory.HashKey(text) {
			t.Errorf("a key of %d bytes: %d look-ups, want one, by the hash of all of it", len(text), c.calls)
		}
		said := v.Render(x.Asker())
		answers = append(answers, said.Reason.Code+said.Detail+strings.Join(said.Remedies, "")+x.Challenge)
	}
	if slices.Sort(answers); answers[0] != answers[len(answers)-1] {
		t.Errorf("answers differ: %q and %q", answers[0], answers[len(answers)-1])
	}
}

func TestASecondRunForgetsTheFirst(t *testing.T) {
	x := gatetest.Exchange(with("X-API-Key", key))
	newGate().Check(ctx, x)
	gatetest.DirectoryOf(x).Err = errors.New("gone")
	if v := newGate().Check(ctx, x); v.Reason() != decision.AuthnUnavailable || x.Principal.Proven {
		t.Error("the principal of an earlier run is still there")
	}
}

func FuzzCheck(f *testing.F) {
	f.Add("X-API-Key", key, "", "")
	f.Add("Authorization", "Bearer "+key, "api_key="+key, "{}")
	f.Add("Authorization", "Basic \x00", "%", `"`)
	f.Add("Authorization", "Bearer", "%zz", "")
	f.Add("x-api-key", `"`, "&=&", "")
	f.Fuzz(func(t *testing.T, name, value, query, body string) {
		x := gatetest.Exchange(with(name, value), gatetest.Content("application/json", body))
		x.RawQuery = query
		v := newGate().Check(ctx, x)
		switch v.Outcome() {
		case decision.OutcomePass:
			if !x.Principal.Proven || !strings.Contains(value, key) {
				t.Fatal("passed without the key")
			}
		case decision.OutcomeRefuse, decision.OutcomeAbstain:
			if x.Principal.Proven || x.Challenge == "" || strings.ContainsAny(x.Challenge, "\r\n") {
				t.Fatal("refused, and yet proven or without a challenge")
			}
			for _, f := range v.Facts() {
				if directory.FindKey(f.Want+f.Got) >= 0 {
					t.Fatal("a fact holds a key")
				}
			}
		default:
			t.Fatal("neither")
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	g, x := newGate(), gatetest.Exchange(with("Accept", "*/*", "Content-Type", "application/json", "X-API-Key", key))
	b.ReportAllocs()
	for b.Loop() {
		if v := g.Check(ctx, x); !v.Passed() {
			b.Fatal("refused")
		}
	}
}
