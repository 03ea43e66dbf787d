package jwks_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"postern/internal/gate"
	"postern/internal/jose"
	"postern/internal/jwks"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var ctx = context.Background()

func keySet(kids ...string) string {
	var keys []string
	for i, kid := range kids {
		s, err := jose.NewSigner(ed25519.NewKeyFromSeed(slices.Repeat([]byte{byte(len(kid) + i)}, 32)), kid)
		if err != nil {
			panic(err)
		}
		keys = append(keys, string(s.JWK()))
	}
	return `{"keys":[` + strings.Join(keys, ",") + `]}`
}

// clock is a clock that only tests move.
type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time          { return time.Unix(0, c.at.Load()) }
func (c *clock) forward(d time.Duration) { c.at.Add(int64(d)) }

// issuer is an identity provider whose answers a test sets.
type issuer struct {
	*httptest.Server
	answer atomic.Pointer[http.HandlerFunc]
	asked  atomic.Int64
}

func newIssuer(t *testing.T) *issuer {
	i := &issuer{}
	i.says(keySet("a"))
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.asked.Add(1)
		(*i.answer.Load())(w, r)
	}))
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) does(h http.HandlerFunc) { i.answer.Store(&h) }
func (i *issuer) says(body string) {
	i.does(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) })
}

func newSets(t *testing.T) (*jwks.Sets, *clock) {
	c := &clock{}
	c.forward(1_700_000_000 * time.Second)
	s := jwks.New(jwks.Options{Now: c.now})
	t.Cleanup(s.Close)
	return s, c
}

func ids(t *testing.T, s *jwks.Sets, src *gate.KeySource, missing string) string {
	t.Helper()
	set, err := s.Keys(ctx, src, missing, false)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(set.IDs(), " ")
}

func TestManyRequestsCauseOneFetch(t *testing.T) {
	i := newIssuer(t)
	s, _ := newSets(t)
	src := &gate.KeySource{ID: "1", URL: i.URL}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if set, err := s.Keys(ctx, src, "", false); err != nil || len(set.Keys) != 1 {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := i.asked.Load(); n != 1 {
		t.Errorf("%d fetches", n)
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = s.Keys(ctx, src, "", false) }); n != 0 {
		t.Errorf("keys that are there cost %v allocations", n)
	}
}

func TestAnUnknownKeyCausesFewFetches(t *testing.T) {
	i := newIssuer(t)
	s, c := newSets(t)
	src := &gate.KeySource{ID: "1", URL: i.URL}
	if got := ids(t, s, src, ""); got != "a" {
		t.Fatal(got)
	}
	i.says(keySet("a", "bb"))
	if got := ids(t, s, src, "bb"); got != "a bb" {
		t.Errorf("after a rotation: %s", got)
	}
	for range 50 {
		ids(t, s, src, "made-up")
	}
	if n := i.asked.Load(); n != 2 {
		t.Errorf("%d fetches for keys that callers made up, want 2 in all", n)
	}
	c.forward(31 * time.Second)
	ids(t, s, src, "made-up")
	if n := i.asked.Load(); n != 3 {
		t.Errorf("%d fetches", n)
	}
}

func TestTheSameKeysKeepTheirSet(t *testing.T) {
	i := newIssuer(t)
	s, _ := newSets(t)
	src := &gate.KeySource{ID: "1", URL: i.URL}
	first, _ := s.Keys(ctx, src, "", false)
	second, err := s.Keys(ctx, src, "made-up", false)
	if err != nil || first != second || i.asked.Load() != 2 {
		t.Errorf("%v, %d fetches: the set moved though its keys are the same", err, i.asked.Load())
	}
}

func TestAnOutageIsBridgedUntilTheKeysAreTooOld(t *testing.T) {
	i := newIssuer(t)
	s, c := newSets(t)
	src := &gate.KeySource{ID: "1", URL: i.URL, Refresh: time.Minute, Stale: time.Hour}
	ids(t, s, src, "")
	i.does(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
	c.forward(59 * time.Minute)
	if got := ids(t, s, src, ""); got != "a" {
		t.Error(got)
	}
	c.forward(2 * time.Minute)
	_, err := s.Keys(ctx, src, "", false)
	if err == nil || !strings.Contains(err.Error(), "answers 500") || !strings.Contains(err.Error(), "older than 1h") {
		t.Errorf("keys older than the bound: %v", err)
	}
	if _, dry := s.Keys(ctx, src, "", true); dry == nil || errors.Is(dry, gate.ErrKeysNotFetched) {
		t.Errorf("asked dry: %v", dry)
	}
	i.says(keySet("a"))
	c.forward(2 * time.Minute)
	if got := ids(t, s, src, ""); got != "a" {
		t.Error(got)
	}
	if st := s.Status(); len(st) != 1 || st[0].Fault != "" || len(st[0].Keys) != 1 {
		t.Errorf("status %+v", st)
	}
}

func TestAFailedFetchIsNotRepeatedAtOnce(t *testing.T) {
	i := newIssuer(t)
	i.does(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) })
	s, _ := newSets(t)
	src := &gate.KeySource{ID: "1", URL: i.URL}
	for range 20 {
		if _, err := s.Keys(ctx, src, "x", false); err == nil || errors.Is(err, gate.ErrKeysNotFetched) {
			t.Fatal(err)
		}
	}
	if n := i.asked.Load(); n != 1 {
		t.Errorf("%d fetches from a server that fails", n)
	}
}

