package introspect_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"postern/internal/gate"
	"postern/internal/introspect"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestIntrospect(t *testing.T) {
	var answer http.HandlerFunc
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { answer(w, r) }))
	defer s.Close()
	var c introspect.Client
	defer c.Close()
	ask := func() ([]byte, error) {
		return c.Introspect(context.Background(), &gate.IntrospectionSource{ID: "1", URL: s.URL, ClientID: "gw:1", ClientSecret: "s&s"}, "tok&en")
	}
	answer = func(w http.ResponseWriter, r *http.Request) {
		id, secret, _ := r.BasicAuth()
		fmt.Fprintf(w, "%s %s %s %s", r.Method, id, secret, r.PostFormValue("token"))
	}
	if b, err := ask(); err != nil || string(b) != "POST gw%3A1 s%26s tok&en" {
		t.Errorf("%s, %v", b, err)
	}
	for name, h := range map[string]http.HandlerFunc{
		"500": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/else", http.StatusTemporaryRedirect)
		},
		"large": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Repeat("x", 70<<10)) },
	} {
		answer = h
		if b, err := ask(); err == nil {
			t.Errorf("%s: %s", name, b)
		}
	}
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := c.Introspect(gone, &gate.IntrospectionSource{ID: "1", URL: s.URL}, "t"); err == nil {
		t.Error("a caller that is gone got an answer")
	}
}
