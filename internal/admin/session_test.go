package admin_test

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestTheBootstrapTokenIsSpentByTheFirstAdministrator(t *testing.T) {
	w := newWorld(t)
	if me := w.get(w.boot, "/api/v1/me").want(200); me.text("actor") != "bootstrap" || me.field("bootstrap") != true {
		t.Errorf("me: %s", me.body)
	}
	session := w.post("", "/api/v1/session", map[string]any{"bootstrap_token": w.boot, "as": "bearer"}).want(201).text("token")
	// An administrator without a password cannot sign in: that does not close the door.
	w.post(session, "/api/v1/users", map[string]any{"email": "a@example.com", "roles": []string{"admin"}}).want(201)
	w.post(session, "/api/v1/users", map[string]any{"email": "v@example.com", "roles": []string{"viewer"}, "password": password}).want(201)
	w.get(session, "/api/v1/me").want(200)
	w.post(session, "/api/v1/users", map[string]any{"email": "Ada@Example.com ", "roles": []string{"admin"}, "password": password}).want(201)
	w.get(session, "/api/v1/me").refused(401, "credential_rejected")
	w.get(w.boot, "/api/v1/me").refused(401, "credential_rejected")
	w.post("", "/api/v1/session", map[string]any{"bootstrap_token": w.boot}).refused(401, "sign_in_failed")
	w.signIn("ada@example.com", password)
	if again, err := w.api.EnsureBootstrap(t.Context()); err != nil || again != "" {
		t.Errorf("a start with an administrator: token %q, %v", again, err)
	}
}

func TestTheBootstrapTokenEndsByItself(t *testing.T) {
	w := newWorld(t)
	next, err := w.api.EnsureBootstrap(t.Context()) // a restart
	if err != nil || next == "" || next == w.boot {
		t.Fatalf("a restart without an administrator: %q, %v", next, err)
	}
	w.get(w.boot, "/api/v1/me").refused(401, "credential_rejected")
	w.get(next, "/api/v1/me").want(200)
	w.pass(24 * time.Hour)
	w.get(next, "/api/v1/me").refused(401, "credential_rejected")
}

func TestAPersonSignsInAndOut(t *testing.T) {
	w := newWorld(t)
	id, _ := w.user(w.boot, "ada@example.com", "", "admin")
	jar, _ := cookiejar.New(nil)
	browser := &http.Client{Jar: jar}
	resp, err := browser.Post(w.url+"/api/v1/session", "application/json", strings.NewReader(`{"email":"ADA@example.com","password":"`+password+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	cookie := resp.Header.Get("Set-Cookie")
	if resp.StatusCode != 201 || !strings.Contains(cookie, "HttpOnly") || !strings.Contains(cookie, "SameSite=Strict") || strings.Contains(cookie, "Domain") {
		t.Fatalf("status %d, cookie %q", resp.StatusCode, cookie)
	}
	status := func(method, path string) int {
		r, _ := http.NewRequest(method, w.url+path, nil)
		resp, err := browser.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	if got := status("GET", "/api/v1/me"); got != 200 {
		t.Errorf("with the cookie: %d", got)
	}
	u, _ := url.Parse(w.url)
	secret := jar.Cookies(u)[0].Value
	if got := status("DELETE", "/api/v1/session"); got != 204 {
		t.Errorf("signing out: %d", got)
	}
	w.get(secret, "/api/v1/me").refused(401, "credential_rejected")

	// Sessions end after half a day, and with the password.
	old := w.signIn("ada@example.com", password)
	kept := w.signIn("ada@example.com", password)
	w.put(kept, "/api/v1/users/"+id+"/password", `{"current":"wrong wrong wrong","password":"another four random words"}`, "Content-Type", "application/json").refused(403, "password_wrong")
	w.put(kept, "/api/v1/users/"+id+"/password", `{"current":"`+password+`","password":"another four random words"}`, "Content-Type", "application/json").want(204)
	w.get(old, "/api/v1/me").refused(401, "credential_rejected")
	w.get(kept, "/api/v1/me").want(200)
	w.post("", "/api/v1/session", map[string]any{"email": "ada@example.com", "password": password}).refused(401, "sign_in_failed")
	w.pass(12 * time.Hour)
	w.get(kept, "/api/v1/me").refused(401, "credential_rejected")
}

func TestSignInsThatFailAreAllAlike(t *testing.T) {
	w := newWorld(t)
	_, boss := w.user(w.boot, "ada@example.com", "", "admin")
	w.post(boss, "/api/v1/users", map[string]any{"email": "nopassword@example.com", "roles": []string{"viewer"}}).want(201)
	id, _ := w.user(boss, "gone@example.com", "", "viewer")
	w.do(boss, "PATCH", "/api/v1/users/"+id, map[string]any{"standing": "suspended"}).want(200)
	var first string
	for _, in := range []map[string]any{
		{"email": "ada@example.com", "password": "wrong wrong wrong"},
		{"email": "nobody@example.com", "password": password},
		{"email": "nopassword@example.com", "password": ""},
		{"email": "nopassword@example.com", "password": password},
		{"email": "gone@example.com", "password": password},
		{"bootstrap_token": "postern_boot_x"},
	} {
		a := w.post("", "/api/v1/session", in)
		a.refused(401, "sign_in_failed")
		if first == "" {
			first = string(a.body)
		}
		if string(a.body) != first || a.header.Get("Set-Cookie") != "" {
			t.Errorf("%v is answered differently: %s", in, a.body)
		}
	}
	w.post("", "/api/v1/session", map[string]any{"email": "a", "bootstrap_token": "b"}).refused(422, "invalid")
	w.post("", "/api/v1/session", map[string]any{}).refused(422, "invalid")
}

func TestGuessingIsSlowed(t *testing.T) {
	w := newWorld(t)
	w.user(w.boot, "ada@example.com", "", "admin")
	for i := range 10 {
		a := w.post("", "/api/v1/session", map[string]any{"email": "ada@example.com", "password": "wrong wrong wrong"})
		if a.status != 401 {
			t.Fatalf("guess %d: %d", i, a.status)
		}
	}
	a := w.post("", "/api/v1/session", map[string]any{"email": "ada@example.com", "password": password})
	a.refused(429, "too_many_attempts")
	if a.header.Get("Retry-After") != "6" {
		t.Errorf("Retry-After %q", a.header.Get("Retry-After"))
	}
	w.pass(6 * time.Second)
	w.signIn("ada@example.com", password)
	w.signIn("ada@example.com", password) // success has cleared the slate
}

func TestPasswordsThatAreNotTaken(t *testing.T) {
	w := newWorld(t)
	for name, pw := range map[string]string{"short": "elevenchars", "long": strings.Repeat("ab", 129), "the address": "ada@example.com", "one letter": strings.Repeat("a", 20)} {
		t.Run(name, func(t *testing.T) {
			p := w.post(w.boot, "/api/v1/users", map[string]any{"email": "ada@example.com", "roles": []string{"admin"}, "password": pw}).refused(422, "invalid")
			if strings.Contains(p.Detail, pw) {
				t.Errorf("the refusal repeats the password: %s", p.Detail)
			}
		})
	}
	for _, email := range []string{"ada", "Ada <ada@example.com>", "ada@example.com\r\nX: y", "a@b,c@d"} {
		w.post(w.boot, "/api/v1/users", map[string]any{"email": email, "roles": []string{"admin"}, "password": password}).refused(422, "invalid")
	}
	w.post(w.boot, "/api/v1/users", map[string]any{"email": "a@b.example", "roles": []string{"root"}}).refused(422, "invalid")
}
