package route

import (
	"crypto/rand"
	"strings"
	"testing"

	"postern/internal/decision"
	"postern/internal/directory"
)

// TestNoKeyIsEchoed: callers put keys into paths, and refusals repeat paths. Nobody is told the key, the operator included.
func TestNoKeyIsEchoed(t *testing.T) {
	r := compiled(t, on("POST /orders/{id}"), on("GET /old/{id}", state(Retired)))
	key, err := directory.NewKeyText(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	secret := key[len(directory.KeyPrefix):]
	for _, request := range []string{
		"GET /nowhere/" + key, "POST /nowhere/" + key + "/x", "GET /orders/" + key, "GET /" + strings.Replace(key, "_", "%5f", 1),
		"CONNECT /" + key, "CONNECT /" + strings.Replace(key, "_", "%5F", 1), "GET " + key + "/x", key + " /x", "GET /old/" + key, "GET /a/../" + key, "GET /" + key + "%",
	} {
		_, v := ask(r, request)
		if v.Passed() {
			t.Errorf("%s passed", strings.ReplaceAll(request, secret, "…"))
		}
		for _, asker := range []decision.Disclosure{decision.ToAnyone, decision.ToProven, decision.ToOwner, decision.ToOperator} {
			said := v.Render(asker)
			if told := said.Detail + strings.Join(said.Remedies, " "); strings.Contains(strings.ToLower(told), strings.ToLower(secret)) {
				t.Errorf("%s: %s is told the key", strings.ReplaceAll(request, secret, "…"), asker)
			}
		}
	}
}
