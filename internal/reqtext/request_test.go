package reqtext

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// show writes a request the way the tests compare it.
func show(r Request) string {
	var b strings.Builder
	if r.Name != "" {
		fmt.Fprintf(&b, "[%s] ", r.Name)
	}
	fmt.Fprintf(&b, "%s %s\n", r.Method, r.URL)
	for _, f := range r.Header {
		fmt.Fprintf(&b, "%s: %s\n", f.Name, f.Value)
	}
	switch {
	case r.BodyUnknown:
		b.WriteString("body unknown\n")
	case len(r.Body) > 0:
		fmt.Fprintf(&b, "body %q\n", r.Body)
	}
	return b.String()
}

func TestParseCurl(t *testing.T) {
	const plain = "User-Agent: curl\nAccept: */*\n"
	for _, c := range []struct{ name, in, want string }{
		{"an address", `curl http://api.example.com/orders`, "GET http://api.example.com/orders\nHost: api.example.com\n" + plain},
		{"no scheme", `curl api.example.com`, "GET http://api.example.com/\nHost: api.example.com\n" + plain},
		{"a prompt and a pipe", `$ curl -s http://a/b | jq .`, "GET http://a/b\nHost: a\n" + plain},
		{"a POST", `curl -XPOST http://a/b -H 'X-API-Key: k' -d '{"a":1}' -H "Content-Type: application/json"`,
			"POST http://a/b\nHost: a\n" + plain + "Content-Length: 7\nX-API-Key: k\nContent-Type: application/json\nbody \"{\\\"a\\\":1}\"\n"},
		{"data twice", `curl http://a -d x=1 --data-raw @y`,
			"POST http://a/\nHost: a\n" + plain + "Content-Type: application/x-www-form-urlencoded\nContent-Length: 6\nbody \"x=1&@y\"\n"},
		{"data in the query", `curl -G http://a/s?p=0 -d q=1 --data-urlencode 'r=a b&c'`, "GET http://a/s?p=0&q=1&r=a+b%26c\nHost: a\n" + plain},
		{"json", `curl --json '{"a":1}' http://a`, "POST http://a/\nHost: a\nUser-Agent: curl\nAccept: application/json\nContent-Type: application/json\nContent-Length: 7\nbody \"{\\\"a\\\":1}\"\n"},
		{"short options together", `curl -sSkLu ada:pw -I http://a`, "HEAD http://a/\nHost: a\nAuthorization: Basic YWRhOnB3\n" + plain},
		{"a value behind its option", `curl -XDELETE -b'a=b' -Ame -ehttp://r/ http://a`, "DELETE http://a/\nHost: a\nUser-Agent: me\nAccept: */*\nReferer: http://r/\nCookie: a=b\n"},
		{"several lines", "curl http://a \\\n  -H 'A: 1' \\ \n  -H 'B: 2'\n", "GET http://a/\nHost: a\n" + plain + "A: 1\nB: 2\n"},
		{"copied from a browser", `curl 'https://a/b' -H $'X: it\'s \u00e9' --data-raw $'a\nb' --compressed`,
			"POST https://a/b\nHost: a\n" + plain + "Accept-Encoding: deflate, gzip, br, zstd\nContent-Type: application/x-www-form-urlencoded\nContent-Length: 3\nX: it's é\nbody \"a\\nb\"\n"},
		{"copied for Windows", "curl ^\"https://a/b?x=1^&y=^%^20z^\" ^\r\n  -H ^\"Content-Type: application/json^\" ^\r\n  --data-raw ^\"^{^\\^\"a^\\^\":1^}^\"\r\n",
			"POST https://a/b?x=1&y=%20z\nHost: a\n" + plain + "Content-Length: 7\nContent-Type: application/json\nbody \"{\\\"a\\\":1}\"\n"},
		{"older form for Windows", "curl \"https://a/b\" ^\n -H \"A: 1\"", "GET https://a/b\nHost: a\n" + plain + "A: 1\n"},
		{"a form", `curl -F a=1 -F b=2 http://a`, "POST http://a/\nHost: a\n" + plain + "Content-Type: multipart/form-data; boundary=------------------------postern-request\nContent-Length: 225\nbody " +
			`"--------------------------postern-request\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--------------------------postern-request\r\nContent-Disposition: form-data; name=\"b\"\r\n\r\n2\r\n--------------------------postern-request--\r\n"` + "\n"},
		{"a file", `curl http://a --data-binary @big.json`, "POST http://a/\nHost: a\n" + plain + "Content-Type: application/x-www-form-urlencoded\nbody unknown\n"},
		{"an upload", `curl -T big.iso http://a/f`, "PUT http://a/f\nHost: a\n" + plain + "body unknown\n"},
		{"fields left out", `curl http://a -H 'User-Agent:' -H 'Accept;' -H 'Host: b'`, "GET http://a/\nAccept: \nHost: b\n"},
		{"a bearer", `curl --oauth2-bearer t http://a`, "GET http://a/\nHost: a\nAuthorization: Bearer t\n" + plain},
		{"a user in the address", `curl http://ada:p%40w@a/`, "GET http://a/\nHost: a\nAuthorization: Basic YWRhOnBAdw==\n" + plain},
		{"dots are taken out", `curl http://a/b/../c/./d/..`, "GET http://a/c/\nHost: a\n" + plain},
		{"dots are kept", `curl --path-as-is http://a/b/../c`, "GET http://a/b/../c\nHost: a\n" + plain},
		{"a fragment", `curl 'http://a/b?c#d'`, "GET http://a/b?c\nHost: a\n" + plain},
		{"parts of the query", `curl http://a/?x=1 --url-query 'q=a b' --url-query =raw`, "GET http://a/?x=1&q=a+b&raw\nHost: a\n" + plain},
		{"encoded data", `curl http://a --data-urlencode 'a b' --data-urlencode =c+d --data-urlencode e=f`, "POST http://a/\nHost: a\n" + plain + "Content-Type: application/x-www-form-urlencoded\nContent-Length: 13\nbody \"a+b&c%2Bd&e=f\"\n"},
		{"another target", `curl http://a/x --request-target '/y?z'`, "GET http://a/y?z\nHost: a\n" + plain},
		{"a range", `curl -r 0-9 http://[::1]:8080/x`, "GET http://[::1]:8080/x\nHost: [::1]:8080\n" + plain + "Range: bytes=0-9\n"},
		{"no options behind two dashes", `curl -s -- http://a/-x`, "GET http://a/-x\nHost: a\n" + plain},
		{"defaults taken back", `curl --no-compressed --no-location http://a`, "GET http://a/\nHost: a\n" + plain},
		{"a comment first", "# list the orders\ncurl http://a", "GET http://a/\nHost: a\n" + plain},
		{"a caret in the body", `curl http://a -d '{"start": "^", "q": ^"x"}'`,
			"POST http://a/\nHost: a\n" + plain + "Content-Type: application/x-www-form-urlencoded\nContent-Length: 25\nbody \"{\\\"start\\\": \\\"^\\\", \\\"q\\\": ^\\\"x\\\"}\"\n"},
		{"two commands", "curl http://a\ncurl http://b -A x", "[request 1] GET http://a/\nHost: a\n" + plain + "[request 2] GET http://b/\nHost: b\nUser-Agent: x\nAccept: */*\n"},
		{"next", "curl http://a -d x --next http://b", "[request 1] POST http://a/\nHost: a\n" + plain + "Content-Type: application/x-www-form-urlencoded\nContent-Length: 1\nbody \"x\"\n[request 2] GET http://b/\nHost: b\n" + plain},
	} {
		t.Run(c.name, func(t *testing.T) {
			requests, err := Parse([]byte(c.in), "")
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			for _, r := range requests {
				got += show(r)
			}
			if got != c.want {
				t.Errorf("\n got %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestParseMistakes(t *testing.T) {
	for _, c := range []struct{ name, in, hint, want string }{
		{"nothing", " \n", "", "the source is empty: this is no request"},
		{"prose", "please help", "", "this is no request: give a curl command"},
		{"unknown option", "curl --dta x http://a", "", "curl: the option --dta is not known here; did you mean --data?"},
		{"unknown letter", "curl -Q x http://a", "", "curl: the option -Q is not known here"},
		{"value missing", "curl http://a -H", "", "curl: the option -H needs a value"},
		{"no address", "curl -s", "", "curl: the command names no address"},
		{"variable", `curl -H "X-API-Key: $KEY" http://a`, "", "line 1, column 21: the command uses the variable $KEY, whose value is not known here"},
		{"substitution", "curl http://a \\\n -d \"$(cat x)\"", "", "line 2, column 6: the command uses the output of another command"},
		{"two in one", "curl http://a && rm -rf /", "", "line 1: give one command a line"},
		{"another program", "curl http://a; wget http://b", "", `line 1: "wget" is not curl`},
		{"open quote", "curl 'http://a", "", "line 1, column 6: the shell cannot read this"},
		{"braces", "curl http://a/{b,c}", "", "which curl expands to several addresses"},
		{"options in a file", "curl -K x http://a", "", "options in a file (-K) are not read"},
		{"line break in a header", "curl http://a -H $'A: b\\r\\nC: d'", "", "the value of the header field A has control characters"},
		{"method", "curl -X 'P OST' http://a", "", `"P OST" is no method`},
		{"raw without host", "GET / HTTP/1.1\n\n", "", "the request names no host: add a Host field"},
		{"raw with two hosts", "GET http://b/ HTTP/1.1\nHost: a\n\n", "", "line 1 names the host \"b\" and the Host field \"a\""},
		{"raw folded", "GET / HTTP/1.1\nHost: a\n b\n\n", "", "line 3: begins with a space"},
		{"raw colon", "GET / HTTP/1.1\nHost : a\n\n", "", "line 2: there is a space before the colon"},
		{"raw no field", "GET / HTTP/1.1\nHost: a\nnonsense\n\n", "", `line 3: "nonsense" is no header field`},
		{"variable of a file", "GET {{base}}/x\n", "", "line 1: the variable {{base}} is not defined; add a line @base = value"},
		{"file without request", "### nothing\n# here\n", "", "the file has no request"},
		{"no HAR", `{"a": 1}`, "", "the JSON has no HAR entries"},
		{"broken JSON", `{"log": `, "", "this begins like JSON, but is no HAR file"},
		{"HAR of another scheme", `{"request":{"method":"GET","url":"ftp://a"}}`, "", `"ftp://a" is no http or https address`},
		{"hint", "please", HintCurl, `"please" is not curl`},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := Parse([]byte(c.in), c.hint)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, %v; want %s", r, err, c.want)
			}
		})
	}
}

func TestParseRaw(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"with CRLF", "POST /orders?a=b HTTP/1.1\r\nHost: api.example.com\r\nX-API-Key:  k \r\nContent-Length: 2\r\n\r\n{}",
			"POST http://api.example.com/orders?a=b\nHost: api.example.com\nX-API-Key: k\nContent-Length: 2\nbody \"{}\"\n"},
		{"with LF, and a line end too many", "\n\nPOST / HTTP/1.1\nHost: a\nContent-Length: 2\n\n{}\n", "POST http://a/\nHost: a\nContent-Length: 2\nbody \"{}\"\n"},
		{"without length", "POST / HTTP/1.1\nHost: a\n\n{}\n", "POST http://a/\nHost: a\nContent-Length: 2\nbody \"{}\"\n"},
		{"absolute", "GET https://b:8443/x HTTP/1.1\nHost: b:8443\n\n", "GET https://b:8443/x\nHost: b:8443\n"},
		{"a length without body", "POST / HTTP/1.1\nHost: a\nContent-Length: 9\n\n", "POST http://a/\nHost: a\nContent-Length: 9\nbody unknown\n"},
		{"chunked", "POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n2\n{}\n0\n\n", "POST http://a/\nHost: a\nContent-Length: 2\nbody \"{}\"\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			requests, err := Parse([]byte(c.in), "")
			if err != nil {
				t.Fatal(err)
			}
			if got := show(requests[0]); got != c.want || len(requests) != 1 {
				t.Errorf("\n got %s\nwant %s", got, c.want)
			}
		})
	}
}

