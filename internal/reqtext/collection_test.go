package reqtext

import (
	"strings"
	"testing"
)

func TestParseCollections(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"a Postman collection", `{"info":{"name":"x","schema":"https://schema.getpostman.com/json/collection/v2.1.0/collection.json"},
			"auth":{"type":"bearer","bearer":[{"key":"token","value":"{{tok}}"}]},
			"variable":[{"key":"base","value":"http://a"},{"key":"tok","value":"t-{{n}}"},{"key":"n","value":1}],
			"item":[{"name":"folder","item":[{"name":"create","request":{"method":"post","header":[{"key":"X-A","value":"1"},{"key":"X-B","value":"2","disabled":true}],
				"url":{"raw":"{{base}}/orders?x=1"},"body":{"mode":"raw","raw":"{\"a\":1}","options":{"raw":{"language":"json"}}}}}]},
				{"name":"list","request":{"method":"GET","url":"{{base}}/orders","auth":{"type":"noauth"}}}]}`,
			"[create] POST http://a/orders?x=1\nX-A: 1\nAuthorization: Bearer t-1\nContent-Type: application/json\nbody \"{\\\"a\\\":1}\"\n[list] GET http://a/orders\n"},
		{"a Postman item", `{"name":"one","request":{"method":"POST","url":"http://a/f","auth":{"type":"apikey","apikey":[{"key":"key","value":"X-Key"},{"key":"value","value":"v"}]},"body":{"mode":"urlencoded","urlencoded":[{"key":"a b","value":"&"}]}}}`,
			"[one] POST http://a/f\nX-Key: v\nContent-Type: application/x-www-form-urlencoded\nbody \"a+b=%26\"\n"},
		{"a key in the query", `{"name":"one","request":{"method":"GET","url":"http://a/f#x","auth":{"type":"apikey","apikey":{"key":"k","value":"v","in":"query"}}}}`, "[one] GET http://a/f?k=v#x\n"},
		{"an Insomnia export", `{"_type":"export","__export_format":4,"resources":[{"_type":"environment","data":{"base":"http://a"}},
			{"_type":"request","name":"r","method":"POST","url":"{{ _.base }}/x","headers":[{"name":"X-A","value":"1"}],"body":{"mimeType":"application/json","text":"{}"},"authentication":{"type":"basic","username":"ada","password":"pw"}}]}`,
			"[r] POST http://a/x\nX-A: 1\nAuthorization: Basic YWRhOnB3\nContent-Type: application/json\nbody \"{}\"\n"},
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
	for in, want := range map[string]string{
		`{"name":"one","request":{"method":"GET","url":"{{base}}/f"}}`:                                                      "{{base}} is not defined",
		`{"info":{},"item":[{"name":"a","item":[]}]}`:                                                                       "the collection has no request",
		`{"variable":[{"key":"a","value":"{{a}}"}],"item":[{"name":"x","request":{"method":"GET","url":"http://{{a}}/"}}]}`: "more than ten deep",
	} {
		if _, err := Parse([]byte(in), ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", in, err, want)
		}
	}
}

func TestParseAnswer(t *testing.T) {
	for _, c := range []struct {
		name, in string
		status   int
		server   string
		body     string
		earlier  int
	}{
		{"raw", "HTTP/1.1 403 Forbidden\r\nServer: nginx\r\n\r\n<html>", 403, "nginx", "<html>", 0},
		{"HTTP/2 as curl prints it", "HTTP/2 403 \nserver: x\n\nno\n", 403, "x", "no\n", 0},
		{"behind an interim answer", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 401 Unauthorized\r\nServer: a\r\n\r\nx", 401, "a", "x", 1},
		{"behind a redirect with a body", "HTTP/1.1 301 Moved\nServer: a\n\n<html>moved</html>\nHTTP/1.1 403 Forbidden\nServer: b\n\nno", 403, "b", "no", 1},
		{"curl -v", "* Connected to a\n> POST / HTTP/1.1\n> Host: a\n>\n< HTTP/1.1 403 Forbidden\n< Server: x\n<\n{ [5 bytes data]\n{\"error\":\"y\"}\n", 403, "x", "{\"error\":\"y\"}\n", 0},
		{"a HAR file", `{"log":{"entries":[{"response":{"status":200}},{"response":{"status":403,"headers":[{"name":"Server","value":"h"}],"content":{"text":"bm8=","encoding":"base64"}}},{"response":{"status":200}}]}}`, 403, "h", "no", 0},
		{"pairs", `{"response":{"status":403,"headers":[["Server","p"]],"body":"no"}}`, 403, "p", "no", 0},
		{"only a body", `{"status":403,"error":"Forbidden"}`, 0, "", `{"status":403,"error":"Forbidden"}`, 0},
		{"only a page", "<html>no</html>", 0, "", "<html>no</html>", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, err := ParseAnswer([]byte(c.in))
			if err != nil {
				t.Fatal(err)
			}
			if a.Status != c.status || a.Header.Get("Server") != c.server || string(a.Body) != c.body || len(a.Earlier) != c.earlier {
				t.Errorf("got %d %q %q %v", a.Status, a.Header, a.Body, a.Earlier)
			}
		})
	}
	if _, err := ParseAnswer([]byte(" \n")); err == nil {
		t.Error("an empty file is an answer")
	}
}

func FuzzParseAnswer(f *testing.F) {
	for _, s := range []string{"HTTP/1.1 301 x\n\nHTTP/1.1 200 OK\n\n", "< HTTP/2 403\n<\nx", `{"response":{"status":1,"headers":{"a":"b"}}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		a, err := ParseAnswer(src)
		if err == nil && a.Status != 0 && (a.Status < 100 || a.Status > 999) {
			t.Fatalf("status %d", a.Status)
		}
	})
}

func FuzzCollection(f *testing.F) {
	fuzzForm(f, "", `{"info":{},"variable":[{"key":"a","value":"b"}],"item":[{"name":"x","request":{"method":"GET","url":"http://{{a}}/"}}]}`,
		`{"resources":[{"_type":"request","url":"http://a"}]}`)
}
