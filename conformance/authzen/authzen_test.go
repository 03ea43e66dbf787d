package authzen_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postern/conformance/gateway"
)

// The rules of the interop's Todo application (its README): everybody reads, editors create and change their own, admins
// delete, and an evil genius changes everything.
const config = `postern: 1
listeners: [{name: main, address: "127.0.0.1:0"}]
decision_sets:
  - name: todo
    cedar: |
      permit(principal, action in [Action::"can_read_user", Action::"can_read_todos"], resource);
      permit(principal in Role::"editor", action == Action::"can_create_todo", resource);
      permit(principal in Role::"admin", action in [Action::"can_create_todo", Action::"can_delete_todo"], resource);
      permit(principal in Role::"evil_genius", action == Action::"can_update_todo", resource);
      permit(principal in Role::"editor", action in [Action::"can_update_todo", Action::"can_delete_todo"], resource)
      when { resource has ownerID && resource.ownerID == principal.email };
    entities: '%[1]s'
  - name: gateway
    cedar: |
      permit(principal, action == Action::"GET", resource in Route::"all");
      permit(principal in Role::"editor", action, resource);
      permit(principal in Role::"admin", action, resource);
    entities: '%[2]s'
`

var people = []struct{ id, email, roles string }{
	{"CiRmZDA2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs", "rick@the-citadel.com", "admin evil_genius"},
	{"CiRmZDE2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs", "morty@the-citadel.com", "editor"},
	{"CiRmZDI2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs", "summer@the-smiths.com", "editor"},
	{"CiRmZDM2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs", "beth@the-smiths.com", "viewer"},
	{"CiRmZDQ2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs", "jerry@the-smiths.com", "viewer"},
}

type id struct {
	Type string `json:"type"`
	ID   string `json:"id"`
}

type entity struct {
	UID     id             `json:"uid"`
	Attrs   map[string]any `json:"attrs"`
	Parents []id           `json:"parents"`
}

func entities(t *testing.T, typ string, more ...entity) string {
	list := more
	for _, p := range people {
		e := entity{UID: id{typ, p.id}, Attrs: map[string]any{"email": p.email}}
		for _, r := range strings.Fields(p.roles) {
			e.Parents = append(e.Parents, id{"Role", r})
		}
		list = append(list, e)
	}
	b, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestInteropDecisions(t *testing.T) {
	folder := os.Getenv("POSTERN_VECTORS")
	if folder == "" {
		folder = "../../../shared/vectors"
	}
	if _, err := os.Stat(filepath.Join(folder, "authzen")); err != nil {
		t.Skip("the decision sets of AuthZEN are not here: set POSTERN_VECTORS to the folder that has authzen/")
	}
	var routes []entity
	for _, r := range []string{"/users/{userId}", "/todos", "/todos/{todoId}"} {
		routes = append(routes, entity{UID: id{"route", r}, Attrs: map[string]any{}, Parents: []id{{"Route", "all"}}})
	}

	p := gateway.Start(t, gateway.Options{Config: fmt.Sprintf(config, entities(t, "user"), entities(t, "identity", routes...))})
	m := p.Manage()
	asked := 0
	for _, set := range []string{"todo", "gateway"} {
		data, err := os.ReadFile(filepath.Join(folder, "authzen", set+"-decisions.json"))
		if err != nil {
			t.Fatal(err)
		}
		var cases struct {
			Evaluation []struct {
				Request  json.RawMessage
				Expected bool
			}
			Evaluations []struct {
				Request  json.RawMessage
				Expected []struct{ Decision bool }
			}
		}
		if err := json.Unmarshal(data, &cases); err != nil {
			t.Fatal(err)
		}
		for i, c := range cases.Evaluation {
			asked++
			var got struct{ Decision *bool }
			ask(t, m, "/decisions/"+set+"/access/v1/evaluation", c.Request, &got)
			if got.Decision == nil || *got.Decision != c.Expected {
				t.Errorf("%s %d: got %v, want %v: %s", set, i, got.Decision, c.Expected, c.Request)
			}
		}
		for i, c := range cases.Evaluations {
			var got struct{ Evaluations []struct{ Decision bool } }
			ask(t, m, "/decisions/"+set+"/access/v1/evaluations", c.Request, &got)
			asked++
			if fmt.Sprint(got.Evaluations) != fmt.Sprint(c.Expected) {
				t.Errorf("%s evaluations %d: got %v, want %v", set, i, got.Evaluations, c.Expected)
			}
		}
	}
	t.Logf("%d questions", asked)
	if asked < 60 {
		t.Errorf("only %d questions were asked", asked)
	}
}

func ask(t *testing.T, m *gateway.Manager, path string, request json.RawMessage, into any) {
	t.Helper()
	status, body, err := m.Try("POST", path, request)
	if err != nil || status != 200 {
		t.Fatalf("%s: %d %s %v", path, status, body, err)
	}
	if err := json.Unmarshal(body, into); err != nil {
		t.Fatal(err)
	}
}
