package diagnose

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestParseLine(t *testing.T) {
	for _, c := range []struct {
		name, line, format, client, method, target string
		status, upstream                           int
		alone                                      bool
	}{
		{"nginx access", `203.0.113.9 - - [22/Nov/2026:08:55:26 +0000] "POST /xff/orders HTTP/1.1" 403 153 "-" "curl/7.88.1"`, "access log", "203.0.113.9", "POST", "/xff/orders", 403, 0, false},
		{"with the upstream's status", `127.0.0.1 "POST /b HTTP/1.1" 403 ups=403 rt=0.001`, "", "", "POST", "/b", 403, 403, false},
		{"without one", `127.0.0.1 "POST /b HTTP/1.1" 403 ups=- rt=0.001`, "", "", "POST", "/b", 403, 0, true},
		{"nginx error", `2026/11/22 08:55:26 [error] 1#1: *6 access forbidden by rule, client: 203.0.113.9, server: l, request: "POST /x HTTP/1.1", host: "h"`, "nginx error log", "203.0.113.9", "POST", "/x", 0, 0, false},
		{"Apache error", `[Sun Nov 22 08:55:45.550865 2026] [authz_core:error] [pid 1:tid 2] [client 127.0.0.1:59072] AH01630: client denied by server configuration: /x`, "Apache error log", "127.0.0.1", "", "", 0, 0, false},
		{"HAProxy refused", `127.0.0.1:57296 [22/Nov/2026:08:56:00.123] fe fe/<NOSRV> 0/-1/-1/-1/0 403 192 - - PR-- 1/1/0/0/0 0/0 "POST /x HTTP/1.1"`, "HAProxy", "127.0.0.1", "POST", "/x", 403, 0, true},
		{"HAProxy passed on", `127.0.0.1:57296 [22/Nov/2026:08:56:00.123] fe be/s1 0/0/0/1/1 403 192 - - ---- 1/1/0/0/0 0/0 "POST /x HTTP/1.1"`, "HAProxy", "127.0.0.1", "POST", "/x", 403, 403, false},
		{"Envoy", `[2026-11-22T08:56:00.123Z] "POST /x HTTP/1.1" 403 UAEX ext_authz_denied - "-" 1 2`, "Envoy", "", "POST", "/x", 403, 0, true},
		{"Squid", `1795337000.123      0 127.0.0.1 TCP_DENIED/403 3892 POST http://h/x - HIER_NONE/- text/html`, "Squid", "127.0.0.1", "POST", "http://h/x", 403, 0, true},
		{"ALB", `https 2026-11-22T08:56:00.123456Z app/lb/1 1.2.3.4:5555 - -1 -1 -1 403 - 1 2 "POST https://h:443/x HTTP/2.0" "curl"`, "AWS ALB", "1.2.3.4", "POST", "https://h:443/x", 403, 0, true},
		{"Caddy", `{"level":"info","ts":1795337000.5,"request":{"remote_ip":"127.0.0.1","method":"POST","uri":"/x"},"status":403}`, "JSON", "127.0.0.1", "POST", "/x", 403, 0, false},
		{"Traefik", `{"ClientHost":"1.2.3.4","RequestMethod":"POST","RequestPath":"/x","DownstreamStatus":403,"OriginStatus":403,"StartUTC":"2026-11-22T08:56:00Z"}`, "JSON", "1.2.3.4", "POST", "/x", 403, 403, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var columns w3c
			e := parseLine(c.line, &columns)
			if e.format != c.format || e.client != c.client || e.method != c.method || e.target != c.target || e.status != c.status || e.upstream != c.upstream || e.alone != c.alone {
				t.Errorf("got %+v", e)
			}
			if c.format != "" && e.at.IsZero() {
				t.Error("the time is not read")
			}
			if !e.at.IsZero() && (e.at.Year() != 2026 || e.at.Location().String() != "UTC") {
				t.Errorf("the time is %v", e.at)
			}
		})
	}
}

func TestIISLog(t *testing.T) {
	log := "#Software: Microsoft Internet Information Services 10.0\n#Fields: date time c-ip cs-method cs-uri-stem cs-uri-query sc-status sc-substatus\n2026-11-22 08:56:00 1.2.3.4 POST /orders - 403 6\n"
	r := diagnosed(t, Input{Request: request(t, "curl -X POST http://h/orders -d a"), Logs: []Log{{"u_ex.log", strings.NewReader(log)}}})
	if r.Verdict != Refused || r.Causes[0].ID != "ip_denied" || r.Status != 403 {
		t.Errorf("%s %+v", r.Verdict, r.Causes)
	}
}

