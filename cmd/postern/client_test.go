package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// environment is a getenv over pairs.
func environment(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i+1 < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

// typed runs the program in process and returns its exit code and what it printed.
func typed(t *testing.T, env func(string) string, args ...string) (code int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = Run(t.Context(), args, strings.NewReader(""), &stdout, &stderr, env)
	return code, stdout.String(), stderr.String()
}

func TestAnswersOfServersThatAreNoPostern(t *testing.T) {
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		says   string
	}{
		"a web page": {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>hello</html>")) }, "not what a Postern sends"},
		"a 404 page": {func(w http.ResponseWriter, _ *http.Request) { http.NotFound(w, nil) }, "404 Not Found, and not as a Postern does"},
		"a redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/elsewhere", http.StatusFound)
		}, "302 Found"},
		"a problem that is none": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(500)
			_, _ = w.Write([]byte(`[]`))
		}, "500 Internal Server Error"},
		"half an answer": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte(`{"items":`))
		}, "no answer from the management API"},
		"escape sequences": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(503)
			_, _ = w.Write([]byte(`{"code":"x","status":503,"detail":"\u001b[31mred\u0007","remedies":["\u001b]0;title\u0007"]}`))
		}, "?[31mred?"},
	} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(c.answer)
			defer srv.Close()
			code, out, errs := typed(t, environment("POSTERN_ADDRESS", srv.URL, "POSTERN_TOKEN", "secret-token"), "keys", "list")
			if code != exitUndecided || out != "" || !strings.Contains(errs, c.says) || strings.ContainsAny(errs, "\x1b\x07") {
				t.Errorf("code %d, %q, %q; want %d and %q", code, out, errs, exitUndecided, c.says)
			}
			if strings.Contains(errs, "secret-token") {
				t.Errorf("the message shows the token: %s", errs)
			}
		})
	}
}

func TestErrorsForPrograms(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(404)
		_, _ = w.Write([]byte(`{"code":"not_found","status":404,"detail":"There is no key.","remedies":["Check the id."]}`))
	}))
	defer srv.Close()
	code, _, errs := typed(t, environment("POSTERN_ADDRESS", srv.URL), "keys", "revoke", "k_1", "-o", "json")
	if code != exitNo || !strings.Contains(errs, `"code":"not_found"`) || !strings.Contains(errs, `"exit":1`) {
		t.Errorf("code %d, %s", code, errs)
	}
}

func TestAStoredTokenGoesToItsOwnGatewayOnly(t *testing.T) {
	var got []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.Header.Get("Authorization"))
		_, _ = w.Write([]byte(`{"items":[]}`))
	}))
	defer srv.Close()
	home := t.TempDir()
	a := &app{getenv: environment("HOME", home)}
	if err := a.saveLogin(login{Address: "http://127.0.0.1:1", Token: "for-another"}); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := typed(t, environment("HOME", home, "POSTERN_ADDRESS", srv.URL), "keys", "list"); code != 0 {
		t.Fatal(errs)
	}
	if err := a.saveLogin(login{Address: srv.URL, Token: "for-this"}); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := typed(t, environment("HOME", home), "keys", "list"); code != 0 {
		t.Fatal(errs)
	}
	if len(got) != 2 || got[0] != "" || got[1] != "Bearer for-this" {
		t.Errorf("the gateway was sent %q", got)
	}
}

// impatient is a user who presses Ctrl-C at the first line.
type impatient struct {
	bytes.Buffer
	cancel context.CancelFunc
}

func (w *impatient) Write(p []byte) (int, error) {
	w.cancel()
	return w.Buffer.Write(p)
}

func TestFollowingEndsWithItsUser(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"items":[{"trace":"01JD0Z8C0M3V9W6T5Q4R2E1A7B","method":"GET\u001b[2J","path":"/x"}]}`))
	}))
	defer srv.Close()
	ctx, cancel := context.WithCancel(t.Context())
	stdout := &impatient{cancel: cancel}
	code := Run(ctx, []string{"logs", "-f"}, strings.NewReader(""), stdout, io.Discard, environment("POSTERN_ADDRESS", srv.URL))
	if code != 0 || !strings.Contains(stdout.String(), "GET?[2J /x") || strings.Count(stdout.String(), "\n") != 1 {
		t.Errorf("code %d, %q", code, stdout.String())
	}
}

func TestEveryVerbHasHelpWithAnExample(t *testing.T) {
	root := newRootCommand(&app{getenv: environment()})
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Short == "" || c.Example == "" || !strings.Contains(c.Example, "postern") {
			t.Errorf("%s: no short text or example", c.CommandPath())
		}
		if strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: the short text ends with a full stop", c.CommandPath())
		}
		for _, sub := range c.Commands() {
			if sub.Name() != "help" && sub.Name() != "completion" {
				walk(sub)
			}
		}
	}
	walk(root)
	for _, verb := range []string{"serve", "demo", "validate", "diff", "apply", "export", "explain", "simulate", "logs", "keys", "login", "version"} {
		if c, _, err := root.Find([]string{verb}); err != nil || c == root {
			t.Errorf("there is no verb %s", verb)
		}
	}
}

func TestAddresses(t *testing.T) {
	for in, want := range map[string]string{
		"127.0.0.1:8081": "http://127.0.0.1:8081", "http://localhost:8081/": "http://localhost:8081", "https://gw.example.com": "https://gw.example.com", "[::1]:8081": "http://[::1]:8081",
		"ftp://x": "", "http://": "", "https://u:p@gw.example.com": "", "https://gw.example.com/api": "", "https://gw.example.com?x=1": "", "": "", "http://a b": "",
	} {
		u, err := parseAddress(in)
		got := ""
		if err == nil {
			got = u.String()
		}
		if got != want {
			t.Errorf("parseAddress(%q) = %q (%v), want %q", in, got, err, want)
		}
	}
}

func TestTimesOnTheCommandLine(t *testing.T) {
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	for in, want := range map[string]time.Time{"15m": now.Add(-15 * time.Minute), "2026-11-22T09:00:00Z": now.Add(-time.Hour), "0s": now, "-5m": {}, "noon": {}} {
		if got, err := ago(in, now); !got.Equal(want) || (err != nil) != want.IsZero() {
			t.Errorf("ago(%q) = %v, %v", in, got, err)
		}
	}
	for in, want := range map[string]time.Time{"": {}, "48h": now.Add(48 * time.Hour), "2027-01-31T00:00:00Z": time.Date(2027, 1, 31, 0, 0, 0, 0, time.UTC), "-1h": {}, "0s": {}, "soon": {}} {
		got, err := until(in, now)
		if !got.Equal(want) || (err != nil) != (want.IsZero() && in != "") {
			t.Errorf("until(%q) = %v, %v", in, got, err)
		}
	}
}

func TestWordsBehindTheVerbAreQuoted(t *testing.T) {
	for in, want := range map[string]string{"-X": "-X", "POST": "POST", "a b": "'a b'", "it's": `'it'\''s'`, "": "''", "$HOME": "'$HOME'", "{\"a\":1}": "'{\"a\":1}'", "http://x/y?z=1&q": "'http://x/y?z=1&q'"} {
		if got := quote(in); got != want {
			t.Errorf("quote(%q) = %s, want %s", in, got, want)
		}
	}
}