const httpFileText = `@base = http://localhost:8080
@key = postern_x

### list orders
# @name list
GET {{base}}/orders
    ?state=open
    &limit=10 HTTP/1.1
X-API-Key: {{key}}

### create
POST {{ base }}/orders
Content-Type: application/json
// a comment
X-API-Key: {{key}}

{
  "item": "tea"
}

> {% client.test() %}
###
POST {{base}}/files

< ./big.bin
###
http://localhost/health
`

func TestParseHTTPFile(t *testing.T) {
	requests, err := Parse([]byte(httpFileText), "orders.http")
	if err != nil {
		t.Fatal(err)
	}
	want := "[list] GET http://localhost:8080/orders?state=open&limit=10\nX-API-Key: postern_x\n" +
		"[create] POST http://localhost:8080/orders\nContent-Type: application/json\nX-API-Key: postern_x\nContent-Length: 19\nbody \"{\\n  \\\"item\\\": \\\"tea\\\"\\n}\"\n" +
		"POST http://localhost:8080/files\nbody unknown\nGET http://localhost/health\n"
	got := ""
	for _, r := range requests {
		got += show(r)
	}
	if got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
	requests, err = Parse([]byte(httpFileText), "", WithFiles(func(name string) ([]byte, error) {
		if name != "./big.bin" {
			return nil, os.ErrNotExist
		}
		return []byte("big"), nil
	}))
	if err != nil || string(requests[2].Body) != "big" {
		t.Errorf("%v, %v", requests, err)
	}
}

