package admin_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"postern/internal/admin"
	"postern/internal/pdp"
)

func todo(t *testing.T) func(*admin.Options) {
	set, err := pdp.Parse(pdp.Text{Name: "todo", Cedar: `@id("own") permit(principal, action == Action::"update", resource) when { resource has owner && resource.owner == principal.email };`})
	if err != nil {
		t.Fatal(err)
	}
	s, err := pdp.NewService(set, `[{"uid":{"type":"user","id":"ann"},"attrs":{"email":"ann@x"},"parents":[]}]`)
	if err != nil {
		t.Fatal(err)
	}
	return func(o *admin.Options) {
		o.Decisions = func(name string) *pdp.Service {
			if name == "todo" || name == "default" {
				return s
			}
			return nil
		}
	}
}

const (
	updateOwn   = `{"subject":{"type":"user","id":"ann"},"action":{"name":"update"},"resource":{"type":"todo","id":"1","properties":{"owner":"ann@x"}}}`
	updateOther = `{"subject":{"type":"user","id":"ann"},"action":{"name":"update"},"resource":{"type":"todo","id":"1","properties":{"owner":"bob@x"}}}`
)

func TestAuthZENEvaluations(t *testing.T) {
	w := newWorld(t, todo(t))
	ask := func(path, question string) string {
		t.Helper()
		a := w.post(w.boot, path, json.RawMessage(question)).want(200)
		return strings.TrimSpace(string(a.body))
	}
	for question, want := range map[string]string{
		updateOwn:   `{"decision":true,"context":{"reason_admin":{"en":"decided by todo/own"}}}`,
		updateOther: `{"decision":false}`,
	} {
		for _, path := range []string{"/access/v1/evaluation", "/decisions/todo/access/v1/evaluation", "/decisions/todo/access/v1/evaluations"} {
			if got := ask(path, question); got != want {
				t.Errorf("%s: got %s, want %s", path, got, want)
			}
		}
	}
	several := func(semantic string) string {
		return fmt.Sprintf(`{"subject":{"type":"user","id":"ann"},"action":{"name":"update"},"options":{"evaluations_semantic":%q},"evaluations":[
			{"resource":{"type":"todo","id":"1","properties":{"owner":"ann@x"}}},
			{"resource":{"type":"todo","id":"2","properties":{"owner":"bob@x"}}},
			{"action":{"name":"delete"},"resource":{"type":"todo","id":"1","properties":{"owner":"ann@x"}}},
			{"resource":{"type":"todo"}},
			{"resource":{"type":"todo","id":"1","properties":{"owner":"ann@x"}}}]}`, semantic)
	}
	for semantic, want := range map[string]string{"execute_all": "true false false false true", "deny_on_first_deny": "true false", "permit_on_first_permit": "true"} {
		var got struct{ Evaluations []struct{ Decision bool } }
		if err := json.Unmarshal([]byte(ask("/access/v1/evaluations", several(semantic))), &got); err != nil {
			t.Fatal(err)
		}
		var words []string
		for _, d := range got.Evaluations {
			words = append(words, fmt.Sprint(d.Decision))
		}
		if strings.Join(words, " ") != want {
			t.Errorf("%s: got %v, want %s", semantic, words, want)
		}
	}
}

func TestAuthZENRefusesWhatItCannotAnswer(t *testing.T) {
	w := newWorld(t, todo(t))
	w.post("", "/access/v1/evaluation", json.RawMessage(updateOwn)).want(401)
	w.post(w.boot, "/decisions/other/access/v1/evaluation", json.RawMessage(updateOwn)).refused(404, "not_found")
	for _, question := range []string{`{}`, `[]`, `{"subject":1}`, `{"subject":{"type":"user","id":"ann"},"action":{"name":"update"},"resource":{"type":"todo","id":"1"},"resource":{"type":"todo","id":"2"}}`} {
		w.post(w.boot, "/access/v1/evaluation", json.RawMessage(question)).refused(400, "malformed")
	}
	w.post(w.boot, "/access/v1/evaluations", json.RawMessage(`{"evaluations":[{}],"options":{"evaluations_semantic":"guess"}}`)).refused(400, "malformed")
	many := `{"evaluations":[` + strings.TrimSuffix(strings.Repeat(`{},`, 1001), ",") + `]}`
	w.post(w.boot, "/access/v1/evaluations", json.RawMessage(many)).refused(413, "too_large")
	if a := w.post(w.boot, "/access/v1/evaluation", json.RawMessage(updateOwn), "X-Request-ID", "r1"); a.header.Get("X-Request-ID") != "r1" {
		t.Error("the request id does not come back")
	}
	without := newWorld(t)
	without.post(without.boot, "/access/v1/evaluation", json.RawMessage(updateOwn)).refused(404, "not_found")
}