func TestARequestDoesNotWaitForAServerThatHangs(t *testing.T) {
	i := newIssuer(t)
	release := make(chan struct{})
	i.does(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	s, _ := newSets(t)
	gone, cancel := context.WithCancel(ctx)
	cancel()
	_, err := s.Keys(gone, &gate.KeySource{ID: "1", URL: i.URL}, "", false)
	if err == nil || errors.Is(err, gate.ErrKeysNotFetched) {
		t.Errorf("got %v", err)
	}
	close(release)
}

func TestDryQuestionsNeverFetch(t *testing.T) {
	i := newIssuer(t)
	s, _ := newSets(t)
	src := &gate.KeySource{ID: "1", URL: i.URL}
	if _, err := s.Keys(ctx, src, "", true); !errors.Is(err, gate.ErrKeysNotFetched) {
		t.Error(err)
	}
	ids(t, s, src, "")
	if set, err := s.Keys(ctx, src, "other", true); err != nil || len(set.Keys) != 1 || i.asked.Load() != 1 {
		t.Errorf("%v, %d fetches", err, i.asked.Load())
	}
}

func TestHostileAnswers(t *testing.T) {
	elsewhere := newIssuer(t)
	big := `{"keys":[],"x":"` + strings.Repeat("A", 1<<20) + `"}`
	for name, c := range map[string]struct {
		h    http.HandlerFunc
		want string
	}{
		"a redirect to another host": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) }, "redirects"},
		"a redirect without end":     {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", http.StatusFound) }, "redirects"},
		"too large":                  {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, big) }, "larger"},
		"no JSON":                    {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }, "JSON"},
		"no keys":                    {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"keys":[]}`) }, "no key"},
	} {
		i := newIssuer(t)
		i.does(c.h)
		s, _ := newSets(t)
		if _, err := s.Keys(ctx, &gate.KeySource{ID: name, URL: i.URL}, "", false); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if elsewhere.asked.Load() != 0 {
		t.Error("a redirect to another host was followed")
	}
}

func TestDiscovery(t *testing.T) {
	i, other := newIssuer(t), newIssuer(t)
	var said, uri string
	i.does(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/keys" {
			fmt.Fprint(w, keySet("a"))
			return
		}
		fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, said, uri)
	})
	for name, c := range map[string]struct{ said, uri, want string }{
		"good":                   {i.URL, i.URL + "/keys", ""},
		"another issuer":         {i.URL + "/", i.URL + "/keys", "equal to the letter"},
		"no jwks_uri":            {i.URL, "", "no address"},
		"a file":                 {i.URL, "file:///etc/passwd", "no address"},
		"plain http elsewhere":   {i.URL, "http://192.0.2.1/keys", "not https"},
		"the metadata of clouds": {i.URL, "https://169.254.169.254/latest", "nearer"},
		"another local server":   {i.URL, other.URL, ""}, // beside a metadata server that is local itself
	} {
		said, uri = c.said, c.uri
		s, _ := newSets(t)
		_, err := s.Keys(ctx, &gate.KeySource{ID: name, Issuer: i.URL, Discovery: i.URL + "/.well-known/openid-configuration"}, "", false)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestAFileIsReadAgain(t *testing.T) {
	name := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(name, []byte(keySet("a")), 0o600); err != nil {
		t.Fatal(err)
	}
	s, c := newSets(t)
	src := &gate.KeySource{ID: "f", File: name}
	if got := ids(t, s, src, ""); got != "a" {
		t.Fatal(got)
	}
	if err := os.WriteFile(name, []byte(keySet("a", "bb")), 0o600); err != nil {
		t.Fatal(err)
	}
	c.forward(time.Second)
	if got := ids(t, s, src, "bb"); got != "a bb" {
		t.Errorf("the new key is not seen: %s", got)
	}
	_ = os.Remove(name)
	c.forward(25 * time.Hour)
	if _, err := s.Keys(ctx, src, "", false); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("without the file: %v", err)
	}
}

func TestAfterCloseNothingIsFetched(t *testing.T) {
	i := newIssuer(t)
	s, _ := newSets(t)
	s.Close()
	if _, err := s.Keys(ctx, &gate.KeySource{ID: "1", URL: i.URL}, "", false); err == nil || i.asked.Load() != 0 {
		t.Errorf("%v, %d fetches", err, i.asked.Load())
	}
}