func TestVariablesCannotExplode(t *testing.T) {
	var b strings.Builder
	b.WriteString("@v0 = " + strings.Repeat("x", 1000) + "\n")
	for i := 1; i < 40; i++ {
		fmt.Fprintf(&b, "@v%d = %s\n", i, strings.Repeat(fmt.Sprintf("{{v%d}}", i-1), 100))
	}
	b.WriteString("GET http://a/{{v39}}\n")
	if _, err := Parse([]byte(b.String()), HintHTTP); err == nil || !strings.Contains(err.Error(), "larger than 32 MiB") {
		t.Errorf("got %.200v", err)
	}
}

func TestParseHAR(t *testing.T) {
	const entry = `{"request": {"method": "POST", "url": "https://a/b?c=d", "httpVersion": "h2",
		"headers": [{"name": ":authority", "value": "a"}, {"name": "x-api-key", "value": "k"}], "cookies": [{"name": "s", "value": "1"}],
		"postData": {"mimeType": "application/json", "text": "{}"}, "bodySize": 2}}`
	const want = "POST https://a/b?c=d\nx-api-key: k\nCookie: s=1\nContent-Type: application/json\nbody \"{}\"\n"
	form := `{"method":"POST","url":"http://a/","headers":[],"postData":{"mimeType":"application/x-www-form-urlencoded","params":[{"name":"a b","value":"&"}]}}`
	lost := `{"method":"POST","url":"http://a/","headers":[],"bodySize":17}`
	binary := `{"method":"POST","url":"http://a/","headers":[],"postData":{"mimeType":"","text":"AAE=","encoding":"base64"}}`
	for _, c := range []struct{ name, in, want string }{
		{"a file", `{"log": {"version": "1.2", "entries": [` + entry + `]}}`, want},
		{"two", `{"log": {"entries": [` + entry + `,` + entry + `]}}`, "[entry 1] " + want + "[entry 2] " + want},
		{"an entry", entry, want},
		{"a form", form, "POST http://a/\nContent-Type: application/x-www-form-urlencoded\nbody \"a+b=%26\"\n"},
		{"a body that was not kept", lost, "POST http://a/\nbody unknown\n"},
		{"a binary body", binary, "POST http://a/\nbody \"\\x00\\x01\"\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			requests, err := Parse([]byte(c.in), "")
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			for _, r := range requests {
				got += show(r)
			}
			if got != c.want {
				t.Errorf("\n got %s\nwant %s", got, c.want)
			}
		})
	}
}