func TestTheLineThatSettles(t *testing.T) {
	var b strings.Builder
	for i := range 1000 { // the traffic of others
		fmt.Fprintf(&b, "2026/11/22 11:%02d:00 [error] 1#1: *%d open() \"/srv/%d\" failed (13: Permission denied), client: 10.0.0.1, request: \"GET /f%d HTTP/1.1\"\n", i%50, i, i, i)
	}
	b.WriteString("2026/11/22 11:59:59 [error] 1#1: *7 directory index of \"/srv/x/\" is forbidden, client: 127.0.0.1, request: \"POST /x/ HTTP/1.1\"\n")
	r := diagnosed(t, Input{Request: request(t, "curl -X POST http://h/x/ -d a"), Answer: answer(t, "HTTP/1.1 403 Forbidden\nServer: nginx\nDate: Sun, 22 Nov 2026 11:59:59 GMT\n\n<html><center><h1>403 Forbidden</h1></center><hr><center>nginx</center></html>"),
		Logs: []Log{{"error.log", strings.NewReader(b.String())}}})
	if r.Causes[0].ID != "server_directory_listing" || len(r.LogLines) == 0 || r.LogLines[0].Line != 1001 || !r.LogLines[0].Settles {
		t.Errorf("%+v\n%+v", r.Causes[0], r.LogLines)
	}
}

func TestWarningsOfAFirewallThatLetPass(t *testing.T) {
	log := `[client "1.2.3.4"] ModSecurity: Warning. Matched [id "920350"] [msg "Host header is a numeric IP address"] [uri "/x"]` + "\n" + `1.2.3.4 - - [22/Nov/2026:12:00:00 +0000] "POST /x HTTP/1.1" 200 5` + "\n"
	r := diagnosed(t, Input{Request: request(t, "curl -X POST http://h/x -d a"), Answer: answer(t, "HTTP/1.1 200 OK\n\nok"), Logs: []Log{{"l", strings.NewReader(log)}}})
	if r.Verdict != Allowed {
		t.Errorf("%s %+v", r.Verdict, r.Causes)
	}
}

func TestOnlyLogs(t *testing.T) {
	var b strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&b, "1.2.3.4 - - [22/Nov/2026:12:00:00 +0000] \"GET /%d HTTP/1.1\" 200 5\n", i)
		if i%3 == 0 {
			b.WriteString("2026/11/22 12:00:00 [error] 1#1: *1 limiting requests, excess: 1.000 by zone \"r1\", client: 1.2.3.4, request: \"POST /a HTTP/1.1\"\n")
		}
		if i%10 == 0 {
			b.WriteString("[Sun Nov 22 12:00:00.5 2026] [core:error] [client 1.2.3.4:1] AH00132: file permissions deny server access: /srv/a\n")
		}
	}
	r := diagnosed(t, Input{Logs: []Log{{"big.log", strings.NewReader(b.String())}}})
	if len(r.Causes) != 2 || r.Causes[0].ID != "rate_limited" || r.Causes[0].Count != 1000 || r.Causes[1].ID != "server_file_permission" || r.Causes[1].Count != 300 {
		t.Errorf("%+v", r.Causes)
	}
	if len(r.LogLines) != 6 || r.ExitCode() != 1 {
		t.Errorf("%d samples, exit code %d", len(r.LogLines), r.ExitCode())
	}
	if r := diagnosed(t, Input{Logs: []Log{{"fine.log", strings.NewReader("1.2.3.4 - - [22/Nov/2026:12:00:00 +0000] \"GET / HTTP/1.1\" 200 5\n")}}}); r.Verdict != Allowed {
		t.Errorf("a log without refusals: %s", r.Verdict)
	}
}

func TestLogsThatCannotBeRead(t *testing.T) {
	broken := errors.New("disk on fire")
	_, err := Diagnose(t.Context(), Input{Logs: []Log{{"x.log", io.MultiReader(strings.NewReader("a\n"), iotest.ErrReader(broken))}}}, nil)
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "x.log") {
		t.Errorf("%v", err)
	}
	long := strings.Repeat("x", 3<<20) + "\n2026/11/22 12:00:00 [error] 1#1: limiting requests, excess: 1.000 by zone \"r\"\n"
	if r := diagnosed(t, Input{Logs: []Log{{"long.log", strings.NewReader(long)}}}); len(r.Causes) != 1 || r.LogLines[0].Line != 2 {
		t.Errorf("a line of 3 MiB: %+v", r)
	}
}

func FuzzParseLine(f *testing.F) {
	for _, s := range []string{`{"status":403,"request":{"uri":"/x"}}`, `#Fields: a b c`, `1.2.3.4 - - [22/Nov/2026:08:55:26 +0000] "POST / HTTP/1.1" 403 1`, `[Sun Nov 22 08:55:45 2026] [x] [client 1.2.3.4:1] AH01630: x`} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, first, second string) {
		var columns w3c
		parseLine(first, &columns)
		if e := parseLine(second, &columns); e.status < 0 && e.format != "JSON" && e.format != "HAProxy" && e.format != "W3C (IIS)" {
			t.Fatalf("%+v", e)
		}
	})
}
