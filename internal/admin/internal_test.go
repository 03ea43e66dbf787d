package admin

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestEntityTags(t *testing.T) {
	for _, c := range []struct {
		field string
		want  string // joined by a space; "!": refused
	}{
		{`"1"`, `"1"`}, {` "1" `, `"1"`}, {`"1","2"`, `"1" "2"`}, {`"a" , W/"b"`, `"a" W/"b"`}, {`*`, `*`}, {`""`, `""`}, {`"a,b"`, `"a,b"`},
		{``, `!`}, {`1`, `!`}, {`"1`, `!`}, {`"1" "2"`, `!`}, {`"1",`, `!`}, {`,"1"`, `!`}, {`w/"1"`, `!`}, {`W/1`, `!`}, {`"a b"`, `!`}, {"\"a\tb\"", `!`}, {`*, "1"`, `!`}, {`"1", *`, `!`}, {"\"\x7f\"", `!`},
	} {
		tags, star, err := parseETags(c.field)
		got := strings.Join(tags, " ")
		if star {
			got = "*"
		}
		if err != nil {
			got = "!"
		}
		if got != c.want {
			t.Errorf("parseETags(%q) = %s, want %s", c.field, got, c.want)
		}
	}
	if unmodified("", `"1"`) || !unmodified(`W/"1"`, `"1"`) || !unmodified("*", `"1"`) || unmodified("x", `"1"`) || unmodified(`"2"`, `"1"`) {
		t.Error("If-None-Match is compared wrongly")
	}
}

func FuzzEntityTags(f *testing.F) {
	for _, s := range []string{`"1"`, `*`, `W/"a", "b"`, `"`, `"a`, `,`, "\"\x00\""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, field string) {
		tags, star, err := parseETags(field)
		if err != nil {
			return
		}
		if star != (len(tags) == 0) {
			t.Fatalf("%q: star %v with tags %q", field, star, tags)
		}
		// What was read, written again, is read the same.
		if again, _, err := parseETags(strings.Join(tags, ", ")); !star && (err != nil || strings.Join(again, "\n") != strings.Join(tags, "\n")) {
			t.Fatalf("%q: %q, then %q (%v)", field, tags, again, err)
		}
		for _, tag := range tags {
			if !strings.HasPrefix(tag, "W/") && checkMatch(field, tag) != nil {
				t.Fatalf("%q does not match its own tag %s", field, tag)
			}
		}
	})
}

func FuzzCursor(f *testing.F) {
	f.Add("keys", encodeCursor("keys", "k_1"))
	f.Add("keys", encodeCursor("tenants", "acme"))
	f.Add("audit", "!!")
	f.Add("audit", "YXVkaXQ6")
	f.Fuzz(func(t *testing.T, list, cursor string) {
		key, err := decodeCursor(list, cursor)
		if err != nil || cursor == "" {
			var p *Problem
			if err != nil && (!errors.As(err, &p) || p.Status != 400) {
				t.Fatalf("%q: %v", cursor, err)
			}
			return
		}
		if key == "" || encodeCursor(list, key) != cursor {
			t.Fatalf("%q means %q, which is written %q", cursor, key, encodeCursor(list, key))
		}
	})
}

func FuzzStrictJSON(f *testing.F) {
	for _, s := range []string{`{"a":1}`, `{"a":1,"A":2}`, `{"a":{"a":[{"a":1},{"a":2}]}}`, `[]`, `1 2`, `{"a"`, ``, `"x"`, `{"a":"b","b":"a"}`, strings.Repeat("[", 70)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var v any
		if unmarshalStrict([]byte(text), &v) != nil {
			return
		}
		var w any
		if err := json.Unmarshal([]byte(text), &w); err != nil {
			t.Fatalf("%q is taken, and is no JSON: %v", text, err)
		}
	})
}

