package forward

import (
	"strings"
	"testing"

	"postern/internal/directory"
	"postern/internal/gate"
	"postern/internal/header"
	"postern/internal/policy"
)

func TestIdentityIsToldByTheGatewayOnly(t *testing.T) {
	id := newIdentity(&policy.Identity{Application: "X-App", User: "X-User", Scopes: "X-Scopes", Roles: "X-Roles", Attributes: map[string]string{"dept": "X-Dept"}})
	for _, spelled := range []string{"X-App", "x-app", "X_App", "x_APP", "X.App", "X-Dept"} {
		if !id.claims(spelled) {
			t.Errorf("a caller could say who it is by %s", spelled)
		}
	}
	if id.claims("X-Apps") || id.claims("XApp") || identity(nil).claims("X-App") {
		t.Error("a field of the caller's own is removed")
	}
	x := new(gate.Exchange)
	x.Principal = gate.Principal{Proven: true, Subject: "Zoë\r\nX-Admin: 1 100%", Application: directory.Application{ID: "shop-web", Roles: []string{"a"}},
		Scopes: []string{"r", "w"}, Roles: []string{"b"}, Attributes: []gate.Attribute{{Name: "dept", Value: "tea"}}}
	c := &call{x: x, up: &Upstream{identity: id}}
	c.addIdentity()
	got := header.List(c.fields)
	for name, want := range map[string]string{"X-App": "shop-web", "X-User": "Zo%C3%AB%0D%0AX-Admin:%201%20100%25", "X-Scopes": "r w", "X-Roles": "a b", "X-Dept": "tea"} {
		if v := got.Get(name); v != want {
			t.Errorf("%s is %q, want %q", name, v, want)
		}
	}
	for _, f := range got {
		if strings.ContainsAny(f.Value, "\r\n") {
			t.Errorf("%s splits the header", f.Name)
		}
	}
	c.fields, x.Principal = nil, gate.Principal{}
	if c.addIdentity(); len(c.fields) != 0 {
		t.Errorf("nobody is told to be somebody: %v", c.fields)
	}
}
