package fingerprint

import (
	"slices"
	"testing"

	"postern/internal/header"
)

func TestTheDataLoads(t *testing.T) {
	k, err := load(files)
	if err != nil {
		t.Fatal(err)
	}
	if len(k.signatures) < 450 || len(k.causes) < 40 || len(k.phrases) < 50 {
		t.Errorf("%d signatures, %d causes, %d phrases: part of the data is gone", len(k.signatures), len(k.causes), len(k.phrases))
	}
	for _, s := range k.signatures {
		if s.Source == "" || s.Remedy == "" || !slices.Contains([]string{"high", "medium", "low"}, s.Confidence) {
			t.Errorf("%s: a signature needs a source, a remedy and how sure it is", s.ID)
		}
		if s.Basis == "recalled" && s.Confidence == "high" && s.Layer != "web-server" {
			continue // the catalogue's own judgement
		}
		if len(s.Headers)+len(s.Page)+len(s.Body)+len(s.Log) == 0 {
			t.Errorf("%s has nothing to recognise", s.ID)
		}
	}
	for _, c := range k.causes {
		if c.Title == "" || c.Layer == "" || c.Caller == "" || c.Operator == "" {
			t.Errorf("%s: a cause needs a title, a layer and remedies for caller and operator", c.ID)
		}
		if c.Part != "" && k.byID[c.Part].ID == "" {
			t.Errorf("%s is part of %s, which is no cause", c.ID, c.Part)
		}
	}
}

func fields(pairs ...string) (l header.List) {
	for i := 0; i+1 < len(pairs); i += 2 {
		l.Add(pairs[i], pairs[i+1])
	}
	return l
}

func TestIdentify(t *testing.T) {
	const nginx = "<html>\r\n<head><title>403 Forbidden</title></head>\r\n<body>\r\n<center><h1>403 Forbidden</h1></center>\r\n<hr><center>nginx/1.22.1</center>\r\n</body>\r\n</html>\r\n"
	for _, c := range []struct {
		name   string
		answer Answer
		system string // of the best match; "" for none
		cause  string
	}{
		{"a gateway's words", Answer{401, fields("Server", "kong/3.4.2", "X-Kong-Response-Latency", "1", "X-Kong-Request-Id", "x"), []byte(`{"message":"No API key found in request","request_id":"x"}`)}, "Kong", "credential_missing"},
		{"spaces in JSON do not matter", Answer{403, fields("x-amzn-RequestId", "1", "x-amz-apigw-id", "2", "x-amzn-ErrorType", "MissingAuthenticationTokenException"), []byte(`{ "message": "Missing Authentication Token" }`)}, "Amazon API Gateway", "wrong_handler"},
		{"a page that many causes share", Answer{403, fields("Server", "nginx/1.22.1"), []byte(nginx)}, "nginx", ""},
		{"fields alone", Answer{403, fields("Server", "cloudflare", "CF-RAY", "1", "cf-mitigated", "challenge"), nil}, "Cloudflare", "bot_challenge"},
		{"a code of a content network", Answer{403, fields("Server", "cloudflare", "CF-RAY", "1"), []byte("error code: 1009")}, "Cloudflare", "geo_denied"},
		{"a model provider", Answer{401, fields("request-id", "req_01"), []byte(`{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}}`)}, "Anthropic", "credential_invalid"},
		{"an answer that is fine", Answer{200, fields("Server", "nginx/1.22.1"), []byte(`{"ok":true}`)}, "", ""},
		{"words that are nobody's", Answer{403, fields("Server", "acme"), []byte("no")}, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Identify(c.answer)
			if c.system == "" {
				for _, m := range got {
					if m.Weight > 1 {
						t.Errorf("recognised %s with weight %.1f", m.ID, m.Weight)
					}
				}
				return
			}
			if len(got) == 0 {
				t.Fatal("nothing recognised")
			}
			if !startsWith(got[0].System, c.system) {
				t.Errorf("system %q, want %q", got[0].System, c.system)
			}
			if c.cause != "" && got[0].Cause != c.cause {
				t.Errorf("cause %q by %s, want %q", got[0].Cause, got[0].ID, c.cause)
			}
			if c.cause == "" && !got[0].PageOnly {
				t.Errorf("%s claims to know the cause", got[0].ID)
			}
		})
	}
}

