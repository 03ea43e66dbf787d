package ask_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"postern/internal/ask"
	"postern/internal/gate"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func serve(t *testing.T, h http.HandlerFunc) string {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func client(t *testing.T, o ask.Options) *ask.Client {
	c := ask.New(o)
	t.Cleanup(c.Close)
	return c
}

func TestAnswersAreRememberedAsLongAsAllowed(t *testing.T) {
	var asked atomic.Int32
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, `{"n":%d}`, asked.Add(1)) })
	now := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	c := client(t, ask.Options{Now: func() time.Time { return now }})
	q := &gate.Question{Method: "GET", URL: url, Remember: time.Minute}
	expect := func(want string) {
		t.Helper()
		if said, err := c.Ask(t.Context(), q); err != nil || string(said.Body) != want {
			t.Errorf("got %s, %v, want %s", said.Body, err, want)
		}
	}
	dry := *q
	dry.Remembered = true
	if _, err := c.Ask(t.Context(), &dry); !errors.Is(err, gate.ErrNotRemembered) || asked.Load() != 0 {
		t.Errorf("a dry question was sent: %v", err)
	}
	expect(`{"n":1}`)
	expect(`{"n":1}`)
	if said, err := c.Ask(t.Context(), &dry); err != nil || string(said.Body) != `{"n":1}` {
		t.Errorf("a dry question does not see the memory: %v", err)
	}
	now = now.Add(time.Minute)
	expect(`{"n":2}`)
	q.Remember = 0
	expect(`{"n":3}`)
	expect(`{"n":4}`)
}

func TestOutagesAreErrorsAndNotRemembered(t *testing.T) {
	stop := make(chan struct{})
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/large":
			io.WriteString(w, strings.Repeat("x", 65<<10))
		case "/hang":
			<-stop
		case "/hangup":
			panic(http.ErrAbortHandler)
		case "/elsewhere":
			http.Redirect(w, r, "http://192.0.2.1/", http.StatusFound)
		case "/broken":
			w.WriteHeader(500)
		}
	})
	t.Cleanup(func() { close(stop) })
	c := client(t, ask.Options{})
	for path, words := range map[string]string{"/large": "longer than 64 KiB", "/hang": "did not answer within 20ms", "/hangup": "EOF"} {
		_, err := c.Ask(t.Context(), &gate.Question{Method: "GET", URL: url + path, Timeout: 20 * time.Millisecond, Remember: time.Hour})
		if err == nil || !strings.Contains(err.Error(), words) || strings.Contains(err.Error(), path) {
			t.Errorf("%s: got %v", path, err)
		}
	}
	for path, status := range map[string]int{"/elsewhere": 302, "/broken": 500} {
		q := gate.Question{Method: "GET", URL: url + path, Timeout: time.Minute, Remember: time.Hour}
		if said, err := c.Ask(t.Context(), &q); err != nil || said.Status != status {
			t.Errorf("%s: got %d, %v", path, said.Status, err)
		}
		q.Remembered = true
		if _, err := c.Ask(t.Context(), &q); !errors.Is(err, gate.ErrNotRemembered) {
			t.Errorf("%s is remembered", path)
		}
	}
	if _, err := c.Ask(t.Context(), &gate.Question{Method: "GET", URL: "http://127.0.0.1:1/secret", Timeout: time.Minute}); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
}

func TestEqualQuestionsAreAskedOnceAndSurviveWhoLeaves(t *testing.T) {
	var asked atomic.Int32
	arrived, answer := make(chan struct{}), make(chan struct{})
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		close(arrived)
		<-answer
		io.WriteString(w, "yes")
	})
	c := client(t, ask.Options{})
	q := &gate.Question{Method: "POST", URL: url, Body: []byte("{}"), Remember: time.Hour}
	leaving, leave := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := c.Ask(leaving, q); !errors.Is(err, context.Canceled) {
			t.Errorf("whoever left got %v", err)
		}
	})
	<-arrived
	leave()
	for range 10 {
		wg.Go(func() {
			if said, err := c.Ask(t.Context(), q); err != nil || string(said.Body) != "yes" {
				t.Errorf("got %s, %v", said.Body, err)
			}
		})
	}
	close(answer)
	wg.Wait()
	if n := asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

func TestCredentialsAreResolvedAndTellQuestionsApart(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Header.Get("Authorization")) })
	c := client(t, ask.Options{Resolve: func(v string) (string, error) {
		if v == "${env:GONE}" {
			return "", errors.New("the environment variable is not set")
		}
		return "Bearer of " + v, nil
	}})
	for _, ref := range []string{"${env:A}", "${env:B}"} {
		said, err := c.Ask(t.Context(), &gate.Question{Method: "GET", URL: url, Authorization: ref, Remember: time.Hour})
		if err != nil || string(said.Body) != "Bearer of "+ref {
			t.Errorf("got %s, %v", said.Body, err)
		}
	}
	if _, err := c.Ask(t.Context(), &gate.Question{Method: "GET", URL: url, Authorization: "${env:GONE}"}); err == nil || !strings.Contains(err.Error(), "not set") {
		t.Errorf("got %v", err)
	}
}