func TestNamesThatRepeat(t *testing.T) {
	for text, ok := range map[string]bool{
		`{"a":1,"b":{"a":2},"c":[{"a":3},{"a":4}]}`: true, `{"a":"a","b":"a"}`: true, `["a","a"]`: true, `{"a":["a",{"a":"a"}],"b":1}`: true,
		`{"a":1,"a":2}`: false, `{"role":1,"ROLE":2}`: false, `{"x":[{"a":1,"b":2,"a":3}]}`: false, `{"a":[],"b":{},"a":1}`: false, `{"a":1}{"b":2}`: false, ``: false,
	} {
		var v any
		if err := unmarshalStrict([]byte(text), &v); (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestTheThrottle(t *testing.T) {
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	th := newThrottle(3, 10*time.Second, 100)
	for range 3 {
		if wait := th.take(now, "a"); wait != 0 {
			t.Fatalf("within the burst: wait %v", wait)
		}
	}
	if wait := th.take(now, "a"); wait != 10*time.Second {
		t.Errorf("behind the burst: wait %v, want 10s", wait)
	}
	if wait := th.take(now, "b"); wait != 0 {
		t.Errorf("somebody else waits %v", wait)
	}
	if wait := th.take(now.Add(10*time.Second), "a"); wait != 0 {
		t.Errorf("after the wait: %v", wait)
	}
	// A clock that jumps back an hour locks nobody out for an hour.
	if wait := th.take(now.Add(-time.Hour), "a"); wait > 30*time.Second {
		t.Errorf("after a jump of the clock: %v", wait)
	}
	// A flood of subjects fills no memory and leaves a way in.
	for i := range 10_000 {
		th.take(now, string(rune('A'+i%26))+strings.Repeat("x", i%300)+string(rune('0'+i%10)))
	}
	if n := len(th.paid); n > 101 {
		t.Errorf("%d subjects are kept", n)
	}
	if wait := th.take(now.Add(time.Minute), "newcomer"); wait != 0 {
		t.Errorf("a newcomer after the flood waits %v", wait)
	}
}

func TestThrottleGroupsHouseholds(t *testing.T) {
	if a, b := throttleKey(netip.MustParseAddr("2001:db8::1")), throttleKey(netip.MustParseAddr("2001:db8::ffff:1")); a != b {
		t.Errorf("one /64 is two subjects: %s, %s", a, b)
	}
	if a, b := throttleKey(netip.MustParseAddr("192.0.2.1")), throttleKey(netip.MustParseAddr("192.0.2.2")); a == b {
		t.Errorf("two IPv4 addresses are one subject")
	}
}

func TestPasswordHashes(t *testing.T) {
	p := newPasswords(2, 8)
	phc, err := p.hash(t.Context(), "correct horse battery")
	if err != nil || !strings.HasPrefix(phc, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Fatalf("%q, %v", phc, err)
	}
	again, _ := p.hash(t.Context(), "correct horse battery")
	if again == phc {
		t.Error("two hashes of one password are equal: there is no salt")
	}
	for pw, want := range map[string]bool{"correct horse battery": true, "correct horse batter": false, "": false} {
		if ok, err := p.verify(t.Context(), pw, phc); ok != want || err != nil {
			t.Errorf("verify(%q) = %v, %v", pw, ok, err)
		}
	}
	// An account that is not there never fits, not even the decoy's own key.
	if ok, err := p.verify(t.Context(), "correct horse battery", ""); ok || err != nil {
		t.Errorf("no account: %v, %v", ok, err)
	}
	// The reference vector of the argon2 tool: echo -n password | argon2 somesalt -id -t 2 -m 16 -p 1 -l 24 -e
	const vector = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	if ok, err := p.verify(t.Context(), "password", vector); !ok || err != nil {
		t.Errorf("reference vector: %v, %v", ok, err)
	}
	for _, bad := range []string{"x", "$2a$10$abc", "$argon2id$v=18$m=1024,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8", "$argon2id$v=19$m=4294967295,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8",
		"$argon2id$v=19$m=1024,t=0,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8", "$argon2id$v=19$m=1024,t=1,p=1$$"} {
		if ok, err := p.verify(t.Context(), "password", bad); ok || !errors.Is(err, errPHC) {
			t.Errorf("%s: %v, %v", bad, ok, err)
		}
	}
}

func TestSigningInIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPasswords(1, 2)
		p.slots <- struct{}{} // one is computing
		ctx, cancel := context.WithCancel(t.Context())
		errs := make(chan error, 2)
		for range 2 { // two wait
			go func() { errs <- p.enter(ctx) }()
		}
		synctest.Wait()
		if err := p.enter(ctx); !errors.Is(err, error(errBusy)) {
			t.Errorf("the third in the queue: %v, want busy", err)
		}
		cancel() // their clients have gone
		for range 2 {
			if err := <-errs; !errors.Is(err, context.Canceled) {
				t.Errorf("a client that has gone: %v", err)
			}
		}
		if n := p.waiting.Load(); n != 0 {
			t.Errorf("%d still wait", n)
		}
	})
}

func TestSecretsHaveTheirForm(t *testing.T) {
	seen := map[string]bool{}
	for range 200 {
		text, hash := newSecret(tokenPrefix)
		if len(text) != len(tokenPrefix)+38 || strings.Trim(text[len(tokenPrefix):], base62) != "" || seen[text] || hash == [32]byte{} {
			t.Fatalf("secret %q", text)
		}
		seen[text] = true
		if id := newID("k"); len(id) != 14 || seen[id] || strings.ToLower(id) != id {
			t.Fatalf("id %q", id)
		} else {
			seen[id] = true
		}
	}
}