func startsWith(s, prefix string) bool { return len(s) >= len(prefix) && s[:len(prefix)] == prefix }

func TestRead(t *testing.T) {
	for text, want := range map[string]string{
		`{"error":"missing_api_key"}`:  "credential_missing",
		`{"error":"invalid_api_key"}`:  "credential_invalid",
		`{"error":"api_key_disabled"}`: "key_disabled",
		`JWT has expired`:              "token_expired",
		`{"error":"quota_exceeded","message":"monthly quota is used up"}`:       "quota_exceeded",
		`Forbidden - CSRF token not found in request`:                           "csrf_missing",
		`account 4711 is suspended: unpaid invoice`:                             "account_suspended",
		`Your IP address 10.0.0.1 is not allowed`:                               "ip_denied",
		`{"code":"insufficient_scope","scope":"orders:write"}`:                  "scope_insufficient",
		`The plain HTTP request was sent to HTTPS port`:                         "tls_required",
		`You do not have permission to perform this action.`:                    "role_insufficient",
		`{"detail":"Authentication credentials were not provided."}`:            "credential_missing",
		`Country, region, or territory not supported`:                           "geo_denied",
		`Too many requests, please try again later.`:                            "rate_limited",
		`cross-origin request detected, and/or browser is out of date: Origin `: "origin_rejected",
		`{"ok":true}`: "",
	} {
		got := Read(text)
		best := Said{Phrase: &Phrase{}}
		for _, s := range got {
			if s.Weight > best.Weight {
				best = s
			}
		}
		if best.Cause != want {
			t.Errorf("%q is read as %q (%q), want %q", text, best.Cause, best.Text, want)
		}
	}
}

func TestLogged(t *testing.T) {
	for line, want := range map[string]string{
		`2026/11/22 08:55:27 [error] 1#1: *12 directory index of "/srv/x/" is forbidden, client: 127.0.0.1`: "server_directory_listing",
		`[client 127.0.0.1:1] AH00037: Symbolic link not allowed or link target not accessible: /srv/x`:     "server_misconfiguration",
		`W, WARN -- : Can't verify CSRF token authenticity.`:                                                "csrf_missing",
		`1.2.3.4 - - [22/Nov/2026:08:55:27 +0000] "GET / HTTP/1.1" 200 1`:                                   "",
	} {
		got := Logged(line)
		cause := ""
		if len(got) > 0 {
			cause = got[0].Cause
		}
		if cause != want {
			t.Errorf("%s: %q, want %q", line, cause, want)
		}
	}
}

func TestWords(t *testing.T) {
	if got := Words([]byte("<html><style>a{}</style><body><h1>You &amp; I</h1>\n<!-- x --> done"), 100); got != "You & I done" {
		t.Errorf("got %q", got)
	}
	if got := Words([]byte("äöü"), 3); got != "ä…" {
		t.Errorf("a sign was cut: %q", got)
	}
}

func FuzzIdentify(f *testing.F) {
	f.Add(403, "Server", "nginx", []byte("<center>403"))
	f.Add(200, "X-Squid-Error", "ERR_ACCESS_DENIED 0", []byte("\xff\xfe"))
	f.Fuzz(func(t *testing.T, status int, name, value string, body []byte) {
		for _, m := range Identify(Answer{status, fields(name, value), body}) {
			if m.Weight <= 0 || m.Signature == nil || len(m.Seen) == 0 {
				t.Fatalf("a match without weight or words: %+v", m)
			}
		}
		for _, s := range ReadLog(Words(body, 1000)) {
			if s.Weight <= 0 || s.Text == "" {
				t.Fatalf("%+v", s)
			}
		}
		Logged(string(body))
	})
}