// fuzzForm feeds one form with anything: it answers or says what is wrong, and what it answers can be sent.
func fuzzForm(f *testing.F, hint string, seeds ...string) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		requests, err := Parse(src, hint)
		if err != nil {
			if err.Error() == "" {
				t.Fatal("an error without words")
			}
			return
		}
		if len(requests) == 0 {
			t.Fatal("no request and no error")
		}
		for _, r := range requests {
			if _, err := SplitURL(r.URL); err != nil {
				t.Fatal(err)
			}
			for _, h := range r.Header {
				if strings.ContainsAny(h.Name+h.Value, "\r\n\x00") {
					t.Fatalf("a header field that would split the message: %q", h)
				}
			}
		}
	})
}

func FuzzCurl(f *testing.F) {
	fuzzForm(f, HintCurl, `curl -sXPOST http://a/b/../c -H 'A: b' -d @x --json '{}' -G -F a=b -u a:b`, "curl ^\"http://a^\" ^\n -H ^\"A: \\^\"^\"", `curl $'a\x41\'' | jq`)
}
func FuzzRaw(f *testing.F) {
	fuzzForm(f, HintRaw, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", "GET http://a/ HTTP/1.1\nHost: a\n\n")
}
func FuzzHTTPFile(f *testing.F) { fuzzForm(f, HintHTTP, httpFileText) }
func FuzzHAR(f *testing.F) {
	fuzzForm(f, HintHAR, `{"log":{"entries":[{"request":{"method":"GET","url":"http://a","headers":[{"name":"a","value":"b"}]}}]}}`)
}
func FuzzDetect(f *testing.F) {
	fuzzForm(f, "", "curl http://a", "GET / HTTP/1.1\nHost: a\n\n", "### x\nGET http://a", `{"url":"http://a","method":"GET"}`)
}

func TestParseCurlReadsFilesWhenItMay(t *testing.T) {
	read := func(name string) ([]byte, error) {
		if name != "a.json" {
			return nil, os.ErrNotExist
		}
		return []byte("{\r\n1}\n"), nil
	}
	for command, want := range map[string]string{
		"curl http://a -d @a.json":            "{1}",
		"curl http://a --data-binary @a.json": "{\r\n1}\n",
		"curl http://a --json @a.json":        "{\r\n1}\n",
	} {
		r, err := Parse([]byte(command), "", WithFiles(read))
		if err != nil || string(r[0].Body) != want || r[0].BodyUnknown {
			t.Errorf("%s: %+v, %v", command, r, err)
		}
	}
	for _, command := range []string{"curl http://a -d @none", "curl http://a -d @-", "curl http://a -F f=@a.json", "curl http://a --data-urlencode x@a.json"} {
		r, err := Parse([]byte(command), "", WithFiles(read))
		if err != nil || !r[0].BodyUnknown || len(r[0].Notes) == 0 {
			t.Errorf("%s: %+v, %v", command, r, err)
		}
	}
}
