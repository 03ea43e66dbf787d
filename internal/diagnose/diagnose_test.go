package diagnose

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"postern/internal/reqtext"
)

var present = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func jwt(head, claims string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(head)) + "." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln"
}

func request(t *testing.T, curl string) *reqtext.Request {
	t.Helper()
	r, err := reqtext.Parse([]byte(curl), reqtext.HintCurl)
	if err != nil {
		t.Fatal(err)
	}
	return &r[0]
}

func answer(t *testing.T, text string) *reqtext.Answer {
	t.Helper()
	a, err := reqtext.ParseAnswer([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return &a
}

func diagnosed(t *testing.T, in Input) *Report {
	t.Helper()
	in.Now = present
	r, err := Diagnose(t.Context(), in, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Each mistake is found before anything is sent.
func TestStaticChecks(t *testing.T) {
	const base = "curl -X POST https://api.example.com/orders "
	expired := jwt(`{"alg":"RS256"}`, `{"exp":1700000000}`)
	for _, c := range []struct{ name, curl, check, cause string }{
		{"an expired token", base + "-H 'Authorization: Bearer " + expired + "'", "jwt.exp", "token_expired"},
		{"a token of tomorrow", base + "-H 'Authorization: Bearer " + jwt(`{"alg":"RS256"}`, `{"nbf":1900000000}`) + "'", "jwt.nbf", "token_not_yet_valid"},
		{"an unsigned token", base + "-H 'Authorization: Bearer " + jwt(`{"alg":"none"}`, `{}`) + "'", "jwt.alg", "token_bad_signature"},
		{"a token for reading", base + "-H 'Authorization: Bearer " + jwt(`{"alg":"RS256"}`, `{"scope":"orders:read"}`) + "'", "jwt.scope", "scope_insufficient"},
		{"milliseconds", base + "-H 'Authorization: Bearer " + jwt(`{"alg":"RS256"}`, `{"exp":1900000000000}`) + "'", "jwt.claims", ""},
		{"half a token", base + "-H 'Authorization: Bearer eyJhbGciOiJSUzI1NiJ9.eyJ'", "jwt.form", "token_invalid"},
		{"Bearer twice", base + "-H 'Authorization: Bearer Bearer abcdefgh'", "authorization.doubled", "token_invalid"},
		{"no scheme", base + "-H 'Authorization: " + expired + "'", "authorization.scheme", "credential_missing"},
		{"nothing behind Bearer", base + "-H 'Authorization: Bearer '", "authorization.empty", "credential_missing"},
		{"a colon", base + "-H 'Authorization: Bearer: abcdefgh'", "authorization.colon", "credential_invalid"},
		{"basic that is none", base + "-H 'Authorization: Basic user:pass'", "authorization.basic", "credential_invalid"},
		{"a slip in the name", base + "-H 'Authorisation: Bearer abcdefgh'", "header.misspelt", "credential_missing"},
		{"an underscore", base + "-H 'api_key: abcdefgh'", "header.underscore", "credential_stripped"},
		{"a zero-width space", base + "-H 'X-API-Key: abcd\u200befgh'", "header.invisible", "credential_invalid"},
		{"quotes", base + `-H 'X-API-Key: "abcdefgh"'`, "header.quoted", "credential_invalid"},
		{"a placeholder", base + "-H 'X-API-Key: YOUR_API_KEY'", "header.placeholder", "credential_invalid"},
		{"a key twice", base + "-H 'X-API-Key: abcdefgh' -H 'X-API-Key: ijklmnop'", "header.doubled", "credential_invalid"},
		{"a key in the query", "curl 'https://api.example.com/orders?api_key=abcdefgh'", "credential.query", "credential_missing"},
		{"a body that is no JSON", base + "-H 'Content-Type: application/json' -d '{\"a\":'", "body.form", "waf_rule"},
		{"JSON sent as a form", base + `-d '{"a":1}'`, "body.type", ""},
		{"another site's Origin", base + "-H 'Origin: https://evil.example'", "origin", "origin_rejected"},
		{"another site's Referer", base + "-H 'Referer: https://evil.example/x'", "referer", "referer_rejected"},
		{"a session without a CSRF token", base + "-b 'sessionid=abcdefgh'", "csrf", "csrf_missing"},
		{"a CSRF token that does not fit", base + "-b 'csrftoken=aaaaaaaa' -H 'X-CSRFToken: bbbbbbbb'", "csrf", "csrf_invalid"},
		{"a forged address", base + "-H 'X-Forwarded-For: 10.0.0.1'", "header.forwarding", "ip_denied"},
		{"another Host", base + "-H 'Host: other.example'", "host", "host_not_served"},
		{"http to the port of TLS", "curl http://api.example.com:443/", "scheme", "tls_required"},
		{"a signed address that expired", "curl 'https://a.example/x?expires=1600000000&md5=abcdefgh'", "query.expires", "token_expired"},
		{"a scanner", base + "-A sqlmap/1.7", "user-agent", "waf_rule"},
		{"a preflight", "curl -X OPTIONS https://a.example/ -H 'Origin: https://b.example' -H 'Access-Control-Request-Method: POST'", "preflight", "cors_preflight"},
		{"a placeholder in the path", "curl --globoff 'https://a.example/orders/{id}'", "path", "wrong_handler"},
		{"a secure cookie in the clear", "curl http://a.example/ -b '__Host-sid=abcdefgh'", "cookie.secure", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := diagnosed(t, Input{Request: request(t, c.curl)})
			found := false
			for _, k := range r.Checks {
				found = found || k.ID == c.check && k.Outcome != OK
			}
			if !found {
				t.Errorf("the check %s says nothing: %+v", c.check, r.Checks)
			}
			if c.cause == "" {
				return
			}
			for _, k := range r.Causes {
				if k.ID == c.cause && k.Confidence > 0 {
					return
				}
			}
			t.Errorf("the cause %s is not considered: %+v", c.cause, r.Causes)
		})
	}
}

func TestARequestWithoutFaultIsNotBlamed(t *testing.T) {
	r := diagnosed(t, Input{Request: request(t, "curl --json '{\"a\":1}' https://api.example.com/orders -H 'Authorization: Bearer "+jwt(`{"alg":"RS256"}`, `{"exp":1900000000,"scope":"orders:write"}`)+"'")})
	for _, k := range r.Checks {
		if k.Outcome == Problem || k.Outcome == Warning {
			t.Errorf("%s: %s", k.ID, k.Text)
		}
	}
	if r.Verdict != CannotTell || r.ExitCode() != 3 || len(r.Needs) == 0 {
		t.Errorf("verdict %s, needs %v", r.Verdict, r.Needs)
	}
}

func TestAnswers(t *testing.T) {
	const post = "curl -X POST https://api.example.com/orders -d a=1 "
	for _, c := range []struct{ name, curl, answer, verdict, cause string }{
		{"words of the body", post, "HTTP/1.1 403 Forbidden\nContent-Type: application/json\n\n{\"error\":\"invalid_api_key\"}", Refused, "credential_invalid"},
		{"a missing credential that was sent", post + "-H 'X-API-Key: abcdefgh'", "HTTP/1.1 401 Unauthorized\n\n{\"error\":\"missing api key\"}", Refused, "credential_stripped"},
		{"insufficient_scope", post + "-H 'Authorization: Bearer abcdefgh'", "HTTP/1.1 403 Forbidden\nWWW-Authenticate: Bearer error=\"insufficient_scope\", scope=\"w\"\n\n", Refused, "scope_insufficient"},
		{"an expired token, said in the challenge", post + "-H 'Authorization: Bearer abcdefgh'", "HTTP/1.1 401 Unauthorized\nWWW-Authenticate: Bearer error=\"invalid_token\", error_description=\"The token expired at 1\"\n\n", Refused, "token_expired"},
		{"too many", post, "HTTP/1.1 403 Forbidden\nX-RateLimit-Remaining: 0\nRetry-After: 60\n\nForbidden", Refused, "rate_limited"},
		{"a sign-in page", post, "HTTP/1.1 302 Found\nLocation: https://sso.example/login\n\n", Refused, "credential_missing"},
		{"a redirect that loses the method", post, "HTTP/1.1 301 Moved\nLocation: /orders/\n\n", Refused, "method_changed"},
		{"success", post, "HTTP/1.1 201 Created\nContent-Type: application/json\n\n{\"ok\":true}", Allowed, "none"},
		{"success that a page may not read", "curl -X OPTIONS https://a.example/ -H 'Origin: https://b.example' -H 'Access-Control-Request-Method: POST'", "HTTP/1.1 204 No Content\nAccess-Control-Allow-Origin: https://c.example\n\n", Refused, "cors_preflight"},
		{"a fault with status 200", post, "HTTP/1.1 200 OK\nContent-Type: application/json\n\n{\"success\":false,\"error\":\"invalid api key\"}", Refused, "credential_invalid"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := diagnosed(t, Input{Request: request(t, c.curl), Answer: answer(t, c.answer)})
			if r.Verdict != c.verdict || len(r.Causes) == 0 || r.Causes[0].ID != c.cause {
				t.Errorf("%s %+v, want %s %s", r.Verdict, r.Causes, c.verdict, c.cause)
			}
		})
	}
}

func TestOnlyAnAnswer(t *testing.T) {
	r := diagnosed(t, Input{Answer: answer(t, "HTTP/2 403\nserver: cloudflare\ncf-ray: 8a\n\nerror code: 1020")})
	if r.Verdict != Refused || r.Causes[0].ID != "waf_rule" || r.AnsweredBy == nil || !strings.Contains(r.AnsweredBy.System, "Cloudflare") {
		t.Errorf("%+v", r)
	}
}

// Whatever is printed, a secret of the input is not in it.
func TestSecretsAreMasked(t *testing.T) {
	const secret = "s3cr3t-Value-42"
	token := jwt(`{"alg":"RS256"}`, `{"sub":"`+secret+`","exp":1700000000}`)
	basic := base64.StdEncoding.EncodeToString([]byte("ada:" + secret))
	for _, in := range []string{
		"-H 'Authorization: Bearer " + secret + "'", "-H 'Authorization: Bearer " + token + "'", "-u ada:" + secret, "-H 'X-API-Key: " + secret + "'",
		"-b 'sid=" + secret + "; csrftoken=" + secret + "'", "-d 'password=" + secret + "'", `--json '{"client_secret":"` + secret + `"}'`,
		"-H 'Authorization: " + secret + "'", "-H 'X-CSRF-Token: " + secret + "'", "-H 'api_key: \"" + secret + "\"'",
	} {
		t.Run(in[:6], func(t *testing.T) {
			r := request(t, "curl -X POST 'https://ada:"+secret+"@api.example.com/orders?access_token="+secret+"' "+in)
			a := answer(t, "HTTP/1.1 403 Forbidden\nSet-Cookie: session="+secret+"\n\n{\"error\":\"invalid api key "+secret+"\"}")
			log := Log{"access.log", strings.NewReader(`1.2.3.4 - ada [22/Nov/2026:12:00:00 +0000] "POST /orders?access_token=` + secret + ` HTTP/1.1" 403 1 "-" "Basic ` + basic + " " + token + "\"\n" +
				"2026/11/22 12:00:00 [error] 1#1: *1 access forbidden by rule, client: 1.2.3.4, request: \"POST /orders?access_token=" + secret + "\"\n")}
			var steps bytes.Buffer
			report := diagnosed(t, Input{Request: r, Answer: a, Compare: r, Logs: []Log{log}, Observe: func(s Step) { s.WriteStep(&steps, false) }})
			var out bytes.Buffer
			if err := report.WriteText(&out, true); err != nil {
				t.Fatal(err)
			}
			if err := report.WriteMarkdown(&out); err != nil {
				t.Fatal(err)
			}
			j, err := json.Marshal(report)
			if err != nil {
				t.Fatal(err)
			}
			plan, err := (&Prober{Unsafe: true, Neutral: true}).Plan(r)
			if err != nil {
				t.Fatal(err)
			}
			all := out.String() + string(j) + steps.String() + fmt.Sprint(plan)
			for _, s := range []string{secret, basic, token} {
				if i := strings.Index(all, s); i >= 0 {
					t.Errorf("the secret is shown: %s", all[max(0, i-80):i+len(s)])
				}
			}
			if !strings.Contains(all, Masked) {
				t.Error("nothing is masked: the test shows nothing")
			}
		})
	}
}

func TestMarkdownCannotBeBrokenOutOf(t *testing.T) {
	r := &Report{Verdict: Refused, Status: 403, Causes: []Cause{{ID: "x", Title: "t", For: []Evidence{{From: "answer", Text: "a | b <script> ` [x](y)\n# h"}}}}, LogLines: []Quote{{Log: "l", Text: "`` <b>"}}}
	var out bytes.Buffer
	if err := r.WriteMarkdown(&out); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"<script>", "\n# h", "| b", "[x]("} {
		if strings.Contains(strings.ReplaceAll(out.String(), `\|`, ""), bad) {
			t.Errorf("%q is in it: %s", bad, out.String())
		}
	}
}

func TestCompare(t *testing.T) {
	r := diagnosed(t, Input{
		Request: request(t, "curl -X POST http://a.example/x -H 'Authorization: Bearer aaaa1111' -d a=1"),
		Compare: request(t, "curl -X POST https://a.example/x -H 'Authorization: Bearer bbbb2222' -H 'X-CSRF-Token: tttt' -d a=2"),
		Answer:  answer(t, "HTTP/1.1 403 Forbidden\n\n"),
	})
	for _, want := range []string{"the scheme", "Authorization has another value", "X-CSRF-Token is missing", "the body differs"} {
		if !strings.Contains(strings.Join(r.Difference, "\n"), want) {
			t.Errorf("%q is not told: %q", want, r.Difference)
		}
	}
	if s := strings.Join(r.Difference, ""); strings.Contains(s, "aaaa1111") || strings.Contains(s, "bbbb2222") {
		t.Error("a credential is shown")
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add(jwt(`{"alg":"RS256"}`, `{"exp":1e300,"aud":["a",1],"scope":{}}`))
	f.Add("a.b.c.d.e")
	f.Fuzz(func(t *testing.T, s string) {
		if tok, err := parseToken(s); tok == nil && err == nil {
			t.Fatal("neither a token nor an error")
		} else if tok != nil {
			_ = tok.String(present)
		}
	})
}

func FuzzDiagnose(f *testing.F) {
	f.Add("curl -X POST https://a/x -d a=1", "HTTP/1.1 403 Forbidden\nServer: nginx\n\n<html>", "1.2.3.4 - - [22/Nov/2026:12:00:00 +0000] \"POST /x HTTP/1.1\" 403 1\n")
	f.Fuzz(func(t *testing.T, curl, response, log string) {
		in := Input{Now: present, Logs: []Log{{"l", strings.NewReader(log)}}}
		if r, err := reqtext.Parse([]byte(curl), reqtext.HintCurl); err == nil {
			in.Request = &r[0]
		}
		if a, err := reqtext.ParseAnswer([]byte(response)); err == nil {
			in.Answer = &a
		}
		report, err := Diagnose(t.Context(), in, nil)
		if err != nil {
			t.Fatal(err)
		}
		total := 0.0
		for _, c := range report.Causes {
			if c.Confidence < 0 || c.Confidence > 1 {
				t.Fatalf("confidence %v", c.Confidence)
			}
			total += c.Confidence
		}
		if total > 1.06 {
			t.Fatalf("the confidences add up to %v", total)
		}
		var out bytes.Buffer
		if report.WriteText(&out, false) != nil || report.WriteMarkdown(&out) != nil {
			t.Fatal("the report cannot be written")
		}
		if strings.ContainsAny(out.String(), "\x1b\x00\r") {
			t.Fatal("control characters reach the terminal")
		}
	})
}
